//! A tree as text over several lines, as `/api/v1/format_query` and `promtool promql format` give it: what is longer than a line is
//! split at its operators and parentheses and indented by its depth.

use super::ast::*;
use super::print;
use std::fmt::{self, Write};

/// What fits stays on one line.
const LINE_CHARS: usize = 100;

const INDENT: &str = "  ";

/// Indentation of a long chain of operators grows with the square of its length; beyond this the text stays on one line.
pub const MAX_PRETTY_BYTES: usize = 16 << 20;

pub fn prettify(e: &Expr) -> String {
    prettify_within(e, LINE_CHARS)
}

/// As [`prettify`], for lines of another length.
pub fn prettify_within(e: &Expr, line_chars: usize) -> String {
    let mut pretty = Pretty { out: Limited { text: String::new(), limit: MAX_PRETTY_BYTES }, line_chars };
    match pretty.expr(e, 0) {
        Ok(()) => pretty.out.text,
        Err(fmt::Error) => e.to_string(),
    }
}

/// A string that stops taking text when it is full.
struct Limited {
    text: String,
    limit: usize,
}

impl Write for Limited {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.text.len() + s.len() > self.limit {
            return Err(fmt::Error);
        }
        self.text.push_str(s);
        Ok(())
    }
}

struct Pretty {
    out: Limited,
    line_chars: usize,
}

impl Pretty {
    fn needs_split(&self, e: &Expr) -> bool {
        if let Expr::Binary(b) = e {
            // Each operator of a chain takes four characters at least.
            if b.left_spine().nth(self.line_chars / 4).is_some() {
                return true;
            }
        }
        print::expr(&mut Limited { text: String::new(), limit: self.line_chars }, e).is_err()
    }

    fn indent(&mut self, level: usize) -> fmt::Result {
        (0..level).try_for_each(|_| self.out.write_str(INDENT))
    }

    fn close(&mut self, level: usize) -> fmt::Result {
        self.out.write_char('\n')?;
        self.indent(level)?;
        self.out.write_char(')')
    }

    fn expr(&mut self, e: &Expr, level: usize) -> fmt::Result {
        let split = self.needs_split(e);
        match e {
            Expr::Subquery(s) if split => {
                self.expr(&s.expr, level)?;
                return print::subquery_suffix(&mut self.out, s);
            }
            // A subquery that fits is not indented; the reference has it so.
            Expr::Subquery(_) => return print::expr(&mut self.out, e),
            Expr::Unary(u) => return self.unary(u, level),
            Expr::Binary(b) if split => return self.chain(b, level),
            _ => self.indent(level)?,
        }
        match e {
            Expr::Aggregate(a) if split => {
                print::aggregate_head(&mut self.out, a)?;
                self.out.write_str("(\n")?;
                if let Some(param) = &a.param {
                    self.expr(param, level + 1)?;
                    self.out.write_str(",\n")?;
                }
                self.expr(&a.expr, level + 1)?;
                self.close(level)
            }
            Expr::Call(c) if split => {
                writeln!(self.out, "{}(", c.func.name)?;
                for (i, arg) in c.args.iter().enumerate() {
                    if i > 0 {
                        self.out.write_str(",\n")?;
                    }
                    self.expr(arg, level + 1)?;
                }
                self.close(level)
            }
            Expr::Paren(p) if split => {
                self.out.write_str("(\n")?;
                self.expr(&p.expr, level + 1)?;
                self.close(level)
            }
            _ => print::expr(&mut self.out, e),
        }
    }

    /// The sign stands right before its operand.
    fn unary(&mut self, u: &UnaryExpr, level: usize) -> fmt::Result {
        self.indent(level)?;
        self.out.write_char(if u.negative { '-' } else { '+' })?;
        let start = self.out.text.len();
        self.expr(&u.expr, level)?;
        let leading = self.out.text[start..].len() - self.out.text[start..].trim_start().len();
        self.out.text.replace_range(start..start + leading, "");
        Ok(())
    }

    /// A chain of operators that does not fit: each operand one level deeper than its operator.
    fn chain(&mut self, b: &BinaryExpr, level: usize) -> fmt::Result {
        let mut split = vec![b];
        let mut lhs = &b.lhs;
        while let Expr::Binary(inner) = lhs {
            if !self.needs_split(lhs) {
                break;
            }
            split.push(inner);
            lhs = &inner.lhs;
        }
        self.expr(lhs, level + split.len())?;
        for (depth, b) in split.iter().enumerate().rev() {
            self.out.write_char('\n')?;
            self.indent(level + depth)?;
            print::operator(&mut self.out, b)?;
            self.out.write_char('\n')?;
            self.expr(&b.rhs, level + depth + 1)?;
        }
        Ok(())
    }
}
