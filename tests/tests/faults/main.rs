//! Faults: real processes are killed, cut off and started again, and every scrape of the leaf is looked for at the central. The target's counter rises by one each scrape,
//! so that a lost or a doubled scrape shows in the numbers.
//!
//! Each row has a short form here, in one test. `make faults` runs all rows in their long form, with real Prometheus, vmagent and VictoriaMetrics in Narthex' place beside them, and
//! prints the table of docs/faults.md; it takes about an hour, half of it for the tree that is killed at random.

#![allow(clippy::disallowed_methods, reason = "tests live in real time")]

#[path = "../story/tools.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod tools;
#[path = "../story/wire.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod wire;

mod load;
mod pair;
mod relay;
mod rows;
mod system;
mod table;
mod tree;

use load::End;
use pair::Trouble;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use system::System;

const NARTHEX: System = System::NARTHEX;

fn the_central_is_down() {
    rows::central_down(&NARTHEX, 8).expect("our own binary").assert_nothing_missing();
}

fn the_leaf_is_killed() {
    rows::leaf_killed(&NARTHEX, 3).expect("our own binary").assert_only_under_way(3);
}

fn the_forward_only_leaf_is_killed() {
    rows::leaf_killed(&System::AGENT, 3).expect("our own binary").assert_only_under_way(3);
}

fn the_leaf_is_killed_while_the_central_is_down() {
    rows::leaf_killed_while_central_down(&NARTHEX, 8, 5).expect("our own binary").assert_only_under_way(1);
}

fn the_forward_only_leaf_is_killed_while_the_central_is_down() {
    rows::leaf_killed_while_central_down(&System::AGENT, 8, 5).expect("our own binary").assert_only_under_way(1);
}

fn the_central_is_killed_under_load() {
    let o = load::central_ends_under_load(NARTHEX.central, End::Kill, 2, 3).expect("our own binary");
    assert_eq!(o.lost, 0, "of {} acknowledged", o.acknowledged);
}

fn the_central_loses_its_power_under_load() {
    if let Some(o) = load::central_ends_under_load(NARTHEX.central, End::PowerCut, 2, 3) {
        assert_eq!(o.lost, 0, "of {} acknowledged", o.acknowledged);
    }
}

fn the_leaf_loses_its_power() {
    if let Some(o) = rows::leaf_loses_power(&NARTHEX, 2) {
        o.assert_goes_on_after(2);
    }
}

fn the_cut_is_longer_than_the_log_is_kept() {
    rows::cut_longer_than_the_log(&NARTHEX, 75).expect("our own binary").assert_nothing_missing();
}

fn one_of_a_pair_is_killed() {
    pair::pair(Trouble::OneKilled, 10).expect("our own binary").assert_one_series();
}

fn one_of_a_pair_is_cut_from_the_target() {
    if let Some(o) = pair::pair(Trouble::CutFromTarget, 10) {
        o.assert_one_series();
    }
}

fn one_of_a_pair_is_cut_from_the_central() {
    if let Some(o) = pair::pair(Trouble::CutFromCentral, 15) {
        o.assert_one_series();
    }
}

fn the_relay_is_killed_during_a_catch_up() {
    relay::killed_during_catch_up(&NARTHEX, 12).expect("our own binary").assert_nothing_missing();
}

fn a_tree_is_killed_at_random() {
    tree::killed_at_random(30, 7).assert_nothing_missing();
}

/// The longest first.
const ROWS: [(&str, fn()); 14] = [
    ("the_cut_is_longer_than_the_log_is_kept", the_cut_is_longer_than_the_log_is_kept),
    ("a_tree_is_killed_at_random", a_tree_is_killed_at_random),
    ("the_relay_is_killed_during_a_catch_up", the_relay_is_killed_during_a_catch_up),
    ("one_of_a_pair_is_cut_from_the_central", one_of_a_pair_is_cut_from_the_central),
    ("one_of_a_pair_is_cut_from_the_target", one_of_a_pair_is_cut_from_the_target),
    ("one_of_a_pair_is_killed", one_of_a_pair_is_killed),
    ("the_central_is_down", the_central_is_down),
    ("the_leaf_is_killed", the_leaf_is_killed),
    ("the_forward_only_leaf_is_killed", the_forward_only_leaf_is_killed),
    ("the_leaf_is_killed_while_the_central_is_down", the_leaf_is_killed_while_the_central_is_down),
    ("the_forward_only_leaf_is_killed_while_the_central_is_down", the_forward_only_leaf_is_killed_while_the_central_is_down),
    ("the_central_is_killed_under_load", the_central_is_killed_under_load),
    ("the_central_loses_its_power_under_load", the_central_loses_its_power_under_load),
    ("the_leaf_loses_its_power", the_leaf_loses_its_power),
];

/// So many rows are run at the same time: they mostly wait.
const AT_ONCE: usize = 8;

/// The short form of all rows, side by side, in about a minute. A panic of a row says what was missing; here is said which rows it was.
#[test]
fn short_form() {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..AT_ONCE {
            s.spawn(|| {
                while let Some((name, row)) = ROWS.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let began = Instant::now();
                    let result = std::panic::catch_unwind(row);
                    eprintln!("{name}: {} after {:.0} s", if result.is_ok() { "ok" } else { "FAILED" }, began.elapsed().as_secs_f64());
                    if result.is_err() {
                        failed.lock().expect("not poisoned").push(*name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("not poisoned");
    assert!(failed.is_empty(), "{failed:?}");
}

/// The long form of all rows, for `make faults`.
#[test]
#[ignore = "takes an hour: make faults"]
fn table() {
    table::run();
}
