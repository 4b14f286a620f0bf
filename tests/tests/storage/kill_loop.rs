//! kill -9 again and again under load. `make kill KILLS=100` runs the long form.

use crate::load::{Load, WIDTH};
use crate::{RECEIVER, config, contents};
use narthex_tests::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Kills in the short form.
const KILLS: u64 = 6;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let kills = std::env::var("NARTHEX_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let mut server = Server::narthex("server", &config(None), &[RECEIVER]);
    server.expect_log(&["a lock file from a previous execution was replaced"]);
    let load = Load::start(&server.url(), 4);
    for n in 0..kills {
        server.start();
        // Not always at the same distance: some at once after the start, some while much is under way.
        std::thread::sleep(Duration::from_millis(20 + n * 7919 % 600));
        server.kill();
    }
    server.start();
    let before = load.acknowledged();
    narthex_tests::wait_for("the load to go on", Duration::from_secs(30), || (load.acknowledged() > before).then_some(()));
    let (sent, acknowledged) = load.stop();
    let there = contents::of(&server, "load", 5);
    // By sender: times and values of each series.
    let mut by_sender: BTreeMap<String, Vec<BTreeSet<(i64, String)>>> = BTreeMap::new();
    for (labels, samples) in there {
        let labels: serde_json::Value = serde_json::from_str(&labels).expect("labels");
        let set: BTreeSet<(i64, String)> = samples.iter().cloned().collect();
        assert_eq!(set.len(), samples.len(), "a sample is there twice");
        by_sender.entry(labels["w"].as_str().expect("a sender").to_string()).or_default().push(set);
    }
    let all_sent: BTreeSet<(usize, u64, i64)> = sent.iter().copied().collect();
    for (sender, series) in &by_sender {
        assert_eq!(series.len(), WIDTH);
        // A batch is there as a whole or not at all, also one that was never acknowledged.
        assert!(series.iter().all(|s| *s == series[0]), "batches of sender {sender} are torn");
        for (t, v) in &series[0] {
            let batch = (sender.parse().expect("a number"), v.parse().expect("a number"), *t);
            assert!(all_sent.contains(&batch), "{batch:?} was never sent");
        }
    }
    let lost: Vec<_> = acknowledged.iter().filter(|(w, n, t)| !by_sender[&w.to_string()][0].contains(&(*t, n.to_string()))).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged batches are gone after {kills} kills: {:?}",
        lost.len(),
        acknowledged.len(),
        &lost[..lost.len().min(9)]
    );
    println!("{kills} kills, {} batches of {WIDTH} samples acknowledged, {} sent, 0 lost", acknowledged.len(), sent.len());
    server.stop();
}
