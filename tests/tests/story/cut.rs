//! cut: the central is away, and the leaf dies and comes back meanwhile. Afterwards everything that the leaf stored is at the central.
//!
//! The outage of the story lasts 60 s; here it is shorter unless `NARTHEX_LONG` is set.

use crate::tools::{RECEIVER, assert_all_arrives, assert_rises, config, job, missing, points, seconds, series, sleep, uplink, wait_for_points};
use narthex_tests::{CounterTarget, Server, vector, wait_for};
use serde_json::json;

#[test]
fn a_leaf_dies_while_the_central_is_away() {
    let outage = if std::env::var_os("NARTHEX_LONG").is_some() { 60 } else { 24 };
    let target = CounterTarget::start(50);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let text = config("class: \"6반\"", &[job("서버-1", &target.address, "grade: \"1학년\"")], &[uplink(&central)]);
    let mut leaf = Server::narthex("leaf", &text, &[]);
    leaf.expect_log(&["failed to send batch, retrying", "a lock file from a previous execution was replaced"]);
    leaf.start();
    wait_for_points(&central, "scrapes_total", 6);

    central.stop();
    sleep(outage / 2);
    let selector = r#"{job="서버-1"}"#;
    let before = series(&leaf, selector, &json!({}));
    leaf.kill();
    sleep(2);
    leaf.start();
    let lost = missing(&before, &series(&leaf, selector, &json!({})));
    assert!(lost.is_empty(), "the leaf itself lost what it had answered:\n{}", lost.join("\n"));
    sleep(outage / 2);
    central.start();

    // The newest first: the dashboards are live before the backlog is through. Then all of it.
    wait_for_points(&central, "scrapes_total", outage as usize);
    let there = assert_all_arrives(&leaf, &central, selector, &json!({"class": "6반"}));
    assert_eq!(there.len(), 1 + 50 + 5);
    let counter = points(&central, "scrapes_total");
    assert_rises(&counter);
    let distance = counter.last().expect("samples").1 - counter[0].1 + 1.0;
    assert!(distance - counter.len() as f64 <= 2.0, "of {distance} scrapes {} are stored: the kill may cost one under way", counter.len());
    // The hole that remains is the leaf's own: it was dead for two seconds. The central says so, and says no more.
    let gaps = central.api("gaps", &[("match[]", selector)]);
    let kinds: Vec<_> =
        gaps["data"]["targets"].as_array().expect("a list").iter().flat_map(|t| t["gaps"].as_array().cloned().unwrap_or_default()).collect();
    assert!(kinds.len() <= 1, "one hole at most: {gaps}");
    if !kinds.is_empty() {
        // A query that reads over the hole is told of it, one that does not is not.
        let infos = |query: &str| central.query(query)["infos"].as_array().cloned().unwrap_or_default();
        let told = wait_for("a query to be told of the hole", seconds(60), || Some(infos("increase(scrapes_total[10m])")).filter(|i| !i.is_empty()));
        let text = told[0].as_str().expect("text");
        assert!(text.starts_with("ledger: target {") && text.contains("job=\"서버-1\"") && text.contains(" lacks "), "{text}");
        assert!(infos("no_such_metric").is_empty() && infos("increase(scrapes_total{job=\"다른\"}[10m])").is_empty());
    }
    assert_eq!(vector(&central.query("count(scrapes_total)")).first().map(|v| v.1), Some(1.0));
    leaf.stop();
    central.stop();
}
