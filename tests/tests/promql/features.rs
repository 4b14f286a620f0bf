//! Every function, operator and keyword of the reference's features.json is there; what is an experiment there is refused here until it is
//! switched on.

use super::reference;
use narthex_tests::Server;
use serde_json::Value;

const EXPERIMENTS: &str = "--enable-feature=promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers,\
promql-delayed-name-removal,promql-per-step-stats,type-and-unit-labels";

/// Arguments of which every function takes one kind.
const ARGUMENTS: [&str; 19] = [
    "",
    "x",
    "x[5m]",
    "1",
    "1, 2",
    "x, 1",
    "1, x",
    "x, 1, 2",
    "1, 2, x",
    "0.5, x[5m]",
    "x[5m], 1",
    "x[5m], 0.5, 0.5",
    "x, \"a\"",
    "x, \"a\", 0.5",
    "x, {a=\"b\"}",
    "x, \"a\", \"-\", \"b\"",
    "x, \"a\", \"$1\", \"b\", \"(.*)\"",
    "0.5, 0.9, x",
    "x, y",
];

/// What uses each keyword; for those that are no words of the language, what they are.
fn keyword(name: &str) -> Result<&'static str, &'static str> {
    Ok(match name {
        "anchored" => "rate(x[5m] anchored)",
        "smoothed" => "rate(x[5m] smoothed)",
        "at_modifier" => "x @ 100",
        "bool" => "x > bool 1",
        "by" => "sum by (a) (x)",
        "without" => "sum without (a) (x)",
        "duration_expr" => "rate(x[5m * 2])",
        "fill" => "x + fill(0) y",
        "fill_left" => "x + fill_left(0) y",
        "fill_right" => "x + fill_right(0) y",
        "group_left" => "x * on(a) group_left(b) y",
        "group_right" => "x * on(a) group_right(b) y",
        "ignoring" => "x * ignoring(a) y",
        "on" => "x * on(a) y",
        "offset" => "x offset 5m",
        "negative_offset" => "x offset -5m",
        "subqueries" => "max_over_time(x[1h:5m])",
        "delayed_name_removal" | "per_query_lookback_delta" | "per_step_stats" | "type_and_unit_labels" => return Err("no word of the language"),
        _ => return Err(""),
    })
}

fn operator(name: &str) -> Vec<String> {
    match name {
        "=~" | "!~" | "=" => vec![format!("x{{a{name}\"b\"}}")],
        "!=" => vec!["x{a!=\"b\"}".to_string(), "x != y".to_string()],
        "@" => vec!["x @ 100".to_string()],
        "and" | "or" | "unless" | "atan2" => vec![format!("x {name} y")],
        "topk" | "bottomk" | "quantile" | "limitk" | "limit_ratio" => vec![format!("{name}(1, x)")],
        "count_values" => vec!["count_values(\"a\", x)".to_string()],
        word if word.starts_with(|c: char| c.is_ascii_lowercase()) => vec![format!("{word}(x)"), format!("{word} by (a) (x)")],
        sign => vec![format!("x {sign} y"), format!("x {sign} 2"), format!("2 {sign} x").replace("2 </", "x </").replace("2 >/", "x >/")],
    }
}

/// None when it is taken, else what is said.
fn refused(s: &Server, query: &str) -> Option<String> {
    let answer = s.api("query", &[("query", query)]);
    (answer["status"] != "success").then(|| answer["error"].as_str().unwrap_or_default().to_string())
}

#[test]
fn all_of_the_language_is_there_and_experiments_are_switched() {
    let Some(path) = reference("api/features.json") else { return };
    let listed: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("reads")).expect("JSON");
    let (mut plain, mut all) = (Server::narthex("plain", "", &[]), Server::narthex("all", "", &[EXPERIMENTS]));
    plain.start();
    all.start();
    let mut wrong = Vec::new();
    let mut check = |what: &str, query: &str, stable: bool| {
        if let Some(why) = refused(&all, query) {
            wrong.push(format!("{what}: {query}: {why}"));
        }
        match (refused(&plain, query), stable) {
            (None, true) => {}
            (Some(why), false) if why.contains("experimental") || why.contains("not enabled") => {}
            (answer, _) => wrong.push(format!("{what}: {query}, stable there: {stable}: {answer:?}")),
        }
    };
    let on = |v: &Value| v.as_bool().expect("on or off");
    let of = |category: &str| listed[category].as_object().expect("a category").iter().map(|(n, v)| (n.clone(), on(v))).collect::<Vec<_>>();
    let (functions, operators, keywords) = (of("promql_functions"), of("promql_operators"), of("promql"));
    assert_eq!((functions.len(), operators.len()), (90, 35));
    for (name, stable) in functions {
        let mut calls = ARGUMENTS.iter().map(|a| format!("{name}({a})"));
        let call = calls.find(|c| refused(&all, c).is_none()).unwrap_or_else(|| panic!("{name} takes no arguments that are tried"));
        check(&name, &call, stable);
    }
    for (name, stable) in operators {
        operator(&name).iter().for_each(|q| check(&name, q, stable));
    }
    for (name, stable) in keywords {
        match keyword(&name) {
            Ok(query) => check(&name, query, stable),
            Err("") => panic!("{name} is not known to this test"),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is no word of the language: a parameter, and switches that change answers.
    let lookback = |s: &Server, delta: &str| s.api("query", &[("query", "vector(1)"), ("lookback_delta", delta)])["status"].clone();
    assert_eq!((lookback(&plain, "1s"), lookback(&plain, "nonsense")), (Value::from("success"), Value::from("error")));
    let steps = |s: &Server| s.api("query_range", &[("query", "vector(1)"), ("start", "0"), ("end", "10"), ("step", "1"), ("stats", "all")]);
    let per_step = |answer: &Value| answer["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"].is_array();
    assert!(per_step(&steps(&all)) && !per_step(&steps(&plain)), "{}", steps(&all));
}
