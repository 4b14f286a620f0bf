//! One sample's value as the head passes it around, and when two are the same.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use model::{FloatHistogram, Histogram};
use std::sync::Arc;
use storage::SeriesData;

/// A value of any of the three kinds.
#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Int(Arc<Histogram>),
    FloatHistogram(Arc<FloatHistogram>),
}

/// The kind of a series' newest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    #[default]
    None,
    Float,
    Int,
    FloatHistogram,
}

impl Value {
    pub fn is_stale(&self) -> bool {
        match self {
            Value::Float(v) => model::sample::is_stale_nan(*v),
            Value::Int(h) => h.is_stale(),
            Value::FloatHistogram(h) => h.is_stale(),
        }
    }

    /// Adds the sample to the columns.
    pub fn push_to(&self, t_ms: i64, out: &mut SeriesData) {
        match self {
            Value::Float(v) => {
                out.t_ms.push(t_ms);
                out.v.push(*v);
                if !out.st_ms.is_empty() {
                    out.st_ms.push(0);
                }
            }
            Value::Int(h) => push_histogram(t_ms, Arc::new(h.to_float()), out),
            Value::FloatHistogram(h) => push_histogram(t_ms, Arc::clone(h), out),
        }
    }

    /// Is it what the columns hold at this time? None when they hold nothing there.
    pub fn same_as_stored(&self, t_ms: i64, data: &SeriesData) -> Option<bool> {
        if let Ok(i) = data.t_ms.binary_search(&t_ms) {
            return Some(matches!(self, Value::Float(v) if v.to_bits() == data.v[i].to_bits()));
        }
        let i = data.hist_t_ms.binary_search(&t_ms).ok()?;
        Some(match self {
            Value::Float(v) => model::sample::is_stale_nan(*v) && data.hist[i].is_stale(),
            Value::Int(h) => same_histogram(&h.to_float(), &data.hist[i]),
            Value::FloatHistogram(h) => same_histogram(h, &data.hist[i]),
        })
    }
}

fn push_histogram(t_ms: i64, h: Arc<FloatHistogram>, out: &mut SeriesData) {
    out.hist_t_ms.push(t_ms);
    out.hist.push(h);
    if !out.hist_st_ms.is_empty() {
        out.hist_st_ms.push(0);
    }
}

/// Equal in all that was counted. What is known about resets does not matter, nor do empty buckets.
pub fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    if a.is_stale() || b.is_stale() {
        return a.is_stale() && b.is_stale();
    }
    a.schema == b.schema
        && a.count == b.count
        && a.sum.to_bits() == b.sum.to_bits()
        && a.zero_count == b.zero_count
        && (a.schema == CUSTOM_BUCKETS_SCHEMA || a.zero_threshold == b.zero_threshold)
        && a.custom_values == b.custom_values
        && filled(&a.positive_spans, &a.positive_buckets).eq(filled(&b.positive_spans, &b.positive_buckets))
        && filled(&a.negative_spans, &a.negative_buckets).eq(filled(&b.negative_spans, &b.negative_buckets))
}

/// Index and count of the buckets that have any.
fn filled<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0i64;
    spans
        .iter()
        .flat_map(move |s| {
            let first = next + i64::from(s.offset);
            next = first + i64::from(s.length);
            first..next
        })
        .zip(buckets.iter().copied())
        .filter(|(_, n)| *n != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_buckets_do_not_matter() {
        let h = |spans: &[(i32, u32)], buckets: &[f64]| FloatHistogram {
            count: 3.0,
            positive_spans: spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect(),
            positive_buckets: buckets.to_vec(),
            ..FloatHistogram::default()
        };
        assert!(same_histogram(&h(&[(1, 2), (1, 1)], &[1.0, 1.0, 1.0]), &h(&[(0, 5)], &[0.0, 1.0, 1.0, 0.0, 1.0])));
        assert!(!same_histogram(&h(&[(1, 1)], &[3.0]), &h(&[(2, 1)], &[3.0])));
    }
}
