use super::*;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{Labels, LabelsRef, MetricType};
use proptest::prelude::*;

fn labels() -> impl Strategy<Value = Labels> {
    proptest::collection::vec(("[a-z_]{1,8}", "\\PC{1,300}"), 0..5).prop_map(Labels::from_pairs)
}

fn span() -> impl Strategy<Value = Span> {
    (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length })
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let spans = || proptest::collection::vec(span(), 0..4);
    let deltas = || proptest::collection::vec(-(1i64 << 40)..(1i64 << 40), 0..6);
    let schema = prop_oneof![-4..=8i32, Just(CUSTOM_BUCKETS_SCHEMA)];
    (schema, any::<(u64, u64, f64, f64)>(), spans(), spans(), deltas(), deltas(), proptest::collection::vec(any::<f64>(), 0..4)).prop_map(
        |(schema, (zero_count, count, sum, zero_threshold), positive_spans, negative_spans, positive_deltas, negative_deltas, custom)| Histogram {
            reset_hint: ResetHint::NotReset,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive_deltas,
            negative_deltas,
            custom_values: if schema == CUSTOM_BUCKETS_SCHEMA { custom } else { Vec::new() },
        },
    )
}

fn float_histogram() -> impl Strategy<Value = FloatHistogram> {
    histogram().prop_map(|h| FloatHistogram { count: 1.5, positive_buckets: vec![f64::NAN, 2.5], ..h.to_float() })
}

fn again(record: &[u8]) -> Vec<u8> {
    use RecordType::*;
    let mut out = Vec::new();
    let mut scratch = Vec::new();
    match RecordType::of(record).expect("a known type") {
        Series => {
            let mut all: Vec<(u64, Labels)> = Vec::new();
            decode_series(record, &mut scratch, |id, l| all.push((id, l.to_labels()))).expect("decode");
            encode_series(&mut out, all.iter().map(|(id, l)| (*id, l.as_ref())));
        }
        kind @ (Samples | SamplesV2) => {
            let mut all = Vec::new();
            decode_samples(record, &mut all).expect("decode");
            if kind == Samples { encode_samples(&mut out, all) } else { encode_samples_v2(&mut out, all) }
        }
        kind @ (Histograms | CustomHistograms | HistogramsV2) => {
            let mut all = Vec::new();
            decode_histograms(record, |h| all.push(h)).expect("decode");
            if kind == HistogramsV2 { encode_histograms_v2(&mut out, all) } else { encode_histograms(&mut out, kind == CustomHistograms, all) }
        }
        kind @ (FloatHistograms | CustomFloatHistograms | FloatHistogramsV2) => {
            let mut all = Vec::new();
            decode_float_histograms(record, |h| all.push(h)).expect("decode");
            match kind {
                FloatHistogramsV2 => encode_float_histograms_v2(&mut out, all),
                _ => encode_float_histograms(&mut out, kind == CustomFloatHistograms, all),
            }
        }
        Tombstones => {
            let mut all = Vec::new();
            decode_tombstones(record, |s| all.push(s)).expect("decode");
            encode_tombstones(&mut out, all);
        }
        Exemplars => {
            let mut all: Vec<(u64, i64, f64, Labels)> = Vec::new();
            decode_exemplars(record, &mut scratch, |e| all.push((e.series, e.t_ms, e.v, e.labels.to_labels()))).expect("decode");
            encode_exemplars(
                &mut out,
                all.iter().map(|(series, t_ms, v, l)| RefExemplar { series: *series, t_ms: *t_ms, v: *v, labels: l.as_ref() }),
            );
        }
        Metadata => {
            let mut all = Vec::new();
            decode_metadata(record, |m| all.push((m.series, m.kind, m.unit.to_string(), m.help.to_string()))).expect("decode");
            encode_metadata(&mut out, all.iter().map(|(series, kind, unit, help)| RefMetadata { series: *series, kind: *kind, unit, help }));
        }
        MmapMarkers => {
            let mut all = Vec::new();
            decode_mmap_markers(record, |m| all.push(m)).expect("decode");
            encode_mmap_markers(&mut out, all);
        }
        References => encode_references(&mut out, decode_references(record).expect("decode")),
        Held => {
            let mut all: Vec<(u64, i64, HeldValue)> = Vec::new();
            let mut name = String::new();
            decode_held(record, |replica, series, t, v| {
                name = replica.to_string();
                all.push((series, t, v));
            })
            .expect("decode");
            let lend = |v: &HeldValue| match v {
                HeldValue::Float(v) => HeldRef::Float(*v),
                HeldValue::Int(_) | HeldValue::FloatHistogram(_) => HeldRef::Float(f64::NAN),
            };
            encode_held(&mut out, &name, all.iter().map(|(s, t, v)| (*s, *t, lend(v))));
        }
    }
    out
}

fn decode_anything(b: &[u8]) {
    let mut scratch = Vec::new();
    let _ = decode_series(b, &mut scratch, |_, l: LabelsRef<'_>| assert!(l.iter().count() < 1000));
    let _ = decode_samples(b, &mut Vec::new());
    let _ = decode_histograms(b, |_| {});
    let _ = decode_float_histograms(b, |_| {});
    let _ = decode_tombstones(b, |_| {});
    let _ = decode_exemplars(b, &mut scratch, |_| {});
    let _ = decode_metadata(b, |_| {});
    let _ = decode_mmap_markers(b, |_| {});
    let _ = decode_held(b, |_, _, _, _| {});
    let _ = time_range(b, &mut Vec::new());
}

proptest! {
    #[test]
    fn series_samples_and_the_small_ones_round_trip(
        series in proptest::collection::vec((any::<u64>(), labels()), 1..5),
        samples in proptest::collection::vec((any::<u64>(), any::<i64>(), any::<i64>(), any::<u64>()), 1..20),
    ) {
        let mut records = Vec::new();
        let mut add = |encode: &dyn Fn(&mut Vec<u8>)| {
            let mut r = Vec::new();
            encode(&mut r);
            records.push(r);
        };
        let sample = |(series, start_ms, t_ms, bits): (u64, i64, i64, u64)| RefSample { series, start_ms, t_ms, v: f64::from_bits(bits) };
        add(&|out| encode_series(out, series.iter().map(|(id, l)| (*id, l.as_ref()))));
        add(&|out| encode_samples(out, samples.iter().copied().map(sample)));
        add(&|out| encode_samples_v2(out, samples.iter().copied().map(sample)));
        add(&|out| encode_tombstones(out, samples.iter().map(|s| RefTombstone { series: s.0, start_ms: s.1, end_ms: s.2 })));
        add(&|out| encode_mmap_markers(out, samples.iter().map(|s| RefMmapMarker { series: s.0, chunk: s.3 })));
        add(&|out| encode_exemplars(out, series.iter().map(|(id, l)| RefExemplar { series: *id, t_ms: -5, v: 0.5, labels: l.as_ref() })));
        add(&|out| encode_metadata(out, series.iter().map(|(id, _)| RefMetadata { series: *id, kind: MetricType::Info, unit: "s", help: "도움말" })));
        add(&|out| encode_held(out, "복제", samples.iter().map(|s| (s.0, s.2, HeldRef::Float(f64::from_bits(s.3))))));
        for r in &records {
            prop_assert_eq!(&again(r), r);
            for cut in 0..r.len() {
                decode_anything(&r[..cut]);
            }
        }
        let mut back = Vec::new();
        decode_samples(&records[2], &mut back).expect("decode");
        for (got, want) in back.iter().zip(&samples) {
            prop_assert_eq!((got.series, got.start_ms, got.t_ms, got.v.to_bits()), *want);
        }
    }

    #[test]
    fn histograms_round_trip(ints in proptest::collection::vec(histogram(), 1..6), floats in proptest::collection::vec(float_histogram(), 1..6)) {
        for start_timestamps in [false, true] {
            let mut records = Records::new(start_timestamps);
            records.histograms(ints.iter().enumerate().map(|(i, h)| RefHistogram { series: i as u64, start_ms: 3, t_ms: i as i64 * 10, h }));
            records.float_histograms(floats.iter().enumerate().map(|(i, h)| RefHistogram { series: i as u64, start_ms: 0, t_ms: 7, h }));
            let (mut seen_ints, mut seen_floats) = (0, 0);
            for r in records.iter() {
                prop_assert_eq!(again(r), r);
                decode_anything(&r[..r.len() / 2]);
                let _ = decode_histograms(r, |_| seen_ints += 1);
                let _ = decode_float_histograms(r, |_| seen_floats += 1);
            }
            prop_assert_eq!((seen_ints, seen_floats), (ints.len(), floats.len()));
        }
    }

    #[test]
    fn held_histograms_come_back(int in histogram(), float in float_histogram()) {
        let mut records = Records::default();
        records.held("b", [(1, 10, HeldRef::Int(&int)), (2, 20, HeldRef::FloatHistogram(&float)), (3, 30, HeldRef::Float(1.0))]);
        let mut got = Vec::new();
        decode_held(records.iter().next().expect("one record"), |replica, s, t, v| got.push(format!("{replica} {s} {t} {v:?}"))).expect("decode");
        prop_assert_eq!(got, vec![
            format!("b 1 10 {:?}", HeldValue::Int(int)),
            format!("b 2 20 {:?}", HeldValue::FloatHistogram(float)),
            format!("b 3 30 {:?}", HeldValue::Float(1.0)),
        ]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 0u8..70, mut b: Vec<u8>) {
        b.insert(0, kind);
        decode_anything(&b);
    }
}

#[test]
fn unsorted_labels_of_a_foreign_writer_are_sorted() {
    let mut r = vec![1];
    r.extend_from_slice(&7u64.to_be_bytes());
    r.extend_from_slice(b"\x02\x01b\x011\x01a\x012");
    let mut got = Vec::new();
    decode_series(&r, &mut Vec::new(), |id, l| got.push((id, l.to_string()))).expect("decode");
    assert_eq!(got, vec![(7, r#"{a="2", b="1"}"#.to_string())]);
}

#[test]
fn a_record_without_items_is_not_written() {
    let mut records = Records::default();
    records.samples([]);
    records.held("a", []);
    records.histograms(std::iter::empty::<RefHistogram<Histogram>>());
    assert!(records.is_empty());
}
