//! Discovery beside a real Prometheus: both ask the same fake servers, and what they discovered, label by label, must be equal.

mod kubernetes;
mod others;

use narthex_tests::{Kind, Server, wait_for};
use serde_json::Value;
use std::time::Duration;

/// Labels, by their start, that 3.14 has and 3.5 has not.
const NEWER: &[&str] = &[
    "__always_scrape_classic_histograms__",
    "__convert_classic_histograms_to_nhcb__",
    "__scrape_native_histograms__",
    "__meta_kubernetes_node_condition_",
];

/// Everything that a server discovered for its jobs: the labels before relabelling, sorted. Jobs drop all targets, so that none is scraped.
fn discovered(s: &Server) -> Vec<String> {
    let data = s.api("targets", &[])["data"].clone();
    let list = |name: &str| data[name].as_array().cloned().unwrap_or_default();
    let plain = |t: &Value| {
        let mut labels = t["discoveredLabels"].clone();
        if let Some(map) = labels.as_object_mut() {
            map.retain(|k, _| !NEWER.iter().any(|n| k.starts_with(n)));
        }
        labels.to_string()
    };
    let mut out: Vec<String> = list("droppedTargets").iter().chain(&list("activeTargets")).map(plain).collect();
    out.sort();
    out
}

/// `sd` is the inside of a job, indented by two. Waits until both have found the number of targets, then compares.
fn compare(what: &str, sd: &str, count: usize) {
    let config = |job: &str| {
        format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n- job_name: {job}\n{sd}  relabel_configs:\n  - {{source_labels: [__address__], regex: '.*', action: drop}}\n"
        )
    };
    let Some(mut theirs) = Server::new(Kind::Prometheus, "prometheus", &config("found"), &[]) else { return };
    let mut ours = Server::narthex("narthex", &config("found"), &[]);
    let (mut a, mut b) = (settled(ours.start(), count), settled(theirs.start(), count));
    // What either has found only in part so far is asked for again.
    for _ in 0..20 {
        if a == b {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
        (a, b) = (settled(&ours, count), settled(&theirs, count));
    }
    let lost: Vec<&String> = b.iter().filter(|l| !a.contains(l)).collect();
    let more: Vec<&String> = a.iter().filter(|l| !b.contains(l)).collect();
    assert!(lost.is_empty() && more.is_empty(), "{what}: theirs only:\n{}\nours only:\n{}", lines(&lost), lines(&more));
    assert_eq!(a.len(), count, "{what}");
}

/// As `compare`, where the real Prometheus at hand was built without the discovery: each target must have these labels.
fn found_alone(what: &str, sd: &str, wanted: &[&[(&str, &str)]]) {
    let config = format!(
        "global: {{scrape_interval: 1h}}\nscrape_configs:\n- job_name: found\n{sd}  relabel_configs:\n  - {{source_labels: [__address__], regex: '.*', action: drop}}\n"
    );
    let mut ours = Server::narthex("narthex", &config, &[]);
    let found = settled(ours.start(), wanted.len());
    assert_eq!(found.len(), wanted.len(), "{what}: {found:#?}");
    for want in wanted {
        let has = |l: &String| serde_json::from_str::<Value>(l).is_ok_and(|l| want.iter().all(|(n, v)| l[*n] == **v));
        assert!(found.iter().any(has), "{what}: none has {want:?} among {found:#?}");
    }
}

fn settled(s: &Server, count: usize) -> Vec<String> {
    let started = std::time::Instant::now();
    loop {
        let found = discovered(s);
        // After a while it is said what was found instead.
        if found.len() >= count || started.elapsed() > Duration::from_secs(40) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn lines(list: &[&String]) -> String {
    list.iter().map(|l| format!("  {l}\n")).collect()
}

/// Waits until a server has found targets of which one has a label with a value.
fn wait_for_label(s: &Server, name: &str, value: &str, there: bool) {
    wait_for(&format!("{name}={value} to be {there} among\n{}", discovered(s).join("\n")), Duration::from_secs(30), || {
        let found = discovered(s).iter().any(|l| serde_json::from_str::<Value>(l).is_ok_and(|l| l[name] == value));
        (found == there).then_some(())
    });
}
