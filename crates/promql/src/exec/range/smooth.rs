//! `smoothed` instant selectors: values between the samples before and behind.

use super::extended::{between, hist_between};
use super::{Called, Env, Frame};
use crate::annotations::{Annotations, Note};
use crate::exec::rows::{Grid, Row};
use crate::plan::Select;
use model::histogram::ResetHint;
use model::{FloatHistogram, Labels};
use std::sync::Arc;
use storage::SeriesData;

pub fn instant(select: &Select, grid: Grid, lookback: i64, data: &SeriesData, labels: &Labels, row: &mut Row, notes: &mut Annotations) {
    let mut data = data.clone();
    super::drop_stale(&mut data);
    let frame = Frame { at_ms: None, offset_ms: 0, range_ms: 0, before_ms: 0, after_ms: 0, anchored: false, smoothed: true };
    let mut values = Vec::new();
    let mut env = Env { frame, span: select.span, called: Called::Known(labels), notes, values: &mut values };
    for k in 0..grid.n {
        let at = select.reference(grid, k);
        let part = |t: &[i64]| (t.partition_point(|t| *t <= at - lookback), t.partition_point(|t| *t <= at + lookback));
        let (f, h) = (part(&data.t_ms), part(&data.hist_t_ms));
        if h.0 < h.1 && f.0 < f.1 {
            env.note(Note::MixedFloatsHistograms);
        } else if h.0 < h.1 {
            if let Some(x) = histogram(&data.hist_t_ms[h.0..h.1], &data.hist[h.0..h.1], at, &mut env) {
                row.set_hist(k, x);
            }
        } else if f.0 < f.1
            && let Some(v) = float(&data.t_ms[f.0..f.1], &data.v[f.0..f.1], at)
        {
            row.set(k, v);
        }
    }
}

fn float(t: &[i64], v: &[f64], at: i64) -> Option<f64> {
    let i = t.partition_point(|t| *t < at);
    match t.get(i) {
        Some(next) if *next == at => Some(v[i]),
        Some(next) if i > 0 => Some(between((t[i - 1], *next), (v[i - 1], v[i]), at, false)),
        Some(_) => None,
        None => v.last().copied(),
    }
}

fn histogram(t: &[i64], h: &[Arc<FloatHistogram>], at: i64, env: &mut Env<'_>) -> Option<Arc<FloatHistogram>> {
    let i = t.partition_point(|t| *t < at);
    match t.get(i) {
        Some(next) if *next == at => Some(Arc::clone(&h[i])),
        Some(next) if i > 0 => {
            let (before, behind) = (&h[i - 1], &h[i]);
            if before.uses_custom_buckets() != behind.uses_custom_buckets() {
                env.note(Note::MixedExponentialCustom);
                return None;
            }
            let is_counter = before.reset_hint != ResetHint::Gauge || behind.reset_hint != ResetHint::Gauge;
            hist_between((t[i - 1], *next), (before, behind), at, is_counter, env).map(Arc::new)
        }
        Some(_) => None,
        // Nothing behind yet: the last one stays, but what it says about the one before does not.
        None => h.last().map(|h| Arc::new(FloatHistogram { reset_hint: ResetHint::Unknown, ..(**h).clone() })),
    }
}
