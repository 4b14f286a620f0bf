//! Long is fine, deep is refused; neither needs much stack or time.

use super::super::{MAX_NESTING, MAX_QUERY_BYTES, ParseOptions, parse_expr, prettify, to_json};
use super::{parse, refusal};

/// Twice this many terms would take minutes if anything walked the whole chain for each of its terms.
const TERMS: usize = 20_000;

#[test]
fn long_chains() {
    for (term, operator) in [("a", " + "), ("1", " - "), ("a", " or "), ("a", " * on (x) ")] {
        let query = vec![term; TERMS].join(operator);
        let e = parse(&query);
        assert_eq!(e.to_string(), query);
        assert_eq!(e.span().end as usize, query.len());
        assert!(to_json(&e).len() > query.len());
        assert!(prettify(&e).len() >= query.len());
        assert_eq!(e.clone(), e);
    }
    let query = format!("sum({})", vec!["a"; TERMS].join(","));
    assert!(refusal(&query).contains("wrong number of arguments"));
    let query = format!("a{{{}}}", vec!["b=\"c\""; TERMS].join(","));
    parse(&query);
}

#[test]
fn deep_nesting() {
    let too_deep = format!("expression is nested too deeply, at most {MAX_NESTING} levels are allowed");
    for (open, core, close) in [
        ("(", "a", ")"),
        ("-", "a", ""),
        ("abs(", "a", ")"),
        ("sum(", "a", ")"),
        ("a + (", "a", ")"),
        ("a or b and c == d + e * f ^ (", "a", ")"),
        ("2 ^ ", "2", ""),
        ("max_over_time(", "a", "[5m:1m])"),
        ("a[", "(", ""),
    ] {
        let nested = |levels: usize| match core {
            "(" => format!("a[{}5m{}]", "(".repeat(levels), ")".repeat(levels)),
            _ => format!("{}{core}{}", open.repeat(levels), close.repeat(levels)),
        };
        parse(&nested(20));
        let deep = refusal(&nested(50_000));
        assert!(deep.ends_with(&too_deep), "{open}: {deep}");
    }
    let deepest = format!("{}a{}", "(".repeat(MAX_NESTING), ")".repeat(MAX_NESTING));
    assert_eq!(parse(&deepest).to_string(), deepest);
    assert!(refusal(&format!("a{}", "[5m:1m]".repeat(100))).ends_with(&too_deep));
    assert!(refusal(&format!("a[{}1]", "1+".repeat(1000))).ends_with(&too_deep));
}

#[test]
fn long_texts() {
    let query = " ".repeat(MAX_QUERY_BYTES + 1);
    let refused = parse_expr(&query, &ParseOptions::ALL).map_err(|e| e.to_string());
    assert_eq!(refused, Err("1:1: parse error: query is too long: 10485761 bytes, at most 10485760 are allowed".to_string()));
}
