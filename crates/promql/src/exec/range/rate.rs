//! rate, increase, delta, irate, idelta, changes, resets.

use super::extended;
use super::{Env, Out, Window};
use crate::annotations::{HistOp, Note};
use model::FloatHistogram;
use model::histogram::ResetHint;
use std::cmp::Ordering;
use std::sync::Arc;

/// Has a counter begun anew between two samples, as their start timestamps tell? A start at the previous sample's time counts only for series
/// that know their starts: those that do not, repeat the time of the sample.
pub(super) fn start_reset(before: (i64, i64), now: (i64, i64)) -> bool {
    let ((before_st, before_t), (st, t)) = (before, now);
    if st == 0 || st >= t {
        return false;
    }
    match st.cmp(&before_t) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => before_st <= before_t && before_st != 0 && before_st != before_t,
    }
}

/// Does a sample claim to have started before the previous one was taken, and another time than that one?
fn starts_overlap(before_st: i64, before_t: i64, st: i64) -> bool {
    st != 0 && st < before_t && st != before_st
}

/// Sums up a start-time check over neighbours: told once for each series and window.
fn note_overlap(env: &mut Env<'_>, t: &[i64], st: &[i64]) {
    if (1..st.len()).any(|i| starts_overlap(st[i - 1], t[i - 1], st[i])) {
        env.note(Note::StartTimeOverlap);
    }
}

pub(super) fn extrapolated(w: &Window<'_>, env: &mut Env<'_>, is_counter: bool, is_rate: bool) -> Option<Out> {
    if w.is_mixed() {
        env.note(Note::MixedFloatsHistograms);
        return None;
    }
    if env.frame.anchored || env.frame.smoothed {
        return match (w.h.is_empty(), w.t.is_empty()) {
            (false, _) => extended::histogram_rate(w, env, is_counter, is_rate),
            (true, false) => extended::float_rate(w, env, is_counter, is_rate),
            (true, true) => None,
        };
    }
    if !w.h.is_empty() {
        return histograms(w, env, is_counter, is_rate);
    }
    let last = w.v.len() - 1;
    let mut result = w.v[last] - w.v[0];
    if is_counter {
        note_overlap(env, w.t, w.st);
        for i in 1..w.v.len() {
            if w.v[i] < w.v[i - 1] || (i < w.st.len() && start_reset((w.st[i - 1], w.t[i - 1]), (w.st[i], w.t[i]))) {
                result += w.v[i - 1];
            }
        }
    }
    let mut span = Sampled::new(w, w.t[0], w.t[last], last);
    if let Some(st) = start_inside(w.st, is_counter, w.start_ms, w.t[0]) {
        span.begin_at(st);
        result += w.v[0];
    } else if last == 0 {
        return None;
    } else {
        span.extrapolate_left(is_counter.then(|| (result > 0.0 && w.v[0] >= 0.0).then(|| w.v[0] / result)));
    }
    Some(Out::Float(result * span.factor(is_rate, env.frame.range_ms)))
}

/// The start timestamp of the first sample if it lies in the window: a zero was there.
fn start_inside(st: &[i64], is_counter: bool, window_start: i64, first_t: i64) -> Option<i64> {
    st.first().copied().filter(|st| is_counter && *st != 0 && *st > window_start && *st < first_t)
}

/// How much of the window the samples cover, and how far to extend the slope. Seconds.
pub(super) struct Sampled {
    interval: f64,
    to_start: f64,
    to_end: f64,
    average: f64,
    last_t: i64,
}

impl Sampled {
    pub(super) fn new(w: &Window<'_>, first_t: i64, last_t: i64, gaps: usize) -> Self {
        Self::of(w.start_ms, w.end_ms, first_t, last_t, gaps)
    }

    #[inline]
    pub(super) fn of(start_ms: i64, end_ms: i64, first_t: i64, last_t: i64, gaps: usize) -> Self {
        let interval = (last_t - first_t) as f64 / 1000.0;
        Sampled {
            interval,
            to_start: (first_t - start_ms) as f64 / 1000.0,
            to_end: (end_ms - last_t) as f64 / 1000.0,
            average: if gaps > 0 { interval / gaps as f64 } else { 0.0 },
            last_t,
        }
    }

    /// The series began at a known time.
    fn begin_at(&mut self, st: i64) {
        self.to_start = 0.0;
        self.interval = (self.last_t - st) as f64 / 1000.0;
    }

    #[inline]
    fn threshold(&self) -> f64 {
        self.average * 1.1
    }

    /// To the window's edge when a sample could be expected there, else half a gap; of a counter never past the point where it was zero: for
    /// counters, `first_share` is the first value as a share of the whole increase, where that is known.
    #[inline]
    pub(super) fn extrapolate_left(&mut self, first_share: Option<Option<f64>>) {
        if self.to_start >= self.threshold() {
            self.to_start = self.average / 2.0;
        }
        if let Some(Some(share)) = first_share {
            let to_zero = self.interval * share;
            if to_zero < self.to_start {
                self.to_start = to_zero;
            }
        }
    }

    #[inline]
    pub(super) fn factor(&mut self, is_rate: bool, range_ms: i64) -> f64 {
        if self.to_end >= self.threshold() {
            self.to_end = self.average / 2.0;
        }
        let mut factor = if self.interval == 0.0 { 1.0 } else { (self.interval + self.to_start + self.to_end) / self.interval };
        if is_rate {
            factor /= range_ms as f64 / 1000.0;
        }
        factor
    }
}

fn histograms(w: &Window<'_>, env: &mut Env<'_>, is_counter: bool, is_rate: bool) -> Option<Out> {
    let last = w.h.len() - 1;
    let mut result = match last {
        0 => None,
        _ => Some(histogram_increase(w, env, is_counter)?),
    };
    let mut span = Sampled::new(w, w.ht[0], w.ht[last], last);
    if let Some(st) = start_inside(w.hst, is_counter, w.start_ms, w.ht[0]) {
        span.begin_at(st);
        match result.as_mut() {
            None => result = Some((*w.h[0]).clone()),
            Some(r) => add_noted(r, &w.h[0], env, HistOp::Addition)?,
        }
    } else if last == 0 {
        return None;
    } else {
        let share = result.as_ref().and_then(|r| (r.count > 0.0 && w.h[0].count >= 0.0).then(|| w.h[0].count / r.count));
        span.extrapolate_left(is_counter.then_some(share));
    }
    let mut result = result?;
    result.mul(span.factor(is_rate, env.frame.range_ms));
    Some(Out::Hist(result))
}

/// Adds or subtracts; None, and a note, when the buckets do not go together.
pub(super) fn add_noted(to: &mut FloatHistogram, other: &FloatHistogram, env: &mut Env<'_>, op: HistOp) -> Option<()> {
    let merged = if op == HistOp::Subtraction { to.sub(other) } else { to.add(other) };
    match merged {
        Err(_) => {
            env.note(Note::MixedExponentialCustom);
            None
        }
        Ok(m) => {
            if m.bounds_reconciled {
                env.notes.add(Note::BoundsReconciled(op), "", env.span);
            }
            Some(())
        }
    }
}

fn histogram_increase(w: &Window<'_>, env: &mut Env<'_>, is_counter: bool) -> Option<FloatHistogram> {
    let (first, last) = (&w.h[0], &w.h[w.h.len() - 1]);
    let gauge = |h: &FloatHistogram| h.reset_hint == ResetHint::Gauge;
    if is_counter && (gauge(first) || gauge(last)) {
        env.note(Note::NotCounter);
    }
    let reset_at = |i: usize, before: &FloatHistogram| {
        (i < w.hst.len() && start_reset((w.hst[i - 1], w.ht[i - 1]), (w.hst[i], w.ht[i]))) || w.h[i].detect_reset(before)
    };
    // After a reset right behind it, the first sample does not matter, nor does its layout.
    let blank;
    let mut first: &FloatHistogram = first;
    let mut custom = first.uses_custom_buckets();
    if is_counter && reset_at(1, first) {
        let second = &w.h[1];
        blank = FloatHistogram { schema: second.schema, custom_values: second.custom_values.clone(), ..FloatHistogram::default() };
        first = &blank;
        custom = second.uses_custom_buckets();
    }
    if last.uses_custom_buckets() != custom {
        env.note(Note::MixedExponentialCustom);
        return None;
    }
    let mut schema = last.schema.min(first.schema);
    if is_counter {
        for h in &w.h[1..w.h.len() - 1] {
            if gauge(h) {
                env.note(Note::NotCounter);
            }
            schema = schema.min(h.schema);
            if h.uses_custom_buckets() != custom {
                env.note(Note::MixedExponentialCustom);
                return None;
            }
        }
    }
    let mut result = last.copy_to_schema(schema);
    add_noted(&mut result, first, env, HistOp::Subtraction)?;
    if is_counter {
        note_overlap(env, w.ht, w.hst);
        let mut before: &FloatHistogram = first;
        for i in 1..w.h.len() {
            if reset_at(i, before) {
                add_noted(&mut result, before, env, HistOp::Addition)?;
            }
            before = &w.h[i];
        }
    } else if !gauge(&w.h[0]) || !gauge(last) {
        env.note(Note::NotGauge);
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// A float or a histogram with its times.
#[derive(Clone, Copy)]
struct Sample<'a> {
    t: i64,
    st: i64,
    v: f64,
    h: Option<&'a Arc<FloatHistogram>>,
}

/// Floats and histograms together in order of time, from the given indices on.
fn merged<'a>(w: &Window<'a>, mut f: usize, mut h: usize) -> impl Iterator<Item = Sample<'a>> {
    let w = *w;
    std::iter::from_fn(move || {
        let float_next = match (w.t.get(f), w.ht.get(h)) {
            (Some(ft), Some(ht)) => ft < ht,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return None,
        };
        Some(if float_next {
            f += 1;
            Sample { t: w.t[f - 1], st: w.st.get(f - 1).copied().unwrap_or(0), v: w.v[f - 1], h: None }
        } else {
            h += 1;
            Sample { t: w.ht[h - 1], st: w.hst.get(h - 1).copied().unwrap_or(0), v: 0.0, h: Some(&w.h[h - 1]) }
        })
    })
}

/// irate and idelta: from the last two samples.
pub(super) fn instant(w: &Window<'_>, env: &mut Env<'_>, is_rate: bool) -> Option<Out> {
    let (mut before, mut last): (Option<Sample<'_>>, Option<Sample<'_>>) = (None, None);
    for s in merged(w, w.t.len().saturating_sub(2), w.h.len().saturating_sub(2)) {
        before = last.replace(s);
    }
    let (before, last) = (before?, last?);
    let interval = (last.t - before.t) as f64 / 1000.0;
    if interval == 0.0 {
        return None;
    }
    let started = start_reset((before.st, before.t), (last.st, last.t));
    match (before.h, last.h) {
        (None, None) => {
            let reset = is_rate && (last.v < before.v || started);
            let v = if reset { last.v } else { last.v - before.v };
            Some(Out::Float(if is_rate { v / interval } else { v }))
        }
        (Some(b), Some(l)) => {
            let gauge = |h: &FloatHistogram| h.reset_hint == ResetHint::Gauge;
            if is_rate && (gauge(l) || gauge(b)) {
                env.note(Note::NotCounter);
            }
            if !is_rate && (!gauge(l) || !gauge(b)) {
                env.note(Note::NotGauge);
            }
            let mut result = (**l).clone();
            if !is_rate || (!started && !l.detect_reset(b)) {
                add_noted(&mut result, b, env, HistOp::Subtraction)?;
            }
            result.reset_hint = ResetHint::Gauge;
            result.compact(0);
            if is_rate {
                result.div(interval);
            }
            Some(Out::Hist(result))
        }
        _ => {
            env.note(Note::MixedFloatsHistograms);
            None
        }
    }
}

/// Where an anchored window begins: at the newest sample at or before its start, if there is any after it.
fn anchored_start(w: &Window<'_>, env: &Env<'_>) -> Option<(usize, usize)> {
    if !env.frame.anchored {
        return Some((0, 0));
    }
    let (f, h) = (w.t.partition_point(|t| *t <= w.start_ms), w.ht.partition_point(|t| *t <= w.start_ms));
    if f >= w.t.len() && h >= w.ht.len() {
        return None;
    }
    Some(match (f.checked_sub(1), h.checked_sub(1)) {
        (None, None) => (0, 0),
        (Some(lf), None) => (lf, h),
        (Some(lf), Some(lh)) if w.t[lf] >= w.ht[lh] => (lf, h),
        (_, Some(lh)) => (f, lh),
    })
}

fn count_pairs(w: &Window<'_>, env: &Env<'_>, counts: impl Fn(&Sample<'_>, &Sample<'_>) -> bool) -> Option<Out> {
    let (f, h) = anchored_start(w, env)?;
    let mut samples = merged(w, f, h);
    let mut before = samples.next()?;
    let mut n = 0u64;
    for s in samples {
        n += u64::from(counts(&before, &s));
        before = s;
    }
    Some(Out::Float(n as f64))
}

pub(super) fn resets(w: &Window<'_>, env: &Env<'_>) -> Option<Out> {
    count_pairs(w, env, |a, b| match (a.h, b.h) {
        (None, None) => b.v < a.v || start_reset((a.st, a.t), (b.st, b.t)),
        (Some(ah), Some(bh)) => start_reset((a.st, a.t), (b.st, b.t)) || bh.detect_reset(ah),
        _ => true,
    })
}

pub(super) fn changes(w: &Window<'_>, env: &Env<'_>) -> Option<Out> {
    count_pairs(w, env, |a, b| match (a.h, b.h) {
        (None, None) => a.v != b.v && !(a.v.is_nan() && b.v.is_nan()),
        (Some(ah), Some(bh)) => !bh.equals(ah),
        _ => true,
    })
}
