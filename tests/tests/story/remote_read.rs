//! remote_read: a server asks a real Prometheus for samples that it has not, beside its own; it answers what a real Prometheus in its place
//! answers. What is about a server's own samples asks nobody.

use crate::tools::{RECEIVER, data, seconds, sorted};
use crate::wire::{Series, post, snappy, write_request};
use narthex_tests::{Kind, Server, get, now, wait_for};
use serde_json::Value;

fn write(server: &Server, series: &[Series<'_>]) {
    let answer = post(server, &snappy(&write_request(series)));
    assert_eq!(answer.status / 100, 2, "{}", answer.text());
}

fn config(far: &Server, more: &str) -> String {
    let external = "global:\n  external_labels: {site: near}\n";
    format!("{external}remote_read:\n- url: {}/api/v1/read\n  name: far\n{more}", far.url())
}

fn range(server: &Server, query: &str, start_ms: i64, end_ms: i64) -> Value {
    let time = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let answer = server.api("query_range", &[("query", query), ("start", &time(start_ms)), ("end", &time(end_ms)), ("step", "10")]);
    sorted(answer)
}

#[test]
fn answers_with_samples_from_elsewhere() {
    let Some(mut far) = Server::new(Kind::Prometheus, "far", "", &[RECEIVER]) else { return };
    far.start();
    let end = now() as i64 / 10 * 10_000;
    let start = end - 300_000;
    let points = |from: i64, to: i64, step: i64, v: f64| -> Vec<(i64, f64)> {
        (from..to).step_by(step as usize).map(|t| (t, v + (t - start) as f64)).collect()
    };
    // `both` overlaps: far away until the end, here the last minute, half a step beside. `theirs` is only there. All there is of this site.
    let (old, recent) = (points(start, end, 10_000, 0.0), points(end - 60_000, end, 10_000, 0.5));
    let (both, theirs) = ([("__name__", "both"), ("job", "a"), ("site", "near")], [("__name__", "theirs"), ("site", "near")]);
    write(&far, &[Series { labels: &both, samples: &old }, Series { labels: &theirs, samples: &old }]);
    let elsewhere = [("__name__", "theirs"), ("site", "other")];
    write(&far, &[Series { labels: &elsewhere, samples: &old }]);
    let near = |kind: Kind, name: &str, more: &str| {
        let mut s = Server::new(kind, name, &config(&far, more), &[RECEIVER])?;
        s.start();
        write(&s, &[Series { labels: &both[..2], samples: &recent }, Series { labels: &[("__name__", "ours")], samples: &recent }]);
        Some(s)
    };
    for more in [
        "  read_recent: true\n",
        "",
        "  read_recent: true\n  required_matchers: {job: a}\n",
        "  read_recent: true\n  filter_external_labels: false\n",
    ] {
        let (Some(ours), Some(real)) = (near(Kind::Narthex, "ours", more), near(Kind::Prometheus, "real", more)) else { return };
        for query in [
            "both",
            "theirs",
            "ours",
            "count_over_time(both[5m])",
            "sum(rate(both[1m])) by (job)",
            "both{job=\"a\"}",
            "theirs{site=\"other\"}",
            "theirs{site=\"near\"}",
            "{__name__=~\"both|theirs|ours\"}",
        ] {
            let (a, b) = (range(&ours, query, start, end), range(&real, query, start, end));
            assert_eq!(a, b, "{query} with {more:?}");
        }
        // Not one sample of either side is missing where both have some.
        if more.contains("recent: true\n") && !more.contains("filter") {
            let found = ours.samples("both{job=\"a\"}", 400);
            let times: Vec<i64> = found.iter().flat_map(|s| s.1.iter().map(|p| p.0)).collect();
            assert_eq!(times, old.iter().map(|p| p.0).collect::<Vec<_>>(), "{more:?}");
            let local = found[0].1.iter().filter(|p| p.1.fract() != 0.0).count();
            assert_eq!(local, recent.len(), "at one time the local sample wins");
        }
    }
}

#[test]
fn a_server_that_is_gone_is_a_warning_and_what_is_local_does_not_ask() {
    let Some(mut far) = Server::new(Kind::Prometheus, "far", "", &[RECEIVER]) else { return };
    far.start();
    let mut near = Server::narthex("near", &config(&far, "  read_recent: true\n"), &[RECEIVER, "--web.enable-admin-api"]);
    near.start();
    let t = (now() * 1000.0) as i64;
    write(&near, &[Series { labels: &[("__name__", "m")], samples: &[(t, 1.0)] }]);
    let asked = |s: &Server| crate::tools::own_metric(s, "prometheus_remote_read_client_queries_total");
    assert!(data(&near.query("m"))["result"].as_array().is_some_and(|r| r.len() == 1));
    let n = asked(&near);
    assert_eq!(n, 1.0);
    for path in ["/api/v1/gaps", "/federate?match[]=m", "/api/v1/status/tsdb", "/api/v1/rules", "/metrics", "/api/v1/targets"] {
        let answer = get(&format!("{}{path}", near.url())).expect("answers");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert_eq!(asked(&near), n, "something local asked elsewhere");
    far.stop();
    let answer = wait_for("a warning", seconds(10), || Some(near.query("m")).filter(|a| a["warnings"].is_array()));
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(answer["data"]["result"][0]["value"][1], "1", "{answer}");
    let warning = answer["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.starts_with("error sending request: Post \"http://127.0.0.1:"), "{warning}");
}
