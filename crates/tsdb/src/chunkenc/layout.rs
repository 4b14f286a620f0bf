//! What histogram chunks have in common: the header, the layout of buckets that the first sample dictates, and start timestamps.
//!
//! ```text
//! | samples u16 | flags u8 | zero threshold | schema | positive spans | negative spans | [custom bounds] | samples ...
//! with start timestamps (encodings 5 and 6): | flags 2 bits, samples 14 bits | st u8 | ...
//! ```

use super::ChunkError;
use super::bits::{BitReader, BitWriter};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};

pub const HEADER_LEN: usize = 3;
pub const FLAGS_AT: usize = 2;
/// In encodings 5 and 6 the two flag bits stand above the sample count.
pub const ST_COUNT_MASK: u16 = 0x3fff;

/// What is known about a counter reset between the chunk before and this one: the two high bits of the flags.
pub const RESET_UNKNOWN: u8 = 0;
pub const NO_RESET: u8 = 0b0100_0000;
pub const RESET: u8 = 0b1000_0000;
pub const GAUGE: u8 = 0b1100_0000;
pub const FLAGS_MASK: u8 = 0b1100_0000;

/// Schemas that may be read; those above the highest usable one are reduced to it.
const MIN_SCHEMA: i32 = -9;
const MAX_SCHEMA: i32 = 52;

/// Which buckets each sample of a chunk has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub schema: i32,
    pub zero_threshold: f64,
    pub positive: Vec<Span>,
    pub negative: Vec<Span>,
    pub custom_values: Vec<f64>,
}

impl Layout {
    pub fn write(&self, w: &mut BitWriter<'_>) {
        write_zero_threshold(w, self.zero_threshold);
        w.put_varbit(i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            w.put_varbit_u(spans.len() as u64);
            for s in spans {
                w.put_varbit_u(u64::from(s.length));
                w.put_varbit(i64::from(s.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            w.put_varbit_u(self.custom_values.len() as u64);
            for v in &self.custom_values {
                write_bound(w, *v);
            }
        }
    }

    pub fn read(r: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        let zero_threshold = read_zero_threshold(r);
        let schema = r.varbit();
        r.check()?;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|s| *s == CUSTOM_BUCKETS_SCHEMA || (MIN_SCHEMA..=MAX_SCHEMA).contains(s))
            .ok_or(ChunkError::Invalid("unknown histogram schema"))?;
        let positive = read_spans(r)?;
        let negative = read_spans(r)?;
        let mut custom_values = Vec::new();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            let n = counted(r)?;
            custom_values.reserve_exact(n);
            for _ in 0..n {
                custom_values.push(read_bound(r));
            }
        }
        r.check()?;
        let buckets: u64 = positive.iter().chain(&negative).map(|s| u64::from(s.length)).sum();
        if buckets > r.bits_left() as u64 {
            return Err(ChunkError::Invalid("more buckets than bits"));
        }
        Ok(Layout { schema, zero_threshold, positive, negative, custom_values })
    }
}

/// A number of things that take at least a bit each.
fn counted(r: &mut BitReader<'_>) -> Result<usize, ChunkError> {
    let n = r.varbit_u();
    r.check()?;
    if n > r.bits_left() as u64 { Err(ChunkError::Invalid("more elements than bits")) } else { Ok(n as usize) }
}

fn read_spans(r: &mut BitReader<'_>) -> Result<Vec<Span>, ChunkError> {
    let n = counted(r)?;
    let mut spans = Vec::with_capacity(n);
    for _ in 0..n {
        let length = u32::try_from(r.varbit_u()).map_err(|_| ChunkError::Invalid("span is too long"))?;
        let offset = i32::try_from(r.varbit()).map_err(|_| ChunkError::Invalid("span offset is too large"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

/// Zero, or a power of two from 2^-243 to 2^10, takes one byte; anything else nine.
fn write_zero_threshold(w: &mut BitWriter<'_>, v: f64) {
    let bits = v.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    if v == 0.0 {
        w.put(0, 8);
    } else if bits & ((1 << 52) - 1) == 0 && v > 0.0 && (-242..=11).contains(&exponent) {
        w.put((exponent + 243) as u64, 8);
    } else {
        w.put(255, 8);
        w.put(bits, 64);
    }
}

fn read_zero_threshold(r: &mut BitReader<'_>) -> f64 {
    match r.read(8) {
        0 => 0.0,
        255 => f64::from_bits(r.read(64)),
        b => f64::from_bits((b + 1022 - 243) << 52),
    }
}

/// Thousandths up to 33554.430 take up to four bytes, anything else a bit and eight bytes.
fn write_bound(w: &mut BitWriter<'_>, v: f64) {
    let thousandths = v * 1000.0;
    let rounded = thousandths.round();
    if (0.0..=33_554_430.0).contains(&thousandths) && rounded / 1000.0 == v {
        w.put_varbit_u(rounded as u64 + 1);
    } else {
        w.put(0, 1);
        w.put(v.to_bits(), 64);
    }
}

fn read_bound(r: &mut BitReader<'_>) -> f64 {
    match r.varbit_u() {
        0 => f64::from_bits(r.read(64)),
        n => (n - 1) as f64 / 1000.0,
    }
}

/// How many buckets the spans have.
pub fn count_buckets(spans: &[Span]) -> usize {
    spans.iter().map(|s| s.length as usize).sum()
}

/// Bucket indexes in rising order.
pub fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> + '_ {
    let mut next = 0i64;
    spans.iter().flat_map(move |s| {
        let from = next + i64::from(s.offset);
        next = from + i64::from(s.length);
        from..next
    })
}

/// The spans of buckets given in rising order.
#[derive(Default)]
struct SpanBuilder {
    spans: Vec<Span>,
    next: i64,
}

impl SpanBuilder {
    fn push(&mut self, index: i64) {
        match self.spans.last_mut() {
            Some(s) if index == self.next => s.length += 1,
            _ => self.spans.push(Span { offset: (index - self.next) as i32, length: 1 }),
        }
        self.next = index + 1;
    }
}

/// How two layouts of buckets differ.
#[derive(Debug, Default, PartialEq)]
pub struct SpanDiff {
    /// `b` has buckets that `a` lacks.
    pub new_in_b: bool,
    /// `a` has buckets that `b` lacks.
    pub missing_in_b: bool,
    /// The buckets of both.
    pub merged: Vec<Span>,
}

pub fn diff_spans(a: &[Span], b: &[Span]) -> SpanDiff {
    let (mut ai, mut bi) = (indexes(a).peekable(), indexes(b).peekable());
    let mut diff = SpanDiff::default();
    let mut merged = SpanBuilder::default();
    loop {
        let index = match (ai.peek(), bi.peek()) {
            (None, None) => break,
            (Some(x), Some(y)) => *x.min(y),
            (Some(x), None) | (None, Some(x)) => *x,
        };
        let in_a = ai.next_if_eq(&index).is_some();
        let in_b = bi.next_if_eq(&index).is_some();
        diff.new_in_b |= !in_a;
        diff.missing_in_b |= !in_b;
        merged.push(index);
    }
    diff.merged = merged.spans;
    diff
}

/// Has any bucket of `a` gone down or away in `b`? Counts are absolute.
pub fn buckets_were_reset<N: PartialOrd + Copy + Default>(a: &[Span], a_counts: &[N], b: &[Span], b_counts: &[N]) -> bool {
    let mut bi = indexes(b).zip(b_counts).peekable();
    for (index, count) in indexes(a).zip(a_counts) {
        while bi.next_if(|(i, _)| *i < index).is_some() {}
        match bi.next_if(|(i, _)| *i == index) {
            Some((_, now)) if *count > *now => return true,
            Some(_) => {}
            None if *count != N::default() => return true,
            None => {}
        }
    }
    false
}

/// Absolute counts in another layout that has all buckets of the old one; new buckets are zero.
pub fn relayout<N: Copy + Default>(from: &[Span], counts: &[N], to: &[Span]) -> Vec<N> {
    let mut old = indexes(from).zip(counts).peekable();
    indexes(to).map(|i| old.next_if(|(at, _)| *at == i).map_or_else(N::default, |(_, c)| *c)).collect()
}

/// Absolute counts at a resolution that is `by` halvings lower.
pub fn reduce_resolution<N: Copy + Default + std::ops::AddAssign>(spans: &[Span], counts: &[N], by: u32) -> (Vec<Span>, Vec<N>) {
    let mut builder = SpanBuilder::default();
    let mut out: Vec<N> = Vec::new();
    let mut last = None;
    for (index, count) in indexes(spans).zip(counts) {
        let target = ((index - 1) >> by) + 1;
        if last != Some(target) {
            builder.push(target);
            out.push(N::default());
            last = Some(target);
        }
        if let Some(sum) = out.last_mut() {
            *sum += *count;
        }
    }
    (builder.spans, out)
}

/// The hint of the `number`th sample (from 1) of a chunk. Of a first sample nothing is told: the chunk before may be gone.
pub fn reset_hint(flags: u8, number: u16) -> ResetHint {
    match flags & FLAGS_MASK {
        GAUGE => ResetHint::Gauge,
        _ if number > 1 => ResetHint::NotReset,
        _ => ResetHint::Unknown,
    }
}

const MAX_FIRST_CHANGE: u16 = 0x7f;
const FIRST_KNOWN: u8 = 0x80;

/// Writes the start timestamps that follow each sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct StEncoder {
    st_ms: i64,
    diff: i64,
    /// As in the chunk's header.
    byte: u8,
}

impl StEncoder {
    /// To be called after a sample was written, as its `number`th from 1; returns the header byte.
    pub fn encode(&mut self, w: &mut BitWriter<'_>, number: u16, t_ms: i64, prev_t_ms: i64, st_ms: i64) -> u8 {
        let index = number - 1;
        if index == 0 {
            if st_ms != 0 {
                w.put_varint(t_ms.wrapping_sub(st_ms));
                self.byte = FIRST_KNOWN;
            }
        } else {
            let diff = prev_t_ms.wrapping_sub(st_ms);
            if self.byte & 0x7f != 0 {
                w.put_varbit(diff.wrapping_sub(self.diff));
                self.diff = diff;
            } else if st_ms != self.st_ms || index == MAX_FIRST_CHANGE {
                self.byte |= index as u8;
                w.put_varbit(diff);
                self.diff = diff;
            }
        }
        self.st_ms = st_ms;
        self.byte
    }
}

/// Reads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct StDecoder {
    st_ms: i64,
    diff: i64,
    byte: u8,
}

impl StDecoder {
    pub fn new(byte: u8) -> Self {
        StDecoder { st_ms: 0, diff: 0, byte }
    }

    /// Does the chunk have start timestamps at all?
    #[inline]
    pub fn any(&self) -> bool {
        self.byte != 0
    }

    #[inline]
    pub fn st_ms(&self) -> i64 {
        self.st_ms
    }

    pub fn to_encoder(self) -> StEncoder {
        StEncoder { st_ms: self.st_ms, diff: self.diff, byte: self.byte }
    }

    #[inline]
    pub fn decode(&mut self, r: &mut BitReader<'_>, number: u16, t_ms: i64, prev_t_ms: i64) -> Result<(), ChunkError> {
        let index = number - 1;
        let first_change = u16::from(self.byte & 0x7f);
        if index == 0 {
            if self.byte & FIRST_KNOWN != 0 {
                self.diff = r.varint()?;
                self.st_ms = t_ms.wrapping_sub(self.diff);
            }
        } else if first_change != 0 && index >= first_change {
            let d = r.varbit();
            self.diff = if index == first_change { d } else { self.diff.wrapping_add(d) };
            self.st_ms = prev_t_ms.wrapping_sub(self.diff);
        }
        Ok(())
    }
}
