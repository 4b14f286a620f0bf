//! Our own scripts, in every way the engine can be set up: the answers must not depend on it.

use promql::testkit;
use promql::{Engine, EngineOptions};
use stdx::clock::SystemClock;

const SCRIPTS: [(&str, &str); 6] = [
    ("selectors", include_str!("scripts/selectors.test")),
    ("rates", include_str!("scripts/rates.test")),
    ("aggregations", include_str!("scripts/aggregations.test")),
    ("joins", include_str!("scripts/joins.test")),
    ("histograms", include_str!("scripts/histograms.test")),
    ("reference", include_str!("scripts/reference.test")),
];

fn check(change: impl Fn(&mut EngineOptions)) {
    let mut options = testkit::engine_options(SystemClock::shared());
    change(&mut options);
    let engine = Engine::new(options);
    for (name, text) in SCRIPTS {
        let outcomes = testkit::run(text, &engine).unwrap_or_else(|e| panic!("{name}: {e}"));
        let failures: Vec<String> =
            outcomes.iter().filter_map(|o| o.failure.as_ref().map(|f| format!("{name}:{}: {}\n    {f}", o.line, o.query))).collect();
        assert!(!outcomes.is_empty() && failures.is_empty(), "{}", failures.join("\n"));
    }
}

#[test]
fn as_the_reference_is_tested() {
    check(|_| {});
}

#[test]
fn with_names_dropped_at_once() {
    check(|o| o.delayed_name_removal = false);
}

#[test]
fn with_threads_for_everything() {
    check(|o| {
        o.threads = 4;
        o.parallel_from_cells = 0;
    });
}

#[test]
fn alone_and_with_per_step_statistics() {
    check(|o| {
        o.threads = 1;
        o.per_step_stats = true;
    });
}
