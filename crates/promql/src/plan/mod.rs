//! From the tree as written to what is to be done: times resolved (`@`, `start()`, `step()`, duration expressions), superfluous parentheses gone,
//! parts that are the same at every step marked, functions looked up.

mod duration;
mod explain;
mod functions;
mod invariant;

pub use explain::{Described, describe};
pub use functions::{Call, DateFn, HistFn, MathFn, RangeFn, SortBy};

use crate::engine::QueryError;
use crate::parse::Span;
use crate::parse::ast::{self, AggregateOp, At, BinaryOp, Expr, Length, VectorMatching};
use model::Matcher;
use std::sync::Arc;

/// What a plan depends on beside the tree.
#[derive(Clone, Copy, Debug)]
pub struct Context<'q> {
    /// The query as written; the spans of the tree point into it.
    pub query: &'q str,
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for an instant query.
    pub step_ms: i64,
    /// Step of subqueries that have none.
    pub default_step_ms: i64,
}

/// An operation, with what it works on.
#[derive(Clone, Debug)]
pub enum Plan {
    Number(f64),
    Text(String),
    /// `time()`: the step's own time, in seconds.
    Time,
    Select(Arc<Select>),
    /// A range selector or subquery on its own: only as the whole query.
    Range(RangeInput),
    Call {
        call: Call,
        args: Vec<Plan>,
        spans: Vec<Span>,
        span: Span,
    },
    RangeCall(Box<RangeCall>),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Negate(Box<Plan>),
    /// The same at every step: evaluated once.
    Invariant(Box<Plan>),
}

/// An instant selector, or the selector in a range selector.
#[derive(Clone, Debug)]
pub struct Select {
    pub matchers: Vec<Matcher>,
    pub offset_ms: i64,
    /// The time to look at instead of the step's.
    pub at_ms: Option<i64>,
    pub anchored: bool,
    pub smoothed: bool,
    /// Only count and sum of native histograms are needed.
    pub stats_only: bool,
    /// Function or aggregation around it, a hint for the storage.
    pub func: String,
    pub span: Span,
}

/// Where a function over time gets its samples from.
#[derive(Clone, Debug)]
pub enum RangeInput {
    Select { select: Arc<Select>, range_ms: i64, span: Span },
    Subquery(Box<Subquery>),
}

impl RangeInput {
    /// Where notes about it point to. The reference knows no place for the result of a subquery.
    pub fn note_span(&self) -> Span {
        match self {
            RangeInput::Select { span, .. } => *span,
            RangeInput::Subquery(_) => Span::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Subquery {
    pub plan: Plan,
    pub range_ms: i64,
    pub step_ms: i64,
    pub offset_ms: i64,
    pub at_ms: Option<i64>,
}

/// A function over a range vector.
#[derive(Clone, Debug)]
pub struct RangeCall {
    pub func: RangeFn,
    pub input: RangeInput,
    /// The scalar arguments, in order.
    pub args: Vec<Plan>,
    /// Place of the first argument, where notes point to.
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub input: Plan,
    pub param: Option<Plan>,
    /// Sorted.
    pub grouping: Vec<String>,
    pub without: bool,
    pub span: Span,
    pub input_span: Span,
    pub param_span: Span,
}

#[derive(Clone, Debug)]
pub struct Binary {
    pub op: BinaryOp,
    pub lhs: Plan,
    pub rhs: Plan,
    pub lhs_scalar: bool,
    pub rhs_scalar: bool,
    pub return_bool: bool,
    pub matching: Option<VectorMatching>,
    pub span: Span,
}

/// What lies around a node on the way down; for hints.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    func: &'a str,
    stats_only: bool,
    /// A function or operator further out needs whole histograms: decided, whatever is further in.
    stats_decided: bool,
}

pub fn build(expr: &Expr, context: &Context<'_>) -> Result<Plan, QueryError> {
    let (plan, invariant) = Builder { context }.node(expr, Around::default())?;
    Ok(invariant.wrap(plan))
}

/// Is a part the same at every step, and if so, is it worth being evaluated only once?
#[derive(Clone, Copy)]
struct Invariant {
    same: bool,
    wrap: bool,
}

impl Invariant {
    const NO: Invariant = Invariant { same: false, wrap: false };

    fn wrap(self, plan: Plan) -> Plan {
        if self.wrap { Plan::Invariant(Box::new(plan)) } else { plan }
    }
}

struct Builder<'a> {
    context: &'a Context<'a>,
}

impl Builder<'_> {
    fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Timestamp(ms) => ms,
            At::Start => self.context.start_ms,
            At::End => self.context.end_ms,
        })
    }

    fn offset(&self, offset: &ast::Offset) -> Result<i64, QueryError> {
        offset.expr.as_ref().map_or(Ok(offset.ms), |e| duration::evaluate(e, self.context, true))
    }

    /// A string literal whose escapes do not make UTF-8, as written. Only the replacement character is left of such bytes in the tree.
    fn not_utf8(&self, e: &Expr) -> Option<&str> {
        match e.unwrap_parens() {
            Expr::String(s) if s.printed.is_some() => self.context.query.get(s.span.start as usize..s.span.end as usize),
            _ => None,
        }
    }

    fn length(&self, length: &Length) -> Result<i64, QueryError> {
        match length {
            Length::Ms(ms) => Ok(*ms),
            Length::Expr(e) => duration::evaluate(e, self.context, false),
        }
    }

    fn select(&self, s: &ast::VectorSelector, around: Around<'_>) -> Result<Arc<Select>, QueryError> {
        Ok(Arc::new(Select {
            matchers: s.matchers.clone(),
            offset_ms: self.offset(&s.offset)?,
            at_ms: self.at(s.at),
            anchored: s.anchored,
            smoothed: s.smoothed,
            stats_only: around.stats_only,
            func: around.func.to_string(),
            span: s.span,
        }))
    }

    fn range_input(&self, e: &Expr, around: Around<'_>) -> Result<(RangeInput, Invariant), QueryError> {
        match e {
            Expr::Matrix(m) => {
                let select = self.select(&m.selector, around)?;
                let same = select.at_ms.is_some();
                Ok((RangeInput::Select { select, range_ms: self.length(&m.range)?, span: m.span }, Invariant { same, wrap: false }))
            }
            Expr::Subquery(s) => {
                let whole = Around { stats_only: false, stats_decided: true, ..around };
                let (inner, invariant) = self.node(&s.expr, whole)?;
                let plan = if invariant.same && !matches!(inner, Plan::Number(_) | Plan::Text(_)) { Plan::Invariant(Box::new(inner)) } else { inner };
                let step_ms = s.step.as_ref().map(|l| self.length(l)).transpose()?.filter(|ms| *ms != 0).unwrap_or(self.context.default_step_ms);
                let at_ms = self.at(s.at);
                let input = Subquery { plan, range_ms: self.length(&s.range)?, step_ms: step_ms.max(1), offset_ms: self.offset(&s.offset)?, at_ms };
                Ok((RangeInput::Subquery(Box::new(input)), Invariant { same: at_ms.is_some(), wrap: false }))
            }
            Expr::Paren(p) => self.range_input(&p.expr, around),
            other => Err(QueryError::bad_data(format!("expected a range vector, got {}", other.value_type().documented()))),
        }
    }

    fn node(&self, e: &Expr, around: Around<'_>) -> Result<(Plan, Invariant), QueryError> {
        match e {
            Expr::Number(n) => Ok((Plan::Number(n.value), Invariant { same: true, wrap: false })),
            Expr::String(s) => Ok((Plan::Text(s.value.clone()), Invariant { same: true, wrap: false })),
            Expr::Paren(p) => self.node(&p.expr, around),
            Expr::Unary(u) => {
                let (plan, invariant) = self.node(&u.expr, around)?;
                Ok((if u.negative { Plan::Negate(Box::new(plan)) } else { plan }, invariant))
            }
            Expr::Vector(v) => {
                let select = self.select(v, around)?;
                let same = select.at_ms.is_some();
                Ok((Plan::Select(select), Invariant { same, wrap: same }))
            }
            Expr::Matrix(_) | Expr::Subquery(_) => {
                let (input, invariant) = self.range_input(e, around)?;
                Ok((Plan::Range(input), invariant))
            }
            Expr::Aggregate(a) => self.aggregate(a, around),
            Expr::Binary(b) => self.binary(b, around),
            Expr::Call(c) => self.call(c, around),
        }
    }

    fn aggregate(&self, a: &ast::AggregateExpr, around: Around<'_>) -> Result<(Plan, Invariant), QueryError> {
        let inner = a.expr.unwrap_parens();
        let within = Around { func: a.op.as_str(), ..around };
        let (input, invariant) = self.node(inner, within)?;
        let (param, param_span) = match &a.param {
            Some(p) => {
                let p = p.unwrap_parens();
                if let (ast::AggregateOp::CountValues, Some(raw)) = (a.op, self.not_utf8(p)) {
                    return Err(QueryError::execution(format!("invalid label name {raw}")));
                }
                (Some(self.node(p, within)?.0), p.span())
            }
            None => (None, Span::default()),
        };
        let mut grouping = a.grouping.clone();
        grouping.sort();
        let plan = Aggregate { op: a.op, input, param, grouping, without: a.without, span: a.span, input_span: inner.span(), param_span };
        Ok((Plan::Aggregate(Box::new(plan)), invariant))
    }

    /// A chain from its first operands outwards, in a loop: asked of each of its terms, its span and type would be looked for along all of it.
    fn binary(&self, outermost: &ast::BinaryExpr, around: Around<'_>) -> Result<(Plan, Invariant), QueryError> {
        let mut within = around;
        let mut spine = Vec::new();
        for b in outermost.left_spine() {
            within.func = "";
            if matches!(b.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
                within = Around { stats_only: false, stats_decided: true, ..within };
            }
            spine.push((b, within));
        }
        let scalar = |e: &Expr| e.value_type() == ast::ValueType::Scalar;
        let first = spine.last().map_or(&outermost.lhs, |(b, _)| &b.lhs);
        let (start, mut lhs_scalar) = (first.span().start, scalar(first));
        let (mut lhs, mut left) = self.node(first, within)?;
        for (b, within) in spine.into_iter().rev() {
            let (rhs, right) = self.node(&b.rhs, within)?;
            let rhs_scalar = scalar(&b.rhs);
            let both = left.same && right.same;
            let (l, r) = if both { (lhs, rhs) } else { (left.wrap(lhs), right.wrap(rhs)) };
            (lhs, left) = if let (Plan::Number(x), Plan::Number(y)) = (&l, &r) {
                (Plan::Number(crate::exec::binop::scalar(b.op, *x, *y)), Invariant { same: true, wrap: false })
            } else {
                let span = Span { start, end: b.rhs.span().end };
                let plan =
                    Binary { op: b.op, lhs: l, rhs: r, lhs_scalar, rhs_scalar, return_bool: b.return_bool, matching: b.matching.clone(), span };
                (Plan::Binary(Box::new(plan)), if both { Invariant { same: true, wrap: true } } else { Invariant::NO })
            };
            lhs_scalar &= rhs_scalar;
        }
        Ok((lhs, left))
    }
}
