//! What is done with a row on its way, in place: functions of one value, operators with a scalar, the many side of a join, set masks.

use super::Scalar;
use super::binop::{self, Answer, Side, arithmetic, compare, element};
use super::calendar::{Civil, days_in_month};
use super::join::ManySide;
use super::rows::{Grid, Row, bits};
use crate::annotations::Annotations;
use crate::parse::Span;
use crate::parse::ast::BinaryOp;
use crate::plan::{DateFn, HistFn, MathFn};
use model::FloatHistogram;
use model::histogram::kahan;
use std::sync::Arc;

pub enum Map<'p> {
    Math(MathFn),
    Clamp {
        min: Scalar,
        max: Scalar,
    },
    /// To the nearest multiple.
    Round(Scalar),
    Hist(HistFn),
    Date(DateFn),
    Negate,
    /// The step's own time, in seconds.
    StepTime,
    FloatsOnly,
    Scalar {
        op: BinaryOp,
        number: Scalar,
        scalar_left: bool,
        return_bool: bool,
        span: Span,
    },
    Join(Box<ManySide<'p>>),
    /// Keeps steps at which a signature is present (or absent).
    Mask(Arc<Mask>),
}

/// For each source series a set of steps.
pub struct Mask {
    /// Which set; `u32::MAX` for the empty one.
    pub set_of: Vec<u32>,
    pub sets: Vec<Vec<u64>>,
    /// Keep the steps in the set, or those that are not.
    pub keep_members: bool,
}

impl Map<'_> {
    pub fn apply(&self, grid: Grid, src: usize, row: &mut Row, notes: &mut Annotations) {
        match self {
            Map::Math(f) => {
                row.hist.clear();
                row.v.iter_mut().for_each(|v| *v = f(*v));
            }
            Map::Clamp { min, max } => {
                row.hist.clear();
                for k in 0..grid.n {
                    let (lo, hi) = (min.get(k), max.get(k));
                    if hi < lo {
                        bits::clear(&mut row.valid, k);
                    } else {
                        row.v[k] = binop::max(lo, binop::min(hi, row.v[k]));
                    }
                }
            }
            Map::Round(to) => {
                row.hist.clear();
                for k in 0..grid.n {
                    // The inverse loses less than dividing by the multiple.
                    let inverse = 1.0 / to.get(k);
                    row.v[k] = (row.v[k] * inverse + 0.5).floor() / inverse;
                }
            }
            Map::Hist(f) => {
                row.drop_floats();
                for (k, h) in std::mem::take(&mut row.hist) {
                    row.set(k as usize, histogram(*f, &h));
                }
            }
            Map::Date(f) => {
                row.hist.clear();
                for k in 0..grid.n {
                    if bits::get(&row.valid, k) {
                        row.v[k] = date(*f, go_int(row.v[k]));
                    }
                }
            }
            Map::Negate => {
                row.v.iter_mut().for_each(|v| *v = -*v);
                for (_, h) in &mut row.hist {
                    Arc::make_mut(h).mul(-1.0);
                }
            }
            Map::StepTime => {
                for (k, _) in std::mem::take(&mut row.hist) {
                    bits::set(&mut row.valid, k as usize);
                }
                row.v.iter_mut().enumerate().for_each(|(k, v)| *v = grid.time(k) as f64 / 1000.0);
            }
            Map::FloatsOnly => row.hist.clear(),
            Map::Scalar { op, number, scalar_left, return_bool, span } => {
                with_scalar(grid, row, *op, number, *scalar_left, *return_bool, *span, notes);
            }
            Map::Join(side) => side.apply(grid, src, row, notes),
            Map::Mask(mask) => mask.apply(src, row),
        }
    }
}

impl Mask {
    fn apply(&self, src: usize, row: &mut Row) {
        let set = self.sets.get(self.set_of[src] as usize);
        match (set, self.keep_members) {
            (Some(set), true) => {
                row.valid.iter_mut().zip(set).for_each(|(a, b)| *a &= b);
                row.hist.retain(|(k, _)| bits::get(set, *k as usize));
            }
            (Some(set), false) => {
                row.valid.iter_mut().zip(set).for_each(|(a, b)| *a &= !b);
                row.hist.retain(|(k, _)| !bits::get(set, *k as usize));
            }
            (None, true) => {
                row.drop_floats();
                row.hist.clear();
            }
            (None, false) => {}
        }
    }
}

/// Seconds as an integer, as Go converts on amd64: what does not fit becomes the smallest.
fn go_int(v: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&v) { v as i64 } else { i64::MIN }
}

pub fn date(f: DateFn, seconds: i64) -> f64 {
    let c = Civil::from_go_unix(seconds);
    match f {
        DateFn::DaysInMonth => f64::from(days_in_month(c.year, c.month)),
        DateFn::DayOfMonth => f64::from(c.day),
        DateFn::DayOfWeek => f64::from(c.weekday),
        DateFn::DayOfYear => f64::from(c.year_day),
        DateFn::Hour => f64::from(c.hour),
        DateFn::Minute => f64::from(c.minute),
        DateFn::Month => f64::from(c.month),
        DateFn::Year => c.year as f64,
    }
}

fn histogram(f: HistFn, h: &FloatHistogram) -> f64 {
    match f {
        HistFn::Count => h.count,
        HistFn::Sum => h.sum,
        HistFn::Avg => h.sum / h.count,
        HistFn::Stdvar => variance(h),
        HistFn::Stddev => variance(h).sqrt(),
    }
}

/// Each observation counts as the middle of its bucket: geometric for exponential buckets, zero for the zero bucket, arithmetic for custom ones.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut c) = (0.0, 0.0);
    for b in h.all_buckets().filter(|b| b.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            (b.upper + b.lower) / 2.0
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else {
            let geometric = (b.upper * b.lower).sqrt();
            if b.upper < 0.0 { -geometric } else { geometric }
        };
        let delta = middle - mean;
        (sum, c) = kahan::add(b.count * delta * delta, sum, c);
    }
    (sum + c) / h.count
}

/// Applies an arithmetic operator to all values, also to those that are not valid: nobody looks at them.
fn all_values(v: &mut [f64], number: &Scalar, op: BinaryOp, scalar_left: bool, f: fn(f64, f64) -> f64) {
    // The common ones are written out so that the compiler sees what it can do at once.
    match (number, op, scalar_left) {
        (Scalar::Same(s), BinaryOp::Add, _) => v.iter_mut().for_each(|v| *v += s),
        (Scalar::Same(s), BinaryOp::Mul, _) => v.iter_mut().for_each(|v| *v *= s),
        (Scalar::Same(s), BinaryOp::Sub, false) => v.iter_mut().for_each(|v| *v -= s),
        (Scalar::Same(s), BinaryOp::Sub, true) => v.iter_mut().for_each(|v| *v = s - *v),
        (Scalar::Same(s), BinaryOp::Div, false) => v.iter_mut().for_each(|v| *v /= s),
        (Scalar::Same(s), BinaryOp::Div, true) => v.iter_mut().for_each(|v| *v = s / *v),
        (Scalar::Same(s), _, true) => v.iter_mut().for_each(|v| *v = f(*s, *v)),
        (Scalar::Same(s), _, false) => v.iter_mut().for_each(|v| *v = f(*v, *s)),
        (Scalar::Steps(s), _, true) => v.iter_mut().zip(s).for_each(|(v, s)| *v = f(*s, *v)),
        (Scalar::Steps(s), _, false) => v.iter_mut().zip(s).for_each(|(v, s)| *v = f(*v, *s)),
    }
}

fn with_scalar(grid: Grid, row: &mut Row, op: BinaryOp, number: &Scalar, scalar_left: bool, return_bool: bool, span: Span, notes: &mut Annotations) {
    let hists = std::mem::take(&mut row.hist);
    if bits::any(&row.valid) {
        if let Some(f) = arithmetic(op) {
            all_values(&mut row.v, number, op, scalar_left, f);
        } else if op.is_comparison() {
            for k in 0..grid.n {
                let (l, r) = if scalar_left { (number.get(k), row.v[k]) } else { (row.v[k], number.get(k)) };
                let keep = compare(op, l, r);
                if return_bool {
                    row.v[k] = f64::from(u8::from(keep));
                } else if !keep {
                    bits::clear(&mut row.valid, k);
                }
            }
        } else {
            let elem = element(op, Side::Float(0.0), Side::Float(0.0));
            if let Some(note) = elem.note {
                notes.add(note, "", span);
            }
            row.drop_floats();
        }
    }
    for (k, h) in hists {
        let number = Side::Float(number.get(k as usize));
        let elem = if scalar_left { element(op, number, Side::Hist(&h)) } else { element(op, Side::Hist(&h), number) };
        if let Some(note) = elem.note {
            notes.add(note, "", span);
        }
        match elem.answer {
            Some(Answer::Hist(h)) if elem.keep && !return_bool => row.hist.push((k, h)),
            Some(_) if return_bool => row.set(k as usize, f64::from(u8::from(elem.keep))),
            Some(Answer::Float(v)) if elem.keep => row.set(k as usize, v),
            _ => {}
        }
    }
}
