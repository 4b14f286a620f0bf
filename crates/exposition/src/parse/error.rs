//! What was wrong with a page, and where.

use std::fmt;

/// A page's fault. What was read before it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte at which the fault was seen, counted from 0.
    pub offset: usize,
    /// Line of it, counted from 1; 0 where the format has no lines.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{} (byte {})", self.what, self.offset),
            n => write!(f, "{} (line {n}, byte {})", self.what, self.offset),
        }
    }
}

impl std::error::Error for ParseError {}

/// Longest piece of a page that an error text repeats.
const MAX_QUOTE: usize = 128;

/// A piece of a page for an error text: quoted, cut, whatever its bytes are.
pub(super) fn quote_bytes(b: &[u8]) -> String {
    let cut = &b[..b.len().min(MAX_QUOTE)];
    let mut s = model::labels::quote(&String::from_utf8_lossy(cut));
    if cut.len() < b.len() {
        s.push_str("...");
    }
    s
}

/// A fault inside a page of lines: which token, and why.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: usize,
    pub what: String,
}

impl Fault {
    /// `expected X, got "t"`, where the token is the one byte at `at`, or the end.
    pub fn expected(what: &str, body: &[u8], at: usize) -> Self {
        let got = match body.get(at) {
            None => "end of the page".to_string(),
            Some(_) => quote_bytes(&body[at..=at]),
        };
        Fault { at, what: format!("expected {what}, got {got}") }
    }

    pub fn new(at: usize, what: impl Into<String>) -> Self {
        Fault { at, what: what.into() }
    }

    /// `line_start` is where the entry began.
    pub fn place(self, body: &[u8], line_start: usize) -> ParseError {
        let at = self.at.min(body.len());
        let line = 1 + memchr::memchr_iter(b'\n', &body[..at]).count();
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n);
        let seen = &body[line_start.min(end)..end];
        let what = if seen.is_empty() { self.what } else { format!("{} while parsing: {}", self.what, quote_bytes(seen)) };
        ParseError { offset: at, line, what }
    }
}
