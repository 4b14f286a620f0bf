//! What /api/v1/format_query and /api/v1/parse_query answer, beside a real Prometheus: on every valid expression of the reference's parser tests,
//! every eval of its scripts, and every rule and panel of kube-prometheus-stack.

use super::{expressions, reference};
use narthex_tests::{Kind, Server, post_form};
use serde_json::Value;
use std::collections::BTreeSet;

/// Words of what is younger than the reference program, whatever their case.
const NEWER: [&str; 15] = [
    "anchored",
    "smoothed",
    "fill",
    "</",
    ">/",
    "step",
    "range(",
    "max_of",
    "min_of",
    "start()",
    "end()",
    "first_over_time",
    "histogram_quantiles",
    "start_timestamp",
    "range  (",
];

/// Fields of a tree that are younger: switches that must be off where the reference knows nothing of them, and expressions it does not show.
const NEWER_SWITCHES: [&str; 3] = ["anchored", "smoothed", "fillValues"];
const NEWER_EXPRESSIONS: [&str; 3] = ["offsetExpr", "rangeExpr", "stepExpr"];

fn without_newer(v: &Value) -> Value {
    match v {
        Value::Object(fields) => {
            let off = |v: &Value| v.is_null() || *v == Value::Bool(false) || v.as_object().is_some_and(|o| o.values().all(Value::is_null));
            let newer = |n: &str, v: &Value| NEWER_EXPRESSIONS.contains(&n) || (NEWER_SWITCHES.contains(&n) && off(v));
            Value::Object(fields.iter().filter(|(n, v)| !newer(n, v)).map(|(n, v)| (n.clone(), without_newer(v))).collect())
        }
        Value::Array(items) => items.iter().map(without_newer).collect(),
        other => other.clone(),
    }
}

fn ask(s: &Server, path: &str, query: &str) -> Value {
    post_form(&format!("{}/api/v1/{path}", s.url()), &[("query", query)]).expect("an answer").json()
}

/// Queries of the scripts: `eval instant at 5m QUERY`, `eval range from 0 to 10m step 1m QUERY`.
fn evals(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter_map(|line| {
        let words = line.trim().strip_prefix("eval")?.split_once(' ')?.1;
        let after = |n: usize| words.splitn(n + 1, ' ').nth(n);
        if words.starts_with("instant at ") { after(3) } else { after(7) }
    })
}

#[test]
fn expressions_are_printed_and_parsed_as_by_prometheus() {
    let (Some(list), Some(stack)) = (reference("promql/parser/expressions.jsonl"), expressions::read()) else { return };
    let features = "promql-experimental-functions,promql-duration-expr,promql-extended-range-selectors,promql-binop-fill-modifiers";
    let Some(mut theirs) = Server::new(Kind::Prometheus, "reference", "", &[&format!("--enable-feature={features}")]) else { return };
    let mut ours = Server::narthex("ours", "", &[&format!("--enable-feature={features}")]);
    theirs.start();
    ours.start();
    let mut all: BTreeSet<String> = stack.into_iter().collect();
    for line in std::fs::read_to_string(&list).expect("reads").lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        if case["valid"] == true {
            all.insert(case["input"].as_str().expect("text").to_string());
        }
    }
    for entry in std::fs::read_dir(reference("promql").expect("lies around the list")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "test") {
            all.extend(evals(&std::fs::read_to_string(path).expect("reads")).map(str::to_string));
        }
    }
    let (mut equal, mut newer, mut wrong) = (0, 0, Vec::new());
    for query in &all {
        for path in ["format_query", "parse_query"] {
            let (a, b) = (ask(&ours, path, query), ask(&theirs, path, query));
            // Queries that both refuse stand in the list of parser tests, with what 3.14 says.
            if without_newer(&a) == b || (a["status"] == "error" && b["status"] == "error") {
                equal += 1;
            } else if b["status"] == "error" && NEWER.iter().any(|w| query.to_lowercase().contains(w)) {
                newer += 1;
            } else {
                wrong.push(format!("{path} {query}\n  ours:   {a}\n  theirs: {b}"));
            }
        }
    }
    eprintln!("printed: {equal} answers on {} expressions equal, {newer} on what is younger than the reference program", all.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(equal > 4000, "{equal}");
}
