//! The head: the newest samples in memory, in front of the log.
//!
//! - [`index`]: labels, references, postings, over [`pairs`] (each label pair once) and [`postings`]; one lock, written for new series only.
//! - [`series`]: samples of one series, each behind its own small lock in a [`slab`]; full chunks go to [`chunks_head`], late ones to [`late`].
//! - [`appender`]: one batch; [`commit`]: log first, then memory.
//! - [`select`], [`querier`], [`grouping`]: reading; [`isolation`]: what a reader does not see yet.
//! - [`replay`]: filling the head from the log; [`filling`]: taking batches meanwhile. [`truncate`]: forgetting what is in blocks.
//!
//! Order of locks: index, then a series, then the files of full chunks. Nobody takes the index lock while holding a series.
//!
//! A sample is *in order* when it is newer than all of its series and not older than the floor: the end of the newest block, or half a block
//! behind the head's newest sample. Every other sample is *late*. So what goes into the next block cannot change while it is written.

pub mod appender;
pub mod chunks_head;
pub mod commit;
pub mod exemplars;
pub mod filling;
pub mod grouping;
pub mod index;
pub mod isolation;
pub mod late;
pub mod pairs;
pub mod postings;
pub mod querier;
pub mod replay;
pub mod select;
pub mod series;
pub mod slab;
pub mod snapshot;
pub mod source;
pub mod truncate;
pub mod valid;
pub mod value;

use crate::config::HeadOptions;
use crate::metrics::Metrics;
use appender::Batch;
use arc_swap::ArcSwapOption;
use chunks_head::HeadChunks;
use exemplars::Exemplars;
use index::HeadIndex;
use isolation::Isolation;
use model::{Labels, Metadata};
use parking_lot::{Mutex, RwLock};
use series::{ChunkContext, Place, Series};
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use stdx::clock::SharedClock;
use storage::{Held, SeriesRef};
use wal::Wal;

/// Where the head writes before it believes: the log, and Prometheus' second log that repeats the late samples.
#[derive(Clone)]
pub struct Logs {
    pub wal: Arc<Wal>,
    pub wbl: Arc<Wal>,
}

pub struct Head {
    options: HeadOptions,
    late_window_ms: AtomicI64,
    /// Samples older than this much before now are refused; 0: none are.
    retention_ms: AtomicI64,
    range_ms: i64,
    clock: SharedClock,
    pub(crate) metrics: Metrics,
    pub(crate) index: RwLock<HeadIndex>,
    hasher: foldhash::fast::RandomState,
    slots: Slab<Place>,
    pub(crate) full: HeadChunks,
    logs: std::sync::OnceLock<Logs>,
    last_id: AtomicU64,
    /// The log says that references up to this one may be in use.
    declared: AtomicU64,
    filling: AtomicBool,
    waiting: Mutex<filling::Waiting>,
    /// Times of the oldest and newest in-order sample; `MAX` and `MIN` when there is none.
    min_ms: AtomicI64,
    max_ms: AtomicI64,
    /// The same for late samples.
    late_min_ms: AtomicI64,
    late_max_ms: AtomicI64,
    late_samples: AtomicU64,
    /// End of the newest block made of in-order samples: nothing before it is in order any more.
    floor_ms: AtomicI64,
    exemplars: Exemplars,
    metadata: RwLock<HashMap<u64, Arc<Metadata>, foldhash::fast::RandomState>>,
    /// Deleted intervals by reference, both ends included.
    deleted: RwLock<HashMap<u64, Vec<(i64, i64)>>>,
    any_deleted: AtomicBool,
    departed: Mutex<HashMap<u64, Departed>>,
    /// Held by every selection; replaced to find out who reads from before.
    readers: Mutex<Arc<()>>,
    pub(crate) isolation: Arc<Isolation>,
    /// Slots of unlinked series, until those who may still read them are gone.
    limbo: Mutex<Vec<(Arc<()>, Vec<u32>)>>,
    /// Held while a batch's late samples are in memory and not yet in their log.
    late_logging: RwLock<()>,
    pool: Mutex<Vec<Batch>>,
    held: Mutex<Vec<Held>>,
    /// Why nothing is taken any more.
    refused: ArcSwapOption<String>,
}

/// A series that has left while the log still speaks of it.
struct Departed {
    labels: Labels,
    /// The last segment that does.
    segment: u64,
    /// No sample of it is newer.
    newest_ms: i64,
}

impl Head {
    pub fn new(options: HeadOptions, range_ms: i64, clock: SharedClock, metrics: Metrics, full: HeadChunks) -> Self {
        let index = HeadIndex::new();
        let hasher = index.hasher();
        metrics.exemplars_max.set(options.max_exemplars as f64);
        Head {
            late_window_ms: AtomicI64::new(options.late_window_ms),
            retention_ms: AtomicI64::new(0),
            range_ms,
            clock,
            metrics,
            index: RwLock::new(index),
            hasher,
            slots: Slab::new(),
            full,
            logs: std::sync::OnceLock::new(),
            last_id: AtomicU64::new(0),
            declared: AtomicU64::new(0),
            filling: AtomicBool::new(false),
            waiting: Mutex::default(),
            min_ms: AtomicI64::new(i64::MAX),
            max_ms: AtomicI64::new(i64::MIN),
            late_min_ms: AtomicI64::new(i64::MAX),
            late_max_ms: AtomicI64::new(i64::MIN),
            late_samples: AtomicU64::new(0),
            floor_ms: AtomicI64::new(i64::MIN),
            exemplars: Exemplars::new(options.max_exemplars),
            metadata: RwLock::default(),
            deleted: RwLock::default(),
            any_deleted: AtomicBool::new(false),
            departed: Mutex::default(),
            readers: Mutex::default(),
            isolation: Arc::default(),
            limbo: Mutex::default(),
            late_logging: RwLock::default(),
            pool: Mutex::default(),
            held: Mutex::default(),
            refused: ArcSwapOption::empty(),
            options,
        }
    }

    /// From here on batches are logged. Without it the head is only memory.
    pub fn set_logs(&self, logs: Logs) {
        assert!(self.logs.set(logs).is_ok(), "logs are set once");
    }

    pub fn logs(&self) -> Option<&Logs> {
        self.logs.get()
    }

    pub fn set_late_window_ms(&self, ms: i64) {
        self.late_window_ms.store(ms, Ordering::Relaxed);
    }

    pub fn set_retention_ms(&self, ms: i64) {
        self.retention_ms.store(ms, Ordering::Relaxed);
    }

    pub fn set_max_exemplars(&self, max: usize) {
        self.exemplars.resize(max);
        self.metrics.exemplars_max.set(max as f64);
    }

    /// Refuses all further batches.
    pub fn refuse(&self, why: String) {
        tracing::error!(reason = %why, "storage takes no more samples until it is opened again");
        self.refused.store(Some(Arc::new(why)));
    }

    pub fn refused(&self) -> Option<Arc<String>> {
        self.refused.load_full()
    }

    #[inline]
    pub(crate) fn slot(&self, slot: u32) -> &Mutex<Series> {
        &self.slots.get(slot).expect("slots in the index exist").0
    }

    fn chunk_context(&self) -> ChunkContext<'_> {
        ChunkContext { full: &self.full, range_ms: self.range_ms, xor2: self.options.xor2 }
    }

    pub fn range_ms(&self) -> i64 {
        self.range_ms
    }

    /// Time of the oldest in-order sample. None when there is none.
    pub fn min_ms(&self) -> Option<i64> {
        Some(self.min_ms.load(Ordering::Acquire)).filter(|_| self.max_ms().is_some())
    }

    pub fn max_ms(&self) -> Option<i64> {
        Some(self.max_ms.load(Ordering::Acquire)).filter(|t| *t != i64::MIN)
    }

    /// Times of the oldest and the newest late sample.
    pub fn late_range_ms(&self) -> Option<(i64, i64)> {
        let (a, b) = (self.late_min_ms.load(Ordering::Acquire), self.late_max_ms.load(Ordering::Acquire));
        (a <= b).then_some((a, b))
    }

    pub fn late_samples(&self) -> u64 {
        self.late_samples.load(Ordering::Relaxed)
    }

    pub fn floor_ms(&self) -> i64 {
        self.floor_ms.load(Ordering::SeqCst)
    }

    /// From now on samples before `ms` are late. Never goes down.
    pub fn raise_floor(&self, ms: i64) {
        self.floor_ms.fetch_max(ms, Ordering::SeqCst);
    }

    /// The oldest time that is still in order.
    fn min_valid_ms(&self) -> i64 {
        let behind = self.max_ms().map_or(i64::MIN, |m| m.saturating_sub(self.range_ms / 2));
        behind.max(self.floor_ms())
    }

    pub fn series_count(&self) -> u64 {
        self.index.read().len()
    }

    /// Finds the series, or adds it. Says whether it was added.
    pub(crate) fn find_or_create(&self, labels: model::LabelsRef<'_>) -> Result<(u32, bool), storage::AppendError> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one(labels.encoded());
        if let Some(slot) = self.index.read().find(hash, labels) {
            return Ok((slot, false));
        }
        index::check_labels(labels).map_err(storage::AppendError::InvalidLabels)?;
        let mut index = self.index.write();
        if let Some(slot) = index.find(hash, labels) {
            return Ok((slot, false));
        }
        self.check_limits(&index, labels)?;
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        if id > self.declared.load(Ordering::Relaxed) {
            self.declare_references(id)?;
        }
        let slot = index.add(hash, labels, id);
        *self.slots.ensure(slot).0.lock() = Series::new(id, false);
        drop(index);
        self.metrics.head_series_created.inc();
        self.metrics.head_series.add(1.0);
        Ok((slot, true))
    }

    /// The same for a series that the log names. The caller counts those that were added, and settles the index.
    pub(crate) fn find_or_adopt(&self, index: &mut HeadIndex, labels: model::LabelsRef<'_>, id: u64) -> Result<(u32, bool), storage::AppendError> {
        let hash = index.hash(labels);
        if let Some(slot) = index.find(hash, labels) {
            return Ok((slot, false));
        }
        index::check_labels(labels).map_err(storage::AppendError::InvalidLabels)?;
        let slot = index.add_unsettled(hash, labels, id);
        *self.slots.ensure(slot).0.lock() = Series::new(id, true);
        Ok((slot, true))
    }

    fn check_limits(&self, index: &HeadIndex, labels: model::LabelsRef<'_>) -> Result<(), storage::AppendError> {
        let refused = |limit: u64, scope: String| {
            self.metrics.series_limit_refused.inc();
            Err(storage::AppendError::SeriesLimit { limit, scope })
        };
        let HeadOptions { max_series, max_series_per_job, .. } = self.options;
        if max_series > 0 && index.len() >= max_series {
            return refused(max_series, "head".to_string());
        }
        if max_series_per_job > 0
            && let Some(job) = labels.get("job")
        {
            let mut pair = Vec::new();
            model::labels::push_pair(&mut pair, "job", job);
            if index.pairs.find(&pair).is_some_and(|p| index.pairs.postings(p).len() >= max_series_per_job) {
                return refused(max_series_per_job, format!("job {job:?}"));
            }
        }
        Ok(())
    }

    /// Labels by reference; also of series that have left, while the log speaks of them.
    pub fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        let index = self.index.read();
        if let Some(slot) = index.slot_of(series.0) {
            return Some(index.labels(slot));
        }
        drop(index);
        self.departed.lock().get(&series.0).map(|d| d.labels.clone())
    }

    pub fn metadata_of(&self, series: SeriesRef) -> Option<Arc<Metadata>> {
        self.metadata.read().get(&series.0).cloned()
    }

    /// Time of the newest sample of a series, in order or late.
    pub fn newest_ms(&self, series: SeriesRef) -> Option<i64> {
        let slot = self.index.read().slot_of(series.0)?;
        let s = self.slot(slot).lock();
        if s.id != series.0 {
            return None;
        }
        let late = s.late.as_ref().and_then(|l| l.range_ms()).map(|(_, b)| b);
        late.into_iter().chain(Some(s.newest_ms).filter(|t| *t != i64::MIN)).max()
    }

    pub fn take_held(&self) -> Vec<Held> {
        let held = std::mem::take(&mut *self.held.lock());
        held.into_iter().filter(|h| self.newest_ms(h.series).is_none_or(|newest| h.t_ms > newest)).collect()
    }

    pub fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    fn widen_in_order(&self, min: i64, max: i64) {
        if min <= max {
            // The newest first: who sees a minimum also sees a maximum.
            self.max_ms.fetch_max(max, Ordering::AcqRel);
            self.min_ms.fetch_min(min, Ordering::AcqRel);
        }
    }

    fn widen_late(&self, min: i64, max: i64) {
        if min <= max {
            self.late_max_ms.fetch_max(max, Ordering::AcqRel);
            self.late_min_ms.fetch_min(min, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
