//! What a series is called upstairs: its labels after external labels and relabelling, made once per reference.

use crate::wire::write2::Strings;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as MapEntry;
use model::relabel::{self, RelabelRule};
use model::{Labels, LabelsRef, Metadata};
use std::sync::Arc;
use storage::{SeriesLookup, SeriesRef};

/// A series as it is sent.
#[derive(Debug)]
pub(super) struct SendSeries {
    pub labels: Labels,
    /// Which shard it belongs to.
    pub hash: u64,
    pub metadata: Option<Arc<Metadata>>,
    /// What the writer of its shard knows its strings by.
    pub strings: Strings,
}

/// What is known of a reference.
#[derive(Clone)]
pub(super) enum Known {
    Send(Arc<SendSeries>),
    /// Relabelling drops it.
    Dropped,
}

struct Entry {
    known: Known,
    used: u32,
}

/// External labels and rules of one uplink.
pub(super) struct Naming {
    external: Vec<(String, String)>,
    rules: Vec<RelabelRule>,
}

impl Naming {
    pub(super) fn new(external: &Labels, rules: &[RelabelRule]) -> Self {
        Naming { external: external.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(), rules: rules.to_vec() }
    }

    /// External labels are added where the series has none of that name, then the rules apply. None when they drop it.
    pub(super) fn apply(&self, labels: &Labels) -> Option<Labels> {
        if self.external.is_empty() {
            return relabel::process_labels(labels, &self.rules).filter(|l| !l.is_empty());
        }
        let mut b = labels.builder();
        for (n, v) in &self.external {
            if b.get(n).is_none() {
                b.set(n, v);
            }
        }
        (relabel::process(&mut b, &self.rules) && !b.is_empty()).then(|| b.build())
    }

    pub(super) fn series(&self, labels: &Labels, metadata: Option<Arc<Metadata>>) -> Known {
        match self.apply(labels) {
            Some(labels) => Known::Send(Arc::new(SendSeries { hash: labels.stable_hash(), labels, metadata, strings: Strings::default() })),
            None => Known::Dropped,
        }
    }
}

/// By reference. Forgets what was not asked for between two calls of [`SeriesCache::sweep`].
pub(super) struct SeriesCache {
    naming: Arc<Naming>,
    lookup: Arc<dyn SeriesLookup>,
    map: HashMap<u64, Entry, RandomState>,
    round: u32,
}

impl SeriesCache {
    pub(super) fn new(naming: Arc<Naming>, lookup: Arc<dyn SeriesLookup>) -> Self {
        SeriesCache { naming, lookup, map: HashMap::default(), round: 0 }
    }

    /// None when nobody knows the reference.
    #[inline]
    pub(super) fn get(&mut self, series: u64) -> Option<&Known> {
        let round = self.round;
        match self.map.entry(series) {
            MapEntry::Occupied(e) => {
                let e = e.into_mut();
                e.used = round;
                Some(&e.known)
            }
            MapEntry::Vacant(v) => {
                let labels = self.lookup.labels_of(SeriesRef(series))?;
                Some(&v.insert(Entry { known: self.naming.series(&labels, None), used: round }).known)
            }
        }
    }

    /// A series record was read.
    pub(super) fn put(&mut self, series: u64, labels: LabelsRef<'_>) {
        let known = self.naming.series(&labels.to_labels(), None);
        self.map.insert(series, Entry { known, used: self.round });
    }

    /// A metadata record was read.
    pub(super) fn put_metadata(&mut self, series: u64, metadata: Metadata) {
        if let Some(Known::Send(s)) = self.get(series) {
            let s = Arc::new(SendSeries { labels: s.labels.clone(), hash: s.hash, metadata: Some(Arc::new(metadata)), strings: Strings::default() });
            let used = self.round;
            self.map.insert(series, Entry { known: Known::Send(s), used });
        }
    }

    /// Forgets what has not been used since the call before.
    pub(super) fn sweep(&mut self) {
        let round = self.round;
        self.map.retain(|_, e| e.used == round);
        self.round += 1;
    }
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
