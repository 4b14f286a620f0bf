//! Rows with a leaf and a central.

use crate::system::{Outcome, System, Two, counter, judge};
use crate::tools::sleep;
use narthex_tests::{CounterTarget, Disk};
use std::time::{Duration, Instant};

/// How long a system may take until it is up to date and complete.
const SETTLE: u64 = 40;

/// The central stops for so many seconds.
pub fn central_down(system: &System, down: u64) -> Option<Outcome> {
    let mut two = Two::start(system, 20, &[])?;
    two.central.stop();
    sleep(down);
    two.central.start();
    Some(two.judge(system, SETTLE))
}

/// The leaf is killed and started again at once, so many times.
pub fn leaf_killed(system: &System, times: u64) -> Option<Outcome> {
    let mut two = Two::start(system, 20, &[])?;
    for _ in 0..times {
        two.leaf.kill();
        two.leaf.start();
        sleep(4);
    }
    Some(two.judge(system, SETTLE))
}

/// The leaf's machine loses its power and comes back, so many times: what was not synced of its log is gone, and its cursor may lie behind the end of what is left.
pub fn leaf_loses_power(system: &System, times: u64) -> Option<Outcome> {
    let target = CounterTarget::start(20);
    let mut central = system.central()?;
    let mut leaf = system.leaf("leaf", "site: \"x\"", &target.address, &central.url(), &[])?;
    let mut disk = Disk::under(&leaf, 256)?;
    central.start();
    leaf.start();
    let began = Instant::now();
    let arrive = |what: &str, n: usize| {
        narthex_tests::wait_for(what, Duration::from_secs(60), || Some(()).filter(|()| counter(&central, 300).len() >= n));
    };
    arrive("the first samples at the central", 5);
    for _ in 0..times {
        disk.cut_power(&mut leaf);
        leaf.start();
        arrive("samples after the power cut", counter(&central, 300).len() + 4);
    }
    let o = judge(system, &leaf, &central, began, Duration::from_secs(SETTLE));
    leaf.kill();
    Some(o)
}

/// The central is killed; `pre` seconds later the leaf is killed and started again; `post` seconds later the central comes back.
pub fn leaf_killed_while_central_down(system: &System, pre: u64, post: u64) -> Option<Outcome> {
    let mut two = Two::start(system, 20, &[])?;
    two.central.kill();
    sleep(pre);
    two.leaf.kill();
    two.leaf.start();
    sleep(post);
    two.central.start();
    Some(two.judge(system, SETTLE))
}

/// The central is away for longer than the leaf keeps its log. Compressed: the head is cut into blocks of 20 s instead of 2 h, so that the log is cut every 10 to 30 s, and
/// Narthex keeps nothing of it for its uplink beyond 5 s.
pub fn cut_longer_than_the_log(system: &System, cut: u64) -> Option<Outcome> {
    let blocks = ["--storage.tsdb.min-block-duration=20s", "--storage.tsdb.max-block-duration=20s"];
    let args: Vec<&str> = match system.name {
        "Narthex" => blocks.into_iter().chain(["--storage.remote.log-budget-time=5s"]).collect(),
        "Prometheus" => blocks.to_vec(),
        _ => Vec::new(),
    };
    // More than the queues in memory can hold.
    let mut two = Two::start(system, 300, &args)?;
    two.central.stop();
    sleep(cut);
    two.central.start();
    let mut o = two.judge(system, SETTLE + 20);
    if system.name == "Narthex" {
        let log = two.leaf.log();
        assert!(log.contains("log is over its budget"), "the log was not cut, so that nothing was tried:\n{log}");
        o.note = "read back from blocks".to_string();
    }
    Some(o)
}
