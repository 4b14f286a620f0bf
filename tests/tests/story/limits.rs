//! limits: a query that takes too much ends with a clear error and the server goes on; one whose client has gone ends with it.

use crate::tools::{RECEIVER, config, seconds};
use crate::wire::{self, Series, snappy, write_request};
use narthex_tests::{Answer, Server, get, now, post_form, wait_for};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;

/// The work of a minute for a second's worth of memory: the median of two million numbers, ten thousand times.
const ENDLESS: &str = "/api/v1/query_range?query=quantile_over_time(0.5,vector(1)%5B30m:1ms%5D)&start=100000&end=100100&step=0.01";

const SERIES: usize = 1000;

fn fill(server: &Server) -> f64 {
    let end = now() - 5.0;
    let names: Vec<String> = (0..SERIES).map(|i| i.to_string()).collect();
    let samples: Vec<(i64, f64)> = (0..60).map(|i| ((end * 1000.0) as i64 - (60 - i) * 1000, i as f64)).collect();
    let labels: Vec<[(&str, &str); 2]> = names.iter().map(|n| [("__name__", "seat_total"), ("n", n.as_str())]).collect();
    let all: Vec<Series<'_>> = labels.iter().map(|l| Series { labels: l, samples: &samples }).collect();
    assert_eq!(wire::post(server, &snappy(&write_request(&all))).status, 204);
    end
}

/// A range query over the last minute, a step a second.
fn ask(server: &Server, query: &str, end: f64, more: &[(&str, &str)]) -> Answer {
    let (start, end) = (format!("{:.0}", end - 60.0), format!("{end:.0}"));
    let form = [&[("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", "1")], more].concat();
    post_form(&format!("{}/api/v1/query_range", server.url()), &form).expect("answers")
}

fn metric(server: &Server, name: &str) -> f64 {
    let page = get(&format!("{}/metrics", server.url())).expect("answers").text();
    let line = page.lines().find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().and_then(|v| v.parse().ok()).expect("a number")
}

fn assert_fails(answer: &Answer, status: u16, kind: &str, words: &str) {
    let body = answer.json();
    assert_eq!((answer.status, body["errorType"].as_str()), (status, Some(kind)), "{body}");
    assert!(body["error"].as_str().is_some_and(|e| e.contains(words)), "{words}: {body}");
}

#[test]
fn a_query_that_takes_too_much_ends_and_the_server_goes_on() {
    let flags = [RECEIVER, "--query.max-bytes=200KB", "--query.max-samples=100000", "--query.max-concurrency=4"];
    let mut server = Server::narthex("limited", &config("", &[], &[]), &flags);
    server.start();
    let end = fill(&server);
    let good = |server: &Server| {
        let body = ask(server, "sum(seat_total)", end, &[]).json();
        assert_eq!(body["data"]["result"][0]["values"].as_array().map(Vec::len).filter(|n| *n > 50).map(|_| ()), Some(()), "{body}");
    };
    good(&server);
    // All series at all steps: 60,000 floats are more than 200 KB, and fewer than 100,000 samples.
    assert_fails(
        &ask(&server, "seat_total", end, &[]),
        422,
        "execution",
        "query would use more than 204800 bytes of memory, the limit for one query",
    );
    good(&server);
    // Numbers without any series are memory too, and are refused before they are made.
    let bomb = ask(&server, "sum_over_time(vector(1)[50000s:1ms])", end, &[]);
    assert_fails(&bomb, 422, "execution", "bytes of memory");
    // Samples as they are stored.
    let many = post_form(&format!("{}/api/v1/query", server.url()), &[("query", "seat_total[2m]")]).expect("answers");
    assert_fails(&many, 422, "execution", "query would use more than 204800 bytes");
    good(&server);
    assert_eq!(metric(&server, "prometheus_engine_queries"), 0.0);
    server.stop();

    let mut server = Server::narthex("counted", &config("", &[], &[]), &[RECEIVER, "--query.max-samples=200000"]);
    server.start();
    let end = fill(&server);
    let words = "query processing would load too many samples into memory in query execution";
    assert_fails(&ask(&server, "sum_over_time(seat_total[1m:100ms])", end, &[]), 422, "execution", words);
    good(&server);
    let slow = format!("{}{}&timeout=200ms", server.url(), ENDLESS.replace("30m:1ms", "12h:1s"));
    assert_fails(&get(&slow).expect("answers"), 503, "timeout", "query timed out in expression evaluation");
    good(&server);
    server.stop();
}

#[test]
fn a_query_ends_when_its_client_goes_away() {
    let log = tempfile::tempdir().expect("a temporary directory");
    let queries = log.path().join("queries.log");
    let text = config("", &[], &[]).replace("global:\n", &format!("global:\n  query_log_file: {}\n", queries.display()));
    let mut server = Server::narthex("left", &text, &[]);
    server.start();
    server.expect_log(&["a lock file from a previous execution was replaced"]);
    let begin = |server: &Server| {
        let mut client = TcpStream::connect(server.address()).expect("connects");
        write!(client, "GET {ENDLESS} HTTP/1.1\r\nHost: here\r\n\r\n").expect("sends");
        wait_for("the query to run", seconds(20), || (metric(server, "prometheus_engine_queries") == 1.0).then_some(()));
        client
    };
    let client = begin(&server);
    let active = std::fs::read_to_string(server.data().join("queries.active")).expect("a list of active queries");
    assert!(active.contains("quantile_over_time(0.5,vector(1)[30m:1ms])"), "{active:.200}");
    drop(client);
    // The work of many minutes ends within a batch of it.
    wait_for("the query to end", seconds(20), || (metric(&server, "prometheus_engine_queries") == 0.0).then_some(()));
    let logged = wait_for("the query log", seconds(10), || std::fs::read_to_string(&queries).ok().filter(|l| l.contains('\n')));
    let entry: Value = serde_json::from_str(logged.lines().next().unwrap_or("")).expect("a line of JSON");
    assert!(entry["error"].as_str().is_some_and(|e| e.contains("query was canceled in expression evaluation")), "{entry}");
    assert_eq!(entry["httpRequest"]["path"], "/api/v1/query_range", "{entry}");
    assert_eq!(entry["params"]["query"], "quantile_over_time(0.5,vector(1)[30m:1ms])", "{entry}");

    // What a crash interrupts is told at the next start.
    let _client = begin(&server);
    server.kill();
    server.start();
    assert!(server.log().contains("These queries didn't finish in prometheus' last run:"), "{}", server.log());
    server.stop();
}

#[test]
fn a_query_tells_what_it_took() {
    let mut server = Server::narthex("told", &config("", &[], &[]), &[RECEIVER, "--enable-feature=promql-per-step-stats"]);
    server.start();
    let end = fill(&server);
    let stats = ask(&server, "sum(sum_over_time(seat_total[10s]))", end, &[("stats", "all")]).json()["data"]["stats"].clone();
    let samples = &stats["samples"];
    // 60 samples of each series are read once, and looked at ten times.
    assert_eq!(samples["samplesRead"].as_f64(), Some(60.0 * SERIES as f64), "{stats}");
    assert!(samples["totalQueryableSamples"].as_f64() > Some(500.0 * SERIES as f64), "{stats}");
    assert_eq!(samples["totalQueryableSamplesPerStep"].as_array().map(Vec::len), Some(61), "{stats}");
    assert_eq!(samples["samplesReadPerStep"].as_array().map(Vec::len), Some(61), "{stats}");
    assert!(samples["peakSamples"].as_f64() > Some(0.0), "{stats}");
    for slice in ["evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime", "execQueueTime", "execTotalTime"] {
        assert!(stats["timings"][slice].is_f64() || stats["timings"][slice].is_u64(), "{slice}: {stats}");
    }

    let (start, end) = (format!("{:.0}", end - 60.0), format!("{end:.0}"));
    let range = [("query", "sum(rate(seat_total[10s]))"), ("start", start.as_str()), ("end", end.as_str()), ("step", "1")];
    let answer = post_form(&format!("{}/api/v1/explain", server.url()), &range).expect("answers").json();
    let plan = &answer["data"]["plan"];
    assert_eq!(plan["operator"], "aggregate sum by ()", "{answer}");
    let (window, select) = (&plan["inputs"][0], &plan["inputs"][0]["inputs"][0]);
    assert_eq!((window["operator"].as_str(), select["series"].as_u64()), (Some("window rate"), Some(SERIES as u64)), "{answer}");
    assert_eq!(select["samples"].as_u64(), Some(60 * SERIES as u64), "{answer}");
    assert!(select["seconds"].as_f64() > Some(0.0) && select["bytes"].as_u64() > Some(0), "{answer}");
    assert_eq!(answer["data"]["text"].as_str().map(|t| t.lines().count()), Some(3), "{answer}");
    let only = [&range[..], &[("run", "false")]].concat();
    let plan = post_form(&format!("{}/api/v1/explain", server.url()), &only).expect("answers").json();
    assert!(plan["data"]["text"].as_str().is_some_and(|t| t.starts_with("aggregate sum by ()\n  window rate\n")), "{plan}");
    assert!(plan["data"]["plan"].is_null(), "{plan}");
    server.stop();
}
