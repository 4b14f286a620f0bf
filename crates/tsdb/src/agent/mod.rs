//! The store of a forward-only leaf (`--agent`): the log and the names of the series in it. No chunks, no blocks, nothing to query.
//!
//! What is appended is written to the log and forgotten; uplinks read it there, behind their cursors. Kept in memory is what the log needs to be written and
//! read: each series' labels, reference, and the time of its newest sample. The directory is that of Prometheus' agent (`wal/`), and either program goes on with
//! what the other left.
//!
//! [`appender`] writes, [`replay`] learns the series again after a start, [`truncate`] forgets series that are gone and cuts the log.

mod appender;
mod metrics;
mod replay;
mod truncate;

use crate::db::DbError;
use crate::db::open::{LOCK_FILE, WAL_DIR, lock};
use crate::head::index::{HeadIndex, check_labels};
use crate::head::slab::Slab;
use appender::AgentAppender;
use hashbrown::HashMap;
use metrics::Metrics;
use model::{Labels, LabelsRef, Metadata};
use parking_lot::{Mutex, RwLock};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::fs::{File, SharedFs};
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;
use storage::{
    AppendError, AppendOptions, Appendable, Appender, ExemplarQueryable, ExemplarSeries, Held, MergeStore, Querier, Queryable, ReadError,
    SeriesLookup, SeriesRef,
};
use wal::{Wal, WalOptions};

/// What [`AgentDb::open`] takes.
#[derive(Clone)]
pub struct AgentOptions {
    pub dir: PathBuf,
    pub fs: SharedFs,
    pub clock: SharedClock,
    pub registry: Registry,
    pub wal: WalOptions,
    pub lock_file: bool,
    /// How often series that are gone are forgotten and the log is cut (`--storage.agent.wal-truncate-frequency`).
    pub truncate_every: Duration,
    /// Series with a sample younger than this are not forgotten (`--storage.agent.retention.min-time`).
    pub min_time: Duration,
    /// Series that may be known; 0: no limit.
    pub max_series: u64,
    /// Cut the log from a thread of the store. Tests call [`AgentDb::truncate`] themselves.
    pub background: bool,
}

/// What is remembered of a series.
#[derive(Default)]
struct SeriesState {
    /// Its reference; 0 when the slot is free.
    id: AtomicU64,
    /// Time of its newest sample; `i64::MIN` before the first.
    newest_ms: AtomicI64,
    /// Its labels are in the log.
    logged: AtomicBool,
    /// Batches that hold samples of it.
    pins: AtomicU64,
}

/// Shared by everybody who writes, and by the uplinks. [`AgentDb::close`] ends it.
pub struct AgentDb {
    options: AgentOptions,
    wal: Arc<Wal>,
    index: RwLock<HeadIndex>,
    hasher: foldhash::fast::RandomState,
    slots: Slab<SeriesState>,
    last_id: AtomicU64,
    /// Series that were forgotten while the log still speaks of them: labels, and the last segment that may.
    departed: Mutex<HashMap<u64, (Labels, u64), foldhash::fast::RandomState>>,
    metadata: Mutex<HashMap<u64, Metadata, foldhash::fast::RandomState>>,
    /// Last exemplar of each series that has some: a page repeats it until there is a newer one.
    exemplars: Mutex<HashMap<u64, (i64, u64), foldhash::fast::RandomState>>,
    batches: Mutex<Vec<appender::Batch>>,
    refused: RwLock<Option<Arc<str>>>,
    metrics: Metrics,
    shutdown: Shutdown,
    thread: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn File>>>,
}

impl AgentDb {
    /// Opens the directory and learns the series that its log speaks of.
    pub fn open(options: AgentOptions) -> Result<Arc<AgentDb>, DbError> {
        let (fs, dir, clock) = (&options.fs, &options.dir, &options.clock);
        let metrics = Metrics::new(&options.registry);
        fs.create_dir_all(dir).map_err(DbError::io(format!("create data directory {}", dir.display())))?;
        let lock = lock(fs, dir, options.lock_file, &metrics.clean_start)?;
        let wal = Wal::open(Arc::clone(fs), &dir.join(WAL_DIR), options.wal.clone(), &options.registry, Arc::clone(clock))?;
        for d in std::iter::once(dir.as_path()).chain(dir.parent().filter(|p| !p.as_os_str().is_empty())) {
            fs.sync_dir(d).map_err(DbError::io(format!("sync directory {}", d.display())))?;
        }
        let index = HeadIndex::new();
        let db = AgentDb {
            hasher: index.hasher(),
            index: RwLock::new(index),
            wal: Arc::new(wal),
            slots: Slab::new(),
            last_id: AtomicU64::new(0),
            departed: Mutex::default(),
            metadata: Mutex::default(),
            exemplars: Mutex::default(),
            batches: Mutex::default(),
            refused: RwLock::default(),
            metrics,
            shutdown: Shutdown::new(),
            thread: Mutex::default(),
            lock: Mutex::new(lock),
            options,
        };
        db.replay()?;
        let db = Arc::new(db);
        if db.options.background {
            let (weak, shutdown) = (Arc::downgrade(&db), db.shutdown.clone());
            let run = move || maintain(&weak, &shutdown);
            let thread = std::thread::Builder::new().name("agent".to_string()).spawn(run).map_err(DbError::io("start the maintenance thread"))?;
            *db.thread.lock() = Some(thread);
        }
        Ok(db)
    }

    /// The log, for uplinks.
    pub fn wal(&self) -> &Arc<Wal> {
        &self.wal
    }

    pub fn series_count(&self) -> u64 {
        self.index.read().len()
    }

    fn slot(&self, slot: u32) -> &SeriesState {
        self.slots.get(slot).expect("a slot of the index has its state")
    }

    /// Finds or takes in a series. `id` when the log named it. True when it is new.
    fn find_or_create(&self, labels: LabelsRef<'_>, id: Option<u64>) -> Result<(u32, bool), AppendError> {
        use std::hash::BuildHasher;
        let hash = self.hasher.hash_one(labels.encoded());
        if let Some(slot) = self.index.read().find(hash, labels) {
            return Ok((slot, false));
        }
        check_labels(labels).map_err(AppendError::InvalidLabels)?;
        let mut index = self.index.write();
        if let Some(slot) = index.find(hash, labels) {
            return Ok((slot, false));
        }
        let limit = self.options.max_series;
        if id.is_none() && limit > 0 && index.len() >= limit {
            return Err(AppendError::SeriesLimit { limit, scope: "agent".to_string() });
        }
        let given = id.unwrap_or_else(|| self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let slot = index.add(hash, labels, given);
        let s = self.slots.ensure(slot);
        s.newest_ms.store(i64::MIN, Ordering::Relaxed);
        s.logged.store(id.is_some(), Ordering::Relaxed);
        s.pins.store(0, Ordering::Relaxed);
        s.id.store(given, Ordering::Release);
        self.metrics.active_series.set(index.len() as f64);
        Ok((slot, true))
    }

    fn check_refused(&self) -> Result<(), AppendError> {
        match &*self.refused.read() {
            Some(why) => Err(AppendError::Unavailable(why.to_string())),
            None => Ok(()),
        }
    }

    /// Syncs and closes the log, and lets go of the directory.
    pub fn close(&self) -> Result<(), DbError> {
        self.shutdown.request();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's maintenance thread had panicked");
        }
        self.wal.close()?;
        if let Some(lock) = self.lock.lock().take() {
            let path = self.options.dir.join(LOCK_FILE);
            if let Err(e) = self.options.fs.remove_file(&path) {
                tracing::warn!(path = %path.display(), error = %e, "remove the lock file");
            }
            drop(lock);
        }
        Ok(())
    }
}

/// The maintenance thread.
fn maintain(db: &Weak<AgentDb>, shutdown: &Shutdown) {
    const TICK: Duration = Duration::from_secs(1);
    let mut next = None;
    while !shutdown.wait_timeout(TICK) {
        let Some(db) = db.upgrade() else { return };
        if let Err(e) = db.wal.sync_if_due() {
            db.refused.write().get_or_insert_with(|| e.to_string().into());
        }
        let (now, every) = (db.options.clock.monotonic(), db.options.truncate_every);
        if now < *next.get_or_insert(now + every) {
            continue;
        }
        next = Some(now + every);
        if let Err(e) = db.truncate() {
            tracing::error!(error = %e, "cut the log");
        }
    }
}

impl Drop for AgentDb {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Appendable for AgentDb {
    fn appender(&self, options: AppendOptions) -> Box<dyn Appender + '_> {
        Box::new(AgentAppender::new(self, options))
    }
}

impl SeriesLookup for AgentDb {
    fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        let index = self.index.read();
        match index.slot_of(series.0) {
            Some(slot) => Some(index.labels(slot)),
            None => self.departed.lock().get(&series.0).map(|(labels, _)| labels.clone()),
        }
    }
}

/// So that a forward-only leaf can receive. Nothing can be merged where nothing is stored: its receiver has no replica labels.
impl MergeStore for AgentDb {
    fn newest_ms(&self, series: SeriesRef) -> Option<i64> {
        let slot = self.index.read().slot_of(series.0)?;
        Some(self.slot(slot).newest_ms.load(Ordering::Relaxed)).filter(|t| *t != i64::MIN)
    }

    fn times(&self, _series: SeriesRef, _start_ms: i64, _end_ms: i64, _out: &mut Vec<i64>) -> Result<(), ReadError> {
        Err(nothing_to_query())
    }

    fn take_held(&self) -> Vec<Held> {
        Vec::new()
    }
}

fn nothing_to_query() -> ReadError {
    ReadError::Other("unavailable with Prometheus Agent".to_string())
}

impl Queryable for AgentDb {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Err(nothing_to_query())
    }
}

impl ExemplarQueryable for AgentDb {
    fn exemplars(&self, _start_ms: i64, _end_ms: i64, _matcher_sets: &[Vec<model::Matcher>]) -> Result<Vec<ExemplarSeries>, ReadError> {
        Err(nothing_to_query())
    }
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
