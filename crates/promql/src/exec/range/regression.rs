//! deriv, predict_linear, double_exponential_smoothing.

use super::{Env, Out, Window};
use crate::annotations::Note;

/// Slope and value at `at_ms` of the line with the least squares. A constant is exactly constant.
fn line(w: &Window<'_>, at_ms: i64) -> (f64, f64) {
    let first = w.v[0];
    if w.v.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = w.v.len() as f64;
    let (mut sums, mut c) = ([0.0; 4], [0.0; 4]);
    for (t, y) in w.t.iter().zip(w.v) {
        let x = (t - at_ms) as f64 / 1e3;
        add_four([x, *y, x * y, x * x], &mut sums, &mut c);
    }
    let [x1, y1, xy, x2] = std::array::from_fn(|i| sums[i] + c[i]);
    let slope = (xy - x1 * y1 / n) / (x2 - x1 * x1 / n);
    (slope, y1 / n - slope * x1 / n)
}

/// Four compensated additions at once, without branches.
#[inline(always)]
fn add_four(inc: [f64; 4], sums: &mut [f64; 4], c: &mut [f64; 4]) {
    for i in 0..4 {
        let t = sums[i] + inc[i];
        let (big, small) = if sums[i].abs() >= inc[i].abs() { (sums[i], inc[i]) } else { (inc[i], sums[i]) };
        let next = c[i] + ((big - t) + small);
        c[i] = if t.is_infinite() { 0.0 } else { next };
        sums[i] = t;
    }
}

/// At least two floats; histograms beside floats are told.
fn enough(w: &Window<'_>, env: &mut Env<'_>) -> bool {
    if !w.h.is_empty() && !w.v.is_empty() {
        env.note(Note::HistogramIgnoredInMixedRange);
    }
    w.v.len() >= 2
}

pub(super) fn deriv(w: &Window<'_>, env: &mut Env<'_>) -> Option<Out> {
    // The line is computed near the samples' own times, where floats are exact enough.
    enough(w, env).then(|| Out::Float(line(w, w.t[0]).0))
}

pub(super) fn predict(w: &Window<'_>, env: &mut Env<'_>, seconds: f64) -> Option<Out> {
    enough(w, env).then(|| {
        let (slope, now) = line(w, w.eval_ms);
        Out::Float(slope * seconds + now)
    })
}

/// Smoothing that follows a trend (Holt): both factors lie between 0 and 1, which was checked.
pub(super) fn double_exponential(w: &Window<'_>, env: &mut Env<'_>, smoothing: f64, trend: f64) -> Option<Out> {
    if !enough(w, env) {
        return None;
    }
    let (mut before, mut level) = (0.0, w.v[0]);
    let mut slope = w.v[1] - w.v[0];
    for (i, v) in w.v.iter().enumerate().skip(1) {
        let x = smoothing * v;
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let y = (1.0 - smoothing) * (level + slope);
        (before, level) = (level, x + y);
    }
    Some(Out::Float(level))
}
