//! From nodes to values: [`FromYaml`], the [`Cx`] that gathers what is wrong, and the types of the language itself.

use crate::error::{Error, Issue};
use crate::node::{Kind, Node};
use crate::scalar::Resolved;
use crate::tree;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// A value that a node can stand for.
pub trait FromYaml: Sized {
    /// Takes the value, or tells `cx` why not and returns None. A table does not ask for a field whose node is null, see [`FromYaml::null`].
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self>;

    /// What a field becomes whose value is null, as in `replacement:`: Go's zero value for scalars and lists. None keeps the field's default,
    /// which is right for sections.
    fn null() -> Option<Self> {
        None
    }

    /// How go-yaml would name the type in an error: `int`, `[]string`, `config.plain`.
    fn type_name() -> String;
}

/// How to read a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The directory that relative paths are meant from. None leaves them as they are.
    pub dir: Option<PathBuf>,
    /// Skip unknown keys instead of refusing them.
    pub ignore_unknown_fields: bool,
}

impl Options {
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Options { dir: Some(dir.into()), ignore_unknown_fields: false }
    }
}

/// What is known and what went wrong while a document is read.
#[derive(Debug, Default)]
pub struct Cx {
    options: Options,
    issues: Vec<Issue>,
}

/// More issues than this are not kept.
const MAX_ISSUES: usize = 100;

impl Cx {
    pub fn new(options: Options) -> Self {
        Cx { options, issues: Vec::new() }
    }

    pub fn dir(&self) -> Option<&Path> {
        self.options.dir.as_deref()
    }

    pub fn ignores_unknown_fields(&self) -> bool {
        self.options.ignore_unknown_fields
    }

    /// The document fits, but says something that may not be. Returns None, to be returned by a decoder.
    pub fn invalid<T>(&mut self, node: &Node, message: impl Into<String>) -> Option<T> {
        self.push(node.line, node.column, message.into(), false)
    }

    /// The document does not fit its type. Returns None.
    pub fn mismatch<T>(&mut self, node: &Node, message: impl Into<String>) -> Option<T> {
        self.push(node.line, node.column, message.into(), true)
    }

    /// ``cannot unmarshal !!str `x` into int``. Returns None.
    pub fn wrong_type<T>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        self.mismatch(node, format!("cannot unmarshal {} into {wanted}", node.describe()))
    }

    fn push<T>(&mut self, line: u32, column: u32, message: String, is_type_error: bool) -> Option<T> {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue { line, column, message, is_type_error });
        }
        None
    }

    /// How many issues there are so far: a decoder compares before and after to know whether its parts were sound.
    pub fn issue_count(&self) -> usize {
        self.issues.len()
    }

    /// The value, when nothing was wrong.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(v) if self.issues.is_empty() => Ok(v),
            _ => {
                if self.issues.is_empty() {
                    self.issues.push(Issue { line: 0, column: 0, message: "value is missing".into(), is_type_error: true });
                }
                self.issues.sort_by_key(|i| i.line);
                Err(Error::Content(self.issues))
            }
        }
    }
}

/// Reads a document. An empty one is an empty section: all defaults.
pub fn from_str<T: FromYaml>(text: &str, options: &Options) -> Result<T, Error> {
    from_node(&tree::parse(text)?, options)
}

pub fn from_node<T: FromYaml>(node: &Node, options: &Options) -> Result<T, Error> {
    let mut cx = Cx::new(options.clone());
    let value = match T::null() {
        None if node.is_null() => T::from_yaml(&Node { kind: Kind::Map(Vec::new()), ..*node }, &mut cx),
        _ => T::from_yaml(node, &mut cx),
    };
    cx.finish(value)
}

impl FromYaml for String {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        match (&node.kind, node.text()) {
            (_, Some(text)) => Some(text.to_string()),
            (Kind::Binary(_), _) => cx.invalid(node, "value is not valid UTF-8"),
            _ => cx.wrong_type(node, "string"),
        }
    }

    fn null() -> Option<Self> {
        Some(String::new())
    }

    fn type_name() -> String {
        "string".into()
    }
}

impl FromYaml for bool {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        match node.resolved() {
            Some(Resolved::Bool(b)) => Some(b),
            Some(Resolved::Null) => Some(false),
            _ => cx.wrong_type(node, "bool"),
        }
    }

    fn null() -> Option<Self> {
        Some(false)
    }

    fn type_name() -> String {
        "bool".into()
    }
}

macro_rules! integer {
    ($($t:ty = $name:literal),*) => {$(
        impl FromYaml for $t {
            fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
                let whole = match node.resolved() {
                    Some(Resolved::Int(i)) => <$t>::try_from(i).ok(),
                    Some(Resolved::Uint(u)) => <$t>::try_from(u).ok(),
                    Some(Resolved::Float(f)) if f.trunc() == f && f.abs() < 9e15 => <$t>::try_from(f as i64).ok(),
                    Some(Resolved::Null) => Some(0),
                    _ => None,
                };
                whole.or_else(|| cx.wrong_type(node, $name))
            }

            fn null() -> Option<Self> {
                Some(0)
            }

            fn type_name() -> String {
                $name.into()
            }
        }
    )*};
}

integer!(i64 = "int", i32 = "int32", u64 = "uint64", u32 = "uint32", u16 = "uint16", usize = "uint");

impl FromYaml for f64 {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        match node.resolved() {
            Some(Resolved::Float(f)) => Some(f),
            Some(Resolved::Int(i)) => Some(i as f64),
            Some(Resolved::Uint(u)) => Some(u as f64),
            Some(Resolved::Null) => Some(0.0),
            _ => cx.wrong_type(node, "float64"),
        }
    }

    fn null() -> Option<Self> {
        Some(0.0)
    }

    fn type_name() -> String {
        "float64".into()
    }
}

/// Null is None.
impl<T: FromYaml> FromYaml for Option<T> {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        if node.is_null() { Some(None) } else { T::from_yaml(node, cx).map(Some) }
    }

    fn null() -> Option<Self> {
        Some(None)
    }

    fn type_name() -> String {
        T::type_name()
    }
}

impl<T: FromYaml> FromYaml for Box<T> {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        T::from_yaml(node, cx).map(Box::new)
    }

    fn type_name() -> String {
        T::type_name()
    }
}

/// Null is an empty list; a lone scalar stands for a list of one, as in go-yaml.
impl<T: FromYaml> FromYaml for Vec<T> {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        let before = cx.issue_count();
        let out = match &node.kind {
            Kind::Seq(items) => items.iter().filter_map(|n| T::from_yaml(n, cx)).collect(),
            _ if node.is_null() => Vec::new(),
            Kind::Scalar(_) if T::type_name() == "string" => T::from_yaml(node, cx).into_iter().collect(),
            _ => return cx.wrong_type(node, &Self::type_name()),
        };
        (cx.issue_count() == before).then_some(out)
    }

    fn null() -> Option<Self> {
        Some(Vec::new())
    }

    fn type_name() -> String {
        format!("[]{}", T::type_name())
    }
}

/// A list in which a null item is refused with the given words.
pub fn list<T: FromYaml>(node: &Node, cx: &mut Cx, null_item: &str) -> Option<Vec<T>> {
    if let Some(n) = node.items().into_iter().flatten().find(|n| n.is_null()) {
        return cx.invalid(n, null_item);
    }
    Vec::from_yaml(node, cx)
}

/// The pairs of a map in order of the text; a key written twice is refused. Null is an empty map.
pub fn decode_map<T: FromYaml>(node: &Node, cx: &mut Cx, type_name: &str) -> Option<Vec<(String, T)>> {
    if node.is_null() {
        return Some(Vec::new());
    }
    let Some(entries) = node.entries() else {
        return cx.wrong_type(node, type_name);
    };
    let before = cx.issue_count();
    let mut seen = HashSet::with_capacity(entries.len());
    let mut out = Vec::with_capacity(entries.len());
    for (k, v) in entries {
        let Some(key) = String::from_yaml(k, cx) else { continue };
        if !seen.insert(key.clone()) {
            cx.mismatch::<()>(k, format!("key {key:?} already set in map"));
        } else if let Some(v) = T::from_yaml(v, cx) {
            out.push((key, v));
        }
    }
    (cx.issue_count() == before).then_some(out)
}

impl<T: FromYaml> FromYaml for BTreeMap<String, T> {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        decode_map(node, cx, &Self::type_name()).map(|pairs| pairs.into_iter().collect())
    }

    fn null() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn type_name() -> String {
        format!("map[string]{}", T::type_name())
    }
}

/// A node as it is, for those who decide later.
impl FromYaml for Node {
    fn from_yaml(node: &Node, _: &mut Cx) -> Option<Self> {
        Some(node.clone())
    }

    fn type_name() -> String {
        "interface {}".into()
    }
}
