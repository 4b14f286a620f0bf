//! The expressions: each once, with the variables of dashboards filled in.

use narthex_tests::{Require, skip};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Stands for every variable that is no length of time. It fits the patterns that dashboards combine with their variables
/// (`job=~".*etcd.*", job="$cluster"`).
pub const WORD: &str = "an_etcd";

/// None when there are none (which has been said).
pub fn read() -> Option<Vec<String>> {
    let root =
        std::env::var_os("NARTHEX_CONFORMANCE").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"), PathBuf::from);
    let dir = root.join("kube-prometheus-stack");
    if !dir.exists() {
        skip(Require::Conformance, &format!("there is no {}", dir.display()));
        return None;
    }
    let mut all = BTreeSet::new();
    collect(&dir, &mut all);
    assert!(!all.is_empty(), "no expressions in {}", dir.display());
    Some(all.into_iter().collect())
}

fn collect(dir: &Path, all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, all);
        } else if path.ends_with("rules.yaml") {
            let root = yaml::parse(&text(&path)).expect("yaml");
            for group in root.get("groups").and_then(|g| g.items()).expect("groups") {
                for rule in group.get("rules").and_then(|r| r.items()).expect("rules") {
                    all.insert(rule.get("expr").and_then(|e| e.text()).expect("expr").trim().to_string());
                }
            }
        } else if path.extension().is_some_and(|e| e == "json") {
            panels(&serde_json::from_str(&text(&path)).expect("json"), all);
        }
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}

fn panels(value: &Value, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(expr) = fields.get("expr").and_then(Value::as_str) {
                all.insert(with_variables(expr.trim()));
            }
            fields.values().for_each(|v| panels(v, all));
        }
        Value::Array(items) => items.iter().for_each(|v| panels(v, all)),
        _ => {}
    }
}

fn with_variables(expr: &str) -> String {
    let mut out = String::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if after.starts_with(|c: char| c.is_ascii_digit()) {
            // Not Grafana's but of label_replace().
            out.push('$');
            rest = after;
            continue;
        }
        let (name, tail) = match after.strip_prefix('{').and_then(|t| t.split_once('}')) {
            Some(parts) => parts,
            None => after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        let length = ["interval", "resolution", "range"].iter().any(|w| name.contains(w));
        out.push_str(if length { "5m" } else { WORD });
        rest = tail;
    }
    out.push_str(rest);
    out
}
