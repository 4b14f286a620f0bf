//! The program's own metrics: counters, gauges, histograms, summaries, and a registry that is passed down, never global.
//!
//! A room declares what it counts in its `metrics.rs` from a `&Registry`; the exposition room writes out what [`Registry::gather`] returns.
//! Registering a name again returns the same metric, so that a reload may build its rooms anew.

use crate::clock::SharedClock;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A 64-bit float that many threads may add to.
#[derive(Debug, Default)]
struct AtomicF64(AtomicU64);

impl AtomicF64 {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, v: f64) {
        self.0.store(v.to_bits(), Ordering::Relaxed);
    }

    fn add(&self, v: f64) {
        let mut old = self.0.load(Ordering::Relaxed);
        while let Err(now) = self.0.compare_exchange_weak(old, (f64::from_bits(old) + v).to_bits(), Ordering::Relaxed, Ordering::Relaxed) {
            old = now;
        }
    }
}

/// A whole number that only rises.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sum of seconds or the like that only rises.
#[derive(Clone, Debug, Default)]
pub struct FloatCounter(Arc<AtomicF64>);

impl FloatCounter {
    pub fn add(&self, v: f64) {
        self.0.add(v);
    }

    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicF64>);

impl Gauge {
    pub fn set(&self, v: f64) {
        self.0.set(v);
    }

    pub fn add(&self, v: f64) {
        self.0.add(v);
    }

    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramCore>);

#[derive(Debug)]
struct HistogramCore {
    bounds: Vec<f64>,
    buckets: Vec<AtomicU64>,
    sum: AtomicF64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(HistogramCore { bounds: bounds.to_vec(), buckets, sum: AtomicF64::default() }))
    }

    pub fn observe(&self, v: f64) {
        let i = self.0.bounds.partition_point(|b| *b < v);
        self.0.buckets[i].fetch_add(1, Ordering::Relaxed);
        self.0.sum.add(v);
    }

    fn value(&self) -> Value {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(self.0.buckets.len());
        for (i, b) in self.0.buckets.iter().enumerate() {
            cumulative += b.load(Ordering::Relaxed);
            buckets.push((self.0.bounds.get(i).copied().unwrap_or(f64::INFINITY), cumulative));
        }
        Value::Histogram { buckets, sum: self.0.sum.get(), count: cumulative }
    }
}

/// Quantiles over the last ten minutes, from at most [`SUMMARY_WINDOW`] of the newest observations.
#[derive(Clone)]
pub struct Summary(Arc<SummaryCore>);

const SUMMARY_WINDOW: usize = 1024;
const SUMMARY_AGE: Duration = Duration::from_secs(600);

struct SummaryCore {
    clock: SharedClock,
    quantiles: Vec<f64>,
    state: Mutex<SummaryState>,
}

#[derive(Default)]
struct SummaryState {
    recent: VecDeque<(Duration, f64)>,
    sum: f64,
    count: u64,
}

impl Summary {
    fn new(clock: SharedClock, quantiles: &[f64]) -> Self {
        Summary(Arc::new(SummaryCore { clock, quantiles: quantiles.to_vec(), state: Mutex::default() }))
    }

    pub fn observe(&self, v: f64) {
        let now = self.0.clock.monotonic();
        let mut s = self.0.state.lock();
        s.sum += v;
        s.count += 1;
        if self.0.quantiles.is_empty() {
            return;
        }
        if s.recent.len() == SUMMARY_WINDOW {
            s.recent.pop_front();
        }
        s.recent.push_back((now, v));
    }

    fn value(&self) -> Value {
        let now = self.0.clock.monotonic();
        let mut s = self.0.state.lock();
        while s.recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > SUMMARY_AGE) {
            s.recent.pop_front();
        }
        let mut sorted: Vec<f64> = s.recent.iter().map(|(_, v)| *v).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| match sorted.len() {
            0 => f64::NAN,
            n => sorted[((q * n as f64).ceil() as usize).clamp(1, n) - 1],
        };
        Value::Summary { quantiles: self.0.quantiles.iter().map(|q| (*q, at(*q))).collect(), sum: s.sum, count: s.count }
    }
}

/// What a metric says when asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Counter(f64),
    Gauge(f64),
    Untyped(f64),
    /// Buckets are cumulative, the last bound is +Inf.
    Histogram {
        buckets: Vec<(f64, u64)>,
        sum: f64,
        count: u64,
    },
    Summary {
        quantiles: Vec<(f64, f64)>,
        sum: f64,
        count: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Untyped,
    Histogram,
    Summary,
}

/// One name with all its label sets.
#[derive(Clone, Debug)]
pub struct Family {
    pub name: String,
    pub help: String,
    pub kind: Kind,
    pub metrics: Vec<Metric>,
}

#[derive(Clone, Debug)]
pub struct Metric {
    /// Name and value, in the order in which they were declared.
    pub labels: Vec<(String, String)>,
    pub value: Value,
}

#[derive(Clone)]
enum Instrument {
    Counter(Counter),
    FloatCounter(FloatCounter),
    Gauge(Gauge),
    Histogram(Histogram),
    Summary(Summary),
}

impl Instrument {
    fn value(&self) -> Value {
        match self {
            Instrument::Counter(c) => Value::Counter(c.get() as f64),
            Instrument::FloatCounter(c) => Value::Counter(c.get()),
            Instrument::Gauge(g) => Value::Gauge(g.get()),
            Instrument::Histogram(h) => h.value(),
            Instrument::Summary(s) => s.value(),
        }
    }
}

struct FamilyCore {
    help: String,
    kind: Kind,
    label_names: Vec<String>,
    children: Mutex<BTreeMap<Vec<String>, Instrument>>,
    make: Box<dyn Fn() -> Instrument + Send + Sync>,
}

impl FamilyCore {
    fn child(&self, values: &[&str]) -> Instrument {
        assert_eq!(values.len(), self.label_names.len(), "one value for each declared label");
        let mut children = self.children.lock();
        let key: Vec<String> = values.iter().map(|v| (*v).to_string()).collect();
        children.entry(key).or_insert_with(|| (self.make)()).clone()
    }
}

macro_rules! vec_type {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $of:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<FamilyCore>);

        impl $name {
            /// The metric with these label values, in the order of the declared names; made when asked for the first time.
            pub fn with(&self, values: &[&str]) -> $of {
                match self.0.child(values) {
                    Instrument::$variant(m) => m,
                    _ => unreachable!("a family makes only its own kind"),
                }
            }

            /// Forgets one label set, for things that are gone.
            pub fn remove(&self, values: &[&str]) {
                let key: Vec<String> = values.iter().map(|v| (*v).to_string()).collect();
                self.0.children.lock().remove(&key);
            }
        }
    };
}

vec_type!(CounterVec, Counter, Counter);
vec_type!(FloatCounterVec, FloatCounter, FloatCounter);
vec_type!(GaugeVec, Gauge, Gauge);
vec_type!(HistogramVec, Histogram, Histogram);
vec_type!(SummaryVec, Summary, Summary);

type Collector = Box<dyn Fn(&mut Vec<Family>) + Send + Sync>;

/// All metrics of one server.
#[derive(Clone)]
pub struct Registry {
    clock: SharedClock,
    families: Arc<Mutex<BTreeMap<String, Arc<FamilyCore>>>>,
    collectors: Arc<Mutex<Vec<Collector>>>,
}

impl Registry {
    pub fn new(clock: SharedClock) -> Self {
        Registry { clock, families: Arc::default(), collectors: Arc::default() }
    }

    fn family(&self, name: &str, help: &str, kind: Kind, labels: &[&str], make: Box<dyn Fn() -> Instrument + Send + Sync>) -> Arc<FamilyCore> {
        let mut families = self.families.lock();
        let f = families.entry(name.to_string()).or_insert_with(|| {
            Arc::new(FamilyCore {
                help: help.to_string(),
                kind,
                label_names: labels.iter().map(|l| (*l).to_string()).collect(),
                children: Mutex::default(),
                make,
            })
        });
        assert!(f.kind == kind && f.label_names == labels, "metric {name} is declared twice with different kinds or labels");
        Arc::clone(f)
    }

    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        CounterVec(self.family(name, help, Kind::Counter, labels, Box::new(|| Instrument::Counter(Counter::default()))))
    }

    pub fn float_counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> FloatCounterVec {
        FloatCounterVec(self.family(name, help, Kind::Counter, labels, Box::new(|| Instrument::FloatCounter(FloatCounter::default()))))
    }

    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        GaugeVec(self.family(name, help, Kind::Gauge, labels, Box::new(|| Instrument::Gauge(Gauge::default()))))
    }

    pub fn histogram_vec(&self, name: &str, help: &str, bounds: &[f64], labels: &[&str]) -> HistogramVec {
        let bounds = bounds.to_vec();
        HistogramVec(self.family(name, help, Kind::Histogram, labels, Box::new(move || Instrument::Histogram(Histogram::new(&bounds)))))
    }

    pub fn summary_vec(&self, name: &str, help: &str, quantiles: &[f64], labels: &[&str]) -> SummaryVec {
        let (clock, quantiles) = (Arc::clone(&self.clock), quantiles.to_vec());
        SummaryVec(self.family(
            name,
            help,
            Kind::Summary,
            labels,
            Box::new(move || Instrument::Summary(Summary::new(Arc::clone(&clock), &quantiles))),
        ))
    }

    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_vec(name, help, &[]).with(&[])
    }

    pub fn float_counter(&self, name: &str, help: &str) -> FloatCounter {
        self.float_counter_vec(name, help, &[]).with(&[])
    }

    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_vec(name, help, &[]).with(&[])
    }

    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.histogram_vec(name, help, bounds, &[]).with(&[])
    }

    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.summary_vec(name, help, quantiles, &[]).with(&[])
    }

    /// Metrics that are computed when asked for.
    pub fn collector(&self, collect: impl Fn(&mut Vec<Family>) + Send + Sync + 'static) {
        self.collectors.lock().push(Box::new(collect));
    }

    /// Everything, sorted by name; within a name sorted by label values.
    pub fn gather(&self) -> Vec<Family> {
        let mut out: Vec<Family> = Vec::new();
        for (name, f) in self.families.lock().iter() {
            let metrics: Vec<Metric> = f
                .children
                .lock()
                .iter()
                .map(|(values, m)| Metric { labels: f.label_names.iter().cloned().zip(values.iter().cloned()).collect(), value: m.value() })
                .collect();
            if !metrics.is_empty() {
                out.push(Family { name: name.clone(), help: f.help.clone(), kind: f.kind, metrics });
            }
        }
        for c in self.collectors.lock().iter() {
            c(&mut out);
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }
}

/// Prometheus' default bucket bounds, seconds.
pub const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn gathers_what_was_counted_sorted_by_name() {
        let r = Registry::new(SystemClock::shared());
        r.gauge("b", "").set(2.5);
        r.counter_vec("a_total", "", &["x"]).with(&["1"]).inc();
        r.counter_vec("a_total", "", &["x"]).with(&["1"]).add(2);
        let h = r.histogram("h", "", &[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0].iter().for_each(|v| h.observe(*v));
        let s = r.summary("s", "", &[0.5]);
        [1.0, 2.0, 3.0].iter().for_each(|v| s.observe(*v));
        let got: Vec<(String, Value)> = r.gather().into_iter().map(|f| (f.name, f.metrics[0].value.clone())).collect();
        assert_eq!(
            got,
            vec![
                ("a_total".into(), Value::Counter(3.0)),
                ("b".into(), Value::Gauge(2.5)),
                ("h".into(), Value::Histogram { buckets: vec![(1.0, 2), (2.0, 3), (f64::INFINITY, 4)], sum: 12.0, count: 4 }),
                ("s".into(), Value::Summary { quantiles: vec![(0.5, 2.0)], sum: 6.0, count: 3 }),
            ]
        );
    }
}
