//! Forgetting: what is in blocks leaves the head, series that have nothing left leave it too, and intervals are marked as deleted.
//!
//! Nothing is taken from under a reader. Before samples go, those who began to read when the blocks were not yet in place are waited for;
//! slots of series that left are used again when nobody reads any more who may have found them.

use super::select;
use super::{Departed, Head};
use model::{Labels, Matcher};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stdx::shutdown::Shutdown;
use storage::EncodedChunk;
use wal::record::RefTombstone;
use wal::{Records, WalError};

/// Queries are cut off long before.
const MAX_WAIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// Series looked at before the index lock is let go.
const PIECE: usize = 1 << 14;

impl Head {
    /// Returns when everyone is gone who began to read before this call, or when it is of no use to wait any longer.
    pub fn wait_for_readers(&self, shutdown: &Shutdown) {
        let before = std::mem::take(&mut *self.readers.lock());
        let mut waited = Duration::ZERO;
        while Arc::strong_count(&before) > 1 && waited < MAX_WAIT && !shutdown.wait_timeout(POLL) {
            waited += POLL;
        }
        if waited >= MAX_WAIT {
            tracing::warn!("a query reads for very long; head truncation goes on without it");
        }
    }

    /// Forgets in-order samples in chunks that end before `mint_ms`, which is at or below the floor, then series that have nothing left. `segment`
    /// is the last of the log that may speak of them. Returns how many series left.
    pub fn truncate(&self, mint_ms: i64, segment: u64) -> usize {
        let started = self.clock.monotonic();
        self.metrics.head_truncations.inc();
        let (mut empty, mut oldest, mut chunks, mut stale, mut histograms) = (Vec::new(), i64::MAX, 0, 0u64, 0u64);
        let slots: Vec<u32> = self.index.read().all().iter().collect();
        for slot in slots {
            let mut s = self.slot(slot).lock();
            chunks += s.truncate(mint_ms);
            if s.may_leave(mint_ms) {
                empty.push(slot);
                continue;
            }
            stale += u64::from(s.stale);
            histograms += u64::from(s.kind > super::value::Kind::Float);
            if let Some(t) = s.oldest_ms(&self.full) {
                oldest = oldest.min(t);
            }
        }
        self.metrics.head_chunks.add(-(chunks as f64));
        self.metrics.head_chunks_removed.add(chunks as u64);
        self.metrics.head_stale_series.set(stale as f64);
        self.metrics.native_histogram_series.set(histograms as f64);
        let gone = self.unlink(&empty, mint_ms, segment);
        // Samples may have come in since: the oldest can only be set too low, never too high.
        let bound = if oldest == i64::MAX { self.max_ms.load(Ordering::Acquire).max(mint_ms) } else { oldest.max(mint_ms) };
        // A head that never had a sample has no oldest one.
        if bound > i64::MIN {
            self.min_ms.store(bound, Ordering::Release);
        }
        if let Err(e) = self.full.truncate(mint_ms) {
            tracing::warn!(error = %e, "remove files of full chunks");
        }
        self.forget_deleted(mint_ms);
        self.metrics.head_gc_seconds.observe((self.clock.monotonic() - started).as_secs_f64());
        gone
    }

    fn unlink(&self, candidates: &[u32], mint_ms: i64, segment: u64) -> usize {
        let mut left = Vec::new();
        for piece in candidates.chunks(PIECE) {
            let mut index = self.index.write();
            let (mut gone, mut newest): (Vec<(u64, u32)>, Vec<i64>) = Default::default();
            for slot in piece {
                let mut s = self.slot(*slot).lock();
                // It may have got samples since it was looked at.
                if s.id != 0 && s.may_leave(mint_ms) {
                    gone.push((s.id, *slot));
                    newest.push(s.newest_ms);
                    s.id = 0;
                }
            }
            let mut departed = self.departed.lock();
            let mut metadata = self.metadata.write();
            for ((id, slot), newest_ms) in gone.iter().zip(newest) {
                departed.insert(*id, Departed { labels: index.labels(*slot), segment, newest_ms });
                metadata.remove(id);
            }
            index.unlink(&gone);
            left.extend(gone.into_iter().map(|(_, slot)| slot));
        }
        let n = left.len();
        if n > 0 {
            let before = std::mem::take(&mut *self.readers.lock());
            self.limbo.lock().push((before, left));
            self.metrics.head_series.add(-(n as f64));
            self.metrics.head_series_removed.add(n as u64);
        }
        self.release_unread();
        n
    }

    /// Lets slots be used again that nobody can be reading any more.
    pub fn release_unread(&self) {
        let mut free = Vec::new();
        self.limbo.lock().retain_mut(|(readers, slots)| {
            let read = Arc::strong_count(readers) > 1;
            if !read {
                free.append(slots);
            }
            read
        });
        if !free.is_empty() {
            self.index.write().release(&free);
        }
    }

    /// Takes a series out with all it has. Only while the head is being filled.
    pub(super) fn drop_series(&self, id: u64) {
        let Some(slot) = self.index.read().slot_of(id) else { return };
        {
            // Late samples are those that came since the start: the log of late ones is read afterwards.
            let mut s = self.slot(slot).lock();
            s.truncate(i64::MAX);
            s.newest_ms = i64::MIN;
        }
        self.unlink(&[slot], i64::MAX, u64::MAX);
    }

    /// Series of which the log must keep the labels when segments up to `segment` are summed up.
    pub fn is_needed_by_log(&self, id: u64, segment: u64) -> bool {
        self.index.read().slot_of(id).is_some() || self.departed.lock().get(&id).is_some_and(|d| d.segment > segment)
    }

    /// Forgets labels of series that the log does not speak of any more, as it begins behind `segment`.
    pub fn forget_departed(&self, segment: u64) {
        self.departed.lock().retain(|_, d| d.segment > segment);
    }

    /// Marks the samples of an interval, both ends included, as deleted, and says so in the log. Returns how many series it concerned.
    pub fn delete(&self, start_ms: i64, end_ms: i64, matchers: &[Matcher]) -> Result<u64, WalError> {
        let set = select::select(&self.index, matchers);
        let (mut ids, mut touched) = (Vec::new(), 0);
        // Late samples that are in blocks by now may be the first of their series in the log, which would bring them back.
        let bound = self.min_valid_ms();
        for slot in set {
            let s = self.slot(slot).lock();
            if s.id == 0 {
                continue;
            }
            touched += u64::from(s.touches(start_ms, end_ms));
            // Not beyond what is there: samples that come later are meant to stay.
            let late = s.late.as_ref().and_then(|l| l.range_ms()).map_or(i64::MIN, |(_, b)| b);
            let end = end_ms.min(s.newest_ms.max(late).max(bound.saturating_sub(1)));
            if end >= start_ms {
                ids.push((s.id, end));
            }
        }
        // The log may bring samples of a series back that has left.
        for (id, d) in self.departed.lock().iter().filter(|(_, d)| matchers.iter().all(|m| m.matches_labels(d.labels.as_ref()))) {
            let end = end_ms.min(d.newest_ms.max(bound.saturating_sub(1)));
            if end >= start_ms {
                ids.push((*id, end));
            }
        }
        ids.sort_unstable();
        self.log_deleted(ids.iter().map(|(series, end)| RefTombstone { series: *series, start_ms, end_ms: *end }).collect())?;
        Ok(touched)
    }

    /// The same for given series, as far as they are here, and intervals. Returns how many intervals concern samples that are here.
    pub fn delete_of(&self, intervals: &[(Labels, i64, i64)]) -> Result<usize, WalError> {
        let mut stones = Vec::new();
        for (labels, start_ms, end_ms) in intervals {
            let hash = self.hasher.hash_one(labels.as_ref().encoded());
            let Some(slot) = self.index.read().find(hash, labels.as_ref()) else { continue };
            let s = self.slot(slot).lock();
            if s.id != 0 && s.touches(*start_ms, *end_ms) {
                stones.push(RefTombstone { series: s.id, start_ms: *start_ms, end_ms: *end_ms });
            }
        }
        let n = stones.len();
        self.log_deleted(stones)?;
        Ok(n)
    }

    fn log_deleted(&self, stones: Vec<RefTombstone>) -> Result<(), WalError> {
        if let Some(logs) = self.logs() {
            let mut records = Records::default();
            records.tombstones(stones.iter().copied());
            if !records.is_empty() {
                let at = logs.wal.log(&records)?;
                logs.wal.wait_durable(at)?;
            }
        }
        stones.iter().for_each(|s| self.add_deleted(s.series, s.start_ms, s.end_ms));
        Ok(())
    }

    pub(super) fn add_deleted(&self, id: u64, start_ms: i64, end_ms: i64) {
        let mut deleted = self.deleted.write();
        let list = deleted.entry(id).or_default();
        list.push((start_ms, end_ms));
        list.sort_unstable();
        list.dedup_by(|next, before| {
            let touch = next.0 <= before.1.saturating_add(1);
            if touch {
                before.1 = before.1.max(next.1);
            }
            touch
        });
        self.any_deleted.store(true, Ordering::Release);
    }

    fn forget_deleted(&self, mint_ms: i64) {
        let mut deleted = self.deleted.write();
        let late_min = self.late_range_ms().map_or(i64::MAX, |(a, _)| a);
        deleted.retain(|_, list| {
            list.retain(|(_, end)| *end >= mint_ms.min(late_min));
            !list.is_empty()
        });
        self.any_deleted.store(!deleted.is_empty(), Ordering::Release);
    }

    /// All tombstones, for checks.
    pub fn deleted_count(&self) -> u64 {
        self.deleted.read().values().map(|l| l.len() as u64).sum()
    }

    /// Takes the late samples of the given slots away; they are in blocks now. `taken` is what was written of each.
    pub fn drop_late(&self, taken: &[(u32, u64, Vec<EncodedChunk>)]) {
        let mut n = 0;
        for (slot, id, chunks) in taken {
            let mut s = self.slot(*slot).lock();
            if s.id != *id {
                continue;
            }
            if let Some(late) = &mut s.late {
                n += late.forget(chunks);
                if late.is_empty() {
                    s.late = None;
                }
            }
        }
        let before = self.late_samples.load(Ordering::Relaxed);
        self.late_samples.store(before.saturating_sub(n), Ordering::Relaxed);
        self.metrics.late_samples.set(self.late_samples() as f64);
        self.remeasure_late();
    }

    pub(super) fn remeasure_late(&self) {
        self.late_min_ms.store(i64::MAX, Ordering::Release);
        self.late_max_ms.store(i64::MIN, Ordering::Release);
        let slots: Vec<u32> = self.index.read().all().iter().collect();
        for slot in slots {
            let range = self.slot(slot).lock().late.as_ref().and_then(|l| l.range_ms());
            if let Some((a, b)) = range {
                self.widen_late(a, b);
            }
        }
    }
}
