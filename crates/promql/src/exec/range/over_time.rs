//! The `..._over_time` functions.

use super::{Env, Out, Window};
use crate::annotations::{HistOp, Note};
use crate::exec::quantile::quantile;
use crate::plan::RangeFn;
use model::FloatHistogram;
use model::histogram::{IncompatibleSchemas, ResetHint, kahan};
use std::sync::Arc;

pub(super) fn apply(func: RangeFn, w: &Window<'_>, env: &mut Env<'_>, arg: f64) -> Option<Out> {
    use RangeFn::*;
    let float = |v: f64| Some(Out::Float(v));
    match func {
        CountOverTime => float((w.t.len() + w.h.len()) as f64),
        PresentOverTime | AbsentOverTime => float(1.0),
        FirstOverTime => match (w.t.first(), w.ht.first()) {
            (Some(t), Some(ht)) if t >= ht => Some(Out::Shared(Arc::clone(&w.h[0]))),
            (Some(_), _) => float(w.v[0]),
            (None, _) => w.h.first().map(|h| Out::Shared(Arc::clone(h))),
        },
        LastOverTime => match (w.t.last(), w.ht.last()) {
            (Some(t), Some(ht)) if ht >= t => w.h.last().map(|h| Out::Shared(Arc::clone(h))),
            (Some(_), _) => float(w.v[w.v.len() - 1]),
            (None, _) => w.h.last().map(|h| Out::Shared(Arc::clone(h))),
        },
        TsOfFirst => float(w.t.first().copied().unwrap_or(i64::MAX).min(w.ht.first().copied().unwrap_or(i64::MAX)) as f64 / 1000.0),
        TsOfLast => float(w.t.last().copied().unwrap_or(0).max(w.ht.last().copied().unwrap_or(0)) as f64 / 1000.0),
        SumOverTime | AvgOverTime => {
            if w.is_mixed() {
                env.note(Note::MixedFloatsHistograms);
                return None;
            }
            if !w.h.is_empty() {
                return histograms(func == AvgOverTime, w, env);
            }
            float(if func == SumOverTime { sum(w.v) } else { avg(w.v) })
        }
        _ => {
            if w.v.is_empty() {
                return None;
            }
            if !w.h.is_empty() {
                env.note(Note::HistogramIgnoredInMixedRange);
            }
            if func == QuantileOverTime && (arg.is_nan() || !(0.0..=1.0).contains(&arg)) {
                env.notes.add(Note::InvalidQuantile(arg), "", env.span);
            }
            float(floats(func, w, env, arg))
        }
    }
}

/// Functions of floats only.
fn floats(func: RangeFn, w: &Window<'_>, env: &mut Env<'_>, arg: f64) -> f64 {
    use RangeFn::*;
    match func {
        MaxOverTime => w.v[best(w.v, |a, b| a > b)],
        MinOverTime => w.v[best(w.v, |a, b| a < b)],
        TsOfMax => w.t[best(w.v, |a, b| a >= b)] as f64 / 1000.0,
        TsOfMin => w.t[best(w.v, |a, b| a <= b)] as f64 / 1000.0,
        StddevOverTime => variance(w.v).sqrt(),
        StdvarOverTime => variance(w.v),
        QuantileOverTime => {
            env.values.clear();
            env.values.extend_from_slice(w.v);
            quantile(arg, env.values)
        }
        _ => deviation(w.v, env.values),
    }
}

/// The median distance from the median.
fn deviation(v: &[f64], values: &mut Vec<f64>) -> f64 {
    if v.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    values.clear();
    values.extend_from_slice(v);
    let median = quantile(0.5, values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, values)
}

/// Index of the value that no other is better than; what is no number gives way to any other.
fn best(v: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut at = 0;
    for (i, x) in v.iter().enumerate() {
        if better(*x, v[at]) || v[at].is_nan() {
            at = i;
        }
    }
    at
}

#[inline]
pub(super) fn sum(v: &[f64]) -> f64 {
    let (mut s, mut c) = (0.0, 0.0);
    for x in v {
        (s, c) = kahan::add(*x, s, c);
    }
    if s.is_infinite() { s } else { s + c }
}

/// The sum divided by the count; once the sum would overflow, the mean is kept up to date instead.
#[inline]
pub(super) fn avg(v: &[f64]) -> f64 {
    let (mut s, mut c) = (v[0], 0.0);
    for (i, x) in v.iter().enumerate().skip(1) {
        let (next, next_c) = kahan::add(*x, s, c);
        if next.is_infinite() {
            return avg_from(v, i, s, c);
        }
        (s, c) = (next, next_c);
    }
    let n = v.len() as f64;
    s / n + c / n
}

/// The mean from sample `i` on, where the sum of those before is `s` with compensation `c`.
fn avg_from(v: &[f64], i: usize, s: f64, c: f64) -> f64 {
    let (mut mean, mut c) = (s / i as f64, c / i as f64);
    for (i, x) in v.iter().enumerate().skip(i) {
        let n = (i + 1) as f64;
        let q = (n - 1.0) / n;
        (mean, c) = kahan::add(x / n, q * mean, q * c);
    }
    mean + c
}

/// Welford's algorithm with compensation.
fn variance(v: &[f64]) -> f64 {
    let (mut n, mut mean, mut mean_c, mut aux, mut aux_c) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for x in v {
        n += 1.0;
        let delta = x - (mean + mean_c);
        (mean, mean_c) = kahan::add(delta / n, mean, mean_c);
        (aux, aux_c) = kahan::add(delta * (x - (mean + mean_c)), aux, aux_c);
    }
    (aux + aux_c) / n
}

fn histograms(average: bool, w: &Window<'_>, env: &mut Env<'_>) -> Option<Out> {
    let hinted = |hint: ResetHint| w.h.iter().any(|h| h.reset_hint == hint);
    let mut reconciled = false;
    let result = if average { hist_avg(w.h, &mut reconciled) } else { hist_sum(w.h, &mut reconciled) };
    if result.is_err() {
        env.note(Note::MixedExponentialCustom);
        return None;
    }
    if hinted(ResetHint::Reset) && hinted(ResetHint::NotReset) {
        env.notes.add(Note::ResetCollision(HistOp::Aggregation), "", env.span);
    }
    if reconciled {
        env.notes.add(Note::BoundsReconciled(HistOp::Aggregation), "", env.span);
    }
    result.ok().map(Out::Hist)
}

fn hist_sum(h: &[Arc<FloatHistogram>], reconciled: &mut bool) -> Result<FloatHistogram, IncompatibleSchemas> {
    let (mut sum, mut c) = ((*h[0]).clone(), None);
    for x in &h[1..] {
        *reconciled |= sum.add_kahan(x, &mut c)?.bounds_reconciled;
    }
    if let Some(c) = c {
        *reconciled |= sum.add(&c)?.bounds_reconciled;
    }
    Ok(sum)
}

/// A mean of histograms that is built up one by one: a sum as long as nothing overflows, then a mean that is kept up to date.
#[derive(Clone, Debug)]
pub(in crate::exec) struct HistMean {
    value: FloatHistogram,
    c: Option<FloatHistogram>,
    n: f64,
    incremental: bool,
}

impl HistMean {
    pub fn new(first: &FloatHistogram) -> Self {
        HistMean { value: first.clone(), c: None, n: 1.0, incremental: false }
    }

    /// Adds one; tells whether custom bounds had to be reconciled.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<bool, IncompatibleSchemas> {
        self.n += 1.0;
        if !self.incremental {
            let (mut sum, mut c) = (self.value.clone(), self.c.clone());
            let merged = sum.add_kahan(h, &mut c)?;
            if !sum.has_overflow() {
                (self.value, self.c) = (sum, c);
                return Ok(merged.bounds_reconciled);
            }
            self.incremental = true;
            self.value.div(self.n - 1.0);
            if let Some(c) = &mut self.c {
                c.div(self.n - 1.0);
            }
        }
        let q = (self.n - 1.0) / self.n;
        if let Some(c) = &mut self.c {
            c.mul(q);
        }
        let mut share = h.clone();
        share.div(self.n);
        Ok(self.value.mul(q).add_kahan(&share, &mut self.c)?.bounds_reconciled)
    }

    pub fn finish(mut self) -> Result<FloatHistogram, IncompatibleSchemas> {
        if !self.incremental {
            self.value.div(self.n);
            if let Some(c) = &mut self.c {
                c.div(self.n);
            }
        }
        if let Some(c) = &self.c {
            self.value.add(c)?;
        }
        Ok(self.value)
    }
}

fn hist_avg(h: &[Arc<FloatHistogram>], reconciled: &mut bool) -> Result<FloatHistogram, IncompatibleSchemas> {
    let mut mean = HistMean::new(&h[0]);
    for x in &h[1..] {
        *reconciled |= mean.add(x)?;
    }
    mean.finish()
}
