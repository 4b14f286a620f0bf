//! The store as a whole: one directory, a head, blocks, and what keeps them in order.
//!
//! [`open`] puts it together, [`query`] and the storage traits here are how it is used, [`maintain`] moves samples from the head to blocks and
//! forgets what is too old, [`admin`] deletes and snapshots, [`stats`] tells what is in it.
//!
//! What is in a directory: docs/formats. It is Prometheus' and stays Prometheus': either program can take it over from the other.

pub mod admin;
pub mod error;
pub mod maintain;
pub mod open;
pub mod query;
pub mod stats;
mod waiting;

pub use error::DbError;
pub use stats::{Cardinality, Churn, HeadStats};

use crate::block::{Block, Ulid};
use crate::config::DbOptions;
use crate::head::replay::ReplayProgress;
use crate::head::{Head, Logs};
use crate::meta::BlockMeta;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use model::{Labels, Metadata};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use stdx::fs::File;
use stdx::rand::Rand;
use stdx::shutdown::Shutdown;
use storage::{AppendOptions, Appendable, Appender, Held, MergeStore, ReadError, SeriesLookup, SeriesRef};
use waiting::{State, WaitingAppender};
use wal::Wal;

/// Shared by everybody who reads and writes. [`Db::close`] ends it.
pub struct Db {
    options: DbOptions,
    retention_time_ms: AtomicI64,
    retention_size_bytes: AtomicU64,
    /// Percent of the file system, as bits of an f64.
    retention_percent: AtomicU64,
    head: Arc<Head>,
    logs: Logs,
    metrics: Metrics,
    /// Sorted by the start of their time.
    blocks: ArcSwap<Vec<Arc<Block>>>,
    /// Blocks that cannot be opened, by name, and why.
    set_aside: Mutex<BTreeMap<String, String>>,
    births: Mutex<stats::Births>,
    /// One compaction, reload, deletion or snapshot at a time.
    change: Mutex<()>,
    /// Where names of blocks come from, and the last one: they rise, also within a millisecond.
    ulids: Mutex<(Rand, Ulid)>,
    compactions: AtomicBool,
    progress: Arc<ReplayProgress>,
    state: Mutex<State>,
    state_changed: Condvar,
    /// The same as [`State::Ready`], cheaper to ask.
    ready: AtomicBool,
    /// Batches are taken while the log is replayed ([`crate::head::filling`]); else they wait.
    live: bool,
    /// What the log of late samples held when it was opened.
    late_log_bytes: u64,
    /// Bytes of batches that wait for replay.
    waiting_bytes: AtomicU64,
    shutdown: Shutdown,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn File>>>,
}

impl Db {
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The log, for uplinks.
    pub fn wal(&self) -> &Arc<Wal> {
        &self.logs.wal
    }

    /// Is the head filled from the log? Until then queries of the newest samples miss some and say so.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Returns when the head is filled from the log, or with why it will not be.
    pub fn wait_ready(&self) -> Result<(), DbError> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Ready => return Ok(()),
                State::Failed(why) => return Err(DbError::Invalid(why.to_string())),
                State::Replaying => self.state_changed.wait(&mut state),
            }
        }
    }

    fn set_state(&self, state: State) {
        self.ready.store(matches!(state, State::Ready), Ordering::Release);
        *self.state.lock() = state;
        self.state_changed.notify_all();
    }

    fn check_not_failed(&self) -> Result<(), ReadError> {
        match &*self.state.lock() {
            State::Failed(why) => Err(ReadError::NotReady(why.to_string())),
            _ => Ok(()),
        }
    }

    /// For what must not be answered in part.
    fn check_filled(&self) -> Result<(), ReadError> {
        if self.is_ready() { Ok(()) } else { Err(ReadError::NotReady("the log is being replayed".to_string())) }
    }

    pub fn options(&self) -> &DbOptions {
        &self.options
    }

    pub fn blocks(&self) -> Arc<Vec<Arc<Block>>> {
        self.blocks.load_full()
    }

    /// Blocks that cannot be opened, and why: they are not served, and nothing touches them.
    pub fn set_aside(&self) -> Vec<(String, String)> {
        self.set_aside.lock().iter().map(|(b, e)| (b.clone(), e.clone())).collect()
    }

    /// Metas of all blocks, oldest first.
    pub fn block_metas(&self) -> Vec<Arc<BlockMeta>> {
        self.blocks.load().iter().map(|b| b.meta()).collect()
    }

    pub fn replay_progress(&self) -> &ReplayProgress {
        &self.progress
    }

    /// Applies what a reload of the configuration may change; 0 means no limit. A percentage of the file system goes before a size.
    pub fn set_retention(&self, time_ms: i64, size_bytes: u64, percent: f64) {
        self.retention_time_ms.store(time_ms, Ordering::Relaxed);
        self.retention_size_bytes.store(size_bytes, Ordering::Relaxed);
        self.retention_percent.store(percent.to_bits(), Ordering::Relaxed);
        self.metrics.retention_limit_percentage.set(percent);
        self.head.set_retention_ms(time_ms);
        self.metrics.retention_limit_seconds.set(time_ms as f64 / 1000.0);
        self.metrics.retention_limit_bytes.set(size_bytes as f64);
    }

    /// What blocks, log and head files may take; 0 for any.
    fn retention_bytes(&self) -> u64 {
        let bytes = self.retention_size_bytes.load(Ordering::Relaxed);
        let percent = f64::from_bits(self.retention_percent.load(Ordering::Relaxed));
        if percent <= 0.0 {
            return bytes;
        }
        match self.options.fs.space(&self.options.dir) {
            Ok(space) => (space.total_bytes as f64 * percent / 100.0) as u64,
            Err(e) => {
                tracing::warn!(error = %e, "the size of the file system is not known; its percentage is no limit");
                bytes
            }
        }
    }

    /// `out_of_order_time_window`: how late scrapes and rules may be.
    pub fn set_late_window_ms(&self, ms: i64) {
        self.head.set_late_window_ms(ms);
    }

    pub fn set_max_exemplars(&self, max: usize) {
        self.head.set_max_exemplars(max);
    }

    /// Compactions are left out while off; retention goes on.
    pub fn enable_compactions(&self, on: bool) {
        self.compactions.store(on, Ordering::Relaxed);
    }

    pub fn metadata_of(&self, series: SeriesRef) -> Option<Arc<Metadata>> {
        self.head.metadata_of(series)
    }

    /// Time of the oldest sample that can be answered. None when there is none.
    pub fn oldest_ms(&self) -> Option<i64> {
        let blocks = self.blocks.load();
        let blocks = blocks.iter().map(|b| b.meta().min_time_ms).min();
        let late = self.head.late_range_ms().map(|(a, _)| a);
        blocks.into_iter().chain(self.head.min_ms()).chain(late).min()
    }

    /// Stops maintenance, writes out what is gathered and lets go of the directory. The log is complete without it.
    pub fn close(&self) -> Result<(), DbError> {
        self.shutdown.request();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
        let _one = self.change.lock();
        self.head.full.close().map_err(DbError::io("write full chunks of the head"))?;
        let logs = self.logs();
        logs.wal.close()?;
        logs.wbl.close()?;
        if let Some(lock) = self.lock.lock().take() {
            let path = self.options.dir.join(open::LOCK_FILE);
            if let Err(e) = self.options.fs.remove_file(&path) {
                tracing::warn!(path = %path.display(), error = %e, "remove the lock file");
            }
            drop(lock);
        }
        Ok(())
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.shutdown.request();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads.into_iter().filter(|t| t.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Appendable for Db {
    fn appender(&self, options: AppendOptions) -> Box<dyn Appender + '_> {
        if self.live || self.is_ready() { Box::new(self.head.appender(options)) } else { Box::new(WaitingAppender::new(self, options)) }
    }
}

impl MergeStore for Db {
    fn newest_ms(&self, series: SeriesRef) -> Option<i64> {
        self.check_filled().ok()?;
        self.head.newest_ms(series)
    }

    fn times(&self, series: SeriesRef, start_ms: i64, end_ms: i64, out: &mut Vec<i64>) -> Result<(), ReadError> {
        self.check_filled()?;
        self.times_of(series, start_ms, end_ms, out)
    }

    fn is_filled(&self) -> bool {
        self.is_ready()
    }

    fn take_held(&self) -> Vec<Held> {
        self.head.take_held()
    }
}

impl SeriesLookup for Db {
    fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        self.head.labels_of(series)
    }
}

#[cfg(test)]
#[path = "db_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "interop_tests.rs"]
mod interop;

#[cfg(test)]
#[path = "fault_tests.rs"]
mod faults;

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crashes;

#[cfg(test)]
#[path = "fixture_tests.rs"]
mod fixtures;
