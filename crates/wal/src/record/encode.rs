//! Records out of values. Every function appends exactly one record, type byte first; with an empty iterator only the type byte.

use super::histogram::{put_float_histogram, put_histogram};
use super::{HeldRef, RecordType, RefExemplar, RefHistogram, RefMetadata, RefMmapMarker, RefSample, RefTombstone};
use model::{FloatHistogram, Histogram, LabelsRef, MetricType};
use std::borrow::Borrow;
use stdx::varint::{MAX_LEN, put_uvarint, put_varint, write_varint};

pub(super) const NO_START: u8 = 0;
pub(super) const SAME_START: u8 = 1;
pub(super) const EXPLICIT_START: u8 = 2;
pub(super) const UNIT_FIELD: &str = "UNIT";
pub(super) const HELP_FIELD: &str = "HELP";
pub(super) const HELD_FLOAT: u8 = 0;
pub(super) const HELD_HISTOGRAM: u8 = 1;
pub(super) const HELD_FLOAT_HISTOGRAM: u8 = 2;

pub(super) fn put_be64(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(&v.to_be_bytes());
}

pub(super) fn put_f64(out: &mut Vec<u8>, v: f64) {
    put_be64(out, v.to_bits());
}

fn put_str(out: &mut Vec<u8>, s: &str) {
    put_uvarint(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

fn put_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    put_uvarint(out, labels.iter().count() as u64);
    for (n, v) in labels.iter() {
        put_str(out, n);
        put_str(out, v);
    }
}

pub fn encode_series<'a>(out: &mut Vec<u8>, series: impl IntoIterator<Item = (u64, LabelsRef<'a>)>) {
    out.push(RecordType::Series as u8);
    for (id, labels) in series {
        put_be64(out, id);
        put_labels(out, labels);
    }
}

/// The base that the deltas of a record count from, written with the first item.
#[derive(Default)]
struct Base(Option<(u64, i64)>);

impl Base {
    #[inline]
    fn put(&mut self, out: &mut Vec<u8>, series: u64, t_ms: i64) {
        let (first, first_t) = *self.0.get_or_insert_with(|| {
            put_be64(out, series);
            put_be64(out, t_ms as u64);
            (series, t_ms)
        });
        put_varint(out, series.wrapping_sub(first) as i64);
        put_varint(out, t_ms.wrapping_sub(first_t));
    }
}

/// Without start timestamps.
pub fn encode_samples(out: &mut Vec<u8>, samples: impl IntoIterator<Item = RefSample>) {
    out.push(RecordType::Samples as u8);
    let mut samples = samples.into_iter().peekable();
    let Some(&RefSample { series: first, t_ms: first_t, .. }) = samples.peek() else { return };
    out.reserve(16 + samples.size_hint().0 * 12);
    put_be64(out, first);
    put_be64(out, first_t as u64);
    for s in samples {
        // Put together on the stack: the buffer is asked for room once for each sample.
        let mut item = [0u8; 2 * MAX_LEN + 8];
        let mut at = write_varint(&mut item, 0, s.series.wrapping_sub(first) as i64);
        at = write_varint(&mut item, at, s.t_ms.wrapping_sub(first_t));
        item[at..at + 8].copy_from_slice(&s.v.to_bits().to_be_bytes());
        out.extend_from_slice(&item[..at + 8]);
    }
}

/// Deltas of the second generation: references to the previous item, times to the first, start timestamps by a mark.
#[derive(Default)]
struct BaseV2 {
    first: Option<(i64, i64)>,
    previous: (u64, i64),
}

impl BaseV2 {
    #[inline]
    fn put(&mut self, out: &mut Vec<u8>, series: u64, t_ms: i64, start_ms: i64) {
        match self.first {
            None => {
                put_varint(out, series as i64);
                put_varint(out, t_ms);
                put_varint(out, start_ms);
                self.first = Some((t_ms, start_ms));
            }
            Some((first_t, first_start)) => {
                put_varint(out, series.wrapping_sub(self.previous.0) as i64);
                put_varint(out, t_ms.wrapping_sub(first_t));
                if start_ms == 0 {
                    out.push(NO_START);
                } else if start_ms == self.previous.1 {
                    out.push(SAME_START);
                } else {
                    out.push(EXPLICIT_START);
                    put_varint(out, start_ms.wrapping_sub(first_start));
                }
            }
        }
        self.previous = (series, start_ms);
    }
}

pub fn encode_samples_v2(out: &mut Vec<u8>, samples: impl IntoIterator<Item = RefSample>) {
    out.push(RecordType::SamplesV2 as u8);
    let mut base = BaseV2::default();
    for s in samples {
        base.put(out, s.series, s.t_ms, s.start_ms);
        put_f64(out, s.v);
    }
}

/// `custom` says that all of them have custom buckets; otherwise none may.
pub fn encode_histograms<H: Borrow<Histogram>>(out: &mut Vec<u8>, custom: bool, samples: impl IntoIterator<Item = RefHistogram<H>>) {
    out.push(if custom { RecordType::CustomHistograms } else { RecordType::Histograms } as u8);
    let mut base = Base::default();
    for s in samples {
        base.put(out, s.series, s.t_ms);
        put_histogram(out, s.h.borrow());
    }
}

/// `custom` says that all of them have custom buckets; otherwise none may.
pub fn encode_float_histograms<H: Borrow<FloatHistogram>>(out: &mut Vec<u8>, custom: bool, samples: impl IntoIterator<Item = RefHistogram<H>>) {
    out.push(if custom { RecordType::CustomFloatHistograms } else { RecordType::FloatHistograms } as u8);
    let mut base = Base::default();
    for s in samples {
        base.put(out, s.series, s.t_ms);
        put_float_histogram(out, s.h.borrow());
    }
}

pub fn encode_histograms_v2<H: Borrow<Histogram>>(out: &mut Vec<u8>, samples: impl IntoIterator<Item = RefHistogram<H>>) {
    out.push(RecordType::HistogramsV2 as u8);
    let mut base = BaseV2::default();
    for s in samples {
        base.put(out, s.series, s.t_ms, s.start_ms);
        put_histogram(out, s.h.borrow());
    }
}

pub fn encode_float_histograms_v2<H: Borrow<FloatHistogram>>(out: &mut Vec<u8>, samples: impl IntoIterator<Item = RefHistogram<H>>) {
    out.push(RecordType::FloatHistogramsV2 as u8);
    let mut base = BaseV2::default();
    for s in samples {
        base.put(out, s.series, s.t_ms, s.start_ms);
        put_float_histogram(out, s.h.borrow());
    }
}

pub fn encode_tombstones(out: &mut Vec<u8>, stones: impl IntoIterator<Item = RefTombstone>) {
    out.push(RecordType::Tombstones as u8);
    for s in stones {
        put_be64(out, s.series);
        put_varint(out, s.start_ms);
        put_varint(out, s.end_ms);
    }
}

pub fn encode_exemplars<'a>(out: &mut Vec<u8>, exemplars: impl IntoIterator<Item = RefExemplar<LabelsRef<'a>>>) {
    out.push(RecordType::Exemplars as u8);
    let mut base = Base::default();
    for e in exemplars {
        base.put(out, e.series, e.t_ms);
        put_f64(out, e.v);
        put_labels(out, e.labels);
    }
}

fn kind_byte(kind: MetricType) -> u8 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

pub(super) fn kind_of_byte(byte: u8) -> MetricType {
    match byte {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

pub fn encode_metadata<'a>(out: &mut Vec<u8>, metadata: impl IntoIterator<Item = RefMetadata<'a>>) {
    out.push(RecordType::Metadata as u8);
    for m in metadata {
        put_uvarint(out, m.series);
        out.push(kind_byte(m.kind));
        put_uvarint(out, 2);
        for (name, value) in [(UNIT_FIELD, m.unit), (HELP_FIELD, m.help)] {
            put_str(out, name);
            put_str(out, value);
        }
    }
}

pub fn encode_mmap_markers(out: &mut Vec<u8>, markers: impl IntoIterator<Item = RefMmapMarker>) {
    out.push(RecordType::MmapMarkers as u8);
    for m in markers {
        put_be64(out, m.series);
        put_be64(out, m.chunk);
    }
}

/// Samples that one replica sent and that wait for a decision: (series, time, value). After the type byte the replica's name with its length, then as in
/// a samples record, but each value begins with a byte for its kind.
pub fn encode_held<'a>(out: &mut Vec<u8>, replica: &str, samples: impl IntoIterator<Item = (u64, i64, HeldRef<'a>)>) {
    out.push(RecordType::Held as u8);
    put_str(out, replica);
    let mut base = Base::default();
    for (series, t_ms, value) in samples {
        base.put(out, series, t_ms);
        match value {
            HeldRef::Float(v) => {
                out.push(HELD_FLOAT);
                put_f64(out, v);
            }
            HeldRef::Int(h) => {
                out.push(HELD_HISTOGRAM);
                put_histogram(out, h);
            }
            HeldRef::FloatHistogram(h) => {
                out.push(HELD_FLOAT_HISTOGRAM);
                put_float_histogram(out, h);
            }
        }
    }
}

/// References up to `last`, which is included, may be in use.
pub fn encode_references(out: &mut Vec<u8>, last: u64) {
    out.push(RecordType::References as u8);
    put_be64(out, last);
}
