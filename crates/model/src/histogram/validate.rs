//! Is a histogram consistent? Checked where histograms come from outside; everything behind relies on it.

use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, Span};
use crate::number::format_g;
use std::fmt;

/// Why a histogram is refused, in Prometheus' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramError {
    pub message: String,
}

impl HistogramError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        HistogramError { message: message.into() }
    }

    fn on(self, side: &str) -> Self {
        HistogramError { message: format!("{side}: {}", self.message) }
    }
}

impl fmt::Display for HistogramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HistogramError {}

fn fail<T>(message: impl Into<String>) -> Result<T, HistogramError> {
    Err(HistogramError::new(message))
}

pub(super) fn check_spans(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    if let Some((n, s)) = spans.iter().enumerate().skip(1).find(|(_, s)| s.offset < 0) {
        return fail(format!("span number {} with offset {}: histogram has a span whose offset is negative", n + 1, s.offset));
    }
    check_span_sum(spans, buckets)
}

fn check_span_sum(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let need: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if need != buckets as u64 {
        return fail(format!("spans need {need} buckets, have {buckets} buckets: histogram spans specify different number of buckets than provided"));
    }
    Ok(())
}

fn check_custom_bounds(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let mut previous = f64::NEG_INFINITY;
    for (i, bound) in bounds.iter().enumerate() {
        if bound.is_nan() {
            return fail("histogram custom bounds must not be NaN");
        }
        if i > 0 && *bound <= previous {
            return fail(format!(
                "previous bound is {previous:.6} and current is {bound:.6}: histogram custom bounds must be in strictly increasing order"
            ));
        }
        previous = *bound;
    }
    if previous == f64::INFINITY {
        return fail("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite");
    }
    if let Some((n, s)) = spans.iter().enumerate().find(|(_, s)| s.offset < 0) {
        return fail(format!("span number {} with offset {}: histogram has a span whose offset is negative", n + 1, s.offset));
    }
    check_span_sum(spans, buckets)?;
    let reach: u64 = spans.iter().map(|s| u64::from(s.length) + s.offset.unsigned_abs() as u64).sum();
    if (bounds.len() as u64 + 1) < reach {
        return fail(format!(
            "only {} custom bounds defined which is insufficient to cover total span length of {reach}: histogram custom bounds are too few",
            bounds.len()
        ));
    }
    Ok(())
}

/// What both kinds of histogram have in common.
struct Shape<'a> {
    schema: i32,
    zero_empty: bool,
    zero_threshold: f64,
    custom_values: &'a [f64],
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
}

impl Shape<'_> {
    fn check(&self) -> Result<(), HistogramError> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            check_custom_bounds(self.custom_values, self.positive.0, self.positive.1).map_err(|e| e.on("custom buckets"))?;
            if !self.zero_empty {
                return fail("custom buckets: must have zero count of 0");
            }
            if self.zero_threshold != 0.0 {
                return fail("custom buckets: must have zero threshold of 0");
            }
            if !self.negative.0.is_empty() {
                return fail("custom buckets: must not have negative spans");
            }
            if self.negative.1 > 0 {
                return fail("custom buckets: must not have negative buckets");
            }
            return Ok(());
        }
        if !(MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA).contains(&self.schema) {
            return fail(format!(
                "histogram has an invalid schema, which must be between {MIN_EXPONENTIAL_SCHEMA} and {MAX_EXPONENTIAL_SCHEMA} for exponential \
                 buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {}",
                self.schema
            ));
        }
        check_spans(self.positive.0, self.positive.1).map_err(|e| e.on("positive side"))?;
        check_spans(self.negative.0, self.negative.1).map_err(|e| e.on("negative side"))?;
        if !self.custom_values.is_empty() {
            return fail("histogram with exponential schema must not have custom bounds");
        }
        Ok(())
    }
}

fn negative_bucket(at: usize, count: impl fmt::Display, side: &str) -> HistogramError {
    HistogramError::new(format!(
        "{side}: bucket number {} has observation count of {count}: histogram has a bucket whose observation count is negative",
        at + 1
    ))
}

impl FloatHistogram {
    /// Spans and buckets fit, no count is negative, and nothing is set that the schema does not use.
    pub fn validate(&self) -> Result<(), HistogramError> {
        Shape {
            schema: self.schema,
            zero_empty: self.zero_count == 0.0,
            zero_threshold: self.zero_threshold,
            custom_values: &self.custom_values,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
        }
        .check()?;
        let below_zero = |counts: &[f64]| counts.iter().position(|c| *c < 0.0);
        if let Some(i) = below_zero(&self.negative_buckets) {
            return Err(negative_bucket(i, format_g(self.negative_buckets[i]), "negative side"));
        }
        if self.zero_count < 0.0 {
            return fail(format!(
                "zero bucket has observation count of {}: histogram has a bucket whose observation count is negative",
                format_g(self.zero_count)
            ));
        }
        if self.count < 0.0 {
            return fail(format!("observation count is  {}: histogram's observation count is negative", format_g(self.count)));
        }
        if let Some(i) = below_zero(&self.positive_buckets) {
            return Err(negative_bucket(i, format_g(self.positive_buckets[i]), "positive side"));
        }
        Ok(())
    }
}

impl Histogram {
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Spans and buckets fit, no count is negative, the count is that of the buckets (or more, when NaNs were observed), and nothing is set that the
    /// schema does not use.
    pub fn validate(&self) -> Result<(), HistogramError> {
        Shape {
            schema: self.schema,
            zero_empty: self.zero_count == 0,
            zero_threshold: self.zero_threshold,
            custom_values: &self.custom_values,
            positive: (&self.positive_spans, self.positive_deltas.len()),
            negative: (&self.negative_spans, self.negative_deltas.len()),
        }
        .check()?;
        let mut total: i128 = i128::from(self.zero_count);
        for (side, deltas) in [("negative side", &self.negative_deltas), ("positive side", &self.positive_deltas)] {
            let mut count = 0i64;
            for (i, delta) in deltas.iter().enumerate() {
                count = count.wrapping_add(*delta);
                if count < 0 {
                    return Err(negative_bucket(i, count, side));
                }
                total += i128::from(count);
            }
        }
        if self.sum.is_nan() {
            if total > i128::from(self.count) {
                return fail(format!(
                    "{total} observations found in buckets, but the Count field is {}: histogram's observation count should be at least the number of \
                     observations found in the buckets",
                    self.count
                ));
            }
        } else if total != i128::from(self.count) {
            return fail(format!(
                "{total} observations found in buckets, but the Count field is {}: histogram's observation count should equal the number of \
                 observations found in the buckets (in absence of NaN)",
                self.count
            ));
        }
        Ok(())
    }
}
