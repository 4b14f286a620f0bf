//! What is in the head, by count and by what there is most of: for `/api/v1/status/tsdb` and for finding what makes it grow.

use super::Db;
use model::name::METRIC_NAME;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStats {
    pub series: u64,
    pub label_pairs: u64,
    pub chunks: u64,
    /// `i64::MAX` when there are no samples.
    pub min_ms: i64,
    /// `i64::MIN` when there are no samples.
    pub max_ms: i64,
    pub late_samples: u64,
    /// Bytes of the index, roughly.
    pub index_bytes: u64,
}

/// The largest of their kind, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    pub series_by_metric: Vec<(String, u64)>,
    pub values_by_label: Vec<(String, u64)>,
    pub bytes_by_label: Vec<(String, u64)>,
    /// `name=value`
    pub series_by_pair: Vec<(String, u64)>,
}

/// What has come and gone lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Churn {
    /// The time that is looked at: up to an hour.
    pub window_ms: i64,
    pub created: u64,
    pub removed: u64,
    /// New series that are still there, by metric and by `job`, most first.
    pub created_by_metric: Vec<(String, u64)>,
    pub created_by_job: Vec<(String, u64)>,
}

/// How far references were given out, and how many series had come and gone, at some times of the last hour. Oldest first.
pub(super) type Births = VecDeque<Birth>;

#[derive(Clone, Copy)]
pub(super) struct Birth {
    at: Duration,
    last: u64,
    created: u64,
    removed: u64,
}

const BIRTHS_EVERY: Duration = Duration::from_secs(60);
const BIRTHS_KEPT: usize = 60;

/// Keeps the `n` largest.
struct Top<T> {
    n: usize,
    heap: BinaryHeap<Reverse<(u64, T)>>,
}

impl<T: Ord> Top<T> {
    fn new(n: usize) -> Self {
        Top { n, heap: BinaryHeap::new() }
    }

    fn add(&mut self, count: u64, what: T) {
        self.heap.push(Reverse((count, what)));
        if self.heap.len() > self.n {
            self.heap.pop();
        }
    }

    fn finish(self, name: impl Fn(T) -> String) -> Vec<(String, u64)> {
        let mut all: Vec<(u64, T)> = self.heap.into_iter().map(|Reverse(x)| x).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        all.into_iter().map(|(n, what)| (name(what), n)).collect()
    }
}

impl Db {
    pub fn head_stats(&self) -> HeadStats {
        let index = self.head.index.read();
        HeadStats {
            series: index.len(),
            label_pairs: index.pairs.len() as u64,
            chunks: self.metrics.head_chunks.get().max(0.0) as u64,
            min_ms: self.head.min_ms().unwrap_or(i64::MAX),
            max_ms: self.head.max_ms().unwrap_or(i64::MIN),
            late_samples: self.head.late_samples(),
            index_bytes: index.heap_bytes() as u64,
        }
    }

    /// The `limit` largest metrics, labels and pairs, by the series of the head. `label`: by which label series are counted, `__name__` for None.
    pub fn cardinality(&self, limit: usize, label: Option<&str>) -> Cardinality {
        let index = self.head.index.read();
        let pairs = &index.pairs;
        let (mut metrics, mut values, mut bytes, mut series) = (Top::new(limit), Top::new(limit), Top::new(limit), Top::new(limit));
        let label = label.unwrap_or(METRIC_NAME);
        for name in pairs.names() {
            let (mut n, mut size) = (0u64, 0u64);
            for p in &name.pairs {
                let count = pairs.postings(*p).len();
                if count == 0 {
                    continue;
                }
                n += 1;
                size += pairs.value(*p).len() as u64;
                series.add(count, *p);
                if *name.name == *label {
                    metrics.add(count, *p);
                }
            }
            if n > 0 {
                values.add(n, &name.name);
                bytes.add(size, &name.name);
            }
        }
        Cardinality {
            series_by_metric: metrics.finish(|p| pairs.value(p).to_string()),
            values_by_label: values.finish(|n| n.to_string()),
            bytes_by_label: bytes.finish(|n| n.to_string()),
            series_by_pair: series.finish(|p| {
                let (n, v) = crate::head::pairs::split(pairs.bytes(p));
                format!("{n}={v}")
            }),
        }
    }

    fn birth(&self) -> Birth {
        let m = &self.metrics;
        Birth {
            at: self.options.clock.monotonic(),
            last: self.head.last_reference(),
            created: m.head_series_created.get(),
            removed: m.head_series_removed.get(),
        }
    }

    /// Notes once a minute how far references are given out.
    pub(super) fn note_births(&self) {
        let now = self.birth();
        let mut births = self.births.lock();
        if births.back().is_some_and(|b| now.at < b.at + BIRTHS_EVERY) {
            return;
        }
        births.push_back(now);
        if births.len() > BIRTHS_KEPT {
            births.pop_front();
        }
    }

    /// Which series are new in the last hour, the `limit` largest groups of each kind.
    pub fn churn(&self, limit: usize) -> Churn {
        let Some(since) = self.births.lock().front().copied() else { return Churn::default() };
        let now = self.birth();
        let index = self.head.index.read();
        let name = |n: &str| index.pairs.find_name(n);
        let (metric, job) = (name(METRIC_NAME), name("job"));
        let (mut metrics, mut jobs): (HashMap<u32, u64>, HashMap<u32, u64>) = (HashMap::new(), HashMap::new());
        for slot in index.all() {
            if self.head.slot(slot).lock().id <= since.last {
                continue;
            }
            for p in index.pair_ids(slot) {
                let of = Some(index.pairs.name_id_of(*p));
                if of == metric {
                    *metrics.entry(*p).or_default() += 1;
                } else if of == job {
                    *jobs.entry(*p).or_default() += 1;
                }
            }
        }
        let largest = |groups: HashMap<u32, u64>| {
            let mut top = Top::new(limit);
            groups.into_iter().for_each(|(p, n)| top.add(n, p));
            top.finish(|p| index.pairs.value(p).to_string())
        };
        Churn {
            window_ms: i64::try_from(now.at.saturating_sub(since.at).as_millis()).unwrap_or(i64::MAX),
            created: now.created.saturating_sub(since.created),
            removed: now.removed.saturating_sub(since.removed),
            created_by_metric: largest(metrics),
            created_by_job: largest(jobs),
        }
    }
}
