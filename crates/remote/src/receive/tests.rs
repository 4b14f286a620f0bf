use super::memory_store::MemoryStore;
use super::*;
use crate::wire::body::{Compressor, ContentEncoding};
use crate::wire::{CONTENT_TYPE_V2, FloatSample, HistogramAt, SAMPLES_WRITTEN_HEADER, SeriesOut, proto, write1, write2};
use model::{Exemplar, Histogram, Labels, Metadata, MetricType};
use stdx::clock::ManualClock;
use storage::HistogramSample;

const NOW_MS: i64 = 1_700_000_000_000;

struct Fixture {
    store: Arc<MemoryStore>,
    receiver: Receiver,
}

fn fixture(options: ReceiveOptions) -> Fixture {
    let clock = ManualClock::at_ms(NOW_MS);
    let store = MemoryStore::shared();
    let registry = Registry::new(clock.clone());
    Fixture { receiver: Receiver::new(store.clone(), options, &registry, clock), store }
}

fn v1(series: &[(&[(&str, &str)], &[(i64, f64)])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (labels, samples) in series {
        let samples: Vec<FloatSample> = samples.iter().map(|(t, v)| FloatSample { t_ms: *t, v: *v, start_ms: 0 }).collect();
        let labels = Labels::from_pairs(labels.iter().copied());
        write1::put_series(&mut out, &SeriesOut { labels: labels.as_ref(), samples: &samples, histograms: &[], exemplars: &[], metadata: None });
    }
    out
}

fn snappy(body: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    Compressor::new().compress(ContentEncoding::Snappy, body, &mut packed).expect("compress");
    packed
}

impl Fixture {
    fn post(&self, body: &[u8]) -> Answer {
        self.receiver.handle(&Request {
            content_type: "application/x-protobuf",
            content_encoding: "snappy",
            sender: "t",
            only_labels: &[],
            body: &snappy(body),
        })
    }

    fn post_v2(&self, body: &[u8]) -> Answer {
        self.receiver.handle(&Request {
            content_type: CONTENT_TYPE_V2,
            content_encoding: "snappy",
            sender: "t",
            only_labels: &[],
            body: &snappy(body),
        })
    }
}

fn header<'a>(a: &'a Answer, name: &str) -> Option<&'a str> {
    a.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
}

#[test]
fn samples_of_any_age_and_their_repeats_are_taken() {
    let f = fixture(ReceiveOptions::default());
    let body = v1(&[(&[("__name__", "m")], &[(NOW_MS, 2.0), (NOW_MS - 86_400_000, 1.0)])]);
    for _ in 0..2 {
        let a = f.post(&body);
        assert_eq!((a.status, a.body.as_str(), header(&a, "X-Narthex")), (204, "", Some("late-samples")));
    }
    assert_eq!(f.store.samples(r#"{__name__="m"}"#), vec![(NOW_MS - 86_400_000, 1.0), (NOW_MS, 2.0)]);
    let conflict = f.post(&v1(&[(&[("__name__", "m")], &[(NOW_MS, 3.0)])]));
    assert_eq!(conflict.status, 204, "the first stays, and the sender is not to blame");
    assert_eq!(f.store.samples(r#"{__name__="m"}"#)[1], (NOW_MS, 2.0));
}

#[test]
fn a_bad_sample_does_not_take_its_neighbours_with_it() {
    let f = fixture(ReceiveOptions::default());
    let mut body = v1(&[(&[("__name__", "good")], &[(NOW_MS, 1.0), (NOW_MS + 3_600_000, 2.0)]), (&[("no", "name")], &[(NOW_MS, 1.0)])]);
    proto::put_message_field(&mut body, 1, |out| {
        for (n, v) in [("__name__", "twice"), ("a", "1"), ("a", "2")] {
            proto::put_message_field(out, 1, |out| {
                proto::put_str_field(out, 1, n);
                proto::put_str_field(out, 2, v);
            });
        }
    });
    let a = f.post(&body);
    let want = format!(
        "out of bounds: timestamp is too far in the future for series {{__name__=\"good\"}} (timestamp {})\n\
         invalid labels for series {{no=\"name\"}}: no metric name\n\
         invalid labels for series {{__name__=\"twice\", a=\"1\", a=\"2\"}}: duplicated label a\n",
        NOW_MS + 3_600_000
    );
    assert_eq!((a.status, a.body), (400, want));
    assert_eq!(f.store.samples(r#"{__name__="good"}"#), vec![(NOW_MS, 1.0)]);
}

#[test]
fn a_sender_that_may_only_be_itself_is_refused_the_series_of_others() {
    let f = fixture(ReceiveOptions::default());
    let own = [("class".to_string(), "6반".to_string()), ("__replica__".to_string(), "a".to_string())];
    let at = &[(NOW_MS, 1.0)][..];
    let series = |class, replica| [("__name__", "m"), ("__replica__", replica), ("class", class)];
    let (mine, other, twin) = (series("6반", "a"), series("7반", "a"), series("6반", "b"));
    let body = v1(&[(&mine, at), (&other, at), (&twin, at), (&[("__name__", "m")], at)]);
    let a = f.receiver.handle(&Request {
        content_type: "application/x-protobuf",
        content_encoding: "snappy",
        sender: "leaf",
        only_labels: &own,
        body: &snappy(&body),
    });
    assert_eq!((a.status, a.body.lines().count()), (400, 3), "{}", a.body);
    assert!(a.body.starts_with("this client may only write series with class=\"6반\", not {"), "{}", a.body);
    assert!(a.body.contains("with __replica__=\"a\""), "{}", a.body);
    assert_eq!(f.store.samples(r#"{__name__="m", class="6반"}"#), vec![(NOW_MS, 1.0)]);
    assert_eq!(f.receiver.ledger().senders()[0].refused, 3);
}

#[test]
fn many_refusals_are_counted_not_listed() {
    let f = fixture(ReceiveOptions::default());
    let one: (&[(&str, &str)], &[(i64, f64)]) = (&[("no", "name")], &[(NOW_MS, 1.0)]);
    let a = f.post(&v1(&[one; 25]));
    assert_eq!((a.body.lines().count(), a.body.lines().last()), (11, Some("and 15 more")));
}

#[test]
fn version_2_tells_what_was_written() {
    let f = fixture(ReceiveOptions::default());
    let labels = Labels::from_pairs([("__name__", "h")]);
    let h = Histogram { count: 1, sum: 5.0, ..Histogram::default() };
    let e = Exemplar { labels: Labels::from_pairs([("trace_id", "x")]), value: 1.0, t_ms: Some(NOW_MS) };
    let m = Metadata { kind: MetricType::Histogram, help: "help".to_string(), unit: String::new() };
    let mut w = write2::Writer::new();
    w.put_series(&SeriesOut {
        labels: labels.as_ref(),
        samples: &[],
        histograms: &[HistogramAt { t_ms: NOW_MS, start_ms: 0, h: HistogramSample::Int(&h) }],
        exemplars: std::slice::from_ref(&e),
        metadata: Some(&m),
    });
    let sample = FloatSample { t_ms: NOW_MS, v: 1.0, start_ms: 0 };
    let other = Labels::from_pairs([("__name__", "f")]);
    w.put_series(&SeriesOut { labels: other.as_ref(), samples: &[sample], histograms: &[], exemplars: &[], metadata: None });
    let mut body = Vec::new();
    w.finish(&mut body);
    let a = f.post_v2(&body);
    let written: Vec<_> = a.headers.iter().filter(|(n, _)| n.contains("Written")).map(|(_, v)| v.as_str()).collect();
    assert_eq!((a.status, written), (204, vec!["1", "1", "1"]));
    assert_eq!(f.store.samples(r#"{__name__="h"}"#), vec![(NOW_MS, 5.0)]);
    assert_eq!((f.store.exemplars(), f.store.metadata()), (1, vec![m]));

    w.put_series(&SeriesOut { labels: labels.as_ref(), samples: &[], histograms: &[], exemplars: &[], metadata: None });
    w.finish(&mut body);
    let a = f.post_v2(&body);
    assert_eq!((a.status, header(&a, SAMPLES_WRITTEN_HEADER)), (400, Some("1")));
    assert_eq!(a.body, "TimeSeries must contain at least one sample or histogram for series {__name__=\"h\"}\n");
}

#[test]
fn what_cannot_be_read_is_answered_by_its_status() {
    let f = fixture(ReceiveOptions { max_decoded_bytes: 100, accepted: vec![Version::V1], ..ReceiveOptions::default() });
    let good = snappy(&v1(&[(&[("__name__", "m")], &[(NOW_MS, 1.0)])]));
    let long = snappy(&[0; 101]);
    let check = |content_type: &str, content_encoding: &str, body: &[u8], status: u16, text: &str| {
        let a = f.receiver.handle(&Request { content_type, content_encoding, sender: "", only_labels: &[], body });
        assert_eq!(a.status, status, "{content_type} {content_encoding}: {}", a.body);
        assert!(a.body.contains(text), "{}", a.body);
    };
    check("", "", &good, 204, "");
    check("application/x-protobuf;proto=prometheus.WriteRequest", "snappy", &good, 204, "");
    check("text/plain", "snappy", &good, 415, "expected application/x-protobuf");
    check("application/x-protobuf;proto=x.Y", "snappy", &good, 415, "x.Y is not known");
    check(CONTENT_TYPE_V2, "snappy", &good, 415, "io.prometheus.write.v2.Request protobuf message is not accepted");
    check("", "gzip", &good, 415, "gzip encoding (compression) is not accepted");
    check("", "snappy", &long, 413, "larger than 100 bytes");
    check("", "snappy", b"\xff\xff\xff\xff\xff\xff", 400, "decompress body");
    check("", "snappy", &snappy(b"\x0a\x05ab"), 400, "decode request 0");
    check("", "zstd", b"no zstd", 400, "decompress body");
}

/// Raw labels, in the order and with the bytes that are given.
fn raw_series(labels: &[(&[u8], &[u8])], t_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    proto::put_message_field(&mut out, 1, |out| {
        for (n, v) in labels {
            proto::put_message_field(out, 1, |out| {
                proto::put_bytes_field(out, 1, n);
                proto::put_bytes_field(out, 2, v);
            });
        }
        proto::put_message_field(out, 2, |out| {
            proto::put_double_field(out, 1, 1.0);
            proto::put_varint_field(out, 2, t_ms as u64);
        });
    });
    out
}

#[test]
fn hostile_requests_are_answered_counted_and_cost_little() {
    let clock = ManualClock::at_ms(NOW_MS);
    let (store, registry) = (MemoryStore::shared(), Registry::new(clock.clone()));
    let options = ReceiveOptions { max_decoded_bytes: 1 << 20, ..ReceiveOptions::default() };
    let f = Fixture { receiver: Receiver::new(store.clone(), options, &registry, clock), store };
    let count = |name: &str, label: &str| {
        let all = registry.gather();
        let family = all.iter().find(|m| m.name == name);
        let of = |m: &stdx::metrics::Metric| match m.value {
            stdx::metrics::Value::Counter(v) if label.is_empty() || m.labels.iter().any(|(_, v)| v == label) => v,
            _ => 0.0,
        };
        family.map_or(0.0, |family| family.metrics.iter().map(of).sum::<f64>())
    };
    let send = |encoding: &str, body: &[u8]| {
        f.receiver.handle(&Request { content_type: "", content_encoding: encoding, sender: "t", only_labels: &[], body })
    };

    // A few bytes that say, or turn out, to be very many: refused before memory is taken for them.
    let mut bomb = Vec::new();
    Compressor::new().compress(ContentEncoding::Zstd, &vec![0; 8 << 20], &mut bomb).expect("compress");
    assert!(bomb.len() < 2000);
    assert_eq!(send("zstd", &bomb).status, 413);
    assert_eq!(send("snappy", b"\xff\xff\xff\xff\x0f\x00").status, 413, "a length of 4 GiB");
    assert_eq!(count("narthex_receive_requests_total", "413"), 2.0);
    assert!(f.receiver.buffers.lock().iter().all(|b| b.capacity() <= 2 << 20));

    // A field that claims to be longer than its message, at each level.
    for body in [b"\x0a\x7f".as_slice(), b"\x0a\x04\x0a\x7fab", b"\x0a\x06\x0a\x04\x0a\x7fab", b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"] {
        let a = send("snappy", &snappy(body));
        assert_eq!(a.status, 400, "{body:?}");
        assert!(a.body.contains("decode"), "{}", a.body);
    }
    assert_eq!(count("narthex_receive_requests_total", "400"), 4.0);

    // Labels: unsorted ones are sorted; twice, not UTF-8, too many are refused by name.
    assert_eq!(send("snappy", &snappy(&raw_series(&[(b"z", b"1"), (b"__name__", b"m"), (b"a", b"2")], NOW_MS))).status, 204);
    assert_eq!(f.store.samples(r#"{__name__="m", a="2", z="1"}"#).len(), 1);
    let names: Vec<String> = (0..1100).map(|n| format!("l{n}")).collect();
    let mut many: Vec<(&[u8], &[u8])> = names.iter().map(|n| (n.as_bytes(), b"v".as_slice())).collect();
    many.push((b"__name__", b"m"));
    for (labels, word) in [
        ([(b"__name__".as_slice(), b"m".as_slice()), (b"a", b"1"), (b"a", b"1")].as_slice(), "duplicated label a"),
        (&[(b"__name__", b"m"), (b"a", b"\xff\xfe")], "not valid UTF-8"),
        (&[(b"__name__", b"m"), (b"\xc3(", b"1")], "not valid UTF-8"),
        (&many, "1101 labels"),
    ] {
        let a = send("snappy", &snappy(&raw_series(labels, NOW_MS)));
        assert!(a.status == 400 && a.body.contains(word), "{word}: {} {}", a.status, a.body);
        assert!(a.body.len() < 4000, "the answer stays short");
    }
    assert_eq!(count("narthex_receive_refused_samples_total", "invalid_labels"), 4.0);

    // Times that cannot be.
    for t in [i64::MAX, NOW_MS + 86_400_000] {
        assert_eq!(send("snappy", &snappy(&raw_series(&[(b"__name__", b"m")], t))).status, 400);
    }
    assert_eq!(count("narthex_receive_refused_samples_total", "out_of_bounds"), 2.0);

    // One who repeats for ever: each a success, counted, and nothing grows.
    let same = snappy(&raw_series(&[(b"__name__", b"again"), (b"__replica__", b"a")], NOW_MS));
    for _ in 0..500 {
        assert_eq!(send("snappy", &same).status, 204);
    }
    assert_eq!(f.store.samples(r#"{__name__="again"}"#).len(), 1);
    assert_eq!(count("narthex_receive_duplicate_samples_total", ""), 499.0);
    assert_eq!(f.receiver.ledger().senders().len(), 1);
}

#[test]
fn a_full_storage_asks_the_sender_to_come_again() {
    let f = fixture(ReceiveOptions::default());
    f.store.fail_commits(true);
    let body = v1(&[(&[("__name__", "m"), ("__replica__", "a")], &[(NOW_MS, 1.0)])]);
    let a = f.post(&body);
    assert_eq!((a.status, header(&a, "Retry-After")), (503, Some("5")));
    f.store.fail_commits(false);
    assert_eq!(f.post(&body).status, 204);
    assert_eq!(f.store.samples(r#"{__name__="m"}"#), vec![(NOW_MS, 1.0)], "the failed request is not remembered as stored");
}

#[test]
fn a_series_limit_refuses_the_series_not_the_request() {
    let f = fixture(ReceiveOptions::default());
    f.store.limit_series(1);
    let a = f.post(&v1(&[(&[("__name__", "a")], &[(NOW_MS, 1.0)]), (&[("__name__", "b")], &[(NOW_MS, 1.0)])]));
    assert_eq!((a.status, a.body.as_str()), (400, "series limit of 1 reached (test) for series {__name__=\"b\"}\n"));
    assert_eq!(f.store.series_count(), 1);
}

#[test]
fn too_many_bytes_in_flight_are_refused_but_one_request_always_passes() {
    let f = fixture(ReceiveOptions { max_in_flight_bytes: 10, ..ReceiveOptions::default() });
    let body = v1(&[(&[("__name__", "m")], &[(NOW_MS, 1.0)])]);
    assert_eq!(f.post(&body).status, 204);
    let other = f.receiver.in_flight.reserve(5).expect("nobody else is there");
    let a = f.post(&body);
    assert_eq!((a.status, header(&a, "Retry-After")), (503, Some("1")));
    drop(other);
    assert_eq!(f.post(&body).status, 204);
}

#[test]
fn without_replica_labels_nothing_is_merged() {
    let f = fixture(ReceiveOptions { replica_labels: Vec::new(), ..ReceiveOptions::default() });
    f.post(&v1(&[(&[("__name__", "m"), ("__replica__", "a")], &[(NOW_MS, 1.0)])]));
    assert_eq!(f.store.samples(r#"{__name__="m", __replica__="a"}"#).len(), 1);
}

#[test]
fn the_ledger_knows_senders_and_owners() {
    let f = fixture(ReceiveOptions::default());
    for t in 0..4 {
        f.post(&v1(&[(&[("__name__", "m"), ("__replica__", "a")], &[(NOW_MS + t * 1000, 1.0)])]));
        f.post(&v1(&[(&[("__name__", "m"), ("__replica__", "b")], &[(NOW_MS + t * 1000 - 400, 1.0)])]));
    }
    f.receiver.tick(NOW_MS + 1000);
    let senders = f.receiver.ledger().senders();
    assert_eq!(senders.len(), 1);
    let owned: Vec<_> = senders[0].replicas.iter().map(|(n, r)| (n.as_str(), r.owned_series, r.newest_sample_ms - NOW_MS)).collect();
    assert_eq!(owned, vec![("a", 1, 3000), ("b", 0, 2600)]);
    assert_eq!((senders[0].samples, senders[0].newest_sample_ms), (8, NOW_MS + 3000));
    assert_eq!(f.store.samples(r#"{__name__="m"}"#).len(), 4, "those of b are covered");
}
