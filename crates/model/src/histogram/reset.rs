//! Has a counter started anew between two histograms?

use super::arithmetic::{bounds_in_common, rollup};
use super::bounds::exponential_bound;
use super::buckets::coarse_walk;
use super::{FloatHistogram, ResetHint, Span};

/// Has any bucket lost observations? `previous` is brought to the current schema first; buckets inside the zero bucket are not looked at.
fn side_reset(h: &FloatHistogram, current: (&[Span], &[f64]), previous_schema: i32, previous: (&[Span], &[f64])) -> bool {
    let outside = |(i, _): &(i32, f64)| h.uses_custom_buckets() || h.zero_threshold == 0.0 || exponential_bound(*i, h.schema) > h.zero_threshold;
    let mut now = coarse_walk(current.0, current.1, h.schema, h.schema).skip_while(|b| !outside(b));
    let before = coarse_walk(previous.0, previous.1, previous_schema, h.schema).skip_while(|b| !outside(b));
    let mut bucket = now.next();
    for (index, count) in before {
        while bucket.is_some_and(|(i, _)| i < index) {
            bucket = now.next();
        }
        match bucket {
            // Once the current buckets are used up, the reference looks at one more of the previous ones only; answers must agree.
            None => return count != 0.0,
            Some((i, c)) if i == index && c < count => return true,
            Some((i, _)) if i > index && count != 0.0 => return true,
            Some(_) => {}
        }
    }
    false
}

impl FloatHistogram {
    /// Is there a counter reset between `previous` and this? A hint decides where there is one; else any count that fell, any populated bucket
    /// that is missing, a finer schema or a narrower zero bucket tell of a reset.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                let common = bounds_in_common(self, previous);
                return rollup(self, &common).iter().zip(rollup(previous, &common)).any(|(now, before)| *now < before);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        if previous.uses_custom_buckets() != self.uses_custom_buckets() {
            return true;
        }
        let (previous_zero, threshold, _) = previous.zero_count_for(self.zero_threshold, None);
        if threshold != self.zero_threshold || self.zero_count < previous_zero {
            return true;
        }
        let side = |now: (&[Span], &[f64]), before: (&[Span], &[f64])| {
            if now.0 == before.0 && self.schema == previous.schema && self.zero_threshold == 0.0 && now.1.len() == before.1.len() {
                return now.1.iter().zip(before.1).any(|(a, b)| a < b);
            }
            side_reset(self, now, previous.schema, before)
        };
        side((&self.positive_spans, &self.positive_buckets), (&previous.positive_spans, &previous.positive_buckets))
            || side((&self.negative_spans, &self.negative_buckets), (&previous.negative_spans, &previous.negative_buckets))
    }
}
