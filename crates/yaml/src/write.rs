//! From values back to YAML: what `/api/v1/status/config` shows. The order is that of the tables; what has its zero value is left out.

use crate::emit;
use crate::table::Fields;
use std::collections::BTreeMap;

/// A document to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    /// A number or a bool, already as text; never quoted.
    Plain(String),
    /// Quoted when it would otherwise be read as something else.
    Str(String),
    Seq(Vec<Value>),
    /// A list on one line: `[a, b]`.
    Flow(Vec<Value>),
    Map(Vec<(String, Value)>),
}

pub trait ToYaml {
    fn to_value(&self) -> Value;

    /// Whether this is Go's zero value, which an optional field leaves out.
    fn is_empty(&self) -> bool;
}

/// Writes a document as go-yaml v2 would.
pub fn to_string(value: &impl ToYaml) -> String {
    emit::document(&value.to_value())
}

/// The pairs of a map, in the order in which they are pushed.
#[derive(Debug, Default)]
pub struct MapWriter {
    entries: Vec<(String, Value)>,
}

impl MapWriter {
    pub fn push(&mut self, key: &str, value: &impl ToYaml) {
        self.entries.push((key.to_string(), value.to_value()));
    }

    pub fn push_unless_empty(&mut self, key: &str, value: &impl ToYaml) {
        if !value.is_empty() {
            self.push(key, value);
        }
    }

    /// A value that is already one.
    pub fn push_value(&mut self, key: &str, value: Value) {
        self.entries.push((key.to_string(), value));
    }

    pub fn table(fields: &impl Fields) -> Value {
        let mut out = MapWriter::default();
        fields.write(&mut out);
        Value::Map(out.entries)
    }
}

impl ToYaml for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }

    fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Plain(s) | Value::Str(s) => s.is_empty(),
            Value::Seq(v) | Value::Flow(v) => v.is_empty(),
            Value::Map(m) => m.is_empty(),
        }
    }
}

impl ToYaml for String {
    fn to_value(&self) -> Value {
        Value::Str(self.clone())
    }

    fn is_empty(&self) -> bool {
        str::is_empty(self)
    }
}

impl ToYaml for bool {
    fn to_value(&self) -> Value {
        Value::Plain(self.to_string())
    }

    fn is_empty(&self) -> bool {
        !self
    }
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl ToYaml for $t {
            fn to_value(&self) -> Value {
                Value::Plain(self.to_string())
            }

            fn is_empty(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

integer!(i64, i32, u64, u32, u16, usize);

impl ToYaml for f64 {
    fn to_value(&self) -> Value {
        Value::Plain(match *self {
            f if f.is_nan() => ".nan".into(),
            f64::INFINITY => ".inf".into(),
            f64::NEG_INFINITY => "-.inf".into(),
            // Go's 'g' with the exponent from 1e21 on.
            f if f != 0.0 && !(1e-4..1e21).contains(&f.abs()) => model::number::format_g(f),
            f => model::number::format_f(f),
        })
    }

    fn is_empty(&self) -> bool {
        *self == 0.0
    }
}

impl<T: ToYaml> ToYaml for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToYaml::to_value)
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

impl<T: ToYaml> ToYaml for Box<T> {
    fn to_value(&self) -> Value {
        self.as_ref().to_value()
    }

    fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }
}

impl<T: ToYaml> ToYaml for Vec<T> {
    fn to_value(&self) -> Value {
        Value::Seq(self.iter().map(ToYaml::to_value).collect())
    }

    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl<T: ToYaml> ToYaml for BTreeMap<String, T> {
    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(k, v)| (k.clone(), v.to_value())).collect())
    }

    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}

/// A node that was kept as it was read; comments and styles are gone.
impl ToYaml for crate::Node {
    fn to_value(&self) -> Value {
        match &self.kind {
            _ if self.is_null() => Value::Null,
            crate::Kind::Scalar(s) if s.plain => Value::Plain(s.text.clone()),
            crate::Kind::Scalar(s) => Value::Str(s.text.clone()),
            crate::Kind::Binary(b) => Value::Str(String::from_utf8_lossy(b).into_owned()),
            crate::Kind::Seq(items) => Value::Seq(items.iter().map(ToYaml::to_value).collect()),
            crate::Kind::Map(m) => Value::Map(m.iter().map(|(k, v)| (k.text().unwrap_or_default().to_string(), v.to_value())).collect()),
        }
    }

    fn is_empty(&self) -> bool {
        self.is_null()
    }
}
