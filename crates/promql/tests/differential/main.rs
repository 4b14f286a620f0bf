//! Random queries over random data, asked of a real Prometheus and of this engine. `make diff-promql SEED=1 N=1000`.
//!
//! NARTHEX_DIFF_N says how many queries; without it nothing runs. Needs `prometheus` (NARTHEX_PEERS, /opt/peers/usr/bin or PATH), which is fed by
//! remote write. Odd seeds ask with delayed name removal, even ones without. The reference is of version 3.5: what later versions changed, and
//! what it leaves to chance itself, is listed in [`explained`]. All else must be equal to the last bit.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a test that starts programs and reports")]

mod answer;
mod data;
mod explained;
mod feed;
mod generate;
mod native;
mod regexes;
mod server;

use answer::{Answer, Nearness, difference, nearness};
use explained::explained;
use promql::testkit::{self, TestStore};
use promql::{Engine, EngineOptions, QueryOptions};
use std::collections::BTreeMap;
use stdx::clock::SystemClock;

/// How often a query is repeated whose answer differs. The reference's depends on the order of Go's maps, and its histograms on memory that it
/// uses again too early.
const AGAIN: usize = 6;

fn ask(engine: &Engine, store: &TestStore, q: &generate::Query) -> Result<Answer, String> {
    let options = QueryOptions::default();
    let result = match q.step_ms {
        0 => engine.instant(store, &q.text, q.start_ms, &options),
        step => engine.range(store, &q.text, q.start_ms, q.end_ms, step, &options),
    };
    result.map(|r| answer::ours(r.value)).map_err(|e| e.message)
}

/// Set up as the reference program is.
fn engine(delayed_name_removal: bool) -> Engine {
    let options = testkit::engine_options(SystemClock::shared());
    Engine::new(EngineOptions { delayed_name_removal, use_start_timestamps: false, max_samples: 50_000_000, ..options })
}

#[test]
fn answers_as_prometheus_does() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let Some(n) = number("NARTHEX_DIFF_N") else {
        println!("diff-promql: skipped, NARTHEX_DIFF_N is not set");
        return;
    };
    let seed = number("NARTHEX_DIFF_SEED").unwrap_or(1);
    let delayed = seed % 2 == 1;
    let removal = if delayed { ",promql-delayed-name-removal" } else { "" };
    let Some(reference) = server::Reference::start(&format!("promql-experimental-functions,native-histograms{removal}")) else {
        assert!(!std::env::var("NARTHEX_REQUIRE").is_ok_and(|r| r.contains("peers")), "prometheus was not found");
        println!("diff-promql: skipped, prometheus was not found");
        return;
    };
    let data = data::Data::random(seed);
    reference.feed(&feed::bodies(&data));
    let store = data.store();
    let engine = engine(delayed);
    let show = |q: &generate::Query, ours: &Result<Answer, String>, theirs: &Result<Answer, String>| {
        let (ours, theirs) = difference(ours, theirs);
        println!("{}  @{}..{} step {}\n   ours:   {ours}\n   theirs: {theirs}", q.text, q.start_ms, q.end_ms, q.step_ms);
    };
    // Queries for looking closer: text|start_ms|end_ms|step_ms, separated by semicolons.
    if let Ok(all) = std::env::var("NARTHEX_DIFF_QUERY") {
        for one in all.split(';') {
            let parts: Vec<&str> = one.rsplitn(4, '|').collect();
            let ms = |i: usize| parts[i].parse::<i64>().unwrap();
            let q = generate::Query { text: parts[3].to_string(), start_ms: ms(2), end_ms: ms(1), step_ms: ms(0) };
            println!("{}\n   ours:   {:?}\n   theirs: {:?}", q.text, ask(&engine, &store, &q), reference.ask(&q));
        }
        return;
    }
    let mut generator = generate::Generator::new(seed);
    let (mut equal, mut failed_alike, mut known, mut unexplained) = (0, 0, BTreeMap::<&str, u64>::new(), 0);
    for _ in 0..n {
        let q = generator.query();
        let (ours, theirs) = (ask(&engine, &store, &q), reference.ask(&q));
        let near = nearness(&ours, &theirs);
        if near == Nearness::Same {
            equal += 1;
            failed_alike += u64::from(ours.is_err());
        } else if (0..AGAIN).any(|_| nearness(&ours, &reference.ask(&q)) == Nearness::Same) {
            *known.entry("the reference answers so when it is asked again").or_default() += 1;
        } else if let Some(why) = explained(&q, delayed, near, &ours, &theirs) {
            *known.entry(why).or_default() += 1;
            if std::env::var("NARTHEX_DIFF_SHOW").is_ok_and(|w| why.contains(&w)) {
                show(&q, &ours, &theirs);
            }
        } else {
            unexplained += 1;
            if unexplained <= number("NARTHEX_DIFF_FIRST").unwrap_or(20) {
                print!("{near:?}: ");
                show(&q, &ours, &theirs);
            }
        }
    }
    println!("diff-promql: seed {seed}: {equal}/{n} equal ({failed_alike} refused alike), explained {known:?}, unexplained {unexplained}");
    assert_eq!(unexplained, 0, "queries are answered differently");
}
