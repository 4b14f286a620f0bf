//! Scraping beside a real Prometheus: both scrape the same pages with the same settings over real sockets; what they stored, what they say of their
//! targets, and what they asked for must be equal.

mod pages;
mod proto;
mod secure;

use crate::fake::{Asked, Fake, Said};
use narthex_tests::{Kind, Server, now, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT1: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const PROTO: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Name of a job, path of its page, further keys. Every key of a scrape configuration is in one of them.
const JOBS: &[(&str, &str, &str)] = &[
    ("text", "/text", ""),
    ("openmetrics", "/om", ""),
    ("utf8", "/utf8", ""),
    ("utf8-legacy", "/utf8", "metric_name_validation_scheme: legacy\nmetric_name_escaping_scheme: underscores"),
    ("utf8-underscores", "/utf8", "metric_name_escaping_scheme: underscores"),
    ("proto", "/proto", ""),
    ("proto-classic", "/proto", "always_scrape_classic_histograms: true"),
    ("proto-nhcb", "/proto", "convert_classic_histograms_to_nhcb: true"),
    ("proto-nhcb-classic", "/proto", "convert_classic_histograms_to_nhcb: true\nalways_scrape_classic_histograms: true"),
    ("proto-bucket-limit", "/proto", "native_histogram_bucket_limit: 3"),
    ("proto-bucket-factor", "/proto", "native_histogram_min_bucket_factor: 2"),
    ("text-nhcb", "/text", "convert_classic_histograms_to_nhcb: true"),
    ("om-nhcb", "/om", "convert_classic_histograms_to_nhcb: true"),
    ("broken", "/broken", ""),
    ("hex", "/hex", ""),
    ("timed", "/timed", ""),
    ("timed-not-honored", "/timed", "honor_timestamps: false"),
    ("doubled", "/doubled", ""),
    ("honored", "/text", "honor_labels: true"),
    ("gzip", "/gzip", ""),
    ("no-compression", "/text", "enable_compression: false"),
    ("protocols", "/text", "scrape_protocols: [PrometheusText0.0.4, OpenMetricsText0.0.1]"),
    ("no-type", "/no-type", ""),
    ("no-type-fallback", "/no-type", "fallback_scrape_protocol: PrometheusText0.0.4"),
    ("odd-type-fallback", "/odd-type", "fallback_scrape_protocol: PrometheusText1.0.0"),
    ("odd-type", "/odd-type", ""),
    ("no-eof", "/no-eof", ""),
    ("sample-limit", "/wide", "sample_limit: 3"),
    ("sample-limit-fits", "/wide", "sample_limit: 4"),
    ("label-limit", "/wide", "label_limit: 4"),
    ("label-name-limit", "/wide", "label_name_length_limit: 10"),
    ("label-value-limit", "/wide", "label_value_length_limit: 20"),
    ("body-limit", "/wide", "body_size_limit: 20B"),
    ("body-limit-gzip", "/gzip", "body_size_limit: 200B"),
    ("status-500", "/status/500", ""),
    ("status-204", "/status/204", ""),
    ("redirect", "/redirect", ""),
    ("redirect-not-followed", "/redirect", "follow_redirects: false"),
    ("params", "/echo", "params: {'a': [x, y], 'b c': ['6반&']}"),
    ("basic", "/auth", "basic_auth: {username: u, password: p:q}"),
    ("bearer", "/auth", "authorization: {credentials: token}"),
    ("own-scheme", "/auth", "authorization: {type: Token, credentials: t}"),
    ("oauth", "/auth", "oauth2: {client_id: me, client_secret: s, token_url: 'http://FAKE/token', scopes: [a, b], endpoint_params: {x: y}}"),
    ("headers", "/auth", "http_headers: {X-One: {values: [a]}, X-Two: {secrets: [b]}}"),
    (
        "relabeled",
        "/text",
        "metric_relabel_configs: [{source_labels: [__name__], regex: 't_latency.*|t_job', action: keep}, {regex: le, action: labeldrop}]",
    ),
    ("all-dropped", "/text", "metric_relabel_configs: [{source_labels: [__name__], regex: '.*', action: drop}]"),
    (
        "hidden-labels",
        "/nowhere",
        "relabel_configs: [{target_label: __metrics_path__, replacement: /echo}, {target_label: __param_q, replacement: z}, {target_label: __scrape_interval__, replacement: 2s}, {target_label: __scrape_timeout__, replacement: 1s}, {target_label: extra, replacement: '${1}x'}]",
    ),
    ("bad-interval", "/text", "relabel_configs: [{target_label: __scrape_interval__, replacement: never}]"),
    ("slow", "/slow", "scrape_timeout: 500ms"),
    ("empty", "/empty", ""),
];

/// What is stored otherwise, by words that name the difference.
const OTHERWISE: &[(&[&str], &str)] = &include!("otherwise.in");

/// Of these the text of the error differs: Go names its own types, or the operating system is asked otherwise.
const OTHER_ERROR: &[(&str, &str)] = &include!("errors.in");

fn answer(a: &Asked, base_s: i64) -> Said {
    let with = |kind: &str, body: String| Said::text(kind, body);
    let created = format!("{}.0", base_s - 60);
    match a.path.as_str() {
        "/text" => with(TEXT, pages::TEXT.to_string()),
        "/om" => with(OM, pages::OPENMETRICS.replace("CREATED", &created).replace("NOW", &format!("{base_s}.5"))),
        "/no-eof" => with(OM, "x 1\n".to_string()),
        "/utf8" => with(TEXT1, pages::UTF8.to_string()),
        "/proto" if a.header("accept").contains("protobuf") => Said::text(PROTO, proto::page(base_s - 60, base_s)),
        "/proto" => Said::status(406),
        "/hex" => with(TEXT, pages::HEX.to_string()),
        "/broken" => with(TEXT, pages::BROKEN.to_string()),
        "/timed" => with(TEXT, pages::timed(base_s * 1000)),
        "/doubled" => with(TEXT, pages::DOUBLED.to_string()),
        "/wide" => with(TEXT, pages::WIDE.to_string()),
        "/empty" => with(TEXT, String::new()),
        "/gzip" => {
            let mut z = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            z.write_all(pages::TEXT.as_bytes()).expect("to memory");
            Said::text(TEXT, z.finish().expect("to memory")).with("Content-Encoding", "gzip")
        }
        "/no-type" => Said::Whole { status: 200, headers: Vec::new(), body: pages::WIDE.into() },
        "/odd-type" => with("image/png", pages::WIDE.to_string()),
        "/status/500" => Said::status(500),
        "/status/204" => Said::Whole { status: 204, headers: Vec::new(), body: Vec::new() },
        "/redirect" => Said::Whole { status: 302, headers: vec![("Location", "/wide".to_string())], body: Vec::new() },
        "/echo" => with(TEXT, format!("echo{{query=\"{}\"}} 1\n", a.query)),
        "/auth" => {
            let of = |n| a.header(n).replace(['"', '\\'], "");
            with(TEXT, format!("auth{{authorization=\"{}\",one=\"{}\",two=\"{}\"}} 1\n", of("authorization"), of("x-one"), of("x-two")))
        }
        "/token" => Said::json(format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":3600}}"#, decoded_form(&a.body))),
        "/slow" => {
            std::thread::sleep(Duration::from_secs(2));
            with(TEXT, "x 1\n".to_string())
        }
        _ => Said::status(404),
    }
}

/// What the client told of itself, as a token.
fn decoded_form(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut pairs: Vec<&str> = text.split('&').filter(|p| !p.starts_with("client_")).collect();
    pairs.sort_unstable();
    pairs.join(".").replace(['=', '+', '%'], "_")
}

type Headers = Arc<Mutex<BTreeMap<(String, String), BTreeSet<String>>>>;

fn config(kind: Kind, fake: &str, jobs: &[(&str, &str, &str)]) -> String {
    let native = if kind == Kind::Narthex { ", scrape_native_histograms: true" } else { "" };
    let mut c = format!("global: {{scrape_interval: 1s, scrape_timeout: 900ms, external_labels: {{site: a}}{native}}}\nscrape_configs:\n");
    for (name, path, more) in jobs {
        c.push_str(&format!("- job_name: {name}\n  metrics_path: {path}\n  static_configs: [{{targets: ['{fake}']}}]\n"));
        for line in more.replace("FAKE", fake).lines() {
            c.push_str(&format!("  {line}\n"));
        }
    }
    c
}

fn start(kind: Kind, fake: &str, feature: &str, jobs: &[(&str, &str, &str)]) -> Option<Server> {
    let feature = format!("--enable-feature=native-histograms,exemplar-storage{feature}");
    let mut s = Server::new(kind, if kind == Kind::Narthex { "narthex" } else { "prometheus" }, &config(kind, fake, jobs), &[&feature])?;
    s.expect_log(&["scrape", "append", "target", "sample"]);
    s.start();
    Some(s)
}

/// Waits until every job was tried some times.
fn scraped(s: &Server, jobs: &[(&str, &str, &str)]) {
    for (name, ..) in jobs.iter().filter(|(n, ..)| *n != "bad-interval") {
        wait_for(&format!("{}: scrapes of {name}", s.name), Duration::from_secs(60), || {
            s.value(&format!("count_over_time(up{{job=\"{name}\"}}[1m])")).filter(|n| *n >= 4.0)
        });
    }
}

/// Newest values of a job: labels to value, without what depends on the moment.
fn stored(s: &Server, job: &str) -> BTreeMap<String, Value> {
    let a = s.query(&format!("{{job=\"{job}\"}} or {{exported_job=~\".+\", job!=\"\"}} or {{job=\"mine\"}}"));
    let list = a["data"]["result"].as_array().unwrap_or_else(|| panic!("{job}: {a}")).clone();
    let fixed = |v: &Value| {
        let name = v["metric"]["__name__"].as_str().unwrap_or("");
        !matches!(name, "scrape_duration_seconds" | "scrape_series_added")
    };
    list.iter()
        .filter(|v| fixed(v) && (v["metric"]["job"] == job || v["metric"]["job"] == "mine"))
        .map(|v| (v["metric"].to_string(), if v["value"].is_null() { v["histogram"][1].clone() } else { v["value"][1].clone() }))
        .collect()
}

fn errors(s: &Server) -> BTreeMap<String, String> {
    let data = s.api("targets", &[])["data"].clone();
    let active = data["activeTargets"].as_array().cloned().unwrap_or_default();
    active.iter().map(|t| (t["scrapePool"].as_str().unwrap_or("").to_string(), t["lastError"].as_str().unwrap_or("").to_string())).collect()
}

fn metadata(s: &Server, job: &str) -> BTreeSet<String> {
    let a = s.api("targets/metadata", &[("match_target", &format!("{{job=\"{job}\"}}"))]);
    a["data"].as_array().into_iter().flatten().map(|m| json!([m["metric"], m["type"], m["help"], m["unit"]]).to_string()).collect()
}

fn difference<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(what: &str, a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> Vec<String> {
    let mut out: Vec<String> =
        b.iter().filter(|(k, v)| a.get(k) != Some(v)).map(|(k, v)| format!("{what}: theirs {k:?} {v:?}, ours {:?}", a.get(k))).collect();
    out.extend(a.iter().filter(|(k, _)| !b.contains_key(k)).map(|(k, v)| format!("{what}: ours only {k:?} {v:?}")));
    out
}

fn setup(feature: &str, jobs: &[(&str, &str, &str)], base_s: i64) -> Option<(Server, Server, Fake, Headers)> {
    let headers = Headers::default();
    let seen = headers.clone();
    let fake = Fake::start(move |a| {
        let who = if a.header("user-agent").starts_with("Prometheus/3.5") { "theirs" } else { "ours" };
        let asked = format!("{} | {} | {}", a.header("accept"), a.header("accept-encoding"), a.header("x-prometheus-scrape-timeout-seconds"));
        if a.path != "/token" {
            seen.lock().expect("not poisoned").entry((who.to_string(), format!("{}?{}", a.path, a.query))).or_default().insert(asked);
        }
        answer(a, base_s)
    });
    let theirs = start(Kind::Prometheus, &fake.address, feature, jobs)?;
    let ours = start(Kind::Narthex, &fake.address, feature, jobs).expect("our own binary");
    scraped(&ours, jobs);
    scraped(&theirs, jobs);
    Some((ours, theirs, fake, headers))
}

#[test]
fn the_same_pages_become_the_same_series() {
    let base_s = now() as i64;
    let Some((ours, theirs, _fake, headers)) = setup("", JOBS, base_s) else { return };
    let mut wrong = Vec::new();
    for (job, ..) in JOBS {
        wrong.extend(difference(job, &stored(&ours, job), &stored(&theirs, job)));
        let (a, b) = (metadata(&ours, job), metadata(&theirs, job));
        wrong.extend(a.symmetric_difference(&b).map(|m| format!("{job}: metadata only of {}: {m}", if a.contains(m) { "ours" } else { "theirs" })));
    }
    let (a, b) = (errors(&ours), errors(&theirs));
    for (job, text) in &b {
        let own = a.get(job).map_or("no such target", String::as_str);
        if let Some((_, want)) = OTHER_ERROR.iter().find(|(j, _)| j == job) {
            if !own.contains(want) {
                wrong.push(format!("{job}: error {own:?} is without {want:?}; theirs {text:?}"));
            }
        } else if own != text {
            wrong.push(format!("{job}: error {own:?}, theirs {text:?}"));
        }
    }
    for query in ["p_requests_total", "o_hits_total", "p_classic_bucket", "o_lat_bucket", "p_native"] {
        let of = |s: &Server| {
            let a = s.api("query_exemplars", &[("query", query), ("start", &(base_s - 600).to_string()), ("end", &(base_s + 600).to_string())]);
            let list = a["data"].as_array().cloned().unwrap_or_default();
            // A text exemplar without a time has the scrape's.
            let plain = |e: &Value| json!([e["labels"], e["value"]]).to_string();
            list.iter()
                .map(|x| (x["seriesLabels"].to_string(), x["exemplars"].as_array().into_iter().flatten().map(plain).collect::<BTreeSet<_>>()))
                .collect::<BTreeMap<_, _>>()
        };
        wrong.extend(difference(&format!("exemplars of {query}"), &of(&ours), &of(&theirs)));
    }
    let seen = headers.lock().expect("not poisoned");
    let of = |who: &str| seen.iter().filter(|((w, _), _)| w == who).map(|((_, p), h)| (p.clone(), h.clone())).collect::<BTreeMap<_, _>>();
    wrong.extend(difference("headers of requests", &of("ours"), &of("theirs")));
    wrong.retain(|w| !OTHERWISE.iter().any(|(words, _)| words.iter().all(|word| w.contains(word))));
    if let Ok(path) = std::env::var("NARTHEX_REPLAY_OUT") {
        std::fs::write(path, wrong.join("\n")).expect("writes the differences");
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn created_times_become_zeros_when_asked_for() {
    const CREATED: &[(&str, &str, &str)] = &[("proto", "/proto", ""), ("openmetrics", "/om", "")];
    let base_s = now() as i64;
    let Some((ours, theirs, ..)) = setup(",created-timestamp-zero-ingestion", CREATED, base_s) else { return };
    for query in ["p_requests_total", "o_hits_total", "p_native", "o_lat_count"] {
        let zero = |s: &Server| {
            let a = s.query(&format!("count_over_time({query}[1s] @ {})", base_s - 59));
            narthex_tests::vector(&a).first().map(|(_, n)| *n)
        };
        assert_eq!(zero(&ours), zero(&theirs), "{query}");
    }
    assert_eq!(ours.value(&format!("p_requests_total @ {}", base_s - 59)), Some(0.0));
}

#[test]
fn limits_on_targets_and_what_is_kept_of_dropped_ones() {
    let fake = Fake::start(|a| answer(a, 0));
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_failure_log_file: failures.log}}\nscrape_configs:\n\
         - {{job_name: too-many, metrics_path: /wide, target_limit: 1, static_configs: [{{targets: ['{a}', 'localhost:{p}']}}]}}\n\
         - job_name: kept\n  keep_dropped_targets: 1\n  static_configs: [{{targets: ['a:1', 'b:1', 'c:1']}}]\n  relabel_configs: [{{source_labels: [__address__], regex: '.*:1', action: drop}}]\n\
         - {{job_name: down, metrics_path: /status/500, static_configs: [{{targets: ['{a}']}}]}}\n",
        a = fake.address,
        p = fake.address.split(':').nth(1).expect("a port")
    );
    let Some(mut theirs) = Server::new(Kind::Prometheus, "prometheus", &config, &[]) else { return };
    let mut ours = Server::narthex("narthex", &config, &[]);
    ours.expect_log(&["scrape", "limit"]);
    let (ours, theirs) = (&*ours.start(), &*theirs.start());
    let told = |s: &Server| {
        wait_for("scrapes", Duration::from_secs(30), || s.value("count_over_time(up{job=\"down\"}[1m])").filter(|n| *n >= 2.0));
        wait_for("the limit's error", Duration::from_secs(30), || errors(s).get("too-many").filter(|e| !e.is_empty()).cloned());
        let d = s.api("targets", &[])["data"].clone();
        json!([d["droppedTargetCounts"], d["droppedTargets"].as_array().map(Vec::len), errors(s)["too-many"]])
    };
    assert_eq!(told(ours), told(theirs));
    let log = std::fs::read_to_string(ours.path().join("failures.log")).expect("the log of failures");
    assert!(log.contains("server returned HTTP status 500") && log.contains("down"), "{log}");
}
