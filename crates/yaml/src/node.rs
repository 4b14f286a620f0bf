//! A document as a tree whose nodes know their place.

use crate::scalar::{Resolved, resolve};

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Scalar(Scalar),
    /// A `!!binary` whose bytes are not UTF-8.
    Binary(Vec<u8>),
    Seq(Vec<Node>),
    /// In order of the text, merged pairs (`<<`) last; a key that was written twice is here twice.
    Map(Vec<(Node, Node)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    pub text: String,
    /// Written without quotes, so that it may be something else than a string.
    pub plain: bool,
    /// The name of an explicit core tag: `str`, `int`, ...
    pub tag: Option<String>,
}

impl Node {
    pub fn is_null(&self) -> bool {
        matches!(self.resolved(), Some(Resolved::Null))
    }

    /// What a scalar means; None for a list, a map and binary data.
    pub fn resolved(&self) -> Option<Resolved> {
        match &self.kind {
            Kind::Scalar(s) if !s.plain && s.tag.is_none() => Some(Resolved::Str),
            Kind::Scalar(s) => Some(resolve(&s.text, s.tag.as_deref())),
            _ => None,
        }
    }

    /// The text of a scalar, whatever it means; "" for null. None for a list, a map and binary data.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(_) if self.is_null() => Some(""),
            Kind::Scalar(s) => Some(&s.text),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub fn entries(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v)
    }

    /// How go-yaml names the node when it does not fit: ``!!str `abc` ``.
    pub fn describe(&self) -> String {
        let tag = match (&self.kind, self.resolved()) {
            (Kind::Seq(_), _) => return "!!seq".into(),
            (Kind::Map(_), _) => return "!!map".into(),
            (Kind::Binary(_), _) => return "!!binary".into(),
            (_, Some(r)) => r.tag(),
            (_, None) => "!!str",
        };
        let text = self.text().unwrap_or_default();
        match text.char_indices().nth(10) {
            None => format!("{tag} `{text}`"),
            Some(_) => {
                let cut = text.char_indices().nth(7).map_or(text.len(), |(i, _)| i);
                format!("{tag} `{}...`", &text[..cut])
            }
        }
    }

    /// How many nodes the subtree has.
    pub(crate) fn weight(&self) -> usize {
        1 + match &self.kind {
            Kind::Seq(items) => items.iter().map(Node::weight).sum(),
            Kind::Map(entries) => entries.iter().map(|(k, v)| k.weight() + v.weight()).sum(),
            _ => 0,
        }
    }
}
