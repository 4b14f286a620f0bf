//! Senders that lie, blow up, or never stop: each gets a clear answer and is counted, and the server's memory stays what it was.

use crate::tools::{RECEIVER, config, own_metric, seconds};
use crate::wire::{self, Series, snappy, write_request};
use narthex_tests::{Answer, Server, get, now, request, wait_for};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// The largest decoded body.
const LIMIT: usize = 32 << 20;

fn server(args: &[&str]) -> Server {
    let mut s = Server::narthex("central", &config("", &[], &[]), &[&[RECEIVER, "--web.enable-otlp-receiver"], args].concat());
    s.expect_log(&["refused samples of a remote write request", "refused points of an otlp request"]);
    s.start();
    s
}

fn post(s: &Server, path: &str, content_type: &str, encoding: &str, body: &[u8]) -> Answer {
    request("POST", &format!("{}{path}", s.url()), &[("Content-Type", content_type), ("Content-Encoding", encoding)], body).expect("answers")
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(body, 1).expect("compresses")
}

/// Without the size in its header.
fn silent_zstd(body: &[u8]) -> Vec<u8> {
    let mut e = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    e.write_all(body).expect("compresses");
    e.finish().expect("compresses")
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    e.write_all(body).expect("compresses");
    e.finish().expect("compresses")
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// One series (field `number`) that is made of the same two bytes over and over.
fn swarm(number: u8, part: [u8; 2], times: usize) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(times * 2));
    out.extend(part.repeat(times));
    out
}

fn rejected(s: &Server, reason: &str) -> f64 {
    own_metric(s, &format!("narthex_receive_rejected_requests_total{{reason=\"{reason}\"}}"))
}

fn refused(s: &Server, reason: &str) -> f64 {
    own_metric(s, &format!("narthex_receive_refused_samples_total{{reason=\"{reason}\"}}"))
}

fn now_ms() -> i64 {
    (now() * 1000.0) as i64
}

/// What it is, its type and encoding, the body; what is said, as what it is counted, and in which words.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str, &'a str);

#[test]
fn bombs_and_lies() {
    let s = server(&[]);
    let t = now_ms();
    assert_eq!(wire::push(&s, &[Series { labels: &[("__name__", "before")], samples: &[(t, 1.0)] }]).status, 204);
    let zeros = vec![0; LIMIT + 1];
    // A bomb whose message is as large as is allowed and falls apart into small pieces.
    let samples = swarm(1, [0x12, 0], LIMIT / 2 - 8);
    let labels = swarm(1, [0x0a, 0], LIMIT / 2 - 8);
    let symbols = [0x22, 0].repeat(LIMIT / 2);
    let claims_much = [varint(LIMIT), vec![0, 0, 0]].concat();
    let claims_more = [varint(LIMIT + 1), vec![0, 0, 0]].concat();
    let cases: &[Case<'_>] = &[
        ("snappy bomb", V1, "snappy", &snappy(&zeros), 413, "too_large", "larger than 33554432 bytes"),
        ("zstd bomb", V1, "zstd", &zstd(&zeros), 413, "too_large", "larger than 33554432 bytes"),
        ("zstd bomb that does not say so", V1, "zstd", &silent_zstd(&zeros), 413, "too_large", "larger than 33554432 bytes"),
        ("snappy that claims too much", V1, "snappy", &claims_more, 413, "too_large", "larger than 33554432 bytes"),
        ("snappy that claims what it cannot hold", V1, "snappy", &claims_much, 400, "compression", "cannot unpack to"),
        ("snappy that claims too little", V1, "snappy", &[&[5][..], &snappy(&[7; 300])[2..]].concat(), 400, "compression", "decompress body"),
        ("zstd cut short", V1, "zstd", &zstd(&[7; 3000])[..10], 400, "compression", "decompress body"),
        ("no zstd", V1, "zstd", b"hello, I am no zstd", 400, "compression", "decompress body"),
        (
            "a field longer than its message",
            V1,
            "snappy",
            &snappy(b"\x0a\xff\xff\xff\xff\x7f"),
            400,
            "malformed",
            "decode request 0: field is longer than its message",
        ),
        ("a length beyond 64 bits", V2, "snappy", &snappy(&[&[0x2a][..], &[0xff; 12]].concat()), 400, "malformed", "decode"),
        ("16 million samples", V1, "zstd", &zstd(&samples), 400, "malformed", "more than 1048576 samples"),
        ("16 million samples, silent", V1, "zstd", &silent_zstd(&samples), 400, "malformed", "more than 1048576 samples"),
        ("16 million symbols", V2, "zstd", &zstd(&symbols), 400, "malformed", "more than 2097152 symbols"),
        ("another type", "text/plain", "snappy", b"", 415, "content_type", "application/x-protobuf"),
        ("another message", "application/x-protobuf;proto=x.Y", "snappy", b"", 415, "content_type", "x.Y"),
        ("another encoding", V1, "br", b"", 415, "content_encoding", "br encoding"),
    ];
    for (n, (what, media, encoding, body, status, reason, words)) in cases.iter().enumerate() {
        let before = rejected(&s, reason);
        let path = ["/api/v1/write", "/api/v1/push", "/api/v1/receive"][n % 3];
        let a = post(&s, path, media, encoding, body);
        assert_eq!(a.status, *status, "{what}: {}", a.text());
        assert!(a.text().contains(words), "{what}: {}", a.text());
        assert_eq!(rejected(&s, reason), before + 1.0, "{what} is counted");
    }
    // Sixteen million labels of one series: that series is refused, the request was read.
    let a = post(&s, "/api/v1/write", V1, "zstd", &zstd(&labels));
    assert!(a.status == 400 && a.text().contains("labels, more than the limit of 1024"), "{}", a.text());

    // Many bombs at once, on all paths. None is given memory that the others have.
    let bombs = [zstd(&samples), silent_zstd(&samples), silent_zstd(&zeros), zstd(&symbols)];
    std::thread::scope(|scope| {
        for n in 0..24 {
            let (s, bombs) = (&s, &bombs);
            scope.spawn(move || {
                let media = if n % 4 == 3 { V2 } else { V1 };
                let a = post(s, "/api/v1/write", media, "zstd", &bombs[n % 4]);
                assert!([400, 413, 503].contains(&a.status), "{}", a.status);
            });
        }
    });
    let (_, peak) = s.memory_mb();
    // 256 MB may be in flight, and what is made of them is less than twice as much.
    assert!(peak < 900.0, "{peak} MB");
    assert_eq!(wire::push(&s, &[Series { labels: &[("__name__", "after")], samples: &[(t, 1.0)] }]).status, 204);
    assert_eq!(s.value("before + on() after"), Some(2.0));
    assert_eq!(s.value("count({__name__!=\"\"})"), Some(2.0));
    assert_eq!(own_metric(&s, "narthex_receive_in_flight_bytes"), 0.0);
}

#[test]
fn bodies_that_are_not_as_long_as_they_say() {
    let mut s = server(&["--web.read-timeout=2s"]);
    let body = snappy(&write_request(&[Series { labels: &[("__name__", "short")], samples: &[(now_ms(), 1.0)] }]));
    let say = |length: &str, more: &str, then_close: bool| {
        let mut c = TcpStream::connect(s.address()).expect("connects");
        c.set_read_timeout(Some(Duration::from_secs(30))).expect("sets");
        let head = format!("POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: {V1}\r\nContent-Encoding: snappy\r\n{length}\r\n\r\n{more}");
        let _ = c.write_all(&[head.as_bytes(), &body].concat());
        if then_close {
            let _ = c.shutdown(std::net::Shutdown::Write);
        }
        let mut said = Vec::new();
        let _ = c.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    };
    // Longer than what comes: nothing is stored, whether it hangs up or falls silent.
    for close in [true, false] {
        let said = say(&format!("Content-Length: {}", body.len() + 10), "", close);
        assert!(!said.starts_with("HTTP/1.1 2"), "{said}");
    }
    // Shorter: the rest is no request.
    let said = say("Connection: close\r\nContent-Length: 5", "", true);
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    // Two lengths, or a length and chunks, are how requests are smuggled.
    for lengths in ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: -1", "Content-Length: 99999999999999999999"] {
        let said = say(lengths, "", true);
        assert!(said.starts_with("HTTP/1.1 4") || said.is_empty(), "{lengths}: {said}");
    }
    let said = say("Content-Length: 99999999999", "", false);
    assert!(said.starts_with("HTTP/1.1 413") || said.is_empty(), "{said}");
    assert_eq!(s.value("count({__name__!=\"\"})"), None);
    s.stop();
}

#[test]
fn labels_and_times_that_cannot_be() {
    let mut s = server(&[]);
    let t = now_ms();
    // Unsorted labels are sorted: who sends them means well.
    let unsorted = write_request(&[Series { labels: &[("z", "1"), ("__name__", "unsorted"), ("a", "2")], samples: &[(t, 5.0)] }]);
    for path in ["/api/v1/write", "/api/v1/push", "/api/v1/receive"] {
        let a = post(&s, path, V1, "snappy", &snappy(&unsorted));
        assert_eq!(a.status, 204, "{path}: {}", a.text());
    }
    assert_eq!(s.value("unsorted{a=\"2\",z=\"1\"}"), Some(5.0));

    let mut bad = write_request(&[Series { labels: &[("__name__", "bad_bytes"), ("l", "XX")], samples: &[(t, 1.0)] }]);
    let at = bad.windows(2).position(|w| w == b"XX").expect("there");
    bad[at] = 0xff;
    let twice = write_request(&[Series { labels: &[("__name__", "twice"), ("a", "1"), ("b", "2"), ("a", "3")], samples: &[(t, 1.0), (t + 1, 1.0)] }]);
    for (body, words, samples) in [(&bad, &["bad_bytes", "UTF-8"], 1.0), (&twice, &["twice", "duplicated label a"], 2.0)] {
        let before = refused(&s, "invalid_labels");
        let good = write_request(&[Series { labels: &[("__name__", "good")], samples: &[(t, samples)] }]);
        let a = post(&s, "/api/v1/write", V1, "snappy", &snappy(&[body.clone(), good].concat()));
        assert_eq!(a.status, 400);
        assert!(words.iter().all(|w| a.text().contains(w)), "{words:?}: {}", a.text());
        assert_eq!(refused(&s, "invalid_labels"), before + samples);
    }
    assert_eq!(own_metric(&s, "prometheus_api_remote_write_invalid_labels_samples_total"), 3.0);
    assert_eq!(s.value("good"), Some(1.0));

    // Far in the future, at the ends of what a number can be, and before the retention.
    for (at, words) in [(t + 700_000, "future"), (i64::MAX, "future"), (i64::MIN, "old"), (0, "old"), (-1, "old")] {
        let before = refused(&s, "out_of_bounds") + refused(&s, "too_old");
        let a = wire::push(&s, &[Series { labels: &[("__name__", "when")], samples: &[(at, 1.0)] }]);
        assert!(a.status == 400 && a.text().contains(words), "{at}: {} {}", a.status, a.text());
        assert_eq!(refused(&s, "out_of_bounds") + refused(&s, "too_old"), before + 1.0, "{at}");
    }
    // A little ahead is a clock that is a little ahead.
    assert_eq!(wire::push(&s, &[Series { labels: &[("__name__", "when")], samples: &[(t + 300_000, 1.0)] }]).status, 204);
    s.stop();
}

fn log_bytes(s: &Server) -> u64 {
    let files = std::fs::read_dir(s.data().join("wal")).expect("a log").flatten();
    files.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
}

#[test]
fn a_sender_that_repeats_for_ever() {
    let mut s = server(&[]);
    let t = now_ms();
    let names: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let samples: Vec<(i64, f64)> = (0..4).map(|k| (t - 60_000 + k * 15_000, k as f64)).collect();
    let body = |replica: &str| {
        let labels: Vec<Vec<(&str, &str)>> = names.iter().map(|n| vec![("__name__", "again"), ("__replica__", replica), ("n", n)]).collect();
        let labels: Vec<Vec<(&str, &str)>> = labels.into_iter().map(|l| l.into_iter().filter(|(_, v)| !v.is_empty()).collect()).collect();
        let all: Vec<Series<'_>> = labels.iter().map(|l| Series { labels: l, samples: &samples }).collect();
        snappy(&write_request(&all))
    };
    // As itself; as a member of a pair; and as two members that repeat each other. The first of a pair owns the series.
    let plain = body("");
    let (a, b) = (body("a"), body("b"));
    let says = |body: &[u8]| assert_eq!(wire::post(&s, body).status, 204);
    let repeat = |times: usize| {
        for _ in 0..times {
            says(&plain);
            says(&a);
            says(&b);
        }
    };
    repeat(5);
    let (log, (memory, _)) = (log_bytes(&s), s.memory_mb());
    let before = own_metric(&s, "narthex_receive_duplicate_samples_total") + own_metric(&s, "narthex_receive_covered_samples_total");
    let times = 150;
    repeat(times);
    let counted = own_metric(&s, "narthex_receive_duplicate_samples_total") + own_metric(&s, "narthex_receive_covered_samples_total") - before;
    assert_eq!(counted, (times * 3 * 2000) as f64, "every repeat is counted");
    assert_eq!(s.value("sum(count_over_time(again[5m]))"), Some(2000.0));
    let (log_after, (memory_after, _)) = (log_bytes(&s), s.memory_mb());
    assert!(log_after - log <= 64 << 10, "{} bytes of repeats are in the log", log_after - log);
    assert!(memory_after - memory < 40.0, "from {memory} to {memory_after} MB");

    // Ever the same time with another value: the first one stays, the sender is told nothing, and it is counted.
    let conflicts = own_metric(&s, "narthex_receive_conflicting_samples_total");
    for n in 0..20 {
        let a = wire::push(&s, &[Series { labels: &[("__name__", "again"), ("n", "7")], samples: &[(samples[0].0, 100.0 + f64::from(n))] }]);
        assert_eq!(a.status, 204);
    }
    assert_eq!(own_metric(&s, "narthex_receive_conflicting_samples_total") - conflicts, 20.0);
    assert_eq!(s.value("again{n=\"7\"} offset 0s"), Some(3.0));
    s.stop();
}

#[test]
fn otlp_that_lies() {
    let mut s = server(&[]);
    let post = |media: &str, encoding: &str, body: &[u8]| post(&s, "/api/v1/otlp/v1/metrics", media, encoding, body);
    let counted = |reason: &str| own_metric(&s, &format!("narthex_otlp_rejected_requests_total{{reason=\"{reason}\"}}"));
    let zeros = vec![0; LIMIT + 1];
    let swarm = [0x0a, 0].repeat(LIMIT / 2);
    let json = format!("{{\"resourceMetrics\":[{}1]}}", "1,".repeat(4 << 20));
    let deep = format!("{{\"resourceMetrics\":{}", "[".repeat(100_000));
    let cases: &[(&str, &str, &[u8], u16, &str)] = &[
        (V1, "gzip", &gzip(&zeros), 413, "too_large"),
        (V1, "gzip", b"no gzip", 400, "compression"),
        (V1, "", &swarm, 400, "malformed"),
        (V1, "gzip", &gzip(&swarm), 400, "malformed"),
        (V1, "", b"\x0a\xff\xff\xff\xff\x7f", 400, "malformed"),
        ("application/json", "", json.as_bytes(), 400, "malformed"),
        ("application/json", "", deep.as_bytes(), 400, "malformed"),
        ("application/json", "", b"{\"resourceMetrics\": 5", 400, "malformed"),
        ("text/plain", "", b"", 415, "content_type"),
        (V1, "br", b"", 415, "content_encoding"),
    ];
    for (n, (media, encoding, body, status, reason)) in cases.iter().enumerate() {
        let before = counted(reason);
        let a = post(media, encoding, body);
        assert_eq!(a.status, *status, "case {n}: {}", a.text());
        assert!(!a.text().trim().is_empty(), "case {n} says why");
        assert_eq!(counted(reason), before + 1.0, "case {n} is counted as {reason}");
    }
    let (_, peak) = s.memory_mb();
    assert!(peak < 900.0, "{peak} MB");
    wait_for("the server to go on", seconds(5), || get(&format!("{}/-/healthy", s.url())).ok().filter(|a| a.status == 200));
    s.stop();
}
