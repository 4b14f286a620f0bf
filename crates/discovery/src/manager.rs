//! Runs the providers of all jobs and publishes what they find.
//!
//! Jobs whose configs are equal share a provider. Changes are gathered: the first is published after a tenth of a second, then each wait is
//! twice as long up to [`Options::update_interval`], and short again after a quiet while. A reload keeps the providers that stay, and a job
//! whose discovery has changed keeps its old targets until the new provider has reported (or a few seconds have gone), so that a reload
//! makes no gap.

use crate::config::SdConfigs;
use crate::group::TargetGroup;
use crate::metrics::{ManagerMetrics, ProviderMetrics};
use crate::options::Options;
use crate::provider::{Context, Found, Updates, start};
use crate::{config::SdConfig, error::Error};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stdx::metrics::Registry;
use stdx::shutdown::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

/// The groups of one job, ordered by mechanism and source. The same allocation as before while nothing has changed.
pub type Groups = Arc<Vec<Arc<TargetGroup>>>;

/// All jobs with their groups; a job without targets is there with an empty list.
pub type Snapshot = Arc<BTreeMap<String, Groups>>;

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long a job may keep what its former providers found.
const HOLD: Duration = Duration::from_secs(10);

/// Clones are the same manager.
#[derive(Clone)]
pub struct Manager {
    inner: Arc<Inner>,
}

struct Inner {
    options: Arc<Options>,
    metrics: ManagerMetrics,
    provider_metrics: Arc<ProviderMetrics>,
    runtime: Handle,
    changed: Arc<Notify>,
    state: Mutex<State>,
    snapshot: watch::Sender<Snapshot>,
}

#[derive(Default)]
struct State {
    providers: Vec<Provider>,
    jobs: BTreeSet<String>,
    /// When the last reload was.
    applied: Duration,
}

struct Provider {
    config: SdConfig,
    jobs: BTreeSet<String>,
    found: Arc<Mutex<Found>>,
    task: AbortHandle,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Manager {
    /// `name` tells managers apart in metrics: `scrape`, `notify`. Providers run on `runtime`.
    pub fn new(name: &str, options: Options, registry: &Registry, runtime: Handle) -> Self {
        Manager {
            inner: Arc::new(Inner {
                options: Arc::new(options),
                metrics: ManagerMetrics::new(registry, name),
                provider_metrics: Arc::new(ProviderMetrics::new(registry)),
                runtime,
                changed: Arc::default(),
                state: Mutex::default(),
                snapshot: watch::channel(Snapshot::default()).0,
            }),
        }
    }

    /// Puts a new set of jobs in place. A discovery that cannot be started is logged and counted; the others run.
    pub fn apply(&self, jobs: BTreeMap<String, SdConfigs>) {
        let inner = &*self.inner;
        let mut state = inner.state.lock();
        let mut old = std::mem::take(&mut state.providers);
        let mut providers: Vec<Provider> = Vec::new();
        let mut failed = 0;
        for (job, config) in jobs.iter().flat_map(|(job, all)| all.configs.iter().map(move |c| (job, c))) {
            if let Some(p) = providers.iter_mut().find(|p| p.config == *config) {
                p.jobs.insert(job.clone());
            } else if let Some(i) = old.iter().position(|p| p.config == *config) {
                let mut p = old.swap_remove(i);
                p.jobs = BTreeSet::from([job.clone()]);
                providers.push(p);
            } else {
                match inner.provider(job, config) {
                    Ok(p) => providers.push(p),
                    Err(e) => {
                        failed += 1;
                        tracing::error!(discovery = config.mechanism(), config = job, err = %e, "cannot create service discovery");
                    }
                }
            }
        }
        inner.metrics.failed_configs.set(f64::from(failed));
        for gone in state.jobs.iter().filter(|j| !jobs.contains_key(*j)) {
            inner.metrics.forget(gone);
        }
        // Groups of a provider appear in the order of mechanisms, so that a reload does not shuffle them.
        providers.sort_by_key(|p| p.config.mechanism());
        state.providers = providers;
        state.jobs = jobs.into_keys().collect();
        state.applied = inner.options.http.clock.monotonic();
        inner.publish(&state);
    }

    /// What is known now and whenever it changes. A consumer that is slow sees the newest, not each.
    pub fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.inner.snapshot.subscribe()
    }

    pub fn snapshot(&self) -> Snapshot {
        Arc::clone(&self.inner.snapshot.borrow())
    }

    /// Publishes changes until the end, then stops all providers.
    pub async fn run(&self, shutdown: Shutdown) {
        let inner = &*self.inner;
        let clock = &inner.options.http.clock;
        let mut wait = FIRST_WAIT.min(inner.options.update_interval);
        let mut last = clock.monotonic();
        loop {
            let held = inner.holds();
            tokio::select! {
                () = shutdown.requested() => break,
                () = inner.changed.notified() => {}
                // A job that waits for its new provider is not to wait for ever.
                () = tokio::time::sleep(HOLD), if held => {}
            }
            if clock.monotonic().saturating_sub(last) > inner.options.update_interval {
                wait = FIRST_WAIT.min(inner.options.update_interval);
            }
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(wait) => {}
            }
            if wait > FIRST_WAIT {
                inner.metrics.delayed_updates.inc();
            }
            wait = (wait * 2).min(inner.options.update_interval);
            inner.publish(&inner.state.lock());
            last = clock.monotonic();
        }
        inner.state.lock().providers.clear();
    }
}

impl Inner {
    fn provider(&self, job: &str, config: &SdConfig) -> Result<Provider, Error> {
        let found: Arc<Mutex<Found>> = Arc::default();
        let updates = Updates { found: Arc::clone(&found), changed: Arc::clone(&self.changed), received: self.metrics.received_updates.clone() };
        let cx = Context { job: job.to_string(), options: Arc::clone(&self.options), metrics: Arc::clone(&self.provider_metrics) };
        let task = self.runtime.spawn(start(config, cx, updates)?).abort_handle();
        Ok(Provider { config: config.clone(), jobs: BTreeSet::from([job.to_string()]), found, task })
    }

    /// Whether some job shows what its former providers found.
    fn holds(&self) -> bool {
        let state = self.state.lock();
        self.in_hold(&state) && state.providers.iter().any(|p| !p.found.lock().ready)
    }

    fn in_hold(&self, state: &State) -> bool {
        self.options.http.clock.monotonic().saturating_sub(state.applied) < HOLD
    }

    fn publish(&self, state: &State) {
        let before = Arc::clone(&self.snapshot.borrow());
        let in_hold = self.in_hold(state);
        let mut now = BTreeMap::new();
        for job in &state.jobs {
            let old = before.get(job);
            let mut groups: Vec<Arc<TargetGroup>> = Vec::new();
            let mut ready = true;
            for p in state.providers.iter().filter(|p| p.jobs.contains(job)) {
                let found = p.found.lock();
                ready &= found.ready;
                groups.extend(found.groups.values().cloned());
            }
            let groups = match old {
                Some(old) if !ready && in_hold => Arc::clone(old),
                Some(old) if same(old, &groups) => Arc::clone(old),
                _ => Arc::new(groups),
            };
            self.metrics.published(job, groups.iter().map(|g| g.targets.len()).sum(), self.options.http.clock.now_ms());
            now.insert(job.clone(), groups);
        }
        self.metrics.sent_updates.inc();
        let changed = now.len() != before.len() || now.iter().any(|(job, g)| before.get(job).is_none_or(|b| !Arc::ptr_eq(b, g)));
        if changed {
            self.snapshot.send_replace(Arc::new(now));
        }
    }
}

fn same(a: &[Arc<TargetGroup>], b: &[Arc<TargetGroup>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
}
