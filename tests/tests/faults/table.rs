//! All rows in their long form, beside the peers, as the table of docs/faults.md.

use crate::load::central_killed_under_load;
use crate::pair::{Trouble, pair_of};
use crate::system::System;
use crate::{relay, rows, tree};
use std::time::Instant;

const SYSTEMS: [System; 3] = [System::NARTHEX, System::PROMETHEUS, System::VICTORIA];

/// One row: a cell for each system.
fn row(case: &str, mut cell: impl FnMut(&System) -> Option<String>) {
    let began = Instant::now();
    let cells: Vec<String> = SYSTEMS.iter().map(|s| cell(s).unwrap_or_else(|| "-".to_string())).collect();
    println!("| {case} | {} |", cells.join(" | "));
    eprintln!("({case}: {:.0} s)", began.elapsed().as_secs_f64());
}

/// The minutes of the last row, for a shorter trial.
fn minutes() -> u64 {
    std::env::var("NARTHEX_FAULTS_MINUTES").ok().and_then(|m| m.parse().ok()).unwrap_or(30)
}

pub fn run() {
    println!("| case | Narthex | Prometheus | vmagent, VictoriaMetrics |\n|---|---|---|---|");
    row("central down 60 s", |s| rows::central_down(s, 60).map(|o| o.short()));
    row("leaf kill -9, restarted at once, three times", |s| rows::leaf_killed(s, 3).map(|o| o.short()));
    row("leaf killed 30 s into an outage of 40 s of the central", |s| rows::leaf_killed_while_central_down(s, 30, 10).map(|o| o.short()));
    row("central kill -9 under load, three times: acknowledged samples lost", |s| {
        central_killed_under_load(s.central, 3, 5).map(|l| match l.lost {
            0 => format!("0 of {}", l.acknowledged),
            n => format!("{n} of {} ({:.1} s)", l.acknowledged, l.lost_seconds),
        })
    });
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
    let forward_only = rows::leaf_killed_while_central_down(&System::AGENT, 30, 10).map(|o| o.short()).unwrap_or_default();
    println!("| forward-only leaf killed 30 s into an outage of 40 s | {forward_only} | | |");
    let seed = std::env::var("NARTHEX_FAULTS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let o = tree::killed_at_random(minutes() * 60, seed);
    println!("| 3 levels, kill -9 at random for {} minutes (seed {seed}) | {} | | |", minutes(), o.short());
    o.assert_nothing_missing();
}
