//! The common case of range functions: floats only, windows that move with the steps. Exactly the results of the general way, in less work:
//! resets are found once for all windows, extremes are kept in a queue, counting needs no looking.

use super::rate::Sampled;
use super::{Cursor, RangeSource, over_time};
use crate::exec::rows::{Grid, Row};
use crate::exec::stream::Scratch;
use crate::plan::RangeFn;
use storage::SeriesData;

/// Evaluates all windows if the function has a fast way; false when it has none.
pub(super) fn evaluate(source: &RangeSource<'_>, data: &SeriesData, grid: Grid, scratch: &mut Scratch, row: &mut Row) -> bool {
    use RangeFn::*;
    let (t, v) = (&data.t_ms[..], &data.v[..data.t_ms.len()]);
    let range = source.frame.range_ms;
    let counted = match source.func {
        Rate => rates(source, t, v, grid, scratch, row, true, true),
        Increase => rates(source, t, v, grid, scratch, row, true, false),
        Delta => rates(source, t, v, grid, scratch, row, false, false),
        Irate | Idelta => last_two(source, t, v, grid, row),
        SumOverTime => windows(source, t, grid, |k, from, to, _| row.set(k, over_time::sum(&v[from..to]))),
        AvgOverTime => windows(source, t, grid, |k, from, to, _| row.set(k, over_time::avg(&v[from..to]))),
        CountOverTime => windows(source, t, grid, |k, from, to, _| row.set(k, (to - from) as f64)),
        PresentOverTime | AbsentOverTime => windows(source, t, grid, |k, _, _, _| row.set(k, 1.0)),
        LastOverTime => windows(source, t, grid, |k, _, to, _| row.set(k, v[to - 1])),
        FirstOverTime => windows(source, t, grid, |k, from, _, _| row.set(k, v[from])),
        MaxOverTime => extremes(source, t, v, grid, scratch, row, |a, b| a > b),
        MinOverTime => extremes(source, t, v, grid, scratch, row, |a, b| a < b),
        _ => return false,
    };
    scratch.total += counted;
    if !source.from_subquery {
        // Every sample is new in one window; windows that leave gaps read less.
        scratch.read += if grid.step_ms <= range || grid.n == 1 { t.len() as u64 } else { counted };
    }
    true
}

/// Calls `each(step, from, to, window end)` for every window that is not empty. Returns the number of samples in all windows.
#[inline]
fn windows(source: &RangeSource<'_>, t: &[i64], grid: Grid, mut each: impl FnMut(usize, usize, usize, i64)) -> u64 {
    let range = source.frame.range_ms;
    let mut cursor = Cursor::default();
    let mut end = source.frame.reference(grid, 0);
    let mut counted = 0;
    for k in 0..grid.n {
        cursor.advance(t, end - range, end);
        if cursor.from < cursor.to {
            counted += (cursor.to - cursor.from) as u64;
            each(k, cursor.from, cursor.to, end);
        }
        end += grid.step_ms;
    }
    counted
}

fn rates(source: &RangeSource<'_>, t: &[i64], v: &[f64], grid: Grid, scratch: &mut Scratch, row: &mut Row, is_counter: bool, is_rate: bool) -> u64 {
    let range = source.frame.range_ms;
    // Where the counter began anew: index of the first sample after it.
    let resets = &mut scratch.indices;
    resets.clear();
    if is_counter {
        resets.extend((1..v.len()).filter(|i| v[*i] < v[*i - 1]).map(|i| i as u32));
    }
    let mut first_reset = 0;
    // Scrapes come in a beat: mostly the samples lie in the window as they did in the one before, and then so do all factors.
    let mut beat = Beat::default();
    windows(source, t, grid, |k, from, to, end| {
        if to - from < 2 {
            return;
        }
        let last = to - 1;
        let first = v[from];
        let mut result = v[last] - first;
        if !resets.is_empty() {
            while first_reset < resets.len() && resets[first_reset] as usize <= from {
                first_reset += 1;
            }
            for i in resets[first_reset..].iter().map(|i| *i as usize).take_while(|i| *i <= last) {
                result += v[i - 1];
            }
        }
        let shape = (last - from, t[last] - t[from], t[from] - (end - range));
        if beat.shape != shape {
            let mut span = Sampled::of(end - range, end, t[from], t[last], last - from);
            span.extrapolate_left(None);
            beat = Beat { shape, factor: span.factor(is_rate, range) };
        }
        // A counter that was already higher than it rose since was zero long before the window.
        let far_from_zero = first >= result && shape.0 > 1;
        if !is_counter || far_from_zero || !(result > 0.0 && first >= 0.0) {
            row.set(k, result * beat.factor);
            return;
        }
        let mut span = Sampled::of(end - range, end, t[from], t[last], last - from);
        span.extrapolate_left(Some(Some(first / result)));
        row.set(k, result * span.factor(is_rate, range));
    })
}

/// How samples lie in a window (gaps, distance of first and last, distance of the first from the start), and what the increase is then
/// multiplied by.
#[derive(Default)]
struct Beat {
    shape: (usize, i64, i64),
    factor: f64,
}

fn last_two(source: &RangeSource<'_>, t: &[i64], v: &[f64], grid: Grid, row: &mut Row) -> u64 {
    let is_rate = source.func == RangeFn::Irate;
    windows(source, t, grid, |k, from, to, _| {
        if to - from < 2 {
            return;
        }
        let (a, b) = (to - 2, to - 1);
        let interval = (t[b] - t[a]) as f64 / 1000.0;
        let difference = if is_rate && v[b] < v[a] { v[b] } else { v[b] - v[a] };
        row.set(k, if is_rate { difference / interval } else { difference });
    })
}

/// The best value of each window: candidates wait in a queue, each better than all behind it. What is no number is a candidate only where
/// there is no other.
fn extremes(
    source: &RangeSource<'_>,
    t: &[i64],
    v: &[f64],
    grid: Grid,
    scratch: &mut Scratch,
    row: &mut Row,
    better: impl Fn(f64, f64) -> bool,
) -> u64 {
    let queue = &mut scratch.indices;
    queue.clear();
    let (mut head, mut seen) = (0, 0);
    windows(source, t, grid, |k, from, to, _| {
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
        row.set(k, queue.get(head).map_or(f64::NAN, |i| v[*i as usize]));
    })
}
