//! What operators cost per series and step, without the storage: series are copied out of memory. Run by `make bench`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, Matcher};
use promql::{Engine, EngineOptions, QueryOptions};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SystemClock;
use stdx::metrics::Registry;
use storage::{EncodedChunk, LabelHints, MemorySelection, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings};

const INSTANCES: usize = 50;
const CPUS: usize = 16;
const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
/// Scraped every 15 s for this long.
const HISTORY_MS: i64 = 4 * 3_600_000;
const TEMPLATES: usize = 16;

/// Series of a few metrics; samples are shared by many series.
#[derive(Clone)]
struct Fleet(Arc<FleetData>);

struct FleetData {
    series: Vec<(Labels, usize)>,
    templates: MemorySelection,
}

fn fleet() -> Fleet {
    let mut series = Vec::new();
    for i in 0..INSTANCES {
        let instance = format!("node-{i:05}:9100");
        let class = format!("class-{}", i % 5);
        let base = [("instance", instance.as_str()), ("job", "node"), ("class", class.as_str())];
        let mut add = |name: &str, more: &[(&str, &str)], counter: bool| {
            let labels = Labels::from_pairs(base.iter().chain(more).chain(&[("__name__", name)]).copied());
            let template = series.len() % (TEMPLATES / 2) + if counter { 0 } else { TEMPLATES / 2 };
            series.push((labels, template));
        };
        for cpu in 0..CPUS {
            for mode in MODES {
                add("cpu_seconds_total", &[("cpu", &cpu.to_string()), ("mode", mode)], true);
            }
        }
        for m in 0..8 {
            let mount = format!("/mnt/{m}");
            add("avail_bytes", &[("mountpoint", &mount)], false);
            add("size_bytes", &[("mountpoint", &mount)], false);
        }
        for handler in 0..10 {
            for le in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"] {
                add("duration_seconds_bucket", &[("handler", &format!("/h{handler}")), ("le", le)], true);
            }
        }
        add("load1", &[], false);
        add("uname_info", &[("nodename", &instance), ("release", "6.1")], false);
    }
    let mut templates = MemorySelection::default();
    for t in 0..TEMPLATES {
        let mut data = SeriesData::default();
        let mut v = 1000.0 * t as f64;
        for i in 0..HISTORY_MS / 15_000 {
            let wobble = ((i as usize * 7919 + t * 104_729) % 1000) as f64 / 100.0;
            v = if t < TEMPLATES / 2 { v + wobble } else { 50.0 + wobble };
            data.t_ms.push(i * 15_000 + (t as i64 * 131) % 15_000);
            data.v.push(v);
        }
        templates.series.push((Labels::empty(), data));
    }
    Fleet(Arc::new(FleetData { series, templates }))
}

struct Picked {
    fleet: Fleet,
    numbers: Vec<u32>,
}

impl Selection for Picked {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.fleet.0.series[self.numbers[i] as usize].0.clone()
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        self.fleet.0.templates.read(self.fleet.0.series[self.numbers[i] as usize].1, start_ms, end_ms, out)
    }

    fn chunks(&self, _i: usize, _start_ms: i64, _end_ms: i64, _each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        Err(ReadError::Other("no chunks".to_string()))
    }
}

impl Queryable for Fleet {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Fleet {
    fn select(&self, _sorted: bool, _hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let fits = |l: &Labels| matchers.iter().all(|m| m.matches_labels(l.as_ref()));
        let numbers = (0..self.0.series.len() as u32).filter(|i| fits(&self.0.series[*i as usize].0)).collect();
        Ok(Arc::new(Picked { fleet: self.clone(), numbers }))
    }

    fn label_values(&self, _name: &str, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok((Vec::new(), Warnings::new()))
    }

    fn label_names(&self, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok((Vec::new(), Warnings::new()))
    }
}

/// Name, query, step in ms; 0 for an instant query. Ranges are one hour.
const QUERIES: [(&str, &str, i64); 29] = [
    ("select", "load1", 15_000),
    ("rate_sum_by", "sum by(instance)(rate(cpu_seconds_total[5m]))", 15_000),
    ("busy", "100 - avg by(instance)(rate(cpu_seconds_total{mode=\"idle\"}[5m])) * 100", 15_000),
    ("topk", "topk(10, sum by(instance)(rate(cpu_seconds_total[5m])))", 15_000),
    ("histogram_quantile", "histogram_quantile(0.99, sum by(le,handler)(rate(duration_seconds_bucket[5m])))", 15_000),
    ("join", "1 - avail_bytes / on(instance,mountpoint) size_bytes", 15_000),
    ("group_left", "load1 * on(instance) group_left(nodename,release) uname_info", 15_000),
    ("avg_over_time", "avg_over_time(load1[10m])", 15_000),
    ("max_over_time", "max_over_time(avail_bytes[30m])", 60_000),
    ("count_filter", "count by(class)(avail_bytes > 0)", 15_000),
    ("irate", "sum without(cpu)(irate(cpu_seconds_total{mode!=\"idle\"}[2m]))", 15_000),
    ("quantile", "quantile by(class)(0.9, avail_bytes)", 15_000),
    ("label_replace", "sum by(host)(label_replace(avail_bytes, \"host\", \"$1\", \"instance\", \"([^:]+):.*\"))", 15_000),
    ("subquery", "max_over_time(sum by(class)(rate(cpu_seconds_total{mode=\"user\"}[5m]))[30m:1m])", 60_000),
    ("predict_linear", "predict_linear(avail_bytes[1h], 4*3600)", 60_000),
    ("sum_gauge", "sum by(class,mountpoint)(avail_bytes)", 15_000),
    ("sum_over_time", "sum_over_time(avail_bytes[10m])", 15_000),
    ("min_over_time", "min_over_time(avail_bytes[10m])", 15_000),
    ("stddev_over_time", "stddev_over_time(load1[10m])", 15_000),
    ("quantile_over_time", "quantile_over_time(0.9, load1[10m])", 15_000),
    ("deriv", "deriv(avail_bytes[10m])", 60_000),
    ("avg_max_stddev", "avg(avail_bytes) + max(avail_bytes) + stddev(avail_bytes)", 15_000),
    ("count_values", "count_values(\"v\", load1 > bool 55)", 15_000),
    ("set_unless", "avail_bytes unless on(instance) (load1 > 55)", 15_000),
    ("set_or", "load1 or uname_info", 15_000),
    ("scalar_math", "clamp(sqrt(avail_bytes * 2), 1, 10)", 15_000),
    ("instant_sum", "sum({job=\"node\"})", 0),
    ("instant_count_by_name", "count by(__name__)({job=\"node\"})", 0),
    ("instant_count_over_time", "sum by(class)(count_over_time(duration_seconds_bucket[1h]))", 0),
];

fn operators(c: &mut Criterion) {
    let clock = SystemClock::shared();
    let options = EngineOptions { threads: 1, ..EngineOptions::new(clock.clone(), Registry::new(clock)) };
    let engine = Engine::new(options);
    let store = fleet();
    let end = HISTORY_MS - 60_000;
    let mut group = c.benchmark_group("query");
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    for (name, query, step) in QUERIES {
        let ask = || match step {
            0 => engine.instant(&store, query, end, &QueryOptions::default()),
            step => engine.range(&store, query, end - 3_600_000, end, step, &QueryOptions::default()),
        };
        let samples = ask().expect("a query of the bench runs").stats.samples.total_queryable;
        group.throughput(Throughput::Elements(samples));
        group.bench_function(name, |b| b.iter(|| black_box(ask())));
    }
    group.finish();
}

criterion_group!(benches, operators);
criterion_main!(benches);
