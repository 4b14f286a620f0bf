//! A tree as text, in Prometheus' own form: one line, matchers sorted, `by (...)` before the arguments.
//!
//! What is printed parses to the same tree again. Parentheses are kept where they were written and none are added.

use super::ast::*;
use model::labels::quote;
use model::name::{METRIC_NAME, is_legacy_label};
use model::{MatchOp, Matcher};
use std::fmt::{self, Display, Formatter, Write};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expr(f, self)
    }
}

/// Writes an expression; an error of `out` stops it.
pub(super) fn expr(out: &mut dyn Write, e: &Expr) -> fmt::Result {
    match e {
        Expr::Number(n) => number(out, n),
        Expr::String(s) => match &s.printed {
            Some(printed) => out.write_str(printed),
            None => out.write_str(&readable(quote(&s.value))),
        },
        Expr::Vector(v) => vector(out, v),
        Expr::Matrix(m) => matrix(out, m),
        Expr::Subquery(s) => {
            expr(out, &s.expr)?;
            subquery_suffix(out, s)
        }
        Expr::Call(c) => {
            write!(out, "{}(", c.func.name)?;
            list(out, &c.args)?;
            out.write_char(')')
        }
        Expr::Aggregate(a) => {
            aggregate_head(out, a)?;
            out.write_char('(')?;
            if let Some(param) = &a.param {
                expr(out, param)?;
                out.write_str(", ")?;
            }
            expr(out, &a.expr)?;
            out.write_char(')')
        }
        Expr::Binary(b) => binary(out, b),
        Expr::Unary(u) => {
            out.write_char(if u.negative { '-' } else { '+' })?;
            expr(out, &u.expr)
        }
        Expr::Paren(p) => {
            out.write_char('(')?;
            expr(out, &p.expr)?;
            out.write_char(')')
        }
    }
}

pub(super) fn binary(out: &mut dyn Write, b: &BinaryExpr) -> fmt::Result {
    let spine: Vec<&BinaryExpr> = b.left_spine().collect();
    if let Some(innermost) = spine.last() {
        expr(out, &innermost.lhs)?;
    }
    for b in spine.iter().rev() {
        out.write_char(' ')?;
        operator(out, b)?;
        out.write_char(' ')?;
        expr(out, &b.rhs)?;
    }
    Ok(())
}

fn list(out: &mut dyn Write, args: &[Expr]) -> fmt::Result {
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.write_str(", ")?;
        }
        expr(out, arg)?;
    }
    Ok(())
}

fn number(out: &mut dyn Write, n: &NumberLiteral) -> fmt::Result {
    if !n.duration {
        return out.write_str(&model::number::format_f(n.value));
    }
    if n.value < 0.0 {
        out.write_char('-')?;
    }
    // Nanoseconds are cut off first, then what is left of the millisecond.
    let ms = (n.value.abs() * 1e9) as i64 / 1_000_000;
    out.write_str(&model::duration::format_ms(ms))
}

/// `sum by (job) `, with the space when there is a clause.
pub(super) fn aggregate_head(out: &mut dyn Write, a: &AggregateExpr) -> fmt::Result {
    out.write_str(a.op.as_str())?;
    if a.without {
        out.write_str(" without (")?;
    } else if !a.grouping.is_empty() {
        out.write_str(" by (")?;
    } else {
        return Ok(());
    }
    label_list(out, &a.grouping)?;
    out.write_str(") ")
}

fn label_list(out: &mut dyn Write, labels: &[String]) -> fmt::Result {
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            out.write_str(", ")?;
        }
        if is_legacy_label(label) {
            out.write_str(label)?;
        } else {
            out.write_str(&quote(label))?;
        }
    }
    Ok(())
}

/// The operator with `bool` and how series are matched.
pub(super) fn operator(out: &mut dyn Write, b: &BinaryExpr) -> fmt::Result {
    out.write_str(b.op.as_str())?;
    if b.return_bool {
        out.write_str(" bool")?;
    }
    let Some(m) = &b.matching else { return Ok(()) };
    let grouped = matches!(m.card, Cardinality::ManyToOne | Cardinality::OneToMany);
    if !m.labels.is_empty() || m.on || grouped {
        out.write_str(if m.on { " on (" } else { " ignoring (" })?;
        label_list(out, &m.labels)?;
        out.write_char(')')?;
    }
    if grouped {
        out.write_str(if m.card == Cardinality::ManyToOne { " group_left (" } else { " group_right (" })?;
        label_list(out, &m.include)?;
        out.write_char(')')?;
    }
    let g = model::number::format_g;
    match (m.fill_left, m.fill_right) {
        (Some(l), Some(r)) if l == r => write!(out, " fill ({})", g(l)),
        (l, r) => {
            if let Some(l) = l {
                write!(out, " fill_left ({})", g(l))?;
            }
            if let Some(r) = r {
                write!(out, " fill_right ({})", g(r))?;
            }
            Ok(())
        }
    }
}

/// U+FFFD may not stand in a query as itself.
fn readable(quoted: String) -> String {
    if quoted.contains(char::REPLACEMENT_CHARACTER) { quoted.replace(char::REPLACEMENT_CHARACTER, "\\ufffd") } else { quoted }
}

/// The selector without `@`, offset and the like.
fn selector(out: &mut dyn Write, v: &VectorSelector) -> fmt::Result {
    out.write_str(&v.name)?;
    let is_name = |m: &Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal && m.value == v.name && !m.value.is_empty();
    let mut matchers: Vec<String> = v.matchers.iter().filter(|m| !is_name(m)).map(|m| readable(m.to_string())).collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort_unstable();
    write!(out, "{{{}}}", matchers.join(","))
}

fn vector(out: &mut dyn Write, v: &VectorSelector) -> fmt::Result {
    selector(out, v)?;
    at(out, v.at)?;
    out.write_str(extended(v))?;
    offset(out, &v.offset)
}

fn matrix(out: &mut dyn Write, m: &MatrixSelector) -> fmt::Result {
    let v = &m.selector;
    selector(out, v)?;
    out.write_char('[')?;
    length(out, &m.range)?;
    out.write_char(']')?;
    out.write_str(extended(v))?;
    at(out, v.at)?;
    offset(out, &v.offset)
}

fn extended(v: &VectorSelector) -> &'static str {
    match (v.anchored, v.smoothed) {
        (true, _) => " anchored",
        (_, true) => " smoothed",
        _ => "",
    }
}

/// `[1h:5m] @ 10.000 offset 1m`
pub(super) fn subquery_suffix(out: &mut dyn Write, s: &SubqueryExpr) -> fmt::Result {
    out.write_char('[')?;
    length(out, &s.range)?;
    out.write_char(':')?;
    match &s.step {
        None | Some(Length::Ms(0)) => {}
        Some(step) => length(out, step)?,
    }
    out.write_char(']')?;
    at(out, s.at)?;
    offset(out, &s.offset)
}

fn at(out: &mut dyn Write, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Timestamp(ms)) => write!(out, " @ {:.3}", ms as f64 / 1000.0),
        Some(At::Start) => out.write_str(" @ start()"),
        Some(At::End) => out.write_str(" @ end()"),
    }
}

fn offset(out: &mut dyn Write, o: &Offset) -> fmt::Result {
    if let Some(e) = &o.expr {
        out.write_str(" offset ")?;
        // Without parentheses the operator would be taken for one of the vector. The reference leaves them out.
        let open = matches!(e.kind, DurationKind::Binary(..)) && !e.wrapped;
        if open {
            out.write_char('(')?;
        }
        duration(out, e)?;
        return if open { out.write_char(')') } else { Ok(()) };
    }
    if o.ms == 0 {
        return Ok(());
    }
    write!(out, " offset {}", model::duration::format_ms(o.ms))
}

fn length(out: &mut dyn Write, l: &Length) -> fmt::Result {
    match l {
        Length::Ms(ms) => out.write_str(&model::duration::format_ms(*ms)),
        Length::Expr(e) => duration(out, e),
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        duration(f, self)
    }
}

fn duration(out: &mut dyn Write, e: &DurationExpr) -> fmt::Result {
    if e.wrapped {
        out.write_char('(')?;
    }
    match &e.kind {
        DurationKind::Number(n) => number(out, n)?,
        DurationKind::Step => out.write_str("step()")?,
        DurationKind::Range => out.write_str("range()")?,
        DurationKind::Neg(inner) => {
            out.write_char('-')?;
            duration(out, inner)?;
        }
        DurationKind::Pos(inner) => duration(out, inner)?,
        DurationKind::Binary(op, a, b) => {
            duration(out, a)?;
            write!(out, " {} ", op.as_str())?;
            duration(out, b)?;
        }
        DurationKind::MinOf(a, b) | DurationKind::MaxOf(a, b) => {
            out.write_str(if matches!(e.kind, DurationKind::MinOf(..)) { "min_of(" } else { "max_of(" })?;
            duration(out, a)?;
            out.write_str(", ")?;
            duration(out, b)?;
            out.write_char(')')?;
        }
    }
    if e.wrapped {
        out.write_char(')')?;
    }
    Ok(())
}
