//! What is too long, too deep, too much at once or of an impossible time is refused, and the server goes on.

use narthex_tests::{Answer, Kind, Server, get, post_form, wait_for};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

fn ask(s: &Server, path: &str, form: &[(&str, &str)]) -> Answer {
    post_form(&format!("{}/api/v1/{path}", s.url()), form).expect("an answer")
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_string())
}

#[test]
fn long_and_deep_queries_cost_what_they_are_long() {
    let mut server = Server::narthex("long", "", &[]);
    server.start();
    for (term, operator) in [("a", " or "), ("1", " + "), ("vector(1)", " * ")] {
        let chain = vec![term; 20_000].join(operator);
        for path in ["query", "format_query", "parse_query"] {
            assert_eq!(ask(&server, path, &[("query", &chain)]).status, 200, "{path} {term}");
        }
        let (status, why) = error(&ask(&server, "explain", &[("query", &chain)]));
        assert!(status == 400 && why.contains("at most 1000 can be explained"), "{status} {why}");
    }
    let (status, why) = error(&ask(&server, "query", &[("query", &vec!["a"; 500_000].join("+"))]));
    assert!(status == 400 && why.ends_with("query has 500000 levels of operators, at most 50000 can be evaluated"), "{status} {why}");
    for (open, core, close) in
        [("(", "1", ")"), ("-", "1", ""), ("sum(", "a", ")"), ("2 ^ ", "2", ""), ("max_over_time(", "a", "[5m:1m])"), ("a + (", "a", ")")]
    {
        let deep = format!("{}{core}{}", open.repeat(100_000), close.repeat(100_000));
        for path in ["query", "format_query", "parse_query", "explain"] {
            let (status, why) = error(&ask(&server, path, &[("query", &deep)]));
            assert!(
                status == 400 && why.ends_with("expression is nested too deeply, at most 200 levels are allowed"),
                "{path} {open}: {status} {why}"
            );
        }
    }
    assert_eq!(ask(&server, "query", &[("query", "vector(1)")]).status, 200);
    server.stop();
}

#[test]
fn memory_of_all_queries_together_is_limited() {
    let flags = ["--query.max-bytes=100MB", "--query.max-total-bytes=120MB", "--query.max-concurrency=4"];
    let mut server = Server::narthex("together", "", &flags);
    server.start();
    let held = |s: &Server| {
        let page = get(&format!("{}/metrics", s.url())).expect("answers").text();
        let held = page.lines().find_map(|l| l.strip_prefix("narthex_engine_query_memory_bytes ").map(str::to_string));
        held.and_then(|v| v.parse::<f64>().ok()).expect("a number")
    };
    // Work of minutes over a hundred megabytes, and a third of that beside it.
    let endless = "quantile_over_time(0.5,vector(1)%5B50m:1ms%5D)&start=100000&end=100100&step=0.01";
    let little = |s: &Server| error(&ask(s, "query", &[("query", "sum_over_time(vector(1)[1200s:1ms])"), ("time", "100000")]));
    assert_eq!(little(&server), (200, String::new()));
    let mut first = TcpStream::connect(server.address()).expect("connects");
    write!(first, "GET /api/v1/query_range?query={endless} HTTP/1.1\r\nHost: here\r\n\r\n").expect("sends");
    wait_for("the first query to hold its memory", Duration::from_secs(30), || (held(&server) > 90e6).then_some(()));
    let (status, why) = little(&server);
    assert_eq!(status, 422, "{why}");
    assert!(why.starts_with("running queries would use more than 125829120 bytes of memory, the limit for all of them"), "{why}");
    // Less is still answered.
    assert_eq!(ask(&server, "query", &[("query", "vector(1)")]).status, 200);
    drop(first);
    wait_for("the first query to end", Duration::from_secs(30), || (held(&server) == 0.0).then_some(()));
    assert_eq!(little(&server), (200, String::new()));
    server.stop();
}

#[test]
fn impossible_times_steps_and_arguments_are_refused_as_by_prometheus() {
    let features = "--enable-feature=promql-experimental-functions";
    let Some(mut theirs) = Server::new(Kind::Prometheus, "reference", "", &[features]) else { return };
    let mut ours = Server::narthex("ours", "", &[features]);
    theirs.start();
    ours.start();
    let range = |query: &'static str, start: &'static str, end: &'static str, step: &'static str| {
        ("query_range", vec![("query", query), ("start", start), ("end", end), ("step", step)])
    };
    let at = |query: &'static str, name: &'static str, value: &'static str| ("query", vec![("query", query), ("time", "100"), (name, value)]);
    let mut asked = vec![
        range("1", "0", "10", "0"),
        range("1", "0", "10", "-1"),
        range("1", "0", "10", "x"),
        range("1", "0", "10", "1e30"),
        range("1", "0", "10", "1e-9"),
        range("1", "0", "10", "0.0001"),
        range("1", "10", "0", "1"),
        range("1", "0", "11001", "1"),
        range("1", "0", "11000", "1"),
        range("1", "0", "1", "0.001"),
        range("1", "2020-01-01T00:00:00Z", "2020-13-01T00:00:00Z", "1"),
        range("1", "2020-01-01T00:00:00Z", "2020-01-01T00:00:10.5+09:00", "1d"),
        range("x[5m]", "0", "10", "1"),
        range("\"a\"", "0", "10", "1"),
        range("", "0", "1", "1"),
        range("x @ start()", "0", "1", "1"),
        ("query_range", vec![("query", "1"), ("start", "0"), ("step", "1")]),
        ("query_range", vec![("query", "1"), ("end", "0"), ("step", "1")]),
        ("query_range", vec![("query", "1"), ("start", "0"), ("end", "1")]),
        ("query", vec![]),
        ("query", vec![("query", "1"), ("time", "tomorrow")]),
        at("1", "timeout", "-1s"),
        at("1", "timeout", "x"),
        at("1", "lookback_delta", "0"),
        at("1", "lookback_delta", "-5m"),
        at("1", "limit", "-1"),
        at("1", "limit", "x"),
    ];
    asked.extend(
        [
            "",
            "  # nothing",
            "x[1000000000y]",
            "x offset 300y",
            "x offset -300y",
            "x @ 1e30",
            "x @ Inf",
            "x @ NaN",
            "x @ -1e30",
            "x @ 9223372036854775",
            "x @ 9223372036854776",
            "x @ 1 @ 2",
            "x offset 1m offset 2m",
            "x[0s]",
            "x[0]",
            "x[-5m]",
            "x[1e10]",
            "x[1e-5]",
            "x[9223372036]",
            "x[9223372037]",
            "x offset 9223372037",
            "x[5m:9223372037]",
            "x[5m:0s]",
            "x[1s1m]",
            "x[5m:1m",
            "max_over_time(vector(1)[250y:100y])",
            "vector(1)[5m:1m]",
            "topk(1e30, vector(1))",
            "topk(-1, vector(1))",
            "limitk(1e30, vector(1))",
            "limit_ratio(5, vector(1))",
            "label_replace(vector(1), \"\", \"c\", \"\", \"\")",
            "label_replace(vector(1), \"a\", \"c\", \"\", \"(\")",
            "label_join(vector(1), \"\", \"-\", \"b\")",
            "count_values(\"\", vector(1))",
            "double_exponential_smoothing(vector(1)[5m:1m], 2, 0.5)",
            "double_exponential_smoothing(vector(1)[5m:1m], 0.5, -1)",
            "x{a=~\"(\"}",
            "{}",
            "{a=~\".*\"}",
            "sum by (a,) (x)",
            "x * on(a) group_left(a) y",
            "x and on() group_left() y",
            "rate(x)",
            "nothing_of_the_kind(x)",
        ]
        .map(|q| ("query", vec![("query", q), ("time", "100")])),
    );
    let answered = |s: &Server, path: &str, form: &[(&str, &str)]| -> (u16, Value) {
        let a = ask(s, path, form);
        (a.status, a.json())
    };
    let mut wrong = Vec::new();
    for (path, form) in &asked {
        let (a, b) = (answered(&ours, path, form), answered(&theirs, path, form));
        if a != b {
            wrong.push(format!("{path} {form:?}\n  ours:   {a:?}\n  theirs: {b:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("impossible: {} requests answered alike", asked.len());
}
