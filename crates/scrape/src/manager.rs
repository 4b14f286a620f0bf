//! All jobs: takes configs and discovered targets, and answers what is being scraped.

use crate::config::ScrapeConfig;
use crate::deps::{Deps, Shared};
use crate::failure_log::FailureLog;
use crate::pool::Pool;
use crate::target::{Fnv, LastScrape, Target};
use discovery::Snapshot;
use model::{Labels, Metadata};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stdx::metrics::{Family, Kind, Metric, Registry, Value};
use stdx::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};

/// Why a config could not be put in place. The jobs that could are running with it.
#[derive(Debug)]
pub enum Error {
    /// Job, and what its HTTP client says.
    Client(String, client::Error),
    /// File, and what the file system says.
    FailureLog(String, std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Client(job, e) => write!(f, "apply scrape config of job {job}: {e}"),
            Error::FailureLog(path, e) => write!(f, "open scrape failure log {path}: {e}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Client(_, e) => Some(e),
            Error::FailureLog(_, e) => Some(e),
        }
    }
}

/// An active target as the API shows it.
#[derive(Clone, Debug)]
pub struct TargetView {
    pub scrape_pool: String,
    pub discovered_labels: Labels,
    pub labels: Labels,
    pub scrape_url: String,
    pub last: LastScrape,
    /// As written: `15s`.
    pub interval: String,
    pub timeout: String,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedView {
    pub scrape_pool: String,
    pub discovered_labels: Labels,
}

/// The metadata of one target.
#[derive(Clone, Debug)]
pub struct TargetMetadata {
    pub scrape_pool: String,
    pub labels: Labels,
    /// Family name and metadata, sorted by name.
    pub families: Vec<(String, Metadata)>,
}

/// Clones are the same manager.
#[derive(Clone)]
pub struct ScrapeManager {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    pools: RwLock<BTreeMap<String, Arc<Pool>>>,
    failure_logs: Mutex<HashMap<String, Arc<FailureLog>>>,
    last: Mutex<Snapshot>,
    /// Ends all runners.
    shutdown: Shutdown,
    /// Never sent on: its clones are counted.
    alive: mpsc::Sender<()>,
}

/// How often a stop looks whether the runners have ended.
const STOP_POLL: Duration = Duration::from_millis(5);

impl ScrapeManager {
    pub fn new(deps: Deps) -> Self {
        let registry = deps.registry.clone();
        let (alive, _) = mpsc::channel(1);
        let inner = Arc::new(Inner {
            shared: Arc::new(Shared::new(deps)),
            pools: RwLock::default(),
            failure_logs: Mutex::default(),
            last: Mutex::default(),
            shutdown: Shutdown::new(),
            alive,
        });
        collect_metadata_sizes(&registry, Arc::downgrade(&inner));
        ScrapeManager { inner }
    }

    /// Puts resolved jobs in place. A job whose config is as before goes on untouched; in one that has changed the targets that stay keep their
    /// rhythm. Reads certificate files; may block on them.
    pub fn apply(&self, configs: &[Arc<ScrapeConfig>], external_labels: &Labels) -> Result<(), Error> {
        let inner = &*self.inner;
        let seed = {
            let mut h = Fnv::default();
            h.write(inner.shared.hostname.as_bytes());
            h.write(external_labels.to_string().as_bytes());
            h.0
        };
        let logs = inner.open_logs(configs)?;
        let mut failed = None;
        {
            let mut pools = inner.pools.write();
            pools.retain(|job, pool| {
                let stays = configs.iter().any(|c| c.job_name == *job);
                if !stays {
                    pool.stop();
                }
                stays
            });
            for config in configs {
                let log = logs.get(config.scrape_failure_log_file.as_str()).cloned();
                let result = match pools.get(&config.job_name) {
                    Some(pool) => pool.reload(Arc::clone(config), seed, log),
                    None => {
                        inner.shared.metrics.pools.inc();
                        let pool = Pool::new(Arc::clone(config), seed, log, Arc::clone(&inner.shared), inner.shutdown.clone(), inner.alive.clone());
                        match pool {
                            Ok(p) => {
                                pools.insert(config.job_name.clone(), Arc::new(p));
                                Ok(())
                            }
                            Err(e) => {
                                inner.shared.metrics.pools_failed.inc();
                                Err(e)
                            }
                        }
                    }
                };
                if let Err(e) = result {
                    tracing::error!(scrape_pool = config.job_name.as_str(), err = %e, "error reloading scrape pool");
                    failed.get_or_insert(Error::Client(config.job_name.clone(), e));
                }
            }
        }
        *inner.failure_logs.lock() = logs;
        let last = Arc::clone(&inner.last.lock());
        self.update(&last);
        failed.map_or(Ok(()), Err)
    }

    /// Takes what discovery knows. Targets of jobs that are not configured are passed over.
    pub fn update(&self, snapshot: &Snapshot) {
        *self.inner.last.lock() = Arc::clone(snapshot);
        let pools: Vec<(String, Arc<Pool>)> = self.inner.pools.read().iter().map(|(n, p)| (n.clone(), Arc::clone(p))).collect();
        for (job, pool) in pools {
            if let Some(groups) = snapshot.get(&job) {
                pool.sync(groups);
            }
        }
    }

    /// Follows discovery until the end, then waits until the last runner has stopped. Ends are not marked: the server comes back.
    pub async fn run(&self, mut targets: watch::Receiver<Snapshot>, shutdown: Shutdown) {
        loop {
            let snapshot = Arc::clone(&targets.borrow_and_update());
            let manager = self.clone();
            // Relabelling a large discovery takes a while.
            if let Err(e) = tokio::task::spawn_blocking(move || manager.update(&snapshot)).await {
                tracing::error!(err = %e, "syncing targets panicked");
            }
            tokio::select! {
                () = shutdown.requested() => break,
                changed = targets.changed() => if changed.is_err() {
                    shutdown.requested().await;
                    break;
                },
            }
        }
        self.stop().await;
    }

    /// Stops all scraping and waits for the pages that are being stored.
    pub async fn stop(&self) {
        self.inner.shutdown.request();
        // The manager and each pool hold a sender of their own; every other one is a runner's.
        while self.inner.alive.strong_count() > 1 + self.inner.pools.read().len() {
            tokio::time::sleep(STOP_POLL).await;
        }
    }

    /// Names of the jobs, sorted.
    pub fn pools(&self) -> Vec<String> {
        self.inner.pools.read().keys().cloned().collect()
    }

    pub fn pool_config(&self, pool: &str) -> Option<Arc<ScrapeConfig>> {
        self.inner.pools.read().get(pool).map(|p| p.config())
    }

    fn each_pool(&self, only: Option<&str>) -> Vec<(String, Arc<Pool>)> {
        let pools = self.inner.pools.read();
        pools.iter().filter(|(n, _)| only.is_none_or(|o| o == n.as_str())).map(|(n, p)| (n.clone(), Arc::clone(p))).collect()
    }

    /// Active targets themselves, by pool name, each pool's sorted by URL and labels.
    pub fn active(&self, pool: Option<&str>) -> Vec<(String, Vec<Arc<Target>>)> {
        let sorted = |(name, pool): (String, Arc<Pool>)| {
            let mut targets = pool.targets();
            targets.sort_by(|a, b| (&a.url, &a.public).cmp(&(&b.url, &b.public)));
            (name, targets)
        };
        self.each_pool(pool).into_iter().map(sorted).collect()
    }

    /// Active targets of one pool or of all, sorted by pool and URL.
    pub fn targets(&self, pool: Option<&str>) -> Vec<TargetView> {
        let view = |pool: &str, t: &Target| TargetView {
            scrape_pool: pool.to_string(),
            discovered_labels: t.discovered_labels(),
            labels: t.public.clone(),
            scrape_url: t.url.clone(),
            last: t.last(),
            interval: t.labels.value(crate::labels::SCRAPE_INTERVAL).to_string(),
            timeout: t.labels.value(crate::labels::SCRAPE_TIMEOUT).to_string(),
        };
        self.active(pool).iter().flat_map(|(name, targets)| targets.iter().map(|t| view(name, t)).collect::<Vec<_>>()).collect()
    }

    /// Dropped targets of one pool or of all, as far as they are kept.
    pub fn dropped(&self, pool: Option<&str>) -> Vec<DroppedView> {
        let mut out = Vec::new();
        for (name, pool) in self.each_pool(pool) {
            let views = pool.dropped().0.into_iter();
            out.extend(views.map(|o| DroppedView { scrape_pool: name.clone(), discovered_labels: o.discovered_labels() }));
        }
        out
    }

    /// How many targets relabelling dropped, by pool.
    pub fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.each_pool(None).into_iter().map(|(name, pool)| (name, pool.dropped().1)).collect()
    }

    /// What each active target says about its families.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let mut out = Vec::new();
        for (name, targets) in self.active(None) {
            for t in targets {
                let mut families = t.metadata().list();
                families.sort_by(|a, b| a.0.cmp(&b.0));
                out.push(TargetMetadata { scrape_pool: name.clone(), labels: t.public.clone(), families });
            }
        }
        out
    }

    /// All families with the different things that targets say about them.
    pub fn family_metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        let mut out: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
        for (_, targets) in self.active(None) {
            for (name, m) in targets.iter().flat_map(|t| t.metadata().list()) {
                let known = out.entry(name).or_default();
                if !known.contains(&m) {
                    known.push(m);
                }
            }
        }
        out
    }
}

impl Inner {
    /// The logs of these configs; those that are open stay open.
    fn open_logs(&self, configs: &[Arc<ScrapeConfig>]) -> Result<HashMap<String, Arc<FailureLog>>, Error> {
        let open = self.failure_logs.lock();
        let mut out = HashMap::new();
        for file in configs.iter().map(|c| &c.scrape_failure_log_file).filter(|f| !f.is_empty()) {
            let name = file.as_str().to_string();
            if out.contains_key(&name) {
                continue;
            }
            let log = match open.get(&name) {
                Some(log) => Arc::clone(log),
                None => {
                    let log = FailureLog::open(&*self.shared.fs, file.path(), Arc::clone(&self.shared.clock));
                    Arc::new(log.map_err(|e| Error::FailureLog(name.clone(), e))?)
                }
            };
            out.insert(name, log);
        }
        Ok(out)
    }
}

/// Sizes of the metadata caches, added up when asked for.
fn collect_metadata_sizes(registry: &Registry, inner: Weak<Inner>) {
    registry.collector(move |out| {
        let Some(inner) = inner.upgrade() else { return };
        let family = |name: &str, help: &str| Family { name: name.to_string(), help: help.to_string(), kind: Kind::Gauge, metrics: Vec::new() };
        let mut entries = family("prometheus_target_metadata_cache_entries", "Total number of metric metadata entries in the cache");
        let mut bytes =
            family("prometheus_target_metadata_cache_bytes", "The number of bytes that are currently used for storing metric metadata in the cache");
        for (job, pool) in inner.pools.read().iter() {
            let (n, b) = pool.targets().iter().map(|t| t.metadata().size()).fold((0, 0), |a, s| (a.0 + s.0, a.1 + s.1));
            let metric = |v: usize| Metric { labels: vec![("scrape_job".to_string(), job.clone())], value: Value::Gauge(v as f64) };
            entries.metrics.push(metric(n));
            bytes.metrics.push(metric(b));
        }
        out.extend([entries, bytes].into_iter().filter(|f| !f.metrics.is_empty()));
    });
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
