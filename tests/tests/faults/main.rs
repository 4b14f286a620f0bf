//! Faults: real processes are killed, cut off and started again, and every scrape of the leaf is looked for at the central. The target's counter rises by one each scrape,
//! so that a lost or a doubled scrape shows in the numbers.
//!
//! Each row is a short test here. `make faults` runs all rows in their long form, with real Prometheus, vmagent and VictoriaMetrics in Narthex' place beside them, and
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
use system::System;

const NARTHEX: System = System::NARTHEX;

#[test]
fn the_central_is_down() {
    rows::central_down(&NARTHEX, 8).expect("our own binary").assert_nothing_missing();
}

#[test]
fn the_leaf_is_killed() {
    rows::leaf_killed(&NARTHEX, 3).expect("our own binary").assert_only_under_way(3);
}

#[test]
fn the_forward_only_leaf_is_killed() {
    rows::leaf_killed(&System::AGENT, 3).expect("our own binary").assert_only_under_way(3);
}

#[test]
fn the_leaf_is_killed_while_the_central_is_down() {
    rows::leaf_killed_while_central_down(&NARTHEX, 8, 5).expect("our own binary").assert_only_under_way(1);
}

#[test]
fn the_forward_only_leaf_is_killed_while_the_central_is_down() {
    rows::leaf_killed_while_central_down(&System::AGENT, 8, 5).expect("our own binary").assert_only_under_way(1);
}

#[test]
fn the_central_is_killed_under_load() {
    let o = load::central_ends_under_load(NARTHEX.central, End::Kill, 2, 3).expect("our own binary");
    assert_eq!(o.lost, 0, "of {} acknowledged", o.acknowledged);
}

#[test]
fn the_central_loses_its_power_under_load() {
    if let Some(o) = load::central_ends_under_load(NARTHEX.central, End::PowerCut, 2, 3) {
        assert_eq!(o.lost, 0, "of {} acknowledged", o.acknowledged);
    }
}

#[test]
fn the_leaf_loses_its_power() {
    if let Some(o) = rows::leaf_loses_power(&NARTHEX, 2) {
        o.assert_goes_on_after(2);
    }
}

#[test]
fn the_cut_is_longer_than_the_log_is_kept() {
    rows::cut_longer_than_the_log(&NARTHEX, 70).expect("our own binary").assert_nothing_missing();
}

#[test]
fn one_of_a_pair_is_killed() {
    pair::pair(Trouble::OneKilled, 10).expect("our own binary").assert_one_series();
}

#[test]
fn one_of_a_pair_is_cut_from_the_target() {
    if let Some(o) = pair::pair(Trouble::CutFromTarget, 10) {
        o.assert_one_series();
    }
}

#[test]
fn one_of_a_pair_is_cut_from_the_central() {
    if let Some(o) = pair::pair(Trouble::CutFromCentral, 15) {
        o.assert_one_series();
    }
}

#[test]
fn the_relay_is_killed_during_a_catch_up() {
    relay::killed_during_catch_up(&NARTHEX, 12).expect("our own binary").assert_nothing_missing();
}

#[test]
fn a_tree_is_killed_at_random() {
    tree::killed_at_random(45, 7).assert_nothing_missing();
}

/// The long form of all rows, for `make faults`.
#[test]
#[ignore = "takes an hour: make faults"]
fn table() {
    table::run();
}
