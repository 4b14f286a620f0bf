//! What is being scraped, for the API and for the server's own metrics.

use crate::config::ScrapeConfig;
use crate::manager::{Inner, ScrapeManager};
use crate::pool::Pool;
use crate::target::{LastScrape, Target};
use model::{Labels, Metadata};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use stdx::metrics::{Family, Kind, Metric, Registry, Value};

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

impl ScrapeManager {
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

/// Sizes of the metadata caches, added up when asked for.
pub(crate) fn collect_metadata_sizes(registry: &Registry, inner: Weak<Inner>) {
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
