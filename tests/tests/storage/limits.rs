//! Limits of the head: what is known goes on, what is beyond is refused and named.

use crate::wire::{self, Series};
use crate::{RECEIVER, config, now_ms};
use narthex_tests::{Server, get};

fn push(server: &Server, job: &str, n: usize, t_ms: i64) -> narthex_tests::Answer {
    let numbers: Vec<String> = (0..n).map(|i| format!("{i:03}")).collect();
    let labels: Vec<[(&str, &str); 3]> = numbers.iter().map(|i| [("__name__", "limited"), ("i", i.as_str()), ("job", job)]).collect();
    let samples = [(t_ms, 1.0)];
    wire::push(server, &labels.iter().map(|l| Series { labels: l, samples: &samples }).collect::<Vec<_>>())
}

#[test]
fn series_beyond_a_limit_are_refused_and_named() {
    let args = [RECEIVER, "--storage.tsdb.max-series=50", "--storage.tsdb.max-series-per-job=30"];
    let mut server = Server::narthex("server", &config(None), &args);
    server.expect_log(&["refused samples of a remote write request"]);
    server.start();
    let t = now_ms() - 10_000;
    assert_eq!(push(&server, "a", 30, t).status, 204);
    let over = push(&server, "a", 33, t + 10);
    assert_eq!(over.status, 400, "{}", over.text());
    assert!(over.text().contains("job \"a\"") && over.text().contains("30"), "{}", over.text());
    assert_eq!(push(&server, "b", 20, t).status, 204, "another job has its own room");
    let over = push(&server, "c", 1, t);
    assert!(over.status == 400 && over.text().contains("50"), "{}", over.text());
    // What was there goes on.
    assert_eq!(push(&server, "a", 30, t + 20).status, 204);
    assert_eq!(server.value("count(limited)"), Some(50.0));
    assert_eq!(server.value("sum(count_over_time(limited{job=\"a\"}[1h]))"), Some(90.0));
    let page = get(&format!("{}/metrics", server.url())).expect("answers").text();
    assert!(page.lines().any(|l| l.starts_with("narthex_tsdb_series_limit_refused_total") && !l.ends_with(" 0")));
    // Who makes new series can be seen.
    let status = server.api("status/tsdb", &[]);
    let churn = &status["data"]["churn"];
    assert_eq!(churn["seriesCreated"], 50, "{churn}");
    assert_eq!(churn["createdByJob"][0]["name"], "a", "{churn}");
    assert_eq!(churn["createdByJob"][0]["value"], 30, "{churn}");
    assert_eq!(churn["createdByMetricName"][0]["name"], "limited", "{churn}");
    server.stop();
}
