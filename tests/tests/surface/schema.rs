//! Does a JSON value have the shape that a schema of an OpenAPI document asks for? As much of JSON Schema as such documents use.

use serde_json::{Map, Value};

/// A YAML text as JSON.
pub fn from_yaml(text: &str) -> Value {
    to_json(&yaml::parse(text).expect("the document is YAML"))
}

fn to_json(n: &yaml::Node) -> Value {
    if let Some(items) = n.items() {
        return Value::Array(items.iter().map(to_json).collect());
    }
    if let Some(entries) = n.entries() {
        let pairs = entries.iter().map(|(k, v)| (k.text().unwrap_or_default().to_string(), to_json(v)));
        return Value::Object(pairs.collect::<Map<_, _>>());
    }
    let text = n.text().unwrap_or_default();
    match n.resolved() {
        Some(yaml::Resolved::Null) => Value::Null,
        Some(yaml::Resolved::Bool(b)) => Value::Bool(b),
        Some(yaml::Resolved::Str) => Value::String(text.to_string()),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string())),
    }
}

/// What is wrong with a value, each with its place; nothing when it fits.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    Checker { document }.check(schema, value, "$", &mut out);
    out
}

struct Checker<'d> {
    document: &'d Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} is not in the document"));
            return self.check(target, value, at, out);
        }
        let fits = |s: &Value| {
            let mut wrong = Vec::new();
            self.check(s, value, at, &mut wrong);
            wrong
        };
        if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let tried: Vec<Vec<String>> = choices.iter().map(fits).collect();
            if !tried.iter().any(Vec::is_empty) {
                out.push(format!("{at}: fits none of {} choices: {}", choices.len(), tried.concat().join(" | ")));
            }
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            out.extend(fits(part));
        }
        self.check_type(&schema["type"], value, at, out);
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            out.push(format!("{at}: {value} is none of {allowed:?}"));
        }
        if let Some(list) = value.as_array() {
            let len = list.len() as u64;
            if schema["minItems"].as_u64().is_some_and(|n| len < n) || schema["maxItems"].as_u64().is_some_and(|n| len > n) {
                out.push(format!("{at}: has {len} items"));
            }
            if schema["items"].is_object() {
                for (i, v) in list.iter().enumerate() {
                    self.check(&schema["items"], v, &format!("{at}[{i}]"), out);
                }
            }
        }
        if let Some(minimum) = schema["minimum"].as_f64()
            && value.as_f64().is_some_and(|v| v < minimum)
        {
            out.push(format!("{at}: {value} is less than {minimum}"));
        }
        if let Some(object) = value.as_object() {
            self.check_object(schema, object, at, out);
        }
    }

    fn check_type(&self, kind: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
        let kinds: Vec<&str> = match kind {
            Value::String(s) => vec![s],
            Value::Array(l) => l.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let is = |k: &&str| match *k {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("the document has a type {other} that this checker does not know"),
        };
        if !kinds.iter().any(is) {
            out.push(format!("{at}: {value} is not of type {kinds:?}"));
        }
    }

    fn check_object(&self, schema: &Value, object: &Map<String, Value>, at: &str, out: &mut Vec<String>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                out.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, v) in object {
            let place = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (s, _) if !s.is_null() => self.check(s, v, &place, out),
                (_, Value::Bool(false)) => out.push(format!("{place}: is not in the schema")),
                (_, s) if s.is_object() => self.check(s, v, &place, out),
                _ => {}
            }
        }
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let doc = from_yaml(
        "s:\n  P: {type: object, required: [a], additionalProperties: false, properties: {a: {type: integer}, b: {type: array, items: {type: string}}, \
         c: {oneOf: [{type: string}, {type: 'null'}]}, e: {type: string, enum: [x, 'y']}}}\n",
    );
    let schema = serde_json::json!({"$ref": "#/s/P"});
    for (value, wrong) in [
        (serde_json::json!({"a": 1}), 0),
        (serde_json::json!({"a": 1, "b": ["x"], "c": null, "e": "y"}), 0),
        (serde_json::json!({}), 1),
        (serde_json::json!({"a": 1.5}), 1),
        (serde_json::json!({"a": 1, "z": 1}), 1),
        (serde_json::json!({"a": 1, "b": ["x", 1]}), 1),
        (serde_json::json!({"a": 1, "c": 1}), 1),
        (serde_json::json!({"a": 1, "e": "z"}), 1),
        (serde_json::json!([]), 1),
    ] {
        let found = faults(&doc, &schema, &value);
        assert_eq!(found.len(), wrong, "{value}: {found:?}");
    }
}
