//! Opening a directory: lock, leftovers, blocks, full chunks, logs, replay.

use super::waiting::State;
use super::{Db, DbError};
use crate::block::{self, Block};
use crate::config::DbOptions;
use crate::head::chunks_head::HeadChunks;
use crate::head::replay::{FoundChunks, ReplayProgress};
use crate::head::snapshot::CHUNK_SNAPSHOT_PREFIX;
use crate::head::{Head, Logs};
use crate::meta::HINT_OUT_OF_ORDER;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use stdx::fs::{File, Fs, SharedFs};
use stdx::shutdown::Shutdown;
use wal::{Wal, WalOptions};

pub const LOCK_FILE: &str = "lock";
pub const WAL_DIR: &str = "wal";
pub const WBL_DIR: &str = "wbl";
pub const CHUNKS_HEAD_DIR: &str = "chunks_head";
/// Prometheus' note of its last series reference; wrong once others were given out.
const SERIES_STATE_FILE: &str = "series_state.json";

impl Db {
    /// Opens the store, made when missing, and fills the head from the log.
    pub fn open(options: DbOptions) -> Result<Arc<Db>, DbError> {
        Self::open_telling(options, Arc::default())
    }

    /// The same; `progress` may be looked at from elsewhere meanwhile.
    pub fn open_telling(options: DbOptions, progress: Arc<ReplayProgress>) -> Result<Arc<Db>, DbError> {
        let (db, rest) = Self::prepare(options, progress)?;
        if db.options.background {
            let (weak, shutdown) = (Arc::downgrade(&db), db.shutdown.clone());
            db.start_thread("tsdb", move || super::maintain::run(&weak, &shutdown))?;
        }
        if db.options.replay_behind {
            let filling = Arc::clone(&db);
            db.start_thread("tsdb-replay", move || filling.fill_or_tell(rest))?;
        } else {
            db.fill(rest)?;
        }
        Ok(db)
    }

    fn start_thread(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), DbError> {
        let thread = std::thread::Builder::new().name(name.to_string()).spawn(run).map_err(DbError::io(format!("start thread {name}")))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Everything but the replay.
    pub(super) fn prepare(options: DbOptions, progress: Arc<ReplayProgress>) -> Result<(Arc<Db>, Rest), DbError> {
        let (fs, dir) = (&options.fs, &options.dir);
        if options.min_block_ms <= 0 || options.max_block_ms < 0 {
            return Err(DbError::Invalid("block durations must be positive".to_string()));
        }
        let metrics = Metrics::new(&options.registry);
        fs.create_dir_all(dir).map_err(DbError::io(format!("create data directory {}", dir.display())))?;
        let lock = lock(fs, dir, options.lock_file, &metrics.clean_start)?;
        let (blocks, bad) = open_blocks(fs, dir)?;
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
        let wal = Wal::open(Arc::clone(fs), &dir.join(WAL_DIR), options.wal.clone(), &options.registry, Arc::clone(clock))?;
        // Its metrics would be mixed up with the log's: it only repeats late samples.
        let private = stdx::metrics::Registry::new(Arc::clone(clock));
        let wbl_options = WalOptions { cursor_budget: Default::default(), ..options.wal.clone() };
        let wbl = Wal::open(Arc::clone(fs), &dir.join(WBL_DIR), wbl_options, &private, Arc::clone(clock))?;
        crate::head::snapshot::take_exemplars(fs, dir, &head);
        forget_prometheus_state(fs.as_ref(), dir)?;
        // The names of the directories made just now must be on the disk before anything in them is promised.
        for d in std::iter::once(dir.as_path()).chain(dir.parent().filter(|p| !p.as_os_str().is_empty())) {
            fs.sync_dir(d).map_err(DbError::io(format!("sync directory {}", d.display())))?;
        }
        let logs = Logs { wal: Arc::new(wal), wbl: Arc::new(wbl) };
        // Both logs go on in new segments: what stands before them is replayed, what comes meanwhile is written behind.
        let late_log_bytes = wal::segment::list(fs.as_ref(), logs.wbl.dir())?.iter().map(|s| s.len).sum();
        let through = (logs.wal.end().segment.saturating_sub(1), logs.wbl.end().segment.saturating_sub(1));
        head.set_logs(logs.clone());
        let foreign = wal::replay::opening_of(fs.as_ref(), logs.wal.dir(), through.0)?.is_some_and(|r| wal::record::decode_references(&r).is_err());
        let known = match options.replay_behind {
            true => known_references(fs.as_ref(), &logs.wal, through.0, found.is_empty() && late_log_bytes == 0)?,
            false => None,
        };
        let live = match known {
            Some(last) => {
                // The newest declaration may be lost together with its segment.
                let last = found.keys().copied().fold(last, u64::max);
                head.set_filling(true);
                head.references_begin_above(last).map_err(|e| DbError::Invalid(e.to_string()))?;
                true
            }
            None => false,
        };
        let db = Arc::new(Db {
            retention_time_ms: AtomicI64::new(options.retention_time_ms),
            retention_size_bytes: AtomicU64::new(options.retention_size_bytes),
            retention_percent: AtomicU64::new(0),
            set_aside: Mutex::default(),
            births: Mutex::default(),
            head: Arc::new(head),
            logs,
            live,
            late_log_bytes,
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
            threads: Mutex::default(),
            lock: Mutex::new(lock),
            options,
        });
        db.set_retention(db.options.retention_time_ms, db.options.retention_size_bytes, db.options.retention_percent);
        db.put_aside(bad);
        Ok((db, Rest { found, foreign, through }))
    }

    fn fill_or_tell(&self, rest: Rest) {
        if let Err(e) = self.fill(rest)
            && !self.shutdown.is_requested()
        {
            tracing::error!(error = %e, "log replay failed; the store takes and answers nothing");
        }
    }

    /// Replays the log. Queries of the head are answered in full from the end of it on.
    pub(super) fn fill(&self, rest: Rest) -> Result<(), DbError> {
        let result = self.try_fill(rest);
        self.set_state(match &result {
            Ok(()) => State::Ready,
            Err(e) => {
                let why = format!("log replay failed: {e}");
                self.head.refuse(why.clone());
                State::Failed(Arc::new(why))
            }
        });
        result
    }

    fn try_fill(&self, rest: Rest) -> Result<(), DbError> {
        let clock = &self.options.clock;
        let started = clock.monotonic();
        let (wal, wbl) = (&self.logs.wal, &self.logs.wbl);
        let stop = || self.shutdown.is_requested();
        let rest_foreign = rest.foreign;
        let stats = self.head.replay(&self.options.fs, wal.dir(), wbl.dir(), rest.through, rest.found, &self.progress, &stop)?;
        if !self.live {
            let last = self.head.last_reference();
            self.head.references_begin_above(last).map_err(|e| DbError::Invalid(e.to_string()))?;
        }
        self.head.truncate(self.head.floor_ms(), wal.end().segment);
        self.head.count_after_replay();
        self.head.end_filling();
        if rest_foreign {
            self.take_deletions_over()?;
        }
        self.note_births();
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

impl Db {
    /// Prometheus deletes late samples that are in blocks already only there, and its log, from which they come back, goes on naming them: what is
    /// deleted in a block is deleted in the head too, for good.
    fn take_deletions_over(&self) -> Result<(), DbError> {
        let floor = self.head.floor_ms();
        let (mut gone, mut labels) = (Vec::new(), Vec::new());
        for b in self.blocks.load().iter().filter(|b| b.meta().max_time_ms > floor) {
            for (reference, intervals) in b.tombstones().iter() {
                let Ok(reference) = u32::try_from(reference) else { continue };
                labels.clear();
                if b.index().labels(reference, &mut labels).is_err() {
                    continue;
                }
                let behind_floor = intervals.as_slice().iter().filter(|i| i.maxt_ms >= floor);
                gone.extend(behind_floor.map(|i| (model::LabelsRef::from_encoded(&labels).to_labels(), i.mint_ms, i.maxt_ms)));
            }
        }
        let n = self.head.delete_of(&gone)?;
        if n > 0 {
            tracing::info!(intervals = n, "took deletions over from blocks that are beside the head");
        }
        Ok(())
    }
}

/// What is left to do when a directory is opened.
pub(super) struct Rest {
    found: FoundChunks,
    /// Another program wrote the log last.
    foreign: bool,
    /// The last segments to replay, of both logs.
    through: (u64, u64),
}

/// Up to where references may be in use, when the log says so: a new log, or one that we wrote last. `alone`: nothing else may refer to series.
fn known_references(fs: &dyn Fs, wal: &Wal, last: u64, alone: bool) -> Result<Option<u64>, DbError> {
    if let Some(record) = wal::replay::opening_of(fs, wal.dir(), last)? {
        return Ok(wal::record::decode_references(&record).ok());
    }
    let empty = wal::segment::list(fs, wal.dir())?.iter().all(|s| s.len == 0) && wal::checkpoint::last(fs, wal.dir())?.is_none();
    Ok((empty && alone).then_some(0))
}

/// Takes the lock file of a directory, when that is wanted; `clean_start` tells how it was found.
pub(crate) fn lock(fs: &SharedFs, dir: &Path, wanted: bool, clean_start: &stdx::metrics::Gauge) -> Result<Option<Box<dyn File>>, DbError> {
    if !wanted {
        clean_start.set(-1.0);
        return Ok(None);
    }
    let path = dir.join(LOCK_FILE);
    let left_behind = fs.exists(&path);
    let mut file = fs.lock(&path).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => DbError::Locked(dir.to_path_buf()),
        _ => DbError::Io { doing: format!("lock DB directory {}", dir.display()), source: e },
    })?;
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_at(0, pid.as_bytes())).map_err(DbError::io("write the lock file"))?;
    clean_start.set(if left_behind { 0.0 } else { 1.0 });
    if left_behind {
        tracing::warn!("a lock file from a previous execution was replaced: it did not end cleanly");
    }
    Ok(Some(file))
}

/// Opens all blocks, without those that cannot be, and removes what an interrupted compaction or deletion left.
fn open_blocks(fs: &SharedFs, dir: &Path) -> Result<(Vec<Arc<Block>>, BTreeMap<String, String>), DbError> {
    let (dirs, leftovers) = block::list_dirs(fs, dir)?;
    for path in leftovers {
        tracing::info!(path = %path.display(), "removing an unfinished block directory");
        fs.remove_dir_all(&path).map_err(DbError::io(format!("remove {}", path.display())))?;
    }
    let (mut blocks, mut bad) = (Vec::new(), BTreeMap::new());
    for path in dirs {
        match Block::open(fs, &path) {
            Ok(b) => blocks.push(b),
            Err(e) => drop(bad.insert(name_of(&path), e.to_string())),
        }
    }
    blocks.sort_by_key(|b| (b.meta().min_time_ms, b.ulid()));
    Ok((blocks, bad))
}

pub(super) fn name_of(block: &Path) -> String {
    block.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
