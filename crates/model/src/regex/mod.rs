//! Regular expressions as Prometheus means them: RE2 syntax, anchored at both ends, `.` matches a newline.

mod expand;
mod search;

pub use search::Search;

use expand::Reference;
use regex_automata::meta;
use std::fmt;

/// A compiled, anchored pattern.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    inner: meta::Regex,
    literals: Option<Vec<String>>,
    prefix: String,
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
        let plain = |s: &str| !s.contains(|c: char| r"\.+*?()|[]{}^$".contains(c));
        let parts: Vec<String> = pattern.split('|').map(str::to_string).collect();
        let literals = parts.iter().all(|p| plain(p)).then_some(parts);
        let prefix = match &literals {
            Some(one) if one.len() == 1 => one[0].clone(),
            _ => String::new(),
        };
        Ok(Regex { pattern: pattern.to_string(), inner, literals, prefix })
    }

    /// As written, without the anchors.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    pub fn is_match(&self, s: &str) -> bool {
        self.inner.is_match(s)
    }

    /// All strings the pattern matches, when these are few and known (`a|b|c`): then postings can be looked up instead of filtered.
    /// No doubles; in the order of the pattern.
    pub fn literals(&self) -> Option<&[String]> {
        self.literals.as_deref()
    }

    /// Every match starts with this; empty when nothing is known.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Fills the groups of a match into `template` (`$1`, `${name}`, `$$`). None when `text` does not match.
    pub fn expand(&self, template: &str, text: &str) -> Option<String> {
        let mut out = String::new();
        self.expand_into(template, text, &mut out).then_some(out)
    }

    /// As [`Regex::expand`], appending to `out`. False, with `out` untouched, when `text` does not match.
    pub fn expand_into(&self, template: &str, text: &str, out: &mut String) -> bool {
        match self.captures(text) {
            Some(groups) => {
                groups.expand_into(template, out);
                true
            }
            None => false,
        }
    }

    /// The groups of the match, for filling more than one template.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        let mut caps = self.inner.create_captures();
        self.inner.captures(text, &mut caps);
        caps.is_match().then_some(Captures { text, caps })
    }
}

/// The groups of one match.
#[derive(Debug)]
pub struct Captures<'t> {
    text: &'t str,
    caps: regex_automata::util::captures::Captures,
}

impl<'t> Captures<'t> {
    /// The text of a group; 0 is the whole match. None when the group does not exist or took no part.
    pub fn get(&self, group: usize) -> Option<&'t str> {
        self.caps.get_group(group).map(|span| &self.text[span.range()])
    }

    pub fn get_named(&self, name: &str) -> Option<&'t str> {
        self.caps.get_group_by_name(name).map(|span| &self.text[span.range()])
    }

    /// Appends `template` with the groups filled in.
    pub fn expand_into(&self, template: &str, out: &mut String) {
        expand::expand(template, out, |reference| match reference {
            Reference::Number(n) => self.get(n),
            Reference::Name(name) => self.get_named(name),
        });
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern)
    }
}
