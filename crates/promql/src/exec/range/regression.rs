//! deriv, predict_linear, double_exponential_smoothing.

use super::{Env, Out, Window};
use crate::annotations::Note;
use model::histogram::kahan;

/// Slope and value at `at_ms` of the line with the least squares. A constant is exactly constant.
fn line(w: &Window<'_>, at_ms: i64) -> (f64, f64) {
    let first = w.v[0];
    if w.v.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = w.v.len() as f64;
    let (mut x1, mut y1, mut xy, mut x2) = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0));
    for (t, y) in w.t.iter().zip(w.v) {
        let x = (t - at_ms) as f64 / 1e3;
        x1 = kahan::add(x, x1.0, x1.1);
        y1 = kahan::add(*y, y1.0, y1.1);
        xy = kahan::add(x * y, xy.0, xy.1);
        x2 = kahan::add(x * x, x2.0, x2.1);
    }
    let (x1, y1, xy, x2) = (x1.0 + x1.1, y1.0 + y1.1, xy.0 + xy.1, x2.0 + x2.1);
    let slope = (xy - x1 * y1 / n) / (x2 - x1 * x1 / n);
    (slope, y1 / n - slope * x1 / n)
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
