//! The text format, versions 0.0.4 and 1.0.0 (which adds quoted names inside the braces).
//!
//! A sample's line is split at its last closing brace: what stands before names the series, what stands behind is value and time, and neither of
//! those can hold a brace. Whether the part before is well-formed is looked at in [`TextParser::labels`], which a caller runs once for each
//! raw series it does not know. Should that find that the series ends elsewhere (a label value with a line break in it), the entry moves.

use super::error::{Fault, ParseError, quote_bytes};
use super::label_buf::LabelBuf;
use super::lex::{self, Dialect, FamilyContext, Spans, name_end, skip_blanks, string_end};
use super::number::{parse_float, parse_millis};
use super::{Entry, ParserOptions};
use memchr::{memchr, memrchr};
use model::MetricType;
use std::borrow::Cow;
use std::ops::Range;

pub(super) struct TextParser<'a> {
    b: &'a [u8],
    /// Start of the current entry, and of the next one.
    start: usize,
    at: usize,
    raw: Range<usize>,
    value: f64,
    t_ms: Option<i64>,
    name: Range<usize>,
    text: Range<usize>,
    kind: MetricType,
    /// A TYPE line that was stepped over, which says more than `kind`.
    skipped: Option<usize>,
    spans: Spans,
    type_and_unit: bool,
}

impl<'a> TextParser<'a> {
    pub fn new(b: &'a [u8], options: ParserOptions) -> Self {
        TextParser {
            b,
            start: 0,
            at: 0,
            raw: 0..0,
            value: 0.0,
            t_ms: None,
            name: 0..0,
            text: 0..0,
            kind: MetricType::Unknown,
            skipped: None,
            spans: Spans::default(),
            type_and_unit: options.type_and_unit_labels,
        }
    }

    pub fn next(&mut self) -> Result<Option<Entry>, ParseError> {
        while let Some(c) = self.b.get(self.at) {
            match c {
                b'\n' | b' ' | b'\t' => self.at += 1,
                _ => {
                    self.start = self.at;
                    let entry = if *c == b'#' { self.comment() } else { self.sample() };
                    return match entry {
                        Ok(e) => Ok(Some(e)),
                        Err(fault) => Err(fault.place(self.b, self.start)),
                    };
                }
            }
        }
        Ok(None)
    }

    #[inline]
    pub fn next_if(&mut self, raw: &[u8]) -> bool {
        let (start, end) = (self.at, self.at + raw.len());
        if self.b.len() <= end || &self.b[start..end] != raw || !matches!(self.b[end], b' ' | b'\t') {
            return false;
        }
        let Ok(next) = self.tail(end) else { return false };
        (self.start, self.raw, self.at) = (start, start..end, next);
        true
    }

    #[inline]
    pub fn skip_if(&mut self, line: &[u8]) -> bool {
        let hit = !line.is_empty() && self.b[self.at..].starts_with(line);
        self.at += if hit { line.len() } else { 0 };
        hit
    }

    /// The same for the line of a TYPE entry; it is read when somebody wants to know.
    #[inline]
    pub fn skip_type_if(&mut self, line: &[u8]) -> bool {
        let start = self.at;
        let hit = self.skip_if(line);
        if hit {
            self.skipped = Some(start);
        }
        hit
    }

    /// Reads the TYPE line that was stepped over last, if there is one that matters.
    fn catch_up(&mut self) -> Result<(), Fault> {
        let Some(line) = self.skipped.take() else { return Ok(()) };
        let here = (self.start, self.at, self.name.clone(), self.text.clone());
        self.start = line;
        let read = self.comment();
        (self.start, self.at, self.name, self.text) = here;
        read.map(|_| ())
    }

    pub fn line(&self) -> &'a [u8] {
        &self.b[self.start..self.at]
    }

    fn sample(&mut self) -> Result<Entry, Fault> {
        let end = memchr(b'\n', &self.b[self.at..]).map_or(self.b.len(), |n| self.at + n);
        let line = &self.b[self.at..end];
        let raw_len = match memrchr(b'}', line) {
            Some(n) => Some(n + 1),
            None => line.iter().position(|c| matches!(c, b' ' | b'\t' | b'{')).filter(|n| line[*n] != b'{' && *n > 0),
        };
        if let Some(n) = raw_len
            && let Ok(next) = self.tail(self.at + n)
        {
            (self.raw, self.at) = (self.start..self.start + n, next);
            return Ok(Entry::Series);
        }
        // Something is unusual: from the start, token by token, for its own sake or for the error.
        self.whole()?;
        Ok(Entry::Series)
    }

    /// Reads the current sample with every check.
    fn whole(&mut self) -> Result<(), Fault> {
        let end = lex::series(self.b, self.start, Dialect::Text, &mut self.spans)?;
        let next = self.tail(end)?;
        (self.raw, self.at) = (self.start..end, next);
        Ok(())
    }

    /// Value and time behind a series; returns the start of the next line.
    #[inline]
    fn tail(&mut self, end: usize) -> Result<usize, Fault> {
        let b = self.b;
        let token = |at: usize| at + b[at..].iter().position(|c| matches!(c, b' ' | b'\t' | b'\n')).unwrap_or(b.len() - at);
        let v = skip_blanks(b, end);
        let v_end = token(v);
        if v == v_end {
            return Err(Fault::expected("value after metric", b, v));
        }
        let Some(value) = parse_float(&b[v..v_end]) else {
            return Err(Fault::new(v, format!("invalid value {}", quote_bytes(&b[v..v_end]))));
        };
        self.value = value;
        let t = skip_blanks(b, v_end);
        if matches!(b.get(t), None | Some(b'\n')) {
            self.t_ms = None;
            return Ok((t + 1).min(b.len()));
        }
        let t_end = token(t);
        let t_ms = parse_millis(&b[t..t_end]).ok_or_else(|| Fault::new(t, format!("invalid timestamp {}", quote_bytes(&b[t..t_end]))))?;
        let after = skip_blanks(b, t_end);
        if !matches!(b.get(after), None | Some(b'\n')) {
            return Err(Fault::expected("next entry after timestamp", b, after));
        }
        self.t_ms = Some(t_ms);
        Ok((after + 1).min(b.len()))
    }

    fn comment(&mut self) -> Result<Entry, Fault> {
        let b = self.b;
        let end = memchr(b'\n', &b[self.start..]).map_or(b.len(), |n| self.start + n);
        let line = &b[..end];
        self.at = (end + 1).min(b.len());
        self.text = self.start..end;
        let word = skip_blanks(line, self.start + 1);
        let entry = match line.get(word..word + 5) {
            Some([b'H', b'E', b'L', b'P', b' ' | b'\t']) if word > self.start + 1 => Entry::Help,
            Some([b'T', b'Y', b'P', b'E', b' ' | b'\t']) if word > self.start + 1 => Entry::Type,
            _ => return Ok(Entry::Comment),
        };
        let name = skip_blanks(line, word + 5);
        let name_end = match line.get(name) {
            Some(b'"') => string_end(line, name).unwrap_or(name),
            _ => name_end(line, name, true),
        };
        if name_end == name {
            return Err(Fault::expected(if entry == Entry::Help { "metric name after HELP" } else { "metric name after TYPE" }, line, name));
        }
        self.name = if b[name] == b'"' { name + 1..name_end - 1 } else { name..name_end };
        self.text = (name_end + 1).min(end)..end;
        let text = &b[self.text.clone()];
        if std::str::from_utf8(&b[self.name.clone()]).is_err() {
            return Err(Fault::new(name, "metric name is not valid UTF-8"));
        }
        if entry == Entry::Help {
            if std::str::from_utf8(text).is_err() {
                return Err(Fault::new(self.text.start, format!("help text {} is not a valid utf8 string", quote_bytes(text))));
            }
            return Ok(entry);
        }
        self.skipped = None;
        self.kind = match text {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"summary" => MetricType::Summary,
            b"untyped" => MetricType::Unknown,
            _ => return Err(Fault::new(self.text.start, format!("invalid metric type {}", quote_bytes(text)))),
        };
        Ok(entry)
    }

    pub fn labels(&mut self, out: &mut LabelBuf) -> Result<(), ParseError> {
        self.catch_up().map_err(|f| f.place(self.b, self.start))?;
        let family = FamilyContext { kind: self.kind, unit: "", add_type_and_unit: self.type_and_unit };
        self.whole().and_then(|()| lex::fill(self.b, &self.spans, family, out)).map_err(|f| f.place(self.b, self.start))
    }

    #[inline]
    pub fn raw(&self) -> &[u8] {
        &self.b[self.raw.clone()]
    }

    #[inline]
    pub fn value(&self) -> f64 {
        self.value
    }

    #[inline]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.t_ms
    }

    pub fn meta_name(&self) -> Cow<'_, str> {
        unescaped(&self.b[self.name.clone()], true)
    }

    pub fn meta_text(&self) -> Cow<'_, str> {
        unescaped(&self.b[self.text.clone()], false)
    }

    /// Of a TYPE entry that is the current one.
    pub fn meta_type(&self) -> MetricType {
        self.kind
    }

    pub fn offset(&self) -> usize {
        self.at
    }
}

/// `quotes`: is `\"` an escape here?
pub(super) fn unescaped(b: &[u8], quotes: bool) -> Cow<'_, str> {
    let s = String::from_utf8_lossy(b);
    if memchr(b'\\', b).is_none() {
        return s;
    }
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\\')) => out.push('\\'),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('"')) if quotes => out.push('"'),
            _ => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    Cow::Owned(out)
}
