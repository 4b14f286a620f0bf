//! Tells Alertmanagers of alerts: external labels and relabelling, sets of Alertmanagers from discovery, a queue for each.

mod config;
mod metrics;
mod send;

pub use config::{AlertingConfig, AlertmanagerConfig};
pub use metrics::Metrics;

use crate::alerting::Alert;
use crate::eval::Notify;
use discovery::TargetGroup;
use model::relabel::{RelabelRule, process};
use model::{Labels, LabelsBuilder};
use parking_lot::Mutex;
use send::{Access, Outgoing, Sender};
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::clock::SharedClock;
use stdx::shutdown::Shutdown;
use tracing::error;

pub struct NotifierOptions {
    pub queue_capacity: usize,
    pub batch_size: usize,
    pub drain_on_shutdown: bool,
    pub client: client::Options,
}

pub struct Notifier {
    options: NotifierOptions,
    metrics: Metrics,
    clock: SharedClock,
    runtime: tokio::runtime::Handle,
    shutdown: Shutdown,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    external_labels: Labels,
    relabel: Vec<RelabelRule>,
    /// By the name under which discovery knows the set.
    sets: BTreeMap<String, Set>,
}

struct Set {
    config: AlertmanagerConfig,
    access: Access,
    senders: BTreeMap<String, (Arc<Sender>, Shutdown, tokio::task::JoinHandle<()>)>,
    dropped: Vec<String>,
}

/// The name under which discovery serves the set number `i`.
pub fn set_name(i: usize) -> String {
    format!("config-{i}")
}

impl Notifier {
    pub fn new(options: NotifierOptions, metrics: Metrics, clock: SharedClock, runtime: tokio::runtime::Handle, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Notifier { options, metrics, clock, runtime, shutdown, state: Mutex::default() })
    }

    /// Takes a new configuration. Sets that did not change keep their queues.
    pub fn apply(&self, config: &AlertingConfig, external_labels: &Labels) -> Result<(), String> {
        let mut ways = Vec::with_capacity(config.alertmanagers.len());
        for am in &config.alertmanagers {
            ways.push(Access::new(am, &self.options.client).map_err(|e| e.to_string())?);
        }
        let mut state = self.state.lock();
        state.external_labels = external_labels.clone();
        state.relabel = config.alert_relabel_configs.clone();
        let mut old = std::mem::take(&mut state.sets);
        for (i, (am, access)) in config.alertmanagers.iter().zip(ways).enumerate() {
            let name = set_name(i);
            let set = match old.remove(&name) {
                Some(same) if same.config == *am => same,
                Some(changed) => {
                    changed.stop();
                    Set::new(am.clone(), access)
                }
                None => Set::new(am.clone(), access),
            };
            state.sets.insert(name, set);
        }
        old.into_values().for_each(|s| s.stop());
        self.count(&state);
        Ok(())
    }

    /// Takes what discovery found for a set.
    pub fn sync(&self, set: &str, groups: &[TargetGroup]) {
        let mut state = self.state.lock();
        let Some(s) = state.sets.get_mut(set) else { return };
        let mut urls = BTreeMap::new();
        s.dropped.clear();
        for target in groups.iter().flat_map(|g| g.targets.iter().map(move |t| (g, t))) {
            match alertmanager_url(&s.config, target.0, target.1) {
                Ok(Found::Active(url)) => drop(urls.insert(url, ())),
                Ok(Found::Dropped(url)) => s.dropped.push(url),
                Err(e) => error!(component = "notifier", err = %e, "Creating discovered Alertmanagers failed"),
            }
        }
        let gone: Vec<String> = s.senders.keys().filter(|u| !urls.contains_key(*u)).cloned().collect();
        for url in gone {
            if let Some((_, stop, _)) = s.senders.remove(&url) {
                stop.request();
            }
        }
        for url in urls.into_keys().filter(|u| !s.senders.contains_key(u)).collect::<Vec<_>>() {
            let o = &self.options;
            let timeout = s.config.timeout.duration();
            let sender =
                Sender::new(url.clone(), s.access.clone(), timeout, o.queue_capacity, o.batch_size, self.metrics.clone(), Arc::clone(&self.clock));
            let stop = self.shutdown.child();
            let task = self.runtime.spawn(Arc::clone(&sender).run(stop.clone(), o.drain_on_shutdown));
            s.senders.insert(url, (sender, stop, task));
        }
        self.count(&state);
    }

    fn count(&self, state: &State) {
        self.metrics.discovered.set(state.sets.values().map(|s| s.senders.len()).sum::<usize>() as f64);
    }

    /// URLs of the Alertmanagers in use, and of those that relabelling dropped.
    pub fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state.lock();
        let active = state.sets.values().flat_map(|s| s.senders.keys().cloned()).collect();
        let dropped = state.sets.values().flat_map(|s| s.dropped.iter().cloned()).collect();
        (active, dropped)
    }

    /// Waits for the queues to be sent, after the shutdown was asked for; not longer than `at_most`.
    pub async fn stop(&self, at_most: std::time::Duration) {
        let sets = std::mem::take(&mut self.state.lock().sets);
        let wait = async {
            for (_, stop, task) in sets.into_values().flat_map(|s| s.senders.into_values()) {
                stop.request();
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(at_most, wait).await;
    }
}

impl Set {
    fn new(config: AlertmanagerConfig, access: Access) -> Self {
        Set { config, access, senders: BTreeMap::new(), dropped: Vec::new() }
    }

    fn stop(&self) {
        self.senders.values().for_each(|(_, stop, _)| stop.request());
    }
}

impl Notify for Notifier {
    fn notify(&self, generator_url: &str, alerts: Vec<Alert>) {
        let state = self.state.lock();
        let generator_url: Arc<str> = generator_url.into();
        let mut out = Vec::with_capacity(alerts.len());
        for a in alerts {
            let mut labels = a.labels.builder();
            for (n, v) in state.external_labels.iter() {
                if labels.get(n).is_none() {
                    labels.set(n, v);
                }
            }
            let Some(labels) = relabelled(labels, &state.relabel) else {
                self.metrics.dropped_by_relabelling.inc();
                continue;
            };
            out.push(Arc::new(Outgoing {
                labels,
                annotations: a.annotations,
                starts_at_ms: a.fired_at_ms.unwrap_or(a.active_at_ms),
                ends_at_ms: a.resolved_at_ms.or(a.valid_until_ms).unwrap_or(0),
                generator_url: Arc::clone(&generator_url),
            }));
        }
        if out.is_empty() {
            return;
        }
        for set in state.sets.values() {
            let own: Vec<Arc<Outgoing>> = if set.config.alert_relabel_configs.is_empty() {
                out.clone()
            } else {
                let relabel = |a: &Arc<Outgoing>| {
                    relabelled(a.labels.builder(), &set.config.alert_relabel_configs).map(|labels| Arc::new(Outgoing { labels, ..(**a).clone() }))
                };
                out.iter().filter_map(relabel).collect()
            };
            set.senders.values().for_each(|(s, ..)| s.add(&own));
        }
    }
}

fn relabelled(mut labels: LabelsBuilder, rules: &[RelabelRule]) -> Option<Labels> {
    process(&mut labels, rules).then(|| labels.build())
}

enum Found {
    Active(String),
    Dropped(String),
}

fn alertmanager_url(config: &AlertmanagerConfig, group: &TargetGroup, target: &Labels) -> Result<Found, String> {
    let mut b = group.labels.builder();
    for (n, v) in target.iter() {
        b.set(n, v);
    }
    let path = format!("/{}/api/{}/alerts", config.path_prefix.trim_matches('/'), config.api_version).replace("//", "/");
    for (n, v) in [("__scheme__", config.scheme.as_str()), ("__alerts_path__", path.as_str())] {
        if b.get(n).is_none() {
            b.set(n, v);
        }
    }
    let url = |b: &LabelsBuilder| format!("{}://{}{}", b.value("__scheme__"), b.value("__address__"), b.value("__alerts_path__"));
    let before = url(&b);
    if !process(&mut b, &config.relabel_configs) {
        return Ok(Found::Dropped(before));
    }
    let address = b.value("__address__").to_string();
    if address.is_empty() || address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    if !has_port(&address) {
        let port = match b.value("__scheme__") {
            "http" | "" => 80,
            "https" => 443,
            other => return Err(format!("invalid scheme: {other:?}")),
        };
        b.set("__address__", &format!("{address}:{port}"));
    }
    Ok(Found::Active(url(&b)))
}

/// Whether a target of discovery can be an Alertmanager of this set; one that relabelling drops can.
pub fn check_target(config: &AlertmanagerConfig, group: &TargetGroup, target: &Labels) -> Result<(), String> {
    alertmanager_url(config, group, target).map(|_| ())
}

fn has_port(address: &str) -> bool {
    let tail = address.rsplit(']').next().unwrap_or(address);
    tail.contains(':')
}
