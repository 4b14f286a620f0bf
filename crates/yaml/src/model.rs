//! The field's own types in a file: label sets, regular expressions, relabel rules.

use crate::decode::{Cx, FromYaml, decode_map};
use crate::node::{Kind, Node};
use crate::table::{Fields, decode_table};
use crate::write::{MapWriter, ToYaml, Value};
use ::model::labels::Labels;
use ::model::regex::Regex;
use ::model::relabel::{Action, DEFAULT_REGEX, RelabelRule};

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

    fn null() -> Option<Self> {
        Some(Labels::empty())
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
        match Regex::new_wrapped(&text) {
            Ok(r) => Some(r),
            Err(e) => cx.invalid(node, e.to_string()),
        }
    }

    fn null() -> Option<Self> {
        Regex::new_wrapped("").ok()
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

/// The rule as written: whether it makes sense is for [`RelabelRule::validate`], which needs the name scheme of its section.
impl Fields for RelabelRule {
    const TYPE: &'static str = "relabel.plain";

    fn set(&mut self, key: &str, node: &Node, cx: &mut Cx) -> bool {
        match key {
            "source_labels" => take(&mut self.source_labels, node, cx),
            "separator" => take(&mut self.separator, node, cx),
            "regex" => take(&mut self.regex, node, cx),
            "modulus" => take(&mut self.modulus, node, cx),
            "target_label" => take(&mut self.target_label, node, cx),
            "replacement" => take(&mut self.replacement, node, cx),
            "action" => match node.text() {
                Some("") => {
                    cx.invalid::<()>(node, "relabel action cannot be empty");
                }
                Some(word) => match Action::parse(word) {
                    Ok(action) => self.action = action,
                    Err(e) => {
                        cx.invalid::<()>(node, e.to_string());
                    }
                },
                None => {
                    cx.wrong_type::<()>(node, "string");
                }
            },
            _ => return false,
        }
        true
    }

    fn finish(&mut self, _: &Node, _: &mut Cx) {}

    fn write(&self, out: &mut MapWriter) {
        if !self.source_labels.is_empty() {
            out.push_value("source_labels", Value::Flow(self.source_labels.iter().cloned().map(Value::Str).collect()));
        }
        out.push("separator", &self.separator);
        if self.regex.pattern() != DEFAULT_REGEX {
            out.push("regex", &self.regex);
        }
        out.push_unless_empty("modulus", &self.modulus);
        out.push_unless_empty("target_label", &self.target_label);
        out.push("replacement", &self.replacement);
        out.push_value("action", Value::Str(self.action.as_str().to_string()));
    }

    fn all_empty(&self) -> bool {
        false
    }
}

fn take<T: FromYaml>(field: &mut T, node: &Node, cx: &mut Cx) {
    if let Some(v) = if node.is_null() { T::null() } else { T::from_yaml(node, cx) } {
        *field = v;
    }
}

impl FromYaml for RelabelRule {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        decode_table(node, cx)
    }

    fn type_name() -> String {
        Self::TYPE.into()
    }
}

impl ToYaml for RelabelRule {
    fn to_value(&self) -> Value {
        MapWriter::table(self)
    }

    fn is_empty(&self) -> bool {
        false
    }
}
