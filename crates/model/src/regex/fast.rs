//! Patterns that need no engine: a set of strings, or fixed text between `.*` and `.+`. Most patterns of real queries are one of these.

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use std::collections::HashSet;

/// Strings a pattern may stand for, unless it lists more itself.
const MAX_LITERALS: usize = 256;

/// From here on a set is looked up instead of gone through.
const HASHED_FROM: usize = 16;

/// Alternatives with wildcards that are tried one after the other; with more the engine is faster.
const MAX_GLOBS: usize = 8;

#[derive(Clone)]
pub(super) enum Fast {
    /// `a|b|c`
    Literals(Literals),
    /// `a.*|.+b|.*c.*d`
    Globs(Vec<Glob>),
}

impl Fast {
    /// `listed`: how many alternatives the pattern spells out.
    pub fn of(hir: &Hir, listed: usize) -> Option<Fast> {
        let inner = without_anchors(hir)?;
        if let Some(strings) = literals(&inner, MAX_LITERALS.max(listed)) {
            return Some(Fast::Literals(Literals::new(strings)));
        }
        let globs: Option<Vec<Glob>> = match inner.kind() {
            HirKind::Alternation(branches) if branches.len() <= MAX_GLOBS => branches.iter().map(Glob::of).collect(),
            HirKind::Alternation(_) => None,
            _ => Glob::of(&inner).map(|g| vec![g]),
        };
        globs.map(Fast::Globs)
    }

    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Fast::Literals(set) => set.contains(text),
            Fast::Globs(globs) => globs.iter().any(|g| g.is_match(text)),
        }
    }
}

#[derive(Clone)]
pub(super) struct Literals {
    /// In the order of the pattern, without doubles.
    pub list: Vec<String>,
    hashed: Option<HashSet<String, foldhash::fast::FixedState>>,
}

impl Literals {
    fn new(strings: Vec<String>) -> Literals {
        let mut hashed = HashSet::with_capacity_and_hasher(strings.len(), foldhash::fast::FixedState::default());
        let list: Vec<String> = strings.into_iter().filter(|s| hashed.insert(s.clone())).collect();
        let hashed = (list.len() >= HASHED_FROM).then_some(hashed);
        Literals { list, hashed }
    }

    fn contains(&self, text: &str) -> bool {
        match &self.hashed {
            Some(set) => set.contains(text),
            None => self.list.iter().any(|s| s == text),
        }
    }
}

/// Fixed text with gaps: `prefix GAP part GAP part GAP suffix`.
#[derive(Clone)]
pub(super) struct Glob {
    prefix: String,
    /// Each is preceded by its gap.
    parts: Vec<(Gap, Finder<'static>)>,
    /// The gap before the suffix. Without one the prefix is all, and then the text is a literal.
    last_gap: Gap,
    suffix: String,
}

/// At least this many characters of any kind.
type Gap = usize;

impl Glob {
    /// A concatenation of literals, `.*` and `.+` with at least one of the latter.
    fn of(hir: &Hir) -> Option<Glob> {
        let pieces = match hir.kind() {
            HirKind::Concat(pieces) => &pieces[..],
            _ => std::slice::from_ref(hir),
        };
        let mut texts = vec![String::new()];
        let mut gaps: Vec<Gap> = Vec::new();
        let mut behind_gap = false;
        for piece in pieces {
            match piece.kind() {
                HirKind::Literal(l) => {
                    texts.last_mut()?.push_str(std::str::from_utf8(&l.0).ok()?);
                    behind_gap = false;
                }
                HirKind::Empty => {}
                HirKind::Repetition(r) if r.max.is_none() && r.min <= 1 && is_any(&r.sub) => {
                    if behind_gap {
                        *gaps.last_mut()? += r.min as usize;
                    } else {
                        gaps.push(r.min as usize);
                        texts.push(String::new());
                    }
                    behind_gap = true;
                }
                _ => return None,
            }
        }
        let last_gap = gaps.pop()?;
        let suffix = texts.pop()?;
        let mut texts = texts.into_iter();
        let prefix = texts.next()?;
        let parts = gaps.into_iter().zip(texts.map(|t| Finder::new(t.as_bytes()).into_owned())).collect();
        Some(Glob { prefix, parts, last_gap, suffix })
    }

    fn is_match(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(self.prefix.as_str()) else { return false };
        for (gap, part) in &self.parts {
            // The first place is as good as any: what is left is only longer.
            let Some(behind) = skip(rest, *gap) else { return false };
            let Some(at) = part.find(behind.as_bytes()) else { return false };
            rest = &behind[at + part.needle().len()..];
        }
        match skip(rest, self.last_gap) {
            Some(behind) => behind.ends_with(self.suffix.as_str()),
            None => false,
        }
    }
}

/// What follows the first `chars` characters.
fn skip(text: &str, chars: usize) -> Option<&str> {
    let mut rest = text.chars();
    for _ in 0..chars {
        rest.next()?;
    }
    Some(rest.as_str())
}

/// Every character, the newline too?
fn is_any(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        _ => false,
    }
}

/// The tree without what capturing groups add.
pub(super) fn without_captures(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Capture(c) => without_captures(&c.sub),
        HirKind::Concat(subs) => Hir::concat(subs.iter().map(without_captures).collect()),
        HirKind::Alternation(subs) => Hir::alternation(subs.iter().map(without_captures).collect()),
        HirKind::Repetition(r) => Hir::repetition(r.with(without_captures(&r.sub))),
        _ => hir.clone(),
    }
}

/// The pattern is anchored anyway: `^` at its start and `$` at its end say nothing. None when one stands elsewhere.
fn without_anchors(hir: &Hir) -> Option<Hir> {
    let mut pieces = match hir.kind() {
        HirKind::Concat(pieces) => pieces.clone(),
        _ => vec![hir.clone()],
    };
    let is = |h: &Hir, look: Look| *h.kind() == HirKind::Look(look);
    let start = pieces.iter().take_while(|h| is(h, Look::Start)).count();
    pieces.drain(..start);
    while pieces.last().is_some_and(|h| is(h, Look::End)) {
        pieces.pop();
    }
    let inner = Hir::concat(pieces);
    inner.properties().look_set().is_empty().then_some(inner)
}

/// All strings of the tree, if these are at most `limit`.
fn literals(hir: &Hir, limit: usize) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(l) => Some(vec![std::str::from_utf8(&l.0).ok()?.to_string()]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|r| r.len()).sum();
            if count == 0 || count > limit {
                return None;
            }
            Some(class.ranges().iter().flat_map(|r| r.start()..=r.end()).map(String::from).collect())
        }
        HirKind::Alternation(subs) => {
            let mut all = Vec::new();
            for sub in subs {
                all.extend(literals(sub, limit)?);
                if all.len() > limit {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(subs) => {
            let mut all = vec![String::new()];
            for sub in subs {
                let tails = literals(sub, limit)?;
                if all.len() * tails.len() > limit {
                    return None;
                }
                all = all.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect();
            }
            Some(all)
        }
        HirKind::Repetition(r) if (r.min, r.max) == (0, Some(1)) => {
            let mut all = literals(&r.sub, limit)?;
            all.push(String::new());
            (all.len() <= limit).then_some(all)
        }
        _ => None,
    }
}

/// What every match starts with and ends with.
pub(super) fn edges(hir: &Hir) -> (String, String) {
    let Some(inner) = without_anchors(hir) else { return Default::default() };
    let pieces = match inner.kind() {
        HirKind::Concat(pieces) => &pieces[..],
        _ => std::slice::from_ref(&inner),
    };
    let text = |h: Option<&Hir>| match h.map(Hir::kind) {
        Some(HirKind::Literal(l)) => String::from_utf8(l.0.to_vec()).unwrap_or_default(),
        _ => String::new(),
    };
    (text(pieces.first()), text(pieces.last()))
}
