//! Types: what may stand where, checked in the finished tree. Fills in what follows from the types ([`VectorMatching`] of operands that
//! are not both vectors, many-to-many of set operators).

use super::ast::*;
use super::error::ParseError;
use super::lex::is_space;
use model::labels::quote;
use model::name::METRIC_NAME;

/// All errors, in the order they are found from the leaves up.
pub(super) fn check(query: &str, expr: &mut Expr) -> Vec<ParseError> {
    let mut checker = Checker { query, errors: Vec::new() };
    checker.expr(expr);
    checker.errors
}

struct Checker<'a> {
    query: &'a str,
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(ParseError::new(self.query, span, message.into()));
    }

    fn expr(&mut self, expr: &mut Expr) -> ValueType {
        match expr {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(v) => {
                self.selector(v);
                ValueType::Vector
            }
            Expr::Matrix(m) => {
                self.selector(&m.selector);
                ValueType::Matrix
            }
            Expr::Subquery(s) => {
                let inner = self.expr(&mut s.expr);
                if inner != ValueType::Vector {
                    self.error(s.span, format!("subquery is only allowed on instant vector, got {inner} instead"));
                }
                ValueType::Matrix
            }
            Expr::Call(c) => {
                self.call(c);
                c.func.return_type
            }
            Expr::Aggregate(a) => {
                self.expect(&mut a.expr, ValueType::Vector, "aggregation expression");
                if let Some(param) = &mut a.param {
                    let wanted = if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                    self.expect(param, wanted, "aggregation parameter");
                }
                ValueType::Vector
            }
            Expr::Binary(_) => self.chain(expr),
            Expr::Unary(u) => {
                let inner = self.expr(&mut u.expr);
                if inner != ValueType::Scalar && inner != ValueType::Vector {
                    let got = quote(inner.documented());
                    let message = format!("unary expression only allowed on expressions of type scalar or instant vector, got {got}");
                    self.error(u.span, message);
                }
                inner
            }
            Expr::Paren(p) => self.expr(&mut p.expr),
        }
    }

    fn expect(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let got = self.expr(expr);
        if got != wanted {
            let message = format!("expected type {} in {context}, got {}", wanted.documented(), got.documented());
            self.error(expr.span(), message);
        }
    }

    /// A chain of operators, from its innermost left operand outwards. Taken apart and put together again, so that its length does
    /// not cost stack.
    fn chain(&mut self, expr: &mut Expr) -> ValueType {
        let mut spine = Vec::new();
        let mut lhs = std::mem::replace(expr, placeholder());
        while let Expr::Binary(mut b) = lhs {
            lhs = std::mem::replace(&mut b.lhs, placeholder());
            spine.push(b);
        }
        let mut lhs_type = self.expr(&mut lhs);
        let mut lhs_span = lhs.span();
        while let Some(mut b) = spine.pop() {
            b.lhs = lhs;
            let rhs_type = self.expr(&mut b.rhs);
            self.binary(&mut b, (lhs_type, lhs_span), rhs_type);
            lhs_span = lhs_span.to(b.rhs.span());
            let scalar = lhs_type == ValueType::Scalar && rhs_type == ValueType::Scalar;
            lhs_type = if scalar { ValueType::Scalar } else { ValueType::Vector };
            lhs = Expr::Binary(b);
        }
        *expr = lhs;
        lhs_type
    }

    fn binary(&mut self, b: &mut BinaryExpr, (lhs, lhs_span): (ValueType, Span), rhs: ValueType) {
        let rhs_span = b.rhs.span();
        let span = lhs_span.to(rhs_span);
        let op = b.op;
        let name = || quote(op.as_str());
        if b.return_bool && !op.is_comparison() {
            self.error(self.operator_span(lhs_span, rhs_span), "bool modifier can only be used on comparison operators");
        }
        if op.is_comparison() && !b.return_bool && lhs == ValueType::Scalar && rhs == ValueType::Scalar {
            self.error(self.operator_span(lhs_span, rhs_span), "comparisons between scalars must use BOOL modifier");
        }
        let mut matching = b.matching.take().unwrap_or_default();
        if op.is_set() && matching.card == Cardinality::OneToOne {
            matching.card = Cardinality::ManyToMany;
        }
        if matching.on {
            for label in matching.labels.iter().filter(|l| matching.include.contains(l)) {
                let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
                self.error(self.operator_span(lhs_span, rhs_span), message);
            }
        }
        for (ty, span) in [(lhs, lhs_span), (rhs, rhs_span)] {
            if ty != ValueType::Scalar && ty != ValueType::Vector {
                self.error(span, "binary expression must contain only scalar and instant vector types");
            }
        }
        let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
        if lhs != ValueType::Vector || rhs != ValueType::Vector {
            if !matching.labels.is_empty() {
                self.error(span, "vector matching only allowed between instant vectors");
            }
            if filled {
                self.error(span, "filling in missing series only allowed between instant vectors");
            }
        } else {
            if op.is_set() {
                if matching.card != Cardinality::ManyToMany {
                    self.error(span, format!("no grouping allowed for {} operation", name()));
                    self.error(span, "set operations must always be many-to-many");
                }
                if filled {
                    self.error(span, "filling in missing series not allowed for set operators");
                }
            }
            b.matching = Some(matching);
        }
        if op.is_set() && (lhs == ValueType::Scalar || rhs == ValueType::Scalar) {
            self.error(span, format!("set operator {} not allowed in binary scalar expression", name()));
        }
    }

    /// From the first to the last byte of what stands between two operands; the end is included, as Prometheus has it here.
    fn operator_span(&self, lhs: Span, rhs: Span) -> Span {
        let text = self.query.as_bytes();
        let (mut start, mut end) = (lhs.end as usize, (rhs.start as usize).saturating_sub(1));
        while start < end && is_space(text[start]) {
            start += 1;
        }
        while end > start && is_space(text[end]) {
            end -= 1;
        }
        Span::new(start, end)
    }

    fn call(&mut self, c: &mut Call) {
        let func = c.func;
        let (declared, given) = (func.args.len(), c.args.len());
        let name = quote(func.name);
        if func.variadic == 0 {
            if given != declared {
                self.error(c.span, format!("expected {declared} argument(s) in call to {name}, got {given}"));
            }
        } else {
            let least = declared - 1;
            let most = usize::try_from(func.variadic).ok().map(|more| least + more);
            if given < least {
                self.error(c.span, format!("expected at least {least} argument(s) in call to {name}, got {given}"));
            } else if let Some(most) = most.filter(|most| given > *most) {
                self.error(c.span, format!("expected at most {most} argument(s) in call to {name}, got {given}"));
            }
        }
        if func.name == "info" {
            self.info_selector(c);
        }
        for (i, arg) in c.args.iter_mut().enumerate() {
            let wanted = match func.args.get(i) {
                Some(t) => *t,
                // Arguments too many have been reported.
                None if func.variadic == 0 => break,
                None => func.args[declared - 1],
            };
            let got = self.expr(arg);
            if got != wanted {
                let message = format!("expected type {} in call to function {name}, got {}", wanted.documented(), got.documented());
                self.error(arg.span(), message);
            }
        }
    }

    /// The second argument of `info()` selects labels of info metrics, so it has no name and may be empty.
    fn info_selector(&mut self, c: &mut Call) {
        let span = c.span;
        let Some(arg) = c.args.get_mut(1) else { return };
        let ty = arg.value_type();
        if ty != ValueType::Vector {
            let message = format!("expected type instant vector in call to function \"info\", got {}", ty.documented());
            self.error(span, message);
        }
        let arg_span = arg.span();
        match arg {
            Expr::Vector(v) if !v.name.is_empty() => {
                self.error(arg_span, "expected label selectors only, got vector selector instead");
            }
            Expr::Vector(v) => v.bypass_empty_matcher_check = true,
            _ => self.error(arg_span, "expected label selectors only"),
        }
    }

    fn selector(&mut self, v: &VectorSelector) {
        if let Some((_, before)) = v.matchers.split_last().filter(|_| !v.name.is_empty()) {
            for m in before.iter().filter(|m| m.name == METRIC_NAME) {
                let message = format!("metric name must not be set twice: {} or {}", quote(&v.name), quote(&m.value));
                self.error(v.span, message);
            }
        } else if !v.bypass_empty_matcher_check && v.matchers.iter().all(|m| m.matches_empty()) {
            self.error(v.span, "vector selector must contain at least one non-empty matcher");
        }
    }
}

fn placeholder() -> Expr {
    Expr::Number(NumberLiteral { value: 0.0, duration: false, span: Span::default() })
}
