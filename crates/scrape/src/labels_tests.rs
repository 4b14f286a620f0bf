use super::*;
use model::relabel::{Action, RelabelRule};

fn config(rules: Vec<RelabelRule>) -> ScrapeConfig {
    let mut c = ScrapeConfig { job_name: "j".into(), relabel_configs: rules, ..ScrapeConfig::default() };
    c.resolve(&crate::GlobalScrapeConfig::default(), false).expect("a good job");
    c
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn set(target: &str, value: &str) -> RelabelRule {
    RelabelRule { target_label: target.into(), replacement: value.into(), ..RelabelRule::default() }
}

#[test]
fn targets() {
    let check = |rules: Vec<RelabelRule>, own: &[(&str, &str)], expect: Result<Option<&str>, &str>| {
        let got = target_labels(&config(rules), &labels(own), &labels(&[("dc", "a"), ("__meta_x", "1")]));
        let got = got.map(|l| l.map(|l| public(&l).to_string()));
        assert_eq!(got, expect.map(|l| l.map(str::to_string)).map_err(str::to_string));
    };
    check(vec![], &[(ADDRESS, "h:1")], Ok(Some(r#"{dc="a", instance="h:1", job="j"}"#)));
    check(vec![], &[(ADDRESS, "h:1"), ("dc", "b"), ("instance", "i")], Ok(Some(r#"{dc="b", instance="i", job="j"}"#)));
    check(vec![], &[("a", "b")], Err("no address"));
    check(vec![], &[(ADDRESS, "http://h")], Err("\"http://h\" is not a valid hostname"));
    check(vec![set(SCRAPE_INTERVAL, "x")], &[(ADDRESS, "h:1")], Err("error parsing scrape interval: not a valid duration string: \"x\""));
    check(vec![set(SCRAPE_TIMEOUT, "0s")], &[(ADDRESS, "h:1")], Err("scrape timeout cannot be 0"));
    check(vec![set(SCRAPE_INTERVAL, "1s")], &[(ADDRESS, "h:1")], Err("scrape timeout cannot be greater than scrape interval (\"10s\" > \"1s\")"));
    check(
        vec![set(NATIVE_HISTOGRAMS, "perhaps")],
        &[(ADDRESS, "h:1")],
        Err("error parsing scrape native histograms: strconv.ParseBool: parsing \"perhaps\": invalid syntax"),
    );
    let drop = RelabelRule { action: Action::Drop, source_labels: vec!["__meta_x".into()], ..RelabelRule::default() };
    check(vec![drop], &[(ADDRESS, "h:1")], Ok(None));
}

#[test]
fn discovered_labels_hold_the_jobs_settings() {
    let mut c = config(vec![]);
    c.params.insert("m".into(), vec!["x".into(), "y".into()]);
    let got = discovered(&c, &labels(&[(ADDRESS, "h"), (METRICS_PATH, "/own")]), &Labels::empty()).build().to_string();
    assert_eq!(
        got,
        r#"{__address__="h", __always_scrape_classic_histograms__="false", __convert_classic_histograms_to_nhcb__="false", __metrics_path__="/own", __param_m="x", __scheme__="http", __scrape_interval__="1m", __scrape_native_histograms__="false", __scrape_timeout__="10s", job="j"}"#
    );
}

#[test]
fn sample_labels() {
    let check = |target: &[(&str, &str)], honor_labels, exposed: &[(&str, &str)], expect: &str| {
        let target = labels(target);
        let mut page = LabelBuf::new();
        exposed.iter().for_each(|(n, v)| page.push(n, v));
        page.finish();
        let got = SampleRules { target: &target, honor_labels, rules: &[] }.apply(&page).map(|l| l.to_string());
        assert_eq!(got.unwrap_or_default(), expect);
    };
    check(&[("job", "j")], false, &[("__name__", "m")], r#"{__name__="m", job="j"}"#);
    check(&[("job", "j")], false, &[("job", "x")], r#"{exported_job="x", job="j"}"#);
    check(&[("job", "j")], true, &[("job", "x")], r#"{job="x"}"#);
    // A blank label on the page: none is wanted, where the page's labels are honoured.
    check(&[("job", "j"), ("instance", "i")], true, &[("__name__", "m"), ("instance", "")], r#"{__name__="m", job="j"}"#);
    check(&[("job", "j"), ("instance", "i")], false, &[("__name__", "m"), ("instance", "")], r#"{__name__="m", instance="i", job="j"}"#);
    check(&[("job", "j"), ("exported_job", "k")], false, &[("job", "x")], r#"{exported_exported_job="x", exported_job="k", job="j"}"#);
    check(
        &[("foo", "1"), ("exported_foo", "2")],
        false,
        &[("foo", "a"), ("exported_foo", "b")],
        r#"{exported_exported_exported_foo="b", exported_exported_foo="a", exported_foo="2", foo="1"}"#,
    );
}

#[test]
fn limits() {
    let l = labels(&[("__name__", "metric"), ("job", "a long value")]);
    for (limits, expect) in [
        (LabelLimits::default(), ""),
        (LabelLimits { count: 2, name_length: 8, value_length: 12 }, ""),
        (LabelLimits { count: 1, ..LabelLimits::default() }, "label_limit exceeded (metric: metric, number of labels: 2, limit: 1)"),
        (
            LabelLimits { name_length: 3, ..LabelLimits::default() },
            "label_name_length_limit exceeded (metric: metric, label name: __name__, length: 8, limit: 3)",
        ),
        (
            LabelLimits { value_length: 11, ..LabelLimits::default() },
            "label_value_length_limit exceeded (metric: metric, label name: job, value: \"a long value\", length: 12, limit: 11)",
        ),
    ] {
        assert_eq!(limits.check(&l).err().unwrap_or_default(), expect);
    }
    assert!(check(&labels(&[("a", "b")]), Scheme::Utf8).is_err());
    assert!(check(&labels(&[("__name__", "a.b")]), Scheme::Utf8).is_ok());
    assert!(check(&labels(&[("__name__", "a.b")]), Scheme::Legacy).is_err());
    assert!(check(&labels(&[("__name__", "a"), ("b.c", "d")]), Scheme::Legacy).is_err());
}
