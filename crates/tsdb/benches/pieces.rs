//! What the pieces of the head cost: chunks, postings, batches by labels and by reference, replay. Run by `make bench`; the whole of it, with
//! memory, is in `head.rs`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, MatchOp, Matcher};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use stdx::clock::{ManualClock, SharedClock};
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use storage::{AppendOptions, Appendable, Queryable, SelectHints, SeriesData, SeriesRef, Wait};
use tsdb::chunkenc::{self, xor::XorAppender};
use tsdb::config::DbOptions;
use tsdb::db::Db;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const T0: i64 = 1_700_006_400_000;
const STEP_MS: i64 = 15_000;
const SERIES: usize = 20_000;
/// Samples of a chunk.
const CHUNK: usize = 120;
/// Series in a batch.
const BATCH: usize = 2000;

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

fn open(dir: &Path) -> Arc<Db> {
    let clock: SharedClock = ManualClock::at_ms(T0 + 24 * 3_600_000);
    let registry = Registry::new(Arc::clone(&clock));
    Db::open(DbOptions { background: false, ..DbOptions::new(dir, RealFs::shared(), clock, registry) }).expect("a store")
}

/// Appends one sample to each series.
fn by_labels(db: &Db, all: &[Labels], t_ms: i64) {
    for part in all.chunks(BATCH) {
        let mut a = db.appender(AppendOptions::receive());
        for (i, l) in part.iter().enumerate() {
            let s = a.series(l.as_ref()).expect("a series");
            a.append(s, t_ms, (t_ms / 1000 * (i as i64 % 7)) as f64).expect("taken");
        }
        a.commit(Wait::Written).expect("committed");
    }
}

fn by_reference(db: &Db, refs: &[SeriesRef], t_ms: i64) {
    for part in refs.chunks(BATCH) {
        let mut a = db.appender(AppendOptions::scrape());
        for (i, s) in part.iter().enumerate() {
            a.append(*s, t_ms, (t_ms / 1000 * (i as i64 % 7)) as f64).expect("taken");
        }
        a.commit(Wait::Written).expect("committed");
    }
}

fn chunks(c: &mut Criterion) {
    let sample = |i: usize| (T0 + i as i64 * STEP_MS + (i as i64 * 7) % 3, (i * i / 3) as f64 * 0.5);
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Elements(CHUNK as u64));
    group.bench_function("append", |b| {
        b.iter_batched_ref(XorAppender::new, |a| (0..CHUNK).map(sample).for_each(|(t, v)| a.append(t, v)), BatchSize::SmallInput);
    });
    let mut a = XorAppender::new();
    (0..CHUNK).map(sample).for_each(|(t, v)| a.append(t, v));
    let mut out = SeriesData::default();
    group.bench_function("decode", |b| {
        b.iter(|| {
            out.clear();
            chunkenc::decode(chunkenc::ChunkEncoding::Xor, a.bytes(), i64::MIN, i64::MAX, &mut out).expect("sound");
            black_box(out.len())
        });
    });
    group.finish();
}

fn head(c: &mut Criterion) {
    let all: Vec<Labels> = (0..SERIES).map(labels).collect();
    let mut group = c.benchmark_group("head");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(10);
    group.bench_function("new series", |b| {
        b.iter_batched(
            || {
                let dir = tempfile::tempdir().expect("a directory");
                (open(dir.path()), dir)
            },
            |(db, dir)| {
                by_labels(&db, &all, T0);
                (db, dir)
            },
            BatchSize::PerIteration,
        );
    });
    let dir = tempfile::tempdir().expect("a directory");
    let db = open(dir.path());
    let mut t_ms = T0;
    by_labels(&db, &all, t_ms);
    group.bench_function("append by labels", |b| {
        b.iter(|| {
            t_ms += STEP_MS;
            by_labels(&db, &all, t_ms);
        });
    });
    let refs: Vec<SeriesRef> = {
        let mut a = db.appender(AppendOptions::scrape());
        all.iter().map(|l| a.series(l.as_ref()).expect("known")).collect()
    };
    group.bench_function("append by reference", |b| {
        b.iter(|| {
            t_ms += STEP_MS;
            by_reference(&db, &refs, t_ms);
        });
    });
    group.finish();
    let q = db.querier(T0, t_ms).expect("a querier");
    let mut group = c.benchmark_group("postings");
    let equal = |n: &str, v: &str| Matcher::equal(n, v);
    let cases = [
        ("one pair", vec![equal("__name__", "node_metric_7_total")]),
        ("two pairs", vec![equal("job", "node"), equal("device", "eth1")]),
        ("pattern", vec![Matcher::new(MatchOp::Regex, "pod", "node-exporter-.*f").expect("a pattern")]),
    ];
    for (name, matchers) in &cases {
        group.bench_function(*name, |b| b.iter(|| black_box(q.select(false, &SelectHints::default(), matchers).expect("selected").len())));
    }
    group.finish();
}

fn replay(c: &mut Criterion) {
    const ROUNDS: i64 = 10;
    let all: Vec<Labels> = (0..SERIES).map(labels).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let db = open(dir.path());
    (0..ROUNDS).for_each(|i| by_labels(&db, &all, T0 + i * STEP_MS));
    drop(db);
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(SERIES as u64 * ROUNDS as u64)).sample_size(10);
    group.bench_function("20,000 series, 10 samples", |b| b.iter_with_large_drop(|| open(dir.path())));
    group.finish();
}

criterion_group!(benches, chunks, head, replay);
criterion_main!(benches);
