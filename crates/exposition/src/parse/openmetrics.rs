//! OpenMetrics text, versions 0.0.1 and 1.0.0: stricter than the text format (single blanks, no empty lines, `# EOF` at the end), with units,
//! exemplars, and times in seconds.
//!
//! Splits lines as the text parser does, see there; a line with a `#` in it is read token by token, as it may carry an exemplar.

use super::error::{Fault, ParseError, quote_bytes};
use super::label_buf::LabelBuf;
use super::lex::{self, Dialect, FamilyContext, Spans, name_end, string_end};
use super::number::{parse_float, parse_seconds};
use super::text::unescaped;
use super::{Entry, ParserOptions};
use memchr::{memchr, memrchr};
use model::name::{BUCKET_LABEL, QUANTILE_LABEL};
use model::{Exemplar, MetricType};
use std::borrow::Cow;
use std::ops::Range;

const CREATED: &[u8] = b"_created";

pub(super) struct OpenMetricsParser<'a> {
    b: &'a [u8],
    start: usize,
    at: usize,
    raw: Range<usize>,
    value: f64,
    t_ms: Option<i64>,
    name: Range<usize>,
    text: Range<usize>,
    kind: MetricType,
    unit: String,
    spans: Spans,
    exemplar: Option<ExemplarPlace>,
    exemplar_spans: Spans,
    /// The series that was looked ahead for last, and what was found.
    created: Option<(Vec<u8>, Option<i64>)>,
    options: ParserOptions,
}

#[derive(Clone, Copy)]
struct ExemplarPlace {
    value: f64,
    t_ms: Option<i64>,
}

fn has_start(kind: MetricType) -> bool {
    matches!(kind, MetricType::Counter | MetricType::Histogram | MetricType::Summary)
}

impl<'a> OpenMetricsParser<'a> {
    pub fn new(b: &'a [u8], options: ParserOptions) -> Self {
        OpenMetricsParser {
            b,
            start: 0,
            at: 0,
            raw: 0..0,
            value: 0.0,
            t_ms: None,
            name: 0..0,
            text: 0..0,
            kind: MetricType::Unknown,
            unit: String::new(),
            spans: Spans::default(),
            exemplar: None,
            exemplar_spans: Spans::default(),
            created: None,
            options,
        }
    }

    pub fn next(&mut self) -> Result<Option<Entry>, ParseError> {
        loop {
            self.start = self.at;
            let entry = match self.b.get(self.at) {
                None => Err(Fault::new(self.at, "data does not end with # EOF")),
                Some(b'#') => self.comment(),
                Some(_) => self.sample().map(|()| Some(Entry::Series)),
            };
            match entry {
                Ok(Some(Entry::Series)) if self.options.skip_created_series && self.is_created() => {}
                Ok(e) => return Ok(e),
                Err(fault) => return Err(fault.place(self.b, self.start)),
            }
        }
    }

    #[inline]
    pub fn next_if(&mut self, raw: &[u8]) -> bool {
        let (start, end) = (self.at, self.at + raw.len());
        if self.b.len() <= end || &self.b[start..end] != raw || self.b[end] != b' ' {
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

    pub fn line(&self) -> &'a [u8] {
        &self.b[self.start..self.at]
    }

    fn sample(&mut self) -> Result<(), Fault> {
        let Some(n) = memchr(b'\n', &self.b[self.at..]) else { return self.whole() };
        let line = &self.b[self.at..self.at + n];
        let raw_len = match memrchr(b'}', line) {
            _ if memchr(b'#', line).is_some() => None,
            Some(n) => Some(n + 1),
            None => line.iter().position(|c| matches!(c, b' ' | b'{')).filter(|n| line[*n] != b'{' && *n > 0),
        };
        if let Some(n) = raw_len
            && let Ok(next) = self.tail(self.at + n)
        {
            (self.raw, self.at) = (self.start..self.start + n, next);
            return Ok(());
        }
        self.whole()
    }

    fn whole(&mut self) -> Result<(), Fault> {
        let end = lex::series(self.b, self.start, Dialect::OpenMetrics, &mut self.spans)?;
        let next = self.tail(end)?;
        (self.raw, self.at) = (self.start..end, next);
        Ok(())
    }

    /// One blank and a word.
    #[inline]
    fn word(&self, at: usize, what: &str) -> Result<Range<usize>, Fault> {
        let b = self.b;
        if at >= b.len() {
            return Err(Fault::new(at, "data does not end with # EOF"));
        }
        if b[at] != b' ' {
            return Err(Fault::expected(what, b, at));
        }
        let len = b[at + 1..].iter().position(|c| matches!(c, b' ' | b'\n')).unwrap_or(b.len() - at - 1);
        if len == 0 {
            return Err(Fault::expected(what, b, at + 1));
        }
        Ok(at + 1..at + 1 + len)
    }

    fn float(&self, at: &Range<usize>) -> Result<f64, Fault> {
        let text = &self.b[at.clone()];
        parse_float(text).ok_or_else(|| Fault::new(at.start, format!("invalid value {}", quote_bytes(text))))
    }

    fn time(&self, at: &Range<usize>, what: &str) -> Result<i64, Fault> {
        let text = &self.b[at.clone()];
        parse_seconds(text).ok_or_else(|| Fault::new(at.start, format!("invalid {what} {}", quote_bytes(text))))
    }

    /// Value, time and exemplar behind a series; returns the start of the next line.
    #[inline]
    fn tail(&mut self, end: usize) -> Result<usize, Fault> {
        let v = self.word(end, "value after metric")?;
        self.value = self.float(&v)?;
        self.t_ms = None;
        self.exemplar = None;
        let mut at = v.end;
        if self.b.get(at) == Some(&b'\n') {
            return Ok(at + 1);
        }
        if !self.b[at..].starts_with(b" #") {
            let t = self.word(at, "timestamp")?;
            self.t_ms = Some(self.time(&t, "timestamp")?);
            at = t.end;
        }
        if self.b[at..].starts_with(b" # {") {
            return self.exemplar_at(at + 4);
        }
        self.line_end(at, "next entry after timestamp")
    }

    fn line_end(&self, at: usize, what: &str) -> Result<usize, Fault> {
        match self.b.get(at) {
            Some(b'\n') => Ok(at + 1),
            None => Err(Fault::new(at, "data does not end with # EOF")),
            Some(_) => Err(Fault::expected(what, self.b, at)),
        }
    }

    fn exemplar_at(&mut self, labels: usize) -> Result<usize, Fault> {
        self.exemplar_spans.clear();
        let end = lex::labels(self.b, labels, Dialect::Exemplar, &mut self.exemplar_spans)?;
        let v = self.word(end, "value after exemplar labels")?;
        let value = self.float(&v)?;
        let (mut at, mut t_ms) = (v.end, None);
        if self.b.get(at) == Some(&b' ') {
            let t = self.word(at, "exemplar timestamp")?;
            t_ms = Some(self.time(&t, "exemplar timestamp")?);
            at = t.end;
        }
        self.exemplar = Some(ExemplarPlace { value, t_ms });
        self.line_end(at, "next entry after exemplar timestamp")
    }

    /// A line that begins with `#`. None for the end of the page.
    fn comment(&mut self) -> Result<Option<Entry>, Fault> {
        let b = self.b;
        let at = self.start;
        let rest = &b[at..];
        if rest.starts_with(b"# EOF") {
            let end = at + 5 + usize::from(rest.get(5) == Some(&b'\n'));
            if end < b.len() {
                return Err(Fault::new(end, "unexpected data after # EOF"));
            }
            self.at = end;
            return Ok(None);
        }
        let entry = match rest.get(..7) {
            Some(b"# HELP ") => Entry::Help,
            Some(b"# TYPE ") => Entry::Type,
            Some(b"# UNIT ") => Entry::Unit,
            _ => return Err(Fault::expected("a valid start token", b, at)),
        };
        let name = at + 7;
        let name_end = match b.get(name) {
            Some(b'"') => string_end(b, name).unwrap_or(name),
            _ => name_end(b, name, true),
        };
        if name_end == name {
            return Err(Fault::expected("metric name after HELP, TYPE or UNIT", b, name));
        }
        let end = memchr(b'\n', &b[name_end..]).map(|n| name_end + n).ok_or_else(|| Fault::new(b.len(), "data does not end with # EOF"))?;
        if b.get(name_end) != Some(&b' ') {
            return Err(Fault::expected("text behind the metric name", b, name_end));
        }
        self.name = if b[name] == b'"' { name + 1..name_end - 1 } else { name..name_end };
        self.text = name_end + 1..end;
        self.at = end + 1;
        if std::str::from_utf8(&b[self.name.clone()]).is_err() {
            return Err(Fault::new(name, "metric name is not valid UTF-8"));
        }
        let text = &b[self.text.clone()];
        let valid = std::str::from_utf8(text);
        match entry {
            Entry::Type => {
                let kind = valid.ok().filter(|s| *s != "untyped").and_then(MetricType::parse);
                self.kind = kind.ok_or_else(|| Fault::new(self.text.start, format!("invalid metric type {}", quote_bytes(text))))?;
            }
            Entry::Unit => {
                let name = &b[self.name.clone()];
                if !text.is_empty() && !name.strip_suffix(text).is_some_and(|n| n.ends_with(b"_")) {
                    return Err(Fault::new(name_end, format!("unit {} not a suffix of metric {}", quote_bytes(text), quote_bytes(name))));
                }
                self.unit = valid.unwrap_or("").to_string();
            }
            _ if valid.is_err() => {
                return Err(Fault::new(self.text.start, format!("help text {} is not a valid utf8 string", quote_bytes(text))));
            }
            _ => {}
        }
        Ok(Some(entry))
    }

    pub fn labels(&mut self, out: &mut LabelBuf) -> Result<(), ParseError> {
        let (b, start) = (self.b, self.start);
        self.whole()
            .and_then(|()| {
                let family = FamilyContext { kind: self.kind, unit: &self.unit, add_type_and_unit: self.options.type_and_unit_labels };
                lex::fill(b, &self.spans, family, out)
            })
            .map_err(|f| f.place(b, start))
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

    pub fn exemplar(&mut self) -> Option<Exemplar> {
        let ExemplarPlace { value, t_ms } = self.exemplar.take()?;
        let mut buf = LabelBuf::new();
        let family = FamilyContext { kind: MetricType::Unknown, unit: "", add_type_and_unit: false };
        lex::fill(self.b, &self.exemplar_spans, family, &mut buf).ok()?;
        Some(Exemplar { labels: buf.as_ref().to_labels(), value, t_ms })
    }

    fn is_created(&mut self) -> bool {
        if !has_start(self.kind) {
            return false;
        }
        let raw = self.raw.clone();
        let name = match name_end(self.b, raw.start, true) {
            end if end > raw.start => raw.start..end,
            _ => match lex::series(self.b, raw.start, Dialect::OpenMetrics, &mut self.spans) {
                Ok(_) => self.spans.name.clone().unwrap_or(0..0),
                Err(_) => return false,
            },
        };
        self.b[name].ends_with(CREATED)
    }

    /// Looks ahead for this series' `_created` line, which belongs to the same family and has the same labels but for `le` and `quantile`.
    pub fn start_ms(&mut self) -> Option<i64> {
        if !has_start(self.kind) {
            return None;
        }
        let family = self.b[self.name.clone()].to_vec();
        let key = self.key(Some(family.len()))?;
        if !key.starts_with(&family) {
            return None;
        }
        if let Some((known, found)) = &self.created
            && *known == key
        {
            return *found;
        }
        let mut ahead = OpenMetricsParser::new(self.b, ParserOptions::default());
        (ahead.at, ahead.kind) = (self.at, self.kind);
        let mut found = None;
        while let Ok(Some(Entry::Series)) = ahead.next() {
            if ahead.is_created() {
                let same = ahead.key(None).is_some_and(|k| k == key);
                found = if same && ahead.value.is_finite() { Some((ahead.value * 1000.0) as i64) } else { None };
                break;
            }
        }
        self.created = Some((key, found));
        found
    }

    /// The family name (the first bytes of the name, or all but `_created`) and the labels that tell its members apart.
    fn key(&mut self, name_len: Option<usize>) -> Option<Vec<u8>> {
        lex::series(self.b, self.raw.start, Dialect::OpenMetrics, &mut self.spans).ok()?;
        let name = &self.b[self.spans.name.clone()?];
        let mut key = name.get(..name_len.unwrap_or(name.len().saturating_sub(CREATED.len())))?.to_vec();
        for (n, v) in &self.spans.pairs {
            let n = &self.b[n.clone()];
            let skip = match self.kind {
                MetricType::Summary => n == QUANTILE_LABEL.as_bytes(),
                MetricType::Histogram => n == BUCKET_LABEL.as_bytes(),
                _ => false,
            };
            if !skip {
                key.push(0xff);
                key.extend_from_slice(n);
                key.push(0xff);
                key.extend_from_slice(&self.b[v.clone()]);
            }
        }
        Some(key)
    }

    pub fn meta_name(&self) -> Cow<'_, str> {
        unescaped(&self.b[self.name.clone()], true)
    }

    pub fn meta_text(&self) -> Cow<'_, str> {
        unescaped(&self.b[self.text.clone()], true)
    }

    pub fn meta_type(&self) -> MetricType {
        self.kind
    }

    pub fn offset(&self) -> usize {
        self.at
    }
}
