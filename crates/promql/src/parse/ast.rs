//! The tree of a PromQL expression, as written: nothing folded, nothing resolved against a time.
//!
//! Every node carries the [`Span`] of the text it came from. Times are milliseconds. Step-invariant wrapping, effective offsets and
//! everything else that depends on an evaluation is the planner's.
//!
//! A chain `a + b + c + ...` is a left-leaning tree as deep as it has terms, and may be ten thousand deep; all other nesting stops at
//! [`MAX_NESTING`](super::MAX_NESTING). Whoever recurses over a tree must therefore walk [`BinaryExpr::lhs`] in a loop
//! ([`BinaryExpr::left_spine`]). Dropping a tree does.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Limitk,
    LimitRatio,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
}

impl AggregateOp {
    pub const ALL: [AggregateOp; 14] = [
        AggregateOp::Avg,
        AggregateOp::Bottomk,
        AggregateOp::Count,
        AggregateOp::CountValues,
        AggregateOp::Group,
        AggregateOp::Limitk,
        AggregateOp::LimitRatio,
        AggregateOp::Max,
        AggregateOp::Min,
        AggregateOp::Quantile,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
        AggregateOp::Sum,
        AggregateOp::Topk,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Avg => "avg",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::Count => "count",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Group => "group",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
            AggregateOp::Max => "max",
            AggregateOp::Min => "min",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Sum => "sum",
            AggregateOp::Topk => "topk",
        }
    }

    pub fn takes_param(self) -> bool {
        use AggregateOp::*;
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }

    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eql,
    Neq,
    Gtr,
    Lss,
    Gte,
    Lte,
    And,
    Or,
    Unless,
    /// `</`: keep the part of a histogram below.
    TrimUpper,
    /// `>/`: keep the part of a histogram above.
    TrimLower,
}

impl BinaryOp {
    pub const ALL: [BinaryOp; 18] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Mod,
        BinaryOp::Pow,
        BinaryOp::Atan2,
        BinaryOp::Eql,
        BinaryOp::Neq,
        BinaryOp::Gtr,
        BinaryOp::Lss,
        BinaryOp::Gte,
        BinaryOp::Lte,
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Unless,
        BinaryOp::TrimUpper,
        BinaryOp::TrimLower,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eql => "==",
            BinaryOp::Neq => "!=",
            BinaryOp::Gtr => ">",
            BinaryOp::Lss => "<",
            BinaryOp::Gte => ">=",
            BinaryOp::Lte => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eql | Neq | Gtr | Lss | Gte | Lte)
    }

    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }

    /// Binding power; higher binds tighter. `^` is the only one that groups to the right.
    pub fn precedence(self) -> u8 {
        use BinaryOp::*;
        match self {
            Or => 1,
            And | Unless => 2,
            Eql | Neq | Gtr | Lss | Gte | Lte | TrimUpper | TrimLower => 3,
            Add | Sub => 4,
            Mul | Div | Mod | Atan2 => 5,
            Pow => 6,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// `and`, `or`, `unless`
    ManyToMany,
}

impl Cardinality {
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
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

impl BinaryExpr {
    /// This node, its left child while that is a binary expression too, and so on: outermost first.
    pub fn left_spine(&self) -> impl Iterator<Item = &BinaryExpr> {
        std::iter::successors(Some(self), |b| match &b.lhs {
            Expr::Binary(inner) => Some(inner),
            _ => None,
        })
    }
}

impl Clone for BinaryExpr {
    fn clone(&self) -> Self {
        let spine: Vec<&BinaryExpr> = self.left_spine().collect();
        let join =
            |b: &BinaryExpr, lhs: Expr| BinaryExpr { op: b.op, lhs, rhs: b.rhs.clone(), return_bool: b.return_bool, matching: b.matching.clone() };
        let innermost = spine.last().map_or(self, |b| b);
        let mut clone = join(innermost, innermost.lhs.clone());
        for b in spine.iter().rev().skip(1) {
            clone = join(b, Expr::Binary(Box::new(clone)));
        }
        clone
    }
}

impl PartialEq for BinaryExpr {
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self, other);
        loop {
            if a.op != b.op || a.return_bool != b.return_bool || a.matching != b.matching || a.rhs != b.rhs {
                return false;
            }
            match (&a.lhs, &b.lhs) {
                (Expr::Binary(x), Expr::Binary(y)) => (a, b) = (x, y),
                (x, y) => return x == y,
            }
        }
    }
}

/// As text: a tree of a long chain would be too deep to show.
impl fmt::Debug for BinaryExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BinaryExpr(")?;
        super::print::binary(f, self)?;
        write!(f, ")")
    }
}

impl Drop for BinaryExpr {
    /// Takes a left-leaning chain apart in a loop, so that ten thousand terms do not need ten thousand stack frames.
    fn drop(&mut self) {
        let mut next = self.take_lhs();
        while let Some(mut inner) = next {
            next = inner.take_lhs();
        }
    }
}

impl BinaryExpr {
    fn take_lhs(&mut self) -> Option<Box<BinaryExpr>> {
        if !matches!(self.lhs, Expr::Binary(_)) {
            return None;
        }
        let placeholder = Expr::Number(NumberLiteral { value: 0.0, duration: false, span: Span::default() });
        match std::mem::replace(&mut self.lhs, placeholder) {
            Expr::Binary(inner) => Some(inner),
            _ => None,
        }
    }
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

impl Expr {
    pub fn span(&self) -> Span {
        match self {
            Expr::Number(e) => e.span,
            Expr::String(e) => e.span,
            Expr::Vector(e) => e.span,
            Expr::Matrix(e) => e.span,
            Expr::Subquery(e) => e.span,
            Expr::Call(e) => e.span,
            Expr::Aggregate(e) => e.span,
            Expr::Binary(e) => Span { start: first_of(self).start, end: last_of(&e.rhs) },
            Expr::Unary(e) => e.span,
            Expr::Paren(e) => e.span,
        }
    }

    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(e) => e.func.return_type,
            Expr::Binary(e) => {
                let scalar = |e: &Expr| e.value_type() == ValueType::Scalar;
                let mut innermost = &**e;
                for b in e.left_spine() {
                    if !scalar(&b.rhs) {
                        return ValueType::Vector;
                    }
                    innermost = b;
                }
                if scalar(&innermost.lhs) { ValueType::Scalar } else { ValueType::Vector }
            }
            Expr::Unary(e) => e.expr.value_type(),
            Expr::Paren(e) => e.expr.value_type(),
        }
    }

    /// Calls `visit` for this expression and everything below it: parents before children, children in evaluation order
    /// (of an aggregation the expression before the parameter). The selector of a range selector is not visited on its own.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        let mut stack = vec![self];
        while let Some(e) = stack.pop() {
            visit(e);
            match e {
                Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
                Expr::Subquery(e) => stack.push(&e.expr),
                Expr::Call(e) => stack.extend(e.args.iter().rev()),
                Expr::Aggregate(e) => {
                    stack.extend(e.param.iter());
                    stack.push(&e.expr);
                }
                Expr::Binary(e) => {
                    stack.push(&e.rhs);
                    stack.push(&e.lhs);
                }
                Expr::Unary(e) => stack.push(&e.expr),
                Expr::Paren(e) => stack.push(&e.expr),
            }
        }
    }

    /// The selectors of the expression, those inside range selectors too, in the order they are written.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.walk(&mut |e| match e {
            Expr::Vector(v) => found.push(&**v),
            Expr::Matrix(m) => found.push(&m.selector),
            _ => {}
        });
        found
    }

    /// The expression inside any parentheses around it.
    pub fn unwrap_parens(&self) -> &Expr {
        let mut e = self;
        while let Expr::Paren(p) = e {
            e = &p.expr;
        }
        e
    }
}

fn first_of(e: &Expr) -> Span {
    let mut e = e;
    while let Expr::Binary(b) = e {
        e = &b.lhs;
    }
    e.span()
}

fn last_of(e: &Expr) -> u32 {
    let mut e = e;
    while let Expr::Binary(b) = e {
        e = &b.rhs;
    }
    e.span().end
}
