//! Random series: gauges, counters with resets, sparse ones, odd numbers, classic histograms.

use model::Labels;
use promql::testkit::TestStore;
use stdx::rand::Rand;

/// The first sample's time, in milliseconds.
pub const BEGIN_MS: i64 = 1_700_000_000_000;
/// How long the series go on.
pub const LENGTH_MS: i64 = 2 * 3_600_000;

pub struct Data {
    series: Vec<(Labels, Vec<(i64, f64)>)>,
}

fn below(r: &mut Rand, n: u64) -> u64 {
    r.next_u64() % n
}

impl Data {
    pub fn random(seed: u64) -> Data {
        let mut r = Rand::seeded(seed);
        let mut series = Vec::new();
        for class in ["1", "2", "3"] {
            for seat in ["1", "2"] {
                for (name, kind) in [("temperature", 0), ("requests_total", 1), ("sparse", 2), ("odd", 3), ("constant", 4)] {
                    let labels = Labels::from_pairs([
                        ("__name__", name),
                        ("class", class),
                        ("seat", seat),
                        ("env", if class == "3" { "test" } else { "prod" }),
                    ]);
                    series.push((labels, points(&mut r, kind)));
                }
            }
            let labels = Labels::from_pairs([("__name__", "class_info"), ("class", class), ("room", &format!("r{class}")), ("env", "prod")]);
            series.push((labels, points(&mut r, 5)));
            let mut below_bound = vec![0.0; 480];
            for le in ["0.1", "0.5", "1", "5", "+Inf"] {
                let labels = Labels::from_pairs([("__name__", "wait_bucket"), ("class", class), ("le", le)]);
                let mut sum = 0.0;
                for slot in below_bound.iter_mut() {
                    sum += below(&mut r, 4) as f64;
                    *slot += sum;
                }
                series.push((labels, below_bound.iter().enumerate().map(|(i, v)| (BEGIN_MS + i as i64 * 15_000, *v)).collect()));
            }
        }
        // Blocks keep series in order of their labels, and of equal values the first ones win.
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Data { series }
    }

    pub fn store(&self) -> TestStore {
        let mut store = TestStore::default();
        for (labels, points) in &self.series {
            for (t, v) in points {
                store.append(labels, *t, 0, *v).expect("points come in order");
            }
        }
        store
    }

    /// For `promtool tsdb create-blocks-from openmetrics`.
    pub fn open_metrics(&self) -> String {
        let mut out = String::new();
        let mut last = String::new();
        let mut series: Vec<_> = self.series.iter().collect();
        series.sort_by(|a, b| a.0.metric_name().cmp(b.0.metric_name()));
        for (labels, points) in series {
            let name = labels.metric_name();
            if name != last {
                out.push_str(&format!("# TYPE {name} unknown\n"));
                last = name.to_string();
            }
            let rest: Vec<String> = labels.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| format!("{n}=\"{v}\"")).collect();
            for (t, v) in points {
                let value = if v.is_nan() {
                    "NaN".to_string()
                } else if v.is_infinite() {
                    (if *v > 0.0 { "+Inf" } else { "-Inf" }).to_string()
                } else {
                    v.to_string()
                };
                out.push_str(&format!("{name}{{{}}} {value} {}.{:03}\n", rest.join(","), t / 1000, t % 1000));
            }
        }
        out.push_str("# EOF\n");
        out
    }
}

fn points(r: &mut Rand, kind: u32) -> Vec<(i64, f64)> {
    let mut out = Vec::new();
    let mut v = below(r, 100) as f64;
    let phase = below(r, 15_000) as i64;
    let mut t = BEGIN_MS + phase;
    while t < BEGIN_MS + LENGTH_MS {
        let jitter = if below(r, 10) == 0 { below(r, 700) as i64 } else { 0 };
        let missing = match kind {
            2 => below(r, 3) > 0,
            _ => below(r, 40) == 0,
        };
        v = match kind {
            0 => v + below(r, 2001) as f64 / 100.0 - 10.0,
            1 if below(r, 60) == 0 => below(r, 5) as f64,
            1 => v + below(r, 50) as f64 * 0.5,
            2 => below(r, 1000) as f64 - 500.0,
            3 => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300, 1e-300, 42.0, -7.5][below(r, 10) as usize],
            4 => v,
            _ => 1.0,
        };
        if !missing {
            out.push((t + jitter, v));
        }
        // Now and then a long gap.
        t += if below(r, 150) == 0 { 15_000 * (10 + below(r, 30) as i64) } else { 15_000 };
    }
    out
}
