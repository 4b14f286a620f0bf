//! Random series: gauges, counters with resets, sparse ones, odd numbers, classic and native histograms; with gaps and stale markers.

use super::native;
use model::sample::STALE_NAN_BITS;
use model::{FloatHistogram, Labels};
use promql::testkit::TestStore;
use stdx::rand::Rand;

/// The first sample's time, in milliseconds.
pub const BEGIN_MS: i64 = 1_700_000_000_000;
/// How long the series go on.
pub const LENGTH_MS: i64 = 2 * 3_600_000;
const STEP_MS: i64 = 15_000;

#[derive(Clone, Debug)]
pub enum Point {
    Float(f64),
    Histogram(FloatHistogram),
}

pub struct Series {
    pub labels: Labels,
    pub points: Vec<(i64, Point)>,
}

pub struct Data {
    /// In order of their labels.
    pub series: Vec<Series>,
}

impl Data {
    pub fn random(seed: u64) -> Data {
        let mut r = Rand::seeded(seed);
        let mut series = Vec::new();
        for class in ["1", "2", "3"] {
            let env = if class == "3" { "test" } else { "prod" };
            let mut add = |r: &mut Rand, labels: &[(&str, &str)], next: &mut dyn FnMut(&mut Rand) -> Option<Point>| {
                series.push(Series { labels: Labels::from_pairs(labels.iter().copied()), points: points(r, next) });
            };
            for seat in ["1", "2"] {
                for (name, kind) in [("temperature", 0), ("requests_total", 1), ("sparse", 2), ("odd", 3), ("constant", 4)] {
                    let mut v = r.below(100) as f64;
                    add(&mut r, &[("__name__", name), ("class", class), ("seat", seat), ("env", env)], &mut |r| float(r, kind, &mut v));
                }
                for (name, kind) in native::KINDS {
                    let mut h = native::Walk::new(&mut r, kind);
                    add(&mut r, &[("__name__", name), ("class", class), ("seat", seat), ("env", env)], &mut |r| Some(h.next(r)));
                }
            }
            add(&mut r, &[("__name__", "class_info"), ("class", class), ("room", &format!("r{class}")), ("env", "prod")], &mut |_| {
                Some(Point::Float(1.0))
            });
            for seat in ["1", "2"] {
                let data = format!("v{}", r.below(3));
                let identity = [("__name__", "target_info"), ("instance", seat), ("job", class), ("version", &data)];
                add(&mut r, &identity, &mut |_| Some(Point::Float(1.0)));
                let mut v = 0.0;
                let identity = [("__name__", "calls_total"), ("class", class), ("instance", seat), ("job", class)];
                add(&mut r, &identity, &mut |r| float(r, 1, &mut v));
            }
            let mut below_bound = vec![0.0; 480];
            for le in ["0.1", "0.5", "1", "5", "+Inf"] {
                let labels = Labels::from_pairs([("__name__", "wait_bucket"), ("class", class), ("le", le)]);
                let mut sum = 0.0;
                for slot in below_bound.iter_mut() {
                    sum += r.below(4) as f64;
                    *slot += sum;
                }
                let points = below_bound.iter().enumerate().map(|(i, v)| (BEGIN_MS + i as i64 * STEP_MS, Point::Float(*v))).collect();
                series.push(Series { labels, points });
            }
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Data { series }
    }

    pub fn store(&self) -> TestStore {
        let mut store = TestStore::default();
        for s in &self.series {
            for (t, p) in &s.points {
                match p {
                    Point::Float(v) => store.append(&s.labels, *t, 0, *v),
                    Point::Histogram(h) => store.append_histogram(&s.labels, *t, 0, h),
                }
                .expect("points come in order");
            }
        }
        store
    }
}

/// Spreads values over time: now and then one is missing, late, or the series has gone.
fn points(r: &mut Rand, next: &mut dyn FnMut(&mut Rand) -> Option<Point>) -> Vec<(i64, Point)> {
    let mut out: Vec<(i64, Point)> = Vec::new();
    let mut t = BEGIN_MS + r.below(STEP_MS as u64) as i64;
    while t < BEGIN_MS + LENGTH_MS {
        let jitter = if r.below(10) == 0 { r.below(700) as i64 } else { 0 };
        let mut p = next(r).filter(|_| r.below(40) > 0);
        // All series begin with the first request, so that the reference has them in the order of their labels.
        while p.is_none() && out.is_empty() {
            p = next(r);
        }
        out.extend(p.map(|p| (t + jitter, p)));
        match r.below(300) {
            // A long gap,
            0 | 1 => t += STEP_MS * (10 + r.below(30) as i64),
            // or an end that is told, and a later beginning.
            2 | 3 => {
                let stale = match out.last() {
                    Some((_, Point::Histogram(h))) => Point::Histogram(native::stale(h)),
                    _ => Point::Float(f64::from_bits(STALE_NAN_BITS)),
                };
                out.push((t + STEP_MS, stale));
                t += STEP_MS * (2 + r.below(30) as i64);
            }
            _ => t += STEP_MS,
        }
    }
    out
}

fn float(r: &mut Rand, kind: u32, v: &mut f64) -> Option<Point> {
    const ODD: [f64; 10] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300, 1e-300, 42.0, -7.5];
    *v = match kind {
        0 => *v + r.below(2001) as f64 / 100.0 - 10.0,
        1 if r.below(60) == 0 => r.below(5) as f64,
        1 => *v + r.below(50) as f64 * 0.5,
        2 => r.below(1000) as f64 - 500.0,
        3 => ODD[r.below(10) as usize],
        _ => *v,
    };
    (kind != 2 || r.below(3) == 0).then_some(Point::Float(*v))
}
