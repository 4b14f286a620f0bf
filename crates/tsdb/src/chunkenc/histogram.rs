//! Histogram chunks, encodings 2 (whole counts) and 5 (with start timestamps; only read), and what both kinds of histogram share:
//! when a chunk can take a sample, when it must be written again with more buckets, and when a new one begins.
//!
//! ```text
//!            t          count      zero count   sum      buckets (as deltas from bucket to bucket)
//! sample 1   varbit     varbit     varbit       64 bits  varbit ...
//! sample 2+  dod varbit dod varbit dod varbit   xor      dod varbit ...     (a stale marker has no buckets)
//! ```
//!
//! What differs between whole and float counts is behind [`Codec`].

use super::bits::{BitReader, BitWriter, XorValue};
use super::layout::{self, FLAGS_AT, FLAGS_MASK, GAUGE, HEADER_LEN, Layout, NO_RESET, RESET, RESET_UNKNOWN, ST_COUNT_MASK, StDecoder};
use super::{ChunkError, MAX_SAMPLES, pad_st};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, MAX_EXPONENTIAL_SCHEMA, ResetHint, Span};
use model::sample::is_stale_nan;
use model::{FloatHistogram, Histogram};
use std::borrow::Cow;
use std::sync::Arc;
use storage::SeriesData;

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

/// What [`Appender::append`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    InPlace,
    /// The chunk was written again with more buckets and has the sample.
    Recoded,
    /// The sample began a new chunk; these are the bytes of the one before.
    Cut(Vec<u8>),
}

/// An open histogram chunk. `HistogramAppender` and `FloatHistogramAppender` are its two kinds.
#[derive(Clone, Debug, Default)]
pub struct Appender<C: Codec> {
    bytes: Vec<u8>,
    free: u8,
    layout: Layout,
    t_ms: i64,
    t_delta: i64,
    codec: C,
    /// Flags of the chunk that [`Appender::take`] gave away, when the next one continues it.
    previous: Option<u8>,
}

pub type HistogramAppender = Appender<IntCodec>;

impl<C: Codec> Appender<C> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with a chunk (without start timestamps) of which only the bytes are known.
    pub fn resume(mut bytes: Vec<u8>) -> Result<Self, ChunkError> {
        if bytes.is_empty() {
            return Ok(Self::new());
        }
        let mut r = Reader::<C>::new(&bytes, false)?;
        while r.advance()? {}
        let len = if r.total == 0 { 0 } else { HEADER_LEN + r.bits.bytes_read() };
        let free = r.bits.free_bits();
        let Reader { t_ms, t_delta, codec, layout, .. } = r;
        bytes.truncate(len);
        Ok(Appender { bytes, free, layout, t_ms, t_delta, codec, previous: None })
    }

    /// Adds a sample. The caller cuts before [`MAX_SAMPLES`] and gives rising times, and histograms whose buckets fit their spans.
    pub fn append(&mut self, t_ms: i64, h: &C::Hist) -> Appended {
        let n = self.len();
        assert!(n < MAX_SAMPLES, "a chunk is cut before its count overflows");
        let shape = C::shape(h);
        if n == 0 {
            let flags = match shape.reset_hint {
                ResetHint::Gauge => GAUGE,
                ResetHint::Reset => RESET,
                _ => match self.previous.take() {
                    None => RESET_UNKNOWN,
                    Some(flags) => match self.verdict(h, Some(flags)) {
                        Verdict::Fits(_) => NO_RESET,
                        Verdict::New(RESET) => RESET,
                        Verdict::New(_) if C::FLOAT => NO_RESET,
                        Verdict::New(flags) => flags,
                    },
                },
            };
            self.begin(t_ms, h, flags);
            return Appended::InPlace;
        }
        let verdict = if shape.reset_hint == ResetHint::Gauge { self.gauge_verdict(h) } else { self.verdict(h, Some(self.bytes[FLAGS_AT])) };
        match verdict {
            Verdict::New(flags) => {
                let done = self.take();
                self.previous = None;
                self.begin(t_ms, h, flags);
                Appended::Cut(done)
            }
            Verdict::Fits(Fit::AsItIs) => {
                self.push(t_ms, h);
                Appended::InPlace
            }
            Verdict::Fits(Fit::Expand { sample, chunk, positive, negative }) => {
                let h = if sample { Cow::Owned(C::laid_out(h, &positive, &negative)) } else { Cow::Borrowed(h) };
                if chunk {
                    self.recode(&positive, &negative);
                }
                self.push(t_ms, &h);
                if chunk { Appended::Recoded } else { Appended::InPlace }
            }
        }
    }

    /// How many samples it holds.
    pub fn len(&self) -> u16 {
        match self.bytes.as_slice() {
            &[a, b, ..] => u16::from_be_bytes([a, b]),
            _ => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The chunk so far; complete after every append.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn last_t_ms(&self) -> i64 {
        self.t_ms
    }

    /// The last sample. Its hint is what a reader of the chunk would see.
    pub fn last(&self) -> C::Hist {
        let sum = self.codec.last_sum();
        if is_stale_nan(sum) {
            return C::only_sum(sum);
        }
        self.codec.hist(&self.layout, layout::reset_hint(self.bytes.get(FLAGS_AT).copied().unwrap_or(0), self.len()))
    }

    /// The finished chunk. The appender is empty afterwards; the next sample begins a chunk that continues this one.
    pub fn take(&mut self) -> Vec<u8> {
        self.previous = self.bytes.get(FLAGS_AT).map(|f| f & FLAGS_MASK);
        self.free = 0;
        std::mem::take(&mut self.bytes)
    }

    fn begin(&mut self, t_ms: i64, h: &C::Hist, flags: u8) {
        let stale = C::shape(h).sum;
        let h = if is_stale_nan(stale) { Cow::Owned(C::only_sum(stale)) } else { Cow::Borrowed(h) };
        let shape = C::shape(&h);
        self.layout = Layout {
            schema: shape.schema,
            zero_threshold: shape.zero_threshold,
            positive: shape.positive.to_vec(),
            negative: shape.negative.to_vec(),
            custom_values: shape.custom_values.to_vec(),
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0, 1, flags]);
        let mut w = BitWriter::new(&mut self.bytes, 0);
        self.layout.write(&mut w);
        w.put_varbit(t_ms);
        self.codec = C::default();
        self.codec.write_first(&mut w, &h);
        self.free = w.finish();
        self.t_ms = t_ms;
        self.t_delta = 0;
    }

    fn push(&mut self, t_ms: i64, h: &C::Hist) {
        let [a, b] = (self.len() + 1).to_be_bytes();
        let delta = t_ms.wrapping_sub(self.t_ms);
        let mut w = BitWriter::new(&mut self.bytes, self.free);
        w.put_varbit(delta.wrapping_sub(self.t_delta));
        let sum = C::shape(h).sum;
        if is_stale_nan(sum) {
            self.codec.write_next(&mut w, &C::only_sum(sum));
        } else {
            self.codec.write_next(&mut w, h);
        }
        self.free = w.finish();
        self.bytes[0] = a;
        self.bytes[1] = b;
        self.t_ms = t_ms;
        self.t_delta = delta;
    }

    /// Writes the chunk again over more buckets.
    fn recode(&mut self, positive: &[Span], negative: &[Span]) {
        let old = std::mem::take(&mut self.bytes);
        let mut r = Reader::<C>::new(&old, false).expect("an appender's own bytes have a header");
        let mut first = true;
        while r.advance().expect("an appender's own bytes can be read") {
            let h = r.hist();
            let h = if is_stale_nan(C::shape(&h).sum) { h } else { C::laid_out(&h, positive, negative) };
            if first {
                self.begin(r.t_ms, &h, old[FLAGS_AT]);
            } else {
                self.push(r.t_ms, &h);
            }
            first = false;
        }
    }

    /// Can the chunk (or the one before, when `flags` are its) take a sample of a counter?
    fn verdict(&self, h: &C::Hist, flags: Option<u8>) -> Verdict {
        let shape = C::shape(h);
        if flags.is_some_and(|f| f & FLAGS_MASK == GAUGE) {
            return Verdict::New(if C::FLOAT { RESET_UNKNOWN } else { NO_RESET });
        }
        if shape.reset_hint == ResetHint::Reset {
            return Verdict::New(RESET);
        }
        if is_stale_nan(shape.sum) {
            return Verdict::Fits(Fit::AsItIs);
        }
        if is_stale_nan(self.codec.last_sum()) {
            return Verdict::New(RESET_UNKNOWN);
        }
        let (count, zero_count) = C::totals(h);
        let (last_count, last_zero_count) = self.codec.last_totals();
        if count < last_count {
            return Verdict::New(RESET);
        }
        if !self.same_scale(&shape) {
            return Verdict::New(RESET_UNKNOWN);
        }
        if !self.same_bounds(&shape) || zero_count < last_zero_count {
            return Verdict::New(RESET);
        }
        if self.same_spans(&shape) {
            return if self.codec.buckets_fell(h) { Verdict::New(RESET) } else { Verdict::Fits(Fit::AsItIs) };
        }
        let [positive, negative] = C::absolute(h);
        let [last_positive, last_negative] = self.codec.last_absolute();
        if layout::buckets_were_reset(&self.layout.positive, &last_positive, shape.positive, &positive)
            || layout::buckets_were_reset(&self.layout.negative, &last_negative, shape.negative, &negative)
        {
            return Verdict::New(RESET);
        }
        let p = layout::diff_spans(&self.layout.positive, shape.positive);
        let n = layout::diff_spans(&self.layout.negative, shape.negative);
        let (sample, chunk) = (p.missing_in_b || n.missing_in_b, p.new_in_b || n.new_in_b);
        let pick = |d: layout::SpanDiff, own: &[Span], theirs: &[Span]| match (sample, chunk) {
            (true, false) => own.to_vec(),
            (true, true) if d.missing_in_b => d.merged,
            _ => theirs.to_vec(),
        };
        let positive = pick(p, &self.layout.positive, shape.positive);
        let negative = pick(n, &self.layout.negative, shape.negative);
        Verdict::fits(sample, chunk, positive, negative)
    }

    fn gauge_verdict(&self, h: &C::Hist) -> Verdict {
        let shape = C::shape(h);
        if self.bytes[FLAGS_AT] & FLAGS_MASK != GAUGE {
            return Verdict::New(GAUGE);
        }
        if is_stale_nan(shape.sum) {
            return Verdict::Fits(Fit::AsItIs);
        }
        if is_stale_nan(self.codec.last_sum()) || !self.same_scale(&shape) || !self.same_bounds(&shape) {
            return Verdict::New(GAUGE);
        }
        if self.same_spans(&shape) {
            return Verdict::Fits(Fit::AsItIs);
        }
        let p = layout::diff_spans(&self.layout.positive, shape.positive);
        let n = layout::diff_spans(&self.layout.negative, shape.negative);
        let (sample, chunk) = (p.missing_in_b || n.missing_in_b, p.new_in_b || n.new_in_b);
        let (positive, negative) = if sample { (p.merged, n.merged) } else { (shape.positive.to_vec(), shape.negative.to_vec()) };
        Verdict::fits(sample, chunk, positive, negative)
    }

    fn same_scale(&self, shape: &Shape<'_>) -> bool {
        shape.schema == self.layout.schema && shape.zero_threshold == self.layout.zero_threshold
    }

    fn same_bounds(&self, shape: &Shape<'_>) -> bool {
        shape.schema != CUSTOM_BUCKETS_SCHEMA || shape.custom_values == self.layout.custom_values
    }

    fn same_spans(&self, shape: &Shape<'_>) -> bool {
        shape.positive == self.layout.positive && shape.negative == self.layout.negative
    }
}

enum Verdict {
    Fits(Fit),
    /// Begin a new chunk with these flags.
    New(u8),
}

enum Fit {
    AsItIs,
    /// The sample, the chunk or both get the buckets of the other.
    Expand {
        sample: bool,
        chunk: bool,
        positive: Vec<Span>,
        negative: Vec<Span>,
    },
}

impl Verdict {
    fn fits(sample: bool, chunk: bool, positive: Vec<Span>, negative: Vec<Span>) -> Verdict {
        Verdict::Fits(if sample || chunk { Fit::Expand { sample, chunk, positive, negative } } else { Fit::AsItIs })
    }
}

/// Reads a chunk sample by sample.
pub struct Reader<'a, C: Codec> {
    bits: BitReader<'a>,
    total: u16,
    number: u16,
    flags: u8,
    layout: Layout,
    pub t_ms: i64,
    t_delta: i64,
    codec: C,
    st: StDecoder,
}

impl<'a, C: Codec> Reader<'a, C> {
    pub fn new(bytes: &'a [u8], with_st: bool) -> Result<Self, ChunkError> {
        let &[a, b, c, ref rest @ ..] = bytes else { return Err(ChunkError::Truncated) };
        let count = u16::from_be_bytes([a, b]);
        let (total, flags, st) = if with_st { (count & ST_COUNT_MASK, a, StDecoder::new(c)) } else { (count, c, StDecoder::default()) };
        let layout = Layout::default();
        Ok(Reader { bits: BitReader::new(rest), total, number: 0, flags, layout, t_ms: 0, t_delta: 0, codec: C::default(), st })
    }

    /// Goes to the next sample; false when there is none.
    pub fn advance(&mut self) -> Result<bool, ChunkError> {
        if self.number == self.total {
            return Ok(false);
        }
        self.number += 1;
        let prev_t_ms = self.t_ms;
        if self.number == 1 {
            self.layout = Layout::read(&mut self.bits)?;
            self.t_ms = self.bits.varbit();
            let (positive, negative) = (layout::count_buckets(&self.layout.positive), layout::count_buckets(&self.layout.negative));
            self.codec.read_first(&mut self.bits, positive, negative);
        } else {
            self.t_delta = self.t_delta.wrapping_add(self.bits.varbit());
            self.t_ms = self.t_ms.wrapping_add(self.t_delta);
            self.codec.read_next(&mut self.bits)?;
        }
        if self.st.any() {
            self.st.decode(&mut self.bits, self.number, self.t_ms, prev_t_ms)?;
        }
        self.bits.check()?;
        Ok(true)
    }

    /// The sample's start timestamp, 0 when unknown.
    pub fn st_ms(&self) -> i64 {
        self.st.st_ms()
    }

    /// What the chunk's header says about a counter reset before it.
    pub fn flags(&self) -> u8 {
        self.flags & FLAGS_MASK
    }

    pub fn hist(&self) -> C::Hist {
        let sum = self.codec.last_sum();
        if is_stale_nan(sum) {
            return C::only_sum(sum);
        }
        self.codec.hist(&self.layout, layout::reset_hint(self.flags, self.number))
    }

    pub fn float_hist(&self) -> FloatHistogram {
        let sum = self.codec.last_sum();
        if is_stale_nan(sum) {
            return FloatHistogram { sum, ..FloatHistogram::default() };
        }
        let mut h = self.codec.float_hist(&self.layout, layout::reset_hint(self.flags, self.number));
        if h.schema > MAX_EXPONENTIAL_SCHEMA {
            // Only a newer writer makes these; queries know nothing above the highest usable schema.
            let by = (h.schema - MAX_EXPONENTIAL_SCHEMA) as u32;
            (h.positive_spans, h.positive_buckets) = layout::reduce_resolution(&h.positive_spans, &h.positive_buckets, by);
            (h.negative_spans, h.negative_buckets) = layout::reduce_resolution(&h.negative_spans, &h.negative_buckets, by);
            h.schema = MAX_EXPONENTIAL_SCHEMA;
        }
        h
    }
}

/// Appends the samples with `start_ms <= t <= end_ms` to `out`.
pub fn decode(bytes: &[u8], with_st: bool, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    decode_as::<IntCodec>(bytes, with_st, start_ms, end_ms, out)
}

pub(super) fn decode_as<C: Codec>(bytes: &[u8], with_st: bool, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    let mut r = Reader::<C>::new(bytes, with_st)?;
    let any_st = r.st.any();
    if any_st {
        out.hist_st_ms.resize(out.hist_t_ms.len(), 0);
    }
    while r.advance()? {
        if r.t_ms > end_ms {
            break;
        }
        if r.t_ms >= start_ms {
            out.hist_t_ms.push(r.t_ms);
            out.hist.push(Arc::new(r.float_hist()));
            if any_st {
                out.hist_st_ms.push(r.st_ms());
            }
        }
    }
    pad_st(&mut out.hist_st_ms, out.hist_t_ms.len());
    Ok(())
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
