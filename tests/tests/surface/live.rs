//! What is said as it happens, and to other servers: server-sent events, compressed answers, remote read.

use crate::stage::encode;
use crate::wire::{self, Series};
use narthex_tests::{Kind, Server, get, now, request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to the stream of notifications, its headers read.
fn subscribe(s: &Server) -> (TcpStream, String) {
    let mut c = TcpStream::connect(("127.0.0.1", s.port)).expect("connects");
    c.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    c.write_all(b"GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n").expect("writes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut b = [0];
        c.read_exact(&mut b).expect("headers");
        head.push(b[0]);
    }
    (c, String::from_utf8_lossy(&head).to_ascii_lowercase())
}

fn next_event(c: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.contains("\n\n") {
        let mut buf = [0; 1024];
        let n = c.read(&mut buf).expect("an event in time");
        assert!(n > 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buf[..n]));
    }
    text
}

#[test]
fn notifications_come_as_they_happen() {
    let mut s = Server::narthex("events", "", &["--web.enable-lifecycle", "--web.max-notifications-subscribers=2"]);
    s.expect_log(&["reload", "config"]);
    s.start();
    let (mut c, head) = subscribe(&s);
    assert!(
        head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream") && head.contains("cache-control: no-cache"),
        "{head}"
    );
    let reload = || request("POST", &format!("{}/-/reload", s.url()), &[], b"").expect("answers").status;
    s.configure("no_such_section: {}\n");
    assert_eq!(reload(), 500);
    let event = next_event(&mut c);
    assert!(event.contains("data: {") && event.contains("\"active\":true"), "{event}");
    // Who comes later is told what holds.
    let (mut later, _) = subscribe(&s);
    assert!(next_event(&mut later).contains("\"active\":true"));
    assert_eq!(subscribe(&s).1.split(' ').nth(1), Some("204"), "there are as many subscribers as may be");
    assert_eq!(s.api("notifications", &[])["data"].as_array().map(Vec::len), Some(1));
    s.configure("");
    assert_eq!(reload(), 200);
    assert!(next_event(&mut c).contains("\"active\":false"));
    assert_eq!(s.api("notifications", &[])["data"], serde_json::json!([]));
    let page = get(&format!("{}/metrics", s.url())).expect("answers").text();
    assert!(page.contains("prometheus_api_notification_active_subscribers 2"), "subscribers are counted");
    drop(c);
}

#[test]
fn answers_are_compressed_as_asked() {
    let mut s = Server::narthex("compressed", "", &[]);
    s.start();
    let url = format!("{}/metrics", s.url());
    for (asked, coding) in [("zstd, gzip", Some("zstd")), ("deflate", Some("deflate")), ("identity", None), ("gzip;q=0", None)] {
        let a = request("GET", &url, &[("Accept-Encoding", asked)], b"").expect("answers");
        assert_eq!((a.status, a.header("content-encoding")), (200, coding), "{asked}");
        assert!(a.header("vary").is_some_and(|v| v.contains("Accept-Encoding")), "{asked}");
    }
    let a = request("GET", &url, &[("Accept-Encoding", "gzip")], b"").expect("answers");
    assert!(a.header("content-encoding") == Some("gzip") && a.text().contains("# TYPE prometheus_build_info gauge"));
    let a = request("HEAD", &url, &[], b"").expect("answers");
    assert!(a.status == 200 && a.body.is_empty());
}

/// A server with samples of 600 s, 15 s apart.
fn with_samples(base_s: i64) -> Server {
    let mut s = Server::narthex("storage", "global: {external_labels: {site: 서울}}\n", &["--web.enable-remote-write-receiver"]);
    s.start();
    let labels: Vec<Vec<(&str, &str)>> =
        ["6반", "7반"].iter().flat_map(|c| ["a", "b"].map(|i| vec![("__name__", "read_total"), ("class", *c), ("instance", i)])).collect();
    let samples: Vec<(i64, f64)> = (0..41).map(|i| ((base_s + i * 15) * 1000, i as f64 / 3.0)).collect();
    let all: Vec<Series<'_>> = labels.iter().map(|labels| Series { labels, samples: &samples }).collect();
    assert_eq!(wire::push(&s, &all).status, 204);
    s
}

#[test]
fn a_real_prometheus_reads_from_us() {
    let base_s = (now() as i64 - 700) / 15 * 15;
    let ours = with_samples(base_s);
    let config = format!("remote_read:\n- {{url: '{}/api/v1/read', read_recent: true}}\n", ours.url());
    let Some(mut reader) = Server::new(Kind::Prometheus, "reader", &config, &[]) else { return };
    reader.start();
    let ask = |s: &Server, path: &str, form: &[(&str, &str)]| {
        get(&format!("{}/api/v1/{path}?{}", s.url(), encode(form))).expect("answers").json()["data"].to_string().replace(",\"site\":\"서울\"", "")
    };
    let (start, end) = (base_s.to_string(), (base_s + 600).to_string());
    for query in ["read_total", "sum by (class) (rate(read_total[1m]))", "read_total{class=~\"6.*\",instance!=\"a\"}", "read_total offset 1m", "none"]
    {
        let form = [("query", query), ("start", &start), ("end", &end), ("step", "30")];
        assert_eq!(ask(&ours, "query_range", &form), ask(&reader, "query_range", &form), "{query}");
    }
    // The labels of the whole server were added, and one that is asked for does not have to be stored.
    let form = [("query", "count(read_total{site=\"서울\"})"), ("time", &end)];
    assert!(ask(&reader, "query", &form).contains("\"4\""), "{}", ask(&reader, "query", &form));
    let page = get(&format!("{}/metrics", ours.url())).expect("answers").text();
    assert!(page.lines().any(|l| l.starts_with("prometheus_http_requests_total{") && l.contains("/api/v1/read") && l.contains("200")));
}

#[test]
fn remote_read_in_samples() {
    let base_s = (now() as i64 - 700) / 15 * 15;
    let ours = with_samples(base_s);
    // ReadRequest{queries: [{start, end, matchers: [__name__ = read_total]}]}, without a list of accepted types: samples.
    let mut matcher = Vec::new();
    for (n, text) in [(2u8, "__name__"), (3, "read_total")] {
        matcher.extend([n << 3 | 2, text.len() as u8]);
        matcher.extend_from_slice(text.as_bytes());
    }
    let mut query = Vec::new();
    for (n, t) in [(1u8, base_s * 1000), (2, (base_s + 30) * 1000)] {
        query.push(n << 3);
        let mut v = t as u64;
        while v >= 0x80 {
            query.push(v as u8 | 0x80);
            v >>= 7;
        }
        query.push(v as u8);
    }
    query.extend([3 << 3 | 2, matcher.len() as u8]);
    query.extend_from_slice(&matcher);
    let mut body = vec![1 << 3 | 2, query.len() as u8];
    body.extend_from_slice(&query);
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Read-Version", "0.1.0")];
    let url = format!("{}/api/v1/read", ours.url());
    let a = request("POST", &url, &headers, &wire::snappy(&body)).expect("answers");
    assert_eq!((a.status, a.header("content-type"), a.header("content-encoding")), (200, Some("application/x-protobuf"), Some("snappy")));
    let plain = snap::raw::Decoder::new().decompress_vec(&a.body).expect("snappy");
    let found = |text: &str| plain.windows(text.len()).filter(|w| *w == text.as_bytes()).count();
    // Four series with the whole server's label each.
    assert_eq!((found("read_total"), found("서울")), (4, 4));
    assert_eq!(request("POST", &url, &headers, b"nonsense").expect("answers").status, 400);
}
