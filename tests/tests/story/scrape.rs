//! scrape: a real node_exporter arrives whole, with the labels of its target.

use crate::tools::{config, data, job, seconds};
use narthex_tests::{Server, get, node_exporter, vector, wait_for};
use std::collections::BTreeMap;

/// What Prometheus itself says about a scrape, beside the page.
const REPORTS: [&str; 5] =
    ["up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"];

#[test]
fn node_exporter_arrives_with_its_labels() {
    let Some(exporter) = node_exporter() else { return };
    let mut server = Server::narthex("server", &config("", &[job("서버-1", &exporter.address, "class: \"6반\", grade: \"1학년\"")], &[]), &[]);
    server.start();

    let target = wait_for("the target to be up", seconds(20), || {
        let answer = server.api("targets", &[]);
        data(&answer)["activeTargets"].as_array().expect("a list").iter().find(|t| t["health"] == "up").cloned()
    });
    assert_eq!(target["labels"], serde_json::json!({"class": "6반", "grade": "1학년", "instance": exporter.address, "job": "서버-1"}));
    assert_eq!(target["scrapePool"], "서버-1");
    assert_eq!(target["scrapeUrl"], format!("http://{}/metrics", exporter.address));
    assert_eq!(target["lastError"], "");
    assert_eq!(target["scrapeInterval"], "1s");

    // Series of the page by the name of their metric.
    let page = get(&format!("http://{}/metrics", exporter.address)).expect("answers").text();
    let mut of_page: BTreeMap<String, f64> = BTreeMap::new();
    for line in page.lines().filter(|l| !l.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        *of_page.entry(name.to_string()).or_default() += 1.0;
    }
    assert!(of_page.len() > 100, "a page of node_exporter has more than {} names", of_page.len());
    let stored = wait_for("all series of the page", seconds(20), || {
        let answer = server.query(r#"count by (__name__) ({job="서버-1",class="6반",grade="1학년"})"#);
        let by_name: BTreeMap<String, f64> =
            vector(&answer).into_iter().map(|(l, n)| (l["__name__"].as_str().expect("a name").to_string(), n)).collect();
        Some(by_name).filter(|b| b.len() >= of_page.len() + REPORTS.len())
    });
    let mut expected = of_page;
    expected.extend(REPORTS.map(|r| (r.to_string(), 1.0)));
    assert_eq!(stored, expected);
    assert_eq!(server.value(r#"up{job="서버-1"}"#), Some(1.0));

    // A value that does not move, labels that the page itself has, and what is known about the metric.
    let boot = page.lines().find_map(|l| l.strip_prefix("node_boot_time_seconds ")).expect("on the page");
    assert_eq!(server.value("node_boot_time_seconds"), Some(boot.parse().expect("a number")));
    let kernel = vector(&server.query("node_uname_info"));
    assert_eq!((kernel[0].0["sysname"].as_str(), kernel[0].0["class"].as_str()), (Some("Linux"), Some("6반")));
    let answer = server.api("metadata", &[("metric", "node_cpu_seconds_total")]);
    assert_eq!(data(&answer)["node_cpu_seconds_total"][0]["type"], "counter");
    server.stop();
}
