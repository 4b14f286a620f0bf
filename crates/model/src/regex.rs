//! Regular expressions as Prometheus means them: RE2 syntax, anchored at both ends, `.` matches a newline.

use regex_automata::meta;
use std::fmt;

/// A compiled, anchored pattern.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    inner: meta::Regex,
}

/// Why a pattern was refused, in the words of Go's regexp package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    pub message: String,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RegexError {}

impl Regex {
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let anchored = format!("^(?s:{pattern})$");
        let inner = meta::Regex::new(&anchored).map_err(|e| RegexError { message: format!("error parsing regexp: {e}") })?;
        Ok(Regex { pattern: pattern.to_string(), inner })
    }

    /// As written, without the anchors.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, s: &str) -> bool {
        self.inner.is_match(s)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern)
    }
}
