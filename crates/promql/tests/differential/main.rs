//! Random queries over random data, asked of a real Prometheus and of this engine. `make diff-promql SEED=1 N=1000`.
//!
//! NARTHEX_DIFF_N says how many queries; without it nothing runs. Needs `prometheus` and `promtool` (NARTHEX_PEERS, /opt/peers/usr/bin or PATH).
//! The reference is of version 3.5: what later versions changed is listed in [`explained`].

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a test that starts programs and reports")]

mod data;
mod generate;
mod server;

use promql::testkit::{self, TestStore};
use promql::{Engine, EngineOptions, QueryOptions, Value};
use std::collections::BTreeMap;
use stdx::clock::SystemClock;

/// Labels to values by time; the values as the API writes them, parsed.
type Answer = BTreeMap<String, Vec<(i64, f64)>>;

/// Differences that are none of ours: what the reference leaves to chance, and what changed since 3.5.
fn explained(q: &generate::Query, ours: &Result<Answer, String>, theirs: &Result<Answer, String>) -> Option<&'static str> {
    let has = |word: &str| q.text.contains(word);
    match (ours, theirs) {
        (Err(a), Err(b)) if a != b => Some("both refuse, in other words"),
        (Err(e), Ok(_)) if e.starts_with("multiple matches for labels") => Some("3.14 refuses ambiguous matches that a comparison would filter out"),
        _ if (has("topk") || has("bottomk")) && (q.step_ms > 0 || has("histogram_quantile") || has("count_values")) => {
            Some("which of equal values stay depends on the order of a Go map")
        }
        _ if has("mad_over_time") && has("odd") => Some("3.14: the deviation of what has no number is none"),
        _ if has(" % ") => Some("the remainder of numbers that differ in the last digit"),
        _ if has("std") && q.step_ms > 0 => Some("sums of squares in the order of a Go map"),
        _ if ["count_values", "minute", "hour", "day", "sin(", "cos(", "tan("].iter().any(|f| has(f)) && MATH.iter().any(|f| has(f)) => {
            Some("what the last digit of Go's mathematics decides")
        }
        _ => None,
    }
}

/// Functions whose last digit is the library's.
const MATH: [&str; 14] = ["exp", "ln", "log", "sin", "cos", "tan", "sqrt", "^", "deg", "rad", "std", "predict", "deriv", "quantile"];

fn ask(engine: &Engine, store: &TestStore, q: &generate::Query) -> Result<Answer, String> {
    let options = QueryOptions::default();
    let result = match q.step_ms {
        0 => engine.instant(store, &q.text, q.start_ms, &options),
        step => engine.range(store, &q.text, q.start_ms, q.end_ms, step, &options),
    };
    let mut answer = Answer::new();
    match result.map_err(|e| e.message)?.value {
        Value::Scalar { t_ms, v } => {
            answer.insert(String::new(), vec![(t_ms, v)]);
        }
        Value::String { .. } => {}
        Value::Vector(v) => {
            for s in v.samples {
                if let promql::SampleValue::Float(x) = s.value {
                    answer.insert(s.labels.to_string(), vec![(v.t_ms, x)]);
                }
            }
        }
        Value::Matrix(m) => {
            for s in m.iter() {
                answer.insert(s.labels.to_string(), s.floats().collect());
            }
        }
    }
    Ok(answer)
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (a.abs() + b.abs()) || (a.abs() < 1e-9 && b.abs() < 1e-9)
}

fn same(a: &Result<Answer, String>, b: &Result<Answer, String>) -> bool {
    match (a, b) {
        (Err(a), Err(b)) => a == b,
        (Ok(a), Ok(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((la, va), (lb, vb))| {
                    la == lb && va.len() == vb.len() && va.iter().zip(vb).all(|((ta, x), (tb, y))| ta == tb && close(*x, *y))
                })
        }
        _ => false,
    }
}

fn shown(a: &Result<Answer, String>) -> String {
    let text = match a {
        Err(e) => format!("error: {e}"),
        Ok(a) => a.iter().take(4).map(|(l, v)| format!("{l} {:?}", &v[..v.len().min(6)])).collect::<Vec<_>>().join("; "),
    };
    text.chars().take(700).collect()
}

#[test]
fn answers_as_prometheus_does() {
    let Some(n) = std::env::var("NARTHEX_DIFF_N").ok().and_then(|n| n.parse::<u64>().ok()) else {
        println!("diff-promql: skipped, NARTHEX_DIFF_N is not set");
        return;
    };
    let seed = std::env::var("NARTHEX_DIFF_SEED").ok().and_then(|s| s.parse::<u64>().ok()).unwrap_or(1);
    let data = data::Data::random(seed);
    let store = data.store();
    let Some(reference) = server::Reference::start(&data.open_metrics()) else {
        println!("diff-promql: skipped, prometheus and promtool were not found");
        return;
    };
    let options = testkit::engine_options(SystemClock::shared());
    let engine = Engine::new(EngineOptions { delayed_name_removal: false, use_start_timestamps: false, max_samples: 50_000_000, ..options });
    // One query, for looking closer: text|start_ms|end_ms|step_ms.
    if let Ok(one) = std::env::var("NARTHEX_DIFF_QUERY") {
        for one in one.split(';') {
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
        if same(&ours, &theirs) {
            equal += 1;
            failed_alike += u64::from(ours.is_err());
        } else if let Some(why) = explained(&q, &ours, &theirs) {
            *known.entry(why).or_default() += 1;
            if std::env::var("NARTHEX_DIFF_SHOW").is_ok_and(|w| why.contains(&w)) {
                println!("{}  @{}..{} step {}\n   ours:   {}\n   theirs: {}", q.text, q.start_ms, q.end_ms, q.step_ms, shown(&ours), shown(&theirs));
            }
        } else {
            unexplained += 1;
            if unexplained <= 20 {
                println!("{}  @{}..{} step {}\n   ours:   {}\n   theirs: {}", q.text, q.start_ms, q.end_ms, q.step_ms, shown(&ours), shown(&theirs));
            }
        }
    }
    println!("diff-promql: seed {seed}: {equal}/{n} equal ({failed_alike} refused alike), explained {known:?}, unexplained {unexplained}");
    assert_eq!(unexplained, 0, "queries are answered differently");
}
