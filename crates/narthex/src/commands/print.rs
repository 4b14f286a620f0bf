//! Answers of the API as promtool prints them: in the words of Prometheus' data model, or as JSON.

use super::{Context, line};
use serde_json::{Map, Value};

pub(super) struct Printer {
    json: bool,
}

impl Printer {
    pub fn new(cx: &Context) -> Printer {
        Printer { json: cx.values.text("format") == "json" }
    }

    /// `data` of a query: its type and result.
    pub fn value(&self, data: &Value) -> Result<(), String> {
        let kind = data["resultType"].as_str().unwrap_or_default();
        if self.json {
            let mut result = data["result"].clone();
            if kind != "string" {
                plain_numbers(&mut result);
            }
            line(&go_json(&result));
            return Ok(());
        }
        let result = sorted(kind, &data["result"]);
        match kind {
            "vector" => line(&each(&result, vector_sample)),
            "matrix" => line(&each(&result, series_of_samples)),
            "scalar" => line(&format!("scalar: {} @[{}]", plain(&result[1]), number(&result[0]))),
            "string" => line(text(&result[1])),
            other => return Err(format!("query error: unexpected value type {}", model::labels::quote(other))),
        }
        Ok(())
    }

    pub fn series(&self, data: &Value) {
        if self.json {
            return line(&go_json(data));
        }
        data.as_array().into_iter().flatten().for_each(|set| line(&label_set(set)));
    }

    pub fn texts(&self, data: &Value) {
        if self.json {
            return line(&go_json(data));
        }
        data.as_array().into_iter().flatten().for_each(|v| line(text(v)));
    }
}

fn text(v: &Value) -> &str {
    v.as_str().unwrap_or_default()
}

/// Seconds of a timestamp.
fn number(v: &Value) -> String {
    model::number::format_f(v.as_f64().unwrap_or(0.0))
}

/// A sample's value without an exponent, however it came.
fn plain(v: &Value) -> String {
    text(v).parse::<f64>().map_or_else(|_| text(v).to_string(), model::number::format_f)
}

/// The same for the points of a result: a list of time and text.
fn plain_numbers(v: &mut Value) {
    let point = v.as_array().is_some_and(|a| a.len() == 2 && a[0].is_number() && a[1].is_string());
    if point {
        v[1] = Value::String(plain(&v[1]));
        return;
    }
    match v {
        Value::Array(a) => a.iter_mut().for_each(plain_numbers),
        Value::Object(o) => o.iter_mut().filter(|(k, _)| matches!(k.as_str(), "value" | "values")).for_each(|(_, v)| plain_numbers(v)),
        _ => {}
    }
}

fn each(list: &Value, one: fn(&Value) -> String) -> String {
    let all: Vec<String> = list.as_array().into_iter().flatten().map(one).collect();
    all.join("\n")
}

/// A matrix is printed in the order of its series' names.
fn sorted(kind: &str, result: &Value) -> Value {
    let mut out = result.clone();
    if let ("matrix", Some(list)) = (kind, out.as_array_mut()) {
        list.sort_by(|a, b| order(&a["metric"], &b["metric"]));
    }
    out
}

/// Fewer labels first, then by names and values.
fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    let pairs = |v: &Value| {
        let mut p: Vec<(String, String)> = v.as_object().into_iter().flatten().map(|(n, v)| (n.clone(), text(v).to_string())).collect();
        p.sort();
        p
    };
    let (a, b) = (pairs(a), pairs(b));
    a.len().cmp(&b.len()).then_with(|| {
        for ((an, av), (bn, bv)) in a.iter().zip(&b) {
            let by = an.cmp(bn).then_with(|| av.cmp(bv));
            if by.is_ne() {
                return by;
            }
        }
        std::cmp::Ordering::Equal
    })
}

fn vector_sample(s: &Value) -> String {
    match s.get("histogram") {
        Some(h) => format!("{} => {}", metric(&s["metric"]), histogram(h)),
        None => format!("{} => {} @[{}]", metric(&s["metric"]), plain(&s["value"][1]), number(&s["value"][0])),
    }
}

fn series_of_samples(s: &Value) -> String {
    let mut lines: Vec<String> = s["values"].as_array().into_iter().flatten().map(|p| format!("{} @[{}]", plain(&p[1]), number(&p[0]))).collect();
    lines.extend(s["histograms"].as_array().into_iter().flatten().map(histogram));
    format!("{} =>\n{}", metric(&s["metric"]), lines.join("\n"))
}

/// A pair of time and histogram.
fn histogram(pair: &Value) -> String {
    let h = &pair[1];
    let mut buckets = Vec::new();
    for b in h["buckets"].as_array().into_iter().flatten() {
        let boundaries = b[0].as_i64().unwrap_or(0);
        let open = if boundaries == 1 || boundaries == 3 { "[" } else { "(" };
        let close = if boundaries == 0 || boundaries == 3 { "]" } else { ")" };
        let short = |v: &Value| model::number::format_g(text(v).parse().unwrap_or(f64::NAN));
        buckets.push(format!("{open}{},{}{close}:{}", short(&b[1]), short(&b[2]), text(&b[3])));
    }
    format!("Count: {}, Sum: {}, Buckets: [{}] @[{}]", float(&h["count"]), float(&h["sum"]), buckets.join(" "), number(&pair[0]))
}

/// With six digits, as Go's `%f`.
fn float(v: &Value) -> String {
    let f: f64 = text(v).parse().unwrap_or(f64::NAN);
    if f.is_finite() { format!("{f:.6}") } else { model::number::format_f(f) }
}

/// `name{a="b", c="d"}`
pub(super) fn metric(labels: &Value) -> String {
    let name = text(&labels["__name__"]);
    let pairs: Vec<String> = pairs(labels, true);
    match (name.is_empty(), pairs.is_empty()) {
        (true, true) => "{}".to_string(),
        (_, true) => name.to_string(),
        _ => format!("{name}{{{}}}", pairs.join(", ")),
    }
}

pub(super) fn label_set(labels: &Value) -> String {
    format!("{{{}}}", pairs(labels, false).join(", "))
}

fn pairs(labels: &Value, without_name: bool) -> Vec<String> {
    let empty = Map::new();
    let mut all: Vec<(&String, &Value)> = labels.as_object().unwrap_or(&empty).iter().filter(|(n, _)| !(without_name && *n == "__name__")).collect();
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(n, v)| format!("{n}={}", model::labels::quote(text(v)))).collect()
}

/// JSON as Go's encoder writes it: the metric of a sample first, other keys sorted; `<`, `>` and `&` escaped.
pub(super) fn go_json(v: &Value) -> String {
    let mut out = String::new();
    write_json(v, &mut out);
    out.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn write_json(v: &Value, out: &mut String) {
    match v {
        Value::Array(a) => {
            out.push('[');
            for (i, v) in a.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                write_json(v, out);
            }
            out.push(']');
        }
        Value::Object(o) => {
            let mut keys: Vec<&String> = o.keys().collect();
            if o.contains_key("metric") {
                keys.sort_by_key(|k| (*k != "metric", *k != "values" && *k != "value"));
            }
            out.push('{');
            for (i, k) in keys.into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                out.push_str(&Value::String(k.clone()).to_string());
                out.push(':');
                write_json(&o[k], out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}
