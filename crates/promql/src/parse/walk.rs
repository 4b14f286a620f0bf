//! Questions about a tree: span, type, the selectors in it.

use super::ast::{Expr, Span, ValueType, VectorSelector};

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

    /// Calls `change` for every selector, those inside range selectors too.
    pub fn each_selector(&mut self, change: &mut dyn FnMut(&mut VectorSelector)) {
        let mut stack = vec![self];
        while let Some(e) = stack.pop() {
            match e {
                Expr::Number(_) | Expr::String(_) => {}
                Expr::Vector(v) => change(v),
                Expr::Matrix(m) => change(&mut m.selector),
                Expr::Subquery(e) => stack.push(&mut e.expr),
                Expr::Call(e) => stack.extend(&mut e.args),
                Expr::Aggregate(e) => {
                    stack.extend(e.param.as_mut());
                    stack.push(&mut e.expr);
                }
                Expr::Binary(e) => {
                    stack.push(&mut e.rhs);
                    stack.push(&mut e.lhs);
                }
                Expr::Unary(e) => stack.push(&mut e.expr),
                Expr::Paren(e) => stack.push(&mut e.expr),
            }
        }
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
