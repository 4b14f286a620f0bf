//! A storage in memory for the tests of this crate: keeps every sample of every series, in order only, as the head does for scrapes.

use model::{Exemplar, FloatHistogram, Histogram, Labels, LabelsRef, Metadata};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use storage::{AppendError, AppendOptions, Appendable, Appender, CommitError, CommitStats, HeldValue, HistogramSample, SeriesRef, Wait};

#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Int(Histogram),
    FloatHistogram(FloatHistogram),
}

#[derive(Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_labels: BTreeMap<Labels, u64>,
    samples: BTreeMap<u64, Vec<(i64, Value)>>,
    exemplars: Vec<(u64, Exemplar)>,
    metadata: Vec<(u64, Metadata)>,
    zeros: Vec<(u64, i64)>,
    /// Next reference.
    last: u64,
    /// How often labels were asked for.
    lookups: u64,
    unavailable: bool,
}

impl MemoryStorage {
    /// `labels value@t value@t`, one line per series, sorted; staleness markers as `stale`. Times are relative to `from_ms`.
    pub fn dump(&self, from_ms: i64) -> Vec<String> {
        let s = self.state.lock();
        let point = |(t, v): &(i64, Value)| {
            let v = match v {
                Value::Float(v) if model::sample::is_stale_nan(*v) => "stale".to_string(),
                Value::Float(v) => model::number::format_f(*v),
                Value::Int(h) => format!("int({},{})", h.schema, h.count),
                Value::FloatHistogram(h) => format!("float({},{})", h.schema, h.count),
            };
            format!(" {v}@{}", t - from_ms)
        };
        let line = |(l, id): (&Labels, &u64)| format!("{l}{}", s.samples.get(id).into_iter().flatten().map(point).collect::<String>());
        s.by_labels.iter().map(line).filter(|l| !l.ends_with('}')).collect()
    }

    /// The floats of one metric, all its series in order.
    pub fn floats(&self, name: &str) -> Vec<f64> {
        let s = self.state.lock();
        let of = s.by_labels.iter().filter(|(l, _)| l.metric_name() == name).filter_map(|(_, id)| s.samples.get(id)).flatten();
        of.filter_map(|(_, v)| if let Value::Float(v) = v { Some(*v) } else { None }).collect()
    }

    pub fn series_count(&self) -> usize {
        self.state.lock().by_labels.len()
    }

    pub fn lookups(&self) -> u64 {
        self.state.lock().lookups
    }

    pub fn exemplars(&self) -> Vec<Exemplar> {
        self.state.lock().exemplars.iter().map(|(_, e)| e.clone()).collect()
    }

    pub fn metadata(&self) -> Vec<Metadata> {
        self.state.lock().metadata.iter().map(|(_, m)| m.clone()).collect()
    }

    pub fn zeros(&self) -> Vec<i64> {
        self.state.lock().zeros.iter().map(|(_, t)| *t).collect()
    }

    /// All references become unknown, as after a long silence.
    pub fn forget_references(&self) {
        let mut s = self.state.lock();
        let s = &mut *s;
        let mut samples = BTreeMap::new();
        for id in s.by_labels.values_mut() {
            s.last += 1;
            if let Some(v) = s.samples.remove(id) {
                samples.insert(s.last, v);
            }
            *id = s.last;
        }
        s.samples = samples;
    }

    pub fn set_unavailable(&self, unavailable: bool) {
        self.state.lock().unavailable = unavailable;
    }
}

impl Appendable for MemoryStorage {
    fn appender(&self, options: AppendOptions) -> Box<dyn Appender + '_> {
        assert!(options.in_order_only, "scrapes append in order");
        Box::new(Batch { storage: self, pending: Vec::new(), exemplars: Vec::new(), metadata: Vec::new(), zeros: Vec::new() })
    }
}

struct Batch<'a> {
    storage: &'a MemoryStorage,
    pending: Vec<(u64, i64, Value)>,
    exemplars: Vec<(u64, Exemplar)>,
    metadata: Vec<(u64, Metadata)>,
    zeros: Vec<(u64, i64)>,
}

impl Batch<'_> {
    fn push(&mut self, series: SeriesRef, t_ms: i64, v: Value) -> Result<(), AppendError> {
        let s = self.storage.state.lock();
        if s.unavailable {
            return Err(AppendError::Unavailable("told so".to_string()));
        }
        if !s.by_labels.values().any(|id| *id == series.0) {
            return Err(AppendError::UnknownSeries);
        }
        match s.samples.get(&series.0).and_then(|v| v.last()) {
            Some((t, _)) if *t > t_ms => return Err(AppendError::OutOfOrder),
            Some((t, Value::Float(old))) if *t == t_ms => {
                return match &v {
                    Value::Float(new) if new.to_bits() == old.to_bits() => Ok(()),
                    _ => Err(AppendError::DuplicateTimestamp),
                };
            }
            _ => {}
        }
        self.pending.push((series.0, t_ms, v));
        Ok(())
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        let mut s = self.storage.state.lock();
        s.lookups += 1;
        let labels = labels.to_labels();
        if let Some(id) = s.by_labels.get(&labels) {
            return Ok(SeriesRef(*id));
        }
        s.last += 1;
        let id = s.last;
        s.by_labels.insert(labels, id);
        Ok(SeriesRef(id))
    }

    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError> {
        self.push(series, t_ms, Value::Float(v))
    }

    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        let v = match h {
            HistogramSample::Int(h) => Value::Int(h.clone()),
            HistogramSample::Float(h) => Value::FloatHistogram(h.clone()),
        };
        self.push(series, t_ms, v)
    }

    fn append_start_zero(&mut self, series: SeriesRef, _: i64, start_ms: i64, _: bool) -> Result<(), AppendError> {
        self.zeros.push((series.0, start_ms));
        Ok(())
    }

    fn hold(&mut self, _: SeriesRef, _: &str, _: i64, _: HeldValue) -> Result<(), AppendError> {
        Err(AppendError::Unavailable("a scrape holds nothing".to_string()))
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        self.exemplars.push((series.0, exemplar.clone()));
        Ok(())
    }

    fn update_metadata(&mut self, series: SeriesRef, metadata: &Metadata) -> Result<(), AppendError> {
        self.metadata.push((series.0, metadata.clone()));
        Ok(())
    }

    fn commit(self: Box<Self>, wait: Wait) -> Result<CommitStats, CommitError> {
        assert_eq!(wait, Wait::Written, "a scrape does not wait for the disk");
        let mut s = self.storage.state.lock();
        let mut stats = CommitStats::default();
        for (id, t, v) in self.pending {
            let samples = s.samples.entry(id).or_default();
            if samples.last().is_some_and(|(last, _)| *last >= t) {
                stats.dropped += 1;
            } else {
                samples.push((t, v));
                stats.samples += 1;
            }
        }
        s.exemplars.extend(self.exemplars);
        s.metadata.extend(self.metadata);
        s.zeros.extend(self.zeros);
        Ok(stats)
    }

    fn rollback(self: Box<Self>) {}
}
