//! Forgetting: series without new samples leave memory, and segments that every uplink has read leave the disk.
//!
//! Labels of a series stay known as long as a segment that may speak of it is there, and stay in the log (in its checkpoint) as long as they are known.

use super::AgentDb;
use crate::db::DbError;
use std::sync::atomic::Ordering;
use wal::checkpoint;

/// Series looked at before the index lock is let go.
const PIECE: usize = 1 << 14;

impl AgentDb {
    /// Everything of a truncation, now.
    pub fn truncate(&self) -> Result<(), DbError> {
        let clock = &self.options.clock;
        let started = clock.monotonic();
        let current = self.wal.next_segment()?;
        let min_time_ms = i64::try_from(self.options.min_time.as_millis()).unwrap_or(i64::MAX);
        let mint_ms = clock.now_ms().saturating_sub(min_time_ms);
        self.forget_series(mint_ms, current - 1);
        // The checkpoint stands for all finished segments, also for those that stay because an uplink has not read them yet.
        let unread = self.wal.lowest_cursor_segment().unwrap_or(current);
        let spoken_of = |id: u64| self.departed.lock().get(&id).is_some_and(|(_, last)| *last >= unread);
        let needed = |id: u64| self.index.read().slot_of(id).is_some() || spoken_of(id);
        checkpoint::create(&self.wal, current - 1, (mint_ms, mint_ms), false, needed)?;
        self.wal.truncate(current)?;
        if let Err(e) = checkpoint::remove_below(&self.wal, current - 1) {
            tracing::warn!(error = %e, "remove old checkpoints");
        }
        let (first, _) = self.wal.segments()?;
        let mut departed = self.departed.lock();
        departed.retain(|_, (_, last)| *last >= first);
        self.metrics.deleted_series.set(departed.len() as f64);
        self.metrics.truncate_seconds.observe((clock.monotonic() - started).as_secs_f64());
        Ok(())
    }

    /// Forgets series whose newest sample is older than `mint_ms`. `segment` is the last of the log that may speak of them.
    fn forget_series(&self, mint_ms: i64, segment: u64) {
        let slots: Vec<u32> = self.index.read().all().iter().collect();
        for piece in slots.chunks(PIECE) {
            let mut index = self.index.write();
            let mut gone: Vec<(u64, u32)> = Vec::new();
            for slot in piece {
                let s = self.slot(*slot);
                if s.newest_ms.load(Ordering::Acquire) >= mint_ms {
                    continue;
                }
                // Whoever appends says so first and looks at the reference then; here it is the other way round, so that one of both sees the other.
                let id = s.id.swap(0, Ordering::SeqCst);
                if s.pins.load(Ordering::SeqCst) > 0 || s.newest_ms.load(Ordering::SeqCst) >= mint_ms {
                    s.id.store(id, Ordering::SeqCst);
                } else if id != 0 {
                    gone.push((id, *slot));
                }
            }
            let mut departed = self.departed.lock();
            for (id, slot) in &gone {
                departed.insert(*id, (index.labels(*slot), segment));
            }
            index.unlink(&gone);
            index.release(&gone.iter().map(|(_, slot)| *slot).collect::<Vec<_>>());
            self.metrics.active_series.set(index.len() as f64);
            drop(index);
            let (mut metadata, mut exemplars) = (self.metadata.lock(), self.exemplars.lock());
            for (id, _) in &gone {
                metadata.remove(id);
                exemplars.remove(id);
            }
        }
    }
}
