//! Between a provider and its manager: where it reports, and what it may use.

use crate::config::SdConfig;
use crate::error::Error;
use crate::group::TargetGroup;
use crate::metrics::ProviderMetrics;
use crate::options::Options;
use crate::{consul, dns, docker, ec2, file, http_sd, kubernetes};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Notify;

/// What a provider has found so far.
#[derive(Default)]
pub(crate) struct Found {
    pub groups: BTreeMap<String, Arc<TargetGroup>>,
    /// It has reported at least once.
    pub ready: bool,
    /// Counts changes.
    pub version: u64,
}

/// Where a provider reports. Clones report to the same place.
#[derive(Clone)]
pub(crate) struct Updates {
    pub found: Arc<Mutex<Found>>,
    pub changed: Arc<Notify>,
    pub received: stdx::metrics::Counter,
}

impl Updates {
    /// This is all there is; groups that are not named are gone. Groups must have distinct sources.
    pub fn replace(&self, groups: Vec<TargetGroup>) {
        self.received.inc();
        let mut found = self.found.lock();
        let mut old = std::mem::take(&mut found.groups);
        let mut same = true;
        for g in groups.into_iter().filter(|g| !g.targets.is_empty()) {
            let g = match old.remove(&g.source) {
                Some(before) if *before == g => before,
                _ => {
                    same = false;
                    Arc::new(g)
                }
            };
            found.groups.insert(g.source.clone(), g);
        }
        let changed = !same || !old.is_empty() || !found.ready;
        self.note(&mut found, changed);
    }

    /// Some groups have changed; one without targets is gone.
    pub fn update(&self, groups: impl IntoIterator<Item = TargetGroup>) {
        self.received.inc();
        let mut found = self.found.lock();
        let mut changed = !found.ready;
        for g in groups {
            if g.targets.is_empty() {
                changed |= found.groups.remove(&g.source).is_some();
            } else if found.groups.get(&g.source).is_none_or(|old| **old != g) {
                found.groups.insert(g.source.clone(), Arc::new(g));
                changed = true;
            }
        }
        self.note(&mut found, changed);
    }

    fn note(&self, found: &mut Found, changed: bool) {
        found.ready = true;
        if changed {
            found.version += 1;
            self.changed.notify_one();
        }
    }
}

/// What a provider may use.
#[derive(Clone)]
pub(crate) struct Context {
    /// The job that asked first; names the provider in logs and metrics.
    pub job: String,
    pub options: Arc<Options>,
    pub metrics: Arc<ProviderMetrics>,
}

impl Context {
    pub fn client(&self, config: &client::HttpConfig, mechanism: &str) -> Result<client::HttpClient, Error> {
        Ok(client::HttpClient::new(config, &format!("{mechanism}_sd"), &self.options.http)?)
    }
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes the task of a provider; it runs until it is dropped. Refuses what cannot work.
pub(crate) fn start(config: &SdConfig, cx: Context, updates: Updates) -> Result<Task, Error> {
    Ok(match config {
        SdConfig::Static(groups) => {
            updates.replace(groups.clone());
            Box::pin(std::future::ready(()))
        }
        SdConfig::File(c) => Box::pin(file::run(c.clone(), cx, updates)),
        SdConfig::Dns(c) => Box::pin(dns::run(c.clone(), cx, updates)),
        SdConfig::Kubernetes(c) => Box::pin(kubernetes::run((**c).clone(), cx, updates)?),
        SdConfig::Consul(c) => Box::pin(consul::run((**c).clone(), cx, updates)?),
        SdConfig::Docker(c) => Box::pin(docker::run((**c).clone(), cx, updates)?),
        SdConfig::Ec2(c) => Box::pin(ec2::run((**c).clone(), cx, updates)?),
        SdConfig::Http(c) => Box::pin(http_sd::run((**c).clone(), cx, updates)?),
    })
}
