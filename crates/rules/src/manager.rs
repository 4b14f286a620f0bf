//! All groups of the configuration, running; replaced on reload without losing their state.

use crate::alerting::Alerting;
use crate::eval::Env;
use crate::file::{self, RuleFile};
use crate::group::Group;
use crate::rule::{Kind, Rule};
use model::Labels;
use model::name::Scheme;
use parking_lot::Mutex;
use promql::parse::{ParseOptions, parse_expr};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use stdx::fs::SharedFs;
use stdx::shutdown::Shutdown;
use tracing::info;

/// What the configuration says about rules.
#[derive(Clone, Debug)]
pub struct ManagerConfig {
    /// Files, globs resolved, in order.
    pub files: Vec<String>,
    pub evaluation_interval: Duration,
    pub query_offset: Duration,
    pub external_labels: Labels,
    pub scheme: Scheme,
    pub parse: ParseOptions,
}

pub struct Manager {
    env: Env,
    fs: SharedFs,
    runtime: tokio::runtime::Handle,
    shutdown: Shutdown,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In order of file and place.
    groups: Vec<Running>,
    /// Alert state of an earlier run was looked for: groups that come later do not.
    restored: bool,
}

struct Running {
    group: Arc<Group>,
    /// The text it was made from: an equal group goes on untouched.
    source: String,
    stop: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Manager {
    pub fn new(env: Env, fs: SharedFs, runtime: tokio::runtime::Handle, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Manager { env, fs, runtime, shutdown, state: Mutex::default() })
    }

    /// Reads and checks all files; changes nothing.
    pub fn load(&self, config: &ManagerConfig) -> Result<Vec<(String, RuleFile)>, Vec<String>> {
        load(&self.fs, config)
    }

    /// Replaces the groups. What is equal goes on; what has changed takes over the state of its forerunner; what is gone ends its series.
    /// Waits for evaluations that are running; call it from a thread that may block.
    pub fn apply(&self, config: &ManagerConfig, files: Vec<(String, RuleFile)>) {
        let mut state = self.state.lock();
        let restore = !state.restored;
        let mut old: HashMap<String, Running> = state.groups.drain(..).map(|r| (r.group.key(), r)).collect();
        let mut groups = Vec::new();
        for (name, file) in files {
            for spec in &file.groups {
                let source =
                    format!("{:?} {:?} {:?} {:?} {:?}", spec, config.evaluation_interval, config.query_offset, config.external_labels, config.parse);
                let group = Arc::new(build(&self.env, config, &name, spec, restore));
                if let Some(same) = old.get(&group.key()).filter(|r| r.source == source) {
                    let key = same.group.key();
                    groups.extend(old.remove(&key));
                    continue;
                }
                if let Some(before) = old.remove(&group.key()) {
                    self.wait(before.task, &before.stop);
                    group.take_state(&before.group);
                }
                group.register_metrics();
                let stop = self.shutdown.child();
                let task = self.runtime.spawn(Arc::clone(&group).run(stop.clone()));
                groups.push(Running { group, source, stop, task });
            }
        }
        state.groups = groups;
        state.restored = true;
        for (key, gone) in old {
            self.wait(gone.task, &gone.stop);
            self.env.metrics.remove(&key);
            // Two intervals later, so that a renamed rule that writes the same series comes first.
            let (group, shutdown) = (gone.group, self.shutdown.clone());
            self.runtime.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(group.interval * 2) => {
                        let _ = tokio::task::spawn_blocking(move || group.end_all_series()).await;
                    }
                    () = shutdown.requested() => {}
                }
            });
        }
    }

    fn wait(&self, task: tokio::task::JoinHandle<()>, stop: &Shutdown) {
        stop.request();
        let _ = self.runtime.block_on(task);
    }

    /// Stops all groups and waits for what runs.
    pub fn stop(&self) {
        info!(component = "rule manager", "Stopping rule manager...");
        self.shutdown.request();
        let groups = std::mem::take(&mut self.state.lock().groups);
        for r in groups {
            self.wait(r.task, &r.stop);
        }
        info!(component = "rule manager", "Rule manager stopped");
    }

    /// All groups, in order of file and place.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        let mut groups: Vec<Arc<Group>> = self.state.lock().groups.iter().map(|r| Arc::clone(&r.group)).collect();
        groups.sort_by(|a, b| a.file.cmp(&b.file).then_with(|| a.name.cmp(&b.name)));
        groups
    }
}

/// Groups that nobody runs: for who evaluates them by hand, as unit tests of rules do. Alerts have no earlier state to wait for.
pub fn groups(env: &Env, config: &ManagerConfig, files: &[(String, RuleFile)]) -> Vec<Group> {
    files.iter().flat_map(|(name, file)| file.groups.iter().map(move |spec| build(env, config, name, spec, false))).collect()
}

fn build(env: &Env, config: &ManagerConfig, file: &str, spec: &file::RuleGroup, restore: bool) -> Group {
    let interval = if spec.interval.is_zero() { config.evaluation_interval } else { spec.interval.duration() };
    let rules = spec
        .rules
        .iter()
        .map(|r| {
            let mut labels: BTreeMap<String, String> = spec.labels.clone();
            labels.extend(r.labels.iter().map(|(n, v)| (n.clone(), v.clone())));
            let expr = parse_expr(&r.expr, &config.parse).expect("checked when the file was loaded");
            let reads = metric_names(&expr);
            let query = expr.to_string();
            let plain = Labels::from_pairs(&labels);
            if r.alert.is_empty() {
                Rule::new(r.record.clone(), query, plain, Kind::Recording, reads)
            } else {
                let alerting = Alerting::new(r.hold.0, r.keep_firing_for.0, labels, r.annotations.clone(), !restore);
                Rule::new(r.alert.clone(), query, plain, Kind::Alerting(alerting), reads)
            }
        })
        .collect();
    Group::new(
        spec.name.clone(),
        file.to_string(),
        interval,
        usize::try_from(spec.limit).unwrap_or(0),
        spec.query_offset.map_or(config.query_offset, |o| o.duration()),
        rules,
        config.external_labels.clone(),
        restore,
        env.clone(),
    )
}

/// Reads and checks all files of a configuration.
pub fn load(fs: &SharedFs, config: &ManagerConfig) -> Result<Vec<(String, RuleFile)>, Vec<String>> {
    let mut out = Vec::new();
    let mut errors = Vec::new();
    for name in &config.files {
        let text = match fs.read(std::path::Path::new(name)).map(String::from_utf8) {
            Ok(Ok(t)) => t,
            Ok(Err(_)) => {
                errors.push(format!("{name}: not valid UTF-8"));
                continue;
            }
            Err(e) => {
                errors.push(format!("{name}: {e}"));
                continue;
            }
        };
        match file::parse(&text, config.scheme, &config.parse, false) {
            Ok(f) => out.push((name.clone(), f)),
            Err(e) => errors.extend(e.into_iter().map(|e| format!("{name}: {e}"))),
        }
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// The metric names that an expression reads; None when a selector does not name its metric.
fn metric_names(expr: &promql::parse::Expr) -> Option<Vec<String>> {
    expr.selectors()
        .iter()
        .map(|s| s.matchers.iter().find(|m| m.name == model::name::METRIC_NAME && m.op == model::MatchOp::Equal).map(|m| m.value.clone()))
        .collect()
}
