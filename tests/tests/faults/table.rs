//! All rows in their long form, beside the peers, as the table of docs/faults.md.

use crate::load::{End, central_ends_under_load};
use crate::pair::{Trouble, pair_of};
use crate::system::System;
use crate::{relay, rows, tree};
use std::thread::JoinHandle;
use std::time::Instant;

const SYSTEMS: [System; 3] = [System::NARTHEX, System::PROMETHEUS, System::VICTORIA];

/// Which rows are run: those whose name contains this.
fn wanted(case: &str) -> bool {
    std::env::var("NARTHEX_FAULTS_ONLY").map_or(true, |only| case.contains(&only))
}

/// One row: a cell for each system.
fn row(case: &str, mut cell: impl FnMut(&System) -> Option<String>) {
    if !wanted(case) {
        return;
    }
    let began = Instant::now();
    let cells: Vec<String> = SYSTEMS.iter().map(|s| cell(s).unwrap_or_else(|| "-".to_string())).collect();
    println!("| {case} | {} |", cells.join(" | "));
    eprintln!("({case}: {:.0} s)", began.elapsed().as_secs_f64());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|m| m.parse().ok()).unwrap_or(default)
}

/// Rows that take long and little of the machine, beside the others: a pair of which one is cut from the central for an hour, and a tree that is killed at random.
fn long_rows() -> Vec<JoinHandle<String>> {
    let (cut, minutes, seed) = (number("NARTHEX_FAULTS_CUT_MINUTES", 60), number("NARTHEX_FAULTS_MINUTES", 30), number("NARTHEX_FAULTS_SEED", 1));
    let mut out = Vec::new();
    let case = format!("pair, one cut from the central for {cut} minutes");
    if wanted(&case) {
        out.push(std::thread::spawn(move || {
            let o = pair_of(&System::NARTHEX, Trouble::CutFromCentral, cut * 60);
            if let Some(o) = &o {
                o.assert_one_series();
            }
            format!("| {case} | {} | | |", o.map_or("-".to_string(), |o| o.short()))
        }));
    }
    let case = format!("3 levels, kill -9 at random for {minutes} minutes (seed {seed})");
    if wanted(&case) {
        out.push(std::thread::spawn(move || {
            let o = tree::killed_at_random(minutes * 60, seed);
            o.assert_nothing_missing();
            format!("| {case} | {} | | |", o.short())
        }));
    }
    out
}

pub fn run() {
    println!("| case | Narthex | Prometheus | vmagent, VictoriaMetrics |\n|---|---|---|---|");
    let long = long_rows();
    row("central down 60 s", |s| rows::central_down(s, 60).map(|o| o.short()));
    row("leaf kill -9, restarted at once, three times", |s| rows::leaf_killed(s, 3).map(|o| o.short()));
    row("leaf killed 30 s into an outage of 40 s of the central", |s| rows::leaf_killed_while_central_down(s, 30, 10).map(|o| o.short()));
    for (case, how) in [("central kill -9", End::Kill), ("power cut of the central", End::PowerCut)] {
        row(&format!("{case} under load, three times: acknowledged samples lost"), |s| {
            central_ends_under_load(s.central, how, 3, 5).map(|l| match l.lost {
                0 => format!("0 of {}", l.acknowledged),
                n => format!("{n} of {} ({:.1} s)", l.acknowledged, l.lost_seconds),
            })
        });
    }
    row("power cut of the leaf, twice", |s| rows::leaf_loses_power(s, 2).map(|o| o.short()));
    row("uplink cut for 150 s, longer than the log is kept (blocks of 20 s)", |s| rows::cut_longer_than_the_log(s, 150).map(|o| o.short()));
    for (case, trouble, seconds) in [
        ("pair, one killed for 20 s", Trouble::OneKilled, 20),
        ("pair, each killed in turn for 20 s", Trouble::EachInTurn, 20),
        ("pair, one cut from the target for 30 s", Trouble::CutFromTarget, 30),
        ("pair, one cut from the central for 120 s", Trouble::CutFromCentral, 120),
    ] {
        row(case, |s| (s.name != "vmagent, VictoriaMetrics").then(|| pair_of(s, trouble, seconds)).flatten().map(|o| o.short()));
    }
    row("relay killed during a catch-up after 20 s", |s| relay::killed_during_catch_up(s, 20).map(|o| o.short()));
    let case = "forward-only leaf killed 30 s into an outage of 40 s";
    if wanted(case) {
        let forward_only = rows::leaf_killed_while_central_down(&System::AGENT, 30, 10).map(|o| o.short()).unwrap_or_default();
        println!("| {case} | {forward_only} | | |");
    }
    for row in long {
        match row.join() {
            Ok(text) => println!("{text}"),
            Err(e) => std::panic::resume_unwind(e),
        }
    }
}
