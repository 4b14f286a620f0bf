//! Operators between numbers, and where they lead.

use super::maps::Map;
use super::stream::Duplicates;
use super::{Evaluated, Exec, Grid, Scalar, evaluate as evaluate_plan, join, set};
use crate::annotations::{HistOp, Note};
use crate::engine::QueryError;
use crate::parse::ast::BinaryOp;
use crate::plan::Binary;
use model::histogram::trim::Keep;
use model::{FloatHistogram, gomath};
use std::sync::Arc;

/// The larger; unlike `f64::max` it is no number when either is none, except beside +Inf.
pub fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// The smaller, with the same exceptions as [`max`].
pub fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// An operator between two scalars; comparisons give 0 or 1. Set operators do not reach here.
pub fn scalar(op: BinaryOp, a: f64, b: f64) -> f64 {
    match arithmetic(op) {
        Some(f) => f(a, b),
        None => f64::from(u8::from(compare(op, a, b))),
    }
}

/// The function of an arithmetic operator.
pub fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => gomath::pow,
        BinaryOp::Atan2 => gomath::atan2,
        _ => return None,
    })
}

pub fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eql => a == b,
        BinaryOp::Neq => a != b,
        BinaryOp::Gtr => a > b,
        BinaryOp::Lss => a < b,
        BinaryOp::Gte => a >= b,
        BinaryOp::Lte => a <= b,
        _ => false,
    }
}

/// Does the operator make something else of the metric, so that its name goes?
pub fn changes_metric(op: BinaryOp) -> bool {
    arithmetic(op).is_some()
}

/// One side of an operator at one step.
#[derive(Clone, Copy)]
pub enum Side<'a> {
    Float(f64),
    Hist(&'a FloatHistogram),
}

impl Side<'_> {
    fn kind(self) -> &'static str {
        match self {
            Side::Float(_) => "float",
            Side::Hist(_) => "histogram",
        }
    }
}

/// What an operator gives at one step.
pub enum Answer {
    Float(f64),
    Hist(Arc<FloatHistogram>),
}

/// An answer, whether a comparison lets it pass, and what is to be told. No answer when the types do not go together.
pub struct Elem {
    pub answer: Option<Answer>,
    pub keep: bool,
    pub note: Option<Note<'static>>,
}

impl Elem {
    fn of(answer: Answer, keep: bool) -> Elem {
        Elem { answer: Some(answer), keep, note: None }
    }
}

/// An operator between two samples.
pub fn element(op: BinaryOp, left: Side<'_>, right: Side<'_>) -> Elem {
    let hist = |mut h: FloatHistogram| {
        h.compact(0);
        Elem::of(Answer::Hist(Arc::new(h)), true)
    };
    let changed = |h: &FloatHistogram, change: &dyn Fn(&mut FloatHistogram)| {
        let mut h = h.clone();
        change(&mut h);
        h
    };
    match (left, right) {
        (Side::Float(a), Side::Float(b)) => {
            if let Some(f) = arithmetic(op) {
                return Elem::of(Answer::Float(f(a, b)), true);
            }
            if op.is_comparison() {
                return Elem::of(Answer::Float(a), compare(op, a, b));
            }
        }
        (Side::Float(a), Side::Hist(h)) | (Side::Hist(h), Side::Float(a)) if op == BinaryOp::Mul => {
            return hist(changed(h, &|h| {
                h.mul(a);
            }));
        }
        (Side::Hist(h), Side::Float(b)) => {
            let trim = |keep| {
                Elem::of(
                    Answer::Hist(Arc::new(changed(h, &|h| {
                        h.trim(b, keep);
                    }))),
                    true,
                )
            };
            match op {
                BinaryOp::Div => {
                    return hist(changed(h, &|h| {
                        h.div(b);
                    }));
                }
                BinaryOp::TrimUpper => return trim(Keep::Below),
                BinaryOp::TrimLower => return trim(Keep::Above),
                _ => {}
            }
        }
        (Side::Hist(a), Side::Hist(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => {
                let (told, mut sum) = (if op == BinaryOp::Add { HistOp::Addition } else { HistOp::Subtraction }, a.clone());
                let merged = if op == BinaryOp::Add { sum.add(b) } else { sum.sub(b) };
                let Ok(merged) = merged else {
                    return Elem { answer: None, keep: false, note: Some(Note::IncompatibleLayout(op.as_str())) };
                };
                if op == BinaryOp::Sub {
                    sum.reset_hint = model::histogram::ResetHint::Gauge;
                }
                let mut elem = hist(sum);
                if merged.bounds_reconciled {
                    elem.note = Some(Note::BoundsReconciled(told));
                }
                if merged.reset_collision {
                    // A collision is told and, between two vectors, leaves no sample behind.
                    elem.note = Some(Note::ResetCollision(told));
                    elem.answer = None;
                }
                return elem;
            }
            BinaryOp::Eql | BinaryOp::Neq => return Elem::of(Answer::Hist(Arc::new(a.clone())), a.equals(b) == (op == BinaryOp::Eql)),
            _ => {}
        },
        (Side::Float(_), Side::Hist(_)) => {}
    }
    let note = Note::IncompatibleTypes { op: op.as_str(), left: left.kind(), right: right.kind() };
    Elem { answer: None, keep: false, note: Some(note) }
}

pub fn evaluate<'p>(ex: &Exec<'_>, b: &'p Binary, grid: Grid) -> Result<Evaluated<'p>, QueryError> {
    match (b.lhs_scalar, b.rhs_scalar) {
        (true, true) => {
            let (l, r) = (super::scalar(ex, &b.lhs, grid)?, super::scalar(ex, &b.rhs, grid)?);
            Ok(Evaluated::Scalar(Scalar::map2(&l, &r, grid.n, |x, y| scalar(b.op, x, y))))
        }
        (false, false) if b.op.is_set() => set::evaluate(ex, b, grid).map(Evaluated::Vector),
        (false, false) => join::evaluate(ex, b, grid).map(Evaluated::Vector),
        (scalar_left, _) => {
            let (vector, number) = if scalar_left { (&b.rhs, &b.lhs) } else { (&b.lhs, &b.rhs) };
            let (left, right);
            // Evaluated in the order written: notes and errors come from the left side first.
            if scalar_left {
                right = super::scalar(ex, number, grid)?;
                left = evaluate_plan(ex, vector, grid)?;
            } else {
                left = evaluate_plan(ex, vector, grid)?;
                right = super::scalar(ex, number, grid)?;
            }
            let Evaluated::Vector(stream) = left else { return Err(QueryError::bad_data("expected an instant vector")) };
            let stream = stream.map(ex, Map::Scalar { op: b.op, number: right, scalar_left, return_bool: b.return_bool, span: b.span });
            if changes_metric(b.op) || b.return_bool { stream.without_names(ex, Duplicates::Merge) } else { Ok(stream) }.map(Evaluated::Vector)
        }
    }
}
