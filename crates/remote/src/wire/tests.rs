use super::body::{Compressor, ContentEncoding, decompress};
use super::decode::{LabelFault, WriteDecoder};
use super::histogram::HistogramValue;
use super::read::{ReadQuery, ReadRequest, ResponseType};
use super::*;
use model::histogram::{ResetHint, Span};
use model::{FloatHistogram, Histogram, Labels, MatchOp, Matcher};
use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::{ChunkEncoding, EncodedChunk, SelectHints};

#[derive(Clone, Debug)]
struct Sent {
    labels: Labels,
    samples: Vec<(i64, f64, i64)>,
    histograms: Vec<(i64, HistogramValue)>,
    exemplars: Vec<Exemplar>,
    metadata: Option<Metadata>,
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::vec((any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length }), 0..3)
}

fn hint() -> impl Strategy<Value = ResetHint> {
    prop_oneof![Just(ResetHint::Unknown), Just(ResetHint::Reset), Just(ResetHint::NotReset), Just(ResetHint::Gauge)]
}

fn histogram() -> impl Strategy<Value = HistogramValue> {
    let f = || any::<f64>();
    let int = (hint(), -9..9i32, f(), any::<u64>(), any::<u64>(), (spans(), spans()), any::<[Vec<i64>; 2]>(), any::<Vec<f64>>()).prop_map(
        |(reset_hint, schema, sum, zero_count, count, (p, n), [pd, nd], custom_values)| {
            HistogramValue::Int(Histogram {
                reset_hint,
                schema,
                zero_threshold: sum / 2.0,
                zero_count,
                count,
                sum,
                positive_spans: p,
                negative_spans: n,
                positive_deltas: pd,
                negative_deltas: nd,
                custom_values,
            })
        },
    );
    let float = (hint(), -53..9i32, f(), f(), f(), (spans(), spans()), any::<[Vec<f64>; 2]>(), any::<Vec<f64>>()).prop_map(
        |(reset_hint, schema, sum, zero_count, count, (p, n), [pb, nb], custom_values)| {
            HistogramValue::Float(FloatHistogram {
                reset_hint,
                schema,
                zero_threshold: 0.25,
                zero_count,
                count,
                sum,
                positive_spans: p,
                negative_spans: n,
                positive_buckets: pb,
                negative_buckets: nb,
                custom_values,
            })
        },
    );
    prop_oneof![int, float]
}

fn labels() -> impl Strategy<Value = Labels> {
    any::<BTreeMap<String, String>>().prop_map(|mut m| {
        m.remove("");
        m.insert("__name__".to_string(), "m".to_string());
        Labels::from_pairs(m)
    })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    (labels(), any::<f64>(), 1..i64::MAX).prop_map(|(labels, value, t)| Exemplar { labels, value, t_ms: Some(t) })
}

fn sent() -> impl Strategy<Value = Sent> {
    let metadata = (0..8u64, any::<String>(), any::<String>()).prop_map(|(k, help, unit)| Metadata { kind: metric_type(k), help, unit: unit + "u" });
    (
        labels(),
        any::<Vec<(i64, f64, i64)>>(),
        prop::collection::vec((any::<i64>(), histogram()), 0..2),
        prop::collection::vec(exemplar(), 0..2),
        prop::option::of(metadata),
    )
        .prop_map(|(labels, samples, histograms, exemplars, metadata)| Sent { labels, samples, histograms, exemplars, metadata })
}

/// What was written, as text in which equal bits look equal.
fn show(labels: &str, samples: &[FloatSample], histograms: &[(i64, HistogramValue)], exemplars: &[Exemplar], metadata: Option<&Metadata>) -> String {
    let samples: Vec<_> = samples.iter().map(|s| (s.t_ms, s.v.to_bits(), s.start_ms)).collect();
    format!("{labels} {samples:?} {histograms:?} {exemplars:?} {metadata:?}")
}

fn encode(version: Version, all: &[Sent], writer: &mut write2::Writer) -> (Vec<u8>, Vec<String>) {
    let mut out = Vec::new();
    let mut want = Vec::new();
    for s in all {
        let v2 = version == Version::V2;
        let samples: Vec<FloatSample> =
            s.samples.iter().map(|(t_ms, v, st)| FloatSample { t_ms: *t_ms, v: *v, start_ms: if v2 { *st } else { 0 } }).collect();
        let histograms: Vec<HistogramAt<'_>> =
            s.histograms.iter().map(|(t_ms, h)| HistogramAt { t_ms: *t_ms, start_ms: 7, h: h.as_sample() }).collect();
        let series = SeriesOut {
            labels: s.labels.as_ref(),
            samples: &samples,
            histograms: &histograms,
            exemplars: &s.exemplars,
            metadata: s.metadata.as_ref(),
        };
        match version {
            Version::V1 => write1::put_series(&mut out, &series),
            Version::V2 => writer.put_series(&series),
        }
        let metadata = s.metadata.as_ref().filter(|_| v2);
        want.push(show(&s.labels.to_string(), &samples, &s.histograms, &s.exemplars, metadata));
    }
    if version == Version::V2 {
        writer.finish(&mut out);
    }
    (out, want)
}

fn decode(version: Version, body: &[u8]) -> Result<Vec<String>, WireError> {
    let mut got = Vec::new();
    let mut d = WriteDecoder::new(version, body, &[])?;
    while let Some(s) = d.next_series()? {
        let labels = match &s.labels {
            Ok(l) => l.to_string(),
            Err(e) => e.to_string(),
        };
        let histograms = s.histograms().map(|h| h.map(|h| (h.t_ms, h.value))).collect::<Result<Vec<_>, _>>()?;
        let exemplars = s.exemplars().map(|e| e.map(|e| e.expect("exemplar labels are good"))).collect::<Result<Vec<_>, _>>()?;
        got.push(show(&labels, s.samples, &histograms, &exemplars, s.metadata().as_ref()));
    }
    Ok(got)
}

proptest! {
    #[test]
    fn what_is_written_is_read(batches in prop::collection::vec(prop::collection::vec(sent(), 0..4), 1..3)) {
        let mut writer = write2::Writer::new();
        for all in &batches {
            for version in [Version::V1, Version::V2] {
                let (body, want) = encode(version, all, &mut writer);
                prop_assert_eq!(decode(version, &body).expect("own bytes"), want);
            }
        }
    }

    #[test]
    fn damaged_bytes_never_panic(all in prop::collection::vec(sent(), 1..3), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        for version in [Version::V1, Version::V2] {
            let (mut body, _) = encode(version, &all, &mut write2::Writer::new());
            let i = at.index(body.len());
            body[i] = byte;
            let _ = drain(version, &body);
            let _ = drain(version, &body[..cut.index(body.len())]);
            let _ = (read::ReadRequest::decode(&body), read::decode_frame(&body), read::results(&body));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body: Vec<u8>) {
        let _ = (drain(Version::V1, &body), drain(Version::V2, &body), ReadRequest::decode(&body), read::decode_frame(&body), read::results(&body));
        let _ = (super::histogram::decode(&body), read::take_frame(&mut body.as_slice(), 1 << 20));
        for encoding in [ContentEncoding::Snappy, ContentEncoding::Zstd] {
            let _ = decompress(encoding, &body, 1 << 20, &mut Vec::new());
        }
    }

    #[test]
    fn bodies_come_back(body: Vec<u8>) {
        let (mut c, mut packed, mut buffer) = (Compressor::new(), Vec::new(), vec![1; 7]);
        for encoding in [ContentEncoding::Identity, ContentEncoding::Snappy, ContentEncoding::Zstd] {
            c.compress(encoding, &body, &mut packed).expect("compress");
            prop_assert_eq!(decompress(encoding, &packed, body.len(), &mut buffer).expect("decompress"), body.as_slice());
        }
    }
}

fn drain(version: Version, body: &[u8]) -> Result<(), WireError> {
    let mut d = WriteDecoder::new(version, body, &[])?;
    while let Some(s) = d.next_series()? {
        s.histograms().for_each(drop);
        s.exemplars().for_each(drop);
        let _ = (s.metadata(), s.describe(), s.labels.map(|l| l.to_string()));
    }
    d.metadata().map(drop)
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let zeros = vec![0u8; 4 << 20];
    let (mut c, mut packed) = (Compressor::new(), Vec::new());
    for encoding in [ContentEncoding::Snappy, ContentEncoding::Zstd] {
        c.compress(encoding, &zeros, &mut packed).expect("compress");
        let mut buffer = Vec::new();
        assert_eq!(decompress(encoding, &packed, 1 << 20, &mut buffer), Err(WireError::TooLarge { limit_bytes: 1 << 20 }));
        assert!(buffer.capacity() <= 3 << 20, "{} bytes for {encoding:?}", buffer.capacity());
    }
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(decompress(ContentEncoding::Snappy, &lie, 1 << 20, &mut Vec::new()), Err(WireError::TooLarge { limit_bytes: 1 << 20 }));
}

/// A 1.0 series of these labels as they stand.
fn raw_series(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    proto::put_message_field(&mut out, 1, |out| {
        for (n, v) in pairs {
            proto::put_message_field(out, 1, |out| {
                proto::put_bytes_field(out, 1, n);
                proto::put_bytes_field(out, 2, v);
            });
        }
    });
    out
}

#[test]
fn labels_are_sorted_and_faults_named() {
    let check = |pairs: &[(&str, &str)], expect: Result<&str, LabelFault>| {
        let bytes: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let body = raw_series(&bytes);
        let replica = ["__replica__".to_string(), "cluster_replica".to_string()];
        let mut d = WriteDecoder::new(Version::V1, &body, &replica).expect("decoder");
        let s = d.next_series().expect("whole").expect("a series");
        let got = s.labels.map(|l| format!("{l} {}", s.replica));
        assert_eq!(got, expect.map(str::to_string));
    };
    check(&[("__name__", "up"), ("job", "a")], Ok(r#"{__name__="up", job="a"} "#));
    check(&[("job", "a"), ("__name__", "up"), ("empty", "")], Ok(r#"{__name__="up", job="a"} "#));
    check(&[("__name__", "up"), ("__replica__", "r1"), ("x", "y")], Ok(r#"{__name__="up", x="y"} r1"#));
    check(&[("cluster_replica", "b"), ("__name__", "up"), ("__replica__", "a")], Ok(r#"{__name__="up"} a/b"#));
    check(&[("__name__", "up"), ("a", "1"), ("a", "2")], Err(LabelFault::Duplicate("a".to_string())));
    check(&[("a", "1"), ("__name__", "up"), ("a", "1")], Err(LabelFault::Duplicate("a".to_string())));
    check(&[("", "x"), ("__name__", "up")], Err(LabelFault::EmptyName));
    check(&[("job", "a")], Err(LabelFault::NoMetricName));
    check(&[("__name__", "")], Err(LabelFault::NoMetricName));
}

#[test]
fn bad_utf8_spoils_only_its_series() {
    let mut body = raw_series(&[(b"__name__", b"\xff")]);
    body.extend(raw_series(&[(b"__name__", b"good")]));
    let mut d = WriteDecoder::new(Version::V1, &body, &[]).expect("decoder");
    assert_eq!(d.next_series().expect("whole").expect("first").labels, Err(LabelFault::InvalidUtf8));
    assert!(d.next_series().expect("whole").expect("second").labels.is_ok());
    assert!(d.next_series().expect("whole").is_none());
}

#[test]
fn references_beyond_the_symbols_are_named() {
    let mut body = Vec::new();
    for s in ["", "__name__"] {
        proto::put_bytes_field(&mut body, 4, s.as_bytes());
    }
    proto::put_message_field(&mut body, 5, |out| proto::put_bytes_field(out, 1, &[1, 9]));
    proto::put_message_field(&mut body, 5, |out| proto::put_bytes_field(out, 1, &[1]));
    let mut d = WriteDecoder::new(Version::V2, &body, &[]).expect("decoder");
    let mut next = || d.next_series().expect("whole").expect("a series").labels.expect_err("bad labels").to_string();
    assert_eq!(next(), "label reference 9 is outside of the symbol table (size 2)");
    assert_eq!(next(), "an odd number of label references (1)");
}

#[test]
fn family_metadata_is_read() {
    let m = Metadata { kind: MetricType::Counter, help: "how many".to_string(), unit: "s".to_string() };
    let mut body = Vec::new();
    write1::put_metadata(&mut body, "x_total", &m);
    let d = WriteDecoder::new(Version::V1, &body, &[]).expect("decoder");
    assert_eq!(d.metadata().expect("whole"), vec![("x_total", m)]);
}

#[test]
fn read_requests_and_frames_come_back() {
    let request = ReadRequest {
        queries: vec![ReadQuery {
            start_ms: -5,
            end_ms: 10,
            matchers: vec![Matcher::equal("a", "b"), Matcher::new(MatchOp::NotRegex, "c", "d.*").expect("regex")],
            hints: Some(SelectHints { start_ms: 1, end_ms: 2, step_ms: 3, func: "rate".to_string(), range_ms: 4, limit: 0 }),
        }],
        accepted: vec![ResponseType::StreamedXorChunks, ResponseType::Samples],
    };
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    assert_eq!(format!("{:?}", ReadRequest::decode(&bytes).expect("own bytes")), format!("{request:?}"));

    let chunk = EncodedChunk { mint_ms: -1, maxt_ms: 2, encoding: ChunkEncoding::Xor2, bytes: vec![1, 2, 3].into() };
    let mut stream = Vec::new();
    read::put_frame(&mut stream, 3, Labels::from_pairs([("a", "b")]).as_ref(), &[chunk]);
    let mut rest = &stream[..stream.len() - 1];
    assert_eq!(read::take_frame(&mut rest, 1000), Ok(None));
    let mut rest = stream.as_slice();
    let frame = read::take_frame(&mut rest, 1000).expect("good").expect("complete");
    let series = read::decode_frame(frame).expect("own bytes");
    assert_eq!((series[0].query_index, series[0].chunks[0].mint_ms, &series[0].chunks[0].bytes[..]), (3, -1, &[1u8, 2, 3][..]));
    assert!(rest.is_empty());
    stream[6] ^= 1;
    assert_eq!(read::take_frame(&mut stream.as_slice(), 1000), Err(WireError::Checksum));
}
