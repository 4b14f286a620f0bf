//! What the head costs: CPU for new series, for samples by labels and by reference, memory per series, replay. Not a timed test: it prints numbers.
//!
//! `cargo bench -p narthex-tsdb --bench head -- [series] [rounds]`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark prints and may fail")]

use model::Labels;
use std::sync::Arc;
use std::time::Instant;
use stdx::clock::{ManualClock, SharedClock};
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use storage::{AppendOptions, Appendable, Queryable, SelectHints, SeriesData, Wait};
use tsdb::config::DbOptions;
use tsdb::db::Db;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const T0: i64 = 1_700_006_400_000;
const STEP_MS: i64 = 15_000;

/// Resident bytes without files.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kb = status.lines().find(|l| l.starts_with("RssAnon")).and_then(|l| l.split_whitespace().nth(1)).unwrap();
    kb.parse::<u64>().unwrap() * 1024
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_metric_{}_total", i % 500)),
        ("instance", format!("host-{:05}.example.org:9100", i / 500)),
        ("job", "node".to_string()),
        ("cluster", format!("prod-{}", i / 100_000)),
        ("namespace", format!("namespace-{}", i / 5_000)),
        ("pod", format!("node-exporter-{:05x}", i / 500)),
        ("container", "node-exporter".to_string()),
        ("device", format!("eth{}", i % 4)),
        ("mode", ["user", "system", "idle", "iowait"][i % 4].to_string()),
        ("region", "eu-central-1".to_string()),
    ])
}

fn main() {
    let args: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let (series, rounds) = (args.first().copied().unwrap_or(1_000_000), args.get(1).copied().unwrap_or(20));
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = ManualClock::at_ms(T0 + 24 * 3_600_000);
    let open = || {
        let registry = Registry::new(Arc::clone(&clock));
        Db::open(DbOptions { background: false, ..DbOptions::new(dir.path(), RealFs::shared(), Arc::clone(&clock), registry) }).unwrap()
    };
    let all: Vec<Labels> = (0..series).map(labels).collect();
    let db = open();
    let measure = |what: &str, samples: usize, run: &mut dyn FnMut()| {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        run();
        let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
        println!("{what:32} {:7.0} ns CPU each, {:7.3} s CPU per million, wall {wall:.2} s", cpu * 1e9 / samples as f64, cpu * 1e6 / samples as f64);
    };
    let before = resident();
    let mut refs = Vec::with_capacity(series);
    measure("new series with a sample", series, &mut || {
        for part in all.chunks(2000) {
            let mut a = db.appender(AppendOptions::receive());
            for l in part {
                let s = a.series(l.as_ref()).unwrap();
                refs.push(s);
                a.append(s, T0, 1.0).unwrap();
            }
            a.commit(Wait::Written).unwrap();
        }
    });
    println!("resident per series after one sample: {}", (resident() - before) / series as u64);
    let mut t = T0;
    measure("samples by labels", series * rounds / 2, &mut || {
        for _ in 0..rounds / 2 {
            t += STEP_MS;
            for (n, part) in all.chunks(2000).enumerate() {
                let mut a = db.appender(AppendOptions::receive());
                for (i, l) in part.iter().enumerate() {
                    let s = a.series(l.as_ref()).unwrap();
                    a.append(s, t, (t / 1000) as f64 * ((n * 2000 + i) % 7) as f64).unwrap();
                }
                a.commit(Wait::Written).unwrap();
            }
        }
    });
    measure("samples by reference", series * (rounds - rounds / 2), &mut || {
        for _ in rounds / 2..rounds {
            t += STEP_MS;
            for (n, part) in refs.chunks(2000).enumerate() {
                let mut a = db.appender(AppendOptions::scrape());
                for (i, s) in part.iter().enumerate() {
                    a.append(*s, t, (t / 1000) as f64 * ((n * 2000 + i) % 7) as f64).unwrap();
                }
                a.commit(Wait::Written).unwrap();
            }
        }
    });
    let stats = db.head_stats();
    println!("resident per series after {rounds} rounds: {} (index {})", (resident() - before) / series as u64, stats.index_bytes / series as u64);
    let q = db.querier(T0, t).unwrap();
    let mut d = SeriesData::default();
    let mut n = 0;
    measure("select 1/500 and read", series / 500 * rounds, &mut || {
        let found = q.select(false, &SelectHints::default(), &[model::Matcher::equal("__name__", "node_metric_7_total")]).unwrap();
        for i in 0..found.len() {
            d.clear();
            found.read(i, T0, t, &mut d).unwrap();
            n += d.len();
        }
    });
    measure("select by regex", 1, &mut || {
        let m = model::Matcher::new(model::MatchOp::Regex, "pod", "node-exporter-0.*f").unwrap();
        n += q.select(false, &SelectHints::default(), &[m]).unwrap().len();
    });
    println!("({n})");
    drop((q, refs, all));
    drop(db);
    let mut db = None;
    measure("replay, per sample", series * (rounds + 1), &mut || db = Some(open()));
    println!("resident per series after replay: {}", resident() / series as u64);
}
