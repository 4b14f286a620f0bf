//! Durations that are computed: `[5m * 2]`, `offset -(step() + 1m)`.

use super::Context;
use crate::engine::QueryError;
use crate::parse::ast::{BinaryOp, DurationExpr, DurationKind};

/// Seconds in 64 bits of nanoseconds, as the reference counts.
const MAX_SECONDS: f64 = 9_223_372_036.854_776;

/// Milliseconds. Only offsets may be negative or zero.
pub(super) fn evaluate(e: &DurationExpr, context: &Context<'_>, may_be_negative: bool) -> Result<i64, QueryError> {
    let refuse = |why: &str| Err(QueryError::bad_data(format!("{}:{}: {why}", e.span.start, e.span.end)));
    let seconds = value(e, context)?;
    if !seconds.is_finite() {
        return refuse("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !may_be_negative {
        return refuse("duration must be greater than 0");
    }
    if seconds.abs() > MAX_SECONDS {
        return refuse("duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

fn value(e: &DurationExpr, context: &Context<'_>) -> Result<f64, QueryError> {
    let refuse = |why: &str| Err(QueryError::bad_data(format!("{}:{}: {why}", e.span.start, e.span.end)));
    Ok(match &e.kind {
        DurationKind::Number(n) => n.value,
        DurationKind::Step => context.step_ms as f64 / 1000.0,
        DurationKind::Range => (context.end_ms - context.start_ms) as f64 / 1000.0,
        DurationKind::Neg(inner) => -value(inner, context)?,
        DurationKind::Pos(inner) => value(inner, context)?,
        DurationKind::MinOf(a, b) => value(a, context)?.min(value(b, context)?),
        DurationKind::MaxOf(a, b) => value(a, context)?.max(value(b, context)?),
        DurationKind::Binary(op, a, b) => {
            let (a, b) = (value(a, context)?, value(b, context)?);
            match op {
                BinaryOp::Div if b == 0.0 => return refuse("division by zero"),
                BinaryOp::Mod if b == 0.0 => return refuse("modulo by zero"),
                op => crate::exec::binop::scalar(*op, a, b),
            }
        }
    })
}
