//! OTLP metrics in protocol buffers: the messages as plain structs. Unknown fields are skipped; what lies about its length ends the request.

use crate::wire::WireError;
use crate::wire::proto::{Fields, Value, doubles, each_varint, unzigzag};
use std::fmt::Write;

/// At most so deep may attribute values be nested.
const MAX_DEPTH: usize = 16;

/// Name and value, as they came.
pub(super) type Attributes = Vec<(String, String)>;

#[derive(Debug, Default)]
pub(super) struct Scope {
    pub name: String,
    pub version: String,
    pub schema_url: String,
    pub attributes: Attributes,
}

#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    pub data: Option<(DataKind, Data<'a>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataKind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Temporality {
    #[default]
    Unspecified,
    Delta,
    Cumulative,
}

/// What gauges, sums, histograms and summaries have in common: points, not yet decoded.
#[derive(Debug, Default)]
pub(super) struct Data<'a> {
    pub points: Vec<&'a [u8]>,
    pub temporality: Temporality,
    pub monotonic: bool,
}

/// A point of any kind; each kind fills its own fields.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub attributes: Attributes,
    pub start_ms: i64,
    pub t_ms: i64,
    /// The point says that there is no value any more.
    pub no_value: bool,
    pub value: f64,
    pub count: u64,
    pub sum: Option<f64>,
    pub bucket_counts: Vec<u64>,
    pub bounds: Vec<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// (quantile, value)
    pub quantiles: Vec<(f64, f64)>,
    pub exemplars: Vec<&'a [u8]>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

#[derive(Debug, Default)]
pub(super) struct ExemplarPoint {
    pub t_ms: i64,
    pub value: f64,
    pub trace_id: String,
    pub span_id: String,
    pub attributes: Attributes,
}

fn fixed(value: Value<'_>) -> Result<u64, WireError> {
    value.double().map(f64::to_bits)
}

fn ms(value: Value<'_>) -> Result<i64, WireError> {
    Ok((fixed(value)? / 1_000_000) as i64)
}

/// Walks a message's fields.
fn walk<'a>(message: &'a [u8], mut each: impl FnMut(u32, Value<'a>) -> Result<(), WireError>) -> Result<(), WireError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next_field()? {
        each(number, value)?;
    }
    Ok(())
}

/// A field of two bytes takes sixteen in a list; nobody sends so many at once.
const MAX_MESSAGES: usize = 1 << 20;

fn push<'a>(list: &mut Vec<&'a [u8]>, message: &'a [u8]) -> Result<(), WireError> {
    if list.len() >= MAX_MESSAGES {
        return Err(WireError::Malformed { message: "list of messages", index: list.len(), what: "more than 1048576 of them" });
    }
    list.push(message);
    Ok(())
}

/// At most so many attributes has one thing.
const MAX_ATTRIBUTES: usize = 4096;
/// The longest point. Its buckets may take eight bytes for each of it.
const MAX_POINT_BYTES: usize = 1 << 20;

fn push_attribute(list: &mut Attributes, message: &[u8]) -> Result<(), WireError> {
    if list.len() >= MAX_ATTRIBUTES {
        return Err(WireError::Malformed { message: "attribute", index: list.len(), what: "more than 4096 of them" });
    }
    list.push(key_value(message)?);
    Ok(())
}

/// All length-delimited fields of one number.
pub(super) fn repeated(message: &[u8], wanted: u32) -> Result<Vec<&[u8]>, WireError> {
    let mut out = Vec::new();
    walk(message, |number, value| {
        if number == wanted {
            push(&mut out, value.bytes()?)?;
        }
        Ok(())
    })?;
    Ok(out)
}

/// (resource attributes, scope_metrics)
pub(super) fn resource_metrics(message: &[u8]) -> Result<(Attributes, Vec<&[u8]>), WireError> {
    let mut attributes = Attributes::new();
    for resource in repeated(message, 1)? {
        for kv in repeated(resource, 1)? {
            push_attribute(&mut attributes, kv)?;
        }
    }
    Ok((attributes, repeated(message, 2)?))
}

/// (scope, metrics)
pub(super) fn scope_metrics(message: &[u8]) -> Result<(Scope, Vec<&[u8]>), WireError> {
    let mut scope = Scope::default();
    let mut metrics = Vec::new();
    walk(message, |number, value| {
        match number {
            1 => walk(value.bytes()?, |number, value| {
                match number {
                    1 => scope.name = value.string()?.to_string(),
                    2 => scope.version = value.string()?.to_string(),
                    3 => push_attribute(&mut scope.attributes, value.bytes()?)?,
                    _ => {}
                }
                Ok(())
            })?,
            2 => push(&mut metrics, value.bytes()?)?,
            3 => scope.schema_url = value.string()?.to_string(),
            _ => {}
        }
        Ok(())
    })?;
    Ok((scope, metrics))
}

pub(super) fn metric(message: &[u8]) -> Result<Metric<'_>, WireError> {
    let mut m = Metric::default();
    walk(message, |number, value| {
        let kind = match number {
            1 => return value.string().map(|s| m.name = s),
            2 => return value.string().map(|s| m.description = s),
            3 => return value.string().map(|s| m.unit = s),
            5 => DataKind::Gauge,
            7 => DataKind::Sum,
            9 => DataKind::Histogram,
            10 => DataKind::Exponential,
            11 => DataKind::Summary,
            _ => return Ok(()),
        };
        let mut data = Data::default();
        walk(value.bytes()?, |number, value| {
            match number {
                1 => push(&mut data.points, value.bytes()?)?,
                2 => {
                    data.temporality = match value.varint()? {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Unspecified,
                    }
                }
                3 => data.monotonic = value.varint()? != 0,
                _ => {}
            }
            Ok(())
        })?;
        m.data = Some((kind, data));
        Ok(())
    })?;
    Ok(m)
}

/// The kinds number their fields differently; times, count and sum are alike in all.
pub(super) fn point(kind: DataKind, message: &[u8]) -> Result<Point<'_>, WireError> {
    if message.len() > MAX_POINT_BYTES {
        return Err(WireError::Malformed { message: "point", index: 0, what: "longer than 1 MiB" });
    }
    let mut p = Point::default();
    walk(message, |number, value| {
        use DataKind::{Exponential, Gauge, Histogram, Sum, Summary};
        match (kind, number) {
            (_, 2) => p.start_ms = ms(value)?,
            (_, 3) => p.t_ms = ms(value)?,
            (Gauge | Sum, 4) => p.value = value.double()?,
            (Gauge | Sum, 6) => p.value = fixed(value)? as i64 as f64,
            (_, 4) => p.count = fixed(value)?,
            (Histogram | Exponential | Summary, 5) => p.sum = Some(value.double()?),
            (Histogram, 6) => fixeds(value, &mut p.bucket_counts)?,
            (Histogram, 7) => doubles(value, &mut p.bounds)?,
            (Exponential, 6) => p.scale = unzigzag(value.varint()?) as i32,
            (Exponential, 7) => p.zero_count = fixed(value)?,
            (Exponential, 8) => p.positive = buckets(value.bytes()?)?,
            (Exponential, 9) => p.negative = buckets(value.bytes()?)?,
            (Exponential, 14) => p.zero_threshold = value.double()?,
            (Summary, 6) => {
                let mut q = (0.0, 0.0);
                walk(value.bytes()?, |number, value| {
                    match number {
                        1 => q.0 = value.double()?,
                        2 => q.1 = value.double()?,
                        _ => {}
                    }
                    Ok(())
                })?;
                p.quantiles.push(q);
            }
            (Gauge | Sum, 5) | (Histogram, 8) | (Exponential, 11) => push(&mut p.exemplars, value.bytes()?)?,
            (Gauge | Sum | Summary, 7) | (Histogram, 9) | (Exponential, 1) => push_attribute(&mut p.attributes, value.bytes()?)?,
            (Gauge | Sum | Summary, 8) | (Histogram | Exponential, 10) => p.no_value = value.varint()? & 1 != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(p)
}

fn fixeds(value: Value<'_>, out: &mut Vec<u64>) -> Result<(), WireError> {
    let mut bits = Vec::new();
    doubles(value, &mut bits)?;
    out.extend(bits.into_iter().map(f64::to_bits));
    Ok(())
}

fn buckets(message: &[u8]) -> Result<Buckets, WireError> {
    let mut b = Buckets::default();
    walk(message, |number, value| {
        match number {
            1 => b.offset = unzigzag(value.varint()?) as i32,
            2 => each_varint(value, |n| b.counts.push(n))?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(b)
}

pub(super) fn exemplar(message: &[u8]) -> Result<ExemplarPoint, WireError> {
    let hex = |b: &[u8]| b.iter().fold(String::new(), |s, byte| s + &format!("{byte:02x}"));
    let id = |b: &[u8]| if b.iter().all(|x| *x == 0) { String::new() } else { hex(b) };
    let mut e = ExemplarPoint::default();
    walk(message, |number, value| {
        match number {
            2 => e.t_ms = ms(value)?,
            3 => e.value = value.double()?,
            4 => e.span_id = id(value.bytes()?),
            5 => e.trace_id = id(value.bytes()?),
            6 => e.value = fixed(value)? as i64 as f64,
            7 => push_attribute(&mut e.attributes, value.bytes()?)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(e)
}

/// Key and value, the latter not yet decoded.
fn entry(message: &[u8]) -> Result<(&str, &[u8]), WireError> {
    let (mut key, mut any): (&str, &[u8]) = ("", b"");
    walk(message, |number, value| {
        match number {
            1 => key = value.string()?,
            2 => any = value.bytes()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, any))
}

fn key_value(message: &[u8]) -> Result<(String, String), WireError> {
    let (key, any) = entry(message)?;
    Ok((key.to_string(), any_value(any, 0, false)?))
}

/// A value as text: bare, or as JSON inside of lists and maps.
fn any_value(message: &[u8], depth: usize, json: bool) -> Result<String, WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError::Malformed { message: "attribute", index: 0, what: "nested too deeply" });
    }
    let mut out = String::new();
    walk(message, |number, value| {
        out = match number {
            1 if json => json_string(value.string()?),
            1 => value.string()?.to_string(),
            2 => (value.varint()? != 0).to_string(),
            3 => value.int64()?.to_string(),
            4 => double_text(value.double()?),
            5 => {
                let items: Result<Vec<String>, WireError> = repeated(value.bytes()?, 1)?.into_iter().map(|v| any_value(v, depth + 1, true)).collect();
                format!("[{}]", items?.join(","))
            }
            6 => {
                let mut pairs = Vec::new();
                for kv in repeated(value.bytes()?, 1)? {
                    let (key, any) = entry(kv)?;
                    pairs.push(format!("{}:{}", json_string(key), any_value(any, depth + 1, true)?));
                }
                pairs.sort();
                format!("{{{}}}", pairs.join(","))
            }
            7 if json => json_string(&base64(value.bytes()?)),
            7 => base64(value.bytes()?),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(if out.is_empty() && json { "null".to_string() } else { out })
}

/// As JSON writes a number.
fn double_text(v: f64) -> String {
    let size = v.abs();
    if v != 0.0 && v.is_finite() && !(1e-6..1e21).contains(&size) { format!("{v:e}") } else { v.to_string() }
}

fn json_string(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
