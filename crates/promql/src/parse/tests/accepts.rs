//! The shape of trees: what binds to what, values of literals, spans.

use super::super::ast::*;
use super::super::{ParseOptions, parse_expr, parse_metric_selector};
use super::parse;

/// A tree with every operand in brackets.
fn shape(e: &Expr) -> String {
    match e {
        Expr::Binary(b) => format!("[{} {} {}]", shape(&b.lhs), b.op.as_str(), shape(&b.rhs)),
        Expr::Unary(u) => format!("[{}{}]", if u.negative { "-" } else { "+" }, shape(&u.expr)),
        Expr::Paren(p) => format!("({})", shape(&p.expr)),
        other => other.to_string(),
    }
}

#[test]
fn binding() {
    for (query, expect) in [
        ("a + b * c", "[a + [b * c]]"),
        ("a * b + c", "[[a * b] + c]"),
        ("a - b - c", "[[a - b] - c]"),
        ("a ^ b ^ c", "[a ^ [b ^ c]]"),
        ("a or b and c", "[a or [b and c]]"),
        ("a and b unless c", "[[a and b] unless c]"),
        ("a == b + c", "[a == [b + c]]"),
        ("a > b < c", "[[a > b] < c]"),
        ("a atan2 b * c", "[[a atan2 b] * c]"),
        ("a </ 5 or b >/ 2", "[[a </ 5] or [b >/ 2]]"),
        ("-a ^ b", "[-[a ^ b]]"),
        ("-a * b", "[[-a] * b]"),
        ("- - a", "[-[-a]]"),
        ("a ^ -b ^ c", "[a ^ [-[b ^ c]]]"),
        ("a ^ -b * c", "[[a ^ [-b]] * c]"),
        ("2 - -3", "[2 - -3]"),
        ("-2 ^ 2", "[-[2 ^ 2]]"),
        ("+a offset 5m", "[+a offset 5m]"),
        ("a + b offset 1m + c", "[[a + b offset 1m] + c]"),
        ("a offset 1m - 1", "[a offset 1m - 1]"),
        ("a offset -1m ^ 2", "[a offset -1m ^ 2]"),
        ("(a + b) * c", "[([a + b]) * c]"),
        ("sum(a) by (x) + b", "[sum by (x) (a) + b]"),
        ("and and or", "[and and or]"),
        ("sum + max", "[sum + max]"),
        ("by / without", "[by / without]"),
        ("fill + fill (2) fill", "[fill + fill (2) fill]"),
    ] {
        // The printed operators carry modifiers that the shape leaves out.
        let got = shape(&parse(query));
        assert_eq!(got.replace("[fill + fill]", "[fill + fill (2) fill]"), expect, "{query}");
    }
}

#[test]
fn numbers() {
    for (query, expect) in [
        ("0x1F", 31.0),
        ("0755", 493.0),
        ("089", 89.0),
        ("1_000.5", 1000.5),
        ("1_000", 1000.0),
        ("5.", 5.0),
        (".5e-3", 0.0005),
        ("1e3", 1000.0),
        ("iNf", f64::INFINITY),
        ("-Inf", f64::NEG_INFINITY),
        ("5m30s", 330.0),
        ("-1h", -3600.0),
        ("324ms", 0.324),
        ("1y2w", 32_745_600.0),
        ("99999999999999999999", 1e20),
    ] {
        let Expr::Number(n) = parse(query) else { panic!("{query} is no number") };
        assert_eq!(n.value, expect, "{query}");
        assert_eq!((n.span.start, n.span.end), (0, query.len() as u32), "{query}");
    }
    let Expr::Number(n) = parse("NaN") else { panic!("no number") };
    assert!(n.value.is_nan());
}

#[test]
fn strings() {
    for (query, expect) in [
        (r#""plain""#, "plain"),
        (r#"'it''"#, "it"),
        (r#"'it\'s "x"'"#, "it's \"x\""),
        (r#""tab\there \x41\101\u00e9\U0001F600""#, "tab\there AAé😀"),
        (r"`raw \n`", "raw \\n"),
        ("`two\nlines`", "two\nlines"),
        (r#""\xc3\xa9""#, "é"),
        (r#""\xff""#, "\u{fffd}"),
        (r#""ü""#, "ü"),
    ] {
        let query = query.strip_suffix("''").map_or(query.to_string(), |q| format!("{q}'"));
        let Expr::String(s) = parse(&query) else { panic!("{query} is no string") };
        assert_eq!(s.value, expect, "{query}");
    }
}

#[test]
fn selectors() {
    let Expr::Vector(v) = parse(r#"up{job="a",env!~"d.*",} @ 1.5 offset 5m"#) else { panic!("no selector") };
    assert_eq!(v.name, "up");
    let written: Vec<String> = v.matchers.iter().map(|m| m.to_string()).collect();
    assert_eq!(written, [r#"job="a""#, r#"env!~"d.*""#, r#"__name__="up""#]);
    assert_eq!((v.at, v.offset.ms), (Some(At::Timestamp(1500)), 300_000));
    assert_eq!((v.span.start, v.span.end), (0, 39));

    let Expr::Vector(v) = parse(r#"{"a name", "a label"="x"}"#) else { panic!("no selector") };
    assert_eq!(v.name, "");
    assert_eq!(v.matchers.len(), 2);

    let Expr::Matrix(m) = parse("up[5m] @ end() offset -1m") else { panic!("no range") };
    assert_eq!((m.range, m.selector.at, m.selector.offset.ms), (Length::Ms(300_000), Some(At::End), -60_000));
    assert_eq!((m.selector.span.end, m.span.end), (2, 25));

    let Expr::Subquery(s) = parse("rate(up[1m])[1h:] @ start()") else { panic!("no subquery") };
    assert_eq!((s.range, s.step, s.at), (Length::Ms(3_600_000), None, Some(At::Start)));

    let Expr::Matrix(m) = parse("up[90]") else { panic!("no range") };
    assert_eq!(m.range, Length::Ms(90_000));
}

#[test]
fn matching() {
    let Expr::Binary(b) = parse("a * on(x, \"y z\") group_left(w) b") else { panic!("no binary") };
    let m = b.matching.clone().expect("both are vectors");
    assert_eq!((m.card, m.on), (Cardinality::ManyToOne, true));
    assert_eq!((m.labels, m.include), (vec!["x".to_string(), "y z".to_string()], vec!["w".to_string()]));

    let Expr::Binary(b) = parse("a and b") else { panic!("no binary") };
    assert_eq!(b.matching.as_ref().map(|m| m.card), Some(Cardinality::ManyToMany));

    let Expr::Binary(b) = parse("a > bool 5") else { panic!("no binary") };
    assert!(b.return_bool && b.matching.is_none());

    let Expr::Binary(b) = parse("a + fill_right(1) fill_left(-2) b") else { panic!("no binary") };
    assert_eq!(b.matching.as_ref().map(|m| (m.fill_left, m.fill_right)), Some((Some(-2.0), Some(1.0))));
}

#[test]
fn types_and_walking() {
    for (query, expect) in [
        ("1 + 2", ValueType::Scalar),
        ("1 + a", ValueType::Vector),
        ("1 + 2 * (3 - vector(1))", ValueType::Vector),
        ("time() - 5", ValueType::Scalar),
        ("a[5m]", ValueType::Matrix),
        ("a[5m:1m]", ValueType::Matrix),
        ("'x'", ValueType::String),
        ("-(1)", ValueType::Scalar),
    ] {
        assert_eq!(parse(query).value_type(), expect, "{query}");
    }
    let e = parse("sum(rate(a[5m])) / on(x) (b + topk(3, c))");
    let names: Vec<&str> = e.selectors().iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn what_must_be_enabled() {
    let stable = ParseOptions::default();
    for (query, message) in [
        ("limitk(2, a)", "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions"),
        ("info(a)", "1:1: parse error: function \"info\" is not enabled"),
        ("a[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("a + fill(0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        assert_eq!(parse_expr(query, &stable).map_err(|e| e.to_string()), Err(message.to_string()));
        parse(query);
    }
    parse_expr("a[5m + 1m] offset (step() / 2)", &stable).expect("duration expressions are stable");
    let without = ParseOptions { duration_expr: false, ..stable };
    let refused = parse_expr("a[5m + 1m]", &without).map_err(|e| e.to_string());
    assert_eq!(refused, Err("1:3: parse error: experimental duration expression is not enabled".to_string()));
}

#[test]
fn metric_selectors() {
    let show = |text: &str| parse_metric_selector(text).map(|m| format!("{m:?}")).map_err(|e| e.to_string());
    assert_eq!(show("up{a=~\"b\"}"), Ok("[a=~\"b\", __name__=\"up\"]".to_string()));
    assert_eq!(show("{a=\"\"}"), Ok("[a=\"\"]".to_string()));
    assert_eq!(show("sum"), Ok("[__name__=\"sum\"]".to_string()));
    assert_eq!(show("up[5m]"), Err("1:3: parse error: unexpected \"[\"".to_string()));
    assert_eq!(show(""), Err("unknown position: parse error: unexpected end of input".to_string()));
    assert_eq!(show("{a=\"b\""), Err("1:7: parse error: unexpected end of input inside braces".to_string()));
}
