//! The parts that both text formats share: a series with its label set in braces, taken apart into places.

use super::error::{Fault, quote_bytes};
use super::label_buf::LabelBuf;
use super::number::normal_bound;
use memchr::{memchr, memchr2};
use model::MetricType;
use model::name::{BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL};
use std::ops::Range;

/// Where the formats differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Blanks between tokens, line breaks in label values, and commas that may be missing.
    Text,
    OpenMetrics,
    /// OpenMetrics, and no metric name inside the braces.
    Exemplar,
}

/// Places of a series' parts; escapes are still in.
#[derive(Default)]
pub(super) struct Spans {
    pub name: Option<Range<usize>>,
    pub pairs: Vec<(Range<usize>, Range<usize>)>,
}

impl Spans {
    pub fn clear(&mut self) {
        self.name = None;
        self.pairs.clear();
    }
}

#[inline]
pub(super) fn name_end(b: &[u8], start: usize, colon: bool) -> usize {
    let ok = |i: usize, c: u8| c.is_ascii_alphabetic() || c == b'_' || (colon && c == b':') || (i > 0 && c.is_ascii_digit());
    start + b[start.min(b.len())..].iter().enumerate().take_while(|(i, c)| ok(*i, **c)).count()
}

#[inline]
pub(super) fn skip_blanks(b: &[u8], at: usize) -> usize {
    at + b[at.min(b.len())..].iter().take_while(|c| matches!(c, b' ' | b'\t')).count()
}

/// From an opening quote to behind the closing one.
pub(super) fn string_end(b: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let n = at + memchr2(b'"', b'\\', b.get(at..)?)?;
        if b[n] == b'"' {
            return Some(n + 1);
        }
        if *b.get(n + 1)? == b'\n' {
            return None;
        }
        at = n + 2;
    }
}

/// A series from its first byte: a name, a label set, or both. Returns the place behind it.
pub(super) fn series(b: &[u8], start: usize, d: Dialect, out: &mut Spans) -> Result<usize, Fault> {
    out.clear();
    let end = name_end(b, start, true);
    let mut open = end;
    if end > start {
        out.name = Some(start..end);
        if d == Dialect::Text {
            open = skip_blanks(b, end);
        }
        if b.get(open) != Some(&b'{') {
            return Ok(end);
        }
    } else if b.get(start) != Some(&b'{') {
        return Err(Fault::expected("a valid start token", b, start));
    }
    let end = labels(b, open + 1, d, out)?;
    if out.name.is_none() {
        return Err(Fault::new(start, "metric name not set"));
    }
    Ok(end)
}

/// A label set from behind its opening brace. Returns the place behind the closing one.
pub(super) fn labels(b: &[u8], start: usize, d: Dialect, out: &mut Spans) -> Result<usize, Fault> {
    let blanks = |at: usize| if d == Dialect::Text { skip_blanks(b, at) } else { at };
    let mut at = blanks(start);
    loop {
        let (name, quoted) = match b.get(at) {
            Some(b'}') => return Ok(at + 1),
            Some(b'"') => {
                let end = string_end(b, at).ok_or_else(|| Fault::new(at, "label name is not closed by a quote"))?;
                (at + 1..end - 1, true)
            }
            _ => match name_end(b, at, false) {
                end if end > at => (at..end, false),
                _ => return Err(Fault::expected("label name", b, at)),
            },
        };
        let behind = blanks(name.end + usize::from(quoted));
        // A quoted string that stands alone is the metric's name.
        if quoted && matches!(b.get(behind), Some(b',' | b'}')) {
            if d == Dialect::Exemplar {
                return Err(Fault::expected("equal", b, behind));
            }
            if out.name.replace(name).is_some() {
                return Err(Fault::new(at, "metric name already set"));
            }
            if b[behind] == b'}' {
                return Ok(behind + 1);
            }
            at = blanks(behind + 1);
            continue;
        }
        if b.get(behind) != Some(&b'=') {
            return Err(Fault::expected("equal", b, behind));
        }
        let open = blanks(behind + 1);
        let end = match b.get(open) {
            Some(b'"') => string_end(b, open),
            _ => None,
        }
        .ok_or_else(|| Fault::expected("label value", b, open))?;
        let value = open + 1..end - 1;
        if d != Dialect::Text && memchr(b'\n', &b[value.clone()]).is_some() {
            return Err(Fault::new(open, "line break in a label value"));
        }
        for part in [&name, &value] {
            if std::str::from_utf8(&b[part.clone()]).is_err() {
                return Err(Fault::new(part.start, format!("invalid UTF-8 label value: {}", quote_bytes(&b[part.clone()]))));
            }
        }
        out.pairs.push((name, value));
        at = blanks(end);
        match b.get(at) {
            Some(b',') => at = blanks(at + 1),
            Some(b'}') => {}
            _ if d == Dialect::Text => {}
            _ => return Err(Fault::expected("comma or brace close", b, at)),
        }
    }
}

/// What a family's metadata does to the labels of its series.
#[derive(Clone, Copy)]
pub(super) struct FamilyContext<'a> {
    pub kind: MetricType,
    pub unit: &'a str,
    pub add_type_and_unit: bool,
}

/// Unescapes, adds, sorts.
pub(super) fn fill(b: &[u8], spans: &Spans, family: FamilyContext<'_>, out: &mut LabelBuf) -> Result<(), Fault> {
    let text = |r: &Range<usize>| {
        std::str::from_utf8(&b[r.clone()]).map_err(|_| Fault::new(r.start, format!("invalid UTF-8 name: {}", quote_bytes(&b[r.clone()]))))
    };
    out.clear();
    if let Some(name) = &spans.name {
        out.push_escaped(METRIC_NAME, text(name)?);
    }
    let (kind, unit) = if family.add_type_and_unit { (family.kind, family.unit) } else { (MetricType::Unknown, "") };
    if kind != MetricType::Unknown {
        out.push("__type__", kind.as_str());
    }
    if !unit.is_empty() {
        out.push("__unit__", unit);
    }
    for (n, v) in &spans.pairs {
        let (n, v) = (text(n)?, text(v)?);
        let overridden = match n {
            METRIC_NAME => family.add_type_and_unit,
            "__type__" => kind != MetricType::Unknown,
            "__unit__" => !unit.is_empty(),
            _ => false,
        };
        if overridden {
            continue;
        }
        let bound = match family.kind {
            MetricType::Histogram if n == BUCKET_LABEL => normal_bound(v),
            MetricType::Summary if n == QUANTILE_LABEL => normal_bound(v),
            _ => None,
        };
        match bound {
            Some(b) => out.push(n, &b),
            None => out.push_escaped(n, v),
        }
    }
    out.finish();
    Ok(())
}
