//! Histogram chunks with float counts, encodings 3 and 6 (with start timestamps; only read).
//!
//! ```text
//!            t          count    zero count  sum      buckets (absolute)
//! sample 1   varbit     64 bits  64 bits     64 bits  64 bits ...
//! sample 2+  dod varbit xor      xor         xor      xor ...     (a stale marker has no buckets)
//! ```

use super::ChunkError;
use super::bits::{BitReader, BitWriter, XorValue};
use super::histogram::{Appender, Codec, Shape, XorSum, decode_as};
use super::layout::{self, Layout};
use model::FloatHistogram;
use model::histogram::{ResetHint, Span};
use model::sample::is_stale_nan;
use storage::SeriesData;

pub type FloatHistogramAppender = Appender<FloatCodec>;

/// Appends the samples with `start_ms <= t <= end_ms` to `out`.
pub fn decode(bytes: &[u8], with_st: bool, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    decode_as::<FloatCodec>(bytes, with_st, start_ms, end_ms, out)
}

/// Float counts, each XORed with its predecessor.
#[derive(Clone, Debug, Default)]
pub struct FloatCodec {
    count: XorSum,
    zero_count: XorSum,
    sum: XorSum,
    /// Positive, then negative.
    buckets: Vec<XorValue>,
    positive: usize,
}

fn values(x: &[XorValue]) -> Vec<f64> {
    x.iter().map(|x| x.value()).collect()
}

impl Codec for FloatCodec {
    type Hist = FloatHistogram;
    type Num = f64;
    const FLOAT: bool = true;

    fn shape(h: &FloatHistogram) -> Shape<'_> {
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

    fn totals(h: &FloatHistogram) -> (f64, f64) {
        (h.count, h.zero_count)
    }

    fn absolute(h: &FloatHistogram) -> [Vec<f64>; 2] {
        [h.positive_buckets.clone(), h.negative_buckets.clone()]
    }

    fn laid_out(h: &FloatHistogram, positive: &[Span], negative: &[Span]) -> FloatHistogram {
        FloatHistogram {
            positive_buckets: layout::relayout(&h.positive_spans, &h.positive_buckets, positive),
            negative_buckets: layout::relayout(&h.negative_spans, &h.negative_buckets, negative),
            positive_spans: positive.to_vec(),
            negative_spans: negative.to_vec(),
            custom_values: h.custom_values.clone(),
            ..*h
        }
    }

    fn only_sum(sum: f64) -> FloatHistogram {
        FloatHistogram { sum, ..FloatHistogram::default() }
    }

    fn last_totals(&self) -> (f64, f64) {
        (self.count.0.value(), self.zero_count.0.value())
    }

    fn last_sum(&self) -> f64 {
        self.sum.0.value()
    }

    fn last_absolute(&self) -> [Vec<f64>; 2] {
        let (p, n) = self.buckets.split_at(self.positive);
        [values(p), values(n)]
    }

    fn buckets_fell(&self, h: &FloatHistogram) -> bool {
        let new = h.positive_buckets.iter().chain(&h.negative_buckets);
        self.buckets.iter().zip(new).any(|(old, new)| old.value() > *new)
    }

    fn write_first(&mut self, w: &mut BitWriter<'_>, h: &FloatHistogram) {
        for (field, v) in [(&mut self.count, h.count), (&mut self.zero_count, h.zero_count), (&mut self.sum, h.sum)] {
            w.put(v.to_bits(), 64);
            field.0 = XorValue::new(v);
        }
        self.positive = h.positive_buckets.len();
        self.buckets = h.positive_buckets.iter().chain(&h.negative_buckets).map(|v| XorValue::new(*v)).collect();
        for b in &self.buckets {
            w.put(b.bits, 64);
        }
    }

    fn write_next(&mut self, w: &mut BitWriter<'_>, h: &FloatHistogram) {
        self.count.0.write(w, h.count);
        self.zero_count.0.write(w, h.zero_count);
        self.sum.0.write(w, h.sum);
        let new = h.positive_buckets.iter().chain(&h.negative_buckets);
        for (old, new) in self.buckets.iter_mut().zip(new) {
            old.write(w, *new);
        }
    }

    fn read_first(&mut self, r: &mut BitReader<'_>, positive: usize, negative: usize) {
        for field in [&mut self.count, &mut self.zero_count, &mut self.sum] {
            field.0.bits = r.read(64);
        }
        self.positive = positive;
        self.buckets = (0..positive + negative).map(|_| XorValue::new(f64::from_bits(r.read(64)))).collect();
    }

    fn read_next(&mut self, r: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.count.0.read(r)?;
        self.zero_count.0.read(r)?;
        self.sum.0.read(r)?;
        if is_stale_nan(self.sum.0.value()) {
            return Ok(());
        }
        self.buckets.iter_mut().try_for_each(|b| b.read(r))
    }

    fn hist(&self, layout: &Layout, hint: ResetHint) -> FloatHistogram {
        let (p, n) = self.buckets.split_at(self.positive);
        FloatHistogram {
            reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.0.value(),
            count: self.count.0.value(),
            sum: self.sum.0.value(),
            positive_spans: layout.positive.clone(),
            negative_spans: layout.negative.clone(),
            positive_buckets: values(p),
            negative_buckets: values(n),
            custom_values: layout.custom_values.clone(),
        }
    }

    fn float_hist(&self, layout: &Layout, hint: ResetHint) -> FloatHistogram {
        self.hist(layout, hint)
    }
}
