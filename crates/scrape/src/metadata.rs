//! What a target's page says about its families: kept per target, read by the API and by remote write.

use model::{Metadata, MetricType};
use parking_lot::Mutex;
use std::collections::HashMap;

/// A family that was not on this many pages in a row is forgotten.
const FORGET_AFTER: u32 = 10;

#[derive(Debug, Default)]
pub struct MetadataCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_name: HashMap<String, usize>,
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: String,
    metadata: Metadata,
    seen: u32,
    changed: u32,
}

/// What an entry of a page says.
pub enum Said<'a> {
    Type(MetricType),
    Help(&'a str),
    Unit(&'a str),
}

impl MetadataCache {
    /// Notes what page number `iteration` says, and returns the family's number, which holds until the next [`MetadataCache::forget_old`] that
    /// says true.
    pub fn note(&self, name: &str, said: Said<'_>, iteration: u32) -> usize {
        let mut inner = self.inner.lock();
        let i = match inner.by_name.get(name) {
            Some(i) => *i,
            None => {
                let i = inner.families.len();
                inner.by_name.insert(name.to_string(), i);
                inner.families.push(Family { name: name.to_string(), metadata: Metadata::default(), seen: iteration, changed: iteration });
                i
            }
        };
        let f = &mut inner.families[i];
        f.seen = iteration;
        let m = &mut f.metadata;
        let changed = match said {
            Said::Type(t) => std::mem::replace(&mut m.kind, t) != t,
            Said::Help(h) if m.help != h => {
                h.clone_into(&mut m.help);
                true
            }
            Said::Unit(u) if m.unit != u => {
                u.clone_into(&mut m.unit);
                true
            }
            _ => false,
        };
        if changed {
            f.changed = iteration;
        }
        i
    }

    /// Notes that the page repeats these families' lines.
    pub fn seen(&self, numbers: &[u32], iteration: u32) {
        let mut inner = self.inner.lock();
        for n in numbers {
            if let Some(f) = inner.families.get_mut(*n as usize) {
                f.seen = iteration;
            }
        }
    }

    /// Drops what has long not been seen. True when numbers have changed.
    pub fn forget_old(&self, iteration: u32) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.families.len();
        inner.families.retain(|f| iteration.wrapping_sub(f.seen) <= FORGET_AFTER);
        if inner.families.len() == before {
            return false;
        }
        inner.by_name = inner.families.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        true
    }

    /// A family's name and metadata, and whether this page changed it.
    pub fn family(&self, number: usize, iteration: u32) -> Option<(String, Metadata, bool)> {
        let inner = self.inner.lock();
        let f = inner.families.get(number)?;
        Some((f.name.clone(), f.metadata.clone(), f.changed == iteration))
    }

    pub fn get(&self, name: &str) -> Option<Metadata> {
        let inner = self.inner.lock();
        inner.by_name.get(name).map(|i| inner.families[*i].metadata.clone())
    }

    /// All families in no particular order.
    pub fn list(&self) -> Vec<(String, Metadata)> {
        self.inner.lock().families.iter().map(|f| (f.name.clone(), f.metadata.clone())).collect()
    }

    /// Number of families, and the bytes of their texts.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        let bytes = inner.families.iter().map(|f| f.metadata.help.len() + f.metadata.unit.len() + f.metadata.kind.as_str().len()).sum();
        (inner.families.len(), bytes)
    }
}

/// Does a series of this name belong to the family?
pub fn is_part_of(series: &str, family: &str, kind: MetricType) -> bool {
    let Some(suffix) = series.strip_prefix(family) else { return false };
    match kind {
        MetricType::Counter => matches!(suffix, "" | "_total" | "_created"),
        MetricType::Histogram => matches!(suffix, "" | "_bucket" | "_sum" | "_count" | "_created"),
        MetricType::GaugeHistogram => matches!(suffix, "" | "_bucket" | "_gsum" | "_gcount" | "_created"),
        MetricType::Summary => matches!(suffix, "" | "_sum" | "_count" | "_created"),
        MetricType::Info => matches!(suffix, "" | "_info"),
        MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => suffix.is_empty(),
    }
}
