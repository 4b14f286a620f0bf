//! The common case of range functions: floats only, windows that move with the steps. Exactly the results of the general way, in less work:
//! where windows begin and end is found once for all series with the same times, resets are found once for all windows, sums go four windows
//! at a time, extremes are kept in a queue, counting needs no looking.

use super::rate::Sampled;
use super::windows::Windows;
use super::{RangeSource, over_time, regression};
use crate::engine::QueryError;
use crate::exec::Exec;
use crate::exec::limits::Pace;
use crate::exec::rows::{Grid, Row};
use crate::exec::run::Scratch;
use crate::plan::RangeFn;
use model::histogram::kahan;
use storage::SeriesData;

/// Evaluates all windows if the function has a fast way; false when it has none.
pub(super) fn evaluate(
    source: &RangeSource<'_>,
    ex: &Exec<'_>,
    data: &SeriesData,
    grid: Grid,
    scratch: &mut Scratch,
    row: &mut Row,
) -> Result<bool, QueryError> {
    let mut pace = ex.budget.pace();
    use RangeFn::*;
    let (t, v) = (&data.t_ms[..], &data.v[..data.t_ms.len()]);
    let mut w = std::mem::take(&mut scratch.windows);
    let least = match source.func {
        Rate | Increase | Delta | Irate | Idelta | PredictLinear | Deriv => 2,
        _ => 1,
    };
    let new = w.look(t, &source.frame, grid, least);
    row.valid.copy_from_slice(&w.valid);
    let out = &mut row.v[..];
    match source.func {
        Rate | Increase => rates(source, new, t, v, grid, &mut w, &mut scratch.indices, out),
        Delta => {
            factors(source, new, t, grid, &mut w);
            w.each().zip(&w.factor).for_each(|((k, from, to), factor)| out[k] = (v[to - 1] - v[from]) * factor);
        }
        Irate | Idelta => last_two(source, t, v, &w, out),
        SumOverTime => sums(&w, v, 0.0, out, |s, c, _| kahan::total(s, c), over_time::sum, &mut pace)?,
        // Adding to minus zero leaves the first value as it is.
        AvgOverTime => sums(&w, v, -0.0, out, |s, c, n| s / n + c / n, over_time::avg, &mut pace)?,
        CountOverTime => w.each().for_each(|(k, from, to)| out[k] = (to - from) as f64),
        PresentOverTime | AbsentOverTime => w.each().for_each(|(k, ..)| out[k] = 1.0),
        LastOverTime => w.each().for_each(|(k, _, to)| out[k] = v[to - 1]),
        FirstOverTime => w.each().for_each(|(k, from, _)| out[k] = v[from]),
        MaxOverTime => extremes(&w, v, &mut scratch.indices, out, |a, b| a > b),
        MinOverTime => extremes(&w, v, &mut scratch.indices, out, |a, b| a < b),
        PredictLinear | Deriv => regression::lines(source, new, t, v, grid, &mut w, out, &mut pace)?,
        _ => {
            row.valid.fill(0);
            scratch.windows = w;
            return Ok(false);
        }
    }
    scratch.total += w.counted;
    if !source.from_subquery {
        // Every sample is new in one window; windows that leave gaps read less.
        scratch.read += if grid.step_ms <= source.frame.range_ms || grid.n == 1 { t.len() as u64 } else { w.counted };
    }
    scratch.windows = w;
    Ok(true)
}

/// What the difference of last and first value is multiplied by, for every window, if a counter did not begin within it.
fn factors(source: &RangeSource<'_>, new: bool, t: &[i64], grid: Grid, w: &mut Windows) {
    if !new {
        return;
    }
    let mut factor = std::mem::take(&mut w.factor);
    factor.extend(w.each().map(|(k, from, to)| if to - from < 2 { 0.0 } else { sampled(source, t, grid, k, from, to, None) }));
    w.factor = factor;
}

/// The factor of one window. `first_share`: the first value as a share of the increase.
fn sampled(source: &RangeSource<'_>, t: &[i64], grid: Grid, k: usize, from: usize, to: usize, first_share: Option<f64>) -> f64 {
    let end = source.frame.reference(grid, k);
    let range = source.frame.range_ms;
    let mut span = Sampled::of(end - range, end, t[from], t[to - 1], to - 1 - from);
    span.extrapolate_left(first_share.map(Some));
    span.factor(source.func == RangeFn::Rate, range)
}

fn rates(source: &RangeSource<'_>, new: bool, t: &[i64], v: &[f64], grid: Grid, w: &mut Windows, resets: &mut Vec<u32>, out: &mut [f64]) {
    factors(source, new, t, grid, w);
    // A counter that was already higher than it rose since was zero long before the window; else its beginning may lie in the window.
    let value = |k: usize, from: usize, to: usize, result: f64, factor: f64| {
        let first = v[from];
        let far_from_zero = first >= result && to - from > 2;
        if far_from_zero || !(result > 0.0 && first >= 0.0) {
            return result * factor;
        }
        result * if to - from < 2 { 0.0 } else { sampled(source, t, grid, k, from, to, Some(first / result)) }
    };
    let any_reset = v.windows(2).fold(false, |any, p| any | (p[1] < p[0]));
    if !any_reset {
        for ((k, from, to), factor) in w.each().zip(&w.factor) {
            out[k] = value(k, from, to, v[to - 1] - v[from], *factor);
        }
        return;
    }
    // Where the counter began anew: index of the first sample after it.
    resets.clear();
    resets.extend((1..v.len()).filter(|i| v[*i] < v[*i - 1]).map(|i| i as u32));
    let mut first_reset = 0;
    for ((k, from, to), factor) in w.each().zip(&w.factor) {
        let mut result = v[to - 1] - v[from];
        while first_reset < resets.len() && resets[first_reset] as usize <= from {
            first_reset += 1;
        }
        for i in resets[first_reset..].iter().map(|i| *i as usize).take_while(|i| *i < to) {
            result += v[i - 1];
        }
        out[k] = value(k, from, to, result, *factor);
    }
}

fn last_two(source: &RangeSource<'_>, t: &[i64], v: &[f64], w: &Windows, out: &mut [f64]) {
    let is_rate = source.func == RangeFn::Irate;
    for (k, from, to) in w.each() {
        if to - from < 2 {
            continue;
        }
        let (a, b) = (to - 2, to - 1);
        let interval = (t[b] - t[a]) as f64 / 1000.0;
        let difference = if is_rate && v[b] < v[a] { v[b] } else { v[b] - v[a] };
        out[k] = if is_rate { difference / interval } else { difference };
    }
}

/// Windows whose sums are built side by side.
const LANES: usize = 4;

/// Compensated sums of all windows. `finish` makes a result of sum, compensation and count; where a sum is not finite, `alone` does it all.
fn sums(
    w: &Windows,
    v: &[f64],
    start: f64,
    out: &mut [f64],
    finish: impl Fn(f64, f64, f64) -> f64,
    alone: impl Fn(&[f64]) -> f64,
    pace: &mut Pace<'_>,
) -> Result<(), QueryError> {
    let mut i = 0;
    while i < w.len() {
        let from: [usize; LANES] = std::array::from_fn(|l| w.from.get(i + l).map_or(usize::MAX, |f| *f as usize));
        let len = (w.to[i] - w.from[i]) as usize;
        pace.step((len * LANES) as u64)?;
        let side_by_side = i + LANES <= w.len() && (1..LANES).all(|l| (w.to[i + l] - w.from[i + l]) as usize == len);
        if !side_by_side {
            let (from, to) = (w.from[i] as usize, w.to[i] as usize);
            out[w.k[i] as usize] = alone(&v[from..to]);
            i += 1;
            continue;
        }
        let (s, c) = four_sums(v, from, len, start);
        for l in 0..LANES {
            let fits = s[l].is_finite() && c[l].is_finite();
            out[w.k[i + l] as usize] = if fits { finish(s[l], c[l], len as f64) } else { alone(&v[from[l]..from[l] + len]) };
        }
        i += LANES;
    }
    Ok(())
}

#[inline]
fn four_sums(v: &[f64], from: [usize; LANES], len: usize, start: f64) -> ([f64; LANES], [f64; LANES]) {
    let (mut s, mut c) = ([start; LANES], [0.0; LANES]);
    let mut add = |x: [f64; LANES]| (0..LANES).for_each(|l| kahan::add_lane(x[l], &mut s[l], &mut c[l]));
    if (1..LANES).all(|l| from[l] == from[0] + l) {
        // Steps in the beat of the scrapes: each window is the one before, moved on by one sample.
        for x in v[from[0]..from[0] + len + LANES - 1].windows(LANES) {
            add([x[0], x[1], x[2], x[3]]);
        }
    } else {
        let [a, b, d, e] = from.map(|f| &v[f..f + len]);
        for j in 0..len {
            add([a[j], b[j], d[j], e[j]]);
        }
    }
    (s, c)
}

/// The best value of each window: candidates wait in a queue, each better than all behind it. What is no number is a candidate only where
/// there is no other.
fn extremes(w: &Windows, v: &[f64], queue: &mut Vec<u32>, out: &mut [f64], better: impl Fn(f64, f64) -> bool) {
    queue.clear();
    let (mut head, mut seen) = (0, 0);
    for (k, from, to) in w.each() {
        for (i, x) in v.iter().enumerate().take(to).skip(seen.max(from)) {
            if x.is_nan() {
                continue;
            }
            while queue.len() > head && better(*x, v[queue[queue.len() - 1] as usize]) {
                queue.pop();
            }
            queue.push(i as u32);
        }
        seen = to;
        while head < queue.len() && (queue[head] as usize) < from {
            head += 1;
        }
        out[k] = queue.get(head).map_or(f64::NAN, |i| v[*i as usize]);
    }
}
