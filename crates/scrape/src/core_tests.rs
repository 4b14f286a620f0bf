//! Pages in, samples out: each test is a run of scrapes of one target and what is stored after it.

use super::*;
use crate::config::{GlobalScrapeConfig, ScrapeConfig};
use crate::settings::Features;
use crate::target::Origin;
use crate::testing::MemoryStorage;
use stdx::clock::ManualClock;
use stdx::metrics::Registry;

const T0: i64 = 1_700_000_000_000;

struct Bench {
    storage: MemoryStorage,
    clock: Arc<ManualClock>,
    core: TargetCore,
    settings: Arc<Settings>,
    features: Features,
    target: Arc<Target>,
}

fn bench(job: &str) -> Bench {
    with_features(job, Features::default())
}

fn read(job: &str) -> Arc<ScrapeConfig> {
    let mut config: ScrapeConfig = yaml::from_str(&format!("job_name: j\n{job}"), &yaml::Options::default()).expect("a good job");
    config.resolve(&GlobalScrapeConfig::default(), false).expect("a good job");
    Arc::new(config)
}

fn with_features(job: &str, features: Features) -> Bench {
    let config = read(job);
    let group = Arc::new(discovery::TargetGroup::of_addresses("test", ["h:1"], model::Labels::empty()));
    let labels = crate::labels::target_labels(&config, &group.targets[0], &group.labels).expect("a good target").expect("kept");
    let target = Arc::new(Target::new(labels, Origin { group, index: 0, config: Arc::clone(&config) }));
    let clock = ManualClock::at_ms(T0);
    let registry = Registry::new(clock.clone());
    Bench {
        storage: MemoryStorage::default(),
        core: TargetCore::new(Arc::clone(&target), Metrics::new(&registry)),
        settings: Arc::new(Settings::new(&config, &target, &features)),
        clock,
        features,
        target,
    }
}

impl Bench {
    fn fetched(&mut self, fetched: &Fetched, t: i64) -> Result<(), String> {
        self.clock.set_ms(T0 + t);
        let started = self.clock.monotonic();
        self.core.scrape(&self.storage, &*self.clock, &self.settings, fetched, T0 + t, started)
    }

    fn page(&mut self, body: &str, t: i64) -> Result<(), String> {
        self.typed(body, "text/plain", t)
    }

    fn typed(&mut self, body: &str, content_type: &str, t: i64) -> Result<(), String> {
        self.fetched(&Fetched::Page { body: body.as_bytes().to_vec(), content_type: content_type.to_string() }, t)
    }

    fn failure(&mut self, t: i64) -> Result<(), String> {
        self.fetched(&Fetched::Failed { error: "no route".to_string(), too_large: false }, t)
    }

    fn reload(&mut self, job: &str) {
        self.settings = Arc::new(Settings::new(&read(job), &self.target, &self.features));
    }

    /// Stored series but the reports, without the labels of the target.
    #[track_caller]
    fn expect(&self, lines: &[&str]) {
        let of_page: Vec<String> = self
            .storage
            .dump(T0)
            .into_iter()
            .filter(|l| !l.contains("\"up\"") && !l.contains("\"scrape_"))
            .map(|l| l.replace(", instance=\"h:1\", job=\"j\"", "").replace("__name__=", ""))
            .collect();
        assert_eq!(of_page, lines);
    }

    #[track_caller]
    fn report(&self, name: &str, values: &[f64]) {
        assert_eq!(self.storage.floats(name), values, "{name}");
    }
}

#[test]
fn samples_and_reports() {
    let mut b = bench("");
    b.page("# HELP a x\na{l=\"1\"} 1\na{l=\"2\"} 2\n", 0).expect("good");
    b.page("# HELP a x\na{l=\"1\"} 3\na{l=\"2\"} 4\n", 1000).expect("good");
    b.expect(&[r#"{"a", l="1"} 1@0 3@1000"#, r#"{"a", l="2"} 2@0 4@1000"#]);
    b.report("up", &[1.0, 1.0]);
    b.report("scrape_samples_scraped", &[2.0, 2.0]);
    b.report("scrape_samples_post_metric_relabeling", &[2.0, 2.0]);
    b.report("scrape_series_added", &[2.0, 0.0]);
    b.report("scrape_duration_seconds", &[0.0, 0.0]);
    b.report("scrape_timeout_seconds", &[]);
    assert_eq!(b.target.last().health, Health::Up);
    assert_eq!(b.target.metadata().get("a").map(|m| m.help), Some("x".to_string()));
    // Two series of the page and five reports were asked for by their labels, once.
    assert_eq!(b.storage.lookups(), 7);
}

#[test]
fn a_series_that_vanishes_ends() {
    let mut b = bench("");
    b.page("a 1\nb 1\n", 0).expect("good");
    b.page("a 1\n", 1000).expect("good");
    b.page("a 1\nb 2\n", 2000).expect("good");
    b.expect(&[r#"{"a"} 1@0 1@1000 1@2000"#, r#"{"b"} 1@0 stale@1000 2@2000"#]);
    b.report("scrape_series_added", &[2.0, 0.0, 0.0]);
}

#[test]
fn an_empty_page_is_good_and_ends_all() {
    let mut b = bench("");
    b.page("a 1\n", 0).expect("good");
    b.page("", 1000).expect("good");
    b.expect(&[r#"{"a"} 1@0 stale@1000"#]);
    b.report("up", &[1.0, 1.0]);
}

#[test]
fn failures_end_all_series_once() {
    let mut b = bench("");
    b.page("a 1\nb 1\n", 0).expect("good");
    assert_eq!(b.failure(1000), Err("no route".to_string()));
    assert_eq!(b.failure(2000), Err("no route".to_string()));
    b.page("a 2\n", 3000).expect("good");
    b.expect(&[r#"{"a"} 1@0 stale@1000 2@3000"#, r#"{"b"} 1@0 stale@1000"#]);
    b.report("up", &[1.0, 0.0, 0.0, 1.0]);
    let last = b.target.last();
    assert_eq!((last.health, last.error.as_str(), last.at_ms), (Health::Up, "", Some(T0 + 3000)));
}

#[test]
fn a_broken_page_is_not_stored_at_all() {
    let mut b = bench("");
    b.page("a 1\nb 1\n", 0).expect("good");
    let error = b.page("a 2\nnew 1\n!\n", 1000).expect_err("broken");
    assert_eq!(error, "expected a valid start token, got \"!\" while parsing: \"!\" (line 3, byte 10)");
    assert_eq!(b.target.last().error, error);
    b.page("a 3\nb 3\nnew 1\n", 2000).expect("good");
    b.expect(&[r#"{"a"} 1@0 stale@1000 3@2000"#, r#"{"b"} 1@0 stale@1000 3@2000"#, r#"{"new"} 1@2000"#]);
    b.report("scrape_samples_scraped", &[2.0, 2.0, 3.0]);
}

#[test]
fn sample_limit_is_all_or_nothing() {
    let mut b = bench("sample_limit: 2\nextra_scrape_metrics: true\n");
    b.page("a 1\nb 1\n", 0).expect("good");
    assert_eq!(b.page("a 2\nb 2\nc 2\nd 2\n", 1000), Err("sample limit exceeded".to_string()));
    b.expect(&[r#"{"a"} 1@0 stale@1000"#, r#"{"b"} 1@0 stale@1000"#]);
    b.report("scrape_samples_scraped", &[2.0, 4.0]);
    b.report("scrape_samples_post_metric_relabeling", &[2.0, 4.0]);
    b.report("scrape_series_added", &[2.0, 0.0]);
    b.report("scrape_sample_limit", &[2.0, 2.0]);
    b.report("scrape_body_size_bytes", &[8.0, 16.0]);
    b.report("scrape_timeout_seconds", &[10.0, 10.0]);
}

#[test]
fn limits_of_labels_and_names() {
    for (job, page, expect) in [
        ("label_limit: 3\n", "a{b=\"1\"} 1\n", "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"),
        (
            "label_name_length_limit: 8\n",
            "a{long_name=\"1\"} 1\n",
            "label_name_length_limit exceeded (metric: a, label name: long_name, length: 9, limit: 8)",
        ),
        (
            "metric_name_validation_scheme: legacy\n",
            "{\"a.b\"} 1\n",
            "invalid metric name or label names: {__name__=\"a.b\", instance=\"h:1\", job=\"j\"}",
        ),
        ("", "a{b=\"1\",b=\"2\"} 1\n", "label name \"b\" is not unique: invalid sample"),
    ] {
        let mut b = bench(job);
        assert_eq!(b.page(page, 0), Err(expect.to_string()));
        b.expect(&[]);
        b.report("up", &[0.0]);
    }
}

#[test]
fn relabelled_away() {
    let mut b = bench("metric_relabel_configs:\n- source_labels: [__name__]\n  regex: drop.*\n  action: drop\n");
    for t in [0, 1000] {
        b.page("drop_me 1\na 1\n", t).expect("good");
    }
    b.expect(&[r#"{"a"} 1@0 1@1000"#]);
    b.report("scrape_samples_scraped", &[2.0, 2.0]);
    b.report("scrape_samples_post_metric_relabeling", &[1.0, 1.0]);
}

#[test]
fn honoring_labels() {
    let mut b = bench("honor_labels: true\n");
    b.page("a{job=\"theirs\"} 1\n", 0).expect("good");
    let mut c = bench("");
    c.page("a{job=\"theirs\"} 1\n", 0).expect("good");
    b.expect(&[r#"{"a", instance="h:1", job="theirs"} 1@0"#]);
    c.expect(&[r#"{"a", exported_job="theirs"} 1@0"#]);
}

#[test]
fn timestamps_of_pages() {
    let at = T0 - 500;
    for (job, expect) in [
        // Series with times of their own do not end, unless that is asked for.
        ("", [r#"{"a"} 1@-500"#]),
        ("track_timestamps_staleness: true\n", [r#"{"a"} 1@-500 stale@1000"#]),
        ("honor_timestamps: false\n", [r#"{"a"} 1@0 stale@1000"#]),
    ] {
        let mut b = bench(job);
        b.page(&format!("a 1 {at}\n"), 0).expect("good");
        b.page("", 1000).expect("good");
        b.expect(&expect);
    }
}

#[test]
fn refused_samples_are_left_out() {
    let mut b = bench("");
    let (old, far) = (T0 - 10, T0 + 11 * 60_000);
    b.page("a 1\nb 1\n", 0).expect("good");
    b.page(&format!("a 2 {old}\nb 2 {far}\nc 3\n"), 1000).expect("good");
    b.expect(&[r#"{"a"} 1@0 stale@1000"#, r#"{"b"} 1@0 stale@1000"#, r#"{"c"} 3@1000"#]);
    b.report("scrape_samples_post_metric_relabeling", &[2.0, 3.0]);
    b.page("d 1\nd 2\n", 2000).expect("good");
    assert_eq!(b.storage.floats("d"), [1.0]);
}

#[test]
fn a_series_under_other_bytes_goes_on() {
    let mut b = bench("");
    b.page("a{b=\"1\",c=\"2\"} 1\n", 0).expect("good");
    b.page("a{c=\"2\",b=\"1\"} 2\n", 1000).expect("good");
    b.expect(&[r#"{"a", b="1", c="2"} 1@0 2@1000"#]);
}

#[test]
fn references_that_the_storage_has_dropped_are_asked_for_again() {
    let mut b = bench("");
    b.page("a 1\nb 1\n", 0).expect("good");
    b.storage.forget_references();
    b.page("a 2\nb 2\n", 1000).expect("good");
    b.expect(&[r#"{"a"} 1@0 2@1000"#, r#"{"b"} 1@0 2@1000"#]);
    b.report("up", &[1.0, 1.0]);
}

#[test]
fn a_reload_keeps_what_goes_on_and_ends_what_does_not() {
    let mut b = bench("");
    b.page("a 1\nb 1\n", 0).expect("good");
    b.reload("sample_limit: 100\n");
    b.page("a 2\nb 2\n", 1000).expect("good");
    b.reload("metric_relabel_configs:\n- source_labels: [__name__]\n  regex: b\n  action: drop\n");
    b.page("a 3\nb 3\n", 2000).expect("good");
    b.expect(&[r#"{"a"} 1@0 2@1000 3@2000"#, r#"{"b"} 1@0 2@1000 stale@2000"#]);
    b.report("scrape_series_added", &[2.0, 0.0, 1.0]);
}

#[test]
fn a_target_that_is_gone_ends_with_its_reports() {
    let mut b = bench("");
    b.page("a 1\n", 0).expect("good");
    b.core.end(&b.storage, T0 + 5000);
    b.core.end(&b.storage, T0 + 6000);
    b.expect(&[r#"{"a"} 1@0 stale@5000"#]);
    assert_eq!(b.storage.floats("up").iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [1f64.to_bits(), stale_nan().to_bits()]);
}

#[test]
fn a_target_that_came_back_elsewhere_does_not_end() {
    let mut b = bench("");
    b.page("a 1\n", 0).expect("good");
    let mut other = TargetCore::new(Arc::clone(&b.target), Metrics::new(&Registry::new(b.clock.clone())));
    std::mem::swap(&mut other, &mut b.core);
    b.page("a 2\n", 6000).expect("good");
    other.end(&b.storage, T0 + 5000);
    b.expect(&[r#"{"a"} 1@0 2@6000"#]);
}

#[test]
fn content_types() {
    let mut b = bench("");
    assert!(b.typed("a 1\n", "text/html", 0).expect_err("no parser").contains("unsupported Content-Type"));
    assert!(b.typed("a 1\n", "", 1000).expect_err("no parser").contains("blank Content-Type"));
    b.reload("fallback_scrape_protocol: OpenMetricsText1.0.0\n");
    b.typed("a 1\n# EOF\n", "", 2000).expect("good");
    b.expect(&[r#"{"a"} 1@2000"#]);
}

#[test]
fn exemplars_and_starts_and_metadata() {
    let features = Features { start_zeros: true, append_metadata: true, ..Features::default() };
    let mut b = with_features("", features);
    let page = "# TYPE c counter\n# HELP c h\nc_total 5 # {t=\"x\"} 1\nc_created 1699999999\n# EOF\n";
    for t in [0, 1000] {
        b.typed(page, "application/openmetrics-text", t).expect("good");
    }
    b.expect(&[r#"{"c_total"} 5@0 5@1000"#]);
    assert_eq!(b.storage.exemplars().iter().map(|e| e.t_ms).collect::<Vec<_>>(), [Some(T0), Some(T0 + 1000)]);
    assert_eq!(b.storage.zeros(), [1_699_999_999_000, 1_699_999_999_000]);
    let metadata = b.storage.metadata();
    assert_eq!(metadata.iter().map(|m| (m.kind, m.help.as_str())).collect::<Vec<_>>(), [(model::MetricType::Counter, "h")]);
}

#[test]
fn converted_histograms_and_their_limit() {
    let page = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"+Inf\"} 6\nh_sum 9\nh_count 6\n";
    let mut b = bench("convert_classic_histograms_to_nhcb: true\n");
    b.page(page, 0).expect("good");
    b.page(page, 1000).expect("good");
    b.expect(&[r#"{"h"} int(-53,6)@0 int(-53,6)@1000"#]);
    b.reload("convert_classic_histograms_to_nhcb: true\nnative_histogram_bucket_limit: 2\n");
    assert_eq!(b.page(page, 2000), Err("histogram bucket limit exceeded".to_string()));
}

#[test]
fn a_storage_that_takes_nothing_fails_the_scrape() {
    let mut b = bench("");
    b.page("a 1\n", 0).expect("good");
    b.storage.set_unavailable(true);
    assert_eq!(b.page("a 2\n", 1000), Err("storage unavailable: told so".to_string()));
    b.storage.set_unavailable(false);
    b.page("a 3\n", 2000).expect("good");
    b.expect(&[r#"{"a"} 1@0 3@2000"#]);
}
