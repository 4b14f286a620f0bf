//! What is in the head, by count and by what there is most of: for `/api/v1/status/tsdb` and for finding what makes it grow.

use super::Db;
use model::name::METRIC_NAME;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
}
