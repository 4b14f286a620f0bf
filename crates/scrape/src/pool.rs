//! The targets of one job.

use crate::config::ScrapeConfig;
use crate::deps::Shared;
use crate::failure_log::FailureLog;
use crate::fetch::Fetcher;
use crate::labels;
use crate::runner::{Control, Plan, Runner, go_duration};
use crate::settings::Settings;
use crate::target::{Origin, Target};
use client::HttpClient;
use discovery::{Groups, TargetGroup};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use stdx::shutdown::Shutdown;
use tokio::sync::mpsc;

/// What became of one target of a group.
enum Made {
    Target(Arc<Target>),
    Dropped,
    Failed,
}

struct Active {
    target: Arc<Target>,
    control: Arc<Control>,
}

struct State {
    config: Arc<ScrapeConfig>,
    client: HttpClient,
    seed: u64,
    failure_log: Option<Arc<FailureLog>>,
    active: HashMap<u64, Active>,
    dropped: Vec<Origin>,
    dropped_count: usize,
    groups: Groups,
    /// What was made of each group under the present config, by the group's address; a group that stays is not relabelled again.
    made: HashMap<usize, (Arc<TargetGroup>, Vec<Made>)>,
    forced_error: Option<String>,
}

pub(crate) struct Pool {
    job: String,
    shared: Arc<Shared>,
    shutdown: Shutdown,
    alive: mpsc::Sender<()>,
    state: Mutex<State>,
}

fn address_of(group: &Arc<TargetGroup>) -> usize {
    Arc::as_ptr(group) as usize
}

impl Pool {
    pub fn new(
        config: Arc<ScrapeConfig>,
        seed: u64,
        failure_log: Option<Arc<FailureLog>>,
        shared: Arc<Shared>,
        shutdown: Shutdown,
        alive: mpsc::Sender<()>,
    ) -> Result<Self, client::Error> {
        let client = HttpClient::new(&config.http, &config.job_name, &shared.client)?;
        shared.metrics.target_limit.with(&[&config.job_name]).set(config.target_limit as f64);
        shared.metrics.symbols.with(&[&config.job_name]).set(0.0);
        // There from the start, so that its rise from nothing is seen.
        shared.metrics.sync_failed.with(&[&config.job_name]);
        Ok(Pool {
            job: config.job_name.clone(),
            shutdown,
            alive,
            state: Mutex::new(State {
                config,
                client,
                seed,
                failure_log,
                active: HashMap::new(),
                dropped: Vec::new(),
                dropped_count: 0,
                groups: Groups::default(),
                made: HashMap::new(),
                forced_error: None,
            }),
            shared,
        })
    }

    pub fn config(&self) -> Arc<ScrapeConfig> {
        Arc::clone(&self.state.lock().config)
    }

    /// Takes a new config. Targets that stay keep their runners, their rhythm and what is known about them.
    pub fn reload(&self, config: Arc<ScrapeConfig>, seed: u64, failure_log: Option<Arc<FailureLog>>) -> Result<(), client::Error> {
        let mut s = self.state.lock();
        let same = *s.config == *config;
        s.seed = seed;
        if same {
            let moved = match (&s.failure_log, &failure_log) {
                (Some(a), Some(b)) => !Arc::ptr_eq(a, b),
                (a, b) => a.is_some() != b.is_some(),
            };
            s.failure_log = failure_log;
            if moved {
                self.replan(&s);
            }
            return Ok(());
        }
        let started = self.shared.clock.monotonic();
        self.shared.metrics.reloads.inc();
        match HttpClient::new(&config.http, &config.job_name, &self.shared.client) {
            Ok(client) => s.client = client,
            Err(e) => {
                self.shared.metrics.reloads_failed.inc();
                return Err(e);
            }
        }
        s.failure_log = failure_log;
        s.config = config;
        s.made.clear();
        self.shared.metrics.target_limit.with(&[&self.job]).set(s.config.target_limit as f64);
        let groups = Arc::clone(&s.groups);
        self.sync_locked(&mut s, groups);
        self.replan(&s);
        let interval = go_duration(s.config.scrape_interval.ms());
        let took = self.shared.clock.monotonic().saturating_sub(started).as_secs_f64();
        self.shared.metrics.reload_length.with(&[&interval]).observe(took);
        Ok(())
    }

    /// Takes new target groups. The same allocation as last time means that nothing has changed.
    pub fn sync(&self, groups: &Groups) {
        let mut s = self.state.lock();
        if Arc::ptr_eq(&s.groups, groups) {
            return;
        }
        let started = self.shared.clock.monotonic();
        self.sync_locked(&mut s, Arc::clone(groups));
        let took = self.shared.clock.monotonic().saturating_sub(started).as_secs_f64();
        let m = &self.shared.metrics;
        m.sync_length.with(&[&self.job]).observe(took);
        m.sync_length_histogram.with(&[&self.job]).observe(took);
        m.syncs.with(&[&self.job]).inc();
    }

    fn sync_locked(&self, s: &mut State, groups: Groups) {
        let mut old = std::mem::take(&mut s.made);
        let mut wanted: HashSet<u64> = HashSet::with_capacity(s.active.len());
        let mut new: Vec<Arc<Target>> = Vec::new();
        s.dropped.clear();
        s.dropped_count = 0;
        for group in groups.iter() {
            let (group, mut made) = match old.remove(&address_of(group)) {
                Some(known) => known,
                None => (Arc::clone(group), self.make(&s.config, group)),
            };
            for (index, m) in made.iter_mut().enumerate() {
                match m {
                    Made::Failed => {}
                    Made::Dropped => {
                        s.dropped_count += 1;
                        let keep = s.config.keep_dropped_targets;
                        if keep == 0 || (s.dropped.len() as u64) < keep {
                            s.dropped.push(Origin { group: Arc::clone(&group), index, config: Arc::clone(&s.config) });
                        }
                    }
                    Made::Target(t) => match s.active.get_mut(&t.key) {
                        _ if !wanted.insert(t.key) => {}
                        None => new.push(Arc::clone(t)),
                        Some(active) if Arc::ptr_eq(&active.target, t) => {}
                        Some(active) => {
                            // Known under the same name: only where it comes from, or a setting, has changed.
                            let adopted = Arc::new(t.with_state_of(&active.target));
                            let other = adopted.labels != active.target.labels;
                            active.target = Arc::clone(&adopted);
                            *t = adopted;
                            if other {
                                active.control.set_plan(Self::plan(
                                    &self.shared,
                                    &s.config,
                                    &s.client,
                                    s.seed,
                                    &s.failure_log,
                                    &s.forced_error,
                                    &active.target,
                                ));
                            }
                        }
                    },
                }
            }
            s.made.insert(address_of(&group), (group, made));
        }
        s.groups = groups;
        s.active.retain(|key, a| {
            let stays = wanted.contains(key);
            if !stays {
                a.control.stop();
            }
            stays
        });
        let total = s.active.len() + new.len();
        self.shared.metrics.targets.with(&[&self.job]).set(total as f64);
        let limit = s.config.target_limit;
        let forced = (limit > 0 && total as u64 > limit).then(|| format!("target_limit exceeded (number of targets: {total}, limit: {limit})"));
        if forced.is_some() {
            self.shared.metrics.exceeded_target_limit.inc();
        }
        if forced != s.forced_error {
            s.forced_error = forced;
            self.replan(s);
        }
        for target in new {
            let plan = Self::plan(&self.shared, &s.config, &s.client, s.seed, &s.failure_log, &s.forced_error, &target);
            let control = Control::new(plan);
            let runner = Runner::new(Arc::clone(&self.shared), Arc::clone(&target), Arc::clone(&control), self.shutdown.clone());
            self.shared.runtime.spawn(runner.run(self.alive.clone()));
            s.active.insert(target.key, Active { target, control });
        }
    }

    fn make(&self, config: &Arc<ScrapeConfig>, group: &Arc<TargetGroup>) -> Vec<Made> {
        let make = |(index, own): (usize, &model::Labels)| match labels::target_labels(config, own, &group.labels) {
            Ok(Some(l)) if l.iter().any(|(n, _)| !n.starts_with(labels::RESERVED_PREFIX)) => {
                Made::Target(Arc::new(Target::new(l, Origin { group: Arc::clone(group), index, config: Arc::clone(config) })))
            }
            Ok(_) => Made::Dropped,
            Err(e) => {
                self.shared.metrics.sync_failed.with(&[&self.job]).inc();
                tracing::error!(
                    scrape_pool = self.job.as_str(),
                    err = format!("instance {index} in group {}: {e}", group.source),
                    "creating target failed"
                );
                Made::Failed
            }
        };
        group.targets.iter().enumerate().map(make).collect()
    }

    fn plan(
        shared: &Shared,
        config: &Arc<ScrapeConfig>,
        client: &HttpClient,
        seed: u64,
        failure_log: &Option<Arc<FailureLog>>,
        forced_error: &Option<String>,
        target: &Target,
    ) -> Plan {
        Plan {
            settings: Arc::new(Settings::new(config, target, &shared.features)),
            fetcher: Arc::new(Fetcher::new(client.clone(), target, config)),
            interval_ms: target.interval_ms(),
            seed,
            forced_error: forced_error.clone(),
            failure_log: failure_log.clone(),
        }
    }

    /// Tells all runners what holds now.
    fn replan(&self, s: &State) {
        for a in s.active.values() {
            a.control.set_plan(Self::plan(&self.shared, &s.config, &s.client, s.seed, &s.failure_log, &s.forced_error, &a.target));
        }
    }

    /// The job is gone.
    pub fn stop(&self) {
        let mut s = self.state.lock();
        s.active.drain().for_each(|(_, a)| a.control.stop());
        self.shared.metrics.forget_job(&self.job);
    }

    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.state.lock().active.values().map(|a| Arc::clone(&a.target)).collect()
    }

    /// As many as are kept, and how many there are.
    pub fn dropped(&self) -> (Vec<Origin>, usize) {
        let s = self.state.lock();
        (s.dropped.clone(), s.dropped_count)
    }
}
