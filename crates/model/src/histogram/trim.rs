//! Cutting a histogram at a value: the operators `</` (keep what is below) and `>/` (keep what is above).
//!
//! A bucket that the value cuts keeps its interpolated share; the sum is estimated anew from the middles of what is left.

use super::{Bucket, FloatHistogram};

/// Which part stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Below,
    Above,
}

/// The middle of a surviving interval: arithmetic for linear buckets, geometric for exponential ones; an infinite end counts as far as the finite.
fn midpoint(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}

fn zero_if_infinite(v: f64) -> f64 {
    if v.is_infinite() { 0.0 } else { v }
}

/// Count and middle of what stays of a bucket that the value cuts and that reaches to infinity: how its observations lie is unknown, so mostly all
/// or nothing. A finite positive upper bound of the lowest custom bucket lets it be taken as starting at zero.
fn cut_infinite(b: &Bucket, at: f64, keep: Keep) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY {
        return match keep {
            Keep::Below if at >= b.upper => (b.count, 0.0),
            Keep::Below if at > 0.0 && b.upper > 0.0 && b.upper != f64::INFINITY => (b.count * at / b.upper, at / 2.0),
            Keep::Below if b.upper <= 0.0 => (b.count, at),
            Keep::Above if at <= b.lower => (b.count, 0.0),
            Keep::Above if at >= 0.0 && b.upper > at && b.upper != f64::INFINITY => (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0),
            Keep::Below | Keep::Above => (0.0, zero_if_infinite(b.upper)),
        };
    }
    match keep {
        Keep::Above if at >= b.lower => (b.count, at),
        Keep::Above | Keep::Below => (0.0, zero_if_infinite(b.lower)),
    }
}

fn cut(b: &Bucket, at: f64, keep: Keep, positive: bool, linear: bool) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return cut_infinite(b, at, keep);
    }
    let below = if at <= b.lower {
        0.0
    } else if at >= b.upper {
        b.count
    } else {
        b.count * b.fraction_below(at, linear)
    };
    match keep {
        Keep::Below => (below, midpoint(b.lower, at, positive, linear)),
        Keep::Above => (b.count - below, midpoint(at, b.upper, positive, linear)),
    }
}

/// The zero bucket reaches to zero only where the histogram has buckets of one sign alone.
fn cut_zero(b: &Bucket, at: f64, keep: Keep, has_negative: bool, has_positive: bool) -> (f64, f64) {
    let upper = if has_negative && !has_positive { 0.0 } else { b.upper };
    let lower = if has_positive && !has_negative { 0.0 } else { b.lower };
    let all = (b.count, (lower + upper) / 2.0);
    let none = (0.0, 0.0);
    match keep {
        Keep::Below if at <= lower => none,
        Keep::Below if at >= upper => all,
        Keep::Below => (b.count * ((at - lower) / (upper - lower)), (lower + at) / 2.0),
        Keep::Above if at <= lower => all,
        Keep::Above if at >= upper => none,
        Keep::Above => (b.count * ((upper - at) / (upper - lower)), (at + upper) / 2.0),
    }
}

impl FloatHistogram {
    /// Removes what lies on the other side of `at`. Unchanged when nothing does.
    pub fn trim(&mut self, at: f64, keep: Keep) -> &mut Self {
        let linear = self.uses_custom_buckets();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut trim_side = |buckets: Vec<Bucket>, counts: &mut [f64], positive: bool| {
            let mut populated = false;
            for (b, slot) in buckets.iter().zip(counts).filter(|(b, _)| b.count != 0.0) {
                populated = true;
                let (inside, cuts) = match keep {
                    Keep::Below => (b.upper <= at, b.lower < at),
                    Keep::Above => (b.lower >= at, b.upper > at),
                };
                if inside {
                    count += b.count;
                    sum += midpoint(b.lower, b.upper, positive, linear) * b.count;
                } else if cuts {
                    let (kept, middle) = cut(b, at, keep, positive, linear);
                    count += kept;
                    sum += middle * kept;
                    changed |= *slot != kept;
                    *slot = kept;
                } else {
                    *slot = 0.0;
                    changed = true;
                }
            }
            populated
        };
        let positive: Vec<Bucket> = self.positive_buckets().collect();
        let negative: Vec<Bucket> = self.negative_buckets().collect();
        let has_positive = trim_side(positive, &mut self.positive_buckets, true);
        let has_negative = trim_side(negative, &mut self.negative_buckets, false);
        if self.zero_count > 0.0 {
            let (kept, middle) = cut_zero(&self.zero_bucket(), at, keep, has_negative, has_positive);
            changed |= self.zero_count != kept;
            self.zero_count = kept;
            sum += middle * kept;
            count += kept;
        }
        if changed {
            self.count = count;
            self.sum = sum;
            self.compact(0);
        }
        self
    }
}
