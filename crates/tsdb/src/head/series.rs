//! One series of the head: an open chunk that grows, places of its full chunks, and what few series have (late samples).
//!
//! It knows neither its labels nor locks: [`super::index`] has the labels, the head a lock around each series. A million of these are held, so
//! a field has to earn its place.

use super::chunks_head::{At, HeadChunks};
use super::isolation::Hidden;
use super::late::Late;
use super::value::{Kind, Value};
use crate::chunkenc::float_histogram::FloatHistogramAppender;
use crate::chunkenc::histogram::{Appended, HistogramAppender};
use crate::chunkenc::xor::XorAppender;
use crate::chunkenc::xor2::Xor2Appender;
use crate::chunkenc::{self, ChunkEncoding, MAX_XOR_CHUNK_BYTES, MIN_HISTOGRAM_SAMPLES, TARGET_HISTOGRAM_CHUNK_BYTES};
use parking_lot::Mutex;
use std::sync::Arc;
use storage::{EncodedChunk, SeriesData};

/// Prometheus' aim for samples in a float chunk.
pub const SAMPLES_PER_CHUNK: u16 = 120;
/// A sample takes at most so many bytes.
const MAX_SAMPLE_BYTES: usize = 19;

/// What appending needs from the head.
#[derive(Clone, Copy)]
pub struct ChunkContext<'a> {
    pub full: &'a HeadChunks,
    /// Length of a block of the head; no chunk crosses its borders.
    pub range_ms: i64,
    /// New float chunks are XOR2.
    pub xor2: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct FullChunk {
    pub at: At,
    pub maxt_ms: i64,
}

#[derive(Default)]
pub enum Open {
    #[default]
    None,
    Float(XorAppender),
    Float2(Box<Xor2Appender>),
    Int(Box<HistogramAppender>),
    FloatHistogram(Box<FloatHistogramAppender>),
}

impl Open {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Open::None => &[],
            Open::Float(a) => a.bytes(),
            Open::Float2(a) => a.bytes(),
            Open::Int(a) => a.bytes(),
            Open::FloatHistogram(a) => a.bytes(),
        }
    }

    pub fn encoding(&self) -> ChunkEncoding {
        match self {
            Open::None | Open::Float(_) => ChunkEncoding::Xor,
            Open::Float2(_) => ChunkEncoding::Xor2,
            Open::Int(_) => ChunkEncoding::Histogram,
            Open::FloatHistogram(_) => ChunkEncoding::FloatHistogram,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    fn capacity(&self) -> usize {
        match self {
            Open::None => 0,
            Open::Float(a) => a.capacity(),
            Open::Float2(a) => a.capacity() + size_of::<Xor2Appender>(),
            Open::Int(a) => a.capacity() + size_of::<HistogramAppender>(),
            Open::FloatHistogram(a) => a.capacity() + size_of::<FloatHistogramAppender>(),
        }
    }
}

/// In this order so that, behind the byte of its lock, all that is looked at when a sample is checked lies in one line of the processor's cache.
#[repr(C)]
pub struct Series {
    /// Its reference; 0 when the slot is free.
    pub id: u64,
    /// Time of the newest sample that came in order; `i64::MIN` before the first.
    pub newest_ms: i64,
    /// Time of the first sample in the open chunk.
    open_ms: i64,
    full: FullChunks,
    pub late: Option<Box<Late>>,
    /// The open chunk ends so many milliseconds after its start, at most.
    next_after_ms: u32,
    /// Low bits of the epoch that noted how far it went ([`super::isolation`]).
    pub touched: u32,
    /// Batches that hold samples of this series.
    pub pins: u32,
    pub kind: Kind,
    /// Its labels are in the log.
    pub logged: bool,
    /// The newest sample is a staleness marker.
    pub stale: bool,
    /// A histogram chunk's end was already predicted.
    predicted: bool,
    open: Open,
}

/// A series as the head keeps it: two lines of the processor's cache.
#[derive(Default)]
#[repr(align(64))]
pub struct Place(pub Mutex<Series>);

const _: () = assert!(size_of::<Place>() == 128, "a million of these are held");

/// Full chunks in order of time. Behind a pointer, as most series of a large head have none most of the time.
#[derive(Default)]
struct FullChunks(Option<Box<FullList>>);

#[derive(Default)]
struct FullList(Vec<FullChunk>);

impl FullChunks {
    fn list(&self) -> &[FullChunk] {
        self.0.as_ref().map_or(&[], |l| l.0.as_slice())
    }

    fn push(&mut self, c: FullChunk) {
        let list = &mut self.0.get_or_insert_default().0;
        if list.len() == list.capacity() {
            list.reserve_exact(2);
        }
        list.push(c);
    }

    /// Takes the first `n` out.
    fn forget(&mut self, n: usize) {
        match &mut self.0 {
            Some(l) if n < l.0.len() => {
                l.0.drain(..n);
                l.0.shrink_to_fit();
            }
            _ => self.0 = None,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |l| size_of::<FullList>() + l.0.capacity() * size_of::<FullChunk>())
    }
}

impl Default for Series {
    fn default() -> Self {
        Series {
            id: 0,
            newest_ms: i64::MIN,
            open_ms: 0,
            full: FullChunks::default(),
            late: None,
            next_after_ms: 0,
            touched: 0,
            pins: 0,
            kind: Kind::None,
            logged: false,
            stale: false,
            predicted: false,
            open: Open::None,
        }
    }
}

/// First time of the next range after the one that `t_ms` is in.
pub fn range_end(t_ms: i64, range_ms: i64) -> i64 {
    (t_ms.div_euclid(range_ms) + 1).saturating_mul(range_ms)
}

impl Series {
    pub fn new(id: u64, logged: bool) -> Self {
        Series { id, logged, ..Series::default() }
    }

    /// The value of the newest in-order sample, while it is in the open chunk.
    pub fn last(&self) -> Option<Value> {
        match &self.open {
            Open::Float(a) if !a.is_empty() => Some(Value::Float(a.last_v())),
            Open::Float2(a) if !a.is_empty() => Some(Value::Float(a.last_v())),
            Open::Int(a) if !a.is_empty() => Some(Value::Int(a.last().into())),
            Open::FloatHistogram(a) if !a.is_empty() => Some(Value::FloatHistogram(a.last().into())),
            _ => None,
        }
    }

    /// Is the newest in-order sample this one? The caller has compared the times.
    pub fn last_is(&self, value: &Value) -> bool {
        match (&self.open, value) {
            (Open::Float(a), Value::Float(v)) => a.last_v().to_bits() == v.to_bits(),
            (Open::Float2(a), Value::Float(v)) => a.last_v().to_bits() == v.to_bits(),
            (Open::Int(a), Value::Int(h)) => super::value::same_histogram(&a.last().to_float(), &h.to_float()),
            (Open::FloatHistogram(a), Value::FloatHistogram(h)) => super::value::same_histogram(&a.last(), h),
            // A stale marker of a histogram series arrives as a float.
            (Open::Int(_) | Open::FloatHistogram(_), Value::Float(v)) => self.stale && model::sample::is_stale_nan(*v),
            _ => false,
        }
    }

    /// Appends a float sample that is newer than all in order. True when a chunk was begun.
    #[inline]
    pub fn append_float(&mut self, t_ms: i64, v: f64, ctx: ChunkContext<'_>) -> bool {
        let filled = match &self.open {
            Open::Float(a) if !a.is_empty() => Some((a.len(), a.bytes().len())),
            Open::Float2(a) if !a.is_empty() => Some((a.len(), a.bytes().len())),
            _ => None,
        };
        let begun = filled.is_none_or(|(n, len)| {
            if n == SAMPLES_PER_CHUNK / 4 {
                self.predict_end(4.0, ctx.range_ms);
            }
            self.is_due(t_ms) || n >= SAMPLES_PER_CHUNK * 2 || len > MAX_XOR_CHUNK_BYTES - MAX_SAMPLE_BYTES
        });
        if begun {
            self.cut(ctx.full);
            match (&self.open, ctx.xor2) {
                (Open::Float(_), false) | (Open::Float2(_), true) => {}
                (_, false) => self.open = Open::Float(XorAppender::new()),
                (_, true) => self.open = Open::Float2(Box::default()),
            }
            self.begin(t_ms, ctx.range_ms);
        }
        match &mut self.open {
            Open::Float2(a) => a.append(0, t_ms, v),
            Open::Float(a) => a.append(t_ms, v),
            _ => {}
        }
        self.newest_ms = t_ms;
        self.kind = Kind::Float;
        self.stale = model::sample::is_stale_nan(v);
        begun
    }

    /// Appends a histogram sample that is newer than all in order. True when a chunk was begun.
    pub fn append_histogram(&mut self, t_ms: i64, value: &Value, ctx: ChunkContext<'_>) -> bool {
        let (same, n, len) = match (&self.open, value) {
            (Open::Int(a), Value::Int(_)) if !a.is_empty() => (true, a.len(), a.bytes().len()),
            (Open::FloatHistogram(a), Value::FloatHistogram(_)) if !a.is_empty() => (true, a.len(), a.bytes().len()),
            _ => (false, 0, 0),
        };
        if same && !self.predicted && len >= TARGET_HISTOGRAM_CHUNK_BYTES / 4 {
            self.predict_end(TARGET_HISTOGRAM_CHUNK_BYTES as f64 / len as f64, ctx.range_ms);
            self.predicted = true;
        }
        let due = (self.is_due(t_ms) || len >= 2 * TARGET_HISTOGRAM_CHUNK_BYTES)
            && (n >= MIN_HISTOGRAM_SAMPLES || t_ms >= range_end(self.open_ms, ctx.range_ms));
        let mut begun = !same || due || n == chunkenc::MAX_SAMPLES / 4;
        if begun {
            self.cut(ctx.full);
            match (value, &self.open) {
                (Value::Int(_), Open::Int(_)) | (Value::FloatHistogram(_), Open::FloatHistogram(_)) => {}
                (Value::Int(_), _) => self.open = Open::Int(Box::new(HistogramAppender::new())),
                _ => self.open = Open::FloatHistogram(Box::new(FloatHistogramAppender::new())),
            }
            self.begin(t_ms, ctx.range_ms);
        }
        let appended = match (&mut self.open, value) {
            (Open::Int(a), Value::Int(h)) => a.append(t_ms, h),
            (Open::FloatHistogram(a), Value::FloatHistogram(h)) => a.append(t_ms, h),
            _ => return false,
        };
        if let Appended::Cut(bytes) = appended {
            self.keep_full(&bytes, self.open.encoding(), ctx.full);
            self.begin(t_ms, ctx.range_ms);
            begun = true;
        }
        self.newest_ms = t_ms;
        self.kind = if matches!(value, Value::Int(_)) { Kind::Int } else { Kind::FloatHistogram };
        self.stale = value.is_stale();
        begun
    }

    /// Appends a sample of any kind that is newer than all in order. True when a chunk was begun.
    pub fn append_in_order(&mut self, t_ms: i64, value: &Value, ctx: ChunkContext<'_>) -> bool {
        match value {
            Value::Float(v) => self.append_float(t_ms, *v, ctx),
            _ => self.append_histogram(t_ms, value, ctx),
        }
    }

    /// A staleness marker arrives as a float; behind histograms it becomes one, so that it does not cut their chunk.
    pub fn typed_stale_marker(&self, value: Value) -> Value {
        match (value, self.kind) {
            (Value::Float(v), Kind::Int) if model::sample::is_stale_nan(v) => {
                Value::Int(model::Histogram { sum: v, ..model::Histogram::default() }.into())
            }
            (Value::Float(v), Kind::FloatHistogram) if model::sample::is_stale_nan(v) => {
                Value::FloatHistogram(model::FloatHistogram { sum: v, ..model::FloatHistogram::default() }.into())
            }
            (value, _) => value,
        }
    }

    /// Is this sample in memory, in order or late? None when nothing is at its time, Some(false) when another value is.
    pub fn stored_is(&self, t_ms: i64, value: &Value, full: &HeadChunks) -> Option<bool> {
        if let Some(late) = &self.late
            && let Some(same) = late.find(t_ms, value)
        {
            return Some(same);
        }
        if t_ms > self.newest_ms {
            return None;
        }
        let mut stored = SeriesData::default();
        if !self.open.is_empty() && t_ms >= self.open_ms {
            chunkenc::decode(self.open.encoding(), self.open.bytes(), t_ms, t_ms, &mut stored).ok()?;
        } else {
            let list = self.full.list();
            let c = list.get(list.partition_point(|c| c.maxt_ms < t_ms))?;
            let chunk = full.read(c.at).ok()?;
            chunkenc::decode(chunk.encoding, chunk.bytes(), t_ms, t_ms, &mut stored).ok()?;
        }
        value.same_as_stored(t_ms, &stored)
    }

    fn is_due(&self, t_ms: i64) -> bool {
        t_ms.wrapping_sub(self.open_ms) as u64 >= u64::from(self.next_after_ms)
    }

    fn begin(&mut self, t_ms: i64, range_ms: i64) {
        self.open_ms = t_ms;
        self.next_after_ms = u32::try_from(range_end(t_ms, range_ms) - t_ms).unwrap_or(u32::MAX);
        self.predicted = false;
    }

    /// Sets the open chunk's end so that the chunks of this range become about equally long, when `1 / ratio` of it is filled now.
    fn predict_end(&mut self, ratio: f64, range_ms: i64) {
        let end = range_end(self.open_ms, range_ms).min(self.open_ms.saturating_add(i64::from(self.next_after_ms)));
        let chunks = ((end - self.open_ms) as f64 / ((self.newest_ms - self.open_ms + 1) as f64 * ratio)).floor();
        if chunks > 1.0 {
            self.next_after_ms = ((end - self.open_ms) as f64 / chunks) as u32;
        }
    }

    /// Moves the open chunk, if there is one, to the full ones.
    pub fn cut(&mut self, full: &HeadChunks) {
        let encoding = self.open.encoding();
        let bytes = match &mut self.open {
            Open::None => return,
            Open::Float(a) => a.take(),
            Open::Float2(a) => a.take(),
            Open::Int(a) => a.take(),
            Open::FloatHistogram(a) => a.take(),
        };
        self.keep_full(&bytes, encoding, full);
    }

    fn keep_full(&mut self, bytes: &[u8], encoding: ChunkEncoding, full: &HeadChunks) {
        if bytes.is_empty() {
            return;
        }
        let at = full.append(self.id, self.open_ms, self.newest_ms, encoding, bytes);
        self.push_full(FullChunk { at, maxt_ms: self.newest_ms });
    }

    /// Adds a chunk that is newer than all others. Used when the head is filled from the disk.
    pub fn push_full(&mut self, c: FullChunk) {
        self.full.push(c);
    }

    /// Says that the newest sample is in a full chunk of this encoding. Used when the head is filled from the disk.
    pub fn set_newest(&mut self, t_ms: i64, encoding: ChunkEncoding) {
        self.newest_ms = t_ms;
        self.kind = match encoding {
            ChunkEncoding::Xor | ChunkEncoding::Xor2 => Kind::Float,
            ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => Kind::Int,
            ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => Kind::FloatHistogram,
        };
    }

    /// Copies what is needed to read a range of the series without its lock.
    pub fn view(&self, start_ms: i64, end_ms: i64, view: &mut View) {
        view.clear();
        // A chunk reaches back at most to the end of the one before.
        let mut after = i64::MIN;
        for c in self.full.list() {
            if c.maxt_ms >= start_ms && after <= end_ms {
                view.full.push(*c);
            }
            after = c.maxt_ms;
        }
        if !self.open.is_empty() && self.newest_ms >= start_ms && self.open_ms <= end_ms {
            view.open.extend_from_slice(self.open.bytes());
            view.open_encoding = Some(self.open.encoding());
            view.open_ms = (self.open_ms, self.newest_ms);
        }
        if let Some(late) = &self.late {
            late.view(start_ms, end_ms, &mut view.late);
        }
    }

    /// Forgets in-order chunks that end before `mint_ms`. Returns how many.
    pub fn truncate(&mut self, mint_ms: i64) -> usize {
        let n = self.full.list().partition_point(|c| c.maxt_ms < mint_ms);
        if n > 0 {
            self.full.forget(n);
        }
        let mut gone = n;
        if !self.open.is_empty() && self.newest_ms < mint_ms {
            self.open = Open::None;
            gone += 1;
        }
        gone
    }

    pub fn is_empty(&self) -> bool {
        !self.has_in_order() && self.late.is_none()
    }

    /// Is nothing left of it, here or in what the log has from `mint_ms` on? If it left while its log went further, it would come back as a series
    /// that takes samples in order which replay then finds out of order.
    pub fn may_leave(&self, mint_ms: i64) -> bool {
        self.is_empty() && self.pins == 0 && self.newest_ms < mint_ms
    }

    /// May it hold samples of the range, both ends included?
    pub fn touches(&self, start_ms: i64, end_ms: i64) -> bool {
        let open = !self.open.is_empty() && self.open_ms <= end_ms && self.newest_ms >= start_ms;
        let late = self.late.as_ref().and_then(|l| l.range_ms()).is_some_and(|(a, b)| a <= end_ms && b >= start_ms);
        let mut after = i64::MIN;
        let full = self.full.list().iter().any(|c| {
            let hit = c.maxt_ms >= start_ms && after <= end_ms;
            after = c.maxt_ms;
            hit
        });
        open || late || full
    }

    /// Time of the oldest in-order sample.
    pub fn oldest_ms(&self, full: &HeadChunks) -> Option<i64> {
        match self.full.list().first() {
            Some(c) => full.read_with_start(c.at).map(|(start, _)| start).ok(),
            None => (!self.open.is_empty()).then_some(self.open_ms),
        }
    }

    pub fn has_in_order(&self) -> bool {
        !self.full.list().is_empty() || !self.open.is_empty()
    }

    pub fn chunk_count(&self) -> usize {
        self.full.list().len() + usize::from(!self.open.is_empty())
    }

    pub fn full(&self) -> &[FullChunk] {
        self.full.list()
    }

    pub fn heap_bytes(&self) -> usize {
        self.open.capacity() + self.full.heap_bytes()
    }
}

/// What [`Series::view`] copied. Kept by a reader and used again.
#[derive(Default)]
pub struct View {
    pub full: Vec<FullChunk>,
    pub open: Vec<u8>,
    pub open_encoding: Option<ChunkEncoding>,
    /// Times of the first and last sample of the open chunk.
    pub open_ms: (i64, i64),
    pub late: super::late::LateView,
    /// Left out when it is read.
    pub hidden: Hidden,
}

impl View {
    fn clear(&mut self) {
        self.full.clear();
        self.open.clear();
        self.open_encoding = None;
        self.late.clear();
        self.hidden.clear();
    }

    /// Decodes the samples of the range in rising order of time, appending them to `out`. A chunk that cannot be read is left out and told to `problem`.
    pub fn read(&self, full: &HeadChunks, start_ms: i64, end_ms: i64, out: &mut SeriesData, problem: &mut dyn FnMut(String)) {
        if self.late.is_empty() {
            return self.read_in_order(full, start_ms, end_ms, out, problem);
        }
        let mut columns = vec![SeriesData::default()];
        self.read_in_order(full, start_ms, end_ms, &mut columns[0], problem);
        if let Err(e) = self.late.read(start_ms, end_ms, &self.hidden.late_ms, &mut columns) {
            problem(e);
        }
        storage::merge::merge_data(&columns, out);
    }

    fn read_in_order(&self, full: &HeadChunks, start_ms: i64, end_ms: i64, out: &mut SeriesData, problem: &mut dyn FnMut(String)) {
        let end_ms = self.hidden.after_ms.map_or(end_ms, |after| after.min(end_ms));
        if start_ms > end_ms {
            return;
        }
        for c in &self.full {
            // Its checksum is checked: what can be read can be decoded.
            let decoded = full.with(c.at, |encoding, bytes| chunkenc::decode(encoding, bytes, start_ms, end_ms, out).map_err(|e| e.to_string()));
            decoded.and_then(|done| done).unwrap_or_else(&mut *problem);
        }
        if let Some(encoding) = self.open_encoding {
            chunkenc::decode(encoding, &self.open, start_ms, end_ms, out).unwrap_or_else(|e| problem(e.to_string()));
        }
    }
}

/// Decoded samples as chunks, floats and histograms apart, in order of their start.
pub fn encode(data: &SeriesData) -> Vec<EncodedChunk> {
    let mut samples: Vec<(i64, Value)> = data.t_ms.iter().zip(&data.v).map(|(t, v)| (*t, Value::Float(*v))).collect();
    samples.extend(data.hist_t_ms.iter().zip(&data.hist).map(|(t, h)| (*t, Value::FloatHistogram(Arc::clone(h)))));
    samples.sort_by_key(|(t, _)| *t);
    let mut out = Vec::new();
    samples.chunks(usize::from(SAMPLES_PER_CHUNK)).for_each(|run| super::late::pack(run, &mut out));
    out
}
