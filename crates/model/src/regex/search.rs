//! A pattern that may match anywhere in a text, for templates' `match` and `reReplaceAll`. As Go's regexp, `.` does not match a newline here.

use super::RegexError;
use regex_automata::meta;

#[derive(Clone, Debug)]
pub struct Search {
    inner: meta::Regex,
}

impl Search {
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let inner = meta::Regex::new(pattern).map_err(|e| RegexError { message: format!("error parsing regexp: {e}") })?;
        Ok(Search { inner })
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
            super::expand::expand(template, &mut out, |group| match group {
                super::expand::Reference::Number(n) => caps.get_group(n).map(|s| &text[s.start..s.end]),
                super::expand::Reference::Name(name) => caps.get_group_by_name(name).map(|s| &text[s.start..s.end]),
            });
            from = span.end();
        }
        out.push_str(&text[from..]);
        out
    }
}
