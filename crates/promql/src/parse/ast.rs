//! The tree of a PromQL expression, as written: nothing folded, nothing resolved against a time.
//!
//! Every node carries the [`Span`] of the text it came from. Times are milliseconds. Step-invariant wrapping, effective offsets and
//! everything else that depends on an evaluation is the planner's.
//!
//! A chain `a + b + c + ...` is a left-leaning tree as deep as it has terms, and may be ten thousand deep; all other nesting stops at
//! [`MAX_NESTING`](super::MAX_NESTING). Whoever recurses over a tree must therefore walk [`BinaryExpr::lhs`] in a loop
//! ([`BinaryExpr::left_spine`]). Dropping a tree does.

pub use super::operators::{AggregateOp, BinaryOp, Cardinality};

use super::functions::Function;
use model::Matcher;
use std::fmt;

/// Bytes of the query: `start` included, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    None,
    Vector,
    Scalar,
    Matrix,
    String,
}

impl ValueType {
    /// As the API writes it (`resultType`).
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::None => "none",
            ValueType::Vector => "vector",
            ValueType::Scalar => "scalar",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// As the documentation and error texts write it.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<SubqueryExpr>),
    Call(Box<Call>),
    Aggregate(Box<AggregateExpr>),
    Binary(Box<BinaryExpr>),
    Unary(Box<UnaryExpr>),
    Paren(Box<ParenExpr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration (`5m`); the value is in seconds.
    pub duration: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    pub value: String,
    /// With its quotes, where the text has bytes that a string here cannot hold.
    pub printed: Option<String>,
    pub span: Span,
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since 1970.
    Timestamp(i64),
    Start,
    End,
}

/// `offset ...`; the two fields are never both set.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Offset {
    /// A literal offset; 0 without the modifier. Positive looks back.
    pub ms: i64,
    /// An offset to be computed once the step and the range of the query are known.
    pub expr: Option<Box<DurationExpr>>,
}

impl Offset {
    pub fn is_set(&self) -> bool {
        self.ms != 0 || self.expr.is_some()
    }
}

/// A length of time: a literal or something to compute.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// Milliseconds.
    Ms(i64),
    Expr(Box<DurationExpr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name in front of the braces; empty without one. A quoted name inside the braces is only a matcher.
    pub name: String,
    /// In the order written; the matcher of `name` comes last.
    pub matchers: Vec<Matcher>,
    pub offset: Offset,
    pub at: Option<At>,
    pub anchored: bool,
    pub smoothed: bool,
    /// The second argument of `info()`: may select everything.
    pub bypass_empty_matcher_check: bool,
    pub span: Span,
}

/// `selector[5m]`. Offset, `@`, `anchored` and `smoothed` written behind the bracket are kept in the selector.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    pub range: Length,
    pub span: Span,
}

/// `expr[1h:5m]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubqueryExpr {
    pub expr: Expr,
    pub range: Length,
    /// Absent: the default evaluation interval.
    pub step: Option<Length>,
    pub offset: Offset,
    pub at: Option<At>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub func: &'static Function,
    pub args: Vec<Expr>,
    pub span: Span,
}

/// `sum by (job) (expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateExpr {
    pub op: AggregateOp,
    pub expr: Expr,
    /// Set for the operations that take one ([`AggregateOp::takes_param`]).
    pub param: Option<Expr>,
    pub grouping: Vec<String>,
    pub without: bool,
    pub span: Span,
}

/// How series of the two sides find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    pub card: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// `on` rather than `ignoring`.
    pub on: bool,
    /// Labels that `group_left`/`group_right` copy from the one side.
    pub include: Vec<String>,
    /// Value that stands in for a missing series of the left side.
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

impl Default for VectorMatching {
    fn default() -> Self {
        VectorMatching { card: Cardinality::OneToOne, labels: Vec::new(), on: false, include: Vec::new(), fill_left: None, fill_right: None }
    }
}

/// Cloning, comparing and dropping do not recurse along the left side.
pub struct BinaryExpr {
    pub op: BinaryOp,
    pub lhs: Expr,
    pub rhs: Expr,
    /// `bool`: a comparison yields 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Set when both sides are instant vectors.
    pub matching: Option<VectorMatching>,
}

/// `-expr` and `+expr`. Of a number literal the sign is part of the literal.
#[derive(Clone, Debug, PartialEq)]
pub struct UnaryExpr {
    pub negative: bool,
    pub expr: Expr,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ParenExpr {
    pub expr: Expr,
    pub span: Span,
}

/// An expression for a length of time, in seconds: `[5m * 2]`, `offset (step() + 1m)`.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub kind: DurationKind,
    /// Written in parentheses.
    pub wrapped: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    Number(NumberLiteral),
    /// `step()`: the step of the query.
    Step,
    /// `range()`: the range of the query.
    Range,
    Neg(Box<DurationExpr>),
    /// A leading plus that was kept.
    Pos(Box<DurationExpr>),
    /// Add, Sub, Mul, Div, Mod or Pow.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}
