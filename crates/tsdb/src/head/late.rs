//! Samples of one series that came behind its newest one: a chunk that grows, a short sorted run for what does not fit behind it, and packed
//! chunks of those before.
//!
//! Late samples mostly come in order among themselves (a leaf's backlog), so most go straight into the growing chunk and cost what any sample
//! costs. Chunks may overlap; readers merge.

use super::value::Value;
use crate::chunkenc::float_histogram::FloatHistogramAppender;
use crate::chunkenc::histogram::{Appended, HistogramAppender};
use crate::chunkenc::xor::XorAppender;
use crate::chunkenc::{self, ChunkEncoding};
use crate::tombstones::{Interval, Intervals};
use std::sync::Arc;
use storage::{EncodedChunk, SeriesData};

/// Samples in a chunk.
const PER_CHUNK: u16 = 120;
/// Samples gathered in the run before they are packed.
const RUN: usize = 32;

#[derive(Default)]
pub struct Late {
    /// Floats in rising order of time.
    open: XorAppender,
    open_ms: i64,
    /// Rising times.
    run: Vec<(i64, Value)>,
    chunks: Vec<EncodedChunk>,
    /// Some came before an older one.
    mixed: bool,
}

/// What became of a late sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    New,
    /// The same sample is there already.
    Repeat,
    /// Another value is there already; it stays.
    Conflict,
}

impl Late {
    /// Puts a sample in its place, unless one with its time is here.
    pub fn insert(&mut self, t_ms: i64, value: Value) -> Inserted {
        match self.find(t_ms, &value) {
            Some(true) => return Inserted::Repeat,
            Some(false) => return Inserted::Conflict,
            None => {}
        }
        if let Value::Float(v) = value
            && (self.open.is_empty() || t_ms > self.open.last_t_ms())
        {
            if self.open.len() >= PER_CHUNK {
                self.cut();
            }
            if self.open.is_empty() {
                self.open_ms = t_ms;
            }
            self.open.append(t_ms, v);
            return Inserted::New;
        }
        self.mixed = true;
        if self.run.len() >= RUN {
            pack(&self.run, &mut self.chunks);
            self.run.clear();
        }
        if self.run.len() == self.run.capacity() {
            self.run.reserve_exact(if self.run.is_empty() { 4 } else { self.run.len().min(RUN - self.run.len()).max(1) });
        }
        let at = self.run.partition_point(|(t, _)| *t < t_ms);
        self.run.insert(at, (t_ms, value));
        Inserted::New
    }

    fn cut(&mut self) {
        self.chunks.extend(self.open_chunk());
        self.open.take();
    }

    /// The growing chunk as it is now.
    fn open_chunk(&self) -> Option<EncodedChunk> {
        let bytes = self.open.bytes();
        let chunk = || EncodedChunk { mint_ms: self.open_ms, maxt_ms: self.open.last_t_ms(), encoding: ChunkEncoding::Xor, bytes: Arc::from(bytes) };
        (!bytes.is_empty()).then(chunk)
    }

    /// Takes everything out when it is floats that came in rising order. None, and nothing changed, when it is not.
    pub fn take_rising(&mut self) -> Option<Vec<(i64, f64)>> {
        let rising = !self.mixed
            && self.chunks.iter().all(|c| c.encoding == ChunkEncoding::Xor)
            && self.chunks.windows(2).all(|w| w[0].maxt_ms < w[1].mint_ms)
            && (self.open.is_empty() || self.chunks.last().is_none_or(|c| c.maxt_ms < self.open_ms));
        if !rising {
            return None;
        }
        self.cut();
        let mut data = SeriesData::default();
        for c in std::mem::take(&mut self.chunks) {
            chunkenc::decode(c.encoding, &c.bytes, i64::MIN, i64::MAX, &mut data).expect("was encoded here");
        }
        Some(data.t_ms.into_iter().zip(data.v).collect())
    }

    /// Is this sample here? None when nothing is at its time.
    pub fn find(&self, t_ms: i64, value: &Value) -> Option<bool> {
        if let Ok(i) = self.run.binary_search_by_key(&t_ms, |(t, _)| *t) {
            let mut stored = SeriesData::default();
            self.run[i].1.push_to(t_ms, &mut stored);
            return value.same_as_stored(t_ms, &stored);
        }
        let open = !self.open.is_empty() && self.open_ms <= t_ms && t_ms <= self.open.last_t_ms();
        let chunks = self.chunks.iter().filter(|c| c.mint_ms <= t_ms && t_ms <= c.maxt_ms).map(|c| (c.encoding, &*c.bytes));
        open.then(|| (ChunkEncoding::Xor, self.open.bytes())).into_iter().chain(chunks).find_map(|(encoding, bytes)| {
            let mut stored = SeriesData::default();
            chunkenc::decode(encoding, bytes, t_ms, t_ms, &mut stored).ok()?;
            value.same_as_stored(t_ms, &stored)
        })
    }

    /// Times of the oldest and newest sample.
    pub fn range_ms(&self) -> Option<(i64, i64)> {
        let run = self.run.first().zip(self.run.last()).map(|(a, b)| (a.0, b.0));
        let open = (!self.open.is_empty()).then(|| (self.open_ms, self.open.last_t_ms()));
        let all = self.chunks.iter().map(|c| (c.mint_ms, c.maxt_ms)).chain(run).chain(open);
        all.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
    }

    pub fn view(&self, start_ms: i64, end_ms: i64, view: &mut LateView) {
        let touches = |c: &EncodedChunk| c.mint_ms <= end_ms && c.maxt_ms >= start_ms;
        view.chunks.extend(self.chunks.iter().filter(|c| touches(c)).cloned());
        view.chunks.extend(self.open_chunk().filter(touches));
        view.run.extend(self.run.iter().filter(|(t, _)| (start_ms..=end_ms).contains(t)).cloned());
    }

    /// Packs what is open and gives a copy of everything.
    pub fn packed(&mut self) -> Vec<EncodedChunk> {
        pack(&std::mem::take(&mut self.run), &mut self.chunks);
        self.cut();
        self.chunks.clone()
    }

    /// Forgets chunks that [`Late::packed`] gave; what came since stays. Returns how many samples that were.
    pub fn forget(&mut self, chunks: &[EncodedChunk]) -> u64 {
        let before = self.len();
        self.chunks.retain(|c| !chunks.iter().any(|gone| Arc::ptr_eq(&gone.bytes, &c.bytes)));
        (before - self.len()) as u64
    }

    pub fn len(&self) -> usize {
        let packed = |c: &EncodedChunk| chunkenc::num_samples(c.encoding, &c.bytes).map_or(0, usize::from);
        self.run.len() + usize::from(self.open.len()) + self.chunks.iter().map(packed).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.chunks.is_empty() && self.open.is_empty()
    }

    pub fn chunk_count(&self) -> usize {
        self.chunks.len() + usize::from(!self.run.is_empty()) + usize::from(!self.open.is_empty())
    }
}

/// Copies of late samples that a reader holds.
#[derive(Default)]
pub struct LateView {
    run: Vec<(i64, Value)>,
    chunks: Vec<EncodedChunk>,
}

impl LateView {
    pub fn clear(&mut self) {
        self.run.clear();
        self.chunks.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.chunks.is_empty()
    }

    /// Adds a column for each chunk and one for the run, without the samples at some times.
    pub fn read(&self, start_ms: i64, end_ms: i64, hidden_ms: &[i64], columns: &mut Vec<SeriesData>) -> Result<(), String> {
        let from = columns.len();
        for c in &self.chunks {
            let mut d = SeriesData::default();
            chunkenc::decode(c.encoding, &c.bytes, start_ms, end_ms, &mut d).map_err(|e| e.to_string())?;
            columns.push(d);
        }
        let mut d = SeriesData::default();
        self.run.iter().filter(|(t, _)| (start_ms..=end_ms).contains(t)).for_each(|(t, v)| v.push_to(*t, &mut d));
        columns.push(d);
        if !hidden_ms.is_empty() {
            let hidden = hidden_ms.iter().fold(Intervals::default(), |mut all, t| {
                all.add(Interval { mint_ms: *t, maxt_ms: *t });
                all
            });
            columns[from..].iter_mut().for_each(|d| hidden.apply(d, 0, 0));
        }
        Ok(())
    }

    /// The samples as chunks, for those who pass chunks on.
    pub fn chunks(&self, out: &mut Vec<EncodedChunk>) {
        out.extend(self.chunks.iter().cloned());
        pack(&self.run, out);
    }
}

/// Packs samples in rising order of time into chunks, a new one wherever the kind changes.
pub fn pack(run: &[(i64, Value)], out: &mut Vec<EncodedChunk>) {
    let mut rest = run;
    while let Some((_, first)) = rest.first() {
        let kind = std::mem::discriminant(first);
        let n = rest.iter().position(|(_, v)| std::mem::discriminant(v) != kind).unwrap_or(rest.len()).min(usize::from(PER_CHUNK) * 2);
        pack_one_kind(&rest[..n], out);
        rest = &rest[n..];
    }
}

fn pack_one_kind(run: &[(i64, Value)], out: &mut Vec<EncodedChunk>) {
    let mut floats = XorAppender::new();
    let mut ints = HistogramAppender::new();
    let mut float_histograms = FloatHistogramAppender::new();
    let mut begun = run[0].0;
    let mut before = begun;
    let mut encoding = ChunkEncoding::Xor;
    let mut finish = |mint_ms: i64, maxt_ms: i64, encoding, bytes: Vec<u8>| {
        if !bytes.is_empty() {
            out.push(EncodedChunk { mint_ms, maxt_ms, encoding, bytes: Arc::from(bytes) });
        }
    };
    for (t, v) in run {
        let appended = match v {
            Value::Float(v) => {
                floats.append(*t, *v);
                Appended::InPlace
            }
            Value::Int(h) => {
                encoding = ChunkEncoding::Histogram;
                ints.append(*t, h)
            }
            Value::FloatHistogram(h) => {
                encoding = ChunkEncoding::FloatHistogram;
                float_histograms.append(*t, h)
            }
        };
        if let Appended::Cut(bytes) = appended {
            finish(begun, before, encoding, bytes);
            begun = *t;
        }
        before = *t;
    }
    for bytes in [floats.take(), ints.take(), float_histograms.take()] {
        finish(begun, before, encoding, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn keeps_the_first_sample_of_each_time(samples in proptest::collection::vec((0i64..600, 0i32..4), 0..1200), start in 0i64..600, len in 0i64..300) {
            let (mut late, mut want) = (Late::default(), BTreeMap::new());
            for (t, v) in samples {
                let expect = match want.get(&t) {
                    None => Inserted::New,
                    Some(w) if *w == v => Inserted::Repeat,
                    Some(_) => Inserted::Conflict,
                };
                want.entry(t).or_insert(v);
                prop_assert_eq!(late.insert(t, Value::Float(f64::from(v))), expect);
            }
            prop_assert_eq!(late.len(), want.len());
            prop_assert_eq!(late.range_ms(), want.first_key_value().map(|(a, _)| (*a, *want.last_key_value().expect("one").0)));
            let mut view = LateView::default();
            late.view(start, start + len, &mut view);
            let mut columns = Vec::new();
            view.read(start, start + len, &[], &mut columns).expect("read");
            let mut out = SeriesData::default();
            storage::merge::merge_data(&columns, &mut out);
            let got: Vec<(i64, f64)> = out.t_ms.into_iter().zip(out.v).collect();
            prop_assert_eq!(got, want.range(start..=start + len).map(|(t, v)| (*t, f64::from(*v))).collect::<Vec<_>>());
        }
    }
}
