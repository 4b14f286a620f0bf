//! What it costs to read a write request of 2,000 series with ten labels and one sample each. Run by `make bench`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Labels;
use remote::wire::decode::WriteDecoder;
use remote::wire::{FloatSample, SeriesOut, Version, body, write1, write2};
use std::hint::black_box;

const SERIES: usize = 2000;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_metric_{}_total", i % 500)),
        ("class", "gold".to_string()),
        ("cluster", "prod-1".to_string()),
        ("container", "node-exporter".to_string()),
        ("device", format!("eth{}", i % 4)),
        ("instance", format!("host-{:05}.example.org:9100", i / 500)),
        ("job", "node".to_string()),
        ("mode", ["user", "system", "idle", "iowait"][i % 4].to_string()),
        ("namespace", "monitoring".to_string()),
        ("region", "eu-central-1".to_string()),
    ])
}

fn decode(c: &mut Criterion) {
    let all: Vec<Labels> = (0..SERIES).map(labels).collect();
    let (mut v1, mut v2, mut writer) = (Vec::new(), Vec::new(), write2::Writer::new());
    for (i, l) in all.iter().enumerate() {
        let samples = [FloatSample { t_ms: 1_700_006_400_000, v: i as f64 * 1.5, ..FloatSample::default() }];
        let series = SeriesOut { labels: l.as_ref(), samples: &samples, histograms: &[], exemplars: &[], metadata: None };
        write1::put_series(&mut v1, &series);
        writer.put_series(&series);
    }
    writer.finish(&mut v2);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(SERIES as u64));
    let none: [String; 0] = [];
    for (name, version, bytes) in [("v1", Version::V1, &v1), ("v2", Version::V2, &v2)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut d = WriteDecoder::new(version, bytes, &none).expect("a sound request");
                let mut n = 0;
                while let Some(s) = d.next_series().expect("a sound request") {
                    n += s.labels.as_ref().map_or(0, |l| l.encoded().len()) + s.samples.len();
                }
                black_box(n)
            });
        });
    }
    let packed = snap::raw::Encoder::new().compress_vec(&v1).expect("snappy");
    let mut buffer = Vec::new();
    group.bench_function("snappy of v1", |b| {
        b.iter(|| black_box(body::decompress(body::ContentEncoding::Snappy, &packed, 64 << 20, &mut buffer).expect("sound").len()));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
