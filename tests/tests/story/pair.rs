//! pair: two leaves scrape the same targets; the central makes one series of them, and a kill -9 of one leaves no hole.

use crate::tools::{LARGEST_HOLE_MS, Points, RECEIVER, SMALLEST_STEP_MS, assert_rises, config, job, points, seconds, sleep, uplink, wait_for_points};
use narthex_tests::{CounterTarget, Kind, Server, now, vector, wait_for};

const REPLACED: &str = "a lock file from a previous execution was replaced";

fn leaf(kind: Kind, name: &str, target: &CounterTarget, central: &Server) -> Option<Server> {
    let external = format!("class: \"6반\", __replica__: {name}");
    let text = config(&external, &[job("서버-1", &target.address, "grade: \"1학년\"")], &[uplink(central)]);
    let mut leaf = Server::new(kind, name, &text, &[])?;
    leaf.start();
    Some(leaf)
}

/// Holes of more than one and a half intervals in which a leaf has a sample. Where none has one, the machine stood still.
fn holes(merged: &Points, leaves: &[&Points]) -> Vec<String> {
    let mut out = Vec::new();
    for w in merged.windows(2).filter(|w| w[1].0 - w[0].0 > LARGEST_HOLE_MS) {
        let unused: Vec<_> = leaves.iter().flat_map(|l| l.iter().filter(|p| p.0 > w[0].0 && p.0 < w[1].0)).collect();
        if !unused.is_empty() {
            out.push(format!("a hole between {:?} and {:?}, and leaves held {unused:?}", w[0], w[1]));
        }
    }
    out
}

fn assert_no_hole(merged: &Points, leaves: &[&Points]) {
    let found = holes(merged, leaves);
    assert!(found.is_empty(), "{}\nin {merged:?}", found.join("\n"));
}

#[test]
fn a_pair_is_one_series() {
    pair_of(Kind::Narthex);
}

#[test]
fn a_pair_of_prometheus_is_one_series() {
    pair_of(Kind::Prometheus);
}

fn pair_of(kind: Kind) {
    let target = CounterTarget::start(300);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let Some(mut a) = leaf(kind, "a", &target, &central) else { return };
    let Some(mut b) = leaf(kind, "b", &target, &central) else { return };
    wait_for_points(&central, "scrapes_total", 12);

    // One dies under load while the other goes on; then it comes back; then the other one dies.
    a.kill();
    sleep(8);
    a.expect_log(&[REPLACED]);
    a.start();
    sleep(8);
    b.kill();
    sleep(8);
    b.expect_log(&[REPLACED]);
    b.start();
    sleep(6);

    let merged = points(&central, "scrapes_total");
    let held: Vec<Points> = [&a, &b].iter().map(|l| points(l, "scrapes_total")).collect();
    assert_rises(&merged);
    assert_no_hole(&merged, &[&held[0], &held[1]]);
    // Nothing at either end is missing, and no sample is anyone's but a leaf's.
    let first = held.iter().filter_map(|h| h.first()).map(|p| p.0).min().expect("samples");
    assert!(merged[0].0 - first <= LARGEST_HOLE_MS, "begins {} ms late", merged[0].0 - first);
    let last = held.iter().filter_map(|h| h.last()).map(|p| p.0).max().expect("samples");
    assert!(last - merged.last().expect("samples").0 <= 3 * LARGEST_HOLE_MS, "ends {} ms early", last - merged.last().expect("samples").0);
    let foreign: Vec<_> = merged.iter().filter(|p| !held.iter().any(|h| h.contains(p))).collect();
    assert!(foreign.is_empty(), "nobody scraped {foreign:?}");

    // One series, without the label; the others beside it have the same points in time.
    let found = vector(&central.query(r#"{job="서버-1",grade="1학년",class="6반"}"#));
    assert_eq!(found.len(), 1 + 300 + 5);
    assert!(found.iter().all(|(l, _)| l.get("__replica__").is_none()));
    assert_eq!(vector(&central.query(r#"{__replica__!=""}"#)).len(), 0);
    for beside in [r#"series_value{i="7"}"#, r#"series_value{i="299"}"#, "up"] {
        let other = points(&central, beside);
        assert_no_hole(&other, &[&held[0], &held[1]]);
        assert!(other.windows(2).all(|w| w[1].0 - w[0].0 >= 500), "{beside}: two samples in one interval: {other:?}");
    }
    // `up` never falls: one replica always saw the target.
    assert!(points(&central, "up").iter().all(|p| p.1 == 1.0));
    a.stop();
    b.stop();
    central.stop();
}

/// Both failures at once: while nobody receives, one of the pair dies, then the other. What comes late, and twice, is merged as if it had come in time.
#[test]
fn a_pair_behind_a_cut() {
    let target = CounterTarget::start(50);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.expect_log(&[REPLACED]);
    central.start();
    let mut a = leaf(Kind::Narthex, "a", &target, &central).expect("our own binary");
    let mut b = leaf(Kind::Narthex, "b", &target, &central).expect("our own binary");
    for l in [&mut a, &mut b] {
        l.expect_log(&["failed to send batch, retrying", REPLACED]);
    }
    wait_for_points(&central, "scrapes_total", 6);
    central.kill();
    sleep(4);
    a.kill();
    sleep(5);
    a.start();
    sleep(5);
    b.kill();
    sleep(5);
    b.start();
    sleep(3);
    central.start();

    let until = (now() * 1000.0) as i64;
    let held: Vec<Points> = [&a, &b].iter().map(|l| points(l, "scrapes_total")).collect();
    for series in ["scrapes_total", r#"series_value{i="33"}"#, "up"] {
        let merged = wait_for("all of the time of the cut", seconds(40), || {
            let merged = points(&central, series);
            (merged.last().is_some_and(|p| p.0 >= until) && holes(&merged, &[&held[0], &held[1]]).is_empty()).then_some(merged)
        });
        assert!(merged.windows(2).all(|w| w[1].0 - w[0].0 >= SMALLEST_STEP_MS), "{series}: two samples in one interval: {merged:?}");
    }
    assert_rises(&points(&central, "scrapes_total"));
    a.stop();
    b.stop();
    central.stop();
}

/// As the prometheus-operator names them: one release with two replicas, and two releases of a Helm chart that differ in two labels. One of each is killed.
#[test]
fn replicas_of_the_operator_and_of_two_releases() {
    let replica = "--storage.ha.replica-label=prometheus_replica";
    let cases = [
        (
            Kind::Narthex,
            vec![replica],
            ["prometheus: mon/k8s, prometheus_replica: prometheus-k8s-0", "prometheus: mon/k8s, prometheus_replica: prometheus-k8s-1"],
        ),
        (
            Kind::Prometheus,
            vec![replica, "--storage.ha.replica-label=prometheus"],
            ["prometheus: mon/blue, prometheus_replica: prometheus-blue-0", "prometheus: mon/green, prometheus_replica: prometheus-green-0"],
        ),
    ];
    for (kind, flags, externals) in cases {
        let target = CounterTarget::start(20);
        let mut central = Server::narthex("central", &config("", &[], &[]), &[&[RECEIVER], &flags[..]].concat());
        central.start();
        let mut leaves = Vec::new();
        for external in externals {
            let text = config(&format!("cluster: \"하나\", {external}"), &[job("서버-1", &target.address, "")], &[uplink(&central)]);
            let Some(mut leaf) = Server::new(kind, external, &text, &[]) else { return };
            leaf.start();
            leaves.push(leaf);
        }
        wait_for_points(&central, "scrapes_total", 6);
        leaves[0].kill();
        sleep(4);
        let held = points(&leaves[1], "scrapes_total");
        let merged = points(&central, "scrapes_total");
        assert_rises(&merged);
        assert_no_hole(&merged, &[&held]);
        let newest = merged.last().expect("samples").0;
        assert!(held.last().expect("samples").0 - newest <= 3 * LARGEST_HOLE_MS, "the other one has taken over");
        // What tells them apart is gone, and nothing else is.
        let found = vector(&central.query("{job=\"서버-1\"}"));
        assert_eq!(found.len(), 1 + 20 + 5);
        assert!(found.iter().all(|(l, _)| l["cluster"] == "하나" && l.get("prometheus_replica").is_none()), "{found:?}");
        let stays = if flags.len() == 1 { Some("mon/k8s") } else { None };
        assert!(found.iter().all(|(l, _)| l.get("prometheus").and_then(|p| p.as_str()) == stays), "{found:?}");
        leaves[1].stop();
        central.stop();
    }
}
