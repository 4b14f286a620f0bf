//! Opening a directory: lock, leftovers, blocks, full chunks, logs, replay.

use super::waiting::State;
use super::{Db, DbError};
use crate::block::{self, Block};
use crate::config::DbOptions;
use crate::head::chunks_head::HeadChunks;
use crate::head::replay::{FoundChunks, ReplayProgress};
use crate::head::{Head, Logs};
use crate::meta::HINT_OUT_OF_ORDER;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use stdx::fs::{File, Fs, Open, SharedFs};
use stdx::shutdown::Shutdown;
use wal::{Wal, WalOptions};

pub const LOCK_FILE: &str = "lock";
pub const WAL_DIR: &str = "wal";
pub const WBL_DIR: &str = "wbl";
pub const CHUNKS_HEAD_DIR: &str = "chunks_head";
/// Prometheus' dump of open chunks; never needed beside the log, and wrong once the log went on.
const CHUNK_SNAPSHOT_PREFIX: &str = "chunk_snapshot.";
/// Prometheus' note of its last series reference; wrong once others were given out.
const SERIES_STATE_FILE: &str = "series_state.json";

impl Db {
    /// Opens the store, made when missing, and fills the head from the log.
    pub fn open(options: DbOptions) -> Result<Arc<Db>, DbError> {
        Self::open_telling(options, Arc::default())
    }

    /// The same; `progress` may be looked at from elsewhere meanwhile.
    pub fn open_telling(options: DbOptions, progress: Arc<ReplayProgress>) -> Result<Arc<Db>, DbError> {
        let (db, found) = Self::prepare(options, progress)?;
        let behind = db.options.replay_behind;
        if !behind {
            db.fill(found)?;
        } else if db.options.background {
            return db.start_thread(Some(found));
        } else {
            let filling = Arc::clone(&db);
            let fill = move || filling.fill_or_tell(found);
            std::thread::Builder::new().name("tsdb-replay".to_string()).spawn(fill).map_err(DbError::io("start the replay thread"))?;
            return Ok(db);
        }
        if db.options.background { db.start_thread(None) } else { Ok(db) }
    }

    /// Starts the thread that replays, when there is something left to replay, and maintains.
    fn start_thread(self: Arc<Db>, found: Option<FoundChunks>) -> Result<Arc<Db>, DbError> {
        let weak = Arc::downgrade(&self);
        let shutdown = self.shutdown.clone();
        let filling = found.map(|f| (Arc::clone(&self), f));
        let run = move || {
            if let Some((db, found)) = filling
                && !db.fill_or_tell(found)
            {
                return;
            }
            super::maintain::run(&weak, &shutdown);
        };
        let thread = std::thread::Builder::new().name("tsdb".to_string()).spawn(run).map_err(DbError::io("start the maintenance thread"))?;
        *self.thread.lock() = Some(thread);
        Ok(self)
    }

    /// Everything but the replay.
    fn prepare(options: DbOptions, progress: Arc<ReplayProgress>) -> Result<(Arc<Db>, FoundChunks), DbError> {
        let (fs, dir) = (&options.fs, &options.dir);
        if options.min_block_ms <= 0 || options.max_block_ms < 0 {
            return Err(DbError::Invalid("block durations must be positive".to_string()));
        }
        let metrics = Metrics::new(&options.registry);
        fs.create_dir_all(dir).map_err(DbError::io(format!("create data directory {}", dir.display())))?;
        let lock = lock(&options, &metrics)?;
        let blocks = open_blocks(fs, dir)?;
        let floor = blocks.iter().map(|b| b.meta()).filter(|m| !m.has_hint(HINT_OUT_OF_ORDER)).map(|m| m.max_time_ms).max();
        let last_ulid = blocks.iter().map(|b| b.ulid()).max().unwrap_or_default();
        let mut found = FoundChunks::default();
        let (full, damage) = HeadChunks::open(Arc::clone(fs), &dir.join(CHUNKS_HEAD_DIR), |c| found.entry(c.id).or_default().push(c))
            .map_err(DbError::io("open full chunks of the head"))?;
        if let Some(what) = damage {
            metrics.mmap_chunk_corruptions.inc();
            tracing::warn!(damage = %what, "full chunks of the head are damaged; they are made again from the log");
        }
        let head = Head::new(options.head, options.min_block_ms, Arc::clone(&options.clock), metrics.clone(), full);
        if let Some(floor) = floor {
            head.raise_floor(floor);
        }
        let clock = &options.clock;
        for log in [WAL_DIR, WBL_DIR] {
            fill_gaps(fs.as_ref(), &dir.join(log))?;
        }
        let wal = Wal::open(Arc::clone(fs), &dir.join(WAL_DIR), options.wal.clone(), &options.registry, Arc::clone(clock))?;
        // Its metrics would be mixed up with the log's: it only repeats late samples.
        let private = stdx::metrics::Registry::new(Arc::clone(clock));
        let wbl_options = WalOptions { cursor_budget: Default::default(), ..options.wal.clone() };
        let wbl = Wal::open(Arc::clone(fs), &dir.join(WBL_DIR), wbl_options, &private, Arc::clone(clock))?;
        forget_prometheus_state(fs.as_ref(), dir)?;
        // The names of the directories made just now must be on the disk before anything in them is promised.
        for d in std::iter::once(dir.as_path()).chain(dir.parent().filter(|p| !p.as_os_str().is_empty())) {
            fs.sync_dir(d).map_err(DbError::io(format!("sync directory {}", d.display())))?;
        }
        let db = Arc::new(Db {
            retention_time_ms: AtomicI64::new(options.retention_time_ms),
            retention_size_bytes: AtomicU64::new(options.retention_size_bytes),
            head: Arc::new(head),
            logs: Logs { wal: Arc::new(wal), wbl: Arc::new(wbl) },
            metrics,
            blocks: ArcSwap::from_pointee(blocks),
            change: Mutex::new(()),
            ulids: Mutex::new((options.rand.clone(), last_ulid)),
            compactions: AtomicBool::new(true),
            progress,
            state: Mutex::new(State::Replaying),
            state_changed: Condvar::new(),
            ready: AtomicBool::new(false),
            waiting_bytes: AtomicU64::new(0),
            shutdown: Shutdown::new(),
            thread: Mutex::new(None),
            lock: Mutex::new(lock),
            options,
        });
        db.set_retention(db.options.retention_time_ms, db.options.retention_size_bytes);
        Ok((db, found))
    }

    fn fill_or_tell(&self, found: FoundChunks) -> bool {
        self.fill(found).inspect_err(|e| tracing::error!(error = %e, "log replay failed; the store takes and answers nothing")).is_ok()
    }

    /// Replays the log; batches and queries are let in at the end.
    fn fill(&self, found: FoundChunks) -> Result<(), DbError> {
        let result = self.try_fill(found);
        self.set_state(match &result {
            Ok(()) => State::Ready,
            Err(e) => State::Failed(Arc::new(format!("log replay failed: {e}"))),
        });
        result
    }

    fn try_fill(&self, found: FoundChunks) -> Result<(), DbError> {
        let clock = &self.options.clock;
        let started = clock.monotonic();
        let (wal, wbl) = (&self.logs.wal, &self.logs.wbl);
        // Both logs go on in new segments, to which nothing is written before the head is filled.
        let through = (wal.end().segment.saturating_sub(1), wbl.end().segment.saturating_sub(1));
        let stats = self.head.replay(&self.options.fs, wal.dir(), wbl.dir(), through, found, &self.progress)?;
        self.head.truncate(self.head.floor_ms(), wal.end().segment);
        self.head.count_after_replay();
        self.head.set_logs(self.logs.clone());
        let took = clock.monotonic() - started;
        self.metrics.replay_seconds.set(took.as_secs_f64());
        tracing::info!(
            records = stats.records,
            samples = stats.samples,
            late_samples = stats.late_samples,
            series = self.head.series_count(),
            duration = ?took,
            "log replay completed"
        );
        self.reload()
    }
}

fn lock(options: &DbOptions, metrics: &Metrics) -> Result<Option<Box<dyn File>>, DbError> {
    if !options.lock_file {
        metrics.clean_start.set(-1.0);
        return Ok(None);
    }
    let path = options.dir.join(LOCK_FILE);
    let left_behind = options.fs.exists(&path);
    let mut file = options.fs.lock(&path).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => DbError::Locked(options.dir.clone()),
        _ => DbError::Io { doing: format!("lock DB directory {}", options.dir.display()), source: e },
    })?;
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_at(0, pid.as_bytes())).map_err(DbError::io("write the lock file"))?;
    metrics.clean_start.set(if left_behind { 0.0 } else { 1.0 });
    if left_behind {
        tracing::warn!("a lock file from a previous execution was replaced: it did not end cleanly");
    }
    Ok(Some(file))
}

/// Opens all blocks, without those that cannot be, and removes what an interrupted compaction or deletion left.
pub(super) fn open_blocks(fs: &SharedFs, dir: &Path) -> Result<Vec<Arc<Block>>, DbError> {
    let (dirs, leftovers) = block::list_dirs(fs, dir)?;
    for path in leftovers {
        tracing::info!(path = %path.display(), "removing an unfinished block directory");
        fs.remove_dir_all(&path).map_err(DbError::io(format!("remove {}", path.display())))?;
    }
    let mut blocks = Vec::new();
    for path in dirs {
        match Block::open(fs, &path) {
            Ok(b) => blocks.push(b),
            Err(e) => tracing::error!(block = %path.display(), error = %e, "block cannot be opened; it is set aside and the rest is served"),
        }
    }
    blocks.sort_by_key(|b| (b.meta().min_time_ms, b.ulid()));
    Ok(blocks)
}

fn forget_prometheus_state(fs: &dyn Fs, dir: &Path) -> Result<(), DbError> {
    for e in fs.list(dir).map_err(DbError::io("list the data directory"))? {
        if e.is_dir && e.name.starts_with(CHUNK_SNAPSHOT_PREFIX) {
            fs.remove_dir_all(&dir.join(&e.name)).map_err(DbError::io(format!("remove {}", e.name)))?;
        }
    }
    let state = dir.join(WAL_DIR).join(SERIES_STATE_FILE);
    if fs.exists(&state) {
        fs.remove_file(&state).map_err(DbError::io(format!("remove {}", state.display())))?;
    }
    Ok(())
}

/// More missing segments than this in one place are no trace of a crash.
const MAX_GAP: u64 = 1000;

/// A power cut may take the name of a segment and leave the next one's, or bring an old one back: then empty segments take the places between, so
/// that the log is a sequence for everyone who opens it. Nothing that was acknowledged can have stood there.
fn fill_gaps(fs: &dyn Fs, dir: &Path) -> Result<(), DbError> {
    if !fs.exists(dir) {
        return Ok(());
    }
    let list = fs.list(dir).map_err(DbError::io(format!("list log directory {}", dir.display())))?;
    let mut numbers: Vec<u64> =
        list.iter().filter(|e| !e.is_dir && e.name.bytes().all(|b| b.is_ascii_digit())).filter_map(|e| e.name.parse().ok()).collect();
    numbers.sort_unstable();
    for w in numbers.windows(2).filter(|w| w[1] > w[0] + 1 && w[1] - w[0] <= MAX_GAP) {
        tracing::warn!(dir = %dir.display(), after = w[0], before = w[1], "segments of the log are missing after a crash; empty ones take their place");
        for n in w[0] + 1..w[1] {
            let path = dir.join(format!("{n:08}"));
            fs.open(&path, Open::CreateNew).map_err(DbError::io(format!("create segment {}", path.display())))?;
        }
    }
    Ok(())
}
