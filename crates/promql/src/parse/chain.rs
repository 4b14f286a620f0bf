//! Chains of binary operators: trees that lean to the left, as deep as they have terms. They are cloned, compared, shown and dropped in
//! loops, so that their length does not cost stack.

use super::ast::{BinaryExpr, Expr, NumberLiteral, Span};
use std::fmt;

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
