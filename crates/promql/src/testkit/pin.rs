//! The same query with every selector pinned to a time: it must answer the same whenever it is asked.

use crate::parse::Expr;
use crate::parse::ast::{At, VectorSelector};

/// Functions whose answer depends on when they are asked, whatever their arguments are.
const MOVES_WITH_TIME: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// Pinned queries with the times to ask them at. None when the query cannot be pinned.
pub(super) fn pinned(query: &str, t_ms: i64) -> Result<Vec<(String, i64)>, String> {
    let mut expr = super::parse_query(query)?;
    let mut moves = false;
    pin(&mut expr, t_ms, &mut moves);
    if moves {
        return Ok(Vec::new());
    }
    let text = expr.to_string();
    // Bytes that are no UTF-8 do not survive being printed: asked once, as written, is enough.
    if text.contains("\\ufffd") && !query.contains('\u{fffd}') {
        return Ok(Vec::new());
    }
    let times = if t_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms] };
    Ok(times.into_iter().map(|t| (text.clone(), t)).collect())
}

fn pin_selector(s: &mut VectorSelector, t_ms: i64) {
    if !matches!(s.at, Some(At::Timestamp(_))) {
        s.at = Some(At::Timestamp(t_ms));
    }
}

fn pin(e: &mut Expr, t_ms: i64, moves: &mut bool) {
    match e {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(v) => pin_selector(v, t_ms),
        Expr::Matrix(m) => pin_selector(&mut m.selector, t_ms),
        // What is inside moves with the subquery, which is pinned.
        Expr::Subquery(s) => {
            if !matches!(s.at, Some(At::Timestamp(_))) {
                s.at = Some(At::Timestamp(t_ms));
            }
        }
        Expr::Call(c) => {
            *moves |= MOVES_WITH_TIME.contains(&c.func.name);
            c.args.iter_mut().for_each(|a| pin(a, t_ms, moves));
        }
        Expr::Aggregate(a) => {
            pin(&mut a.expr, t_ms, moves);
            if let Some(p) = &mut a.param {
                pin(p, t_ms, moves);
            }
        }
        Expr::Binary(b) => {
            pin(&mut b.lhs, t_ms, moves);
            pin(&mut b.rhs, t_ms, moves);
        }
        Expr::Unary(u) => pin(&mut u.expr, t_ms, moves),
        Expr::Paren(p) => pin(&mut p.expr, t_ms, moves),
    }
}
