//! An open histogram chunk of either kind: when it can take a sample, when it must be written again with more buckets, and when a new one begins.
//! What differs between whole and float counts is behind [`Codec`].

use super::bits::BitWriter;
use super::histogram::{Codec, Shape};
use super::layout::{self, FLAGS_AT, FLAGS_MASK, GAUGE, HEADER_LEN, Layout, NO_RESET, RESET, RESET_UNKNOWN};
use super::reader::Reader;
use super::{ChunkError, MAX_SAMPLES};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};
use model::sample::is_stale_nan;
use std::borrow::Cow;

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
