//! Why an expression was refused, and where: `1:7: parse error: unexpected <op:*>`.

use super::ast::Span;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub span: Span,
    pub message: String,
    /// Line and column of the start, both from 1, the column in bytes. None when the query is empty.
    pub position: Option<(u32, u32)>,
}

impl ParseError {
    pub(super) fn new(query: &str, span: Span, message: String) -> ParseError {
        ParseError { span, message, position: position(query, span.start as usize) }
    }

    /// For a query that stands inside a file: `lines` come before it.
    pub fn shift_lines(&mut self, lines: u32) {
        if let Some((line, _)) = &mut self.position {
            *line += lines;
        }
    }
}

fn position(query: &str, start: usize) -> Option<(u32, u32)> {
    let before = query.as_bytes().get(..start).filter(|_| !query.is_empty())?;
    let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
    let column = match before.iter().rposition(|b| *b == b'\n') {
        Some(line_break) => start - line_break,
        None => start + 1,
    };
    Some((line, column as u32))
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// All that was found wrong, never empty. Shown as its first error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl ParseErrors {
    pub fn first(&self) -> Option<&ParseError> {
        self.0.first()
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(e) => fmt::Display::fmt(e, f),
            None => f.write_str("error contains no error message"),
        }
    }
}

impl std::error::Error for ParseErrors {}
