//! Taking batches while the log is still being replayed.
//!
//! Until the head is filled nobody knows what is the newest sample of a series, so every new sample goes where late ones go: to both logs, and into
//! the series' late samples, which readers merge with whatever replay has brought so far. When replay is done, what turned out to be in order moves
//! behind the samples of the log, as if it had come just now.
//!
//! References given out meanwhile must not be those of series that replay has not met yet. So the log begins each segment with a record that says
//! up to where they may be in use, and new ones begin above it. A log without that record (Prometheus wrote last) lets batches wait instead.
//!
//! Exemplars and metadata wait in memory: the older ones of the log come first.

use super::Head;
use super::series::Series;
use super::value::Value;
use model::{Exemplar, Labels, Metadata};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::AppendError;
use wal::WalError;
use wal::record::encode_references;

/// References that are declared to be in use at a time, ahead of their use.
const STEP: u64 = 1 << 18;
/// Prometheus packs a reference into 40 bits.
const MAX_REFERENCE: u64 = 1 << 40;

/// Exemplars beyond that are left out.
pub(super) const MAX_WAITING_EXEMPLARS: usize = 100_000;

/// What waits for the end of replay.
#[derive(Default)]
pub(super) struct Waiting {
    pub exemplars: Vec<(Labels, Exemplar)>,
    pub metadata: Vec<(u64, Arc<Metadata>)>,
}

impl Head {
    /// Is the log still being replayed?
    #[inline]
    pub fn is_filling(&self) -> bool {
        self.filling.load(Ordering::Acquire)
    }

    pub(crate) fn set_filling(&self, on: bool) {
        self.filling.store(on, Ordering::Release);
    }

    /// The highest reference that was met or given out.
    pub(crate) fn last_reference(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// New references are above `last` from here on.
    pub(crate) fn references_begin_above(&self, last: u64) -> Result<(), AppendError> {
        self.last_id.fetch_max(last, Ordering::Relaxed);
        self.declare_references(self.last_id.load(Ordering::Relaxed))
    }

    /// Declares some more references to be in use, on the disk: else a crash that takes the declaration and leaves late samples or full chunks of a
    /// new series would give its reference away once more.
    pub(super) fn declare_references(&self, last: u64) -> Result<(), AppendError> {
        let to = last + STEP;
        if to > MAX_REFERENCE {
            return Err(AppendError::Unavailable("references of series are used up".to_string()));
        }
        if let Some(logs) = self.logs() {
            let mut record = Vec::new();
            encode_references(&mut record, to);
            logs.wal.set_opening(&record).map_err(|e| AppendError::Unavailable(e.to_string()))?;
            match logs.wal.log_records([]).and_then(|_| logs.wal.sync()) {
                // On a full disk nothing of a new series is written either, before there is room for the declaration.
                Ok(()) | Err(WalError::NoSpace(_)) => {}
                Err(e) => return Err(AppendError::Unavailable(e.to_string())),
            }
        }
        self.declared.fetch_max(to, Ordering::Relaxed);
        Ok(())
    }

    /// Ends it: what came meanwhile and is in order joins the samples of the log.
    pub(crate) fn end_filling(&self) {
        if !self.is_filling() {
            return;
        }
        // From here on batches see what is newest; those under way may still add late samples, which then stay late.
        self.set_filling(false);
        let slots: Vec<u32> = self.index.read().all().iter().collect();
        let (mut moved, mut range) = (0u64, (i64::MAX, i64::MIN));
        let bound = self.min_valid_ms();
        for slot in slots {
            let mut s = self.slot(slot).lock();
            if s.late.is_some() {
                moved += self.promote(&mut s, bound, &mut range);
            }
        }
        self.widen_in_order(range.0, range.1);
        if moved > 0 {
            self.late_samples.fetch_sub(moved, Ordering::Relaxed);
            self.metrics.late_samples.set(self.late_samples() as f64);
            self.remeasure_late();
        }
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (labels, exemplar) in waiting.exemplars {
            self.exemplars.add(&labels, exemplar, &self.metrics);
        }
        self.metadata.write().extend(waiting.metadata);
    }

    /// Moves what is newer than all in order of a series; returns how many samples are not late any more.
    fn promote(&self, s: &mut Series, bound_ms: i64, range: &mut (i64, i64)) -> u64 {
        let Some(late) = &mut s.late else { return 0 };
        let mut gone = 0;
        // Only what came in rising order: replay of the log would find the same samples in order.
        if let Some(samples) = late.take_rising() {
            s.late = None;
            let mut chunks = 0;
            for (t_ms, v) in samples {
                let value = Value::Float(v);
                if t_ms > s.newest_ms && t_ms >= bound_ms.max(self.floor_ms()) {
                    chunks += u64::from(s.append_in_order(t_ms, &s.typed_stale_marker(value), self.chunk_context()));
                    *range = (range.0.min(t_ms), range.1.max(t_ms));
                    gone += 1;
                } else if s.stored_is(t_ms, &value, &self.full).is_some() {
                    gone += 1;
                } else {
                    super::commit::insert_late(s, t_ms, value);
                }
            }
            self.metrics.head_chunks_created.add(chunks);
            self.metrics.head_chunks.add(chunks as f64);
        }
        if let Some((_, newest)) = s.late.as_ref().and_then(|l| l.range_ms()) {
            self.nothing_in_order_before(s, newest);
        }
        gone
    }

    /// A sample at this time stands in the log and is late here: replay would take it as in order, and then nothing older any more. So from here on
    /// everything older is late as well, and in the log of late samples.
    pub(super) fn nothing_in_order_before(&self, s: &mut Series, t_ms: i64) {
        if t_ms > s.newest_ms {
            s.cut(&self.full);
            s.newest_ms = t_ms;
        }
    }
}
