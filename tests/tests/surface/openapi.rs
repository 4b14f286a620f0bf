//! Every path and method of the reference's OpenAPI document is asked of the running server, well and badly, and its answer has the shape that the
//! document gives it.

use crate::schema::{faults, from_yaml};
use crate::stage::{encode, reference, stage};
use narthex_tests::{Answer, Kind, Server, request};
use serde_json::{Value, json};

const ARGS: &[&str] = &[
    "--web.enable-admin-api",
    "--web.enable-lifecycle",
    "--web.enable-remote-write-receiver",
    "--web.enable-otlp-receiver",
    "--enable-feature=search-api,exemplar-storage",
];

const NOW_QUERY: &[(&str, &str)] = &[("query", "scrapes_total")];

/// Good arguments of a path; None for a path that this test does not know.
fn good(path: &str) -> Option<Vec<&'static [(&'static str, &'static str)]>> {
    Some(match path {
        "/query" => vec![
            NOW_QUERY,
            &[("query", "1")],
            &[("query", "scrapes_total[1m]"), ("stats", "all"), ("timeout", "5s"), ("lookback_delta", "1m"), ("limit", "1")],
            &[("query", "rate(class:scrapes:sum[1m])")],
        ],
        "/query_range" => vec![&[("query", "scrapes_total"), ("start", "0"), ("end", "60"), ("step", "15"), ("stats", "all")]],
        "/query_exemplars" | "/format_query" | "/parse_query" => {
            vec![&[("query", "sum by (job) (rate(scrapes_total{job=\"x\"}[5m] offset 1m)) > bool 2")]]
        }
        "/labels" | "/label/{name}/values" => vec![&[], &[("match[]", "up"), ("limit", "1")]],
        "/series" => vec![&[("match[]", "{job!=\"\"}"), ("match[]", "up"), ("limit", "2")]],
        "/search/metric_names" => vec![&[], &[("search[]", "scr"), ("include_metadata", "true"), ("include_score", "true"), ("sort_by", "score")]],
        "/search/label_names" => vec![&[], &[("search[]", "jb"), ("fuzz_alg", "jarowinkler"), ("fuzz_threshold", "50")]],
        "/search/label_values" => vec![&[("label", "job"), ("batch_size", "1"), ("limit", "1")]],
        "/metadata" => vec![&[], &[("limit", "1"), ("limit_per_metric", "1"), ("metric", "scrapes_total")]],
        "/targets" => vec![&[], &[("state", "dropped")], &[("state", "active"), ("scrapePool", "서버-1")]],
        "/targets/metadata" => vec![&[], &[("metric", "scrapes_total"), ("match_target", "{job=\"서버-1\"}"), ("limit", "1")]],
        "/targets/relabel_steps" => vec![&[("scrapePool", "dropped"), ("labels", "{\"job\":\"dropped\"}")]],
        "/rules" => vec![&[], &[("type", "alert"), ("exclude_alerts", "true")], &[("group_limit", "1")]],
        "/status/tsdb" => vec![&[], &[("limit", "2")]],
        "/status/self_metrics" => vec![&[], &[("metric_name_pattern", "prometheus_http_.*")]],
        "/scrape_pools"
        | "/alerts"
        | "/alertmanagers"
        | "/status/config"
        | "/status/runtimeinfo"
        | "/status/buildinfo"
        | "/status/flags"
        | "/status/tsdb/blocks"
        | "/status/walreplay"
        | "/notifications"
        | "/features"
        | "/admin/tsdb/clean_tombstones" => vec![&[]],
        "/admin/tsdb/delete_series" => vec![&[("match[]", "no_such_series"), ("start", "0"), ("end", "1")]],
        "/admin/tsdb/snapshot" => vec![&[("skip_head", "true")]],
        // Bodies of their own: the wire tests send them.
        "/read" | "/write" | "/otlp/v1/metrics" => vec![],
        _ => return None,
    })
}

/// Arguments that are refused, and with which status.
fn bad(path: &str) -> Option<(&'static [(&'static str, &'static str)], u16)> {
    Some(match path {
        "/query" => (&[("query", "sum(")], 400),
        "/query_range" => (&[("query", "up"), ("start", "0"), ("end", "100000"), ("step", "1")], 400),
        "/query_exemplars" => (&[("query", "up"), ("start", "2"), ("end", "1")], 400),
        "/format_query" | "/parse_query" => (&[("query", "up{")], 400),
        "/labels" | "/label/{name}/values" => (&[("match[]", "{}")], 400),
        "/series" => (&[], 400),
        "/search/metric_names" | "/search/label_names" => (&[("sort_by", "score")], 400),
        "/search/label_values" => (&[], 400),
        "/metadata" | "/targets/metadata" => (&[("limit", "many")], 400),
        "/targets/relabel_steps" => (&[("scrapePool", "none"), ("labels", "{}")], 400),
        "/rules" => (&[("type", "neither")], 400),
        "/status/tsdb" => (&[("limit", "0")], 400),
        "/status/self_metrics" => (&[("metric_name_pattern", "(")], 400),
        "/admin/tsdb/delete_series" => (&[], 400),
        "/admin/tsdb/snapshot" => (&[("skip_head", "perhaps")], 400),
        _ => return None,
    })
}

/// Where the document and a real Prometheus 3.14 are not of one mind, and Narthex does as the program: these answer 204 without a body.
const NO_CONTENT: &[&str] = &["/admin/tsdb/delete_series", "/admin/tsdb/clean_tombstones"];

fn ask(s: &Server, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
    let url = format!("{}/api/v1{}", s.url(), path.replace("{name}", "job"));
    let in_body = method == "post" && !path.starts_with("/admin");
    let (url, body) = if in_body { (url, encode(form)) } else { (format!("{url}?{}", encode(form)), String::new()) };
    let headers: &[(&str, &str)] = if in_body { &[("Content-Type", "application/x-www-form-urlencoded")] } else { &[] };
    request(&method.to_uppercase(), &url, headers, body.as_bytes()).expect("answers")
}

fn check_good(document: &Value, operation: &Value, a: &Answer, path: &str) -> Vec<String> {
    if NO_CONTENT.contains(&path) {
        return if a.status == 204 && a.body.is_empty() { Vec::new() } else { vec![format!("{} instead of 204", a.status)] };
    }
    if a.status != 200 {
        return vec![format!("{}: {}", a.status, a.text())];
    }
    let content = &operation["responses"]["200"]["content"];
    let kind = a.header("content-type").unwrap_or("").split(';').next().unwrap_or("").to_string();
    if content[&kind].is_null() {
        return vec![format!("content type {kind} is not in the document")];
    }
    if kind == "application/x-ndjson" {
        return check_lines(&a.text());
    }
    let mut found = faults(document, &content[&kind]["schema"], &a.json());
    // Of a state without dropped targets they are not counted, there too.
    found.retain(|f| !f.starts_with("$.data.droppedTargetCounts: null"));
    // What Narthex adds (docs/api.md).
    found.retain(|f| path != "/status/tsdb" || f != "$.data.churn: is not in the schema");
    found
}

/// Lines of results, then one that says how it ended.
fn check_lines(text: &str) -> Vec<String> {
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect();
    let Some((last, batches)) = lines.split_last() else { return vec!["no lines".to_string()] };
    let mut out = Vec::new();
    if batches.is_empty() || batches.iter().any(|b| !b["results"].is_array()) {
        out.push(format!("no batches of results in {text}"));
    }
    if last["status"] != "success" || !last["has_more"].is_boolean() {
        out.push(format!("the last line is {last}"));
    }
    out
}

#[test]
fn every_path_of_the_document_answers_in_its_shape() {
    let Some(path) = reference("api/openapi_3.1_golden.yaml") else { return };
    let document = from_yaml(&std::fs::read_to_string(path).expect("reads the document"));
    let Some(stage) = stage(Kind::Narthex, ARGS) else { return };
    let s = &stage.server;
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let Some(forms) = good(path) else {
            wrong.push(format!("{path}: this test does not know it"));
            continue;
        };
        for (method, operation) in methods.as_object().expect("methods").iter().filter(|(m, _)| matches!(m.as_str(), "get" | "post" | "put")) {
            for form in &forms {
                let a = ask(s, method, path, form);
                asked += 1;
                wrong.extend(check_good(&document, operation, &a, path).into_iter().map(|f| format!("{method} {path} {form:?}: {f}")));
            }
            if let Some((form, status)) = bad(path) {
                let a = ask(s, method, path, form);
                asked += 1;
                if a.status != status {
                    wrong.push(format!("{method} {path} {form:?}: {} instead of {status}: {}", a.status, a.text()));
                } else {
                    let f = faults(&document, &json!({"$ref": "#/components/schemas/Error"}), &a.json());
                    wrong.extend(f.into_iter().map(|f| format!("{method} {path} {form:?}: {f}")));
                }
            }
        }
        // A method that the document does not have is not allowed.
        let a = ask(s, "delete", path, &[]);
        asked += 1;
        // Deleting series this way is known and was never built, there too.
        let want = if path == "/series" { 500 } else { 405 };
        if a.status != want {
            wrong.push(format!("delete {path}: {} instead of {want}", a.status));
        }
    }
    assert!(asked > 100, "only {asked} requests were made");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn our_own_document_names_all_that_the_reference_names() {
    let Some(path) = reference("api/openapi_3.1_golden.yaml") else { return };
    let theirs = from_yaml(&std::fs::read_to_string(path).expect("reads the document"));
    let mut server = Server::narthex("document", "", &[]);
    let s = &*server.start();
    let a = ask(s, "get", "/openapi.yaml", &[]);
    assert_eq!((a.status, a.header("content-type")), (200, Some("application/yaml; charset=utf-8")));
    let ours = from_yaml(&a.text());
    assert_eq!(ours["openapi"], "3.1.0");
    let mut missing = Vec::new();
    for (path, methods) in theirs["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods").iter().filter(|(_, o)| o.is_object()) {
            let own = &ours["paths"][path][method];
            if own.is_null() {
                missing.push(format!("{method} {path}"));
                continue;
            }
            let names = |o: &Value| -> Vec<String> {
                let parameters = o["parameters"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str().map(str::to_string));
                let form = o["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"].as_object().cloned();
                parameters.chain(form.into_iter().flatten().map(|(k, _)| k)).collect()
            };
            let own = names(own);
            missing.extend(names(operation).into_iter().filter(|n| !own.contains(n)).map(|n| format!("{method} {path}: {n}")));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
    let newer = from_yaml(&ask(s, "get", "/openapi.yaml", &[("openapi_version", "3.2")]).text());
    assert_eq!(newer["openapi"], "3.2.0");
    assert!(newer["paths"]["/notifications/live"].is_object());
}

/// What the reference lists among its features and Narthex has not; all else is listed there too.
const NO_SUCH_FEATURE: &[&str] = &["prometheus/stringlabels: a way to build the Go program", "ui/ui_v2: another page", "ui/ui_v3: another page"];

#[test]
fn features_are_listed_as_in_the_reference() {
    let Some(path) = reference("api/features.json") else { return };
    let theirs: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("reads")).expect("JSON");
    let theirs = if theirs["data"].is_object() { &theirs["data"] } else { &theirs };
    let mut server = Server::narthex("features", "", &[]);
    let ours = server.start().api("features", &[])["data"].clone();
    let mut wrong = Vec::new();
    for (category, list) in theirs.as_object().expect("categories") {
        for (name, on) in list.as_object().expect("features") {
            let key = format!("{category}/{name}");
            let known_missing = NO_SUCH_FEATURE.iter().any(|n| n.split(':').next() == Some(&key)) || category == "service_discovery_providers";
            match &ours[category][name] {
                Value::Null if known_missing => {}
                // What is off or on by default there is so here, where it can be switched at all.
                v if v == on || key == "tsdb/isolation" => {}
                v => wrong.push(format!("{key}: {v}, there {on}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let providers: Vec<&String> = ours["service_discovery_providers"].as_object().expect("a list").keys().collect();
    assert_eq!(providers, ["consul", "dns", "docker", "ec2", "file", "http", "kubernetes", "static"]);
}
