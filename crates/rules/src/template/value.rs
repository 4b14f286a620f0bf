//! What a template computes with: Go's values as far as templates of alerts meet them.

use model::histogram::FloatHistogram;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Value {
    /// No value at all: a missing field of nothing, `nil`.
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(Rc<str>),
    Histogram(Arc<FloatHistogram>),
    List(Rc<Vec<Value>>),
    /// `map[string]string`: a missing key is "".
    Labels(Rc<BTreeMap<String, String>>),
    /// `map[string]any`: a missing key is no value.
    Map(Rc<BTreeMap<String, Value>>),
    /// A struct: a missing field is an error.
    Struct(&'static str, Rc<BTreeMap<&'static str, Value>>),
    /// One element of a query's result.
    Sample(Rc<TemplateSample>),
    /// The result of `query`.
    Vector(Rc<Vec<Rc<TemplateSample>>>),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
}

#[derive(Debug)]
pub struct TemplateSample {
    pub labels: Rc<BTreeMap<String, String>>,
    pub value: SampleValue,
}

#[derive(Clone, Debug)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl From<SampleValue> for Value {
    fn from(v: SampleValue) -> Self {
        match v {
            SampleValue::Float(f) => Value::Float(f),
            SampleValue::Histogram(h) => Value::Histogram(h),
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::Str(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Str(s.into())
    }
}

impl Value {
    /// The data of an alert's text: `.Labels`, `.ExternalLabels`, `.ExternalURL`, `.Value`.
    pub fn alert_data(labels: &model::Labels, external_labels: &model::Labels, external_url: &str, value: SampleValue) -> Value {
        let map = |l: &model::Labels| Value::Labels(Rc::new(l.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()));
        let fields = BTreeMap::from([
            ("Labels", map(labels)),
            ("ExternalLabels", map(external_labels)),
            ("ExternalURL", Value::from(external_url)),
            ("Value", value.into()),
        ]);
        Value::Struct(
            "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
            Rc::new(fields),
        )
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(n) | Value::Duration(n) => *n != 0,
            Value::Uint(n) => *n != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.is_empty(),
            Value::List(l) => !l.is_empty(),
            Value::Labels(m) => !m.is_empty(),
            Value::Map(m) => !m.is_empty(),
            Value::Vector(v) => !v.is_empty(),
            Value::Struct(..) | Value::Sample(_) | Value::Histogram(_) | Value::Time(_) => true,
        }
    }

    /// Go's name of the type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint64",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Histogram(_) => "*histogram.FloatHistogram",
            Value::List(_) => "[]interface {}",
            Value::Labels(_) => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::Struct(name, _) => name,
            Value::Sample(_) => "*template.sample",
            Value::Vector(_) => "template.queryResult",
            Value::Time(_) => "*time.Time",
            Value::Duration(_) => "*time.Duration",
        }
    }

    /// As `fmt.Print` writes it.
    pub fn print(&self, out: &mut String) {
        match self {
            Value::Nil => out.push_str("<no value>"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) => out.push_str(&n.to_string()),
            Value::Uint(n) => out.push_str(&n.to_string()),
            Value::Float(f) => model::number::write_g(out, *f),
            Value::Str(s) => out.push_str(s),
            Value::Histogram(h) => out.push_str(&h.to_string()),
            Value::List(l) => print_list(out, l.iter()),
            Value::Labels(m) => {
                out.push_str("map[");
                for (i, (k, v)) in m.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    out.push_str(&format!("{k}:{v}"));
                }
                out.push(']');
            }
            Value::Map(m) => {
                out.push_str("map[");
                for (i, (k, v)) in m.iter().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    out.push_str(&format!("{k}:"));
                    v.print_nested(out);
                }
                out.push(']');
            }
            Value::Struct(_, fields) => {
                out.push('{');
                for (i, v) in fields.values().enumerate() {
                    out.push_str(if i > 0 { " " } else { "" });
                    v.print_nested(out);
                }
                out.push('}');
            }
            Value::Sample(s) => {
                out.push('{');
                Value::Labels(Rc::clone(&s.labels)).print(out);
                out.push(' ');
                Value::from(s.value.clone()).print(out);
                out.push('}');
            }
            Value::Vector(v) => {
                let samples: Vec<Value> = v.iter().map(|s| Value::Sample(Rc::clone(s))).collect();
                print_list(out, samples.iter());
            }
            Value::Time(ns) => out.push_str(&super::gotime::to_string(*ns)),
            Value::Duration(ns) => out.push_str(&super::gotime::duration_string(*ns)),
        }
    }

    fn print_nested(&self, out: &mut String) {
        match self {
            Value::Nil => out.push_str("<nil>"),
            // A pointer is followed only at the top.
            Value::Sample(_) => {
                out.push('&');
                self.print(out);
            }
            v => v.print(out),
        }
    }

    pub fn text(&self) -> String {
        let mut s = String::new();
        self.print(&mut s);
        s
    }
}

fn print_list<'a>(out: &mut String, items: impl Iterator<Item = &'a Value>) {
    out.push('[');
    for (i, v) in items.enumerate() {
        out.push_str(if i > 0 { " " } else { "" });
        v.print_nested(out);
    }
    out.push(']');
}
