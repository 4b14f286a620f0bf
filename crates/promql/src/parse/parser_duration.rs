//! The grammar of lengths of time: literals, and expressions over them, `step()` and `range()`.
//!
//! Behind `offset` a literal, a call or one pair of parentheses with a sign ends the length: `foo offset 5m - 1` subtracts from the
//! vector. Behind `offset (...)` without a sign, operators continue the length.

use super::MAX_NESTING;
use super::ast::*;
use super::parser::{Fail, Parsed, Parser};
use super::token::{Kind, Preprocessor, Token};

pub(super) enum Duration {
    Literal(NumberLiteral),
    Computed(DurationExpr),
}

const TIGHTER_THAN_SIGN: u8 = 6;

/// Seconds that 64 bits of nanoseconds can hold.
const MAX_SECONDS: f64 = i64::MAX as f64 / 1e9;

impl Duration {
    fn span(&self) -> Span {
        match self {
            Duration::Literal(n) => n.span,
            Duration::Computed(e) => e.span,
        }
    }

    fn boxed(self) -> Box<DurationExpr> {
        Box::new(match self {
            Duration::Computed(e) => e,
            Duration::Literal(n) => DurationExpr { span: n.span, kind: DurationKind::Number(n), wrapped: false },
        })
    }

    /// What stands for a length that was refused.
    fn zero() -> Duration {
        Duration::Literal(NumberLiteral { value: 0.0, duration: false, span: Span::default() })
    }

    fn computed(kind: DurationKind, span: Span) -> Duration {
        Duration::Computed(DurationExpr { kind, wrapped: false, span })
    }
}

impl Parser<'_> {
    /// Inside brackets: literals must be more than 0.
    pub(super) fn positive_duration(&mut self) -> Parsed<Duration> {
        let duration = self.duration(0)?;
        // The word behind belongs to the decision where the length ends.
        self.peek();
        match &duration {
            Duration::Literal(n) if n.value <= 0.0 => {
                self.error(n.span, "duration must be greater than 0");
                Ok(Duration::zero())
            }
            _ => Ok(duration),
        }
    }

    pub(super) fn offset_duration(&mut self) -> Parsed<Duration> {
        match self.peek() {
            Kind::Number | Kind::Duration => self.duration_literal(),
            kind if Self::is_length_word(kind) => self.duration_call(),
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let sign = self.take();
                match self.peek() {
                    Kind::Number | Kind::Duration => {
                        let n = self.number_literal()?;
                        Ok(self.signed_literal(sign, n))
                    }
                    kind if Self::is_length_word(kind) => {
                        let call = self.duration_call()?.boxed();
                        let span = sign.span.to(call.span);
                        let negative = sign.kind == Kind::Op(BinaryOp::Sub);
                        let kind = if negative { DurationKind::Neg(call) } else { DurationKind::Pos(call) };
                        Ok(Duration::computed(kind, span))
                    }
                    Kind::LeftParen => {
                        self.take();
                        let inner = self.nested(|p| p.duration(0))?;
                        self.expect(Kind::RightParen)?;
                        Ok(self.signed_duration(sign, wrap(inner)))
                    }
                    _ => {
                        let inner = self.nested(|p| p.duration(TIGHTER_THAN_SIGN))?;
                        let signed = self.signed_duration(sign, inner);
                        self.duration_operators(signed, 0)
                    }
                }
            }
            _ => self.duration(0),
        }
    }

    fn duration(&mut self, min: u8) -> Parsed<Duration> {
        let operand = match self.peek() {
            Kind::Number | Kind::Duration => self.duration_literal()?,
            Kind::LeftParen => {
                self.take();
                let inner = self.nested(|p| p.duration(0))?;
                self.expect(Kind::RightParen)?;
                self.require_duration_expr(inner.span());
                wrap(inner)
            }
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let sign = self.take();
                let inner = self.nested(|p| p.duration(TIGHTER_THAN_SIGN))?;
                self.signed_duration(sign, inner)
            }
            kind if Self::is_length_word(kind) => self.duration_call()?,
            _ => return Err(Fail::Unexpected),
        };
        self.duration_operators(operand, min)
    }

    fn duration_operators(&mut self, mut lhs: Duration, min: u8) -> Parsed<Duration> {
        let mut terms = 0;
        while let Kind::Op(op) = self.peek() {
            let arithmetic = matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow);
            let strength = op.precedence();
            if !arithmetic || strength < min {
                break;
            }
            terms += 1;
            if terms > MAX_NESTING {
                self.too_deep();
                return Err(Fail::Reported);
            }
            let operator = self.take();
            let rhs = self.nested(|p| p.duration(if op == BinaryOp::Pow { strength } else { strength + 1 }))?;
            self.require_duration_expr(lhs.span());
            let by_zero = matches!(&rhs, Duration::Literal(n) if n.value == 0.0);
            let problem = match op {
                BinaryOp::Div if by_zero => Some("division by zero"),
                BinaryOp::Mod if by_zero => Some("modulo by zero"),
                _ => None,
            };
            lhs = match problem {
                Some(problem) => {
                    self.error(operator.span, problem);
                    Duration::zero()
                }
                None => {
                    let span = lhs.span().to(rhs.span());
                    Duration::computed(DurationKind::Binary(op, lhs.boxed(), rhs.boxed()), span)
                }
            };
        }
        Ok(lhs)
    }

    fn duration_literal(&mut self) -> Parsed<Duration> {
        let n = self.number_literal()?;
        if out_of_range(n.value) {
            self.error(n.span, "duration out of range");
            return Ok(Duration::zero());
        }
        Ok(Duration::Literal(n))
    }

    /// `step()`, `range()`, `min_of(a, b)` or `max_of(a, b)`.
    fn duration_call(&mut self) -> Parsed<Duration> {
        let name = self.take();
        self.expect(Kind::LeftParen)?;
        let mut args = None;
        if let Kind::Preprocessor(Preprocessor::MinOf | Preprocessor::MaxOf) = name.kind {
            let a = self.nested(|p| p.duration(0))?;
            self.expect(Kind::Comma)?;
            args = Some((a.boxed(), self.nested(|p| p.duration(0))?.boxed()));
        }
        let close = self.expect(Kind::RightParen)?;
        let span = name.span.to(close.span);
        self.require_duration_expr(span);
        let kind = match (name.kind, args) {
            (Kind::Preprocessor(Preprocessor::MinOf), Some((a, b))) => DurationKind::MinOf(a, b),
            (_, Some((a, b))) => DurationKind::MaxOf(a, b),
            (Kind::Preprocessor(Preprocessor::Step), None) => DurationKind::Step,
            _ => DurationKind::Range,
        };
        Ok(Duration::computed(kind, span))
    }

    /// A sign in front of what is already a length.
    fn signed_duration(&mut self, sign: Token, duration: Duration) -> Duration {
        match duration {
            Duration::Literal(n) => self.signed_literal(sign, n),
            Duration::Computed(e) if sign.kind == Kind::Op(BinaryOp::Sub) => {
                let span = sign.span.to(e.span);
                Duration::computed(DurationKind::Neg(Box::new(e)), span)
            }
            plus => plus,
        }
    }

    fn signed_literal(&mut self, sign: Token, mut n: NumberLiteral) -> Duration {
        if sign.kind == Kind::Op(BinaryOp::Sub) {
            n.value = -n.value;
        }
        if out_of_range(n.value) {
            self.error(sign.span, "duration out of range");
            return Duration::zero();
        }
        n.span.start = sign.span.start;
        Duration::Literal(n)
    }

    fn require_duration_expr(&mut self, span: Span) {
        if !self.options.duration_expr {
            self.error(span, "experimental duration expression is not enabled");
        }
    }
}

/// Parentheses around a literal leave no trace.
fn wrap(duration: Duration) -> Duration {
    match duration {
        Duration::Computed(e) => Duration::Computed(DurationExpr { wrapped: true, ..e }),
        literal => literal,
    }
}

fn out_of_range(seconds: f64) -> bool {
    seconds.abs() > MAX_SECONDS
}
