use super::bits::{BitReader, BitWriter};
use super::float_histogram::FloatHistogramAppender;
use super::histogram::{Appended, HistogramAppender};
use super::xor::XorAppender;
use super::xor2::Xor2Appender;
use super::*;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::sample::stale_nan;
use model::{FloatHistogram, Histogram};
use proptest::prelude::*;

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-50i32..50).prop_map(f64::from),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => any::<f64>(),
    ]
}

fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(15_000i64), 3 => 14_990i64..15_010, 2 => 1i64..3_000_000, 1 => 1i64..1 << 40]
}

fn bits(v: &[f64]) -> Vec<u64> {
    v.iter().map(|v| v.to_bits()).collect()
}

fn times(start: i64, steps: impl IntoIterator<Item = i64>) -> Vec<i64> {
    steps.into_iter().scan(start, |t, s| Some(std::mem::replace(t, *t + s))).collect()
}

fn read(e: ChunkEncoding, bytes: &[u8], start: i64, end: i64) -> SeriesData {
    let mut out = SeriesData::default();
    decode(e, bytes, start, end, &mut out).expect("decode");
    out
}

proptest! {
    #[test]
    fn varbits_round_trip(vs: Vec<(i64, u64, u32)>) {
        let mut buf = Vec::new();
        let mut free = 0;
        for (i, u, shift) in &vs {
            let mut w = BitWriter::new(&mut buf, free);
            w.put_varbit(i >> (shift % 64));
            w.put_varbit_u(u >> (shift % 64));
            w.put_varint(*i);
            free = w.finish();
        }
        let mut r = BitReader::new(&buf);
        for (i, u, shift) in &vs {
            prop_assert_eq!(r.varbit(), i >> (shift % 64));
            prop_assert_eq!(r.varbit_u(), u >> (shift % 64));
            prop_assert_eq!(r.varint(), Ok(*i));
        }
        prop_assert_eq!(r.free_bits(), free);
        prop_assert_eq!(r.bytes_read(), buf.len());
    }

    #[test]
    fn xor_round_trips_resumes_and_filters(start in -10_000_000i64..1 << 45, samples in prop::collection::vec((any_step(), any_value()), 1..200), cut in 0usize..200) {
        let t = times(start, samples.iter().map(|s| s.0));
        let v: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let mut a = XorAppender::new();
        for (i, (t, v)) in t.iter().zip(&v).enumerate() {
            if i == cut {
                a = XorAppender::resume(a.bytes().to_vec()).expect("resume");
            }
            a.append(*t, *v);
        }
        let mut whole = XorAppender::new();
        t.iter().zip(&v).for_each(|(t, v)| whole.append(*t, *v));
        prop_assert_eq!(a.bytes(), whole.bytes());
        prop_assert_eq!(usize::from(a.len()), t.len());
        let d = read(ChunkEncoding::Xor, a.bytes(), i64::MIN, i64::MAX);
        prop_assert_eq!(&d.t_ms, &t);
        prop_assert_eq!(bits(&d.v), bits(&v));
        let (from, to) = (t[t.len() / 3], t[t.len() * 2 / 3]);
        let d = read(ChunkEncoding::Xor, a.bytes(), from, to);
        prop_assert_eq!(&d.t_ms[..], &t[t.len() / 3..=t.len() * 2 / 3]);
        for len in 0..a.bytes().len() {
            prop_assert!(decode(ChunkEncoding::Xor, &a.bytes()[..len], i64::MIN, i64::MAX, &mut SeriesData::default()).is_err());
        }
    }

    #[test]
    fn xor2_round_trips_and_resumes(
        start in 1i64..1 << 45,
        samples in prop::collection::vec((any_step(), any_value(), prop_oneof![5 => Just(0i64), 1 => -20i64..20]), 1..200),
        cut in 0usize..200,
        known in any::<bool>(),
        jitter in any::<bool>(),
    ) {
        let t = times(start, samples.iter().map(|s| s.0));
        let v: Vec<f64> = samples.iter().map(|s| s.1).collect();
        let base = if known { start } else { 0 };
        let st: Vec<i64> = samples.iter().map(|s| if jitter { base + s.2 } else { base }).collect();
        let (mut a, mut whole) = (Xor2Appender::new(), Xor2Appender::new());
        for i in 0..t.len() {
            if i == cut {
                a = Xor2Appender::resume(a.bytes().to_vec()).expect("resume");
            }
            a.append(st[i], t[i], v[i]);
            whole.append(st[i], t[i], v[i]);
        }
        prop_assert_eq!(a.bytes(), whole.bytes());
        let d = read(ChunkEncoding::Xor2, a.bytes(), i64::MIN, i64::MAX);
        prop_assert_eq!(&d.t_ms, &t);
        prop_assert_eq!(bits(&d.v), bits(&v));
        if d.st_ms.is_empty() {
            prop_assert!(st.iter().all(|s| *s == 0));
        } else {
            prop_assert_eq!(&d.st_ms, &st);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(b: Vec<u8>, e in 1u8..7) {
        let mut out = SeriesData::default();
        let _ = decode(encoding_from_byte(e).expect("encoding"), &b, i64::MIN, i64::MAX, &mut out);
        prop_assert!(out.len() <= usize::from(u16::MAX));
        let _ = (XorAppender::resume(b.clone()), Xor2Appender::resume(b.clone()), HistogramAppender::resume(b.clone()), FloatHistogramAppender::resume(b));
    }

    #[test]
    fn histograms_read_back_whatever_the_buckets(hs in prop::collection::vec(any_histogram(), 1..40), cut in 0usize..40) {
        let (mut ints, mut floats) = (HistogramAppender::new(), FloatHistogramAppender::new());
        let (mut int_chunks, mut float_chunks) = (Vec::new(), Vec::new());
        for (i, h) in hs.iter().enumerate() {
            if i == cut {
                ints = HistogramAppender::resume(ints.bytes().to_vec()).expect("resume");
                floats = FloatHistogramAppender::resume(floats.bytes().to_vec()).expect("resume");
            }
            let t = i as i64 * 1000;
            if let Appended::Cut(done) = ints.append(t, h) {
                int_chunks.push(done);
            }
            if let Appended::Cut(done) = floats.append(t, &h.to_float()) {
                float_chunks.push(done);
            }
        }
        int_chunks.push(ints.take());
        float_chunks.push(floats.take());
        for (e, chunks) in [(ChunkEncoding::Histogram, int_chunks), (ChunkEncoding::FloatHistogram, float_chunks)] {
            let mut d = SeriesData::default();
            for c in &chunks {
                decode(e, c, i64::MIN, i64::MAX, &mut d).expect("decode");
                for len in 0..c.len() {
                    prop_assert!(decode(e, &c[..len], i64::MIN, i64::MAX, &mut SeriesData::default()).is_err());
                }
            }
            prop_assert_eq!(&d.hist_t_ms, &(0..hs.len() as i64).map(|i| i * 1000).collect::<Vec<_>>());
            for (got, want) in d.hist.iter().zip(&hs) {
                same_histogram(got, &want.to_float())?;
            }
        }
    }
}

/// Equal counts in equal buckets, empty buckets aside.
fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> Result<(), TestCaseError> {
    let filled = |spans: &[Span], counts: &[f64]| layout::indexes(spans).zip(counts.iter().copied()).filter(|(_, c)| *c != 0.0).collect::<Vec<_>>();
    prop_assert_eq!(a.sum.to_bits(), b.sum.to_bits());
    if model::sample::is_stale_nan(a.sum) {
        return Ok(());
    }
    prop_assert_eq!((a.schema, a.zero_threshold, a.zero_count, a.count), (b.schema, b.zero_threshold, b.zero_count, b.count));
    prop_assert_eq!(&a.custom_values, &b.custom_values);
    prop_assert_eq!(filled(&a.positive_spans, &a.positive_buckets), filled(&b.positive_spans, &b.positive_buckets));
    prop_assert_eq!(filled(&a.negative_spans, &a.negative_buckets), filled(&b.negative_spans, &b.negative_buckets));
    Ok(())
}

fn any_buckets() -> impl Strategy<Value = (Vec<Span>, Vec<i64>)> {
    prop::collection::vec((0i32..3, prop::collection::vec(0i64..4, 0..4)), 0..3).prop_map(|runs| {
        let spans = runs.iter().map(|(offset, counts)| Span { offset: *offset, length: counts.len() as u32 }).collect();
        let mut last = 0;
        let deltas = runs.iter().flat_map(|(_, c)| c.iter().copied()).map(|c| c - std::mem::replace(&mut last, c)).collect();
        (spans, deltas)
    })
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let hint = prop_oneof![8 => Just(ResetHint::Unknown), 1 => Just(ResetHint::Reset), 1 => Just(ResetHint::NotReset), 3 => Just(ResetHint::Gauge)];
    let sum = prop_oneof![8 => any::<f64>(), 1 => Just(stale_nan())];
    let zero = prop_oneof![Just(0.0), Just(0.001), Just(2f64.powi(-128))];
    let schema = prop_oneof![6 => Just(0i32), 1 => Just(3), 1 => Just(CUSTOM_BUCKETS_SCHEMA)];
    (hint, any_buckets(), any_buckets(), sum, zero, schema, 0u64..3, 0u64..200).prop_map(
        |(reset_hint, (positive_spans, positive_deltas), (negative_spans, negative_deltas), sum, zero_threshold, schema, zero_count, count)| {
            Histogram {
                reset_hint,
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive_spans,
                negative_spans,
                positive_deltas,
                negative_deltas,
                custom_values: if schema == CUSTOM_BUCKETS_SCHEMA { vec![0.005, 1.0, -3.0, 1e9, 33_554.43] } else { vec![] },
            }
        },
    )
}

fn counter(count: u64, spans: &[(i32, u32)], deltas: &[i64]) -> Histogram {
    Histogram {
        count,
        positive_spans: spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect(),
        positive_deltas: deltas.to_vec(),
        ..Histogram::default()
    }
}

#[test]
fn a_counter_is_recoded_for_new_buckets_and_cut_for_resets() {
    let mut a = HistogramAppender::new();
    assert_eq!(a.append(1, &counter(4, &[(0, 2)], &[1, 2])), Appended::InPlace);
    assert_eq!(a.append(2, &counter(9, &[(0, 2), (2, 1)], &[2, 2, -1])), Appended::Recoded);
    assert_eq!(a.append(3, &counter(9, &[(0, 2), (2, 1)], &[2, 2, -1])), Appended::InPlace);
    let before = a.bytes().to_vec();
    assert_eq!(a.append(4, &counter(3, &[(0, 2)], &[1, 1])), Appended::Cut(before.clone()));
    assert_eq!(a.bytes()[layout::FLAGS_AT], layout::RESET);
    let d = read(ChunkEncoding::Histogram, &before, 2, 3);
    assert_eq!(d.hist_t_ms, vec![2, 3]);
    assert_eq!(d.hist[0].positive_buckets, vec![2.0, 4.0, 3.0]);
    assert_eq!(d.hist[0].reset_hint, ResetHint::NotReset);
}

#[test]
fn a_chunk_that_continues_another_says_whether_there_was_a_reset() {
    let mut a = HistogramAppender::new();
    a.append(1, &counter(4, &[(0, 2)], &[1, 2]));
    a.take();
    a.append(2, &counter(5, &[(0, 2)], &[1, 2]));
    assert_eq!(a.bytes()[layout::FLAGS_AT], layout::NO_RESET);
    a.take();
    a.append(3, &counter(2, &[(0, 2)], &[1, 0]));
    assert_eq!(a.bytes()[layout::FLAGS_AT], layout::RESET);
}

#[test]
fn a_gauge_keeps_the_buckets_of_all_samples() {
    let gauge = |spans: &[(i32, u32)], deltas: &[i64]| Histogram { reset_hint: ResetHint::Gauge, ..counter(9, spans, deltas) };
    let mut a = HistogramAppender::new();
    assert_eq!(a.append(1, &gauge(&[(0, 2)], &[5, 2])), Appended::InPlace);
    assert_eq!(a.append(2, &gauge(&[(1, 2)], &[3, 1])), Appended::Recoded);
    let d = read(ChunkEncoding::Histogram, a.bytes(), 0, 9);
    assert_eq!(d.hist[0].positive_spans, vec![Span { offset: 0, length: 3 }]);
    assert_eq!((&d.hist[0].positive_buckets, &d.hist[1].positive_buckets), (&vec![5.0, 7.0, 0.0], &vec![0.0, 3.0, 4.0]));
    assert_eq!(d.hist[1].reset_hint, ResetHint::Gauge);
}

#[test]
fn an_open_chunk_is_small() {
    assert!(size_of::<XorAppender>() <= 56);
    let mut a = XorAppender::new();
    for i in 0..120 {
        a.append(1_700_000_000_000 + i * 15_000, 1.0);
    }
    assert!(a.capacity() <= 64, "{}", a.capacity());
}

fn number(v: &serde_json::Value) -> f64 {
    match v.as_str() {
        Some("stale") => stale_nan(),
        Some(text) => text.parse().expect("a number"),
        None => v.as_f64().expect("a number"),
    }
}

fn spans(v: &serde_json::Value) -> Vec<Span> {
    let list = v.as_array().expect("spans");
    list.iter().map(|s| Span { offset: s[0].as_i64().expect("offset") as i32, length: s[1].as_u64().expect("length") as u32 }).collect()
}

fn counts(v: &serde_json::Value) -> Vec<f64> {
    v.as_array().expect("counts").iter().map(number).collect()
}

fn fixture_histogram(v: &serde_json::Value) -> FloatHistogram {
    FloatHistogram {
        reset_hint: [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge][v["hint"].as_u64().expect("hint") as usize],
        schema: v["schema"].as_i64().expect("schema") as i32,
        zero_threshold: number(&v["zt"]),
        zero_count: number(&v["zc"]),
        count: number(&v["count"]),
        sum: number(&v["sum"]),
        positive_spans: spans(&v["ps"]),
        negative_spans: spans(&v["ns"]),
        positive_buckets: counts(&v["pc"]),
        negative_buckets: counts(&v["nc"]),
        custom_values: counts(&v["cv"]),
    }
}

fn whole(h: &FloatHistogram) -> Histogram {
    let deltas = |counts: &[f64]| {
        let mut last = 0;
        counts.iter().map(|c| *c as i64 - std::mem::replace(&mut last, *c as i64)).collect()
    };
    Histogram {
        reset_hint: h.reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as u64,
        count: h.count as u64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_deltas: deltas(&h.positive_buckets),
        negative_deltas: deltas(&h.negative_buckets),
        custom_values: h.custom_values.clone(),
    }
}

/// Samples that were written to Prometheus 3.5.3 by remote write, and the chunks that its head made of them.
#[test]
fn histogram_chunks_are_prometheus_chunks() {
    let all: serde_json::Value = serde_json::from_str(include_str!("histogram_fixture.json")).expect("fixture");
    for series in all.as_array().expect("series") {
        let name = series["name"].as_str().expect("name");
        let samples = series["samples"].as_array().expect("samples");
        let (mut ints, mut floats, mut got) = (HistogramAppender::new(), FloatHistogramAppender::new(), Vec::new());
        let float = name.ends_with("_float");
        for s in samples {
            let (t, h) = (s["t"].as_i64().expect("time"), fixture_histogram(s));
            let done = if float { floats.append(t, &h) } else { ints.append(t, &whole(&h)) };
            if let Appended::Cut(done) = done {
                got.push(done);
            }
        }
        let mut last = if float { floats.take() } else { ints.take() };
        // A snapshot encodes the open chunk again and forgets whether a reset began it.
        if last[layout::FLAGS_AT] != layout::GAUGE {
            last[layout::FLAGS_AT] = layout::RESET_UNKNOWN;
        }
        got.push(last);
        let hex = |b: &Vec<u8>| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let want: Vec<&str> = series["chunks"].as_array().expect("chunks").iter().map(|c| c[1].as_str().expect("hex")).collect();
        assert_eq!(got.iter().map(hex).collect::<Vec<_>>(), want, "{name}");
    }
}

/// The example of docs/formats/chunks.md.
#[test]
fn the_documented_chunk() {
    let mut a = XorAppender::new();
    for (i, v) in [1.0, 1.0, 2.0].into_iter().enumerate() {
        a.append(1_700_000_000_000 + i as i64 * 15_000, v);
    }
    let hex: String = a.bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "000380a0abfef9623ff000000000000098753097ffc0");
}
