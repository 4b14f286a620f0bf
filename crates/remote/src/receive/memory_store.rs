//! A storage in memory for tests: what the merge asks of one, nothing more. Commits can be made to fail, and the process to "restart".

use model::{Exemplar, Labels, LabelsRef, Metadata};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{
    AppendError, AppendOptions, Appendable, Appender, CommitError, CommitStats, Held, HeldValue, HistogramSample, MergeStore, ReadError, SeriesRef,
    Wait,
};

#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    series: Vec<(Labels, BTreeMap<i64, HeldValue>)>,
    held: Vec<Held>,
    exemplars: usize,
    metadata: BTreeMap<SeriesRef, Metadata>,
    fail_commits: bool,
    series_limit: Option<usize>,
    looked: usize,
}

impl MemoryStore {
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    pub fn fail_commits(&self, fail: bool) {
        self.inner.lock().fail_commits = fail;
    }

    pub fn limit_series(&self, limit: usize) {
        self.inner.lock().series_limit = Some(limit);
    }

    /// All samples of the series with these labels, as (time, value); a histogram is shown by its sum.
    pub fn samples(&self, labels: &str) -> Vec<(i64, f64)> {
        let inner = self.inner.lock();
        let found = inner.series.iter().find(|(l, _)| l.to_string() == labels);
        found.map(|(_, s)| s.iter().map(|(t, v)| (*t, number(v))).collect()).unwrap_or_default()
    }

    pub fn series_count(&self) -> usize {
        self.inner.lock().series.len()
    }

    pub fn exemplars(&self) -> usize {
        self.inner.lock().exemplars
    }

    pub fn metadata(&self) -> Vec<Metadata> {
        self.inner.lock().metadata.values().cloned().collect()
    }

    /// How often stored times were looked up.
    pub fn looked(&self) -> usize {
        self.inner.lock().looked
    }

    /// The samples in the log that wait, as after a restart.
    fn waiting(inner: &Inner) -> Vec<Held> {
        let newest = |s: SeriesRef| inner.series[s.0 as usize - 1].1.last_key_value().map_or(i64::MIN, |(t, _)| *t);
        inner.held.iter().filter(|h| h.t_ms > newest(h.series)).cloned().collect()
    }
}

fn number(v: &HeldValue) -> f64 {
    match v {
        HeldValue::Float(v) => *v,
        HeldValue::Int(h) => h.sum,
        HeldValue::FloatHistogram(h) => h.sum,
    }
}

impl Appendable for MemoryStore {
    fn appender(&self, _options: AppendOptions) -> Box<dyn Appender + '_> {
        Box::new(Batch { store: self, samples: Vec::new(), held: Vec::new(), exemplars: 0 })
    }
}

impl MergeStore for MemoryStore {
    fn newest_ms(&self, series: SeriesRef) -> Option<i64> {
        self.inner.lock().series.get(series.0 as usize - 1)?.1.last_key_value().map(|(t, _)| *t)
    }

    fn times(&self, series: SeriesRef, start_ms: i64, end_ms: i64, out: &mut Vec<i64>) -> Result<(), ReadError> {
        let mut inner = self.inner.lock();
        inner.looked += 1;
        if start_ms <= end_ms {
            out.extend(inner.series[series.0 as usize - 1].1.range(start_ms..=end_ms).map(|(t, _)| *t));
        }
        Ok(())
    }

    fn take_held(&self) -> Vec<Held> {
        Self::waiting(&self.inner.lock())
    }
}

struct Batch<'s> {
    store: &'s MemoryStore,
    samples: Vec<(SeriesRef, i64, HeldValue)>,
    held: Vec<Held>,
    exemplars: usize,
}

impl Batch<'_> {
    fn add(&mut self, series: SeriesRef, t_ms: i64, value: HeldValue) -> Result<(), AppendError> {
        let inner = self.store.inner.lock();
        let s = inner.series.get(series.0 as usize - 1).ok_or(AppendError::UnknownSeries)?;
        match s.1.get(&t_ms) {
            Some(old) if number(old).to_bits() == number(&value).to_bits() => Ok(()),
            Some(_) => Err(AppendError::DuplicateTimestamp),
            None => {
                self.samples.push((series, t_ms, value));
                Ok(())
            }
        }
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        let mut inner = self.store.inner.lock();
        let labels = labels.to_labels();
        if let Some(i) = inner.series.iter().position(|(l, _)| *l == labels) {
            return Ok(SeriesRef(i as u64 + 1));
        }
        if let Some(limit) = inner.series_limit.filter(|l| *l <= inner.series.len()) {
            return Err(AppendError::SeriesLimit { limit: limit as u64, scope: "test".to_string() });
        }
        inner.series.push((labels, BTreeMap::new()));
        Ok(SeriesRef(inner.series.len() as u64))
    }

    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError> {
        self.add(series, t_ms, HeldValue::Float(v))
    }

    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        let value = match h {
            HistogramSample::Int(h) => HeldValue::Int(Arc::new(h.clone())),
            HistogramSample::Float(h) => HeldValue::FloatHistogram(Arc::new(h.clone())),
        };
        self.add(series, t_ms, value)
    }

    fn append_start_zero(&mut self, series: SeriesRef, _t_ms: i64, start_ms: i64, _histogram: bool) -> Result<(), AppendError> {
        self.add(series, start_ms, HeldValue::Float(0.0))
    }

    fn hold(&mut self, series: SeriesRef, replica: &str, t_ms: i64, value: HeldValue) -> Result<(), AppendError> {
        self.held.push(Held { series, replica: Arc::from(replica), t_ms, value });
        Ok(())
    }

    fn append_exemplar(&mut self, _series: SeriesRef, _exemplar: &Exemplar) -> Result<(), AppendError> {
        self.exemplars += 1;
        Ok(())
    }

    fn update_metadata(&mut self, series: SeriesRef, metadata: &Metadata) -> Result<(), AppendError> {
        self.store.inner.lock().metadata.insert(series, metadata.clone());
        Ok(())
    }

    fn commit(self: Box<Self>, _wait: Wait) -> Result<CommitStats, CommitError> {
        let mut inner = self.store.inner.lock();
        if inner.fail_commits {
            return Err(CommitError::Unavailable("no space".to_string()));
        }
        for (series, t_ms, value) in self.samples {
            inner.series[series.0 as usize - 1].1.entry(t_ms).or_insert(value);
        }
        inner.held.extend(self.held);
        inner.exemplars += self.exemplars;
        Ok(CommitStats::default())
    }

    fn rollback(self: Box<Self>) {}
}
