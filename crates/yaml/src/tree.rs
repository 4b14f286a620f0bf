//! From text to a [`Node`] tree: the parser's events, anchors put in place of their aliases, `<<` merged.
//!
//! Only the first document of a stream is read, as in the reference. A key that stands beside `<<` wins over a merged one wherever it stands.

use crate::error::{Error, Issue};
use crate::node::{Kind, Node, Scalar};
use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// A longer document is refused.
pub const MAX_BYTES: usize = 64 << 20;
/// A document nested deeper is refused.
pub const MAX_DEPTH: usize = 100;
/// How many nodes all aliases and merges together may stand for, so that a few lines cannot grow into gigabytes.
pub const MAX_ALIASED_NODES: usize = 1_000_000;

const NAMESPACE: &str = "tag:yaml.org,2002:";

/// Parses the first document. An empty one is a null.
pub fn parse(text: &str) -> Result<Node, Error> {
    if text.len() > MAX_BYTES {
        return Err(syntax(1, 1, format!("document is larger than {MAX_BYTES} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder { events: Parser::new_from_str_with_options(text, options), anchors: HashMap::new(), aliased: 0 };
    builder.document()
}

fn syntax(line: u32, column: u32, message: impl Into<String>) -> Error {
    Error::Syntax(Issue { line, column, message: message.into(), is_type_error: false })
}

fn place(at: &Marker) -> (u32, u32) {
    let fit = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (fit(at.line()), fit(at.col()).saturating_add(1))
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, (u32, u32)), Error> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(e)) => Err(scan_error(&e)),
            None => Ok((Event::StreamEnd, (1, 1))),
        }
    }

    fn document(&mut self) -> Result<Node, Error> {
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(null(at)),
                event => return self.node(event, at, 0),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, at: (u32, u32), depth: usize) -> Result<Node, Error> {
        if depth > MAX_DEPTH {
            return Err(syntax(at.0, at.1, format!("document is nested deeper than {MAX_DEPTH} levels")));
        }
        let (kind, anchor) = match event {
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id) else {
                    return Err(syntax(at.0, at.1, "anchor contains itself"));
                };
                self.aliased += target.weight();
                if self.aliased > MAX_ALIASED_NODES {
                    return Err(syntax(at.0, at.1, "document contains excessive aliasing"));
                }
                return Ok(target.clone());
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(text, style, tag.as_deref(), at)?, anchor),
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break (Kind::Seq(items), anchor),
                        (event, at) => items.push(self.node(event, at, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(_, anchor, _) => {
                let (mut entries, mut merges) = (Vec::new(), Vec::new());
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (event, at) => self.node(event, at, depth + 1)?,
                    };
                    let (event, value_at) = self.next()?;
                    let value = self.node(event, value_at, depth + 1)?;
                    if is_merge(&key) { merges.push(value) } else { entries.push((key, value)) }
                }
                for m in merges {
                    merge(&mut entries, m)?;
                }
                (Kind::Map(entries), anchor)
            }
            other => return Err(syntax(at.0, at.1, format!("unexpected {other:?}"))),
        };
        let node = Node { line: at.0, column: at.1, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }
}

fn null((line, column): (u32, u32)) -> Node {
    Node { line, column, kind: Kind::Scalar(Scalar { text: String::new(), plain: true, tag: None }) }
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.kind, Kind::Scalar(s) if s.text == "<<" && (s.plain || s.tag.as_deref() == Some("merge")))
}

fn merge(into: &mut Vec<(Node, Node)>, from: Node) -> Result<(), Error> {
    let (line, column) = (from.line, from.column);
    match from.kind {
        Kind::Map(pairs) => {
            for (k, v) in pairs {
                if !into.iter().any(|(have, _)| have.kind == k.kind) {
                    into.push((k, v));
                }
            }
            Ok(())
        }
        Kind::Seq(maps) if maps.iter().all(|m| matches!(m.kind, Kind::Map(_))) => maps.into_iter().try_for_each(|m| merge(into, m)),
        _ => Err(syntax(line, column, "map merge requires map or sequence of maps as the value")),
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: (u32, u32)) -> Result<Kind, Error> {
    let tag = tag.and_then(|t| t.suffix_in_namespace(NAMESPACE)).map(Cow::into_owned);
    if tag.as_deref() == Some("binary") {
        let bytes = base64(&text).ok_or_else(|| syntax(at.0, at.1, "!!binary value contains invalid base64 data"))?;
        return Ok(match String::from_utf8(bytes) {
            Ok(text) => Kind::Scalar(Scalar { text, plain: false, tag: None }),
            Err(e) => Kind::Binary(e.into_bytes()),
        });
    }
    Ok(Kind::Scalar(Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain, tag }))
}

fn scan_error(e: &ScanError) -> Error {
    let (line, column) = place(e.marker());
    syntax(line, column, e.info())
}

/// Standard alphabet with padding; line breaks are skipped.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut have, mut chars, mut pad) = (0u32, 0u32, 0usize, 0usize);
    for b in text.bytes().filter(|b| !matches!(b, b'\n' | b'\r' | b' ')) {
        chars += 1;
        let v = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                pad += 1;
                continue;
            }
            _ => return None,
        };
        if pad > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(v);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    (chars % 4 == 0 && pad <= 2).then_some(out)
}
