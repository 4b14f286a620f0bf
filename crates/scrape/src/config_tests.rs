use super::*;

fn read(text: &str) -> Result<ScrapeConfig, String> {
    yaml::from_str(text, &yaml::Options::default()).map_err(|e| e.to_string())
}

fn resolved(global: &str, job: &str) -> Result<ScrapeConfig, String> {
    let global: GlobalScrapeConfig = yaml::from_str(global, &yaml::Options::default()).map_err(|e| e.to_string())?;
    let mut c = read(job)?;
    c.resolve(&global, false)?;
    Ok(c)
}

#[test]
fn inherits_from_global() {
    let c = resolved("scrape_interval: 15s\nsample_limit: 7\nkeep_dropped_targets: 3\nextra_scrape_metrics: true\n", "job_name: a\nlabel_limit: 2\n")
        .expect("a good job");
    assert_eq!((c.scrape_interval, c.scrape_timeout), (Millis::from_secs(15), Millis::from_secs(10)));
    assert_eq!((c.sample_limit, c.label_limit, c.keep_dropped_targets), (7, 2, 3));
    assert_eq!((c.metrics_path.as_str(), c.scheme.as_str(), c.honor_timestamps, c.extra_metrics()), ("/metrics", "http", true, true));
    assert_eq!(c.protocols(), &DEFAULT_PROTOCOLS);
    assert_eq!(c.escaping(), Escaping::AllowUtf8);
    let c = resolved("scrape_interval: 5s\n", "job_name: a\nscrape_native_histograms: true\n").expect("a good job");
    assert_eq!((c.scrape_timeout, c.protocols().len()), (Millis::from_secs(5), 5));
    let c = resolved("metric_name_validation_scheme: legacy\n", "job_name: a\n").expect("a good job");
    assert_eq!((c.name_scheme(), c.escaping()), (Scheme::Legacy, Escaping::Underscores));
}

#[test]
fn refuses() {
    for (global, job, expect) in [
        ("{}", "honor_labels: true\n", "job_name is empty"),
        ("{}", "job_name: a\nnope: 1\n", "field nope not found"),
        (
            "{}",
            "job_name: a\nscrape_interval: 5s\nscrape_timeout: 6s\n",
            "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
        ),
        ("scrape_interval: 5s\nscrape_timeout: 6s\n", "job_name: a\n", "global scrape timeout greater than scrape interval"),
        ("{}", "job_name: a\nscrape_protocols: []\n", "scrape_protocols cannot be empty for scrape config with job name \"a\""),
        (
            "{}",
            "job_name: a\nscrape_protocols: [PrometheusProto, PrometheusProto]\n",
            "duplicated protocol in scrape_protocols, got [PrometheusProto PrometheusProto]",
        ),
        ("{}", "job_name: a\nscrape_protocols: [Nope]\n", "unknown scrape protocol \"Nope\""),
        ("{}", "job_name: a\nmetric_name_validation_scheme: legacy\nmetric_name_escaping_scheme: allow-utf-8\n", "utf8 metric names requested"),
        ("{}", "job_name: a\nmetric_name_escaping_scheme: x\n", "unknown scrape config name escaping method specified"),
        ("{}", "job_name: a\nrelabel_configs:\n- action: hashmod\n", "requires non-zero modulus"),
        ("{}", "job_name: a\nmetric_relabel_configs:\n-\n", "empty or null metric relabeling rule in scrape config"),
        ("{}", "job_name: a\nstatic_configs:\n- targets: ['http://x:1']\n", "\"http://x:1\" is not a valid hostname"),
    ] {
        let error = resolved(global, job).expect_err(job);
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn an_empty_job_takes_the_defaults_back() {
    let c = read("job_name: a\nfallback_scrape_protocol: PrometheusText1.0.0\nparams:\n  m: [x, y]\nstatic_configs:\n- targets: [h:1]\n")
        .expect("a good job");
    assert_eq!(c.fallback_scrape_protocol, Some(ScrapeProtocol::PrometheusText100));
    assert_eq!(c.params["m"], ["x", "y"]);
    let back = read(&yaml::to_string(&c)).expect("what was written");
    assert_eq!(back, c);
}
