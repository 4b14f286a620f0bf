//! Opening a directory: lock, leftovers, blocks, full chunks, logs, replay.

use super::{Db, DbError};
use crate::block::{self, Block};
use crate::config::DbOptions;
use crate::head::chunks_head::HeadChunks;
use crate::head::replay::{FoundChunks, ReplayProgress};
use crate::head::{Head, Logs};
use crate::meta::HINT_OUT_OF_ORDER;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use stdx::fs::{File, Fs, SharedFs};
use stdx::rand::Rand;
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
        let db = Self::open_without_thread(options, progress)?;
        if db.options.background {
            let weak = Arc::downgrade(&db);
            let shutdown = db.shutdown.clone();
            let run = move || super::maintain::run(&weak, &shutdown);
            let thread = std::thread::Builder::new().name("tsdb".to_string()).spawn(run).map_err(DbError::io("start the maintenance thread"))?;
            *db.thread.lock() = Some(thread);
        }
        Ok(db)
    }

    fn open_without_thread(options: DbOptions, progress: Arc<ReplayProgress>) -> Result<Arc<Db>, DbError> {
        let (fs, dir) = (&options.fs, &options.dir);
        if options.min_block_ms <= 0 || options.max_block_ms < 0 {
            return Err(DbError::Invalid("block durations must be positive".to_string()));
        }
        let metrics = Metrics::new(&options.registry);
        fs.create_dir_all(dir).map_err(DbError::io(format!("create data directory {}", dir.display())))?;
        let lock = lock(&options, &metrics)?;
        let started = options.clock.monotonic();
        let blocks = open_blocks(fs, dir)?;
        let floor = blocks.iter().map(|b| b.meta()).filter(|m| !m.has_hint(HINT_OUT_OF_ORDER)).map(|m| m.max_time_ms).max();

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
        head.set_retention_ms(options.retention_time_ms);

        let (wal_dir, wbl_dir) = (dir.join(WAL_DIR), dir.join(WBL_DIR));
        let wal = Wal::open(Arc::clone(fs), &wal_dir, options.wal.clone(), &options.registry, Arc::clone(&options.clock))?;
        // What late samples are counted by is the log's: the second log only repeats them.
        let private = stdx::metrics::Registry::new(Arc::clone(&options.clock));
        let wbl_options = WalOptions { cursor_budget: Default::default(), ..options.wal.clone() };
        let wbl = Wal::open(Arc::clone(fs), &wbl_dir, wbl_options, &private, Arc::clone(&options.clock))?;
        let through = (wal.end().segment.saturating_sub(1), wbl.end().segment.saturating_sub(1));
        let stats = head.replay(fs, &wal_dir, &wbl_dir, through, found, &progress)?;
        head.truncate(floor.unwrap_or(i64::MIN), wal.end().segment);
        head.count_after_replay();
        let took = options.clock.monotonic() - started;
        metrics.replay_seconds.set(took.as_secs_f64());
        tracing::info!(
            records = stats.records,
            samples = stats.samples,
            late_samples = stats.late_samples,
            series = head.series_count(),
            duration = ?took,
            "log replay completed"
        );
        head.set_logs(Logs { wal: Arc::new(wal), wbl: Arc::new(wbl) });
        forget_prometheus_state(fs.as_ref(), dir)?;

        let db = Arc::new(Db {
            retention_time_ms: AtomicI64::new(options.retention_time_ms),
            retention_size_bytes: AtomicU64::new(options.retention_size_bytes),
            head: Arc::new(head),
            metrics,
            blocks: ArcSwap::from_pointee(blocks),
            change: Mutex::new(()),
            rand: Mutex::new(Rand::from_entropy()),
            compactions: AtomicBool::new(true),
            progress,
            shutdown: Shutdown::new(),
            thread: Mutex::new(None),
            lock: Mutex::new(lock),
            options,
        });
        db.set_retention(db.options.retention_time_ms, db.options.retention_size_bytes);
        db.reload()?;
        Ok(db)
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
