//! OTLP in JSON: written anew as protocol buffers, which everything else reads. By tables of the messages: a field's name, its number, its shape.
//!
//! As OTLP has it: names in lower camel case, 64-bit numbers also as text, ids of traces and spans in hexadecimal, enumerations as numbers (names are taken too).
//! Unknown fields are skipped.

use crate::wire::proto::{put_bytes_field, put_double_field, put_message_field, put_varint_field, zigzag};
use serde_json::{Map, Value};

/// At most so deep may values be nested; more only attributes can have, and no receiver reads them.
const MAX_DEPTH: usize = 32;

#[derive(Clone, Copy)]
enum Shape {
    /// One, or a list of them.
    Message(&'static Table),
    Text,
    Bool,
    /// fixed64 and sfixed64.
    Fixed,
    Double,
    Varint,
    ZigZag,
    Hex,
    Base64,
    Temporality,
}

struct Table(&'static [(&'static str, u32, Shape)]);

use Shape::{Base64, Bool, Double, Fixed, Hex, Message, Temporality, Text, Varint, ZigZag};

static REQUEST: Table = Table(&[("resourceMetrics", 1, Message(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Table = Table(&[("resource", 1, Message(&RESOURCE)), ("scopeMetrics", 2, Message(&SCOPE_METRICS)), ("schemaUrl", 3, Text)]);
static RESOURCE: Table = Table(&[("attributes", 1, Message(&KEY_VALUE))]);
static SCOPE_METRICS: Table = Table(&[("scope", 1, Message(&SCOPE)), ("metrics", 2, Message(&METRIC)), ("schemaUrl", 3, Text)]);
static SCOPE: Table = Table(&[("name", 1, Text), ("version", 2, Text), ("attributes", 3, Message(&KEY_VALUE))]);
static METRIC: Table = Table(&[
    ("name", 1, Text),
    ("description", 2, Text),
    ("unit", 3, Text),
    ("gauge", 5, Message(&NUMBERS)),
    ("sum", 7, Message(&NUMBERS)),
    ("histogram", 9, Message(&HISTOGRAMS)),
    ("exponentialHistogram", 10, Message(&EXPONENTIALS)),
    ("summary", 11, Message(&SUMMARIES)),
]);
static NUMBERS: Table = Table(&[("dataPoints", 1, Message(&NUMBER_POINT)), ("aggregationTemporality", 2, Temporality), ("isMonotonic", 3, Bool)]);
static HISTOGRAMS: Table = Table(&[("dataPoints", 1, Message(&HISTOGRAM_POINT)), ("aggregationTemporality", 2, Temporality)]);
static EXPONENTIALS: Table = Table(&[("dataPoints", 1, Message(&EXPONENTIAL_POINT)), ("aggregationTemporality", 2, Temporality)]);
static SUMMARIES: Table = Table(&[("dataPoints", 1, Message(&SUMMARY_POINT))]);
static NUMBER_POINT: Table = Table(&[
    ("startTimeUnixNano", 2, Fixed),
    ("timeUnixNano", 3, Fixed),
    ("asDouble", 4, Double),
    ("exemplars", 5, Message(&EXEMPLAR)),
    ("asInt", 6, Fixed),
    ("attributes", 7, Message(&KEY_VALUE)),
    ("flags", 8, Varint),
]);
static HISTOGRAM_POINT: Table = Table(&[
    ("startTimeUnixNano", 2, Fixed),
    ("timeUnixNano", 3, Fixed),
    ("count", 4, Fixed),
    ("sum", 5, Double),
    ("bucketCounts", 6, Fixed),
    ("explicitBounds", 7, Double),
    ("exemplars", 8, Message(&EXEMPLAR)),
    ("attributes", 9, Message(&KEY_VALUE)),
    ("flags", 10, Varint),
]);
static EXPONENTIAL_POINT: Table = Table(&[
    ("attributes", 1, Message(&KEY_VALUE)),
    ("startTimeUnixNano", 2, Fixed),
    ("timeUnixNano", 3, Fixed),
    ("count", 4, Fixed),
    ("sum", 5, Double),
    ("scale", 6, ZigZag),
    ("zeroCount", 7, Fixed),
    ("positive", 8, Message(&BUCKETS)),
    ("negative", 9, Message(&BUCKETS)),
    ("flags", 10, Varint),
    ("exemplars", 11, Message(&EXEMPLAR)),
    ("zeroThreshold", 14, Double),
]);
static BUCKETS: Table = Table(&[("offset", 1, ZigZag), ("bucketCounts", 2, Varint)]);
static SUMMARY_POINT: Table = Table(&[
    ("startTimeUnixNano", 2, Fixed),
    ("timeUnixNano", 3, Fixed),
    ("count", 4, Fixed),
    ("sum", 5, Double),
    ("quantileValues", 6, Message(&QUANTILE)),
    ("attributes", 7, Message(&KEY_VALUE)),
    ("flags", 8, Varint),
]);
static QUANTILE: Table = Table(&[("quantile", 1, Double), ("value", 2, Double)]);
static EXEMPLAR: Table = Table(&[
    ("timeUnixNano", 2, Fixed),
    ("asDouble", 3, Double),
    ("spanId", 4, Hex),
    ("traceId", 5, Hex),
    ("asInt", 6, Fixed),
    ("filteredAttributes", 7, Message(&KEY_VALUE)),
]);
static KEY_VALUE: Table = Table(&[("key", 1, Text), ("value", 2, Message(&ANY))]);
static ANY: Table = Table(&[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Varint),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, Message(&ARRAY)),
    ("kvlistValue", 6, Message(&KEY_VALUES)),
    ("bytesValue", 7, Base64),
]);
static ARRAY: Table = Table(&[("values", 1, Message(&ANY))]);
static KEY_VALUES: Table = Table(&[("values", 1, Message(&KEY_VALUE))]);

/// The request in protocol buffers, or what is wrong with it.
pub(super) fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("decode JSON: {e}"))?;
    let mut out = Vec::with_capacity(body.len() / 2);
    put_fields(&mut out, &REQUEST, object(&value, "request")?, 0)?;
    Ok(out)
}

fn object<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("decode JSON: {what} is not an object"))
}

fn put_fields(out: &mut Vec<u8>, table: &Table, fields: &Map<String, Value>, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("decode JSON: nested too deeply".to_string());
    }
    for (name, number, shape) in table.0 {
        match fields.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => items.iter().try_for_each(|v| put(out, *number, *shape, v, name, depth))?,
            Some(value) => put(out, *number, *shape, value, name, depth)?,
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, number: u32, shape: Shape, value: &Value, name: &str, depth: usize) -> Result<(), String> {
    let wrong = |what: &str| format!("decode JSON: {name} is not {what}: {value}");
    match shape {
        Message(table) => {
            let (fields, mut result) = (object(value, name)?, Ok(()));
            put_message_field(out, number, |out| result = put_fields(out, table, fields, depth + 1));
            result?;
        }
        Text => put_bytes_field(out, number, value.as_str().ok_or_else(|| wrong("a text"))?.as_bytes()),
        Bool => put_varint_field(out, number, u64::from(value.as_bool().ok_or_else(|| wrong("true or false"))?)),
        // Zeros are written too: among repeated ones each counts.
        Fixed => {
            out.push((number << 3 | 1) as u8);
            out.extend_from_slice(&whole(value).ok_or_else(|| wrong("a whole number"))?.to_le_bytes());
        }
        Double => {
            let v = double(value).ok_or_else(|| wrong("a number"))?;
            if v.to_bits() == 0 {
                out.push((number << 3 | 1) as u8);
                out.extend_from_slice(&[0; 8]);
            } else {
                put_double_field(out, number, v);
            }
        }
        Varint => {
            out.push((number << 3) as u8);
            stdx::varint::put_uvarint(out, whole(value).ok_or_else(|| wrong("a whole number"))?);
        }
        ZigZag => put_varint_field(out, number, zigzag(whole(value).ok_or_else(|| wrong("a whole number"))? as i64)),
        Hex => put_bytes_field(out, number, &value.as_str().and_then(hex).ok_or_else(|| wrong("an id in hexadecimal"))?),
        Base64 => put_bytes_field(out, number, &value.as_str().and_then(base64).ok_or_else(|| wrong("base64"))?),
        Temporality => {
            let n = match value.as_str() {
                Some("AGGREGATION_TEMPORALITY_DELTA") => 1,
                Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => 2,
                Some("AGGREGATION_TEMPORALITY_UNSPECIFIED") => 0,
                _ => whole(value).ok_or_else(|| wrong("a temporality"))?,
            };
            put_varint_field(out, number, n);
        }
    }
    Ok(())
}

/// Signed and unsigned, as the bits of either.
fn whole(value: &Value) -> Option<u64> {
    let of_text = || {
        let s = value.as_str()?;
        s.parse::<u64>().ok().or_else(|| s.parse::<i64>().ok().map(|n| n as u64))
    };
    value.as_u64().or_else(|| value.as_i64().map(|n| n as u64)).or_else(of_text)
}

fn double(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(s) => s.parse().ok(),
        None => value.as_f64(),
    }
}

fn hex(s: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = s.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

fn base64(s: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(s.len() / 4 * 3);
    let (mut bits, mut n) = (0u32, 0);
    for c in s.trim_end_matches('=').bytes() {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        n += 6;
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    Some(out)
}
