//! The grammar of expressions: operators, literals, parentheses, calls and aggregations.

use super::ast::*;
use super::functions::{self, Function};
use super::parser::{Fail, Parsed, Parser};
use super::quoted::Unquoted;
use super::token::{Keyword, Kind, Preprocessor, Token};
use model::labels::quote;

/// Stands for a function that does not exist; the error about it keeps it from leaving the parser.
static UNKNOWN: Function = Function { name: "", args: &[], variadic: -1, return_type: ValueType::None, experimental: false };

/// A sign binds as strongly as `*`, so that only `^` goes before it.
const TIGHTER_THAN_SIGN: u8 = 6;

/// Can an expression begin with this word?
fn starts_expr(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Number | Kind::Duration | Kind::Str | Kind::LeftParen | Kind::LeftBrace | Kind::Op(BinaryOp::Add | BinaryOp::Sub) | Kind::Identifier
    ) || is_metric_name(kind)
}

/// Words that are also names of metrics.
pub(super) fn is_metric_name(kind: Kind) -> bool {
    match kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) | Kind::Preprocessor(_) => true,
        Kind::Op(op) => op.is_set(),
        Kind::Keyword(k) => !matches!(k, Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On),
        _ => false,
    }
}

impl Parser<'_> {
    /// The whole text is one expression.
    pub fn query_expr(&mut self) -> Parsed<Expr> {
        if self.peek() == Kind::Eof {
            self.error(Span::default(), "no expression found in input");
            return Err(Fail::Reported);
        }
        self.expr(0)
    }

    /// An expression of operators that bind at least as strongly as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Parsed<Expr> {
        let mut lhs = self.operand()?;
        // Asking a long chain for its span would walk it.
        let start = lhs.span().start;
        while let Kind::Op(op) = self.peek() {
            let strength = op.precedence();
            if strength < min {
                break;
            }
            self.take();
            let (return_bool, matching) = self.binary_modifiers()?;
            let rhs = self.nested(|p| p.expr(if op == BinaryOp::Pow { strength } else { strength + 1 }))?;
            let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
            let span = Span { start, end: rhs.span().end };
            lhs = Expr::Binary(Box::new(BinaryExpr { op, lhs, rhs, return_bool, matching: Some(matching) }));
            if filled && !self.options.fill_modifiers {
                self.error(span, "binop fill modifiers are experimental and not enabled");
            }
        }
        Ok(lhs)
    }

    fn operand(&mut self) -> Parsed<Expr> {
        let kind = self.peek();
        let expr = match kind {
            Kind::Number | Kind::Duration => Expr::Number(self.number_literal()?),
            Kind::Str => {
                let token = self.take();
                let Unquoted { value, printed } = self.unquoted(token);
                Expr::String(StringLiteral { value, printed, span: token.span })
            }
            Kind::LeftParen => {
                let open = self.take();
                let expr = self.nested(|p| p.expr(0))?;
                let close = self.expect(Kind::RightParen)?;
                Expr::Paren(Box::new(ParenExpr { expr, span: open.span.to(close.span) }))
            }
            // Modifiers behind the operand are the operand's.
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => return self.signed(),
            Kind::LeftBrace => Expr::Vector(Box::new(self.vector_selector(None)?)),
            _ if is_metric_name(kind) => self.named()?,
            _ => return Err(Fail::Unexpected),
        };
        self.modified(expr)
    }

    fn signed(&mut self) -> Parsed<Expr> {
        let sign = self.take();
        let negative = sign.kind == Kind::Op(BinaryOp::Sub);
        let expr = self.nested(|p| p.expr(TIGHTER_THAN_SIGN))?;
        Ok(match expr {
            Expr::Number(mut n) => {
                if negative {
                    n.value = -n.value;
                }
                n.span.start = sign.span.start;
                Expr::Number(n)
            }
            expr => {
                let span = sign.span.to(expr.span());
                Expr::Unary(Box::new(UnaryExpr { negative, expr, span }))
            }
        })
    }

    /// Something that begins with a name: an aggregation, a call or a selector.
    fn named(&mut self) -> Parsed<Expr> {
        let name = self.take();
        match name.kind {
            Kind::Aggregate(op) if matches!(self.peek(), Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without)) => self.aggregate(name, op),
            Kind::Identifier | Kind::Preprocessor(_) if self.peek() == Kind::LeftParen => self.call(name),
            _ => Ok(Expr::Vector(Box::new(self.vector_selector(Some(name))?))),
        }
    }

    pub(super) fn number_literal(&mut self) -> Parsed<NumberLiteral> {
        let (value, duration) = match self.peek() {
            Kind::Number => {
                let token = self.take();
                (self.number_value(token), false)
            }
            Kind::Duration => {
                let token = self.take();
                (self.duration_value(token), true)
            }
            _ => return Err(Fail::Unexpected),
        };
        Ok(NumberLiteral { value, duration, span: self.last_span() })
    }

    fn call(&mut self, name: Token) -> Parsed<Expr> {
        let (args, close) = self.call_body()?;
        // Keywords are written in any case, functions are not.
        let written = self.text(name);
        let func = functions::lookup(written);
        match func {
            None => self.error(name.span, format!("unknown function with name {}", quote(written))),
            Some(f) if f.experimental && !self.options.experimental_functions => {
                self.error(name.span, format!("function {} is not enabled", quote(written)));
            }
            Some(_) => {}
        }
        Ok(Expr::Call(Box::new(Call { func: func.unwrap_or(&UNKNOWN), args, span: name.span.to(close.span) })))
    }

    /// Arguments in parentheses, and the closing one.
    fn call_body(&mut self) -> Parsed<(Vec<Expr>, Token)> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if let Some(close) = self.take_if(Kind::RightParen) {
            return Ok((args, close));
        }
        args.push(self.nested(|p| p.expr(0))?);
        loop {
            if let Some(close) = self.take_if(Kind::RightParen) {
                return Ok((args, close));
            }
            let comma = self.expect(Kind::Comma)?;
            let next = self.peek();
            if starts_expr(next) {
                args.push(self.nested(|p| p.expr(0))?);
            } else {
                self.error(comma.span, "trailing commas not allowed in function call args");
            }
        }
    }

    fn aggregate(&mut self, name: Token, op: AggregateOp) -> Parsed<Expr> {
        let parsed = self.aggregate_body();
        if parsed.is_err() {
            if parsed.as_ref().err() == Some(&Fail::Unexpected) {
                self.unexpected("aggregation", "");
                let span = Span { start: name.span.start, end: self.last_closing };
                self.error(span, "no arguments for aggregate expression provided");
            }
            return Err(Fail::Reported);
        }
        let (args, grouping, without) = parsed?;
        let span = Span { start: name.span.start, end: self.taken_end };
        let expected = if op.takes_param() { 2 } else { 1 };
        let count = args.len();
        let mut args = args.into_iter();
        let message = if count == 0 {
            "no arguments for aggregate expression provided".to_string()
        } else if op.is_experimental() && !self.options.experimental_functions {
            format!("{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions", op.as_str())
        } else if count != expected {
            format!("wrong number of arguments for aggregate expression provided, expected {expected}, got {count}")
        } else {
            let param = if op.takes_param() { args.next() } else { None };
            let expr = args.next().ok_or(Fail::Unexpected)?;
            return Ok(Expr::Aggregate(Box::new(AggregateExpr { op, expr, param, grouping, without, span })));
        };
        self.error(span, message);
        let expr = Expr::Number(NumberLiteral { value: 0.0, duration: false, span });
        Ok(Expr::Aggregate(Box::new(AggregateExpr { op, expr, param: None, grouping, without, span })))
    }

    /// Arguments, grouping labels and whether these are dropped; the grouping stands before or behind the arguments.
    fn aggregate_body(&mut self) -> Parsed<(Vec<Expr>, Vec<String>, bool)> {
        if let Some((grouping, without)) = self.grouping_clause()? {
            let (args, _) = self.call_body()?;
            return Ok((args, grouping, without));
        }
        let (args, _) = self.call_body()?;
        let (grouping, without) = self.grouping_clause()?.unwrap_or_default();
        Ok((args, grouping, without))
    }

    fn grouping_clause(&mut self) -> Parsed<Option<(Vec<String>, bool)>> {
        let without = match self.peek() {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some((self.grouping_labels()?, without)))
    }

    /// `bool`, `on`/`ignoring`, `group_left`/`group_right` and the fill modifiers, in this order.
    fn binary_modifiers(&mut self) -> Parsed<(bool, VectorMatching)> {
        let mut m = VectorMatching::default();
        let return_bool = self.take_if(Kind::Keyword(Keyword::Bool)).is_some();
        if let Kind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek() {
            self.take();
            m.on = word == Keyword::On;
            m.labels = self.grouping_labels()?;
            if let Kind::Keyword(side @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek() {
                self.take();
                m.card = if side == Keyword::GroupLeft { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                // Without labels an operand or a fill modifier follows at once.
                let next = self.peek();
                if next == Kind::LeftParen || !starts_expr(next) {
                    m.include = self.grouping_labels()?;
                }
            }
        }
        match self.peek() {
            Kind::Keyword(Keyword::Fill) => {
                m.fill_left = Some(self.fill_value()?);
                m.fill_right = m.fill_left;
            }
            Kind::Keyword(Keyword::FillLeft) => {
                m.fill_left = Some(self.fill_value()?);
                if self.peek() == Kind::Keyword(Keyword::FillRight) {
                    m.fill_right = Some(self.fill_value()?);
                }
            }
            Kind::Keyword(Keyword::FillRight) => {
                m.fill_right = Some(self.fill_value()?);
                if self.peek() == Kind::Keyword(Keyword::FillLeft) {
                    m.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok((return_bool, m))
    }

    /// The modifier ahead and its number in parentheses.
    fn fill_value(&mut self) -> Parsed<f64> {
        self.take();
        self.expect(Kind::LeftParen)?;
        let sign = match self.peek() {
            Kind::Op(BinaryOp::Sub) => -1.0,
            Kind::Op(BinaryOp::Add) => 1.0,
            _ => 0.0,
        };
        if sign != 0.0 {
            self.take();
        }
        let n = self.number_literal()?;
        self.expect(Kind::RightParen)?;
        Ok(if sign < 0.0 { -n.value } else { n.value })
    }

    /// Is this word `step`, `range`, `min_of` or `max_of`?
    pub(super) fn is_length_word(kind: Kind) -> bool {
        matches!(kind, Kind::Preprocessor(Preprocessor::Step | Preprocessor::Range | Preprocessor::MinOf | Preprocessor::MaxOf))
    }
}
