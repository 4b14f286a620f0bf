//! Regular expressions as Prometheus means them: Go's RE2 syntax, anchored at both ends, `.` matches a newline.
//!
//! The pattern is read by [`parse`]; what needs no engine is matched without one ([`fast`]), the rest is compiled for regex-automata,
//! whose time is linear in the text like Go's. Groups cost an engine of their own, built when they are first asked for.

mod class;
mod escape;
mod expand;
mod fast;
mod parse;
mod search;
#[cfg(test)]
mod tests;

pub use parse::MAX_GROUP_DEPTH;
pub use search::Search;

use expand::Reference;
use fast::Fast;
use regex_automata::meta;
use regex_syntax::hir::{Hir, Look};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Memory the compiled form of one pattern may take; what needs more is refused as too large.
pub const MAX_COMPILED_BYTES: usize = 16 << 20;

/// The pattern of relabel rules that have none; its one group is all of the text.
const WHOLE: &str = "(.*)";

/// A compiled, anchored pattern. Cheap to clone.
#[derive(Clone)]
pub struct Regex {
    inner: Arc<Inner>,
}

struct Inner {
    pattern: String,
    matcher: Matcher,
    prefix: String,
    hir: Hir,
    names: Vec<Option<String>>,
    groups: OnceLock<Option<meta::Regex>>,
}

enum Matcher {
    Fast(Fast),
    /// The ends are cheap to look at first.
    Engine {
        prefix: String,
        suffix: String,
        engine: meta::Regex,
    },
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
        Regex::compile(pattern, pattern, true)
    }

    /// As relabel rules and `label_replace` compile theirs: put between `^(?s:` and `)$` first. This shows in error texts, and in
    /// patterns like `a)|(b`, which are well-formed only so, and `\Qa`, which is not.
    pub fn new_wrapped(pattern: &str) -> Result<Self, RegexError> {
        let wrapped = format!("^(?s:{pattern})$");
        parse::parse(&wrapped, false)?;
        Regex::compile(pattern, pattern, true).or_else(|_| Regex::compile(pattern, &wrapped, false))
    }

    fn compile(pattern: &str, text: &str, dot_newline: bool) -> Result<Self, RegexError> {
        let parse::Pattern { hir, names } = parse::parse(text, dot_newline)?;
        let plain = fast::without_captures(&hir);
        let (prefix, suffix) = fast::edges(&plain);
        let matcher = match Fast::of(&plain, memchr::memchr_iter(b'|', text.as_bytes()).count() + 1) {
            Some(fast) => Matcher::Fast(fast),
            None => Matcher::Engine {
                engine: engine(&anchored(plain), Some(MAX_COMPILED_BYTES)).ok_or_else(|| parse::error("expression too large", text))?,
                prefix: prefix.clone(),
                suffix,
            },
        };
        let groups = OnceLock::new();
        Ok(Regex { inner: Arc::new(Inner { pattern: pattern.to_string(), matcher, prefix, hir, names, groups }) })
    }

    /// As written, without the anchors.
    pub fn pattern(&self) -> &str {
        &self.inner.pattern
    }

    pub fn is_match(&self, s: &str) -> bool {
        match &self.inner.matcher {
            Matcher::Fast(fast) => fast.is_match(s),
            Matcher::Engine { prefix, suffix, engine } => s.starts_with(prefix.as_str()) && s.ends_with(suffix.as_str()) && engine.is_match(s),
        }
    }

    /// All strings the pattern matches, when these are few or listed (`a|b|c`): then postings can be looked up instead of filtered.
    /// No doubles; in the order of the pattern. The empty string may be among them, and then series without the label match too.
    pub fn literals(&self) -> Option<&[String]> {
        match &self.inner.matcher {
            Matcher::Fast(Fast::Literals(set)) => Some(&set.list),
            _ => None,
        }
    }

    /// Every match starts with this; empty when nothing is known.
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
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
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t, '_>> {
        let inner = &*self.inner;
        let names = &inner.names[..];
        let groups = if inner.pattern == WHOLE || inner.names.len() == 1 {
            self.is_match(text).then_some(Groups::Whole)
        } else if self.is_match(text) {
            let engine = inner.groups.get_or_init(|| engine(&anchored(inner.hir.clone()), None)).as_ref()?;
            let mut caps = engine.create_captures();
            engine.captures(text, &mut caps);
            caps.is_match().then_some(Groups::Found(caps))
        } else {
            None
        };
        groups.map(|groups| Captures { text, names, groups })
    }
}

fn anchored(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

/// None when it would take too much memory.
fn engine(hir: &Hir, limit: Option<usize>) -> Option<meta::Regex> {
    meta::Builder::new().configure(meta::Config::new().nfa_size_limit(limit)).build_from_hir(hir).ok()
}

/// The groups of one match.
#[derive(Debug)]
pub struct Captures<'t, 'r> {
    text: &'t str,
    names: &'r [Option<String>],
    groups: Groups,
}

#[derive(Debug)]
enum Groups {
    /// Every group there is holds all of the text.
    Whole,
    Found(regex_automata::util::captures::Captures),
}

impl<'t> Captures<'t, '_> {
    /// The text of a group; 0 is the whole match. None when the group does not exist or took no part.
    pub fn get(&self, group: usize) -> Option<&'t str> {
        match &self.groups {
            Groups::Whole => (group < self.names.len()).then_some(self.text),
            Groups::Found(caps) => caps.get_group(group).map(|span| &self.text[span.range()]),
        }
    }

    /// Of groups with the same name the first that took part.
    pub fn get_named(&self, name: &str) -> Option<&'t str> {
        let named = self.names.iter().enumerate().filter(|(_, n)| n.as_deref() == Some(name));
        named.into_iter().find_map(|(i, _)| self.get(i))
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
        write!(f, "Regex({:?})", self.inner.pattern)
    }
}
