//! deriv, predict_linear, double_exponential_smoothing.

use super::windows::Windows;
use super::{Env, Out, RangeSource, Window};
use crate::annotations::Note;
use crate::engine::QueryError;
use crate::exec::limits::Pace;
use crate::exec::rows::Grid;
use crate::plan::RangeFn;
use model::histogram::kahan;

/// Slope and value at `at_ms` of the line with the least squares. A constant is exactly constant.
fn line(w: &Window<'_>, at_ms: i64) -> (f64, f64) {
    let first = w.v[0];
    if w.v.iter().all(|v| *v == first) {
        return constant(first);
    }
    let (mut sums, mut c) = ([0.0; 4], [0.0; 4]);
    for (t, y) in w.t.iter().zip(w.v) {
        let x = distance(*t, at_ms);
        add_four([x, *y, x * y, x * x], &mut sums, &mut c);
    }
    let [x1, y1, xy, x2] = std::array::from_fn(|i| sums[i] + c[i]);
    least_squares(w.v.len() as f64, x1, y1, xy, x2)
}

fn constant(v: f64) -> (f64, f64) {
    if v.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, v) }
}

/// Seconds from one time to another.
#[inline]
fn distance(t_ms: i64, at_ms: i64) -> f64 {
    (t_ms - at_ms) as f64 / 1e3
}

#[inline]
fn least_squares(n: f64, x1: f64, y1: f64, xy: f64, x2: f64) -> (f64, f64) {
    let slope = (xy - x1 * y1 / n) / (x2 - x1 * x1 / n);
    (slope, y1 / n - slope * x1 / n)
}

/// Distances that are kept for the next series; windows that hold more samples than that are not kept.
const MOST_DISTANCES: u64 = 1 << 17;

/// `deriv` and `predict_linear` of all windows. What depends on times alone is computed once for all series that have the same.
pub(super) fn lines(
    source: &RangeSource<'_>,
    new: bool,
    t: &[i64],
    v: &[f64],
    grid: Grid,
    w: &mut Windows,
    out: &mut [f64],
    pace: &mut Pace<'_>,
) -> Result<(), QueryError> {
    let predict = source.func == RangeFn::PredictLinear;
    let at = |k: usize, from: usize| if predict { grid.time(k) } else { t[from] };
    if w.counted > MOST_DISTANCES {
        for (k, from, to) in w.each().filter(|(_, from, to)| to - from > 1) {
            pace.step((to - from) as u64)?;
            let (slope, here) = line(&Window::of_floats(&t[from..to], &v[from..to]), at(k, from));
            out[k] = if predict { slope * source.args[0].get(k) + here } else { slope };
        }
        return Ok(());
    }
    if new {
        let (mut x, mut sums) = (std::mem::take(&mut w.x), std::mem::take(&mut w.sums));
        for (k, from, to) in w.each() {
            let (mut s, mut c) = ([0.0; 2], [0.0; 2]);
            for t in &t[from..to] {
                let d = distance(*t, at(k, from));
                x.push(d);
                kahan::add_lane(d, &mut s[0], &mut c[0]);
                kahan::add_lane(d * d, &mut s[1], &mut c[1]);
            }
            sums.push((s[0] + c[0], s[1] + c[1]));
        }
        (w.x, w.sums) = (x, sums);
    }
    // Where values begin to be another than the one before: a window without such a place is constant.
    let mut behind = 0;
    let mut next_change = 0;
    for ((k, from, to), (x1, x2)) in w.each().zip(&w.sums) {
        let x = &w.x[behind..behind + (to - from)];
        behind += to - from;
        if to - from < 2 {
            continue;
        }
        let y = &v[from..to];
        next_change = next_change.max(from + 1);
        while next_change < v.len() && v[next_change] == v[next_change - 1] {
            next_change += 1;
        }
        let (slope, here) = if next_change >= to {
            constant(y[0])
        } else {
            match two_sums(x, y) {
                Some((y1, xy)) => least_squares(y.len() as f64, *x1, y1, xy, *x2),
                None => line(&Window::of_floats(&t[from..to], y), at(k, from)),
            }
        };
        out[k] = if predict { slope * source.args[0].get(k) + here } else { slope };
    }
    Ok(())
}

/// Compensated sums of `y` and of `x * y`; None when they are not finite.
#[inline]
fn two_sums(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let (mut s, mut c) = ([0.0; 2], [0.0; 2]);
    for (x, y) in x.iter().zip(y) {
        let inc = [*y, x * y];
        (0..2).for_each(|i| kahan::add_lane(inc[i], &mut s[i], &mut c[i]));
    }
    let sums = (s[0] + c[0], s[1] + c[1]);
    (sums.0.is_finite() && sums.1.is_finite()).then_some(sums)
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
