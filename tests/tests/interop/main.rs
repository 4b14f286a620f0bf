//! Narthex and its peers in one tree, in both directions, with everything that remote write carries: floats, native histograms, exemplars, metadata, staleness markers;
//! versions 1.0 and 2.0; snappy and zstd.

#![allow(clippy::disallowed_methods, reason = "tests live in real time")]

#[path = "../story/tools.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod tools;
#[path = "../story/wire.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod wire;

mod hardened;
mod keys;
mod ledger;
mod page;
mod recorder;

use narthex_tests::{CounterTarget, Kind, Server, get, vector, wait_for};
use page::PageTarget;
use tools::{Points, RECEIVER, assert_every_scrape, config, own_metric, seconds, uplink_with};

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";
const EXEMPLARS: &str = "--enable-feature=exemplar-storage";
const METADATA: &str = "--enable-feature=metadata-wal-records";
/// Prometheus 3.5 takes them only when told so.
const HISTOGRAMS: &str = "--enable-feature=native-histograms";

/// What the target shows: a counter with an exemplar, and a histogram.
const PAGE: &str = "# HELP jobs Jobs done.\n# TYPE jobs counter\njobs_total 17 # {trace_id=\"xyz\"} 1.0\n\
# HELP req_seconds Time of requests.\n# TYPE req_seconds histogram\n# UNIT req_seconds seconds\n\
req_seconds_bucket{le=\"0.1\"} 3 # {trace_id=\"abc\"} 0.05\nreq_seconds_bucket{le=\"1.0\"} 5\nreq_seconds_bucket{le=\"+Inf\"} 6\n\
req_seconds_count 6\nreq_seconds_sum 7.5\n# EOF\n";

fn leaf_config(target: &str, central: &Server, message: &str) -> String {
    let job = |name: &str, more: &str| {
        format!("- job_name: {name}\n  scrape_protocols: [OpenMetricsText1.0.0]\n{more}  static_configs:\n  - targets: ['{target}']\n")
    };
    let jobs = [job("plain", ""), job("native", "  convert_classic_histograms_to_nhcb: true\n")];
    let uplink = uplink_with(central, &format!("  protobuf_message: {message}\n  send_exemplars: true\n  send_native_histograms: true\n"));
    config("class: \"6반\"", &jobs, &[uplink])
}

fn value(server: &Server, query: &str, what: f64) {
    wait_for(&format!("{query} to be {what} at {}", server.name), seconds(40), || server.value(query).filter(|v| *v == what));
}

fn exemplar_ids(server: &Server, query: &str) -> Vec<String> {
    let a = server.api("query_exemplars", &[("query", query), ("start", "0"), ("end", "9999999999")]);
    let all = a["data"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<String> = all
        .iter()
        .flat_map(|s| s["exemplars"].as_array().cloned().unwrap_or_default())
        .map(|e| e["labels"]["trace_id"].as_str().unwrap_or("").to_string())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Everything of a page arrives, and its end too.
fn everything_arrives(leaf: Kind, central: Kind, message: &str) {
    let mut target = PageTarget::start("application/openmetrics-text; version=1.0.0; charset=utf-8", PAGE);
    let accepted = format!("--web.remote-write-receiver.accepted-protobuf-messages={message}");
    let Some(mut central) = Server::new(central, "central", &config("", &[], &[]), &[RECEIVER, &accepted, EXEMPLARS, HISTOGRAMS]) else { return };
    central.start();
    let Some(mut leaf) = Server::new(leaf, "leaf", &leaf_config(&target.address, &central, message), &[EXEMPLARS, METADATA, HISTOGRAMS]) else {
        return;
    };
    leaf.start();

    value(&central, "jobs_total{job=\"plain\",class=\"6반\"}", 17.0);
    value(&central, "req_seconds_bucket{job=\"plain\",le=\"0.1\"}", 3.0);
    if leaf.kind == Kind::Prometheus && message == V1 {
        // In version 1.0 it sends histograms with custom buckets without their bounds, which nobody can read.
        central.expect_log(&["histogram has too few custom bounds"]);
    } else {
        value(&central, "histogram_count(req_seconds{job=\"native\"})", 6.0);
        value(&central, "histogram_sum(req_seconds{job=\"native\"})", 7.5);
        value(&central, "histogram_quantile(0.5, req_seconds{job=\"native\"})", 0.1);
    }
    wait_for("exemplars at the central", seconds(20), || (exemplar_ids(&central, "jobs_total{job=\"plain\"}") == ["xyz"]).then_some(()));
    assert_eq!(exemplar_ids(&central, "{job=\"plain\"}"), ["abc", "xyz"]);
    if message == V2 && central.kind == Kind::Narthex {
        // Only `up` and its like come without metadata: ten of the seventeen floats of a round.
        let without = own_metric(&central, "prometheus_api_remote_write_without_metadata_appended_samples_total");
        let all = own_metric(&central, "narthex_receive_samples_total");
        assert!(without < all * 0.8, "{without} of {all} samples came without metadata");
    }

    // The target is gone: its series end at once, not after five minutes.
    target.stop();
    wait_for("the series to end at the central", seconds(30), || vector(&central.query("jobs_total or req_seconds")).is_empty().then_some(()));
    value(&central, "up{job=\"plain\"}", 0.0);
    leaf.stop();
    central.stop();
}

#[test]
fn prometheus_sends_all_in_version_1() {
    everything_arrives(Kind::Prometheus, Kind::Narthex, V1);
}

#[test]
fn prometheus_sends_all_in_version_2() {
    everything_arrives(Kind::Prometheus, Kind::Narthex, V2);
}

#[test]
fn prometheus_takes_all_in_version_1() {
    everything_arrives(Kind::Narthex, Kind::Prometheus, V1);
}

#[test]
fn prometheus_takes_all_in_version_2() {
    everything_arrives(Kind::Narthex, Kind::Prometheus, V2);
}

#[test]
fn narthex_among_itself_in_both_versions() {
    everything_arrives(Kind::Narthex, Kind::Narthex, V1);
    everything_arrives(Kind::Narthex, Kind::Narthex, V2);
}

/// Points of the counter at a server that may be VictoriaMetrics, which shows what is in its memory only when asked to.
fn counter(server: &Server) -> Points {
    if server.kind == Kind::VictoriaMetrics {
        let _ = get(&format!("{}/internal/force_flush", server.url()));
    }
    let mut all: Points = server.samples("scrapes_total", 300).into_iter().flat_map(|s| s.1).collect();
    all.sort_by_key(|p| p.0);
    all
}

fn scrapes_arrive(leaf: &mut Server, central: &mut Server, target: CounterTarget) {
    leaf.start();
    let there =
        wait_for(&format!("ten scrapes of {} at {}", leaf.name, central.name), seconds(60), || Some(counter(central)).filter(|p| p.len() >= 10));
    assert_every_scrape(&there);
    // The series is not on the page any more: it ends at once.
    target.talk_nonsense(true);
    if central.kind == Kind::Narthex {
        wait_for("the series to end", seconds(30), || vector(&central.query("scrapes_total")).is_empty().then_some(()));
    }
    leaf.stop();
    central.stop();
}

/// vmagent speaks its own dialect with zstd first, or Prometheus' with snappy when told to.
fn vmagent_sends(flag: &str) {
    let target = CounterTarget::start(30);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let text = config("site: \"x\"", &[tools::job("node", &target.address, "")], &[]).replace("  evaluation_interval: 1s\n", "");
    let to = format!("-remoteWrite.url={}/api/v1/write", central.url());
    let Some(mut leaf) = Server::new(Kind::Vmagent, "vmagent", &text, &[&to, flag]) else { return };
    scrapes_arrive(&mut leaf, &mut central, target);
}

#[test]
fn vmagent_sends_zstd() {
    vmagent_sends("-remoteWrite.forceVMProto=true");
}

#[test]
fn vmagent_sends_snappy() {
    vmagent_sends("-remoteWrite.forcePromProto=true");
}

#[test]
fn victoria_metrics_takes_what_we_send() {
    let target = CounterTarget::start(30);
    let Some(mut central) = Server::new(Kind::VictoriaMetrics, "victoria-metrics", "", &["-search.latencyOffset=0s"]) else { return };
    central.start();
    let text = config("site: \"x\"", &[tools::job("node", &target.address, "")], &[tools::uplink(&central)]);
    let mut leaf = Server::narthex("leaf", &text, &[]);
    scrapes_arrive(&mut leaf, &mut central, target);
}
