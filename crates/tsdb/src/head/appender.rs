//! One batch for the head: finds series, checks each sample at once, gathers. What happens at the end is in [`super::commit`].

use super::Head;
use super::series::Series;
use super::value::{Kind, Value};
use crate::config::MAX_FUTURE_MS;
use model::{Exemplar, FloatHistogram, Histogram, LabelsRef, Metadata};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::{AppendError, AppendOptions, Appender, CommitError, CommitStats, Held, HeldValue, HistogramSample, SeriesRef, Source, Wait};
use wal::Records;

/// A gathered sample.
pub(super) struct Entry<V> {
    pub slot: u32,
    pub id: u64,
    pub t_ms: i64,
    pub v: V,
}

/// Samples of one kind that came one after the other.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub kind: Kind,
    pub end: usize,
}

/// The memory of a batch, used again by later ones.
#[derive(Default)]
pub struct Batch {
    pub(super) floats: Vec<Entry<f64>>,
    pub(super) ints: Vec<Entry<Arc<Histogram>>>,
    pub(super) float_histograms: Vec<Entry<Arc<FloatHistogram>>>,
    pub(super) parts: Vec<Part>,
    /// Series whose labels are not in the log yet.
    pub(super) unlogged: Vec<(u64, u32)>,
    pub(super) exemplars: Vec<(u64, Exemplar)>,
    pub(super) metadata: Vec<(u64, Arc<Metadata>)>,
    pub(super) held: Vec<Held>,
    pub(super) records: Records,
    pub(super) late_records: Records,
    pub(super) late_floats: Vec<wal::record::RefSample>,
    pub(super) late_ints: Vec<wal::record::RefHistogram<Arc<Histogram>>>,
    pub(super) late_float_histograms: Vec<wal::record::RefHistogram<Arc<FloatHistogram>>>,
    pub(super) scratch: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

/// A batch whose lists have grown beyond so many samples is not kept.
const KEPT_SAMPLES: usize = 1 << 18;
/// So many batches are kept.
const KEPT_BATCHES: usize = 64;

impl Batch {
    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
        self.float_histograms.clear();
        self.parts.clear();
        self.unlogged.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.held.clear();
        self.records.clear();
        self.late_records.clear();
        self.late_floats.clear();
        self.late_ints.clear();
        self.late_float_histograms.clear();
        self.scratch.clear();
        self.ends.clear();
    }
}

pub struct HeadAppender<'a> {
    pub(super) head: &'a Head,
    pub(super) batch: Batch,
    /// Samples before it are late.
    pub(super) min_valid_ms: i64,
    /// Late samples before it are refused; `MAX`: all are.
    late_from_ms: i64,
    until_ms: i64,
    refused: Option<Arc<String>>,
    /// The series that was asked for last.
    last: (u64, u32),
    /// Time of the newest sample in the batch, for exemplars without one.
    last_t_ms: Option<i64>,
    pub(super) stats: CommitStats,
    /// The batch was committed or rolled back.
    pub(super) done: bool,
}

/// Where a sample belongs.
enum Place {
    InOrder,
    Late,
    Repeat,
}

impl Head {
    pub fn appender(&self, options: AppendOptions) -> HeadAppender<'_> {
        let now = self.clock.now_ms();
        let retention = self.retention_ms.load(Ordering::Relaxed);
        let oldest = if retention > 0 { now.saturating_sub(retention) } else { i64::MIN };
        let window = self.late_window_ms.load(Ordering::Relaxed);
        let filling = self.is_filling();
        let late_from_ms = match (options.in_order_only && !filling, window) {
            (false, _) => oldest,
            (true, 0) => i64::MAX,
            (true, w) => self.max_ms().map_or(i64::MIN, |m| m.saturating_sub(w)).max(oldest),
        };
        self.metrics.head_active_appenders.add(1.0);
        HeadAppender {
            head: self,
            batch: self.pool.lock().pop().unwrap_or_default(),
            // What is newest is not known yet: everything is late.
            min_valid_ms: if filling { i64::MAX } else { self.min_valid_ms() },
            late_from_ms,
            until_ms: if options.source == Source::Import { i64::MAX } else { now.saturating_add(MAX_FUTURE_MS) },
            refused: self.refused(),
            last: (0, 0),
            last_t_ms: None,
            stats: CommitStats::default(),
            done: false,
        }
    }
}

impl HeadAppender<'_> {
    #[inline]
    fn slot_of(&self, series: SeriesRef) -> Result<u32, AppendError> {
        if self.last.0 == series.0 && series.0 != 0 {
            return Ok(self.last.1);
        }
        match self.head.index.read().slot_of(series.0) {
            Some(slot) => Ok(slot),
            None => {
                self.head.metrics.head_series_not_found.inc();
                Err(AppendError::UnknownSeries)
            }
        }
    }

    fn check_refused(&self) -> Result<(), AppendError> {
        match &self.refused {
            Some(why) => Err(AppendError::Unavailable(why.to_string())),
            None => Ok(()),
        }
    }

    /// Did the batch begin while the log was replayed?
    pub(super) fn began_filling(&self) -> bool {
        self.min_valid_ms == i64::MAX
    }

    pub(super) fn takes_late(&self) -> bool {
        self.late_from_ms != i64::MAX
    }

    /// Decides about a sample of a locked series.
    #[inline]
    fn place(&self, s: &Series, t_ms: i64, same_as_last: impl FnOnce() -> bool, value: impl FnOnce() -> Value) -> Result<Place, AppendError> {
        if t_ms > self.until_ms {
            return Err(AppendError::OutOfBounds);
        }
        if t_ms >= self.min_valid_ms {
            if t_ms > s.newest_ms {
                return Ok(Place::InOrder);
            }
            if t_ms == s.newest_ms && same_as_last() {
                return Ok(Place::Repeat);
            }
        }
        self.place_late(s, t_ms, value())
    }

    #[cold]
    fn place_late(&self, s: &Series, t_ms: i64, value: Value) -> Result<Place, AppendError> {
        let metrics = &self.head.metrics;
        if let Some(max) = self.head.max_ms() {
            metrics.sample_ooo_delta.observe(max.saturating_sub(t_ms) as f64 / 1000.0);
        }
        match s.stored_is(t_ms, &value, &self.head.full) {
            Some(true) => return Ok(Place::Repeat),
            Some(false) => {
                metrics.duplicate_samples.with(&["conflict"]).inc();
                return Err(AppendError::DuplicateTimestamp);
            }
            None => {}
        }
        let kind = kind_label(&value);
        if t_ms >= self.late_from_ms {
            return Ok(Place::Late);
        }
        if self.takes_late() {
            metrics.too_old_samples.with(&[kind]).inc();
            return Err(AppendError::TooOld);
        }
        if t_ms < self.min_valid_ms {
            metrics.out_of_bound_samples.with(&[kind]).inc();
            return Err(AppendError::OutOfBounds);
        }
        metrics.out_of_order_samples.with(&[kind]).inc();
        Err(AppendError::OutOfOrder)
    }

    /// Marks a series as having samples in this batch.
    #[inline]
    fn pin(batch: &mut Batch, s: &mut Series, slot: u32) {
        s.pins += 1;
        if !s.logged && batch.unlogged.last().is_none_or(|(id, _)| *id != s.id) {
            batch.unlogged.push((s.id, slot));
        }
    }

    #[inline]
    fn gathered(&mut self, kind: Kind, end: usize) {
        match self.batch.parts.last_mut() {
            Some(p) if p.kind == kind => p.end = end,
            _ => self.batch.parts.push(Part { kind, end }),
        }
    }

    fn append_value(&mut self, series: SeriesRef, t_ms: i64, value: Value) -> Result<(), AppendError> {
        self.check_refused()?;
        let slot = self.slot_of(series)?;
        let mut s = self.head.slot(slot).lock();
        if s.id != series.0 {
            return Err(AppendError::UnknownSeries);
        }
        if let Place::Repeat = self.place(&s, t_ms, || s.last_is(&value), || value.clone())? {
            self.stats.duplicates += 1;
            return Ok(());
        }
        Self::pin(&mut self.batch, &mut s, slot);
        drop(s);
        self.last_t_ms = Some(t_ms);
        let id = series.0;
        match value {
            Value::Float(v) => {
                self.batch.floats.push(Entry { slot, id, t_ms, v });
                self.gathered(Kind::Float, self.batch.floats.len());
            }
            Value::Int(v) => {
                self.batch.ints.push(Entry { slot, id, t_ms, v });
                self.gathered(Kind::Int, self.batch.ints.len());
            }
            Value::FloatHistogram(v) => {
                self.batch.float_histograms.push(Entry { slot, id, t_ms, v });
                self.gathered(Kind::FloatHistogram, self.batch.float_histograms.len());
            }
        }
        Ok(())
    }

    pub(super) fn unpin(&self, slot: u32, id: u64) {
        let mut s = self.head.slot(slot).lock();
        if s.id == id {
            s.pins = s.pins.saturating_sub(1);
        }
    }

    pub(super) fn unpin_all(&self) {
        self.batch.floats.iter().for_each(|e| self.unpin(e.slot, e.id));
        self.batch.ints.iter().for_each(|e| self.unpin(e.slot, e.id));
        self.batch.float_histograms.iter().for_each(|e| self.unpin(e.slot, e.id));
    }
}

pub(super) fn kind_label(value: &Value) -> &'static str {
    if matches!(value, Value::Float(_)) { "float" } else { "histogram" }
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.unpin_all();
        }
        self.head.metrics.head_active_appenders.add(-1.0);
        let mut batch = std::mem::take(&mut self.batch);
        if batch.floats.capacity() <= KEPT_SAMPLES {
            batch.clear();
            let mut pool = self.head.pool.lock();
            if pool.len() < KEPT_BATCHES {
                pool.push(batch);
            }
        }
    }
}

impl Appender for HeadAppender<'_> {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        self.check_refused()?;
        // Once more when the series left the head between finding and locking it.
        for _ in 0..2 {
            let (slot, _) = self.head.find_or_create(labels)?;
            let id = self.head.slot(slot).lock().id;
            if id != 0 {
                if self.last.0 != 0 {
                    self.head.index.read().note_behind(self.last.1, slot);
                }
                self.last = (id, slot);
                return Ok(SeriesRef(id));
            }
        }
        Err(AppendError::UnknownSeries)
    }

    fn series_behind(&mut self, pairs: &[(&[u8], &[u8])]) -> Option<SeriesRef> {
        if self.last.0 == 0 || self.refused.is_some() {
            return None;
        }
        let slot = self.head.index.read().find_behind(self.last.1, pairs)?;
        // 0 when it has just left.
        let id = Some(self.head.slot(slot).lock().id).filter(|id| *id != 0)?;
        self.last = (id, slot);
        Some(SeriesRef(id))
    }

    fn append_run(&mut self, series: SeriesRef, samples: &mut dyn Iterator<Item = (i64, f64)>) -> usize {
        if self.refused.is_some() {
            return 0;
        }
        let Ok(slot) = self.slot_of(series) else { return 0 };
        let mut s = self.head.slot(slot).lock();
        if s.id != series.0 {
            return 0;
        }
        let start = self.batch.floats.len();
        let oldest = self.min_valid_ms.max(s.newest_ms.saturating_add(1));
        for (t_ms, v) in samples.take_while(|(t, _)| (oldest..=self.until_ms).contains(t)) {
            self.batch.floats.push(Entry { slot, id: series.0, t_ms, v });
        }
        let n = self.batch.floats.len() - start;
        if n > 0 {
            Self::pin(&mut self.batch, &mut s, slot);
            s.pins += n as u32 - 1;
            drop(s);
            self.last_t_ms = self.batch.floats.last().map(|e| e.t_ms);
            self.gathered(Kind::Float, start + n);
        }
        n
    }

    #[inline]
    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError> {
        self.check_refused()?;
        let slot = self.slot_of(series)?;
        let mut s = self.head.slot(slot).lock();
        if s.id != series.0 {
            return Err(AppendError::UnknownSeries);
        }
        if let Place::Repeat = self.place(&s, t_ms, || s.last_is(&Value::Float(v)), || Value::Float(v))? {
            self.stats.duplicates += 1;
            return Ok(());
        }
        Self::pin(&mut self.batch, &mut s, slot);
        drop(s);
        self.last_t_ms = Some(t_ms);
        self.batch.floats.push(Entry { slot, id: series.0, t_ms, v });
        self.gathered(Kind::Float, self.batch.floats.len());
        Ok(())
    }

    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        let value = match h {
            HistogramSample::Int(h) => {
                super::valid::check_histogram(h).map_err(AppendError::InvalidHistogram)?;
                Value::Int(Arc::new(h.clone()))
            }
            HistogramSample::Float(h) => {
                super::valid::check_float_histogram(h).map_err(AppendError::InvalidHistogram)?;
                Value::FloatHistogram(Arc::new(h.clone()))
            }
        };
        self.append_value(series, t_ms, value)
    }

    fn append_start_zero(&mut self, series: SeriesRef, t_ms: i64, start_ms: i64, histogram: bool) -> Result<(), AppendError> {
        let slot = self.slot_of(series)?;
        let value = {
            let s = self.head.slot(slot).lock();
            if s.id != series.0 {
                return Err(AppendError::UnknownSeries);
            }
            // Long-lived counters tell the same start with every sample: nothing to do for all but the first.
            if self.began_filling() || start_ms <= 0 || start_ms >= t_ms || start_ms <= s.newest_ms || start_ms < self.min_valid_ms {
                return Ok(());
            }
            match (histogram, s.last()) {
                (false, _) => Value::Float(0.0),
                (true, Some(Value::FloatHistogram(h))) => Value::FloatHistogram(Arc::new(FloatHistogram {
                    reset_hint: model::histogram::ResetHint::Reset,
                    schema: h.schema,
                    zero_threshold: h.zero_threshold,
                    custom_values: h.custom_values.clone(),
                    ..FloatHistogram::default()
                })),
                (true, last) => {
                    let mut zero = Histogram { reset_hint: model::histogram::ResetHint::Reset, ..Histogram::default() };
                    if let Some(Value::Int(h)) = last {
                        zero.schema = h.schema;
                        zero.zero_threshold = h.zero_threshold;
                        zero.custom_values.clone_from(&h.custom_values);
                    }
                    Value::Int(Arc::new(zero))
                }
            }
        };
        self.append_value(series, start_ms, value)
    }

    fn hold(&mut self, series: SeriesRef, replica: &str, t_ms: i64, value: HeldValue) -> Result<(), AppendError> {
        self.check_refused()?;
        let slot = self.slot_of(series)?;
        let s = self.head.slot(slot).lock();
        if s.id != series.0 {
            return Err(AppendError::UnknownSeries);
        }
        if !s.logged {
            self.batch.unlogged.push((series.0, slot));
        }
        drop(s);
        // A request has few replicas, and mostly one.
        let replica = match self.batch.held.last() {
            Some(h) if *h.replica == *replica => Arc::clone(&h.replica),
            _ => Arc::from(replica),
        };
        self.batch.held.push(Held { series, replica, t_ms, value });
        Ok(())
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        if !self.head.exemplars.enabled() {
            return Ok(());
        }
        let slot = self.slot_of(series)?;
        let mut exemplar = exemplar.clone();
        exemplar.t_ms = exemplar.t_ms.or(self.last_t_ms).or_else(|| Some(self.head.clock.now_ms()));
        let labels = self.head.index.read().labels(slot);
        if self.head.exemplars.check(&labels, &exemplar).inspect_err(|e| {
            if *e == AppendError::OutOfOrderExemplar {
                self.head.metrics.exemplars_out_of_order.inc();
            }
        })? {
            self.batch.exemplars.push((series.0, exemplar));
        }
        Ok(())
    }

    fn update_metadata(&mut self, series: SeriesRef, metadata: &Metadata) -> Result<(), AppendError> {
        self.slot_of(series)?;
        if self.head.metadata.read().get(&series.0).is_none_or(|m| **m != *metadata) {
            self.batch.metadata.push((series.0, Arc::new(metadata.clone())));
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>, wait: Wait) -> Result<CommitStats, CommitError> {
        self.commit_batch(wait)
    }

    fn rollback(self: Box<Self>) {}
}
