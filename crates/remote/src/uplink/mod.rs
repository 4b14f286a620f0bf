//! The uplink: sends what the log holds to a parent, behind a durable cursor, until the parent has acknowledged it.
//!
//! One uplink for each `remote_write` entry. It has no queue on disk of its own: it reads the head's log ([`wal`]) from the place up to which the parent has
//! everything, and holds the log back from being cut. After any stop it goes on there. Sent at least once; a receiver of ours stores it once.
//!
//! The way of a sample, which is also the order to read in: `link` (reads the log) -> `feed` (record to items) -> `queue` (one for each shard, by series) ->
//! `sender` (batches, tries again, splits what is refused) -> `transport` -> back to `tracker` (what is acknowledged) -> `cursor` (on disk).
//! Beside it: `series` (labels as they are sent), `backlog` (the second lane and what is read back from blocks), `metadata`.
//!
//! No HTTP server and no knowledge of the head: labels and stored samples come through the storage traits.

mod backlog;
mod batch;
mod cursor;
mod feed;
mod lane;
mod link;
mod metadata;
mod metrics;
mod queue;
mod sender;
mod series;
mod shared;
mod tasks;
mod tracker;
mod transport;

pub use batch::Counts;
pub use cursor::{Cursor, LogRange, TimeRange};
pub use link::SecondLane;
pub use metadata::MetadataSource;
pub use tasks::{OnRuntime, Tasks, Work};
pub use transport::{Answer, Features, HttpTransport, Push, Sending, Transport, TransportError};

use crate::config::RemoteWriteConfig;
use link::{Link, Running};
use metrics::Metrics;
use model::Labels;
use parking_lot::Mutex;
use series::{Naming, SeriesCache};
use shared::{Parent, Seldom, Shared};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::fs::SharedFs;
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;
use storage::{Queryable, SeriesLookup};
use wal::Wal;

/// Makes the way to a destination. The program uses [`HttpTransport`]; a simulation its own.
pub type Connect = Arc<dyn Fn(&RemoteWriteConfig, &str) -> Result<Arc<dyn Transport>, UplinkError> + Send + Sync>;

/// What all uplinks of a server need.
#[derive(Clone)]
pub struct Deps {
    pub wal: Arc<Wal>,
    pub series: Arc<dyn SeriesLookup>,
    /// For ranges that have left the log; None where there are no blocks (a forward-only leaf).
    pub blocks: Option<Arc<dyn Queryable>>,
    /// Time of the oldest stored sample.
    pub oldest_stored_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
    pub metadata: Option<Arc<dyn MetadataSource>>,
    pub fs: SharedFs,
    pub clock: SharedClock,
    pub registry: Registry,
    /// For those who stop or change uplinks and may block.
    pub runtime: tokio::runtime::Handle,
    /// Where the lanes run; [`OnRuntime`] in the program.
    pub tasks: Arc<dyn Tasks>,
    /// `<data>/uplink`; one directory in it for each destination.
    pub dir: PathBuf,
    /// How long a stop waits for what is queued.
    pub flush_deadline: Duration,
    pub second_lane: SecondLane,
    pub connect: Connect,
}

/// [`Connect`] over HTTP. `sender` is what this server calls itself to its parents, "" for nothing.
pub fn http_connect(options: client::Options, sender: &str) -> Connect {
    let sender = sender.to_string();
    Arc::new(move |config, name| {
        HttpTransport::new(config, name, &sender, &options)
            .map(|t| Arc::new(t) as Arc<dyn Transport>)
            .map_err(|e| UplinkError::Destination { url: config.url.redacted(), why: e.to_string() })
    })
}

#[derive(Clone, Debug)]
pub enum UplinkError {
    /// Two entries for the same destination.
    Duplicate {
        url: String,
    },
    /// Two entries with one name.
    DuplicateName {
        name: String,
    },
    /// The destination cannot be set up as configured.
    Destination {
        url: String,
        why: String,
    },
    /// The cursor's directory or file cannot be used.
    Cursor {
        path: PathBuf,
        why: String,
    },
    Thread(String),
}

impl fmt::Display for UplinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UplinkError::Duplicate { url } => write!(f, "duplicate remote write configs are not allowed, found duplicate for URL: {url}"),
            UplinkError::DuplicateName { name } => write!(f, "found multiple remote write configs with job name {name:?}"),
            UplinkError::Destination { url, why } => write!(f, "set up remote write to {url}: {why}"),
            UplinkError::Cursor { path, why } => write!(f, "open uplink cursor {}: {why}", path.display()),
            UplinkError::Thread(why) => write!(f, "start uplink thread: {why}"),
        }
    }
}

impl std::error::Error for UplinkError {}

/// How one uplink is doing, for pages and the ledger.
#[derive(Clone, Debug)]
pub struct UplinkStatus {
    pub name: String,
    pub url: String,
    /// Newest sample that the parent has acknowledged.
    pub acked_ms: i64,
    /// Age of the oldest sample that it has not; 0 when it has all.
    pub backlog_ms: i64,
    pub backlog_bytes: u64,
    /// To be read back from blocks.
    pub missing: Vec<TimeRange>,
    /// Deleted by retention before they were sent; the last hundred since the start.
    pub hard_gaps: Vec<TimeRange>,
    /// None as long as the parent has not answered.
    pub takes_late_samples: Option<bool>,
    /// The parent does not answer, or asks to come later.
    pub down: bool,
}

struct Entry {
    key: String,
    config: RemoteWriteConfig,
    external: Labels,
    running: Running,
}

/// All uplinks of a server.
pub struct Uplinks {
    deps: Deps,
    metrics: Metrics,
    entries: Mutex<Vec<Entry>>,
    /// Keys of uplinks that this process has started: their cursors speak of the log as it is.
    started: Mutex<HashSet<String>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Uplinks {
    pub fn new(deps: Deps) -> Self {
        let metrics = Metrics::new(&deps.registry);
        Uplinks { deps, metrics, entries: Mutex::default(), started: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// [`Uplinks::change`] for those who may block.
    pub fn apply(&self, configs: &[RemoteWriteConfig], external: &Labels) -> Result<(), UplinkError> {
        self.deps.runtime.block_on(self.change(configs, external))
    }

    /// Makes the uplinks what the configuration says: starts, stops, restarts the changed ones at their cursors. An uplink that is new starts at the end of the
    /// log, as Prometheus does; one whose cursor lies on the disk goes on there. Nothing changes when an error is returned. May take the flush deadline. Call it before
    /// the log is cut for the first time.
    pub async fn change(&self, configs: &[RemoteWriteConfig], external: &Labels) -> Result<(), UplinkError> {
        let keys = keys(configs)?;
        let mut transports = Vec::with_capacity(configs.len());
        for (config, key) in configs.iter().zip(&keys) {
            transports.push((self.deps.connect)(config, key)?);
        }
        let _one = self.changing.lock().await;
        let (mut old, mut keep) = (std::mem::take(&mut *self.entries.lock()), Vec::new());
        let mut failed = None;
        for (i, ((config, key), transport)) in configs.iter().zip(keys).zip(transports).enumerate() {
            let at = old.iter().position(|e| e.key == key);
            match at.map(|at| old.swap_remove(at)) {
                Some(e) if e.config == *config && e.external == *external => keep.push(e),
                before => {
                    if let Some(e) = before {
                        e.running.stop().await;
                    }
                    match self.start(&key, config, external, transport, i == 0) {
                        Ok(running) => keep.push(Entry { key, config: config.clone(), external: external.clone(), running }),
                        Err(e) => failed = Some(e),
                    }
                }
            }
        }
        for e in old {
            e.running.link.shared.metrics.forget();
            e.running.stop().await;
        }
        *self.entries.lock() = keep;
        failed.map_or(Ok(()), Err)
    }

    fn start(
        &self,
        key: &str,
        config: &RemoteWriteConfig,
        external: &Labels,
        transport: Arc<dyn Transport>,
        counts_in: bool,
    ) -> Result<Running, UplinkError> {
        let d = &self.deps;
        let dir = d.dir.join(key);
        let cursor_path = dir.join("cursor");
        let broken = |why: std::io::Error| UplinkError::Cursor { path: cursor_path.clone(), why: why.to_string() };
        d.fs.create_dir_all(&dir).map_err(broken)?;
        let url = config.url.redacted();
        let name = if config.name.is_empty() { key } else { config.name.as_str() };
        let now_ms = d.clock.now_ms();
        let fresh = || Cursor { acked_ms: now_ms, ..Cursor::starting_at(d.wal.end()) };
        let cursor = match Cursor::load(&d.fs, &cursor_path) {
            Ok(Some(mut c)) => {
                if !self.started.lock().contains(key) {
                    c.pull_back_to(d.wal.began());
                }
                c
            }
            Ok(None) => fresh(),
            Err(e) => {
                // Sending twice is harmless, leaving out is not: begin with everything the log holds.
                tracing::error!(remote_name = name, error = %e, "cursor of the uplink cannot be read, sending all of the log again");
                let first = d.wal.segments().map_or(0, |(first, _)| first);
                Cursor { acked_ms: now_ms, ..Cursor::starting_at(wal::LogPosition { segment: first, offset: 0 }) }
            }
        };
        cursor.save(&d.fs, &cursor_path).map_err(broken)?;
        // A cursor whose directory a power cut takes is a new uplink, which starts at the end of the log.
        for above in dir.ancestors().skip(1).take(2).filter(|a| !a.as_os_str().is_empty()) {
            d.fs.sync_dir(above).map_err(broken)?;
        }
        self.started.lock().insert(key.to_string());
        tracing::info!(remote_name = name, url = %url, cursor = %cursor.live, end = %d.wal.end(), "starting uplink");
        let hold = d.wal.register_cursor(name, cursor.lowest());
        let naming = Arc::new(Naming::new(external, &config.write_relabel_configs));
        let cache = Arc::new(Mutex::new(SeriesCache::new(Arc::clone(&naming), Arc::clone(&d.series))));
        let shared = Arc::new(Shared {
            name: name.to_string(),
            metrics: self.metrics.link(name, &url),
            url,
            config: config.clone(),
            transport,
            clock: Arc::clone(&d.clock),
            tasks: Arc::clone(&d.tasks),
            parent: Parent::default(),
            stop: Shutdown::new(),
            abort: Shutdown::new(),
            cursor: Mutex::new(cursor),
            backlog_acked_ms: AtomicI64::new(i64::MAX),
            live_delay_ms: AtomicI64::new(0),
            refused_log: Seldom::default(),
            retry_log: Seldom::default(),
            hard_gaps: Mutex::default(),
        });
        if let Some(source) = &d.metadata {
            d.tasks.start(Box::pin(metadata::run(Arc::clone(&shared), Arc::clone(source))));
        }
        let link = Link {
            shared,
            wal: Arc::clone(&d.wal),
            blocks: d.blocks.clone(),
            oldest_stored_ms: Arc::clone(&d.oldest_stored_ms),
            fs: Arc::clone(&d.fs),
            cursor_path,
            hold,
            cache,
            naming,
            flush_deadline: d.flush_deadline,
            second_lane: d.second_lane,
            counts_in,
        };
        Running::start(Arc::new(link)).map_err(|e| UplinkError::Thread(e.to_string()))
    }

    /// [`Uplinks::finish`] for those who may block.
    pub fn stop(&self) {
        self.deps.runtime.block_on(self.finish());
    }

    /// Stops all: what is queued goes out if the parents take it, cursors are written. Takes the flush deadline at most.
    pub async fn finish(&self) {
        let _one = self.changing.lock().await;
        let entries = std::mem::take(&mut *self.entries.lock());
        entries.iter().for_each(|e| e.running.link.shared.stop.request());
        for e in entries {
            e.running.stop().await;
        }
    }

    /// Serves until shutdown is asked for, then stops. For the binary's row of tasks.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        shutdown.requested().await;
        self.finish().await;
    }

    pub fn status(&self) -> Vec<UplinkStatus> {
        let entries = self.entries.lock();
        let end = self.deps.wal.end();
        entries
            .iter()
            .map(|e| {
                let link = &e.running.link;
                let s = &link.shared;
                let c = s.cursor.lock().clone();
                let behind = self.deps.wal.bytes_between(c.live, end);
                UplinkStatus {
                    name: s.name.clone(),
                    url: s.url.clone(),
                    acked_ms: c.acked_ms,
                    backlog_ms: link.backlog_ms(&c, end),
                    backlog_bytes: behind + c.backlog.iter().map(|r| self.deps.wal.bytes_between(r.from, r.to)).sum::<u64>(),
                    missing: c.missing,
                    hard_gaps: s.hard_gaps.lock().clone(),
                    takes_late_samples: s.parent.takes_late(),
                    down: s.parent.is_down(),
                }
            })
            .collect()
    }
}

/// What each destination is called on disk: its name, else a hash of its URL. Entries that share a URL are told apart by their order.
fn keys(configs: &[RemoteWriteConfig]) -> Result<Vec<String>, UplinkError> {
    let mut taken = HashSet::new();
    let mut out = Vec::with_capacity(configs.len());
    for (i, c) in configs.iter().enumerate() {
        if configs[..i].contains(c) {
            return Err(UplinkError::Duplicate { url: c.url.redacted() });
        }
        let base = match c.name.as_str() {
            "" => {
                let hash = Labels::from_pairs([("url", c.url.as_str())]).stable_hash();
                format!("{hash:016x}")[..12].to_string()
            }
            name if configs[..i].iter().any(|o| o.name == name) => return Err(UplinkError::DuplicateName { name: name.to_string() }),
            name => file_name(name),
        };
        let key =
            (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") }).find(|k| !taken.contains(k)).expect("numbers do not run out");
        taken.insert(key.clone());
        out.push(key);
    }
    Ok(out)
}

/// A name as a file can be called: what is not a letter, a digit, `-` or `_` is written as `%` and two hex digits.
fn file_name(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
