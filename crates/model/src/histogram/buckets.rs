//! Walking over buckets: by index, and with bounds in order of value.

use super::bounds::upper_bound;
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};
use crate::gomath::log2;

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
    /// Index within the schema; of no meaning for the zero bucket.
    pub index: i32,
}

impl Bucket {
    /// The share of the bucket's observations at or below `v`, which lies strictly between finite bounds.
    pub fn fraction_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, at) = (log2(self.lower.abs()), log2(self.upper.abs()), log2(v.abs()));
        if v > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

/// Index and count of the buckets of one side, from the zero bucket outwards. Stops early when spans promise more buckets than there are.
#[derive(Clone)]
pub struct Walk<'a> {
    spans: std::slice::Iter<'a, Span>,
    counts: std::slice::Iter<'a, f64>,
    next_index: i32,
    left_in_span: u32,
}

impl<'a> Walk<'a> {
    pub fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        Walk { spans: spans.iter(), counts: counts.iter(), next_index: 0, left_in_span: 0 }
    }
}

impl Iterator for Walk<'_> {
    type Item = (i32, f64);

    #[inline]
    fn next(&mut self) -> Option<(i32, f64)> {
        while self.left_in_span == 0 {
            let span = self.spans.next()?;
            self.next_index = self.next_index.wrapping_add(span.offset);
            self.left_in_span = span.length;
        }
        let count = *self.counts.next()?;
        let index = self.next_index;
        self.next_index = index.wrapping_add(1);
        self.left_in_span -= 1;
        Some((index, count))
    }
}

/// The index in a coarser schema.
#[inline]
pub(super) fn coarser_index(index: i32, from_schema: i32, to_schema: i32) -> i32 {
    (index.wrapping_sub(1) >> (from_schema - to_schema)) + 1
}

/// Like [`Walk`], with neighbours summed up that are one bucket in a coarser schema.
pub(super) fn coarse_walk<'a>(spans: &'a [Span], counts: &'a [f64], from_schema: i32, to_schema: i32) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut walk = Walk::new(spans, counts).map(move |(i, c)| (coarser_index(i, from_schema, to_schema), c)).peekable();
    std::iter::from_fn(move || {
        let (index, first) = walk.next()?;
        // Starting at zero keeps the sums those of the reference.
        let mut sum = 0.0 + first;
        while let Some((_, c)) = walk.next_if(|(i, _)| *i == index) {
            sum += c;
        }
        Some((index, sum))
    })
}

/// Which way to go through all buckets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Rising,
    Falling,
}

impl FloatHistogram {
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    fn bucket(&self, index: i32, count: f64, positive: bool) -> Bucket {
        let (near, far) = (upper_bound(index - 1, self.schema, &self.custom_values), upper_bound(index, self.schema, &self.custom_values));
        let (lower, upper) = if positive { (near, far) } else { (-far, -near) };
        let (lower_inclusive, upper_inclusive) = if self.uses_custom_buckets() { (index == 0, true) } else { (lower < 0.0, upper > 0.0) };
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
    }

    /// Positive buckets, rising from the zero bucket.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        Walk::new(&self.positive_spans, &self.positive_buckets).map(|(i, c)| self.bucket(i, c, true))
    }

    /// Negative buckets, falling from the zero bucket.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        Walk::new(&self.negative_spans, &self.negative_buckets).map(|(i, c)| self.bucket(i, c, false))
    }

    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// All buckets from the lowest to the highest; those that reach into the zero bucket are cut at its edge. An empty zero bucket is left out.
    pub fn all_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.in_order(Order::Rising)
    }

    /// All buckets from the highest to the lowest.
    pub fn all_buckets_reversed(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.in_order(Order::Falling)
    }

    fn in_order(&self, order: Order) -> impl Iterator<Item = Bucket> + '_ {
        let first_positive = order == Order::Falling;
        let side = |positive: bool| match positive {
            true => (&self.positive_spans, &self.positive_buckets),
            false => (&self.negative_spans, &self.negative_buckets),
        };
        let (spans, counts) = side(first_positive);
        let mut inwards: Vec<(i32, f64)> = Walk::new(spans, counts).collect();
        inwards.reverse();
        let (spans, counts) = side(!first_positive);
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let at_edge = |mut b: Bucket| {
            if b.upper < 0.0 && b.upper > -self.zero_threshold {
                b.upper = -self.zero_threshold;
            } else if b.lower > 0.0 && b.lower < self.zero_threshold {
                b.lower = self.zero_threshold;
            }
            b
        };
        inwards
            .into_iter()
            .map(move |(i, c)| at_edge(self.bucket(i, c, first_positive)))
            .chain(zero)
            .chain(Walk::new(spans, counts).map(move |(i, c)| at_edge(self.bucket(i, c, !first_positive))))
    }

    /// Bytes it takes in the reference's memory; sample limits count 16 of them as one sample.
    pub fn size(&self) -> usize {
        168 + 8
            * (self.positive_spans.len()
                + self.negative_spans.len()
                + self.positive_buckets.len()
                + self.negative_buckets.len()
                + self.custom_values.len())
    }

    /// Equal to the bit in all counts and in the layout of buckets, empty ones included. The reset hint is not looked at.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let same_bits = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
        let same_layout = |a: &[Span], b: &[Span]| {
            let indices = |spans: &[Span]| {
                let mut next = 0i32;
                spans
                    .iter()
                    .flat_map(|s| {
                        let from = next.wrapping_add(s.offset);
                        next = from.wrapping_add(s.length as i32);
                        from..next
                    })
                    .collect::<Vec<_>>()
            };
            a == b || indices(a) == indices(b)
        };
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && same_layout(&self.negative_spans, &other.negative_spans)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && same_layout(&self.positive_spans, &other.positive_spans)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }
}
