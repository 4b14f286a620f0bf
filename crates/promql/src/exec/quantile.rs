//! Quantiles: of values, of classic buckets, of native histograms; and the share of observations between two bounds.

use super::binop::{max as go_max, min as go_min};
use crate::annotations::{Annotations, Note};
use crate::parse::Span;
use model::FloatHistogram;
use model::gomath::{exp2, log2};
use model::histogram::Bucket;

/// Relative differences between neighbouring classic buckets below this are taken for rounding errors.
const SMALL_DELTA: f64 = 1e-12;

/// The quantile of values, interpolated between two. Reorders them.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // What is no number comes first.
    let order = |a: &f64, b: &f64| b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let n = values.len();
    let rank = q * (n as f64 - 1.0);
    let lower = rank.floor().max(0.0) as usize;
    let weight = rank - rank.floor();
    let (_, low, above) = values.select_nth_unstable_by(lower, order);
    let low = *low;
    let high = if lower + 1 < n { above.iter().copied().min_by(order).unwrap_or(low) } else { low };
    low * (1.0 - weight) + high * weight
}

/// Upper bound and cumulative count.
pub type ClassicBucket = (f64, f64);

/// What had to be fixed to make counts rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed {
    pub bucket: (f64, f64),
    pub max_diff: f64,
}

/// Buckets with equal bounds become one. They must be sorted by bound.
fn coalesce(buckets: &mut Vec<ClassicBucket>) {
    buckets.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 += next.1;
        }
        same
    });
}

/// Equal up to a relative difference.
pub fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    let stale = (model::sample::is_stale_nan(a), model::sample::is_stale_nan(b));
    if stale.0 || stale.1 {
        return stale.0 && stale.1;
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// Makes counts rise with the bounds: tiny differences are levelled silently, falls are filled up and told.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Fixed> {
    let mut fixed: Option<Fixed> = None;
    let mut before = buckets[0].1;
    for (bound, count) in &mut buckets[1..] {
        if *count == before {
            continue;
        }
        if almost_equal(before, *count, SMALL_DELTA) {
            *count = before;
        } else if *count < before {
            let f = fixed.get_or_insert(Fixed { bucket: (f64::INFINITY, f64::NEG_INFINITY), max_diff: 0.0 });
            f.bucket = (f.bucket.0.min(*bound), f.bucket.1.max(*bound));
            f.max_diff = f.max_diff.max(before - *count);
            *count = before;
        } else {
            before = *count;
        }
    }
    fixed
}

/// The quantile of a classic histogram, linear within buckets. `buckets` are sorted by bound, not empty, and are changed.
pub fn of_classic(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Fixed>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let fixed = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].1;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, fixed);
    }
    let mut rank = q * observations;
    // A count that is no number counts as too small, as in the reference's search.
    let (mut lo, mut hi) = (0, last);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        if buckets[mid].1 >= rank { hi = mid } else { lo = mid + 1 }
    }
    let b = lo;
    let value = if b == last {
        buckets[last - 1].0
    } else if b == 0 && buckets[0].0 <= 0.0 {
        buckets[0].0
    } else {
        let (mut start, mut count) = (0.0, buckets[b].1);
        if b > 0 {
            start = buckets[b - 1].0;
            count -= buckets[b - 1].1;
            rank -= buckets[b - 1].1;
        }
        start + (buckets[b].0 - start) * (rank / count)
    };
    (value, fixed)
}

/// The quantile of a native histogram: exponential within exponential buckets, linear in custom ones and around zero.
pub fn of_native(q: f64, h: &FloatHistogram, metric: &str, span: Span, notes: &mut Annotations) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // From the nearer end; but observations that are no number are in no bucket, and then only counting from below is right.
    let from_below = h.sum.is_nan() || q < 0.5;
    let (mut rising, mut falling) = (from_below.then(|| h.all_buckets()), (!from_below).then(|| h.all_buckets_reversed()));
    let mut next = move || match (&mut rising, &mut falling) {
        (Some(r), _) => r.next(),
        (None, Some(f)) => f.next(),
        (None, None) => None,
    };
    let mut rank = if from_below { q * h.count } else { (1.0 - q) * h.count };
    let (mut count, mut bucket) = (0.0, Bucket::default());
    while let Some(b) = next() {
        bucket = b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            break;
        }
    }
    if !h.uses_custom_buckets() && bucket.lower < 0.0 && bucket.upper > 0.0 {
        if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
    } else if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    }
    // Sums of floats may come out a little high.
    if count > h.count {
        count = h.count;
    }
    if count < rank {
        if h.sum.is_nan() {
            notes.add(Note::QuantileNanResult, metric, span);
            return f64::NAN;
        }
        return bucket.upper;
    }
    if from_below {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    if h.sum.is_nan() {
        let mut all = count;
        while let Some(b) = next() {
            bucket = b;
            all += b.count;
        }
        if all < h.count {
            notes.add(Note::QuantileNanSkew, metric, span);
        }
    }
    // As in the reference, the last bucket looked at is the one that counts: the highest, if the sum is no number.
    let fraction = rank / bucket.count;
    if h.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    if bucket.lower > 0.0 { exp2(lower + (upper - lower) * fraction) } else { -exp2(upper + (lower - upper) * (1.0 - fraction)) }
}

/// Ranks of two bounds while going up through buckets.
struct Bounds {
    lower: f64,
    upper: f64,
    lower_rank: Option<f64>,
    upper_rank: Option<f64>,
}

impl Bounds {
    /// Looks at a bucket with `rank` observations below it; `inside` gives the rank of a value within. True when both bounds are found.
    fn pass(&mut self, from: f64, to: f64, rank: f64, inside: impl Fn(f64) -> f64) -> bool {
        if self.lower_rank.is_none() && from >= self.lower {
            self.lower_rank = Some(rank);
        }
        if self.upper_rank.is_none() && from >= self.upper {
            self.upper_rank = Some(rank);
        }
        if self.lower_rank.is_some() && self.upper_rank.is_some() {
            return true;
        }
        if self.lower_rank.is_none() && from < self.lower && to > self.lower {
            self.lower_rank = Some(inside(self.lower));
        }
        if self.upper_rank.is_none() && from < self.upper && to > self.upper {
            self.upper_rank = Some(inside(self.upper));
        }
        self.lower_rank.is_some() && self.upper_rank.is_some()
    }

    /// Observations between the bounds, where `count` is all of them.
    fn between(&self, count: f64) -> f64 {
        let known = |r: Option<f64>| r.map_or(count, |r| if r > count { count } else { r });
        known(self.upper_rank) - known(self.lower_rank)
    }
}

/// The share of a native histogram's observations between two bounds.
pub fn fraction_of_native(lower: f64, upper: f64, h: &FloatHistogram, metric: &str, span: Span, notes: &mut Annotations) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut count, mut rank) = (0.0, 0.0);
    let mut bounds = Bounds { lower, upper, lower_rank: None, upper_rank: None };
    let mut buckets = h.all_buckets();
    for mut b in buckets.by_ref() {
        count += b.count;
        let around_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if around_zero {
            if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
                b.lower = 0.0;
            } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
                b.upper = 0.0;
            }
        }
        let linear = h.uses_custom_buckets() || around_zero;
        let inside = |v: f64| {
            if !linear {
                rank + b.count * b.fraction_below(v, false)
            } else if b.lower == f64::NEG_INFINITY {
                b.count
            } else {
                // As the reference rounds.
                rank + b.count * (v - b.lower) / (b.upper - b.lower)
            }
        };
        if bounds.pass(b.lower, b.upper, rank, inside) {
            break;
        }
        rank += b.count;
    }
    if h.sum.is_nan() {
        // There may be observations that are no number: they are in no bucket.
        count += buckets.map(|b| b.count).sum::<f64>();
        if count < h.count {
            notes.add(Note::FractionNans, metric, span);
        }
    } else {
        count = h.count;
    }
    bounds.between(count) / h.count
}

/// The share of a classic histogram's observations between two bounds. `buckets` are sorted by bound, not empty, and are changed.
pub fn fraction_of_classic(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].1;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut from = if buckets[0].0 <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    let mut bounds = Bounds { lower, upper, lower_rank: None, upper_rank: None };
    for (to, below) in buckets.iter().copied() {
        let inside = |v: f64| if from == f64::NEG_INFINITY { below } else { rank + (below - rank) * (v - from) / (to - from) };
        if bounds.pass(from, to, rank, inside) {
            break;
        }
        (rank, from) = (below, to);
    }
    bounds.between(count) / count
}

/// Smallest and largest, where what is no number wins.
pub fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, -f64::MAX), |(lo, hi), v| (go_min(lo, v), go_max(hi, v)))
}
