//! A native histogram inside a record, and the reader of a record's bytes.

use super::RecordError;
use super::encode::{put_be64, put_f64};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::{FloatHistogram, Histogram};
use stdx::varint::{put_uvarint, put_varint, uvarint, varint};

fn hint_byte(h: ResetHint) -> u8 {
    match h {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn hint_of_byte(b: u8) -> ResetHint {
    match b {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for s in spans {
        put_varint(out, i64::from(s.offset));
        put_uvarint(out, u64::from(s.length));
    }
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    values.iter().for_each(|v| put_f64(out, *v));
}

pub(super) fn put_histogram(out: &mut Vec<u8>, h: &Histogram) {
    out.push(hint_byte(h.reset_hint));
    put_varint(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_uvarint(out, h.zero_count);
    put_uvarint(out, h.count);
    put_be64(out, h.sum.to_bits());
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    for deltas in [&h.positive_deltas, &h.negative_deltas] {
        put_uvarint(out, deltas.len() as u64);
        deltas.iter().for_each(|d| put_varint(out, *d));
    }
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_floats(out, &h.custom_values);
    }
}

pub(super) fn put_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.push(hint_byte(h.reset_hint));
    put_varint(out, i64::from(h.schema));
    for v in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        put_f64(out, v);
    }
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_floats(out, &h.positive_buckets);
    put_floats(out, &h.negative_buckets);
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_floats(out, &h.custom_values);
    }
}

/// Takes values from the front of a record. Counts of things are checked against the bytes that are left before anything is reserved.
pub(super) struct Bytes<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], RecordError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(RecordError::Short)?;
        self.rest = tail;
        Ok(head)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?[0])
    }

    #[inline]
    pub(super) fn be64(&mut self) -> Result<u64, RecordError> {
        let b = self.take(8)?;
        Ok(u64::from_be_bytes(b.try_into().expect("took eight bytes")))
    }

    #[inline]
    pub(super) fn f64(&mut self) -> Result<f64, RecordError> {
        Ok(f64::from_bits(self.be64()?))
    }

    #[inline]
    pub(super) fn uvarint(&mut self) -> Result<u64, RecordError> {
        let (v, n) = uvarint(self.rest).ok_or(RecordError::Short)?;
        self.rest = &self.rest[n..];
        Ok(v)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<i64, RecordError> {
        let (v, n) = varint(self.rest).ok_or(RecordError::Short)?;
        self.rest = &self.rest[n..];
        Ok(v)
    }

    /// A number of things of which each takes at least `min_size` bytes.
    #[inline]
    pub(super) fn count(&mut self, min_size: usize) -> Result<usize, RecordError> {
        let n = self.uvarint()?;
        if n > (self.rest.len() / min_size) as u64 {
            return Err(RecordError::Short);
        }
        Ok(n as usize)
    }

    pub(super) fn str(&mut self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.string()?).map_err(|_| RecordError::Utf8)
    }

    /// The bytes of a string, which may not be UTF-8.
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a [u8], RecordError> {
        let n = self.count(1)?;
        self.take(n)
    }

    fn floats(&mut self) -> Result<Vec<f64>, RecordError> {
        let n = self.count(8)?;
        (0..n).map(|_| self.f64()).collect()
    }

    fn deltas(&mut self) -> Result<Vec<i64>, RecordError> {
        let n = self.count(1)?;
        (0..n).map(|_| self.varint()).collect()
    }

    fn spans(&mut self) -> Result<Vec<Span>, RecordError> {
        let n = self.count(2)?;
        (0..n)
            .map(|_| {
                let offset = self.varint()?;
                let length = self.uvarint()?;
                Ok(Span { offset: offset as i32, length: u32::try_from(length).map_err(|_| RecordError::Range("span length"))? })
            })
            .collect()
    }

    fn schema(&mut self) -> Result<i32, RecordError> {
        i32::try_from(self.varint()?).map_err(|_| RecordError::Range("histogram schema"))
    }

    pub(super) fn histogram(&mut self) -> Result<Histogram, RecordError> {
        let mut h = Histogram { reset_hint: hint_of_byte(self.byte()?), schema: self.schema()?, zero_threshold: self.f64()?, ..Histogram::default() };
        h.zero_count = self.uvarint()?;
        h.count = self.uvarint()?;
        h.sum = self.f64()?;
        h.positive_spans = self.spans()?;
        h.negative_spans = self.spans()?;
        h.positive_deltas = self.deltas()?;
        h.negative_deltas = self.deltas()?;
        if h.schema == CUSTOM_BUCKETS_SCHEMA {
            h.custom_values = self.floats()?;
        }
        Ok(h)
    }

    pub(super) fn float_histogram(&mut self) -> Result<FloatHistogram, RecordError> {
        let mut h = FloatHistogram {
            reset_hint: hint_of_byte(self.byte()?),
            schema: self.schema()?,
            zero_threshold: self.f64()?,
            zero_count: self.f64()?,
            count: self.f64()?,
            sum: self.f64()?,
            ..FloatHistogram::default()
        };
        h.positive_spans = self.spans()?;
        h.negative_spans = self.spans()?;
        h.positive_buckets = self.floats()?;
        h.negative_buckets = self.floats()?;
        if h.schema == CUSTOM_BUCKETS_SCHEMA {
            h.custom_values = self.floats()?;
        }
        Ok(h)
    }
}
