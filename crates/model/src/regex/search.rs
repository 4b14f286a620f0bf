//! A pattern that may match anywhere in a text, for templates' `match` and `reReplaceAll`. As Go's regexp, `.` does not match a newline here.

use super::expand::{Reference, expand};
use super::{MAX_COMPILED_BYTES, RegexError, engine, parse};
use regex_automata::meta;

#[derive(Clone, Debug)]
pub struct Search {
    inner: meta::Regex,
    names: Vec<Option<String>>,
}

impl Search {
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let parse::Pattern { hir, names } = parse::parse(pattern, false)?;
        let inner = engine(&hir, Some(MAX_COMPILED_BYTES)).ok_or_else(|| parse::error("expression too large", pattern))?;
        Ok(Search { inner, names })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.inner.is_match(text)
    }

    /// Every match replaced by the template, in which `$1` and `${name}` stand for groups.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for caps in self.inner.captures_iter(text) {
            let Some(span) = caps.get_match() else { continue };
            out.push_str(&text[from..span.start()]);
            let get = |n: usize| caps.get_group(n).map(|s| &text[s.start..s.end]);
            expand(template, &mut out, |group| match group {
                Reference::Number(n) => get(n),
                Reference::Name(name) => {
                    let named = self.names.iter().enumerate().filter(|(_, n)| n.as_deref() == Some(name));
                    named.into_iter().find_map(|(i, _)| get(i))
                }
            });
            from = span.end();
        }
        out.push_str(&text[from..]);
        out
    }
}
