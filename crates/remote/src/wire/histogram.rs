//! Native histograms on the wire. The message is the same in both versions; the second adds a start time as field 17.

use super::proto::{self, Fields, unzigzag, zigzag};
use super::{HistogramAt, WireError};
use model::histogram::{ResetHint, Span};
use model::{FloatHistogram, Histogram};
use stdx::varint::{put_uvarint, uvarint_len};
use storage::HistogramSample;

/// A histogram that came in.
#[derive(Clone, Debug)]
pub struct DecodedHistogram {
    pub t_ms: i64,
    /// 0 for unknown.
    pub start_ms: i64,
    pub value: HistogramValue,
}

#[derive(Clone, Debug)]
pub enum HistogramValue {
    Int(Histogram),
    Float(FloatHistogram),
}

impl HistogramValue {
    pub fn as_sample(&self) -> HistogramSample<'_> {
        match self {
            HistogramValue::Int(h) => HistogramSample::Int(h),
            HistogramValue::Float(h) => HistogramSample::Float(h),
        }
    }

    pub fn is_stale(&self) -> bool {
        match self {
            HistogramValue::Int(h) => h.is_stale(),
            HistogramValue::Float(h) => h.is_stale(),
        }
    }
}

/// The time of a histogram message without the rest of it.
pub fn time_of(message: &[u8]) -> Result<i64, WireError> {
    let mut t_ms = 0;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        if number == 15 {
            t_ms = value.int64()?;
        }
    }
    Ok(t_ms)
}

fn span(message: &[u8]) -> Result<Span, WireError> {
    let mut span = Span::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => span.offset = unzigzag(value.varint()?) as i32,
            2 => span.length = value.varint()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

fn reset_hint(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn reset_hint_number(hint: ResetHint) -> u64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

/// A byte on the wire may become eight in memory; histograms that mean something are a few thousand bytes long.
const MAX_BYTES: usize = 1 << 20;

/// Whether its numbers make sense (spans, counts) is the storage's to say.
pub fn decode(message: &[u8]) -> Result<DecodedHistogram, WireError> {
    if message.len() > MAX_BYTES {
        return Err(WireError::malformed("histogram is longer than 1 MiB"));
    }
    let (mut int, mut float) = (Histogram::default(), FloatHistogram::default());
    let (mut t_ms, mut start_ms, mut is_float) = (0, 0, false);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => (int.count, is_float) = (value.varint()?, false),
            2 => (float.count, is_float) = (value.double()?, true),
            3 => int.sum = value.double()?,
            4 => int.schema = unzigzag(value.varint()?) as i32,
            5 => int.zero_threshold = value.double()?,
            6 => int.zero_count = value.varint()?,
            7 => float.zero_count = value.double()?,
            8 => int.negative_spans.push(span(value.bytes()?)?),
            9 => proto::each_varint(value, |u| int.negative_deltas.push(unzigzag(u)))?,
            10 => proto::doubles(value, &mut float.negative_buckets)?,
            11 => int.positive_spans.push(span(value.bytes()?)?),
            12 => proto::each_varint(value, |u| int.positive_deltas.push(unzigzag(u)))?,
            13 => proto::doubles(value, &mut float.positive_buckets)?,
            14 => int.reset_hint = reset_hint(value.varint()?),
            15 => t_ms = value.int64()?,
            16 => proto::doubles(value, &mut int.custom_values)?,
            17 => start_ms = value.int64()?,
            _ => {}
        }
    }
    if !is_float {
        return Ok(DecodedHistogram { t_ms, start_ms, value: HistogramValue::Int(int) });
    }
    let float = FloatHistogram {
        reset_hint: int.reset_hint,
        schema: int.schema,
        zero_threshold: int.zero_threshold,
        sum: int.sum,
        positive_spans: int.positive_spans,
        negative_spans: int.negative_spans,
        custom_values: int.custom_values,
        ..float
    };
    Ok(DecodedHistogram { t_ms, start_ms, value: HistogramValue::Float(float) })
}

fn put_spans(out: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for s in spans {
        let offset = zigzag(i64::from(s.offset));
        let len = proto::varint_field_len(1, offset) + proto::varint_field_len(2, u64::from(s.length));
        proto::put_len_key(out, number, len);
        proto::put_varint_field(out, 1, offset);
        proto::put_varint_field(out, 2, u64::from(s.length));
    }
}

fn put_deltas(out: &mut Vec<u8>, number: u32, deltas: &[i64]) {
    if !deltas.is_empty() {
        proto::put_len_key(out, number, deltas.iter().map(|d| uvarint_len(zigzag(*d))).sum());
        deltas.iter().for_each(|d| put_uvarint(out, zigzag(*d)));
    }
}

fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        proto::put_len_key(out, number, 8 * values.len());
        values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    }
}

/// A member of a oneof is written also when it is zero: it says which member it is.
fn put_oneof_double(out: &mut Vec<u8>, number: u32, v: f64) {
    out.push((number << 3 | 1) as u8);
    out.extend_from_slice(&v.to_le_bytes());
}

fn put_oneof_varint(out: &mut Vec<u8>, number: u32, v: u64) {
    out.push((number << 3) as u8);
    put_uvarint(out, v);
}

/// Writes the message without key and length. The start time only when `with_start`: version 1.0 has no field for it.
pub fn encode(out: &mut Vec<u8>, at: &HistogramAt<'_>, with_start: bool) {
    match at.h {
        HistogramSample::Int(h) => {
            put_oneof_varint(out, 1, h.count);
            put_shape(out, h.sum, h.schema, h.zero_threshold);
            put_oneof_varint(out, 6, h.zero_count);
            put_spans(out, 8, &h.negative_spans);
            put_deltas(out, 9, &h.negative_deltas);
            put_spans(out, 11, &h.positive_spans);
            put_deltas(out, 12, &h.positive_deltas);
            put_tail(out, h.reset_hint, at.t_ms, &h.custom_values);
        }
        HistogramSample::Float(h) => {
            put_oneof_double(out, 2, h.count);
            put_shape(out, h.sum, h.schema, h.zero_threshold);
            put_oneof_double(out, 7, h.zero_count);
            put_spans(out, 8, &h.negative_spans);
            put_doubles(out, 10, &h.negative_buckets);
            put_spans(out, 11, &h.positive_spans);
            put_doubles(out, 13, &h.positive_buckets);
            put_tail(out, h.reset_hint, at.t_ms, &h.custom_values);
        }
    }
    if with_start {
        proto::put_varint_field(out, 17, at.start_ms as u64);
    }
}

fn put_shape(out: &mut Vec<u8>, sum: f64, schema: i32, zero_threshold: f64) {
    proto::put_double_field(out, 3, sum);
    proto::put_varint_field(out, 4, zigzag(i64::from(schema)));
    proto::put_double_field(out, 5, zero_threshold);
}

fn put_tail(out: &mut Vec<u8>, hint: ResetHint, t_ms: i64, custom_values: &[f64]) {
    proto::put_varint_field(out, 14, reset_hint_number(hint));
    proto::put_varint_field(out, 15, t_ms as u64);
    put_doubles(out, 16, custom_values);
}
