//! All jobs: takes configs and discovered targets. What it answers when asked is in [`crate::view`].

use crate::config::ScrapeConfig;
use crate::deps::{Deps, Shared};
use crate::failure_log::FailureLog;
use crate::pool::Pool;
use crate::target::Fnv;
use discovery::Snapshot;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
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

/// Clones are the same manager.
#[derive(Clone)]
pub struct ScrapeManager {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    shared: Arc<Shared>,
    pub(crate) pools: RwLock<BTreeMap<String, Arc<Pool>>>,
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
        crate::view::collect_metadata_sizes(&registry, Arc::downgrade(&inner));
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

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
