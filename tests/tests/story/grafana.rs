//! Grafana: every call of its data source, with the parameters that it sends, answered as a real Prometheus with the same samples answers.

use crate::tools::{RECEIVER, config, data, wait_for_points};
use crate::wire::{self, Series};
use narthex_tests::{Answer, Kind, Server, now, post_form, request, wait_for};
use serde_json::Value;

const RULES: &str = r#"groups:
- name: 학교
  interval: 1h
  rules:
  - record: class:sum
    expr: sum by (class) (no_such_metric)
    labels: {grade: 1학년}
  - alert: 조용함
    expr: no_such_metric == 0
    for: 5m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.class }}"}
"#;

fn server(kind: Kind, base_s: i64) -> Option<Server> {
    let text = format!("{}rule_files: [rules.yml]\n", config("", &[], &[]));
    let mut s = Server::new(kind, "server", &text, &[RECEIVER])?;
    std::fs::write(s.path().join("rules.yml"), RULES).expect("writes rules");
    s.start();
    let mut labels: Vec<Vec<(&str, &str)>> = Vec::new();
    for class in ["6반", "7반"] {
        for (cpu, mode) in [("0", "idle"), ("0", "user"), ("1", "idle"), ("1", "user")] {
            labels.push(vec![("__name__", "node_cpu_seconds_total"), ("class", class), ("cpu", cpu), ("mode", mode), ("학교", "서울")]);
        }
        labels.push(vec![("__name__", "up"), ("class", class), ("instance", "a:9100"), ("job", "서버-1")]);
    }
    let samples: Vec<Vec<(i64, f64)>> =
        (0..labels.len()).map(|n| (0..20).map(|i| ((base_s + i * 15) * 1000, 1.0 + (n as i64 * i) as f64 / 3.0)).collect()).collect();
    let all: Vec<Series<'_>> = labels.iter().zip(&samples).map(|(labels, samples)| Series { labels, samples }).collect();
    let taken = wire::push(&s, &all);
    assert_eq!(taken.status, 204, "{}", taken.text());
    wait_for_points(&s, r#"up{class="7반"}"#, 20);
    Some(s)
}

fn get(s: &Server, path: &str, form: &[(&str, &str)]) -> Answer {
    request("GET", &format!("{}{path}?{}", s.url(), encode(form)), &[("Accept-Encoding", "gzip")], b"").expect("answers")
}

fn post(s: &Server, path: &str, form: &[(&str, &str)]) -> Answer {
    post_form(&format!("{}{path}", s.url()), form).expect("answers")
}

fn encode(form: &[(&str, &str)]) -> String {
    let escape =
        |s: &str| s.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect::<String>();
    form.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect::<Vec<_>>().join("&")
}

/// Leaves out what no two servers have in common.
fn comparable(mut v: Value) -> Value {
    fn walk(v: &mut Value) {
        match v {
            Value::Object(m) => {
                for key in ["lastEvaluation", "evaluationTime", "health", "file"] {
                    m.remove(key);
                }
                // An alert that was not looked at yet is inactive to 3.5, unknown to later ones.
                if m.get("state").is_some_and(|s| s == "unknown") {
                    m.insert("state".to_string(), "inactive".into());
                }
                m.values_mut().for_each(walk);
            }
            Value::Array(a) => a.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut v);
    v
}

#[test]
fn every_call_of_the_data_source() {
    let base = (now() as i64 - 400) / 60 * 60;
    let mut ours = server(Kind::Narthex, base).expect("our own binary");
    let theirs = server(Kind::Prometheus, base);
    let (start, end) = (base.to_string(), (base + 300).to_string());
    let (start_ms, end_ms) = (format!("{start}000"), format!("{end}000"));
    let time = format!("{}.5", base + 285);
    let range = |query| vec![("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", "15")];
    let at = |query| vec![("query", query), ("time", time.as_str())];
    let within = |more: &[(&'static str, &'static str)]| {
        let mut form = more.to_vec();
        form.extend([("start", start.as_str()), ("end", end.as_str())]);
        form.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>()
    };
    let owned = |form: Vec<(&str, &str)>| form.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>();

    // (path, form, whether it is asked by POST as well, status)
    type Call = (&'static str, Vec<(String, String)>, bool, u16);
    let calls: Vec<Call> = vec![
        ("/api/v1/query", owned(vec![("query", "1+1"), ("time", "4")]), true, 200),
        ("/api/v1/query_range", owned(range(r#"sum by (class) (rate(node_cpu_seconds_total{mode!="idle"}[1m0s]))"#)), true, 200),
        (
            "/api/v1/query_range",
            owned([range(r#"node_cpu_seconds_total{cluster="",class=~"6반|7반"}"#), vec![("timeout", "60s")]].concat()),
            true,
            200,
        ),
        ("/api/v1/query_range", owned(range(r#"max_over_time(rate(node_cpu_seconds_total[1m])[2m:30s])"#)), true, 200),
        ("/api/v1/query_range", owned(vec![("query", "up"), ("start", &start), ("end", &end), ("step", "0.001")]), true, 400),
        ("/api/v1/query_range", owned(vec![("query", "up"), ("start", &end), ("end", &start), ("step", "15")]), true, 400),
        ("/api/v1/query", owned(at("topk(3, node_cpu_seconds_total)")), true, 200),
        ("/api/v1/query", owned(at(r#"label_replace(up, "반", "$1", "class", "(.*)반")"#)), true, 200),
        ("/api/v1/query", owned(at(r#"up{class="6반"}[1m]"#)), true, 200),
        ("/api/v1/query", owned(at(r#""글자""#)), true, 200),
        ("/api/v1/query", owned(at("up{")), true, 400),
        ("/api/v1/query", owned(at("sum(up) by")), true, 400),
        ("/api/v1/query", owned(at("rate(up)")), true, 400),
        ("/api/v1/query", owned(vec![("query", "up"), ("time", "x")]), true, 400),
        ("/api/v1/query", owned(at("up + on(job) up")), true, 422),
        ("/api/v1/query_exemplars", owned(vec![("query", "up"), ("start", &start), ("end", &end)]), true, 200),
        ("/api/v1/query_exemplars", owned(vec![("query", "test"), ("start", &start_ms), ("end", &end_ms)]), false, 200),
        ("/api/v1/label/class/values", within(&[("limit", "40000")]), false, 200),
        ("/api/v1/label/class/values", within(&[("limit", "1")]), false, 200),
        ("/api/v1/label/U___d559__ad50_/values", within(&[]), false, 200),
        ("/api/v1/label/class/values", within(&[("match[]", r#"up{instance="a:9100"}"#)]), false, 200),
        ("/api/v1/label/no-such-label/values", within(&[]), false, 200),
        ("/api/v1/labels", within(&[("limit", "40000")]), true, 200),
        ("/api/v1/labels", within(&[("match[]", r#"{__name__=~".*cpu.*"}"#)]), true, 200),
        ("/api/v1/label/__name__/values", within(&[("match[]", r#"{__name__=~"node_.*"}"#)]), false, 200),
        ("/api/v1/series", within(&[("match[]", "up")]), true, 200),
        ("/api/v1/series", within(&[("match[]", r#"{class="6반"}"#), ("limit", "2")]), true, 200),
        ("/api/v1/series", within(&[]), true, 400),
        ("/api/v1/metadata", owned(vec![("limit", "40000")]), false, 200),
        ("/api/v1/rules", owned(vec![]), false, 200),
        ("/api/v1/alerts", owned(vec![]), false, 200),
        ("/api/v1/format_query", owned(vec![("query", "sum(up)by(class)")]), true, 200),
    ];
    let mut wrong = Vec::new();
    for (path, form, by_post, status) in &calls {
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut answers = vec![("GET", get(&ours, path, &form))];
        if *by_post {
            answers.push(("POST", post(&ours, path, &form)));
        }
        for (method, a) in answers {
            let what = format!("{method} {path} {form:?}");
            if a.status != *status {
                wrong.push(format!("{what}: {} {}", a.status, a.text()));
                continue;
            }
            let body = a.json();
            assert_eq!(a.header("content-type"), Some("application/json"), "{what}");
            assert_eq!(body["status"], if *status == 200 { "success" } else { "error" }, "{what}");
            let text = a.text();
            if let (Some(kind), Some(result)) = (text.find("\"resultType\""), text.find("\"result\"")) {
                assert!(kind < result, "{what}: {text}");
            }
            if let Some(t) = &theirs {
                let expected = if method == "GET" { get(t, path, &form) } else { post(t, path, &form) };
                if (a.status, comparable(body.clone())) != (expected.status, comparable(expected.json())) {
                    wrong.push(format!(
                        "{what}:\n  ours   {} {}\n  theirs {} {}",
                        a.status,
                        comparable(body),
                        expected.status,
                        comparable(expected.json())
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));

    // The heuristics take a server for Mimir when it lists features, and need a version that they can compare.
    let build = get(&ours, "/api/v1/status/buildinfo", &[]).json();
    assert!(data(&build).get("features").is_none(), "{build}");
    let version: Vec<_> = data(&build)["version"].as_str().expect("a version").split('.').collect();
    assert!(version.len() == 3 && version[0].parse::<u32>().is_ok_and(|v| v >= 2) && version[1].parse::<u32>().is_ok(), "{build}");
    // Both ways of loading rules at the start; health once the rules have been looked at.
    let rules = wait_for("rules", std::time::Duration::from_secs(5), || Some(get(&ours, "/api/v1/rules", &[]).json()));
    let listed = data(&rules)["groups"][0]["rules"].as_array().expect("a list");
    assert_eq!((listed[0]["type"].as_str(), listed[0]["name"].as_str()), (Some("recording"), Some("class:sum")), "{rules}");
    assert_eq!((listed[1]["type"].as_str(), listed[1]["name"].as_str()), (Some("alerting"), Some("조용함")), "{rules}");
    ours.stop();
}
