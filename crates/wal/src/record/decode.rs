//! Values out of records. Each function takes a whole record and checks its type byte; what it hands out before an error stands.

use super::encode::{EXPLICIT_START, HELD_FLOAT, HELD_FLOAT_HISTOGRAM, HELD_HISTOGRAM, HELP_FIELD, NO_START, SAME_START, UNIT_FIELD, kind_of_byte};
use super::histogram::Bytes;
use super::{HeldValue, RecordType, RefExemplar, RefHistogram, RefMetadata, RefMmapMarker, RefSample, RefTombstone};
use model::labels::push_pair_bytes;
use model::{FloatHistogram, Histogram, Labels, LabelsRef};
use std::fmt;

/// Why a record makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// It is of another type than the decoder's.
    Type(u8),
    /// It ends inside a value, or counts more things than it can hold.
    Short,
    /// A name or value is not UTF-8.
    Utf8,
    /// A name or value is longer than labels may be.
    Long,
    /// A number is outside what it can mean; says which.
    Range(&'static str),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Type(t) => write!(f, "unexpected record type {t}"),
            RecordError::Short => f.write_str("record ends inside a value"),
            RecordError::Utf8 => f.write_str("text is not valid UTF-8"),
            RecordError::Long => f.write_str("label name or value is longer than 16 MiB"),
            RecordError::Range(what) => write!(f, "{what} is out of range"),
        }
    }
}

impl std::error::Error for RecordError {}

fn open<'a>(record: &'a [u8], allowed: &[RecordType]) -> Result<(RecordType, Bytes<'a>), RecordError> {
    match RecordType::of(record) {
        Some(t) if allowed.contains(&t) => Ok((t, Bytes { rest: &record[1..] })),
        _ => Err(RecordError::Type(record.first().copied().unwrap_or(0))),
    }
}

/// Writes labels into `scratch` in the layout of [`LabelsRef`]. Sorts them if a foreign writer did not.
fn labels(bytes: &mut Bytes<'_>, scratch: &mut Vec<u8>) -> Result<(), RecordError> {
    scratch.clear();
    let n = bytes.count(2)?;
    let start = bytes.rest;
    let mut previous: &[u8] = b"";
    let (mut sorted, mut longest) = (true, 0);
    for _ in 0..n {
        let (name, value) = (bytes.string()?, bytes.string()?);
        longest = longest.max(name.len()).max(value.len());
        if longest > model::labels::MAX_LEN {
            return Err(RecordError::Long);
        }
        sorted &= previous < name && !value.is_empty();
        previous = name;
        push_pair_bytes(scratch, name, value);
    }
    // Short lengths are ASCII, which no UTF-8 sequence runs across: one look at all of it says the same as one at each string.
    if sorted && longest < 128 {
        return std::str::from_utf8(scratch).map(|_| ()).map_err(|_| RecordError::Utf8);
    }
    let mut again = Bytes { rest: start };
    let mut pairs = Vec::with_capacity(n);
    for _ in 0..n {
        pairs.push((again.str()?, again.str()?));
    }
    if !sorted {
        scratch.clear();
        scratch.extend_from_slice(Labels::from_pairs(pairs).as_ref().encoded());
    }
    Ok(())
}

/// `scratch` is only memory to work in; the labels handed out live until the callback returns.
pub fn decode_series(record: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(u64, LabelsRef<'_>)) -> Result<(), RecordError> {
    let (_, mut b) = open(record, &[RecordType::Series])?;
    while !b.is_empty() {
        let id = b.be64()?;
        labels(&mut b, scratch)?;
        each(id, LabelsRef::from_encoded(scratch));
    }
    Ok(())
}

struct Base {
    series: u64,
    t_ms: i64,
}

impl Base {
    fn read(b: &mut Bytes<'_>) -> Result<Option<Base>, RecordError> {
        if b.is_empty() {
            return Ok(None);
        }
        Ok(Some(Base { series: b.be64()?, t_ms: b.be64()? as i64 }))
    }

    #[inline]
    fn next(&self, b: &mut Bytes<'_>) -> Result<(u64, i64), RecordError> {
        let (series, t) = (b.varint()?, b.varint()?);
        Ok((self.series.wrapping_add(series as u64), self.t_ms.wrapping_add(t)))
    }
}

#[derive(Default)]
struct BaseV2 {
    first: Option<(i64, i64)>,
    previous: (u64, i64),
}

impl BaseV2 {
    /// Series, time, start time.
    #[inline]
    fn next(&mut self, b: &mut Bytes<'_>) -> Result<(u64, i64, i64), RecordError> {
        let out = match self.first {
            None => {
                let (series, t, start) = (b.varint()?, b.varint()?, b.varint()?);
                self.first = Some((t, start));
                (series as u64, t, start)
            }
            Some((first_t, first_start)) => {
                let series = self.previous.0.wrapping_add(b.varint()? as u64);
                let t = first_t.wrapping_add(b.varint()?);
                let start = match b.byte()? {
                    NO_START => 0,
                    SAME_START => self.previous.1,
                    EXPLICIT_START.. => first_start.wrapping_add(b.varint()?),
                };
                (series, t, start)
            }
        };
        self.previous = (out.0, out.2);
        Ok(out)
    }
}

/// Appends the samples to `out`. Types `Samples` and `SamplesV2`.
pub fn decode_samples(record: &[u8], out: &mut Vec<RefSample>) -> Result<(), RecordError> {
    out.reserve(record.len() / 10);
    each_sample(record, |s| out.push(s))
}

/// Hands the samples out one by one.
#[inline]
pub fn each_sample(record: &[u8], mut each: impl FnMut(RefSample)) -> Result<(), RecordError> {
    let (kind, mut b) = open(record, &[RecordType::Samples, RecordType::SamplesV2])?;
    if kind == RecordType::SamplesV2 {
        let mut base = BaseV2::default();
        while !b.is_empty() {
            let (series, t_ms, start_ms) = base.next(&mut b)?;
            each(RefSample { series, start_ms, t_ms, v: b.f64()? });
        }
        return Ok(());
    }
    let Some(base) = Base::read(&mut b)? else { return Ok(()) };
    while !b.is_empty() {
        let (series, t_ms) = base.next(&mut b)?;
        each(RefSample { series, start_ms: 0, t_ms, v: b.f64()? });
    }
    Ok(())
}

fn decode_each<T>(
    record: &[u8],
    v1: &[RecordType],
    v2: RecordType,
    mut value: impl FnMut(&mut Bytes<'_>) -> Result<T, RecordError>,
    mut each: impl FnMut(u64, i64, i64, T),
) -> Result<(), RecordError> {
    let (kind, mut b) = open(record, &[v1, &[v2]].concat())?;
    if kind == v2 {
        let mut base = BaseV2::default();
        while !b.is_empty() {
            let (series, t, start) = base.next(&mut b)?;
            each(series, t, start, value(&mut b)?);
        }
        return Ok(());
    }
    let Some(base) = Base::read(&mut b)? else { return Ok(()) };
    while !b.is_empty() {
        let (series, t) = base.next(&mut b)?;
        each(series, t, 0, value(&mut b)?);
    }
    Ok(())
}

/// Types `Histograms`, `CustomHistograms` and `HistogramsV2`. Schemas are handed out as they stand; the caller skips what it does not know.
pub fn decode_histograms(record: &[u8], mut each: impl FnMut(RefHistogram<Histogram>)) -> Result<(), RecordError> {
    let v1 = [RecordType::Histograms, RecordType::CustomHistograms];
    decode_each(
        record,
        &v1,
        RecordType::HistogramsV2,
        |b| b.histogram(),
        |series, t_ms, start_ms, h| each(RefHistogram { series, start_ms, t_ms, h }),
    )
}

/// Types `FloatHistograms`, `CustomFloatHistograms` and `FloatHistogramsV2`.
pub fn decode_float_histograms(record: &[u8], mut each: impl FnMut(RefHistogram<FloatHistogram>)) -> Result<(), RecordError> {
    let v1 = [RecordType::FloatHistograms, RecordType::CustomFloatHistograms];
    let v2 = RecordType::FloatHistogramsV2;
    decode_each(record, &v1, v2, |b| b.float_histogram(), |series, t_ms, start_ms, h| each(RefHistogram { series, start_ms, t_ms, h }))
}

pub fn decode_tombstones(record: &[u8], mut each: impl FnMut(RefTombstone)) -> Result<(), RecordError> {
    let (_, mut b) = open(record, &[RecordType::Tombstones])?;
    while !b.is_empty() {
        each(RefTombstone { series: b.be64()?, start_ms: b.varint()?, end_ms: b.varint()? });
    }
    Ok(())
}

pub fn decode_exemplars(record: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(RefExemplar<LabelsRef<'_>>)) -> Result<(), RecordError> {
    let (_, mut b) = open(record, &[RecordType::Exemplars])?;
    let Some(base) = Base::read(&mut b)? else { return Ok(()) };
    while !b.is_empty() {
        let (series, t_ms) = base.next(&mut b)?;
        let v = b.f64()?;
        labels(&mut b, scratch)?;
        each(RefExemplar { series, t_ms, v, labels: LabelsRef::from_encoded(scratch) });
    }
    Ok(())
}

/// Fields other than unit and help are skipped.
pub fn decode_metadata(record: &[u8], mut each: impl FnMut(RefMetadata<'_>)) -> Result<(), RecordError> {
    let (_, mut b) = open(record, &[RecordType::Metadata])?;
    while !b.is_empty() {
        let mut m = RefMetadata { series: b.uvarint()?, kind: kind_of_byte(b.byte()?), unit: "", help: "" };
        for _ in 0..b.count(2)? {
            match (b.str()?, b.str()?) {
                (UNIT_FIELD, v) => m.unit = v,
                (HELP_FIELD, v) => m.help = v,
                _ => {}
            }
        }
        each(m);
    }
    Ok(())
}

pub fn decode_mmap_markers(record: &[u8], mut each: impl FnMut(RefMmapMarker)) -> Result<(), RecordError> {
    let (_, mut b) = open(record, &[RecordType::MmapMarkers])?;
    while !b.is_empty() {
        each(RefMmapMarker { series: b.be64()?, chunk: b.be64()? });
    }
    Ok(())
}

/// The highest reference that may be in use.
pub fn decode_references(record: &[u8]) -> Result<u64, RecordError> {
    let (_, mut b) = open(record, &[RecordType::References])?;
    b.be64()
}

/// Replica, series, time, value.
pub fn decode_held(record: &[u8], mut each: impl FnMut(&str, u64, i64, HeldValue)) -> Result<(), RecordError> {
    let (_, mut b) = open(record, &[RecordType::Held])?;
    let replica = b.str()?;
    let Some(base) = Base::read(&mut b)? else { return Ok(()) };
    while !b.is_empty() {
        let (series, t_ms) = base.next(&mut b)?;
        let value = match b.byte()? {
            HELD_FLOAT => HeldValue::Float(b.f64()?),
            HELD_HISTOGRAM => HeldValue::Int(b.histogram()?),
            HELD_FLOAT_HISTOGRAM => HeldValue::FloatHistogram(b.float_histogram()?),
            _ => return Err(RecordError::Range("kind of a held value")),
        };
        each(replica, series, t_ms, value);
    }
    Ok(())
}

/// The times of the first and last sample that a record carries (floats and histograms); None when it carries none or makes no sense.
pub fn time_range(record: &[u8], scratch: &mut Vec<RefSample>) -> Option<(i64, i64)> {
    use RecordType::*;
    let mut range: Option<(i64, i64)> = None;
    let mut widen = |t: i64| range = Some(range.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
    match RecordType::of(record)? {
        Samples | SamplesV2 => {
            scratch.clear();
            let _ = decode_samples(record, scratch);
            scratch.iter().for_each(|s| widen(s.t_ms));
        }
        Histograms | CustomHistograms | HistogramsV2 => drop(decode_histograms(record, |h| widen(h.t_ms))),
        FloatHistograms | CustomFloatHistograms | FloatHistogramsV2 => drop(decode_float_histograms(record, |h| widen(h.t_ms))),
        _ => {}
    }
    range
}
