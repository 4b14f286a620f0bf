//! The syntax of RE2 as Go's regexp package reads it, to the tree that the engine compiles; errors in Go's words.
//!
//! The engine's own syntax is a different dialect (Unicode `\d`, nested classes, `{` must be escaped, no `\Q..\E`, octal, ...), so only
//! its tree is used. Limits are Go's, except that groups nest less deep, for the engine recurses over its tree.

use super::RegexError;
use super::class;
use super::escape::{char_escape, class_char, code_points};
use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Look, Repetition};

/// Copies of one part that repetitions may ask for, nested ones multiplied.
const MAX_REPEAT: u64 = 1000;

/// How deep groups may nest.
pub const MAX_GROUP_DEPTH: usize = 250;

/// A pattern read.
pub(super) struct Pattern {
    pub hir: Hir,
    /// By group number; 0, the whole match, has none.
    pub names: Vec<Option<String>>,
}

pub(super) fn error(what: &str, part: &str) -> RegexError {
    RegexError { message: format!("error parsing regexp: {what}: `{part}`") }
}

const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const INVALID_REPEAT: &str = "invalid repeat count";
const INVALID_RANGE: &str = "invalid character class range";
pub(super) const INVALID_ESCAPE: &str = "invalid escape sequence";
const INVALID_CAPTURE: &str = "invalid named capture";

#[derive(Clone, Copy)]
struct Flags {
    fold: bool,
    /// `^` and `$` match at lines.
    lines: bool,
    dot_newline: bool,
    ungreedy: bool,
}

/// One part, and the product of the repetitions it contains.
struct Part {
    hir: Hir,
    copies: u64,
}

/// A group that is open, the whole pattern first.
struct Group {
    /// Number when it captures.
    capture: Option<u32>,
    /// To be restored behind it.
    flags: Flags,
    alternatives: Vec<Hir>,
    copies: u64,
    parts: Vec<Part>,
}

impl Group {
    fn new(capture: Option<u32>, flags: Flags) -> Group {
        Group { capture, flags, alternatives: Vec::new(), copies: 1, parts: Vec::new() }
    }

    fn end_alternative(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        self.copies = parts.iter().map(|p| p.copies).fold(self.copies, u64::max);
        self.alternatives.push(Hir::concat(parts.into_iter().map(|p| p.hir).collect()));
    }

    fn finish(mut self) -> Part {
        self.end_alternative();
        let hir = Hir::alternation(self.alternatives);
        let hir = match self.capture {
            Some(index) => Hir::capture(Capture { index, name: None, sub: Box::new(hir) }),
            None => hir,
        };
        Part { hir, copies: self.copies }
    }
}

struct Parser<'a> {
    whole: &'a str,
    flags: Flags,
    names: Vec<Option<String>>,
    outer: Vec<Group>,
    group: Group,
}

/// `dot_newline`: `.` matches a newline from the start.
pub(super) fn parse(text: &str, dot_newline: bool) -> Result<Pattern, RegexError> {
    let flags = Flags { fold: false, lines: false, dot_newline, ungreedy: false };
    let mut p = Parser { whole: text, flags, names: vec![None], outer: Vec::new(), group: Group::new(None, flags) };
    let mut rest = text;
    // The repetition just read, from its operator on: another one may not follow.
    let mut last_repeat = None;
    while let Some(c) = rest.chars().next() {
        let mut repeat = None;
        let after = &rest[c.len_utf8()..];
        match c {
            '(' => rest = p.open(rest)?,
            ')' => {
                p.close()?;
                rest = after;
            }
            '|' => {
                p.group.end_alternative();
                rest = after;
            }
            '^' => {
                p.push(Hir::look(if p.flags.lines { Look::StartLF } else { Look::Start }));
                rest = after;
            }
            '$' => {
                p.push(Hir::look(if p.flags.lines { Look::EndLF } else { Look::End }));
                rest = after;
            }
            '.' => {
                p.push(Hir::dot(if p.flags.dot_newline { Dot::AnyChar } else { Dot::AnyCharExceptLF }));
                rest = after;
            }
            '[' => rest = p.class(rest)?,
            '*' | '+' | '?' => {
                let (min, max) = match c {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                repeat = Some(rest);
                rest = p.repeat(min, max, false, rest, after, last_repeat)?;
            }
            '{' => match counts(after) {
                None => {
                    p.literal('{');
                    rest = after;
                }
                Some((counts, after)) => {
                    let written = &rest[..rest.len() - after.len()];
                    let (min, max) = counts.ok_or_else(|| error(INVALID_REPEAT, written))?;
                    repeat = Some(rest);
                    rest = p.repeat(min, max, true, rest, after, last_repeat)?;
                }
            },
            '\\' => rest = p.escape(rest)?,
            c => {
                p.literal(c);
                rest = after;
            }
        }
        last_repeat = repeat;
    }
    if !p.outer.is_empty() {
        return Err(error("missing closing )", text));
    }
    Ok(Pattern { hir: p.group.finish().hir, names: p.names })
}

/// What stands in `{...}`, and what follows it. Outer None: no repetition, `{` is a literal. Inner None: numbers out of range.
fn counts(text: &str) -> Option<(Option<(u32, Option<u32>)>, &str)> {
    let (min, rest) = number(text)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    let rest = rest.strip_prefix('}')?;
    let ok = u64::from(min) <= MAX_REPEAT && max.is_none_or(|max| min <= max && u64::from(max) <= MAX_REPEAT);
    Some((ok.then_some((min, max)), rest))
}

/// Digits without leading zeros; too large a number is just large.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(digits);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

impl Parser<'_> {
    fn push(&mut self, hir: Hir) {
        self.group.parts.push(Part { hir, copies: 1 });
    }

    fn literal(&mut self, c: char) {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        if self.flags.fold {
            class.case_fold_simple();
        }
        self.push(Hir::class(Class::Unicode(class)));
    }

    /// Repeats the last part. `before` starts at the operator, `after` behind it; a `?` there turns greed around.
    fn repeat<'t>(
        &mut self,
        min: u32,
        max: Option<u32>,
        counted: bool,
        before: &'t str,
        mut after: &'t str,
        last_repeat: Option<&str>,
    ) -> Result<&'t str, RegexError> {
        let mut greedy = !self.flags.ungreedy;
        if let Some(rest) = after.strip_prefix('?') {
            after = rest;
            greedy = !greedy;
        }
        if let Some(last) = last_repeat {
            return Err(error("invalid nested repetition operator", &last[..last.len() - after.len()]));
        }
        let written = &before[..before.len() - after.len()];
        let Some(part) = self.group.parts.last_mut() else { return Err(error(MISSING_ARGUMENT, written)) };
        if counted {
            // Nothing is left of what is repeated 0 times.
            let times = max.unwrap_or(min);
            part.copies = if max == Some(0) { 1 } else { part.copies.saturating_mul(u64::from(times.max(1))) };
            if part.copies > MAX_REPEAT && (min >= 2 || times >= 2) {
                return Err(error(INVALID_REPEAT, written));
            }
        }
        let sub = Box::new(std::mem::replace(&mut part.hir, Hir::empty()));
        part.hir = Hir::repetition(Repetition { min, max, greedy, sub });
        Ok(after)
    }

    fn open<'t>(&mut self, text: &'t str) -> Result<&'t str, RegexError> {
        let after = match text.strip_prefix("(?") {
            None => {
                self.names.push(None);
                self.enter(Some(self.names.len() as u32 - 1));
                &text[1..]
            }
            Some(flags) => match flags.strip_prefix("P<").or(flags.strip_prefix('<')) {
                Some(name) => self.open_named(text, name)?,
                None => self.open_flags(text, flags)?,
            },
        };
        if self.outer.len() > MAX_GROUP_DEPTH {
            return Err(error("expression nests too deeply", self.whole));
        }
        Ok(after)
    }

    fn enter(&mut self, capture: Option<u32>) {
        let group = Group::new(capture, self.flags);
        self.outer.push(std::mem::replace(&mut self.group, group));
    }

    fn open_named<'t>(&mut self, text: &str, name: &'t str) -> Result<&'t str, RegexError> {
        let (name, after) = name.split_once('>').ok_or_else(|| error(INVALID_CAPTURE, text))?;
        if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return Err(error(INVALID_CAPTURE, &text[..text.len() - after.len()]));
        }
        self.names.push(Some(name.to_string()));
        self.enter(Some(self.names.len() as u32 - 1));
        Ok(after)
    }

    /// `(?flags)` or `(?flags:`; `flags` is what follows the question mark.
    fn open_flags<'t>(&mut self, text: &str, flags: &'t str) -> Result<&'t str, RegexError> {
        let mut new = self.flags;
        let mut on = true;
        let mut seen = false;
        let mut chars = flags.chars();
        for c in chars.by_ref() {
            match c {
                'i' => new.fold = on,
                'm' => new.lines = on,
                's' => new.dot_newline = on,
                'U' => new.ungreedy = on,
                '-' if on => {
                    on = false;
                    seen = false;
                    continue;
                }
                ':' | ')' if on || seen => {
                    if c == ':' {
                        self.enter(None);
                    }
                    self.flags = new;
                    return Ok(chars.as_str());
                }
                _ => break,
            }
            seen = true;
        }
        Err(error("invalid or unsupported Perl syntax", &text[..text.len() - chars.as_str().len()]))
    }

    fn close(&mut self) -> Result<(), RegexError> {
        let Some(outer) = self.outer.pop() else { return Err(error("unexpected )", self.whole)) };
        let group = std::mem::replace(&mut self.group, outer);
        self.flags = group.flags;
        let part = group.finish();
        self.group.parts.push(part);
        Ok(())
    }

    /// An escape outside of classes.
    fn escape<'t>(&mut self, text: &'t str) -> Result<&'t str, RegexError> {
        let after = text.get(2..).unwrap_or("");
        match text.as_bytes().get(1) {
            Some(b'A') => self.push(Hir::look(Look::Start)),
            Some(b'z') => self.push(Hir::look(Look::End)),
            Some(b'b') => self.push(Hir::look(Look::WordAscii)),
            Some(b'B') => self.push(Hir::look(Look::WordAsciiNegate)),
            Some(b'C') => return Err(error(INVALID_ESCAPE, "\\C")),
            Some(b'Q') => {
                let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
                literal.chars().for_each(|c| self.literal(c));
                return Ok(after);
            }
            _ => {
                if let Some((class, after)) = self.class_escape(text)? {
                    self.push(Hir::class(Class::Unicode(class)));
                    return Ok(after);
                }
                let (c, after) = char_escape(text)?;
                match c {
                    Some(c) => self.literal(c),
                    None => self.push(Hir::fail()),
                }
                return Ok(after);
            }
        }
        Ok(after)
    }

    /// `\d`, `\pL`, `\p{^Greek}`, ... at the start of `text`.
    fn class_escape<'t>(&self, text: &'t str) -> Result<Option<(ClassUnicode, &'t str)>, RegexError> {
        let mut chars = text.chars();
        if chars.next() != Some('\\') {
            return Ok(None);
        }
        match chars.next() {
            Some(letter @ ('p' | 'P')) => self.unicode_class(text, letter == 'P').map(Some),
            Some(letter) => Ok(class::perl(letter, self.flags.fold).map(|c| (c, chars.as_str()))),
            None => Ok(None),
        }
    }

    fn unicode_class<'t>(&self, text: &'t str, negated: bool) -> Result<(ClassUnicode, &'t str), RegexError> {
        let end = match text[2..].chars().next() {
            Some('{') => text.find('}').ok_or_else(|| error(INVALID_RANGE, text))? + 1,
            Some(c) => 2 + c.len_utf8(),
            None => return Err(error(INVALID_RANGE, text)),
        };
        let (written, after) = text.split_at(end);
        let name = &written[2..];
        let name = name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).unwrap_or(name);
        let (name, negated) = name.strip_prefix('^').map_or((name, negated), |name| (name, !negated));
        let class = class::unicode(name, negated, self.flags.fold).ok_or_else(|| error(INVALID_RANGE, written))?;
        Ok((class, after))
    }

    /// `[...]`
    fn class<'t>(&mut self, whole: &'t str) -> Result<&'t str, RegexError> {
        let mut rest = &whole[1..];
        let negated = rest.starts_with('^');
        rest = &rest[usize::from(negated)..];
        let mut class = ClassUnicode::empty();
        let mut first = true;
        while first || !rest.starts_with(']') {
            first = false;
            if let Some((part, after)) = self.posix_class(rest)? {
                class.union(&part);
                rest = after;
                continue;
            }
            if let Some((part, after)) = self.class_escape(rest)? {
                class.union(&part);
                rest = after;
                continue;
            }
            let from = rest;
            let (low, after) = class_char(rest, whole)?;
            rest = after;
            let mut high = low;
            // A minus at the end stands for itself.
            if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
                (high, rest) = class_char(&rest[1..], whole)?;
                if high < low {
                    return Err(error(INVALID_RANGE, &from[..from.len() - rest.len()]));
                }
            }
            let mut range = code_points(low, high);
            if self.flags.fold {
                range.case_fold_simple();
            }
            class.union(&range);
        }
        if negated {
            class.negate();
        }
        self.push(Hir::class(Class::Unicode(class)));
        Ok(&rest[1..])
    }

    /// `[:alpha:]` at the start of `text`.
    fn posix_class<'t>(&self, text: &'t str) -> Result<Option<(ClassUnicode, &'t str)>, RegexError> {
        let Some(inner) = text.strip_prefix("[:") else { return Ok(None) };
        let Some((name, after)) = inner.split_once(":]") else { return Ok(None) };
        let class = class::posix(name, self.flags.fold);
        let class = class.ok_or_else(|| error(INVALID_RANGE, &text[..text.len() - after.len()]))?;
        Ok(Some((class, after)))
    }
}
