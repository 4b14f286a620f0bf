//! Adding, subtracting and scaling histograms whose layouts may differ: the coarser schema, the wider zero bucket and the common custom bounds
//! win. Nothing is compacted on the way.

use super::bounds::exponential_bound;
use super::buckets::{Walk, coarse_walk, coarser_index};
use super::compact::SpanBuilder;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramError, ResetHint, Span, kahan};
use std::fmt;

/// One histogram has exponential buckets, the other custom ones: they cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompatibleSchemas;

impl fmt::Display for IncompatibleSchemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")
    }
}

impl std::error::Error for IncompatibleSchemas {}

/// What had to be done to combine two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// One said "reset", the other "no reset".
    pub reset_collision: bool,
    /// Custom bounds differed; what is left are the common ones.
    pub bounds_reconciled: bool,
}

/// Buckets of one side, borrowed.
#[derive(Clone, Copy)]
struct Side<'a> {
    spans: &'a [Span],
    counts: &'a [f64],
}

/// Merges `b` into `a`, where both have the same schema. `old(a, b)` combines two buckets, `new(b)` makes one that `a` does not have; `skip`
/// tells which buckets of `b` (from the first on) are part of the zero bucket. `T` is what `a` keeps of a bucket.
fn merge_side<T: Copy>(
    spans: &mut Vec<Span>,
    values: &mut Vec<T>,
    b: impl Iterator<Item = (i32, f64)>,
    skip: impl Fn(i32) -> bool,
    old: impl Fn(&mut T, f64),
    new: impl Fn(f64) -> T,
) {
    let mut skipping = true;
    let mut b = b
        .filter(move |(i, _)| {
            skipping = skipping && skip(*i);
            !skipping
        })
        .peekable();
    if b.peek().is_none() {
        return;
    }
    let indices = indices_of(spans);
    let mut built = SpanBuilder::default();
    let mut out = Vec::with_capacity(values.len() + 4);
    for (index, value) in indices.zip(values.iter().copied()) {
        while let Some((i, count)) = b.next_if(|(i, _)| *i < index) {
            built.push(i);
            out.push(new(count));
        }
        let mut value = value;
        if let Some((_, count)) = b.next_if(|(i, _)| *i == index) {
            old(&mut value, count);
        }
        built.push(index);
        out.push(value);
    }
    for (i, count) in b {
        built.push(i);
        out.push(new(count));
    }
    *spans = built.spans;
    *values = out;
}

fn indices_of(spans: &[Span]) -> impl Iterator<Item = i32> + use<> {
    let mut next = 0i32;
    let ranges: Vec<(i32, u32)> = spans
        .iter()
        .map(|s| {
            let from = next.wrapping_add(s.offset);
            next = from.wrapping_add(s.length as i32);
            (from, s.length)
        })
        .collect();
    ranges.into_iter().flat_map(|(from, n)| (0..n).map(move |k| from.wrapping_add(k as i32)))
}

/// Merges neighbours into the buckets of a coarser schema.
fn reduce(spans: &mut Vec<Span>, counts: &mut Vec<f64>, from: i32, to: i32) {
    let mut built = SpanBuilder::default();
    let mut out = Vec::with_capacity(counts.len());
    for (i, c) in coarse_walk(spans, counts, from, to) {
        built.push(i);
        out.push(c);
    }
    *spans = built.spans;
    *counts = out;
}

/// [`reduce`] with compensated sums.
fn reduce_kahan(spans: &[Span], counts: &[f64], compensation: &[f64], from: i32, to: i32) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
    let mut built = SpanBuilder::default();
    let (mut sums, mut lost): (Vec<f64>, Vec<f64>) = (Vec::with_capacity(counts.len()), Vec::with_capacity(counts.len()));
    let mut last = None;
    for ((index, count), comp) in Walk::new(spans, counts).zip(compensation) {
        let index = coarser_index(index, from, to);
        match (sums.last_mut(), lost.last_mut()) {
            (Some(s), Some(l)) if last == Some(index) => {
                (*s, *l) = kahan::add(count, *s, *l);
                (*s, *l) = kahan::add(*comp, *s, *l);
            }
            _ => {
                built.push(index);
                sums.push(count);
                lost.push(*comp);
                last = Some(index);
            }
        }
    }
    (built.spans, sums, lost)
}

/// The bounds that both have.
fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            out.push(a[i]);
            (i, j) = (i + 1, j + 1);
        } else if a[i] < b[j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// For each bucket of a histogram with custom bounds, the bucket among fewer bounds that holds it.
fn target_of<'a>(side: Side<'a>, bounds: &'a [f64], common: &'a [f64]) -> impl Iterator<Item = (usize, f64)> + 'a {
    let mut at = 0;
    Walk::new(side.spans, side.counts).map(move |(index, count)| {
        let Some(bound) = usize::try_from(index).ok().and_then(|i| bounds.get(i)) else { return (common.len(), count) };
        while at < common.len() && common[at] < *bound {
            at += 1;
        }
        (at, count)
    })
}

/// Counts of two histograms with different custom bounds over the common bounds, and their compensation.
fn merge_custom(
    a: Side<'_>,
    a_bounds: &[f64],
    a_comp: Option<&[f64]>,
    b: Side<'_>,
    b_bounds: &[f64],
    sign: f64,
    common: &[f64],
) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
    let mut sums = vec![(0.0, 0.0); common.len() + 1];
    for (at, (target, count)) in target_of(a, a_bounds, common).enumerate() {
        let s = &mut sums[target];
        *s = kahan::add(count, s.0, s.1);
        if let Some(comp) = a_comp {
            *s = kahan::add(comp[at], s.0, s.1);
        }
    }
    for (target, count) in target_of(b, b_bounds, common) {
        let s = &mut sums[target];
        *s = kahan::add(sign * count, s.0, s.1);
    }
    let mut built = SpanBuilder::default();
    let (mut counts, mut lost) = (Vec::new(), Vec::new());
    for (i, (sum, comp)) in sums.into_iter().enumerate().filter(|(_, (s, c))| *s != 0.0 || *c != 0.0) {
        built.push(i as i32);
        counts.push(sum);
        lost.push(comp);
    }
    (built.spans, counts, lost)
}

/// Sums of two histograms' buckets over the bounds that both have; for comparing.
pub(super) fn rollup(h: &FloatHistogram, common: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; common.len() + 1];
    for (target, count) in target_of(Side { spans: &h.positive_spans, counts: &h.positive_buckets }, &h.custom_values, common) {
        sums[target] += count;
    }
    sums
}

pub(super) fn bounds_in_common(a: &FloatHistogram, b: &FloatHistogram) -> Vec<f64> {
    common_bounds(&a.custom_values, &b.custom_values)
}

fn inside_zero(schema: i32, threshold: f64) -> impl Fn(i32) -> bool + Copy {
    move |i| schema != CUSTOM_BUCKETS_SCHEMA && exponential_bound(i, schema) <= threshold
}

impl FloatHistogram {
    /// Multiplies all counts and the sum. A negative factor makes it a gauge.
    pub fn mul(&mut self, factor: f64) -> &mut Self {
        self.zero_count *= factor;
        self.count *= factor;
        self.sum *= factor;
        self.positive_buckets.iter_mut().chain(&mut self.negative_buckets).for_each(|c| *c *= factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
        self
    }

    /// Divides all counts and the sum. By zero, the buckets are dropped. A negative divisor makes it a gauge.
    pub fn div(&mut self, by: f64) -> &mut Self {
        self.zero_count /= by;
        self.count /= by;
        self.sum /= by;
        if by == 0.0 {
            self.positive_buckets.clear();
            self.negative_buckets.clear();
            self.positive_spans.clear();
            self.negative_spans.clear();
            return self;
        }
        self.positive_buckets.iter_mut().chain(&mut self.negative_buckets).for_each(|c| *c /= by);
        if by < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
        self
    }

    pub fn add(&mut self, other: &FloatHistogram) -> Result<Merged, IncompatibleSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts; the hint becomes what it would be for an addition.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Merged, IncompatibleSchemas> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &FloatHistogram, sign: f64) -> Result<Merged, IncompatibleSchemas> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let mut merged = Merged { reset_collision: self.adjust_hint(other), bounds_reconciled: false };
        if !self.uses_custom_buckets() {
            let (zero, _) = self.reconcile_zero_buckets(other, None);
            self.zero_count += sign * zero;
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if self.uses_custom_buckets() {
            if self.custom_values == other.custom_values {
                self.combine_sides(other, sign);
            } else {
                merged.bounds_reconciled = true;
                let common = common_bounds(&self.custom_values, &other.custom_values);
                let (spans, counts, _) =
                    merge_custom(self.positive(), &self.custom_values, None, other.positive(), &other.custom_values, sign, &common);
                (self.positive_spans, self.positive_buckets, self.custom_values) = (spans, counts, common);
            }
            return Ok(merged);
        }
        if other.schema < self.schema {
            self.reduce_to(other.schema);
        }
        self.combine_sides(other, sign);
        Ok(merged)
    }

    /// Merges the buckets of a histogram of the same or a finer schema.
    fn combine_sides(&mut self, other: &FloatHistogram, sign: f64) {
        let skip = inside_zero(self.schema, self.zero_threshold);
        let nothing_to_skip = self.zero_threshold == 0.0 || self.uses_custom_buckets();
        let merge = |spans: &mut Vec<Span>, counts: &mut Vec<f64>, b: Side<'_>| {
            if b.counts.is_empty() {
                return;
            }
            if other.schema != self.schema {
                let walk = coarse_walk(b.spans, b.counts, other.schema, self.schema);
                return merge_side(spans, counts, walk, skip, |a, b| *a += sign * b, |b| sign * b);
            }
            let first_outside = || Walk::new(b.spans, b.counts).next().is_some_and(|(i, _)| !skip(i));
            if spans.as_slice() == b.spans && counts.len() == b.counts.len() && (nothing_to_skip || first_outside()) {
                counts.iter_mut().zip(b.counts).for_each(|(a, b)| *a += sign * b);
                return;
            }
            merge_side(spans, counts, Walk::new(b.spans, b.counts), skip, |a, b| *a += sign * b, |b| sign * b);
        };
        merge(&mut self.positive_spans, &mut self.positive_buckets, other.positive());
        merge(&mut self.negative_spans, &mut self.negative_buckets, other.negative());
    }

    /// [`FloatHistogram::add`] with compensation: `c` holds what rounding lost so far and is made when there is none yet.
    pub fn add_kahan(&mut self, other: &FloatHistogram, c: &mut Option<FloatHistogram>) -> Result<Merged, IncompatibleSchemas> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let mut merged = Merged { reset_collision: self.adjust_hint(other), bounds_reconciled: false };
        let c = c.get_or_insert_with(|| self.empty_compensation());
        if !self.uses_custom_buckets() {
            let (zero, zero_lost) = self.reconcile_zero_buckets(other, Some(c));
            (self.zero_count, c.zero_count) = kahan::add(zero, self.zero_count, c.zero_count);
            (self.zero_count, c.zero_count) = kahan::add(zero_lost, self.zero_count, c.zero_count);
        }
        (self.count, c.count) = kahan::add(other.count, self.count, c.count);
        (self.sum, c.sum) = kahan::add(other.sum, self.sum, c.sum);
        if self.uses_custom_buckets() && self.custom_values != other.custom_values {
            merged.bounds_reconciled = true;
            let common = common_bounds(&self.custom_values, &other.custom_values);
            let (spans, counts, lost) =
                merge_custom(self.positive(), &self.custom_values, Some(&c.positive_buckets), other.positive(), &other.custom_values, 1.0, &common);
            (self.positive_spans, self.positive_buckets, c.positive_buckets) = (spans, counts, lost);
            self.custom_values.clone_from(&common);
            c.custom_values = common;
        } else {
            if other.schema < self.schema {
                let (from, to) = (self.schema, other.schema);
                (self.positive_spans, self.positive_buckets, c.positive_buckets) =
                    reduce_kahan(&self.positive_spans, &self.positive_buckets, &c.positive_buckets, from, to);
                (self.negative_spans, self.negative_buckets, c.negative_buckets) =
                    reduce_kahan(&self.negative_spans, &self.negative_buckets, &c.negative_buckets, from, to);
                self.schema = to;
            }
            let (schema, threshold) = (self.schema, self.zero_threshold);
            add_side_kahan(
                schema,
                threshold,
                &mut self.positive_spans,
                &mut self.positive_buckets,
                &mut c.positive_buckets,
                other.positive(),
                other.schema,
            );
            add_side_kahan(
                schema,
                threshold,
                &mut self.negative_spans,
                &mut self.negative_buckets,
                &mut c.negative_buckets,
                other.negative(),
                other.schema,
            );
        }
        c.schema = self.schema;
        c.zero_threshold = self.zero_threshold;
        c.positive_spans.clone_from(&self.positive_spans);
        c.negative_spans.clone_from(&self.negative_spans);
        Ok(merged)
    }

    fn positive(&self) -> Side<'_> {
        Side { spans: &self.positive_spans, counts: &self.positive_buckets }
    }

    fn negative(&self) -> Side<'_> {
        Side { spans: &self.negative_spans, counts: &self.negative_buckets }
    }

    fn empty_compensation(&self) -> FloatHistogram {
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            custom_values: self.custom_values.clone(),
            ..FloatHistogram::default()
        }
    }

    /// The hint of a sum: gauges win, then "unknown"; contradicting hints give "unknown" and true.
    fn adjust_hint(&mut self, other: &FloatHistogram) -> bool {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let (hint, collision) = match (self.reset_hint, other.reset_hint) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (Reset | NotReset, _) => (Unknown, true),
        };
        self.reset_hint = hint;
        collision
    }

    /// What the zero count would be with a wider zero bucket, how wide it then really is (it grows to the far edge of a populated bucket that it
    /// reaches into), and the compensation of the count.
    pub(super) fn zero_count_for(&self, mut threshold: f64, c: Option<&FloatHistogram>) -> (f64, f64, f64) {
        let mut lost = c.map_or(0.0, |c| c.zero_count);
        if threshold <= self.zero_threshold {
            return (self.zero_count, self.zero_threshold, lost);
        }
        loop {
            let mut count = self.zero_count;
            let mut swallow = |at: usize, b: &super::Bucket, comp: Option<&Vec<f64>>| {
                (count, lost) = kahan::add(b.count, count, lost);
                if let Some(comp) = comp {
                    (count, lost) = kahan::add(comp[at], count, lost);
                }
            };
            for (at, b) in self.positive_buckets().enumerate().take_while(|(_, b)| b.lower < threshold) {
                swallow(at, &b, c.map(|c| &c.positive_buckets));
                if b.upper > threshold {
                    if b.count != 0.0 {
                        threshold = b.upper;
                    }
                    break;
                }
            }
            let mut grown = false;
            for (at, b) in self.negative_buckets().enumerate() {
                if b.upper <= -threshold {
                    break;
                }
                swallow(at, &b, c.map(|c| &c.negative_buckets));
                if b.lower < -threshold {
                    if b.count != 0.0 {
                        threshold = -b.lower;
                        grown = true;
                    }
                    break;
                }
            }
            if !grown {
                return (count, threshold, lost);
            }
        }
    }

    /// Widens the own zero bucket until it covers the other's and cuts no populated bucket of either. Returns the other's zero count for that
    /// width and its compensation.
    fn reconcile_zero_buckets(&mut self, other: &FloatHistogram, mut c: Option<&mut FloatHistogram>) -> (f64, f64) {
        let (mut other_zero, mut other_threshold, mut other_lost) = (other.zero_count, other.zero_threshold, 0.0);
        while other_threshold != self.zero_threshold {
            if self.zero_threshold > other_threshold {
                (other_zero, other_threshold, other_lost) = other.zero_count_for(self.zero_threshold, None);
            }
            if other_threshold > self.zero_threshold {
                let (zero, threshold, lost) = self.zero_count_for(other_threshold, c.as_deref());
                (self.zero_count, self.zero_threshold) = (zero, threshold);
                if let Some(c) = c.as_deref_mut() {
                    c.zero_count = lost;
                }
                self.drop_buckets_inside_zero(c.as_deref_mut());
            }
        }
        (other_zero, other_lost)
    }

    /// Empties the buckets that the zero bucket has swallowed.
    fn drop_buckets_inside_zero(&mut self, c: Option<&mut FloatHistogram>) {
        let positive = self.positive_buckets().take_while(|b| b.lower < self.zero_threshold).count();
        let negative = self.negative_buckets().take_while(|b| b.upper > -self.zero_threshold).count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        match c {
            Some(c) => {
                c.positive_buckets[..positive].fill(0.0);
                c.negative_buckets[..negative].fill(0.0);
                self.compact_with(c);
            }
            None => {
                self.compact(0);
            }
        }
    }

    fn reduce_to(&mut self, schema: i32) {
        reduce(&mut self.positive_spans, &mut self.positive_buckets, self.schema, schema);
        reduce(&mut self.negative_spans, &mut self.negative_buckets, self.schema, schema);
        self.schema = schema;
    }

    /// Lowers the resolution to a coarser exponential schema.
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), HistogramError> {
        check_coarser(self.schema, schema)?;
        super::validate::check_spans(&self.positive_spans, self.positive_buckets.len())?;
        super::validate::check_spans(&self.negative_spans, self.negative_buckets.len())?;
        self.reduce_to(schema);
        Ok(())
    }

    /// A copy in the given schema, which must be the same or (for exponential buckets) a coarser one. A reduced copy has no reset hint.
    pub fn copy_to_schema(&self, schema: i32) -> FloatHistogram {
        let mut copy = self.clone();
        if schema < self.schema && !self.uses_custom_buckets() {
            copy.reduce_to(schema);
            copy.reset_hint = ResetHint::Unknown;
        }
        copy
    }

    /// Is any of its numbers infinite?
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .chain(&self.custom_values)
            .any(|v| v.is_infinite())
    }
}

fn check_coarser(from: i32, to: i32) -> Result<(), HistogramError> {
    if from == CUSTOM_BUCKETS_SCHEMA {
        return Err(HistogramError::new("cannot reduce resolution when there are custom buckets"));
    }
    if to == CUSTOM_BUCKETS_SCHEMA {
        return Err(HistogramError::new("cannot reduce resolution to custom buckets schema"));
    }
    if to >= from {
        return Err(HistogramError::new(format!("cannot reduce resolution from schema {from} to {to}")));
    }
    Ok(())
}

/// One side of a compensated addition.
fn add_side_kahan(schema: i32, threshold: f64, spans: &mut Vec<Span>, counts: &mut Vec<f64>, lost: &mut Vec<f64>, b: Side<'_>, b_schema: i32) {
    if b.counts.is_empty() {
        return;
    }
    let skip = inside_zero(schema, threshold);
    if b_schema == schema {
        let outside = || Walk::new(b.spans, b.counts).next().is_some_and(|(i, _)| !skip(i));
        if spans.as_slice() == b.spans && counts.len() == b.counts.len() && outside() {
            for ((a, l), b) in counts.iter_mut().zip(lost.iter_mut()).zip(b.counts) {
                (*a, *l) = kahan::add(*b, *a, *l);
            }
            return;
        }
    }
    let (b_spans, b_counts, b_lost) = if b_schema == schema {
        (b.spans.to_vec(), b.counts.to_vec(), vec![0.0; b.counts.len()])
    } else {
        reduce_kahan(b.spans, b.counts, &vec![0.0; b.counts.len()], b_schema, schema)
    };
    // The second number of a bucket of `b` travels beside it, by position.
    let mut pairs: Vec<(f64, f64)> = counts.iter().copied().zip(lost.iter().copied()).collect();
    let at = std::cell::Cell::new(0usize);
    let skipped = std::cell::Cell::new(0usize);
    let walk = Walk::new(&b_spans, &b_counts);
    let skip_counting = |i: i32| {
        let inside = skip(i);
        skipped.set(skipped.get() + usize::from(inside));
        inside
    };
    let take_lost = || {
        let i = at.get();
        at.set(i + 1);
        b_lost[skipped.get() + i]
    };
    merge_side(
        spans,
        &mut pairs,
        walk,
        skip_counting,
        |a, b| {
            *a = kahan::add(b, a.0, a.1);
            let comp = take_lost();
            if comp != 0.0 {
                *a = kahan::add(comp, a.0, a.1);
            }
        },
        |b| (b, take_lost()),
    );
    (*counts, *lost) = pairs.into_iter().unzip();
}

impl Histogram {
    /// Lowers the resolution to a coarser exponential schema.
    pub fn reduce_resolution(&mut self, schema: i32) -> Result<(), HistogramError> {
        check_coarser(self.schema, schema)?;
        let from = self.schema;
        for (spans, deltas) in [(&mut self.positive_spans, &mut self.positive_deltas), (&mut self.negative_spans, &mut self.negative_deltas)] {
            super::validate::check_spans(spans, deltas.len())?;
            let mut built = SpanBuilder::default();
            let mut counts: Vec<i64> = Vec::with_capacity(deltas.len());
            let (mut count, mut last) = (0i64, None);
            for (index, delta) in indices_of(spans).zip(deltas.iter()) {
                count += delta;
                let index = coarser_index(index, from, schema);
                match counts.last_mut() {
                    Some(c) if last == Some(index) => *c += count,
                    _ => {
                        built.push(index);
                        counts.push(count);
                        last = Some(index);
                    }
                }
            }
            let mut previous = 0;
            *deltas = counts.iter().map(|c| c - std::mem::replace(&mut previous, *c)).collect();
            *spans = built.spans;
        }
        self.schema = schema;
        Ok(())
    }
}

#[cfg(test)]
#[path = "arithmetic_tests.rs"]
mod tests;
