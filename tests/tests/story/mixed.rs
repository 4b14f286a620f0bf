//! mixed: Narthex and a real Prometheus in one tree, in both directions, by remote write 1.0 and 2.0.

use crate::tools::{RECEIVER, assert_all_arrives, assert_every_scrape, config, job, own_metric, points, uplink_with, wait_for_points};
use narthex_tests::{CounterTarget, Kind, Server};
use serde_json::json;

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// Both ends of a tree of two, after some traffic; the counter's every scrape is at the central.
fn pushes(leaf: Kind, central: Kind, message: &str) -> Option<Server> {
    let target = CounterTarget::start(50);
    let accepted = format!("--web.remote-write-receiver.accepted-protobuf-messages={message}");
    let mut central = Server::new(central, "central", &config("", &[], &[]), &[RECEIVER, &accepted])?;
    central.start();
    let jobs = [job("서버-1", &target.address, "grade: \"1학년\"")];
    let text = config("class: \"6반\"", &jobs, &[uplink_with(&central, &format!("  protobuf_message: {message}\n"))]);
    let mut leaf = Server::new(leaf, "leaf", &text, &[])?;
    leaf.start();
    wait_for_points(&central, "scrapes_total", 10);
    let there = assert_all_arrives(&leaf, &central, r#"{job="서버-1"}"#, &json!({"class": "6반"}));
    assert_eq!(there.len(), 1 + 50 + 5);
    assert_every_scrape(&points(&central, "scrapes_total"));
    leaf.stop();
    Some(central)
}

/// Requests that a Narthex central answered with success, by the version that they spoke.
fn spoken(central: &Server, version: &str) -> f64 {
    ["200", "204"].iter().map(|code| own_metric(central, &format!("narthex_receive_requests_total{{version=\"{version}\",code=\"{code}\"}}"))).sum()
}

#[test]
fn prometheus_pushes_version_1() {
    let Some(mut central) = pushes(Kind::Prometheus, Kind::Narthex, V1) else { return };
    assert!(spoken(&central, "0.1.0") > 0.0);
    assert_eq!(spoken(&central, "2.0.0"), 0.0);
    central.stop();
}

#[test]
fn prometheus_pushes_version_2() {
    let Some(mut central) = pushes(Kind::Prometheus, Kind::Narthex, V2) else { return };
    assert!(spoken(&central, "2.0.0") > 0.0);
    central.stop();
}

// A Prometheus that takes only one version shows which one was spoken.

#[test]
fn prometheus_receives_version_1() {
    pushes(Kind::Narthex, Kind::Prometheus, V1);
}

#[test]
fn prometheus_receives_version_2() {
    pushes(Kind::Narthex, Kind::Prometheus, V2);
}
