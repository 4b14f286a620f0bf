//! Samples of a series of any kind, one by one: for when chunks must be taken apart and encoded again (deletions, overlaps, cuts at a block's
//! edge). Histograms with whole counts stay so.

use crate::chunkenc::float_histogram::{FloatCodec, FloatHistogramAppender};
use crate::chunkenc::histogram::{Appended, HistogramAppender, IntCodec, Reader};
use crate::chunkenc::xor::XorAppender;
use crate::chunkenc::xor2::Xor2Appender;
use crate::chunkenc::{self, ChunkEncoding, ChunkError, MAX_XOR_CHUNK_BYTES};
use crate::tombstones::Interval;
use model::{FloatHistogram, Histogram};
use storage::SeriesData;

/// Chunks are cut at so many samples.
const SAMPLES_PER_CHUNK: u16 = 120;

#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub t_ms: i64,
    /// Start timestamp, 0 when unknown.
    pub st_ms: i64,
    pub value: Value,
}

#[derive(Clone, Debug, Default)]
pub struct Samples {
    samples: Vec<Sample>,
    /// Float chunks with start timestamps need XOR2.
    xor2: bool,
    scratch: SeriesData,
}

/// Receives a finished chunk: times of its first and last sample, encoding, bytes.
pub type Emit<'a> = &'a mut dyn FnMut(i64, i64, ChunkEncoding, &[u8]);

impl Samples {
    pub fn clear(&mut self) {
        self.samples.clear();
        self.xor2 = false;
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn push(&mut self, sample: Sample) {
        self.xor2 |= sample.st_ms != 0;
        self.samples.push(sample);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Adds the samples of a chunk with `start_ms <= t <= end_ms`.
    pub fn decode(&mut self, encoding: ChunkEncoding, bytes: &[u8], start_ms: i64, end_ms: i64) -> Result<(), ChunkError> {
        match encoding {
            ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
                let mut d = std::mem::take(&mut self.scratch);
                d.clear();
                let result = chunkenc::decode(encoding, bytes, start_ms, end_ms, &mut d);
                self.xor2 |= encoding == ChunkEncoding::Xor2;
                for (i, (t_ms, v)) in d.t_ms.iter().zip(&d.v).enumerate() {
                    let st_ms = d.st_ms.get(i).copied().unwrap_or(0);
                    self.samples.push(Sample { t_ms: *t_ms, st_ms, value: Value::Float(*v) });
                }
                self.scratch = d;
                result
            }
            ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
                let mut r = Reader::<IntCodec>::new(bytes, encoding == ChunkEncoding::HistogramSt)?;
                while r.advance()? {
                    if (start_ms..=end_ms).contains(&r.t_ms) {
                        self.samples.push(Sample { t_ms: r.t_ms, st_ms: r.st_ms(), value: Value::Int(r.hist()) });
                    }
                }
                Ok(())
            }
            ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
                let mut r = Reader::<FloatCodec>::new(bytes, encoding == ChunkEncoding::FloatHistogramSt)?;
                while r.advance()? {
                    if (start_ms..=end_ms).contains(&r.t_ms) {
                        self.samples.push(Sample { t_ms: r.t_ms, st_ms: r.st_ms(), value: Value::FloatHistogram(r.hist()) });
                    }
                }
                Ok(())
            }
        }
    }

    /// Takes out what lies in any of the ranges.
    pub fn remove(&mut self, deleted: &[Interval]) {
        self.samples.retain(|s| !deleted.iter().any(|i| i.contains(s.t_ms)));
    }

    /// Brings samples of several chunks into order; of equal times the first one added stays.
    pub fn sort(&mut self) {
        if !self.samples.is_sorted_by(|a, b| a.t_ms < b.t_ms) {
            self.samples.sort_by_key(|s| s.t_ms);
            self.samples.dedup_by_key(|s| s.t_ms);
            // Neighbours may now come from different chunks: what they said about each other no longer holds.
            for s in &mut self.samples {
                let hint = match &mut s.value {
                    Value::Float(_) => continue,
                    Value::Int(h) => &mut h.reset_hint,
                    Value::FloatHistogram(h) => &mut h.reset_hint,
                };
                if *hint != model::histogram::ResetHint::Gauge {
                    *hint = model::histogram::ResetHint::Unknown;
                }
            }
        }
    }

    /// Encodes the samples, which must be in order, as chunks.
    pub fn encode(&self, emit: Emit<'_>) {
        let mut rest = self.samples.as_slice();
        while let Some(first) = rest.first() {
            let kind = std::mem::discriminant(&first.value);
            let n = rest.iter().take_while(|s| std::mem::discriminant(&s.value) == kind).count();
            let (run, after) = rest.split_at(n);
            rest = after;
            match first.value {
                Value::Float(_) if self.xor2 => encode_xor2(run, emit),
                Value::Float(_) => encode_xor(run, emit),
                Value::Int(_) => encode_ints(run, emit),
                Value::FloatHistogram(_) => encode_float_histograms(run, emit),
            }
        }
    }
}

fn encode_xor(run: &[Sample], emit: Emit<'_>) {
    let mut a = XorAppender::new();
    let mut mint_ms = 0;
    for s in run {
        let Value::Float(v) = s.value else { continue };
        if a.len() >= SAMPLES_PER_CHUNK || a.bytes().len() > MAX_XOR_CHUNK_BYTES - 19 {
            let maxt_ms = a.last_t_ms();
            emit(mint_ms, maxt_ms, ChunkEncoding::Xor, &a.take());
        }
        if a.is_empty() {
            mint_ms = s.t_ms;
        }
        a.append(s.t_ms, v);
    }
    if !a.is_empty() {
        emit(mint_ms, a.last_t_ms(), ChunkEncoding::Xor, a.bytes());
    }
}

fn encode_xor2(run: &[Sample], emit: Emit<'_>) {
    let mut a = Xor2Appender::new();
    let mut mint_ms = 0;
    for s in run {
        let Value::Float(v) = s.value else { continue };
        if a.len() >= SAMPLES_PER_CHUNK || a.bytes().len() > MAX_XOR_CHUNK_BYTES - 30 {
            let maxt_ms = a.last_t_ms();
            emit(mint_ms, maxt_ms, ChunkEncoding::Xor2, &a.take());
        }
        if a.is_empty() {
            mint_ms = s.t_ms;
        }
        a.append(s.st_ms, s.t_ms, v);
    }
    if !a.is_empty() {
        emit(mint_ms, a.last_t_ms(), ChunkEncoding::Xor2, a.bytes());
    }
}

fn encode_ints(run: &[Sample], emit: Emit<'_>) {
    let mut a = HistogramAppender::new();
    let (mut mint_ms, mut last_ms) = (0, 0);
    for s in run {
        let Value::Int(h) = &s.value else { continue };
        if a.len() >= SAMPLES_PER_CHUNK {
            emit(mint_ms, last_ms, ChunkEncoding::Histogram, &a.take());
        }
        if a.is_empty() {
            mint_ms = s.t_ms;
        }
        if let Appended::Cut(done) = a.append(s.t_ms, h) {
            emit(mint_ms, last_ms, ChunkEncoding::Histogram, &done);
            mint_ms = s.t_ms;
        }
        last_ms = s.t_ms;
    }
    if !a.is_empty() {
        emit(mint_ms, last_ms, ChunkEncoding::Histogram, a.bytes());
    }
}

fn encode_float_histograms(run: &[Sample], emit: Emit<'_>) {
    let mut a = FloatHistogramAppender::new();
    let (mut mint_ms, mut last_ms) = (0, 0);
    for s in run {
        let Value::FloatHistogram(h) = &s.value else { continue };
        if a.len() >= SAMPLES_PER_CHUNK {
            emit(mint_ms, last_ms, ChunkEncoding::FloatHistogram, &a.take());
        }
        if a.is_empty() {
            mint_ms = s.t_ms;
        }
        if let Appended::Cut(done) = a.append(s.t_ms, h) {
            emit(mint_ms, last_ms, ChunkEncoding::FloatHistogram, &done);
            mint_ms = s.t_ms;
        }
        last_ms = s.t_ms;
    }
    if !a.is_empty() {
        emit(mint_ms, last_ms, ChunkEncoding::FloatHistogram, a.bytes());
    }
}
