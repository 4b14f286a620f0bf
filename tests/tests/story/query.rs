//! query: the question of the story, by GET and by POST, answered as a real Prometheus with the same samples answers it.

use crate::tools::{RECEIVER, assert_all_arrives, config, data, job, seconds, sleep, sorted, uplink};
use narthex_tests::{Kind, Server, get, node_exporter, now, post_form, wait_for};
use serde_json::json;

const QUESTION: &str = r#"avg by (class) (rate(node_cpu_seconds_total{grade="1학년",mode!="idle"}[1m]))"#;

#[test]
fn classes_are_averaged() {
    let Some(exporter) = node_exporter() else { return };
    let Some(mut reference) = Server::new(Kind::Prometheus, "reference", &config("", &[], &[]), &[RECEIVER]) else { return };
    reference.start();
    let jobs = [
        job("서버-1", &exporter.address, "class: \"6반\", grade: \"1학년\""),
        job("서버-2", &exporter.address, "class: \"7반\", grade: \"1학년\""),
        job("서버-3", &exporter.address, "class: \"8반\", grade: \"2학년\""),
    ];
    let mut server = Server::narthex("server", &config("", &jobs, &[uplink(&reference)]), &[]);
    server.start();
    wait_for("three targets", seconds(20), || server.value("count(up == 1)").filter(|n| *n == 3.0));
    sleep(10);
    assert_all_arrives(&server, &reference, r#"node_cpu_seconds_total{cpu="0"}"#, &json!({}));

    let time = format!("{:.3}", now() - 3.0);
    let ask = |of: &Server, post: bool| {
        let form = [("query", QUESTION), ("time", time.as_str())];
        if post { post_form(&format!("{}/api/v1/query", of.url()), &form).expect("answers").json() } else { of.api("query", &form) }
    };
    let (by_get, by_post, expected) = (ask(&server, false), ask(&server, true), ask(&reference, true));
    assert_eq!(by_get, by_post);
    assert_eq!(sorted(by_post.clone()), sorted(expected));
    let found = data(&by_post)["result"].as_array().expect("a vector");
    let mut classes: Vec<_> = found.iter().map(|s| s["metric"]["class"].as_str().expect("a class")).collect();
    classes.sort_unstable();
    assert_eq!(classes, ["6반", "7반"]);
    assert!(found.iter().all(|s| s["value"][1].as_str().and_then(|v| v.parse::<f64>().ok()).is_some_and(|v| v > 0.0)), "{by_post}");

    let url = format!("{}/api/v1/label/class/values", server.url());
    let values = get(&url).expect("answers").json();
    assert_eq!(values, json!({"status": "success", "data": ["6반", "7반", "8반"]}));
    // Prometheus has this one by GET alone: /labels and /series are what may be posted.
    assert_eq!(post_form(&url, &[]).expect("answers").status, post_form(&url.replace(&server.url(), &reference.url()), &[]).expect("answers").status);
    let form = [("match[]", r#"{job="서버-1"}"#), ("start", time.as_str())];
    let names = post_form(&format!("{}/api/v1/labels", server.url()), &form).expect("answers").json();
    assert_eq!(names, server.api("labels", &form));
    assert!(data(&names).as_array().expect("a list").contains(&json!("grade")), "{names}");
    let one = [("match[]", r#"node_boot_time_seconds{class="7반"}"#)];
    let series = post_form(&format!("{}/api/v1/series", server.url()), &one).expect("answers").json();
    assert_eq!(series, server.api("series", &one));
    assert_eq!(data(&series).as_array().map(Vec::len), Some(1));
    server.stop();
}
