//! A recorded list of requests (requests.txt), good ones and bad ones, put to Narthex and to a real Prometheus 3.5 that hold the same samples:
//! status, type and body must be equal. What may differ is listed here: fields that no two servers share, and requests on which Narthex follows 3.14
//! or its own promises instead.

use crate::stage::encode;
use crate::wire::{self, Series};
use narthex_tests::{Answer, Kind, Server, now, request, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const REQUESTS: &str = include_str!("requests.txt");

/// Fields, wherever they stand, that depend on the moment, the place or the version of a server.
const VARIABLE: &[&str] = &[
    "lastScrape",
    "lastScrapeDuration",
    "lastError",
    "health",
    "globalUrl",
    "evaluationTime",
    "lastEvaluation",
    "activeAt",
    "file",
    // Tokens of paging are made of the file's path.
    "groupNextToken",
    // Go counts bytes of its own memory.
    "memoryInBytesByLabelName",
    "chunkCount",
    // What 3.14 tells more than 3.5.
    "anchored",
    "smoothed",
    "offsetExpr",
    "rangeExpr",
    "fillValues",
    "__always_scrape_classic_histograms__",
    "__convert_classic_histograms_to_nhcb__",
    "__scrape_native_histograms__",
];

/// Requests, by the start of their line, on which the two differ on purpose.
const DIFFERENT: &[(&str, &str)] = &include!("different.in");

const RULES: &str = "groups:\n- name: 학교\n  interval: 1h\n  rules:\n  - record: class:sum\n    expr: sum by (class) (no_such_metric)\n    labels: {grade: 1학년}\n\
  \x20 - alert: 조용함\n    expr: no_such_metric == 0\n    for: 5m\n    keep_firing_for: 1m\n    labels: {severity: page}\n    annotations: {summary: '{{ $labels.class }}'}\n\
  - name: second\n  interval: 1h\n  limit: 3\n  rules:\n  - record: one\n    expr: vector(1) unless vector(1)\n";

fn server(kind: Kind, base_s: i64) -> Option<Server> {
    let config = "global: {scrape_interval: 1h, external_labels: {site: 서울}}\nrule_files: [rules.yml]\n\
         alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['127.0.0.1:1']}]\n\
         scrape_configs:\n- job_name: 잡\n  static_configs:\n  - {targets: ['127.0.0.1:1'], labels: {class: 6반, __meta_x: y}}\n\
         - job_name: dropped\n  static_configs: [{targets: ['127.0.0.1:2']}]\n  relabel_configs:\n  - {source_labels: [job], regex: dropped, action: drop}\n";
    let args = [
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--enable-feature=exemplar-storage",
        "--web.external-url=http://prom.example:9090/",
    ];
    let mut s = Server::new(kind, if kind == Kind::Narthex { "narthex" } else { "prometheus" }, config, &args)?;
    s.expect_log(&["remote write", "127.0.0.1:1"]);
    std::fs::write(s.path().join("rules.yml"), RULES).expect("writes rules");
    s.start();
    push(&s, base_s);
    // Discovery is told of to the scrapers and to the notifier every five seconds.
    wait_for("targets and an Alertmanager", Duration::from_secs(30), || {
        let (targets, managers) = (s.api("targets", &[])["data"].clone(), s.api("alertmanagers", &[])["data"].clone());
        let some = |list: &Value| list.as_array().is_some_and(|l| !l.is_empty());
        (some(&targets["activeTargets"]) && some(&targets["droppedTargets"]) && some(&managers["activeAlertmanagers"])).then_some(())
    });
    Some(s)
}

/// Labels and samples of one series.
type Own = (Vec<(&'static str, &'static str)>, Vec<(i64, f64)>);

/// 21 samples of each series, 15 s apart.
fn push(s: &Server, base_s: i64) {
    let mut all: Vec<Own> = Vec::new();
    let mut add = |labels: &[(&'static str, &'static str)], value: &dyn Fn(i64) -> f64| {
        all.push((labels.to_vec(), (0..21).map(|i| ((base_s + i * 15) * 1000, value(i))).collect()));
    };
    for class in ["6반", "7반"] {
        add(&[("__name__", "up"), ("class", class), ("instance", "a:9100"), ("job", "node")], &|_| 1.0);
        for (code, step) in [("200", 7), ("500", 1)] {
            add(&[("__name__", "http_requests_total"), ("class", class), ("code", code), ("job", "api")], &|i| (i % 15 * step) as f64);
        }
    }
    for (le, share) in [("0.1", 1), ("0.5", 3), ("1", 4), ("+Inf", 5)] {
        add(&[("__name__", "latency_seconds_bucket"), ("job", "api"), ("le", le)], &|i| (i * share) as f64);
    }
    add(&[("__name__", "temperature"), ("room", "1")], &|i| if i == 3 { f64::NAN } else { 20.5 - i as f64 / 3.0 });
    add(&[("__name__", "temperature"), ("room", "2")], &|i| if i % 2 == 0 { f64::INFINITY } else { -0.0 });
    add(&[("__name__", "my.metric"), ("서버.이름", "가")], &|i| i as f64 * 1e21);
    let series: Vec<Series<'_>> = all
        .iter_mut()
        .map(|(labels, samples)| {
            labels.sort();
            Series { labels, samples }
        })
        .collect();
    let taken = wire::push(s, &series);
    assert_eq!(taken.status, 204, "{}: {}", s.name, taken.text());
    wait_for("the samples", Duration::from_secs(10), || s.value("count({__name__=~\".+\"} offset 1s)"));
}

/// One line of the list, for one server.
struct Recorded<'l> {
    method: &'l str,
    path: &'l str,
    form: Vec<(&'l str, String)>,
    headers: Vec<(&'l str, &'l str)>,
}

fn parse(line: &str, base_s: i64) -> Recorded<'_> {
    let mut parts = line.split(" ; ");
    let (method, path) = parts.next().and_then(|p| p.split_once(' ')).unwrap_or_else(|| panic!("a line without a method: {line}"));
    let (mut form, mut headers) = (Vec::new(), Vec::new());
    for part in parts {
        if let Some((n, v)) = part.strip_prefix('@').and_then(|h| h.split_once(": ")) {
            headers.push((n, v));
            continue;
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        form.push((name, at_time(value, base_s)));
    }
    Recorded { method, path, form, headers }
}

/// Puts times in place of `{T}` and `{T+60}`.
fn at_time(value: &str, base_s: i64) -> String {
    let Some((before, rest)) = value.split_once("{T") else { return value.to_string() };
    let Some((offset, after)) = rest.split_once('}') else { return value.to_string() };
    let offset: i64 = if offset.is_empty() { 0 } else { offset.trim_start_matches('+').parse().expect("a number of seconds") };
    format!("{before}{}{after}", base_s + offset)
}

fn ask(s: &Server, r: &Recorded<'_>) -> Answer {
    let form: Vec<(&str, &str)> = r.form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let mut headers = r.headers.clone();
    let url = format!("{}{}", s.url(), r.path);
    if matches!(r.method, "POST" | "PUT") && !form.is_empty() {
        headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        return request(r.method, &url, &headers, encode(&form).as_bytes()).expect("answers");
    }
    let url = if form.is_empty() { url } else { format!("{url}?{}", encode(&form)) };
    request(r.method, &url, &headers, b"").expect("answers")
}

/// An answer without what is not compared.
fn comparable(a: &Answer, s: &Server) -> Value {
    let header = |n: &str| a.header(n).map(str::to_string);
    let own = |t: &str| t.replace(&s.path().display().to_string(), "DIR").replace(&s.url(), "URL");
    let body = match serde_json::from_slice::<Value>(&a.body) {
        Ok(mut v) => {
            strip(&mut v);
            // Series of one selector are in no order.
            if let Some(list) = v.get_mut("data").and_then(Value::as_array_mut).filter(|l| l.iter().all(Value::is_object)) {
                list.sort_by_key(ToString::to_string);
            }
            v
        }
        Err(_) => Value::String(own(&a.text())),
    };
    let names = ["content-type", "location", "allow", "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"];
    let headers: Value = names.iter().filter_map(|n| Some(((*n).to_string(), Value::String(own(&header(n)?))))).collect();
    json!({"status": a.status, "headers": headers, "body": body})
}

fn strip(v: &mut Value) {
    match v {
        Value::Object(map) => {
            map.retain(|k, v| !(VARIABLE.contains(&k.as_str()) || k == "labels" && *v == json!({})));
            // An alert that was not evaluated yet is unknown in 3.14, and was inactive in 3.5. Builds of that without labels in one string leave
            // out empty ones.
            if map.get("state") == Some(&json!("unknown")) {
                map.insert("state".to_string(), json!("inactive"));
            }
            // An instant vector is in no order.
            if map.get("resultType") == Some(&json!("vector"))
                && let Some(Value::Array(list)) = map.get_mut("result")
                && list.len() > 1
            {
                list.sort_by_key(ToString::to_string);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

#[test]
fn recorded_requests_are_answered_as_by_prometheus() {
    let base_s = (now() as i64 - 330) / 15 * 15;
    let Some(theirs) = server(Kind::Prometheus, base_s) else { return };
    let ours = server(Kind::Narthex, base_s).expect("our own binary");
    let lines: Vec<&str> = REQUESTS.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let (mut wrong, mut unused) = (Vec::new(), DIFFERENT.iter().map(|(l, _)| *l).collect::<Vec<_>>());
    for line in &lines {
        let r = parse(line, base_s);
        let (a, b) = (comparable(&ask(&ours, &r), &ours), comparable(&ask(&theirs, &r), &theirs));
        if let Some((prefix, _)) = DIFFERENT.iter().find(|(l, _)| line == l) {
            if a != b {
                unused.retain(|u| u != prefix);
            }
            continue;
        }
        if a != b {
            wrong.push(format!("{line}\n   ours: {a}\n theirs: {b}"));
        }
    }
    assert!(lines.len() > 200, "only {} requests are recorded", lines.len());
    if let Ok(path) = std::env::var("NARTHEX_REPLAY_OUT") {
        std::fs::write(path, wrong.join("\n")).expect("writes the differences");
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    // Of what is not defined there the answers are sometimes equal.
    unused.retain(|u| !u.contains("timeout=-1") && !u.contains("limit="));
    assert!(unused.is_empty(), "these do not differ any more: {unused:#?}");
}
