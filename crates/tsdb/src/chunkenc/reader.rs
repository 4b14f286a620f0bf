//! Reads histogram chunks of either kind, with or without start timestamps.

use super::bits::BitReader;
use super::histogram::Codec;
use super::layout::{self, FLAGS_MASK, Layout, ST_COUNT_MASK, StDecoder};
use super::{ChunkError, pad_st};
use model::FloatHistogram;
use model::histogram::MAX_EXPONENTIAL_SCHEMA;
use model::sample::is_stale_nan;
use std::sync::Arc;
use storage::SeriesData;

/// Reads a chunk sample by sample.
pub struct Reader<'a, C: Codec> {
    pub(super) bits: BitReader<'a>,
    pub(super) total: u16,
    number: u16,
    flags: u8,
    pub(super) layout: Layout,
    /// Time of the sample at hand.
    pub t_ms: i64,
    pub(super) t_delta: i64,
    pub(super) codec: C,
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
