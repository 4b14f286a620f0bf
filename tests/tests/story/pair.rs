//! pair: two leaves scrape the same targets; the central makes one series of them, and a kill -9 of one leaves no hole.

use crate::tools::{LARGEST_HOLE_MS, Points, RECEIVER, assert_rises, config, job, points, sleep, uplink, wait_for_points};
use narthex_tests::{CounterTarget, Server, vector};

fn leaf(name: &str, target: &CounterTarget, central: &Server) -> Server {
    let external = format!("class: \"6반\", __replica__: {name}");
    let text = config(&external, &[job("서버-1", &target.address, "grade: \"1학년\"")], &[uplink(central)]);
    let mut leaf = Server::narthex(name, &text, &[]);
    leaf.start();
    leaf
}

/// A hole is one only if a leaf that could have filled it had a sample there: a machine that stood still has none.
fn assert_no_hole(merged: &Points, leaves: &[&Points]) {
    for w in merged.windows(2) {
        if w[1].0 - w[0].0 <= LARGEST_HOLE_MS {
            continue;
        }
        let fills = |p: &&(i64, f64)| p.0 - w[0].0 >= LARGEST_HOLE_MS / 3 && w[1].0 - p.0 >= LARGEST_HOLE_MS / 3;
        let unused: Vec<_> = leaves.iter().flat_map(|l| l.iter().filter(fills)).collect();
        assert!(unused.is_empty(), "a hole between {:?} and {:?}, and leaves held {unused:?}", w[0], w[1]);
    }
}

#[test]
fn a_pair_is_one_series() {
    let target = CounterTarget::start(300);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let mut a = leaf("a", &target, &central);
    let mut b = leaf("b", &target, &central);
    wait_for_points(&central, "scrapes_total", 12);

    // One dies under load while the other goes on; then it comes back; then the other one dies.
    a.kill();
    sleep(8);
    a.expect_log(&["a lock file from a previous execution was replaced"]);
    a.start();
    sleep(8);
    b.kill();
    sleep(8);
    b.expect_log(&["a lock file from a previous execution was replaced"]);
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
