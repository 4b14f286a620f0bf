//! Rates of `anchored` and `smoothed` range selectors: from one edge of the window to the other, without extrapolation.
//!
//! Anchored takes the newest sample at or before an edge, smoothed interpolates between the samples around it.

use super::rate::add_noted;
use super::{Env, Out, Window};
use crate::annotations::{HistOp, Note};
use model::FloatHistogram;
use model::histogram::ResetHint;
use std::sync::Arc;

/// A value on the line between two samples. A counter that fell is taken to have started at zero.
pub(super) fn between(t: (i64, i64), v: (f64, f64), at: i64, is_counter: bool) -> f64 {
    let from = if is_counter && v.1 < v.0 { 0.0 } else { v.0 };
    from + (v.1 - from) * (at - t.0) as f64 / (t.1 - t.0) as f64
}

/// The first index in `0..n` for which a rising condition holds, `n` when none.
fn search(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut lo, mut hi) = (0, n);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        if holds(mid) { hi = mid } else { lo = mid + 1 }
    }
    lo
}

/// The samples that stand for the edges: the last at or before the start (or the first), the last (or, smoothed, the first at or behind the end).
/// None when nothing lies inside.
fn edges(t: &[i64], start: i64, end: i64, smoothed: bool) -> Option<(usize, usize)> {
    let mut last = t.len() - 1;
    let first = search(last, |i| t[i] > start).saturating_sub(1);
    if smoothed {
        last = search(last, |i| t[i] >= end);
    }
    (t[last] > start).then_some((first, last))
}

fn left(t: &[i64], v: &[f64], first: usize, start: i64, smoothed: bool, is_counter: bool) -> f64 {
    if smoothed && t[first] < start { between((t[first], t[first + 1]), (v[first], v[first + 1]), start, is_counter) } else { v[first] }
}

fn right(t: &[i64], v: &[f64], last: usize, end: i64, smoothed: bool, is_counter: bool) -> f64 {
    if smoothed && last > 0 && t[last] > end { between((t[last - 1], t[last]), (v[last - 1], v[last]), end, is_counter) } else { v[last] }
}

pub(super) fn float_rate(w: &Window<'_>, env: &Env<'_>, is_counter: bool, is_rate: bool) -> Option<Out> {
    let smoothed = env.frame.smoothed;
    let (mut first, last) = edges(w.t, w.start_ms, w.end_ms, smoothed)?;
    if smoothed && w.t[first] > w.end_ms {
        return None;
    }
    let from = left(w.t, w.v, first, w.start_ms, smoothed, is_counter);
    let to = right(w.t, w.v, last, w.end_ms, smoothed, is_counter);
    let mut result = to - from;
    if is_counter {
        // Samples strictly inside; resets at the edges are dealt with.
        if w.t[first] <= w.start_ms {
            first += 1;
        }
        let behind = if w.t[last] >= w.end_ms { last } else { last + 1 };
        let mut correction = 0.0;
        let mut before = from;
        for v in w.v.get(first..behind).unwrap_or(&[]) {
            if *v < before {
                correction += before;
            }
            before = *v;
        }
        if to < before {
            correction += before;
        }
        result += correction;
    }
    if is_rate {
        result /= env.frame.range_ms as f64 / 1000.0;
    }
    Some(Out::Float(result))
}

/// A histogram between two others. Errors and reconciled bounds are told.
pub(super) fn hist_between(
    t: (i64, i64),
    h: (&FloatHistogram, &FloatHistogram),
    at: i64,
    is_counter: bool,
    env: &mut Env<'_>,
) -> Option<FloatHistogram> {
    if at == t.0 {
        return Some(h.0.clone());
    }
    let mut result = h.1.clone();
    if at == t.1 {
        return Some(result);
    }
    let fraction = (at - t.0) as f64 / (t.1 - t.0) as f64;
    if is_counter && h.1.detect_reset(h.0) {
        result.mul(fraction);
        return Some(result);
    }
    add_noted(&mut result, h.0, env, HistOp::Subtraction)?;
    result.mul(fraction);
    add_noted(&mut result, h.0, env, HistOp::Addition)?;
    Some(result)
}

pub(super) fn histogram_rate(w: &Window<'_>, env: &mut Env<'_>, is_counter: bool, is_rate: bool) -> Option<Out> {
    let (h, t, smoothed) = (w.h, w.ht, env.frame.smoothed);
    let (first, last) = edges(t, w.start_ms, w.end_ms, smoothed)?;
    if smoothed && t[first] > w.end_ms {
        return None;
    }
    let custom = h[first].uses_custom_buckets();
    for x in &h[first..=last] {
        if x.uses_custom_buckets() != custom {
            env.note(Note::MixedExponentialCustom);
            return None;
        }
        if is_counter && x.reset_hint == ResetHint::Gauge {
            env.note(Note::NotCounter);
        }
    }
    let from = if smoothed && t[first] < w.start_ms {
        hist_between((t[first], t[first + 1]), (&h[first], &h[first + 1]), w.start_ms, is_counter, env)?
    } else {
        (*h[first]).clone()
    };
    let to = if smoothed && last > 0 && t[last] > w.end_ms {
        hist_between((t[last - 1], t[last]), (&h[last - 1], &h[last]), w.end_ms, is_counter, env)?
    } else {
        (*h[last]).clone()
    };
    if !is_counter && (from.reset_hint != ResetHint::Gauge || to.reset_hint != ResetHint::Gauge) {
        env.note(Note::NotGauge);
    }
    let mut result = to.clone();
    add_noted(&mut result, &from, env, HistOp::Subtraction)?;
    if is_counter && let Some(correction) = hist_correction(h, t, (first, last), (&from, &to), w.start_ms, env)? {
        add_noted(&mut result, &correction, env, HistOp::Addition)?;
    }
    if is_rate {
        result.div(env.frame.range_ms as f64 / 1000.0);
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact(0);
    Some(Out::Hist(result))
}

/// What resets between the edges have taken away. The outer None: buckets that do not go together.
fn hist_correction(
    h: &[Arc<FloatHistogram>],
    t: &[i64],
    (first, last): (usize, usize),
    (from, to): (&FloatHistogram, &FloatHistogram),
    start: i64,
    env: &mut Env<'_>,
) -> Option<Option<FloatHistogram>> {
    let mut next = first + 1;
    let mut before = from;
    // A reset that the interpolation at the left edge went over is counted already.
    if env.frame.smoothed && t[first] < start && h[first + 1].detect_reset(&h[first]) {
        before = &h[first + 1];
        next += 1;
    }
    // The last sample is what the right edge was made of and is compared as that.
    if next > last {
        return Some(None);
    }
    let mut correction: Option<FloatHistogram> = None;
    let mut add = |lost: &FloatHistogram, env: &mut Env<'_>| match correction.as_mut() {
        None => {
            correction = Some(lost.clone());
            Some(())
        }
        Some(c) => add_noted(c, lost, env, HistOp::Addition),
    };
    for x in &h[next..last] {
        if x.detect_reset(before) {
            add(before, env)?;
        }
        before = x;
    }
    if to.detect_reset(before) {
        add(before, env)?;
    }
    Some(correction)
}

/// The samples inside the window with one at either edge: what an extended range selector gives on its own.
pub(super) fn boundaries(t: &[i64], v: &[f64], start: i64, end: i64, smoothed: bool) -> (Vec<i64>, Vec<f64>) {
    let Some((mut first, last)) = edges(t, start, end, smoothed) else { return (Vec::new(), Vec::new()) };
    let (from, to) = (left(t, v, first, start, smoothed, false), right(t, v, last, end, smoothed, false));
    if t[first] <= start {
        first += 1;
    }
    let behind = if t[last] >= end { last } else { last + 1 };
    let inside = first..behind.max(first);
    let times = std::iter::once(start).chain(t[inside.clone()].iter().copied()).chain([end]).collect();
    let values = std::iter::once(from).chain(v[inside].iter().copied()).chain([to]).collect();
    (times, values)
}
