//! Random text never panics, and what is printed parses to what was printed.

use super::super::{ParseOptions, parse_expr, parse_metric_selector, parse_series, parse_start_times, prettify, to_json};
use proptest::prelude::*;

/// Words that make text the parser looks at for longer than one character.
const WORDS: &[&str] = &[
    "a",
    "a:b",
    "sum",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
    "@",
    "start",
    "end",
    "step",
    "range",
    "min_of",
    "max_of",
    "anchored",
    "smoothed",
    "fill",
    "fill_left",
    "fill_right",
    "rate",
    "info",
    "topk",
    "label_join",
    "and",
    "or",
    "unless",
    "atan2",
    "inf",
    "NaN",
    "1",
    "0x1f",
    "1_0",
    "1e3",
    "5m",
    "1h30m",
    "'x'",
    "\"\\n\"",
    "`y`",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "!=",
    "=~",
    "!~",
    "==",
    ">=",
    "</",
    ">/",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "#",
    "\n",
    " ",
    "ü",
    "{{",
    "}}",
    "buckets:[1 2]",
    "schema:",
    "_",
    "x3",
    "stale",
    "@st",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(WORDS), prop::bool::ANY), 0..24)
        .prop_map(|words| words.iter().map(|(w, space)| format!("{w}{}", if *space { " " } else { "" })).collect())
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "\"[a-z .]{1,3}\""]
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = (label(), prop::sample::select(&["=", "!=", "=~", "!~"][..]), "[a-z\\\\\"]{0,3}")
        .prop_map(|(name, op, value)| format!("{name}{op}{}", model::labels::quote(&value.replace('\\', "."))));
    let modifier = prop::sample::select(
        &["", " offset 5m", " @ 12.5", " @ end() offset -1h", " anchored", " offset -(step() * 2)", " offset -max_of(1, range())"][..],
    );
    (prop::sample::select(&["x", "sum", "y:z", "offset"][..]), prop::collection::vec(matcher, 0..3), modifier)
        .prop_map(|(name, matchers, modifier)| format!("{name}{{{}}}{modifier}", matchers.join(",")))
}

/// Expressions of type instant vector.
fn vector() -> impl Strategy<Value = String> {
    selector().prop_recursive(5, 40, 3, |inner| {
        let op = prop::sample::select(
            &[
                "+",
                "-",
                "*",
                "/",
                "%",
                "^",
                "atan2",
                "==",
                "> bool",
                "and",
                "or",
                "unless",
                "+ on(a)",
                "* ignoring(a, b) group_left(c)",
                "- fill(1)",
                "/ on() fill_left(2)",
                "</",
                ">/",
            ][..],
        );
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            (inner.clone(), label()).prop_map(|(a, l)| format!("sum by ({l}) ({a})")),
            inner.clone().prop_map(|a| format!("topk(3, {a}) without (a)")),
            inner.clone().prop_map(|a| format!("max_over_time(({a})[1h:5m])")),
            inner.clone().prop_map(|a| format!("clamp({a}, -1, 2^3)")),
            inner.prop_map(|a| format!("label_replace({a}, \"a\", \"$1\", 'b', `(.*)\\d`)")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_never_panic(text in soup()) {
        if let Ok(e) = parse_expr(&text, &ParseOptions::ALL) {
            let printed = e.to_string();
            let again = parse_expr(&printed, &ParseOptions::ALL);
            prop_assert_eq!(again.map(|e| e.to_string()).map_err(|e| e.to_string()), Ok(printed));
            to_json(&e);
        }
        let _ = parse_expr(&text, &ParseOptions::default()).map_err(|e| e.to_string());
        let _ = parse_series(&text).map_err(|e| e.to_string());
        let _ = parse_series(&format!("a 1 {text}"));
        let _ = parse_series(&format!("a {{{{{text}"));
        let _ = parse_start_times(&text);
        let _ = parse_metric_selector(&text);
    }

    #[test]
    fn characters_never_panic(text in "\\PC{0,40}") {
        let _ = parse_expr(&text, &ParseOptions::ALL).map_err(|e| e.to_string());
        let _ = parse_series(&text).map_err(|e| e.to_string());
    }

    #[test]
    fn printing_is_a_fixed_point(text in vector()) {
        let e = parse_expr(&text, &ParseOptions::ALL).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let printed = e.to_string();
        let again = parse_expr(&printed, &ParseOptions::ALL).map_err(|e| TestCaseError::fail(format!("{printed}: {e}")))?;
        prop_assert_eq!(again.to_string(), printed.clone());
        let pretty = prettify(&e);
        let again = parse_expr(&pretty, &ParseOptions::ALL).map_err(|e| TestCaseError::fail(format!("{pretty}: {e}")))?;
        prop_assert_eq!(again.to_string(), printed);
    }
}
