//! Test scripts as Prometheus writes them: `load` series, `eval` queries, compare. Also the storage in memory that they load into.
//!
//! What the reference's runner checks is checked here too: an instant evaluation is repeated with all selectors pinned by `@` at several times
//! and as the middle of a range; annotations are compared where a script says what to expect.

mod compare;
mod pin;
mod script;
mod store;

pub use script::{Command, Eval, Expect, Load, Point, ScriptError, parse};
pub use store::{LoadError, TestStore};

use crate::engine::{Engine, EngineOptions, QueryOptions, QueryResult};
use crate::parse::{self, ParseOptions};
use crate::value::{SampleValue, Value, VectorSample, VectorValue};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::metrics::Registry;

/// An engine with everything switched on that the reference's test engine has.
pub fn engine(clock: SharedClock) -> Engine {
    Engine::new(engine_options(clock))
}

/// What [`engine`] is set up with.
pub fn engine_options(clock: SharedClock) -> EngineOptions {
    let registry = Registry::new(Arc::clone(&clock));
    EngineOptions {
        max_samples: 10_000,
        timeout: Duration::from_secs(100),
        default_step_ms: 60_000,
        parse: ParseOptions::ALL,
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..EngineOptions::new(clock, registry)
    }
}

/// What became of one `eval`.
#[derive(Debug)]
pub struct Outcome {
    pub line: usize,
    pub query: String,
    /// Why it is not as expected.
    pub failure: Option<String>,
}

/// Runs a whole script, each `eval` on its own: a failure does not stop the others.
pub fn run(text: &str, engine: &Engine) -> Result<Vec<Outcome>, ScriptError> {
    let mut store = TestStore::default();
    let mut outcomes = Vec::new();
    for command in parse(text)? {
        match command {
            Command::Clear => store = TestStore::default(),
            Command::Load(load) => store.load(&load).map_err(|e| ScriptError { line: load.line, message: e.to_string() })?,
            Command::Eval(eval) => {
                let failure = evaluate(&eval, engine, &store).err();
                outcomes.push(Outcome { line: eval.line, query: eval.query, failure });
            }
        }
    }
    Ok(outcomes)
}

fn evaluate(eval: &Eval, engine: &Engine, store: &TestStore) -> Result<(), String> {
    if let Some(step_ms) = eval.step_ms {
        let result = engine.range(store, &eval.query, eval.start_ms, eval.end_ms, step_ms, &QueryOptions::default());
        return check(eval, &eval.query, result).map(|_| ());
    }
    instant(eval, engine, store, &eval.query, eval.start_ms)?;
    for (query, t_ms) in pin::pinned(&eval.query, eval.at_ms())? {
        instant(eval, engine, store, &query, t_ms).map_err(|e| format!("as {query} at {t_ms} ms: {e}"))?;
    }
    Ok(())
}

/// Compares a result, or a failure, with what is expected. None when it failed as it should.
fn check(eval: &Eval, query: &str, result: Result<QueryResult, crate::QueryError>) -> Result<Option<QueryResult>, String> {
    match (result, eval.expects_failure()) {
        (Err(e), true) => eval.check_failure(&e.message).map(|()| None),
        (Err(e), false) => Err(format!("error evaluating {query}: {e}")),
        (Ok(_), true) => Err("expected an error but got none".to_string()),
        (Ok(r), false) => {
            compare::annotations(eval, &r.warnings, &r.infos)?;
            compare::value(eval, &r.value)?;
            Ok(Some(r))
        }
    }
}

fn instant(eval: &Eval, engine: &Engine, store: &TestStore, query: &str, t_ms: i64) -> Result<(), String> {
    let t_ms = if query == eval.query { eval.at_ms() } else { t_ms };
    let result = engine.instant(store, query, t_ms, &QueryOptions::default());
    let Some(result) = check(eval, query, result)? else { return Ok(()) };
    let resolves_differently = ["start()", "end()", "range()", "step()"].iter().any(|f| query.contains(f));
    if eval.instant_only || resolves_differently {
        return Ok(());
    }
    let ranged = engine
        .range(store, query, t_ms - 60_000, t_ms + 60_000, 60_000, &QueryOptions::default())
        .map_err(|e| format!("error in range mode: {e}"))?;
    if eval.ordered {
        return Ok(());
    }
    let Value::Matrix(matrix) = &ranged.value else { return Err("expected a matrix in range mode".to_string()) };
    compare::sorted(matrix)?;
    let mut samples = Vec::new();
    for series in matrix.iter() {
        let float = series.floats().find(|(t, _)| *t == t_ms).map(|(_, v)| SampleValue::Float(v));
        let hist = series.histograms().find(|(t, _)| *t == t_ms).map(|(_, h)| SampleValue::Histogram(Arc::clone(h)));
        samples.extend(float.into_iter().chain(hist).map(|value| VectorSample { labels: series.labels.clone(), value }));
    }
    let middle = match (&result.value, samples.first()) {
        (Value::Scalar { .. }, Some(VectorSample { value: SampleValue::Float(v), .. })) => Value::Scalar { t_ms, v: *v },
        _ => Value::Vector(VectorValue { t_ms, samples }),
    };
    compare::value(eval, &middle).map_err(|e| format!("in range mode: {e}"))
}

/// Parses as a test engine does.
fn parse_query(query: &str) -> Result<parse::Expr, String> {
    parse::parse_expr(query, &ParseOptions::ALL).map_err(|e| e.to_string())
}
