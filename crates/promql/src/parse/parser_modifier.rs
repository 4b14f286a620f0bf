//! The grammar of what stands behind an operand: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::ast::*;
use super::parser::{Fail, Parsed, Parser};
use super::parser_duration::Duration;
use super::token::{Keyword, Kind, Preprocessor};

/// Subqueries right behind each other are a type error, and are told only after the tree is built; so there must not be many.
const MAX_SUBQUERIES_IN_A_ROW: usize = 4;

const NOT_A_SELECTOR: &str = "ranges only allowed for vector selectors";

/// An operand, and whether it is a range of something that is no selector. The latter has been reported.
struct Operand {
    expr: Expr,
    bad_range: bool,
}

impl Parser<'_> {
    /// Reads the modifiers of an operand, in any order.
    pub(super) fn modified(&mut self, expr: Expr) -> Parsed<Expr> {
        let mut operand = Operand { expr, bad_range: false };
        let mut subqueries = 0;
        loop {
            match self.peek() {
                Kind::LeftBracket => {
                    subqueries += 1;
                    if subqueries > MAX_SUBQUERIES_IN_A_ROW {
                        self.too_deep();
                        return Err(Fail::Reported);
                    }
                    operand = self.bracket(operand.expr)?;
                }
                Kind::Keyword(Keyword::Offset) => self.offset(&mut operand)?,
                Kind::At => self.at(&mut operand)?,
                Kind::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.take();
                    self.extended(&mut operand, word);
                }
                _ => return Ok(operand.expr),
            }
        }
    }

    fn bracket(&mut self, expr: Expr) -> Parsed<Operand> {
        let open = self.take();
        let length = self.positive_duration();
        let range = self.in_context(length, "subquery or range selector", "number, duration, step(), or range()")?.into_length();
        if self.peek() == Kind::Colon {
            self.take();
            return self.subquery(expr, range);
        }
        let close = self.expect(Kind::RightBracket);
        let close = self.in_context(close, "subquery or range", "\":\" or \"]\"")?;
        let span = expr.span().to(close.span);
        let problem = match &expr {
            Expr::Vector(v) if v.offset.is_set() => Some("no offset modifiers allowed before range"),
            Expr::Vector(v) if v.at.is_some() => Some("no @ modifiers allowed before range"),
            Expr::Vector(_) => None,
            _ => Some(NOT_A_SELECTOR),
        };
        if let Some(problem) = problem {
            self.error(open.span.to(close.span), problem);
        }
        let mut bad_range = false;
        let selector = match expr {
            Expr::Vector(v) => *v,
            _ => {
                bad_range = true;
                empty_selector(span)
            }
        };
        Ok(Operand { expr: Expr::Matrix(Box::new(MatrixSelector { selector, range, span })), bad_range })
    }

    /// The range and its colon are taken.
    fn subquery(&mut self, expr: Expr, range: Length) -> Parsed<Operand> {
        let step = match self.peek() {
            Kind::RightBracket => None,
            _ => {
                let step = self.positive_duration();
                let step = self.in_context(step, "subquery selector", "number, duration, step(), range(), or \"]\"")?;
                Some(step.into_length())
            }
        };
        let close = self.expect(Kind::RightBracket);
        let close = self.in_context(close, "subquery selector", "\"]\"")?;
        let span = expr.span().to(close.span);
        let subquery = SubqueryExpr { expr, range, step, offset: Offset::default(), at: None, span };
        Ok(Operand { expr: Expr::Subquery(Box::new(subquery)), bad_range: false })
    }

    fn offset(&mut self, operand: &mut Operand) -> Parsed<()> {
        self.take();
        let duration = self.offset_duration();
        let duration = self.in_context(duration, "offset", "number, duration, step(), or range()")?;
        let end = self.taken_end;
        let before = operand.expr.span();
        if operand.bad_range {
            self.error(before, NOT_A_SELECTOR);
            return Ok(());
        }
        let Some((offset, _, span)) = time_of(&mut operand.expr) else {
            self.error(before, "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery");
            return Ok(());
        };
        span.end = end;
        if offset.is_set() {
            self.error(before, "offset may not be set multiple times");
            return Ok(());
        }
        match duration.into_length() {
            Length::Ms(ms) => offset.ms = ms,
            Length::Expr(expr) => offset.expr = Some(expr),
        }
        Ok(())
    }

    fn at(&mut self, operand: &mut Operand) -> Parsed<()> {
        self.take();
        let before = operand.expr.span();
        let time = self.at_time(before);
        let time = self.in_context(time, "@", "timestamp")?;
        let end = self.taken_end;
        if operand.bad_range {
            self.error(before, NOT_A_SELECTOR);
            return Ok(());
        }
        let Some((_, at, span)) = time_of(&mut operand.expr) else {
            self.error(before, "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery");
            return Ok(());
        };
        if at.is_some() {
            self.error(before, "@ <timestamp> may not be set multiple times");
            return Ok(());
        }
        *at = Some(time);
        span.end = end;
        Ok(())
    }

    fn at_time(&mut self, operand: Span) -> Parsed<At> {
        let kind = self.peek();
        if let Kind::Preprocessor(word @ (Preprocessor::Start | Preprocessor::End)) = kind {
            self.take();
            self.expect(Kind::LeftParen)?;
            self.expect(Kind::RightParen)?;
            return Ok(if word == Preprocessor::Start { At::Start } else { At::End });
        }
        let negative = kind == Kind::Op(BinaryOp::Sub);
        if negative || kind == Kind::Op(BinaryOp::Add) {
            self.take();
        }
        let seconds = self.number_literal()?.value;
        let seconds = if negative { -seconds } else { seconds };
        if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
            self.error(operand, format!("timestamp out of bounds for @ modifier: {}", fixed(seconds)));
        }
        Ok(At::Timestamp((seconds * 1000.0).round() as i64))
    }

    fn extended(&mut self, operand: &mut Operand, word: Keyword) {
        let anchored = word == Keyword::Anchored;
        let name = if anchored { "anchored" } else { "smoothed" };
        let span = operand.expr.span();
        if !self.options.extended_range_selectors {
            self.error(span, format!("{name} modifier is experimental and not enabled"));
            return;
        }
        let selector = match &mut operand.expr {
            Expr::Vector(v) => &mut **v,
            Expr::Matrix(_) if operand.bad_range => return,
            Expr::Matrix(m) => &mut m.selector,
            Expr::Subquery(_) => {
                self.error(span, format!("{name} modifier is not supported for subqueries"));
                return;
            }
            _ => {
                self.error(span, format!("{name} modifier not implemented"));
                return;
            }
        };
        *(if anchored { &mut selector.anchored } else { &mut selector.smoothed }) = true;
        if selector.anchored && selector.smoothed {
            self.error(span, "anchored and smoothed modifiers cannot be used together");
        }
    }
}

/// Where offset, `@` and the end of the text are kept.
fn time_of(expr: &mut Expr) -> Option<(&mut Offset, &mut Option<At>, &mut Span)> {
    match expr {
        Expr::Vector(v) => Some((&mut v.offset, &mut v.at, &mut v.span)),
        Expr::Matrix(m) => Some((&mut m.selector.offset, &mut m.selector.at, &mut m.span)),
        Expr::Subquery(s) => Some((&mut s.offset, &mut s.at, &mut s.span)),
        _ => None,
    }
}

fn empty_selector(span: Span) -> VectorSelector {
    VectorSelector {
        name: String::new(),
        matchers: Vec::new(),
        offset: Offset::default(),
        at: None,
        anchored: false,
        smoothed: false,
        bypass_empty_matcher_check: false,
        span,
    }
}

/// Go's `%f`.
fn fixed(v: f64) -> String {
    if v.is_finite() { format!("{v:.6}") } else { model::number::format_g(v) }
}

impl Duration {
    /// Literals in milliseconds, rounded to nanoseconds first as Prometheus does.
    fn into_length(self) -> Length {
        match self {
            Duration::Literal(n) => Length::Ms((n.value * 1e9).round() as i64 / 1_000_000),
            Duration::Computed(expr) => Length::Expr(Box::new(expr)),
        }
    }
}
