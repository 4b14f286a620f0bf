//! A question, and whether two answers to it say the same.

use narthex_tests::{Server, post_form};
use serde_json::Value;
use std::collections::BTreeMap;

/// How far two values may be apart, relative to the larger.
const TOLERANCE: f64 = 1e-9;
/// Characters of an answer that are shown.
const SHOWN: usize = 900;

#[derive(Debug)]
pub enum Asked {
    At(f64),
    Over { start: i64, end: i64, step: i64 },
}

impl Asked {
    pub fn ask(&self, server: &Server, expr: &str) -> Value {
        let (path, form) = match self {
            Asked::At(t) => ("query", vec![("time", t.to_string())]),
            Asked::Over { start, end, step } => {
                ("query_range", vec![("start", start.to_string()), ("end", end.to_string()), ("step", step.to_string())])
            }
        };
        let mut all = vec![("query", expr)];
        all.extend(form.iter().map(|(n, v)| (*n, v.as_str())));
        post_form(&format!("{}/api/v1/{path}", server.url()), &all).expect("answers").json()
    }
}

pub fn is_empty(answer: &Value) -> bool {
    answer["data"]["result"].as_array().is_none_or(Vec::is_empty)
}

/// What differs, in words; the order of series does not count.
pub fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    let say = |what: &str| Some(format!("{what}\n  ours:   {}\n  theirs: {}", short(ours), short(theirs)));
    if ours["status"] != theirs["status"] || ours["errorType"] != theirs["errorType"] {
        return say("one is an error, or another one");
    }
    let (a, b) = (&ours["data"], &theirs["data"]);
    if a["resultType"] != b["resultType"] {
        return say("another type");
    }
    if a["resultType"] == "scalar" || a["resultType"] == "string" {
        return if same_point(&a["result"], &b["result"]) { None } else { say("another value") };
    }
    let (a, b) = (by_labels(a), by_labels(b));
    if let Some(name) = a.keys().find(|k| !b.contains_key(*k)) {
        return say(&format!("{name} is only in ours"));
    }
    for (name, theirs) in &b {
        let Some(ours) = a.get(name) else { return say(&format!("{name} is missing in ours")) };
        if ours.len() != theirs.len() {
            return say(&format!("{name} has {} points, not {}", ours.len(), theirs.len()));
        }
        if let Some((x, y)) = ours.iter().zip(theirs).find(|(x, y)| !same_point(x, y)) {
            return say(&format!("{name} has {x}, not {y}"));
        }
    }
    None
}

fn short(answer: &Value) -> String {
    answer.to_string().chars().take(SHOWN).collect()
}

/// Points of each series. Two series of the same labels would be one too few on one side, and are refused here.
fn by_labels(data: &Value) -> BTreeMap<String, Vec<Value>> {
    let mut all = BTreeMap::new();
    for series in data["result"].as_array().into_iter().flatten() {
        let labels: BTreeMap<String, Value> = series["metric"].as_object().into_iter().flatten().map(|(n, v)| (n.clone(), v.clone())).collect();
        let points = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
        let name = format!("{labels:?}");
        assert!(all.insert(name, points).is_none(), "a series came twice: {labels:?}");
    }
    all
}

/// `[time, "value"]`
fn same_point(x: &Value, y: &Value) -> bool {
    x[0].as_f64() == y[0].as_f64() && (x[1] == y[1] || same_value(number(&x[1]), number(&y[1])))
}

fn number(v: &Value) -> Option<f64> {
    v.as_str()?.parse().ok()
}

fn same_value(x: Option<f64>, y: Option<f64>) -> bool {
    match (x, y) {
        (Some(x), Some(y)) => (x.is_nan() && y.is_nan()) || x == y || (x - y).abs() <= TOLERANCE * x.abs().max(y.abs()),
        _ => false,
    }
}
