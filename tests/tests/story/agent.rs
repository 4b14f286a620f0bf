//! agent: a forward-only leaf, asked what a Prometheus agent is asked, and killed.

use crate::tools::{RECEIVER, assert_rises, config, job, own_metric, points, seconds, uplink, wait_for_points};
use narthex_tests::{CounterTarget, Kind, Server, request, wait_for};

fn agent(kind: Kind, target: &CounterTarget, central: &Server, flag: &str) -> Option<Server> {
    let text = config("class: \"6반\"", &[job("서버-1", &target.address, "")], &[uplink(central)]);
    let mut leaf = Server::new(kind, "leaf", &text, &[flag])?;
    leaf.expect_log(&["failed to send batch, retrying", "a lock file from a previous execution was replaced"]);
    leaf.start();
    Some(leaf)
}

/// What a server that stores nothing says to each question.
#[test]
fn it_answers_as_a_prometheus_agent_does() {
    let target = CounterTarget::start(5);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let mut ours = agent(Kind::Narthex, &target, &central, "--agent").expect("our own binary");
    wait_for_points(&central, "scrapes_total", 3);
    let Some(mut theirs) = agent(Kind::Prometheus, &target, &central, "--agent") else { return };
    wait_for("its target to be up", seconds(20), || (theirs.api("targets", &[])["data"]["activeTargets"][0]["health"] == "up").then_some(()));
    let ask = |s: &Server, method: &str, path: &str| {
        let a = request(method, &format!("{}{path}", s.url()), &[], b"").expect("answers");
        let said = if a.status == 200 { String::new() } else { a.text() };
        (a.status, said)
    };
    for (method, path) in [
        ("GET", "/api/v1/query?query=up"),
        ("POST", "/api/v1/query"),
        ("GET", "/api/v1/query_range?query=up&start=1&end=2&step=1"),
        ("GET", "/api/v1/query_exemplars?query=up&start=1&end=2"),
        ("GET", "/api/v1/labels"),
        ("GET", "/api/v1/label/job/values"),
        ("GET", "/api/v1/series?match[]=up"),
        ("GET", "/api/v1/rules"),
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/alertmanagers"),
        ("GET", "/api/v1/status/tsdb"),
        ("POST", "/api/v1/admin/tsdb/snapshot"),
        ("GET", "/api/v1/targets"),
        ("GET", "/api/v1/metadata"),
        ("GET", "/api/v1/status/config"),
        ("GET", "/api/v1/status/flags"),
        ("GET", "/api/v1/status/runtimeinfo"),
        ("GET", "/-/healthy"),
        ("GET", "/-/ready"),
    ] {
        assert_eq!(ask(&ours, method, path), ask(&theirs, method, path), "{method} {path}");
    }
    assert_eq!(own_metric(&ours, "prometheus_agent_active_series"), 1.0 + 5.0 + 5.0);
    assert!(!ours.data().join("chunks_head").exists() && ours.data().join("wal").exists());
    theirs.stop();
    ours.stop();
    // Either goes on with what the other left.
    let mut theirs = theirs;
    std::fs::remove_dir_all(theirs.data()).expect("removes");
    std::fs::rename(ours.data(), theirs.data()).expect("moves");
    theirs.start();
    assert_eq!(own_metric(&theirs, "prometheus_agent_active_series"), 1.0 + 5.0 + 5.0);
    theirs.stop();
    central.stop();
}

#[test]
fn a_killed_one_goes_on_where_its_parent_has_acknowledged() {
    let target = CounterTarget::start(5);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let mut leaf = agent(Kind::Narthex, &target, &central, "--enable-feature=agent").expect("our own binary");
    wait_for_points(&central, "scrapes_total", 4);
    central.stop();
    crate::tools::sleep(4);
    leaf.kill();
    leaf.start();
    crate::tools::sleep(3);
    central.start();
    let counter = wait_for("all scrapes at the central", seconds(40), || {
        let p = points(&central, "scrapes_total");
        let newest = p.last().map_or(0.0, |p| p.1);
        // The kill may cost the scrape that was under way.
        (newest >= 12.0 && newest - p[0].1 + 1.0 - p.len() as f64 <= 1.0).then_some(p)
    });
    assert_rises(&counter);
    leaf.stop();
    central.stop();
}
