//! Samples as remote write 1.0 requests, written by hand: the rooms that speak it lie beside this one.

use super::data::{Data, Point};
use super::native::is_whole;
use model::histogram::{ResetHint, Span};
use model::{FloatHistogram, Labels};

/// The reference takes samples only near the newest, and of a batch first the floats, then the histograms with whole counts, then the others:
/// a request has at most one sample of each series, none younger than this by more.
const SLICE_MS: i64 = 600_000;

/// The bodies, in order, packed.
pub fn bodies(data: &Data) -> Vec<Vec<u8>> {
    let last = data.series.iter().filter_map(|s| s.points.last()).map(|(t, _)| *t).max().unwrap_or(0);
    let mut out = Vec::new();
    let mut from = super::data::BEGIN_MS;
    while from <= last {
        let within: Vec<_> =
            data.series.iter().map(|s| (s, s.points.iter().filter(|(t, _)| (from..from + SLICE_MS).contains(t)).collect::<Vec<_>>())).collect();
        for k in 0..within.iter().map(|(_, points)| points.len()).max().unwrap_or(0) {
            let mut request = Vec::new();
            for (s, points) in within.iter().filter(|(_, points)| k < points.len()) {
                bytes(&mut request, 1, &series(&s.labels, points[k]));
            }
            out.push(packed(&request));
        }
        from += SLICE_MS;
    }
    out
}

fn series(labels: &Labels, (t, p): &(i64, Point)) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels.iter() {
        let mut label = Vec::new();
        bytes(&mut label, 1, name.as_bytes());
        bytes(&mut label, 2, value.as_bytes());
        bytes(&mut out, 1, &label);
    }
    match p {
        Point::Float(v) => {
            let mut sample = Vec::new();
            double(&mut sample, 1, *v);
            varint_field(&mut sample, 2, *t as u64);
            bytes(&mut out, 2, &sample);
        }
        Point::Histogram(h) => bytes(&mut out, 4, &histogram(h, *t)),
    }
    out
}

fn histogram(h: &FloatHistogram, t_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let whole = is_whole(h);
    if whole {
        varint_field(&mut out, 1, h.count as u64);
    } else {
        double(&mut out, 2, h.count);
    }
    double(&mut out, 3, h.sum);
    varint_field(&mut out, 4, zigzag(i64::from(h.schema)));
    double(&mut out, 5, h.zero_threshold);
    if whole {
        varint_field(&mut out, 6, h.zero_count as u64);
    } else {
        double(&mut out, 7, h.zero_count);
    }
    for (spans, counts, first) in [(&h.negative_spans, &h.negative_buckets, 8), (&h.positive_spans, &h.positive_buckets, 11)] {
        spans.iter().for_each(|s| bytes(&mut out, first, &span(s)));
        let mut list = Vec::new();
        if whole {
            let mut before = 0;
            for c in counts {
                varint(&mut list, zigzag(*c as i64 - before));
                before = *c as i64;
            }
            bytes(&mut out, first + 1, &list);
        } else {
            counts.iter().for_each(|c| list.extend_from_slice(&c.to_le_bytes()));
            bytes(&mut out, first + 2, &list);
        }
    }
    varint_field(&mut out, 14, if h.reset_hint == ResetHint::Gauge { 3 } else { 0 });
    varint_field(&mut out, 15, t_ms as u64);
    let mut list = Vec::new();
    h.custom_values.iter().for_each(|c| list.extend_from_slice(&c.to_le_bytes()));
    bytes(&mut out, 16, &list);
    out
}

fn span(s: &Span) -> Vec<u8> {
    let mut out = Vec::new();
    varint_field(&mut out, 1, zigzag(i64::from(s.offset)));
    varint_field(&mut out, 2, u64::from(s.length));
    out
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn varint_field(out: &mut Vec<u8>, number: u32, v: u64) {
    varint(out, u64::from(number << 3));
    varint(out, v);
}

fn double(out: &mut Vec<u8>, number: u32, v: f64) {
    varint(out, u64::from(number << 3 | 1));
    out.extend_from_slice(&v.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, number: u32, b: &[u8]) {
    varint(out, u64::from(number << 3 | 2));
    varint(out, b.len() as u64);
    out.extend_from_slice(b);
}

/// Snappy's block format, all of it literal.
fn packed(b: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, b.len() as u64);
    for piece in b.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend_from_slice(&((piece.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}
