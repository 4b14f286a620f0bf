use super::*;
use crate::receive::memory_store::MemoryStore;
use crate::wire::proto::{put_bytes_field, put_message_field, put_str_field, put_varint_field, zigzag};
use proptest::prelude::*;
use stdx::clock::ManualClock;

const NOW_MS: i64 = 1_700_000_000_000;

fn fixed(out: &mut Vec<u8>, number: u32, bits: u64) {
    stdx::varint::put_uvarint(out, u64::from(number << 3 | 1));
    out.extend_from_slice(&bits.to_le_bytes());
}

fn double(out: &mut Vec<u8>, number: u32, v: f64) {
    fixed(out, number, v.to_bits());
}

fn attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message_field(out, number, |out| {
        put_str_field(out, 1, key);
        put_message_field(out, 2, |out| put_str_field(out, 1, value));
    });
}

/// A request with one resource and one metric: the kind's field number, its points, temporality and monotony.
fn request(name: &str, unit: &str, kind: u32, temporality: u64, monotonic: bool, point: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_message_field(&mut out, 1, |out| {
        put_message_field(out, 1, |out| {
            attribute(out, 1, "service.name", "shop");
            attribute(out, 1, "service.namespace", "eu");
            attribute(out, 1, "service.instance.id", "i1");
            attribute(out, 1, "host.name", "h1");
        });
        put_message_field(out, 2, |out| {
            put_message_field(out, 1, |out| put_str_field(out, 1, "scope"));
            put_message_field(out, 2, |out| {
                put_str_field(out, 1, name);
                put_str_field(out, 2, "what it is");
                put_str_field(out, 3, unit);
                put_message_field(out, kind, |out| {
                    put_message_field(out, 1, |out| {
                        fixed(out, 3, NOW_MS as u64 * 1_000_000);
                        point(out);
                    });
                    put_varint_field(out, 2, temporality);
                    put_varint_field(out, 3, u64::from(monotonic));
                });
            });
        });
    });
    out
}

fn options() -> OtlpOptions {
    OtlpOptions { label_name_underscore_sanitization: true, label_name_preserve_multiple_underscores: true, ..OtlpOptions::default() }
}

fn receiver(store: Arc<MemoryStore>, clock: SharedClock) -> OtlpReceiver {
    let registry = Registry::new(clock.clone());
    let in_flight = InFlight::new(64 << 20, &registry);
    OtlpReceiver::new(store, &registry, clock, in_flight)
}

fn post(body: &[u8], options: &OtlpOptions) -> (Answer, Arc<MemoryStore>) {
    let (store, clock) = (MemoryStore::shared(), ManualClock::at_ms(NOW_MS));
    let receiver = receiver(store.clone(), clock);
    (receiver.handle("application/x-protobuf", "", body, options), store)
}

fn check(body: &[u8], options: &OtlpOptions, expect: &[(&str, f64)]) {
    let (answer, store) = post(body, options);
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    for (labels, v) in expect {
        assert_eq!(store.samples(labels), vec![(NOW_MS, *v)], "{labels}");
    }
    assert_eq!(store.series_count(), expect.len());
}

const INFO: (&str, f64) = (r#"{__name__="target_info", host_name="h1", instance="i1", job="eu/shop"}"#, 1.0);

#[test]
fn a_counter_gets_its_name_labels_and_target_info() {
    let body = request("http.requests", "1", 7, 2, true, |out| {
        fixed(out, 6, 42);
        attribute(out, 7, "http.route", "/a");
    });
    check(&body, &options(), &[INFO, (r#"{__name__="http_requests_total", http_route="/a", instance="i1", job="eu/shop"}"#, 42.0)]);
    let promoted = OtlpOptions { promote_resource_attributes: vec!["host.name".to_string()], promote_scope_metadata: true, ..options() };
    let with = r#"{__name__="http_requests_total", host_name="h1", http_route="/a", instance="i1", job="eu/shop", otel_scope_name="scope"}"#;
    check(&body, &promoted, &[INFO, (with, 42.0)]);
}

#[test]
fn attributes_that_become_one_label_are_joined() {
    let body = request("g", "", 5, 0, false, |out| {
        double(out, 4, 1.5);
        attribute(out, 7, "a.b", "1");
        attribute(out, 7, "a_b", "2");
    });
    check(&body, &options(), &[INFO, (r#"{__name__="g", a_b="1;2", instance="i1", job="eu/shop"}"#, 1.5)]);
    let raw = OtlpOptions { translation: Translation::NoTranslation, ..options() };
    let info = r#"{__name__="target_info", "host.name"="h1", instance="i1", job="eu/shop"}"#;
    check(&body, &raw, &[(info, 1.0), (r#"{__name__="g", "a.b"="1", a_b="2", instance="i1", job="eu/shop"}"#, 1.5)]);
}

fn explicit() -> Vec<u8> {
    request("lat", "s", 9, 2, false, |out| {
        fixed(out, 4, 6);
        double(out, 5, 9.5);
        let counts: Vec<u8> = [1u64, 2, 3].iter().flat_map(|n| n.to_le_bytes()).collect();
        put_bytes_field(out, 6, &counts);
        let bounds: Vec<u8> = [0.5f64, 1.0].iter().flat_map(|n| n.to_le_bytes()).collect();
        put_bytes_field(out, 7, &bounds);
    })
}

#[test]
fn explicit_histograms_are_classic_or_native() {
    let series = |suffix: &str, le: &str| format!(r#"{{__name__="lat_seconds{suffix}", instance="i1", job="eu/shop"{le}}}"#);
    let names = [
        series("_sum", ""),
        series("_count", ""),
        series("_bucket", r#", le="0.5""#),
        series("_bucket", r#", le="1""#),
        series("_bucket", r#", le="+Inf""#),
    ];
    let expect: Vec<(&str, f64)> = names.iter().map(String::as_str).zip([9.5, 6.0, 1.0, 3.0, 6.0]).chain([INFO]).collect();
    check(&explicit(), &options(), &expect);
    let native = OtlpOptions { convert_histograms_to_nhcb: true, ..options() };
    check(&explicit(), &native, &[INFO, (&series("", ""), 9.5)]);
}

#[test]
fn summaries_and_exponential_histograms() {
    let body = request("rpc", "ms", 11, 0, false, |out| {
        fixed(out, 4, 3);
        double(out, 5, 7.0);
        put_message_field(out, 6, |out| {
            double(out, 1, 0.5);
            double(out, 2, 2.0);
        });
    });
    let series = |rest: &str| format!(r#"{{__name__="rpc_milliseconds{rest}}}"#);
    let (sum, count) = (series(r#"_sum", instance="i1", job="eu/shop""#), series(r#"_count", instance="i1", job="eu/shop""#));
    let quantile = series(r#"", instance="i1", job="eu/shop", quantile="0.5""#);
    check(&body, &options(), &[INFO, (&sum, 7.0), (&count, 3.0), (&quantile, 2.0)]);

    let body = request("e", "", 10, 2, false, |out| {
        fixed(out, 4, 3);
        double(out, 5, 7.0);
        put_varint_field(out, 6, zigzag(20));
        put_message_field(out, 8, |out| put_bytes_field(out, 2, &[1, 2]));
    });
    check(&body, &options(), &[INFO, (r#"{__name__="e", instance="i1", job="eu/shop"}"#, 7.0)]);
}

#[test]
fn what_is_refused_says_why() {
    let check = |body: &[u8], status: u16, text: &str| {
        let (a, _) = post(body, &options());
        assert_eq!(a.status, status);
        assert!(a.body.contains(text), "{}", a.body);
    };
    check(&request("d", "", 7, 1, true, |out| fixed(out, 6, 1)), 400, r#"invalid temporality and type combination for metric "d""#);
    check(&request("e", "", 10, 2, false, |out| put_varint_field(out, 6, zigzag(-9))), 400, "Scale must be >= -4, was -9");
    check(&request("...", "", 5, 0, false, |out| double(out, 4, 1.0)), 400, "resulted in empty name");
    check(b"\x0a\xff", 400, "decode");
    let (store, clock) = (MemoryStore::shared(), ManualClock::at_ms(NOW_MS));
    let receiver = receiver(store, clock);
    assert_eq!(receiver.handle("text/plain", "", b"{}", &options()).status, 415);
    for (body, text) in [
        ("{", "decode JSON"),
        ("[]", "request is not an object"),
        (r#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 7}]}]}]}"#, "name is not a text: 7"),
        (r#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": [{"asInt": "x"}]}}]}]}]}"#, "asInt is not a whole number"),
    ] {
        let a = receiver.handle("application/json", "", body.as_bytes(), &options());
        assert!(a.status == 400 && a.body.contains(text), "{body}: {} {}", a.status, a.body);
    }
    assert_eq!(receiver.handle("application/x-protobuf", "snappy", b"", &options()).status, 415);
    assert_eq!(receiver.handle("application/x-protobuf", "gzip", b"no gzip", &options()).status, 400);
}

/// The same points, written as JSON by another exporter.
#[test]
fn json_is_read_as_protocol_buffers_are() {
    let resource = r#""resource": {"attributes": [
        {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "service.namespace", "value": {"stringValue": "eu"}},
        {"key": "service.instance.id", "value": {"stringValue": "i1"}}, {"key": "host.name", "value": {"stringValue": "h1"}}]}"#;
    let t = format!(r#""timeUnixNano": "{}000000", "startTimeUnixNano": 0"#, NOW_MS);
    let metrics = format!(
        r#"{{"name": "http.requests", "unit": "1", "sum": {{"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            {{{t}, "asInt": "42", "attributes": [{{"key": "http.route", "value": {{"stringValue": "/a"}}}}, {{"key": "n", "value": {{"intValue": "-3"}}}},
              {{"key": "l", "value": {{"arrayValue": {{"values": [{{"boolValue": true}}, {{"doubleValue": 0.5}}]}}}}}}],
              "exemplars": [{{"asDouble": 1, "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}}]}}]}}}},
           {{"name": "lat", "unit": "s", "histogram": {{"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "dataPoints": [
            {{{t}, "count": "6", "sum": 9.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.5, 1.0], "min": 0.1}}]}}}},
           {{"name": "zero", "gauge": {{"dataPoints": [{{{t}, "asDouble": 0}}]}}, "unknown": {{"x": []}}}}"#
    );
    let body = format!(r#"{{"resourceMetrics": [{{{resource}, "scopeMetrics": [{{"metrics": [{metrics}]}}]}}]}}"#);
    let (store, clock) = (MemoryStore::shared(), ManualClock::at_ms(NOW_MS));
    let receiver = receiver(store.clone(), clock);
    let a = receiver.handle("application/json; charset=utf-8", "", body.as_bytes(), &options());
    assert_eq!((a.status, a.body.as_str()), (200, ""));
    for (labels, v) in [
        (r#"{__name__="http_requests_total", http_route="/a", instance="i1", job="eu/shop", l="[true,0.5]", n="-3"}"#, 42.0),
        (r#"{__name__="lat_seconds_bucket", instance="i1", job="eu/shop", le="1"}"#, 3.0),
        (r#"{__name__="lat_seconds_count", instance="i1", job="eu/shop"}"#, 6.0),
        (r#"{__name__="zero", instance="i1", job="eu/shop"}"#, 0.0),
        INFO,
    ] {
        assert_eq!(store.samples(labels), vec![(NOW_MS, v)], "{labels}");
    }
    assert_eq!(store.exemplars(), 1);
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index, noise: Vec<u8>) {
        let mut body = explicit();
        let i = at.index(body.len());
        body[i] = byte;
        post(&body, &options());
        post(&body[..cut.index(body.len())], &options());
        post(&noise, &options());
    }
}

#[test]
fn deltas_are_kept_or_added_up_where_a_feature_says_so() {
    let body = |t_ms: i64, v: u64| {
        request("work.done", "1", 7, 1, true, |out| {
            fixed(out, 3, t_ms as u64 * 1_000_000);
            fixed(out, 2, 1_000_000);
            fixed(out, 6, v);
        })
    };
    let name = r#"{__name__="work_done_total", instance="i1", job="eu/shop"}"#;
    for (delta, want) in [(Delta::Keep, vec![5.0, 3.0, 0.0]), (Delta::Accumulate, vec![5.0, 8.0, 8.0])] {
        let (store, clock) = (MemoryStore::shared(), ManualClock::at_ms(NOW_MS));
        let receiver = receiver(store.clone(), clock);
        let options = OtlpOptions { delta, ..options() };
        for (at, v) in [(0, 5), (1000, 3), (2000, 0)] {
            let a = receiver.handle("application/x-protobuf", "", &body(NOW_MS + at, v), &options);
            assert_eq!((a.status, a.body.as_str()), (200, ""));
        }
        let got: Vec<f64> = store.samples(name).iter().map(|p| p.1).collect();
        assert_eq!(got, want, "{delta:?}");
        // Out of order: added up already, or to be stored as it is.
        let a = receiver.handle("application/x-protobuf", "", &body(NOW_MS + 500, 7), &options);
        assert_eq!(a.status, 200);
        assert_eq!(store.samples(name).len(), if delta == Delta::Keep { 4 } else { 3 });
    }
}
