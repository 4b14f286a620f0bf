use super::body::{Compressor, ContentEncoding, decompress, decompress_within};
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
    // One that does not say how large it is: memory is asked for step by step, and no more is taken than was granted.
    let mut silent = Vec::new();
    let mut e = zstd::stream::write::Encoder::new(&mut silent, 1).expect("an encoder");
    std::io::Write::write_all(&mut e, &zeros).and_then(|()| e.finish().map(|_| ())).expect("compress");
    assert!(zstd::zstd_safe::get_frame_content_size(&silent).is_ok_and(|n| n.is_none()));
    let (mut buffer, mut granted) = (Vec::new(), 0);
    let grant = &mut |n: usize| {
        granted += n;
        granted <= 1 << 20
    };
    assert_eq!(decompress_within(ContentEncoding::Zstd, &silent, 8 << 20, &mut buffer, grant), Err(WireError::NoRoom));
    assert!(buffer.capacity() < 2 << 20, "{}", buffer.capacity());
    assert_eq!(decompress(ContentEncoding::Zstd, &silent, 1 << 20, &mut buffer), Err(WireError::TooLarge { limit_bytes: 1 << 20 }));
    assert_eq!(decompress(ContentEncoding::Zstd, &silent, zeros.len(), &mut buffer).expect("just fits").len(), zeros.len());
    assert_eq!(
        decompress(ContentEncoding::Zstd, &[silent.clone(), silent.clone()].concat(), 9 << 20, &mut buffer).expect("two frames").len(),
        8 << 20
    );
    // Snappy that says more than its bytes can hold is refused before memory is taken for it.
    let mut buffer = Vec::new();
    let lie = [0x80, 0x80, 0x40, 0, 0, 0];
    assert!(matches!(decompress(ContentEncoding::Snappy, &lie, 8 << 20, &mut buffer), Err(WireError::Compression(_))));
    assert_eq!(buffer.capacity(), 0);
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(decompress(ContentEncoding::Snappy, &lie, 1 << 20, &mut Vec::new()), Err(WireError::TooLarge { limit_bytes: 1 << 20 }));
}

/// Messages of two bytes each that would be dozens in memory.
#[test]
fn many_empty_parts_are_refused_or_only_counted() {
    let series = |number: u32, part: &[u8], times: usize| {
        let mut out = Vec::new();
        proto::put_message_field(&mut out, number, |out| (0..times).for_each(|_| out.extend_from_slice(part)));
        out
    };
    for (version, number, part, what) in [
        (Version::V1, 1, [0x12, 0], "more than 1048576 samples"),
        (Version::V1, 1, [0x1a, 0], "more than 1048576 exemplars"),
        (Version::V1, 1, [0x22, 0], "more than 1048576 histograms"),
        (Version::V2, 5, [0x12, 0], "more than 1048576 samples"),
    ] {
        let body = series(number, &part, 3 << 20);
        let e = drain(version, &body).expect_err("refused").to_string();
        assert!(e.contains(what), "{e}");
    }
    let symbols: Vec<u8> = [0x22, 0].repeat(5 << 20);
    let e = drain(Version::V2, &symbols).expect_err("refused").to_string();
    assert!(e.contains("more than 2097152 symbols"), "{e}");
    for (version, number, part) in [(Version::V1, 1, [0x0a, 0]), (Version::V2, 5, [0x08, 0])] {
        let body = series(number, &part, 1 << 20);
        let mut d = WriteDecoder::new(version, &body, &[]).expect("symbols");
        let s = d.next_series().expect("a series").expect("one");
        let want = if version == Version::V1 { 1 << 20 } else { 1 << 19 };
        assert_eq!(s.labels.expect_err("too many"), LabelFault::TooMany(want));
    }
    let mut long = Vec::new();
    proto::put_bytes_field(&mut long, 12, &vec![0; 2 << 20]);
    assert!(histogram::decode(&long).expect_err("refused").to_string().contains("longer than 1 MiB"));
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

/// A 2.0 request by references into its symbols.
fn by_references(symbols: &[&str], series: &[&[u64]]) -> Vec<u8> {
    let mut out = Vec::new();
    symbols.iter().for_each(|s| proto::put_bytes_field(&mut out, 4, s.as_bytes()));
    for refs in series {
        proto::put_message_field(&mut out, 5, |out| {
            let mut packed = Vec::new();
            refs.iter().for_each(|r| stdx::varint::put_uvarint(&mut packed, *r));
            proto::put_bytes_field(out, 1, &packed);
        });
    }
    out
}

/// Names like those of the series before are not looked at again; what is wrong with a series must be seen all the same.
#[test]
fn neighbours_with_the_same_names_are_read_alike() {
    let long = "v".repeat(200);
    let symbols = ["", "__name__", "m", "a", "x", "y", &long, "__replica__", "r1", "r2"];
    let of_long = format!("{{__name__=\"m\", a=\"{long}\"}}");
    let cases: [(&[u64], Result<&str, LabelFault>, &str); 10] = [
        (&[1, 2, 7, 8, 3, 4], Ok(r#"{__name__="m", a="x"}"#), "r1"),
        (&[1, 2, 7, 9, 3, 5], Ok(r#"{__name__="m", a="y"}"#), "r2"),
        (&[1, 2, 7, 0, 3, 6], Ok(&of_long), ""),
        (&[1, 2, 7, 9, 3, 0], Ok(r#"{__name__="m"}"#), "r2"),
        (&[1, 0, 7, 8, 3, 4], Err(LabelFault::NoMetricName), "r1"),
        (&[1, 2, 7, 8, 3, 4], Ok(r#"{__name__="m", a="x"}"#), "r1"),
        (&[1, 2, 7, 8, 3, 77], Err(LabelFault::BadReference("label reference 77 is outside of the symbol table (size 10)".to_string())), ""),
        (&[0, 0, 1, 2, 3, 5], Ok(r#"{__name__="m", a="y"}"#), ""),
        (&[0, 4, 1, 2, 3, 5], Err(LabelFault::EmptyName), ""),
        (&[3, 4, 1, 2, 3, 5], Err(LabelFault::Duplicate("a".to_string())), ""),
    ];
    let series: Vec<&[u64]> = cases.iter().map(|c| c.0).collect();
    let body = by_references(&symbols, &series);
    let replicas = ["__replica__".to_string()];
    let mut d = WriteDecoder::new(Version::V2, &body, &replicas).expect("symbols");
    for (refs, want, replica) in cases {
        let s = d.next_series().expect("well formed").expect("there");
        assert_eq!(s.labels.as_ref().map(ToString::to_string).map_err(Clone::clone), want.map(str::to_string), "{refs:?}");
        assert!(s.labels.is_err() || s.replica == replica, "{refs:?}: {}", s.replica);
    }
    assert!(d.next_series().expect("ends").is_none());
}

#[test]
fn a_series_that_comes_again_is_written_as_if_it_were_new() {
    let all: Vec<(Labels, Option<Metadata>)> = (0..50)
        .map(|n| {
            let labels = Labels::from_pairs([("__name__", format!("m{}", n % 7)), ("n", n.to_string()), ("same", "x".to_string())]);
            let metadata = (n % 3 == 0).then(|| Metadata { kind: MetricType::Counter, help: format!("help {}", n % 5), unit: "s".to_string() });
            (labels, metadata)
        })
        .collect();
    let known: Vec<write2::Strings> = all.iter().map(|_| write2::Strings::default()).collect();
    let samples = [FloatSample { t_ms: 5, v: 1.5, start_ms: 0 }];
    let mut writers = [write2::Writer::new(), write2::Writer::new()];
    for round in 0..6 {
        let writer = &mut writers[usize::from(round >= 3)];
        let mut fresh = write2::Writer::new();
        for (n, (labels, metadata)) in all.iter().enumerate().filter(|(n, _)| n % 4 != round % 4) {
            let series = SeriesOut { labels: labels.as_ref(), samples: &samples, histograms: &[], exemplars: &[], metadata: metadata.as_ref() };
            writer.put_known(&series, &known[n]);
            fresh.put_series(&series);
        }
        let (mut again, mut new) = (Vec::new(), Vec::new());
        writer.finish(&mut again);
        fresh.finish(&mut new);
        assert!(again == new, "round {round}");
    }
}

/// A series that the storage knows by its pairs comes without labels, but can be told of.
#[test]
fn known_series_are_asked_for_without_their_replica() {
    let replica = ["__replica__".to_string()];
    let mut body = Vec::new();
    for i in 0..3 {
        let pairs: &[(&[u8], &[u8])] = &[(b"__name__", b"up"), (b"__replica__", b"r1"), (b"job", if i == 1 { b"b" } else { b"a" })];
        let mut series = raw_series(&pairs[..if i == 2 { 1 } else { 3 }]);
        // The message's own length is one byte: a sample is put behind the labels.
        let sample = [0x12, 12, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0x80 | 5, 1];
        series[1] += sample.len() as u8;
        series.extend(sample);
        body.extend(series);
    }
    let mut d = WriteDecoder::new(Version::V1, &body, &replica).expect("decoder");
    let mut asked = Vec::new();
    let mut got = Vec::new();
    while let Some(s) = d
        .next_known(&mut |pairs| {
            asked.push(
                pairs.iter().map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect::<Vec<_>>().join(","),
            );
            (asked.len() == 2).then_some(storage::SeriesRef(7))
        })
        .expect("whole")
    {
        got.push(format!(
            "{:?} {} {} {:?} {} {:?}",
            s.known,
            s.text(),
            s.replica,
            s.metric_name(),
            s.samples[0].t_ms,
            s.labels.as_ref().is_ok_and(|l| l.is_empty())
        ));
    }
    assert_eq!(asked, ["__name__=up,job=a", "__name__=up,job=b", "__name__=up"]);
    assert_eq!(
        got,
        [
            r#"None {__name__="up", job="a"} r1 Some("up") 133 false"#,
            r#"Some(SeriesRef(7)) {__name__="up", job="b"} r1 Some("up") 133 true"#,
            r#"None {__name__="up"}  Some("up") 133 false"#,
        ]
    );
}
