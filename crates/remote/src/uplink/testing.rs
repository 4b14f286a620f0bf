//! For this room's tests: a server's log with an uplink on it, and parents of all manners.

use super::batch::Counts;
use super::*;
use crate::wire::Version;
use crate::wire::body::decompress;
use crate::wire::decode::WriteDecoder;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use stdx::clock::SystemClock;
use stdx::fs::RealFs;
use storage::{LabelHints, MemorySelection, Querier, ReadError, SelectHints, Selection, SeriesData, SeriesRef, Warnings};
use wal::record::RefSample;
use wal::{Compression, CursorBudget, Records, WalOptions};

/// How a parent behaves.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manner {
    pub up: bool,
    /// Never answers.
    pub hangs: bool,
    /// One of ours: takes late samples, and says so.
    pub ours: bool,
    /// Speaks version 2.0.
    pub v2: bool,
    /// A series with this label is refused.
    pub poison: Option<&'static str>,
    pub takes: Duration,
    /// So many of a hundred requests get 503 or 429 first.
    pub flaky: u64,
}

impl Manner {
    pub(super) fn ours() -> Self {
        Manner { up: true, hangs: false, ours: true, v2: true, poison: None, takes: Duration::ZERO, flaky: 0 }
    }

    pub(super) fn prometheus() -> Self {
        Manner { ours: false, v2: false, ..Manner::ours() }
    }
}

#[derive(Default)]
pub(super) struct Seen {
    /// By series, in the order in which they were stored.
    pub stored: BTreeMap<String, Vec<(i64, f64)>>,
    /// Times of all stored samples, in the order of their arrival.
    pub arrivals: Vec<i64>,
    pub requests: Vec<(Version, usize, u16)>,
    pub families: Vec<String>,
}

/// Stores what it gets, in memory, with the strictness of its manner.
pub(super) struct TestParent {
    pub manner: Mutex<Manner>,
    pub seen: Mutex<Seen>,
    calls: AtomicU64,
}

impl TestParent {
    pub(super) fn new(manner: Manner) -> Arc<Self> {
        Arc::new(TestParent { manner: Mutex::new(manner), seen: Mutex::default(), calls: AtomicU64::new(0) })
    }

    pub(super) fn samples(&self) -> usize {
        self.seen.lock().stored.values().map(Vec::len).sum()
    }

    fn answer(&self, push: &Push) -> Answer {
        let m = self.manner.lock().clone();
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if call * 37 % 100 < m.flaky {
            return Answer { status: if call.is_multiple_of(2) { 503 } else { 429 }, ..Answer::default() };
        }
        if push.version == Version::V2 && !m.v2 {
            return Answer { status: 415, message: "unsupported media type".into(), ..Answer::default() };
        }
        let mut buffer = Vec::new();
        let body = decompress(push.encoding, &push.body, 1 << 26, &mut buffer).expect("compression is sound");
        let mut d = WriteDecoder::new(push.version, body, &[]).expect("message is sound");
        let mut batch = Vec::new();
        while let Some(s) = d.next_series().expect("series is sound") {
            let labels = s.labels.expect("labels are sound").to_string();
            batch.extend(s.samples.iter().map(|x| (labels.clone(), x.t_ms, x.v)));
        }
        let mut seen = self.seen.lock();
        let features = m.ours.then_some(Features { late_samples: true });
        seen.families.extend(d.metadata().expect("metadata is sound").into_iter().map(|(f, _)| f.to_string()));
        let (mut good, mut fault) = (Vec::new(), String::new());
        let mut newest: HashMap<String, (i64, f64)> = HashMap::new();
        for (labels, t, v) in batch.iter().cloned() {
            let last = newest.get(&labels).copied().or_else(|| seen.stored.get(&labels).and_then(|s| s.last().copied()));
            let known = seen.stored.get(&labels).is_some_and(|s| s.contains(&(t, v)));
            if m.poison.is_some_and(|p| labels.contains(p)) {
                fault = format!("invalid labels {labels}");
            } else if m.ours && known {
                good.push(None);
            } else if !m.ours && last.is_some_and(|l| l.0 > t || (l.0 == t && l.1 != v)) {
                fault = "out of order sample".to_string();
            } else {
                newest.insert(labels.clone(), (t, v));
                good.push((last != Some((t, v))).then_some((labels, t, v)));
            }
        }
        let per_sample = push.version == Version::V2 || m.ours;
        let status = if fault.is_empty() { 204 } else { 400 };
        seen.requests.push((push.version, batch.len(), status));
        let written = (push.version == Version::V2 || m.ours).then_some(Counts { samples: good.len() as u64, ..Counts::default() });
        if fault.is_empty() || per_sample {
            for (labels, t, v) in good.into_iter().flatten() {
                seen.arrivals.push(t);
                seen.stored.entry(labels).or_default().push((t, v));
            }
        }
        Answer { status, features, written, message: fault, ..Answer::default() }
    }
}

impl Transport for TestParent {
    fn send(&self, push: Push) -> Sending<'_> {
        Box::pin(async move {
            let m = self.manner.lock().clone();
            if m.hangs {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(m.takes).await;
            if !self.manner.lock().up {
                return Err(TransportError("connection refused".into()));
            }
            Ok(self.answer(&push))
        })
    }
}

/// Labels by reference.
#[derive(Default)]
pub(super) struct Names(Mutex<HashMap<u64, Labels>>);

impl SeriesLookup for Names {
    fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        self.0.lock().get(&series.0).cloned()
    }
}

/// What a head would have stored.
#[derive(Clone, Default)]
pub(super) struct Blocks(Arc<Mutex<BTreeMap<Labels, BTreeMap<i64, f64>>>>);

impl Queryable for Blocks {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Blocks {
    fn select(&self, _: bool, hints: &SelectHints, matchers: &[model::Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let all = self.0.lock();
        let series = all
            .iter()
            .filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(m.name.as_str()))))
            .map(|(l, points)| {
                let range = points.range(hints.start_ms..=hints.end_ms);
                let (t_ms, v) = range.map(|(t, v)| (*t, *v)).unzip();
                (l.clone(), SeriesData { t_ms, v, ..SeriesData::default() })
            })
            .collect();
        Ok(Arc::new(MemorySelection { series, warnings: Warnings::new() }))
    }

    fn label_values(&self, _: &str, _: LabelHints, _: &[model::Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok((Vec::new(), Vec::new()))
    }

    fn label_names(&self, _: LabelHints, _: &[model::Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok((Vec::new(), Vec::new()))
    }
}

/// A server: a log, what is stored, and its uplinks.
pub(super) struct Leaf {
    pub wal: Arc<Wal>,
    pub names: Arc<Names>,
    pub blocks: Blocks,
    pub uplinks: Uplinks,
    pub registry: Registry,
    runtime: tokio::runtime::Runtime,
    /// What was logged.
    pub logged: BTreeMap<String, Vec<(i64, f64)>>,
}

pub(super) fn config(text: &str) -> RemoteWriteConfig {
    let text = format!("url: http://parent/api/v1/write\n{text}");
    yaml::from_str(&text, &yaml::Options::default()).expect("config")
}

/// Small batches, several shards, quick.
pub(super) const SMALL: &str = "queue_config: {min_shards: 3, max_shards: 3, max_samples_per_send: 7, capacity: 20, batch_send_deadline: 20ms, min_backoff: 1ms, max_backoff: 5ms}\n";

impl Leaf {
    pub(super) fn open(dir: &Path, parent: &Arc<TestParent>) -> Leaf {
        Self::open_with(dir, parent, CursorBudget::default(), None)
    }

    pub(super) fn open_with(dir: &Path, parent: &Arc<TestParent>, cursor_budget: CursorBudget, oldest_stored_ms: Option<i64>) -> Leaf {
        let clock = SystemClock::shared();
        let registry = Registry::new(Arc::clone(&clock));
        let o = WalOptions { segment_size: 256 << 10, compression: Compression::None, cursor_budget, ..WalOptions::default() };
        let wal = Arc::new(Wal::open(RealFs::shared(), &dir.join("wal"), o, &registry, Arc::clone(&clock)).expect("log"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        let names = Arc::new(Names::default());
        let blocks = Blocks::default();
        let parent = Arc::clone(parent);
        let deps = Deps {
            wal: Arc::clone(&wal),
            series: names.clone(),
            blocks: Some(Arc::new(blocks.clone())),
            oldest_stored_ms: Arc::new(move || Some(oldest_stored_ms.unwrap_or(0))),
            metadata: None,
            fs: RealFs::shared(),
            clock,
            registry: registry.clone(),
            runtime: runtime.handle().clone(),
            tasks: Arc::new(OnRuntime(runtime.handle().clone())),
            dir: dir.join("uplink"),
            flush_deadline: Duration::from_secs(10),
            second_lane: SecondLane::default(),
            connect: Arc::new(move |_, _| Ok(parent.clone() as Arc<dyn Transport>)),
        };
        Leaf { wal, names, blocks, uplinks: Uplinks::new(deps), registry, runtime, logged: BTreeMap::new() }
    }

    /// Another way to the parent.
    pub(super) fn connect(&mut self, connect: Connect) {
        let deps = Deps { connect, ..self.uplinks.deps.clone() };
        self.uplinks = Uplinks::new(deps);
    }

    /// As if the uplink had been at work until `acked_ms` and everything before had arrived.
    pub(super) fn begin_at(&self, config: &RemoteWriteConfig, acked_ms: i64) {
        let dir = self.uplinks.deps.dir.join(&keys(std::slice::from_ref(config)).expect("key")[0]);
        RealFs::shared().create_dir_all(&dir).expect("directory");
        let cursor = Cursor { acked_ms, ..Cursor::starting_at(self.wal.end()) };
        cursor.save(&RealFs::shared(), &dir.join("cursor")).expect("save");
    }

    /// As after replay: knows the series that the other one knew.
    pub(super) fn knows_what(&self, other: &Names) {
        self.names.0.lock().extend(other.0.lock().clone());
    }

    /// The runtime of its uplinks.
    pub(super) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// One scrape of `series` series at `t_ms`, stored and logged. The log names the series the first time.
    pub(super) fn scrape(&mut self, series: u64, t_ms: i64) {
        let mut r = Records::default();
        let mut fresh = Vec::new();
        for id in 1..=series {
            let labels = Labels::from_pairs([("__name__", "m"), ("i", id.to_string().as_str())]);
            if self.names.0.lock().insert(id, labels.clone()).is_none() {
                fresh.push((id, labels.clone()));
            }
            self.blocks.0.lock().entry(labels.clone()).or_default().insert(t_ms, t_ms as f64);
            self.logged.entry(labels.to_string()).or_default().push((t_ms, t_ms as f64));
        }
        r.series(fresh.iter().map(|(id, l)| (*id, l.as_ref())));
        r.samples((1..=series).map(|series| RefSample { series, start_ms: 0, t_ms, v: t_ms as f64 }));
        self.wal.log(&r).expect("log");
    }

    pub(super) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        families
            .iter()
            .filter(|f| f.name == name)
            .flat_map(|f| &f.metrics)
            .map(|m| match m.value {
                stdx::metrics::Value::Counter(v) | stdx::metrics::Value::Gauge(v) => v,
                _ => 0.0,
            })
            .sum()
    }
}

/// Waits until it holds; says what when it does not.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let (clock, start) = (SystemClock::shared(), SystemClock::shared().now_ms());
    while !holds() {
        assert!(clock.now_ms() - start < 30_000, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Everything arrived, once, and each series in its order.
pub(super) fn assert_same(parent: &TestParent, logged: &BTreeMap<String, Vec<(i64, f64)>>) {
    let seen = parent.seen.lock();
    for (labels, want) in logged {
        let got = seen.stored.get(labels).cloned().unwrap_or_default();
        assert!(
            &got == want,
            "{labels}: {} of {} arrived, first difference at {:?}",
            got.len(),
            want.len(),
            got.iter().zip(want).position(|(a, b)| a != b)
        );
    }
}

/// What kill -9 leaves: the files as they are right now.
#[allow(clippy::disallowed_methods, reason = "plays the power cut")]
pub(super) fn copy_as_after_a_kill(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("directory");
    for entry in std::fs::read_dir(from).expect("read directory") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy_as_after_a_kill(&entry.path(), &target);
        } else if entry.path().extension().is_none_or(|e| e != "tmp") {
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}
