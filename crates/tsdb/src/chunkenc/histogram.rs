//! Histogram chunks, encodings 2 (whole counts) and 5 (with start timestamps; only read), and what a kind of histogram must be able to do for the
//! shared [`super::appender`] and [`super::reader`].
//!
//! ```text
//!            t          count      zero count   sum      buckets (as deltas from bucket to bucket)
//! sample 1   varbit     varbit     varbit       64 bits  varbit ...
//! sample 2+  dod varbit dod varbit dod varbit   xor      dod varbit ...     (a stale marker has no buckets)
//! ```

use super::ChunkError;
use super::bits::{BitReader, BitWriter, XorValue};
use super::layout::{self, Layout};
use model::histogram::{ResetHint, Span};
use model::sample::is_stale_nan;
use model::{FloatHistogram, Histogram};
use storage::SeriesData;

pub use super::appender::{Appended, Appender};
pub use super::reader::Reader;
pub(super) use super::reader::decode_as;

pub type HistogramAppender = Appender<IntCodec>;

/// What a histogram says beside its counts.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    pub reset_hint: ResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub sum: f64,
    pub positive: &'a [Span],
    pub negative: &'a [Span],
    pub custom_values: &'a [f64],
}

/// How one kind of histogram is written and read. Holds the last sample's counts.
pub trait Codec: Clone + Default {
    type Hist: Clone + Default;
    type Num: Copy + PartialOrd + Default;
    const FLOAT: bool;

    fn shape(h: &Self::Hist) -> Shape<'_>;
    /// Count and zero count.
    fn totals(h: &Self::Hist) -> (Self::Num, Self::Num);
    /// Absolute counts of the positive and negative buckets.
    fn absolute(h: &Self::Hist) -> [Vec<Self::Num>; 2];
    /// The same histogram over other spans, which have all of its buckets.
    fn laid_out(h: &Self::Hist, positive: &[Span], negative: &[Span]) -> Self::Hist;
    /// Nothing but a sum: what is left of a stale marker.
    fn only_sum(sum: f64) -> Self::Hist;

    fn last_totals(&self) -> (Self::Num, Self::Num);
    fn last_sum(&self) -> f64;
    fn last_absolute(&self) -> [Vec<Self::Num>; 2];
    /// Has a bucket gone down? For a histogram in the same layout.
    fn buckets_fell(&self, h: &Self::Hist) -> bool;

    fn write_first(&mut self, w: &mut BitWriter<'_>, h: &Self::Hist);
    fn write_next(&mut self, w: &mut BitWriter<'_>, h: &Self::Hist);
    fn read_first(&mut self, r: &mut BitReader<'_>, positive: usize, negative: usize);
    fn read_next(&mut self, r: &mut BitReader<'_>) -> Result<(), ChunkError>;
    fn hist(&self, layout: &Layout, hint: ResetHint) -> Self::Hist;
    fn float_hist(&self, layout: &Layout, hint: ResetHint) -> FloatHistogram;
}

/// Appends the samples with `start_ms <= t <= end_ms` to `out`.
pub fn decode(bytes: &[u8], with_st: bool, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    decode_as::<IntCodec>(bytes, with_st, start_ms, end_ms, out)
}

/// Whole counts. Buckets are kept as the histogram has them: as deltas to the bucket before.
#[derive(Clone, Debug, Default)]
pub struct IntCodec {
    count: u64,
    zero_count: u64,
    count_delta: i64,
    zero_count_delta: i64,
    sum: XorSum,
    /// Positive, then negative.
    buckets: Vec<i64>,
    /// Their change from sample to sample.
    deltas: Vec<i64>,
    positive: usize,
}

/// A sum that has no window yet by default.
#[derive(Clone, Copy, Debug)]
pub(super) struct XorSum(pub XorValue);

impl Default for XorSum {
    fn default() -> Self {
        XorSum(XorValue::new(0.0))
    }
}

fn running(deltas: &[i64]) -> impl Iterator<Item = i64> + '_ {
    deltas.iter().scan(0i64, |sum, d| {
        *sum = sum.wrapping_add(*d);
        Some(*sum)
    })
}

fn to_deltas(counts: &[i64]) -> Vec<i64> {
    let mut last = 0i64;
    counts.iter().map(|c| c.wrapping_sub(std::mem::replace(&mut last, *c))).collect()
}

impl Codec for IntCodec {
    type Hist = Histogram;
    type Num = i64;
    const FLOAT: bool = false;

    fn shape(h: &Histogram) -> Shape<'_> {
        Shape {
            reset_hint: h.reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            sum: h.sum,
            positive: &h.positive_spans,
            negative: &h.negative_spans,
            custom_values: &h.custom_values,
        }
    }

    fn totals(h: &Histogram) -> (i64, i64) {
        (h.count as i64, h.zero_count as i64)
    }

    fn absolute(h: &Histogram) -> [Vec<i64>; 2] {
        [running(&h.positive_deltas).collect(), running(&h.negative_deltas).collect()]
    }

    fn laid_out(h: &Histogram, positive: &[Span], negative: &[Span]) -> Histogram {
        let [p, n] = Self::absolute(h);
        Histogram {
            positive_deltas: to_deltas(&layout::relayout(&h.positive_spans, &p, positive)),
            negative_deltas: to_deltas(&layout::relayout(&h.negative_spans, &n, negative)),
            positive_spans: positive.to_vec(),
            negative_spans: negative.to_vec(),
            custom_values: h.custom_values.clone(),
            ..*h
        }
    }

    fn only_sum(sum: f64) -> Histogram {
        Histogram { sum, ..Histogram::default() }
    }

    fn last_totals(&self) -> (i64, i64) {
        (self.count as i64, self.zero_count as i64)
    }

    fn last_sum(&self) -> f64 {
        self.sum.0.value()
    }

    fn last_absolute(&self) -> [Vec<i64>; 2] {
        let (p, n) = self.buckets.split_at(self.positive);
        [running(p).collect(), running(n).collect()]
    }

    fn buckets_fell(&self, h: &Histogram) -> bool {
        let (p, n) = self.buckets.split_at(self.positive);
        let fell = |old: &[i64], new: &[i64]| running(old).zip(running(new)).any(|(old, new)| old > new);
        fell(p, &h.positive_deltas) || fell(n, &h.negative_deltas)
    }

    fn write_first(&mut self, w: &mut BitWriter<'_>, h: &Histogram) {
        w.put_varbit_u(h.count);
        w.put_varbit_u(h.zero_count);
        w.put(h.sum.to_bits(), 64);
        self.count = h.count;
        self.zero_count = h.zero_count;
        self.sum = XorSum(XorValue::new(h.sum));
        self.positive = h.positive_deltas.len();
        self.buckets = h.positive_deltas.iter().chain(&h.negative_deltas).copied().collect();
        self.deltas = vec![0; self.buckets.len()];
        for b in &self.buckets {
            w.put_varbit(*b);
        }
    }

    fn write_next(&mut self, w: &mut BitWriter<'_>, h: &Histogram) {
        let stale = is_stale_nan(h.sum);
        let count_delta = h.count.wrapping_sub(self.count) as i64;
        let zero_count_delta = h.zero_count.wrapping_sub(self.zero_count) as i64;
        w.put_varbit(if stale { 0 } else { count_delta.wrapping_sub(self.count_delta) });
        w.put_varbit(if stale { 0 } else { zero_count_delta.wrapping_sub(self.zero_count_delta) });
        self.sum.0.write(w, h.sum);
        self.count = h.count;
        self.zero_count = h.zero_count;
        self.count_delta = count_delta;
        self.zero_count_delta = zero_count_delta;
        let new = h.positive_deltas.iter().chain(&h.negative_deltas);
        for ((new, old), last_delta) in new.zip(&mut self.buckets).zip(&mut self.deltas) {
            let delta = new.wrapping_sub(*old);
            w.put_varbit(delta.wrapping_sub(*last_delta));
            *old = *new;
            *last_delta = delta;
        }
    }

    fn read_first(&mut self, r: &mut BitReader<'_>, positive: usize, negative: usize) {
        self.count = r.varbit_u();
        self.zero_count = r.varbit_u();
        self.sum.0.bits = r.read(64);
        self.positive = positive;
        self.buckets = (0..positive + negative).map(|_| r.varbit()).collect();
        self.deltas = vec![0; self.buckets.len()];
    }

    fn read_next(&mut self, r: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.count_delta = self.count_delta.wrapping_add(r.varbit());
        self.count = self.count.wrapping_add(self.count_delta as u64);
        self.zero_count_delta = self.zero_count_delta.wrapping_add(r.varbit());
        self.zero_count = self.zero_count.wrapping_add(self.zero_count_delta as u64);
        self.sum.0.read(r)?;
        if is_stale_nan(self.sum.0.value()) {
            return Ok(());
        }
        for (bucket, delta) in self.buckets.iter_mut().zip(&mut self.deltas) {
            *delta = delta.wrapping_add(r.varbit());
            *bucket = bucket.wrapping_add(*delta);
        }
        Ok(())
    }

    fn hist(&self, layout: &Layout, hint: ResetHint) -> Histogram {
        let (p, n) = self.buckets.split_at(self.positive);
        Histogram {
            reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum.0.value(),
            positive_spans: layout.positive.clone(),
            negative_spans: layout.negative.clone(),
            positive_deltas: p.to_vec(),
            negative_deltas: n.to_vec(),
            custom_values: layout.custom_values.clone(),
        }
    }

    fn float_hist(&self, layout: &Layout, hint: ResetHint) -> FloatHistogram {
        let (p, n) = self.buckets.split_at(self.positive);
        FloatHistogram {
            reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum.0.value(),
            positive_spans: layout.positive.clone(),
            negative_spans: layout.negative.clone(),
            positive_buckets: running(p).map(|c| c as f64).collect(),
            negative_buckets: running(n).map(|c| c as f64).collect(),
            custom_values: layout.custom_values.clone(),
        }
    }
}
