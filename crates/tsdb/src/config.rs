//! What can be set about the store. Data only; the binary fills it from its flags, the defaults are Prometheus'.

use std::path::PathBuf;
use stdx::clock::SharedClock;
use stdx::fs::SharedFs;
use stdx::metrics::Registry;
use stdx::rand::Rand;

pub const HOUR_MS: i64 = 3_600_000;
pub const DEFAULT_BLOCK_MS: i64 = 2 * HOUR_MS;
pub const DEFAULT_RETENTION_MS: i64 = 15 * 24 * HOUR_MS;
pub const DEFAULT_MAX_EXEMPLARS: usize = 100_000;
/// Late samples that may wait in memory for a block, before they are compacted early.
pub const DEFAULT_MAX_LATE_SAMPLES: u64 = 20_000_000;
/// Samples further in the future are refused, as Prometheus refuses them when scraping.
pub const MAX_FUTURE_MS: i64 = 10 * 60_000;

/// What [`crate::db::Db::open`] takes.
#[derive(Clone)]
pub struct DbOptions {
    pub dir: PathBuf,
    pub fs: SharedFs,
    pub clock: SharedClock,
    pub registry: Registry,
    /// For names of blocks.
    pub rand: Rand,
    /// 0: for ever.
    pub retention_time_ms: i64,
    /// 0: no limit.
    pub retention_size_bytes: u64,
    /// Percent of the file system that blocks, log and head files may take; goes before the size. 0: no limit.
    pub retention_percent: f64,
    pub min_block_ms: i64,
    pub max_block_ms: i64,
    pub wal: wal::WalOptions,
    /// Take the `lock` file, so that no second process opens the directory.
    pub lock_file: bool,
    pub head: HeadOptions,
    /// Compactions wait for blocks that this file (of an uploader) does not list yet.
    pub delay_compact_file: Option<PathBuf>,
    /// Run maintenance from a thread of the store. Tests and simulations call [`crate::db::Db::maintain`] themselves.
    pub background: bool,
    /// [`crate::db::Db::open`] returns before the log is replayed; what is written meanwhile waits for the head, queries are refused until it is filled.
    pub replay_behind: bool,
}

/// What concerns samples in memory.
#[derive(Clone, Copy, Debug)]
pub struct HeadOptions {
    /// How far behind the newest sample scrapes and rules may be late (`out_of_order_time_window`); 0: not at all. What peers send may be as old as the retention.
    pub late_window_ms: i64,
    pub max_exemplars: usize,
    /// Series in the head; 0: no limit.
    pub max_series: u64,
    /// Series in the head with the same `job`; 0: no limit.
    pub max_series_per_job: u64,
    pub max_late_samples: u64,
    /// Write float chunks as XOR2, which Prometheus before 3.14 and Thanos cannot read.
    pub xor2: bool,
    /// Threads that fill the head from the log; 0: as many as there are cores. A simulation takes one, for its order.
    pub replay_workers: usize,
}

impl Default for HeadOptions {
    fn default() -> Self {
        HeadOptions {
            late_window_ms: 0,
            max_exemplars: DEFAULT_MAX_EXEMPLARS,
            max_series: 0,
            max_series_per_job: 0,
            max_late_samples: DEFAULT_MAX_LATE_SAMPLES,
            xor2: false,
            replay_workers: 0,
        }
    }
}

impl DbOptions {
    pub fn new(dir: impl Into<PathBuf>, fs: SharedFs, clock: SharedClock, registry: Registry) -> Self {
        DbOptions {
            dir: dir.into(),
            fs,
            clock,
            registry,
            rand: Rand::from_entropy(),
            retention_time_ms: DEFAULT_RETENTION_MS,
            retention_size_bytes: 0,
            retention_percent: 0.0,
            min_block_ms: DEFAULT_BLOCK_MS,
            max_block_ms: DEFAULT_RETENTION_MS / 10,
            wal: wal::WalOptions::default(),
            lock_file: true,
            head: HeadOptions::default(),
            delay_compact_file: None,
            background: true,
            replay_behind: false,
        }
    }
}
