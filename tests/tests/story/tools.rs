//! Configurations in the words of Prometheus' users, and what the rows ask about samples.

use narthex_tests::{Server, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Scrapes are a second apart in all of the story.
pub const INTERVAL_MS: i64 = 1000;
/// The merge keeps samples of different replicas half an interval apart, and 0.45 of one where that closes a hole.
pub const SMALLEST_STEP_MS: i64 = INTERVAL_MS * 45 / 100;
/// Half an interval more is what a hand-over may cost.
pub const LARGEST_HOLE_MS: i64 = 1500 + JITTER_MS;
/// How late a scrape may start on a machine that has other things to do.
const JITTER_MS: i64 = 25;

pub const RECEIVER: &str = "--web.enable-remote-write-receiver";

pub fn sleep(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A whole file. `external` is the inside of a YAML map.
pub fn config(external: &str, jobs: &[String], uplinks: &[String]) -> String {
    let mut c = format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  evaluation_interval: 1s\n  external_labels: {{{external}}}\n");
    if !jobs.is_empty() {
        c.push_str("scrape_configs:\n");
        c.push_str(&jobs.concat());
    }
    if !uplinks.is_empty() {
        c.push_str("remote_write:\n");
        c.push_str(&uplinks.concat());
    }
    c
}

/// One job with one static target. `labels` is the inside of a YAML map.
pub fn job(name: &str, target: &str, labels: &str) -> String {
    format!("- job_name: \"{name}\"\n  static_configs:\n  - targets: ['{target}']\n    labels: {{{labels}}}\n")
}

pub fn write_url(parent: &Server) -> String {
    format!("{}/api/v1/write", parent.url())
}

pub fn uplink(parent: &Server) -> String {
    uplink_with(parent, "")
}

/// `more` are further lines, indented by two.
pub fn uplink_with(parent: &Server, more: &str) -> String {
    format!("- url: {}\n  queue_config: {{batch_send_deadline: 200ms, max_backoff: 1s}}\n{more}", write_url(parent))
}

pub type Points = Vec<(i64, f64)>;

/// The points of the only series that a selector gives; empty when there is none.
pub fn points(server: &Server, selector: &str) -> Points {
    let mut all = server.samples(selector, 600);
    assert!(all.len() <= 1, "{}: {selector} gives {} series: {:?}", server.name, all.len(), all.iter().map(|s| &s.0).collect::<Vec<_>>());
    all.pop().map(|s| s.1).unwrap_or_default()
}

/// Everything that a selector gives by its labels, with `added` labels put in where the series has none of that name.
pub fn series(server: &Server, selector: &str, added: &Value) -> BTreeMap<String, Points> {
    let all = server.samples(selector, 600);
    all.into_iter()
        .map(|(mut labels, points)| {
            for (name, value) in added.as_object().expect("a map of labels") {
                let map = labels.as_object_mut().expect("labels");
                map.entry(name.clone()).or_insert_with(|| value.clone());
            }
            (labels.to_string(), points)
        })
        .collect()
}

/// What of `held` is missing in `there`, as text; empty when nothing is.
pub fn missing(held: &BTreeMap<String, Points>, there: &BTreeMap<String, Points>) -> Vec<String> {
    let mut out = Vec::new();
    for (labels, points) in held {
        let found = there.get(labels).map(Vec::as_slice).unwrap_or_default();
        let lost: Vec<_> = points.iter().filter(|p| !found.iter().any(|f| f.0 == p.0 && (f.1 == p.1 || f.1.is_nan() && p.1.is_nan()))).collect();
        if !lost.is_empty() {
            out.push(format!("{labels}: {} of {} missing: {:?}", lost.len(), points.len(), &lost[..lost.len().min(8)]));
        }
    }
    out
}

/// Waits until everything that the leaf holds now is at the parent as well; nothing else may be there.
/// `added` are the labels that the way up adds.
pub fn assert_all_arrives(leaf: &Server, parent: &Server, selector: &str, added: &Value) -> BTreeMap<String, Points> {
    let held = series(leaf, selector, added);
    assert!(!held.is_empty(), "{} holds nothing of {selector}", leaf.name);
    let end = std::time::Instant::now() + seconds(30);
    loop {
        let there = series(parent, selector, &json!({}));
        let lost = missing(&held, &there);
        if lost.is_empty() {
            let now_held = series(leaf, selector, added);
            let invented = missing(&there, &now_held);
            assert!(invented.is_empty(), "{} has what {} never stored:\n{}", parent.name, leaf.name, invented.join("\n"));
            return there;
        }
        let shown = lost.len().min(5);
        assert!(
            std::time::Instant::now() < end,
            "{} lacks samples of {} ({} series with holes of {}):\n{}",
            parent.name,
            leaf.name,
            lost.len(),
            held.len(),
            lost[..shown].join("\n")
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A counter seen once per interval: it only rises, and no two points lie in one interval.
pub fn assert_rises(points: &Points) {
    for w in points.windows(2) {
        assert!(w[1].1 > w[0].1, "the counter steps from {:?} to {:?} in {points:?}", w[0], w[1]);
        assert!(w[1].0 - w[0].0 >= SMALLEST_STEP_MS, "two samples in one interval: {:?} and {:?} in {points:?}", w[0], w[1]);
    }
}

/// Each scrape once: the values are the whole numbers in a row.
pub fn assert_every_scrape(points: &Points) {
    for w in points.windows(2) {
        assert!(w[1].1 == w[0].1 + 1.0, "scrapes are lost or doubled between {:?} and {:?} in {points:?}", w[0], w[1]);
    }
}

pub fn wait_for_points(server: &Server, selector: &str, at_least: usize) -> Points {
    let what = format!("{at_least} samples of {selector} at {}", server.name);
    wait_for(&what, seconds(40), || Some(points(server, selector)).filter(|p| p.len() >= at_least))
}

/// `data` of an answer that must be a success.
pub fn data(answer: &Value) -> &Value {
    assert_eq!(answer["status"], "success", "{answer}");
    &answer["data"]
}

/// The answer to an instant query with its series in order of their labels.
pub fn sorted(mut answer: Value) -> Value {
    if let Some(list) = answer["data"]["result"].as_array_mut() {
        list.sort_by_key(|s| s["metric"].to_string());
    }
    answer
}

/// Series of a server's own /metrics by their text, as `name{labels} value`.
pub fn own_metric(server: &Server, line_start: &str) -> f64 {
    let page = narthex_tests::get(&format!("{}/metrics", server.url())).expect("answers").text();
    let found = page.lines().filter(|l| l.starts_with(line_start)).filter_map(|l| l.rsplit_once(' '));
    found.map(|(_, v)| v.parse::<f64>().expect("a number")).sum()
}
