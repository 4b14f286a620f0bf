//! Trees as text, pretty text and JSON.

use super::super::{prettify, prettify_within, to_json};
use super::parse;

#[test]
fn one_line() {
    for (query, expect) in [
        ("SUM BY (a,\"b c\") (x)", "sum by (a, \"b c\") (x)"),
        ("sum(x) without()", "sum without () (x)"),
        ("sum by () (x)", "sum(x)"),
        ("quantile(.9,x)", "quantile(0.9, x)"),
        ("x{b='2', a=\"1\"}", "x{a=\"1\",b=\"2\"}"),
        ("{__name__=\"x\", a!=``}", "{__name__=\"x\",a!=\"\"}"),
        ("{'x y', \"l\\n\"=\"v\"}", "{\"l\\n\"=\"v\",__name__=\"x y\"}"),
        ("x @ 1.2344 offset 90s", "x @ 1.234 offset 1m30s"),
        ("x offset 1d @ start()", "x @ start() offset 1d"),
        ("x[60] anchored offset -1w", "x[1m] anchored offset -1w"),
        ("x smoothed offset 1m", "x smoothed offset 1m"),
        ("x[1h:] offset 5m @ end()", "x[1h:] @ end() offset 5m"),
        ("x[1h:30]", "x[1h:30s]"),
        ("x[ 5m*2 ]", "x[5m * 2]"),
        ("x[(5m+step())*2]", "x[(5m + step()) * 2]"),
        ("x offset -max_of(step(),5)", "x offset -max_of(step(), 5)"),
        ("x offset +step()", "x offset step()"),
        ("x offset ---5 - 30", "x offset (-5 - 30)"),
        ("x offset (5) - 30", "x offset (5 - 30)"),
        ("x>bool 1", "x > bool 1"),
        ("x*ignoring()group_right y", "x * ignoring () group_right () y"),
        ("x+fill_left(1)fill_right(1)y", "x + fill (1) y"),
        ("x+fill_right(.5)y", "x + fill_right (0.5) y"),
        ("-x", "-x"),
        ("+(x)", "+(x)"),
        ("1e6", "1000000"),
        ("0.000001", "0.000001"),
        ("-90m", "-1h30m"),
        ("'it\\'s'", "\"it's\""),
        ("'\\xff'", "\"\\xff\""),
        ("'가\\xe2\\x82\\u0378\\u00ad'", "\"가\\xe2\\x82\\u0378\\u00ad\""),
        ("x # comment\n+ y", "x + y"),
    ] {
        assert_eq!(parse(query).to_string(), expect, "{query}");
    }
}

#[test]
fn several_lines() {
    let long =
        "sum by (job) (rate(http_requests_total{job=\"api\",code=~\"5..\"}[5m])) / sum by (job) (rate(http_requests_total{job=\"api\"}[5m])) > 0.05";
    let expect = "    sum by (job) (rate(http_requests_total{code=~\"5..\",job=\"api\"}[5m]))\n  /\n    sum by (job) (rate(http_requests_total{job=\"api\"}[5m]))\n>\n  0.05";
    assert_eq!(prettify(&parse(long)), expect);
    assert_eq!(prettify(&parse("sum(x)")), "sum(x)");
    for (query, expect) in [
        ("histogram_quantile(0.9, rate(x[5m]))", "histogram_quantile(\n  0.9,\n  rate(\n    x[5m]\n  )\n)"),
        ("topk(3, long_name)", "topk(\n  3,\n  long_name\n)"),
        ("-(first + second)", "-(\n    first\n  +\n    second\n)"),
        ("(long_name[5m:1m])", "(\n  long_name[5m:1m]\n)"),
    ] {
        assert_eq!(prettify_within(&parse(query), 10), expect, "{query}");
    }
}

#[test]
fn json() {
    for (query, expect) in [
        ("1.5", r#"{"type":"numberLiteral","val":"1.5"}"#),
        ("'a\"b'", r#"{"type":"stringLiteral","val":"a\"b"}"#),
        (
            "x{a='b'} @ 5 offset 1m",
            r#"{"anchored":false,"matchers":[{"name":"a","type":"=","value":"b"},{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":60000,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":5000,"type":"vectorSelector"}"#,
        ),
        (
            "rate(x[step()+1])",
            r#"{"args":[{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":0,"offsetExpr":null,"range":0,"rangeExpr":{"lhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false},"op":"+","rhs":{"duration":false,"type":"numberLiteral","val":"1"},"type":"durationExpr","wrapped":false},"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"}"#,
        ),
        (
            "vector(1) * on(a) group_left(b) -vector(2)",
            r#"{"bool":false,"lhs":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["b"],"labels":["a"],"on":true},"op":"*","rhs":{"expr":{"args":[{"type":"numberLiteral","val":"2"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"op":"-","type":"unaryExpr"},"type":"binaryExpr"}"#,
        ),
        (
            "(count(vector(1))[1h:5m] @ end())",
            r#"{"expr":{"expr":{"expr":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"grouping":[],"op":"count","param":null,"type":"aggregation","without":false},"offset":0,"offsetExpr":null,"range":3600000,"rangeExpr":null,"startOrEnd":"end","step":300000,"stepExpr":null,"timestamp":null,"type":"subquery"},"type":"parenExpr"}"#,
        ),
    ] {
        assert_eq!(to_json(&parse(query)), expect, "{query}");
    }
}
