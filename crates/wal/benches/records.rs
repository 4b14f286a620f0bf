//! What it costs to write and read 2,000 samples and 2,000 series of the log. Run by `make bench`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use std::hint::black_box;
use std::sync::Arc;
use stdx::clock::SystemClock;
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use wal::record::{self, RefSample};
use wal::replay::LogReader;
use wal::{Records, SyncPolicy, Wal, WalOptions};

const COUNT: u64 = 2000;

fn samples(step: i64) -> impl Iterator<Item = RefSample> {
    (0..COUNT).map(move |i| RefSample { series: i + 1, start_ms: 0, t_ms: 1_700_006_400_000 + step * 15_000, v: (i as i64 * step) as f64 })
}

fn series() -> Vec<Labels> {
    let name = |i: u64| format!("node_metric_{}_total", i % 500);
    (0..COUNT)
        .map(|i| Labels::from_pairs([("__name__", name(i)), ("instance", format!("host-{:05}:9100", i / 500)), ("job", "node".to_string())]))
        .collect()
}

fn records(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = SystemClock::shared();
    let registry = Registry::new(clock.clone());
    let options = WalOptions { sync: SyncPolicy::None, ..WalOptions::default() };
    let wal = Wal::open(RealFs::shared(), dir.path(), options, &registry, clock).expect("a log");
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(COUNT));
    let (mut r, mut step) = (Records::default(), 0);
    group.bench_function("write samples", |b| {
        b.iter(|| {
            step += 1;
            r.clear();
            r.samples(samples(step));
            black_box(wal.log(&r).expect("written"))
        });
    });
    let all = series();
    let mut encoded = Vec::new();
    record::encode_samples(&mut encoded, samples(1));
    let mut out = Vec::new();
    group.bench_function("decode samples", |b| {
        b.iter(|| {
            out.clear();
            record::decode_samples(&encoded, &mut out).expect("sound");
            black_box(out.len())
        });
    });
    let (mut of_series, mut scratch) = (Vec::new(), Vec::new());
    record::encode_series(&mut of_series, all.iter().zip(1..).map(|(l, id)| (id, l.as_ref())));
    group.bench_function("decode series", |b| {
        b.iter(|| {
            let mut n = 0;
            record::decode_series(&of_series, &mut scratch, |_, l| n += l.encoded().len()).expect("sound");
            black_box(n)
        });
    });
    // A segment of 1,000 such commits.
    let read = tempfile::tempdir().expect("a directory");
    let registry = Registry::new(SystemClock::shared());
    let options = WalOptions { sync: SyncPolicy::None, ..WalOptions::default() };
    let wal = Wal::open(RealFs::shared(), read.path(), options, &registry, SystemClock::shared()).expect("a log");
    for step in 0..1000 {
        r.clear();
        r.samples(samples(step));
        wal.log(&r).expect("written");
    }
    wal.close().expect("closed");
    group.throughput(Throughput::Elements(COUNT * 1000)).sample_size(10);
    group.bench_function("read segment", |b| {
        b.iter(|| {
            let mut reader = LogReader::open(Arc::clone(&RealFs::shared()), read.path(), 0, u64::MAX).expect("a log");
            let mut n = 0;
            while let Some(r) = reader.next().expect("sound") {
                n += r.bytes.len();
            }
            black_box(n)
        });
    });
    group.finish();
}

criterion_group!(benches, records);
criterion_main!(benches);
