//! A reader sees a batch whole or not at all: those that were in memory when it began to read, none that came later.
//!
//! A reader begins an *epoch*, and every batch belongs to the epoch in which it is put into memory. While nobody reads, that costs a batch one lock
//! and its samples nothing. While somebody reads, the first batch of an epoch that adds to a series notes how far the series went before: in-order
//! samples rise in time, so that one time tells a reader what to leave out. Late samples can be anywhere; each is noted by itself.
//!
//! A new epoch begins when no batch is half in memory: a reader waits for those that are, and new ones wait for him. That is short, as only memory
//! is written meanwhile.

use super::series::Series;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const SHARDS: usize = 32;
/// No reader waits longer for a batch that hangs; it may then see half of it.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Late samples that came while somebody reads are hidden from him up to so many of them, all readers together: 16 bytes each.
pub const MAX_HIDDEN_LATE: usize = 1 << 20;

pub struct Isolation {
    /// Held shared while a batch is put into memory, alone while an epoch begins.
    gate: RwLock<()>,
    epoch: AtomicU64,
    /// How many readers there are, by epoch.
    readers: Mutex<BTreeMap<u64, usize>>,
    reading: AtomicUsize,
    shards: Vec<Mutex<Shard>>,
    /// Late samples in all shards.
    late: AtomicUsize,
}

type ByRef<T> = HashMap<u32, T, foldhash::fast::RandomState>;

#[derive(Default)]
struct Shard {
    /// By slot, in rising order of epochs: time of the newest in-order sample before the first batch of the epoch.
    before: ByRef<Notes>,
    /// By slot: epoch and time of late samples.
    late: ByRef<Vec<(u64, i64)>>,
}

/// Most series get one note while somebody reads.
struct Notes {
    first: (u64, i64),
    more: Vec<(u64, i64)>,
}

/// A batch that is being put into memory.
pub struct Entered<'a> {
    isolation: &'a Isolation,
    epoch: u64,
    watched: bool,
    _gate: RwLockReadGuard<'a, ()>,
}

/// What a reader began with. Held as long as it reads.
pub struct Snapshot {
    isolation: Arc<Isolation>,
    epoch: u64,
}

/// What a reader must leave out of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// In-order samples after this time.
    pub after_ms: Option<i64>,
    /// Late samples at these times.
    pub late_ms: Vec<i64>,
}

impl Hidden {
    pub fn is_empty(&self) -> bool {
        self.after_ms.is_none() && self.late_ms.is_empty()
    }

    pub fn clear(&mut self) {
        self.after_ms = None;
        self.late_ms.clear();
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Isolation {
            gate: RwLock::new(()),
            // No series was touched in an epoch yet: they begin with 0.
            epoch: AtomicU64::new(1),
            readers: Mutex::default(),
            reading: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            late: AtomicUsize::new(0),
        }
    }
}

impl Isolation {
    /// A batch begins to change series.
    pub fn enter(&self) -> Entered<'_> {
        let gate = self.gate.read();
        Entered { isolation: self, epoch: self.epoch.load(Ordering::Acquire), watched: self.reading.load(Ordering::Acquire) > 0, _gate: gate }
    }

    /// A reader begins. Returns when no batch is half in memory.
    pub fn snapshot(self: &Arc<Self>) -> Snapshot {
        let gate = self.gate.try_write_for(MAX_WAIT);
        if gate.is_none() {
            tracing::warn!("a batch takes very long to get into memory; a query does not wait for it any longer");
        }
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        *self.readers.lock().entry(epoch).or_default() += 1;
        self.reading.fetch_add(1, Ordering::AcqRel);
        drop(gate);
        Snapshot { isolation: Arc::clone(self), epoch }
    }

    fn shard(&self, slot: u32) -> &Mutex<Shard> {
        &self.shards[slot as usize % SHARDS]
    }

    /// Forgets notes that no reader needs. Call it about once a second.
    pub fn tidy(&self) {
        let now = self.epoch.load(Ordering::Acquire);
        // Who begins from here on does so in a later epoch.
        let oldest = self.readers.lock().first_key_value().map_or(now + 1, |(epoch, _)| *epoch);
        for shard in &self.shards {
            let Shard { before, late } = &mut *shard.lock();
            if !before.is_empty() {
                before.retain(|_, n| {
                    n.more.retain(|(epoch, _)| *epoch >= oldest);
                    if n.first.0 < oldest && !n.more.is_empty() {
                        n.first = n.more.remove(0);
                    }
                    n.first.0 >= oldest
                });
            }
            if !late.is_empty() {
                let mut gone = 0;
                late.retain(|_, list| {
                    let n = list.len();
                    list.retain(|(epoch, _)| *epoch >= oldest);
                    gone += n - list.len();
                    !list.is_empty()
                });
                self.late.fetch_sub(gone, Ordering::Relaxed);
            }
        }
    }

    /// Notes kept for readers, of in-order and late samples.
    #[cfg(test)]
    fn kept(&self) -> usize {
        self.shards.iter().map(|s| s.lock()).map(|s| s.before.values().map(|n| 1 + n.more.len()).sum::<usize>()).sum::<usize>()
            + self.late.load(Ordering::Relaxed)
    }
}

impl Entered<'_> {
    /// Before an in-order sample is added to a series, under its lock.
    #[inline]
    pub fn before_in_order(&self, slot: u32, s: &mut Series) {
        if self.watched && s.touched != self.epoch as u32 {
            self.note(slot, s);
        }
    }

    #[cold]
    fn note(&self, slot: u32, s: &mut Series) {
        s.touched = self.epoch as u32;
        let note = (self.epoch, s.newest_ms);
        let shard = &mut *self.isolation.shard(slot).lock();
        shard.before.entry(slot).and_modify(|n| n.add(note)).or_insert(Notes { first: note, more: Vec::new() });
    }

    /// When a late sample was added to a series, still under its lock.
    #[inline]
    pub fn added_late(&self, slot: u32, t_ms: i64) {
        if self.watched && self.isolation.late.load(Ordering::Relaxed) < MAX_HIDDEN_LATE {
            self.isolation.late.fetch_add(1, Ordering::Relaxed);
            self.isolation.shard(slot).lock().late.entry(slot).or_default().push((self.epoch, t_ms));
        }
    }
}

impl Notes {
    fn add(&mut self, note: (u64, i64)) {
        self.more.push(note);
    }

    /// For a reader of `epoch`.
    fn get(&self, epoch: u64) -> Option<i64> {
        std::iter::once(&self.first).chain(&self.more).find(|(e, _)| *e >= epoch).map(|(_, t)| *t)
    }
}

impl Snapshot {
    /// What to leave out of a series that was looked at just now, and was `touched` then.
    pub fn hidden(&self, slot: u32, touched: u32, out: &mut Hidden) {
        out.clear();
        // The epoch has more bits, but a series that was touched after the reader began was so not long ago.
        let in_order = touched.wrapping_sub(self.epoch as u32) as i32 >= 0;
        if !in_order && self.isolation.late.load(Ordering::Relaxed) == 0 {
            return;
        }
        let shard = self.isolation.shard(slot).lock();
        out.after_ms = shard.before.get(&slot).and_then(|n| n.get(self.epoch));
        if let Some(late) = shard.late.get(&slot) {
            out.late_ms.extend(late.iter().filter(|(e, _)| *e >= self.epoch).map(|(_, t)| *t));
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.isolation.reading.fetch_sub(1, Ordering::AcqRel);
        let mut readers = self.isolation.readers.lock();
        if let Some(n) = readers.get_mut(&self.epoch) {
            *n -= 1;
            if *n == 0 {
                readers.remove(&self.epoch);
            }
        }
        let nobody = readers.is_empty();
        drop(readers);
        if nobody {
            self.isolation.tidy();
        }
    }
}

#[cfg(test)]
#[path = "isolation_tests.rs"]
mod tests;
