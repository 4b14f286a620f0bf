//! The field's own types in a file: label sets, regular expressions.

use crate::decode::{Cx, FromYaml, decode_map};
use crate::node::{Kind, Node};
use crate::write::{ToYaml, Value};
use ::model::labels::Labels;
use ::model::regex::Regex;

/// A map of names to values; names by the new scheme (any UTF-8). An empty value is no label.
impl FromYaml for Labels {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        for (k, v) in node.entries().into_iter().flatten() {
            match (&k.kind, &v.kind) {
                (Kind::Binary(b), _) => return cx.invalid(k, format!("{} is not a valid label name", quote_bytes(b))),
                (_, Kind::Binary(b)) => return cx.invalid(v, format!("{} is not a valid label value", quote_bytes(b))),
                _ if k.text() == Some("") => return cx.invalid(k, "\"\" is not a valid label name"),
                _ => {}
            }
        }
        let pairs = decode_map::<String>(node, cx, "map[string]string")?;
        if let Some((name, _)) = pairs.iter().find(|(n, v)| n.len().max(v.len()) > ::model::labels::MAX_LEN) {
            return cx.invalid(node, format!("label {} is too long", name.chars().take(40).collect::<String>()));
        }
        Some(Labels::from_pairs(pairs))
    }

    fn type_name() -> String {
        "map[string]string".into()
    }
}

impl ToYaml for Labels {
    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(n, v)| (n.to_string(), Value::Str(v.to_string()))).collect())
    }

    fn is_empty(&self) -> bool {
        Labels::is_empty(self)
    }
}

/// As Go's `%q` shows bytes that are not text.
fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('"');
    out
}

impl FromYaml for Regex {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        let text = String::from_yaml(node, cx)?;
        match Regex::new(&text) {
            Ok(r) => Some(r),
            Err(e) => cx.invalid(node, e.to_string()),
        }
    }

    fn type_name() -> String {
        "relabel.Regexp".into()
    }
}

impl ToYaml for Regex {
    fn to_value(&self) -> Value {
        Value::Str(self.pattern().to_string())
    }

    fn is_empty(&self) -> bool {
        self.pattern().is_empty()
    }
}
