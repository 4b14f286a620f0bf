//! One server of the tree: the real rooms of a process, wired as the binary wires them, on a disk in memory.

use crate::exec::{Exec, Life};
use crate::net::{Link, SimTransport};
use crate::plan::{Role, Sabotage, ServerPlan};
use crate::time::ServerClock;
use model::Labels;
use remote::config::RemoteWriteConfig;
use remote::ledger::known::KnownGaps;
use remote::receive::{DEFAULT_REPLICA_LABEL, ReceiveOptions, Receiver};
use remote::uplink::{self, SecondLane, Transport, Uplinks};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::fs::{Disk, Fs, Mount, SharedFs};
use stdx::metrics::Registry;
use stdx::rand::Rand;
use storage::{AppendOptions, Appendable, Appender, Held, MergeStore, ReadError, SeriesRef};
use tsdb::config::{DbOptions, HeadOptions};
use tsdb::db::{Db, DbError};
use wal::{Compression, CursorBudget, WalOptions};

const DATA: &str = "/data";
const CURSOR: &str = "/data/uplink/up/cursor";

/// What outlives its processes.
pub struct Server {
    pub plan: ServerPlan,
    pub disk: Arc<Disk>,
    pub clock: Arc<ServerClock>,
    /// How many processes there have been.
    pub lives: u32,
    pub process: Option<Process>,
    /// What happens when its mount is cut off in the middle of something: power, and for how long it is down.
    pub dying: Option<(bool, u64)>,
    /// Since the last start that could be looked into.
    pub power_was_cut: bool,
    /// When the last process ended: what it had not synced by then may go with the power at any time until it runs again.
    pub died_ns: u64,
    pub full_until_ns: u64,
    pub slow_until_ns: u64,
    pub sync_ns: u64,
    pub queue_config: String,
    pub rand: Rand,
}

/// One life.
pub struct Process {
    pub life: Life,
    pub mount: Arc<Mount>,
    pub db: Arc<Db>,
    pub registry: Registry,
    pub uplinks: Option<Arc<Uplinks>>,
    pub receiver: Option<Receiver>,
    pub known: Option<KnownGaps>,
    /// Its configuration is applied: it scrapes and is listened to.
    pub open: Arc<AtomicBool>,
    /// It scrapes no more.
    pub stopping: bool,
    pub ticks: u64,
    pub maintain_ns: u64,
    /// Targets that were up at the last scrape of this life.
    pub were_up: Vec<bool>,
}

/// Another configuration of an uplink's queue.
pub fn queue_config(r: &mut Rand) -> String {
    let min = 1 + r.below(3);
    let max = min + r.below(4);
    format!(
        "{{min_shards: {min}, max_shards: {max}, max_samples_per_send: {}, capacity: {}, batch_send_deadline: {}ms, min_backoff: 30ms, max_backoff: {}ms}}",
        1 + r.below(60),
        10 + r.below(100),
        100 + r.below(4_900),
        500 + r.below(4_500),
    )
}

impl Server {
    pub fn config(&self) -> RemoteWriteConfig {
        let text = format!("url: http://parent/api/v1/write\nname: up\nremote_timeout: 10s\nqueue_config: {}\n", self.queue_config);
        yaml::from_str(&text, &yaml::Options::default()).expect("the simulation's configuration is right")
    }

    pub fn external(&self, group: Option<&str>) -> Labels {
        let replica = self.plan.replica.map(|r| (DEFAULT_REPLICA_LABEL, r));
        Labels::from_pairs(group.map(|g| ("group", g)).into_iter().chain(replica))
    }

    fn options(&mut self, mount: &Arc<Mount>, clock: &SharedClock, registry: &Registry) -> DbOptions {
        let fs: SharedFs = Arc::clone(mount) as SharedFs;
        DbOptions {
            rand: Rand::seeded(self.rand.next_u64()),
            retention_time_ms: 0,
            min_block_ms: self.plan.block_ms,
            max_block_ms: 9 * self.plan.block_ms,
            wal: WalOptions {
                segment_size: 32 << 10,
                compression: Compression::Snappy,
                cursor_budget: CursorBudget { max_bytes: self.plan.log_budget_bytes, max_age: Duration::from_secs(6 * 3600) },
                ..WalOptions::default()
            },
            lock_file: false,
            head: HeadOptions { replay_workers: 1, ..HeadOptions::default() },
            background: false,
            ..DbOptions::new(DATA, fs, Arc::clone(clock), registry.clone())
        }
    }

    /// Begins a life. Its uplinks are not configured yet.
    pub fn start(&mut self, number: usize, exec: &Exec, link: Option<&Arc<Link>>, mount: Arc<Mount>, sabotage: Sabotage) -> Result<Process, DbError> {
        let life = Life { server: number, number: self.lives };
        let clock: SharedClock = self.clock.clone();
        let registry = Registry::new(Arc::clone(&clock));
        let db = Db::open(self.options(&mount, &clock, &registry))?;
        let receives = self.plan.role != Role::Leaf;
        let receiver = receives.then(|| self.receiver(&db, &registry, &clock, sabotage));
        let known = receives.then(|| KnownGaps::new(db.clone(), &registry, Arc::clone(&clock)));
        if sabotage == Sabotage::ResumeAtNow {
            let _ = mount.remove_file(Path::new(CURSOR));
        }
        let uplinks = link.map(|link| Arc::new(Uplinks::new(self.uplink_deps(exec, life, link, &mount, &db, &registry, &clock))));
        Ok(Process {
            life,
            mount,
            db,
            registry,
            uplinks,
            receiver,
            known,
            open: Arc::default(),
            stopping: false,
            ticks: 0,
            maintain_ns: 0,
            were_up: vec![false; 8],
        })
    }

    fn receiver(&self, db: &Arc<Db>, registry: &Registry, clock: &SharedClock, sabotage: Sabotage) -> Receiver {
        let merges = self.plan.merges && sabotage != Sabotage::MergeTakesBoth;
        let replica_labels = if merges { vec![DEFAULT_REPLICA_LABEL.to_string()] } else { Vec::new() };
        // As far below the length of a block as it is in the program: a series that has left the head takes no held samples.
        let held_flush_after = Duration::from_millis(u64::try_from(self.plan.block_ms / 2).unwrap_or(0).min(300_000));
        let options = ReceiveOptions { replica_labels, held_flush_after, ..ReceiveOptions::default() };
        let store: Arc<dyn MergeStore> = match sabotage {
            Sabotage::RefusesLate => Arc::new(InOrderOnly(db.clone())),
            _ => db.clone(),
        };
        Receiver::new(store, options, registry, Arc::clone(clock))
    }

    fn uplink_deps(
        &mut self,
        exec: &Exec,
        life: Life,
        link: &Arc<Link>,
        mount: &Arc<Mount>,
        db: &Arc<Db>,
        registry: &Registry,
        clock: &SharedClock,
    ) -> uplink::Deps {
        let (link, oldest) = (Arc::clone(link), Arc::clone(db));
        uplink::Deps {
            wal: Arc::clone(db.wal()),
            series: db.clone(),
            blocks: Some(db.clone()),
            oldest_stored_ms: Arc::new(move || oldest.oldest_ms()),
            metadata: None,
            fs: Arc::clone(mount) as SharedFs,
            clock: Arc::clone(clock),
            registry: registry.clone(),
            runtime: runtime(),
            tasks: exec.tasks(life, Rand::seeded(self.rand.next_u64())),
            dir: Path::new(DATA).join("uplink"),
            flush_deadline: Duration::from_secs(5),
            second_lane: SecondLane { behind_ms: self.plan.second_lane.0, behind_bytes: self.plan.second_lane.1 },
            connect: Arc::new(move |config, _| {
                Ok(Arc::new(SimTransport { link: Arc::clone(&link), timeout: config.remote_timeout.duration() }) as Arc<dyn Transport>)
            }),
        }
    }
}

impl Process {
    /// Its log and its cursor, for a person who replays a seed.
    pub fn describe(&self) -> String {
        let segments = self.mount.list(self.db.wal().dir()).unwrap_or_default();
        let log: Vec<String> = segments.iter().map(|e| format!("{}:{}", e.name.trim_start_matches('0'), e.len)).collect();
        let cursor = self.mount.read(Path::new(CURSOR)).unwrap_or_default();
        let cursor: Vec<_> = String::from_utf8_lossy(&cursor).lines().skip(1).map(str::to_string).collect();
        format!("log {} to {}, cursor {}", log.join(" "), self.db.wal().end(), cursor.join(", "))
    }
}

/// Nothing runs on it: the simulation asks for changes without blocking. One serves all.
fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: std::sync::LazyLock<tokio::runtime::Runtime> =
        std::sync::LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers"));
    RUNTIME.handle().clone()
}

/// Sabotage: a store that refuses what is late.
struct InOrderOnly(Arc<Db>);

impl Appendable for InOrderOnly {
    fn appender(&self, options: AppendOptions) -> Box<dyn Appender + '_> {
        self.0.appender(AppendOptions { in_order_only: true, ..options })
    }
}

impl MergeStore for InOrderOnly {
    fn newest_ms(&self, series: SeriesRef) -> Option<i64> {
        self.0.newest_ms(series)
    }

    fn times(&self, series: SeriesRef, start_ms: i64, end_ms: i64, out: &mut Vec<i64>) -> Result<(), ReadError> {
        self.0.times(series, start_ms, end_ms, out)
    }

    fn take_held(&self) -> Vec<Held> {
        self.0.take_held()
    }
}
