//! What stands in a record: series, samples, histograms, tombstones, exemplars, metadata, marks of mapped chunks, held samples, and
//! how far references are given out.
//!
//! Encoders append to a buffer the caller owns; decoders hand out what they read one by one and borrow where they can: labels come as a
//! [`model::LabelsRef`] over a scratch buffer that the caller keeps between records. A record that breaks off half way gives an error after
//! what could be read.
//!
//! References are the numbers that [`Records`] were written with, as plain `u64` (this room does not know the storage's type for them).

mod batch;
mod decode;
mod encode;
mod histogram;

pub use batch::Records;
pub use decode::{
    RecordError, decode_exemplars, decode_float_histograms, decode_held, decode_histograms, decode_metadata, decode_mmap_markers, decode_references,
    decode_samples, decode_series, decode_tombstones, each_sample, time_range,
};
pub use encode::{
    encode_exemplars, encode_float_histograms, encode_float_histograms_v2, encode_held, encode_histograms, encode_histograms_v2, encode_metadata,
    encode_mmap_markers, encode_references, encode_samples, encode_samples_v2, encode_series, encode_tombstones,
};

use model::{FloatHistogram, Histogram};

/// The first byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordType {
    Series = 1,
    Samples = 2,
    Tombstones = 3,
    Exemplars = 4,
    /// Only in Prometheus' separate log of late samples (`wbl`).
    MmapMarkers = 5,
    Metadata = 6,
    Histograms = 7,
    FloatHistograms = 8,
    CustomHistograms = 9,
    CustomFloatHistograms = 10,
    /// Samples with start timestamps.
    SamplesV2 = 11,
    HistogramsV2 = 12,
    FloatHistogramsV2 = 13,
    /// Ours: samples of a pair's standby. Prometheus' server reads the type from this byte, finds it unknown and goes on; its numbers are
    /// given out from below, so 64 stays free for long. (Its agent mode refuses unknown types; a forward-only leaf never holds samples.)
    Held = 64,
    /// Ours: stands first in every segment and says which references may have been given out. Skipped by Prometheus like the one above.
    References = 65,
}

impl RecordType {
    /// None for an empty record and for types that are not known: skip those.
    pub fn of(record: &[u8]) -> Option<RecordType> {
        use RecordType::*;
        let all =
            [Series, Samples, Tombstones, Exemplars, MmapMarkers, Metadata, Histograms, FloatHistograms, CustomHistograms, CustomFloatHistograms];
        match *record.first()? {
            n @ 1..=10 => Some(all[usize::from(n) - 1]),
            11 => Some(SamplesV2),
            12 => Some(HistogramsV2),
            13 => Some(FloatHistogramsV2),
            64 => Some(Held),
            65 => Some(References),
            _ => None,
        }
    }
}

/// A float sample. `start_ms` is 0 when it is not known.
#[derive(Clone, Copy, Debug)]
pub struct RefSample {
    pub series: u64,
    pub start_ms: i64,
    pub t_ms: i64,
    pub v: f64,
}

/// A histogram sample; `H` is owned, borrowed or shared as the caller likes. `start_ms` is 0 when it is not known.
#[derive(Clone, Copy, Debug)]
pub struct RefHistogram<H> {
    pub series: u64,
    pub start_ms: i64,
    pub t_ms: i64,
    pub h: H,
}

/// Samples of a series from `start_ms` to `end_ms`, both included, were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefTombstone {
    pub series: u64,
    pub start_ms: i64,
    pub end_ms: i64,
}

#[derive(Clone, Copy, Debug)]
pub struct RefExemplar<L> {
    pub series: u64,
    pub t_ms: i64,
    pub v: f64,
    pub labels: L,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefMetadata<'a> {
    pub series: u64,
    pub kind: model::MetricType,
    pub unit: &'a str,
    pub help: &'a str,
}

/// All samples of a series until now stand in the mapped chunk `chunk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefMmapMarker {
    pub series: u64,
    pub chunk: u64,
}

/// The value of a held sample, to be written.
#[derive(Clone, Copy, Debug)]
pub enum HeldRef<'a> {
    Float(f64),
    Int(&'a Histogram),
    FloatHistogram(&'a FloatHistogram),
}

/// The value of a held sample, as read.
#[derive(Clone, Debug)]
pub enum HeldValue {
    Float(f64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
