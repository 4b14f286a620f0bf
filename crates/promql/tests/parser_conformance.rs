//! The parser against the reference's own data: its table of expressions with errors and positions, every expression and every series of
//! its test scripts, and the rules and dashboards of kube-prometheus-stack.
//!
//! The data is found through NARTHEX_CONFORMANCE, else beside the repository; without it these tests say so and pass. What a plain clone
//! tests stands beside the code.

use promql::parse::{ParseOptions, parse_expr, parse_series, parse_start_times};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

fn data(sub: &str) -> Option<PathBuf> {
    let root = std::env::var_os("NARTHEX_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let path = root.join(sub);
    if !path.exists() {
        say(&format!("parser: skipped, there is no {}", path.display()));
        return None;
    }
    Some(path)
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reports `good` of `all` and fails when these differ.
fn verdict(what: &str, good: usize, problems: &[String]) {
    say(&format!("parser: {good}/{} {what}", good + problems.len()));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(good > 0, "no {what} found");
}

#[test]
fn expressions_are_accepted_and_refused_alike() {
    let Some(path) = data("promql/parser/expressions.jsonl") else { return };
    let text = std::fs::read_to_string(path).expect("readable");
    let options = ParseOptions { fill_modifiers: true, ..ParseOptions::ALL };
    let (mut good, mut problems) = (0, Vec::new());
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a line is an object");
        let bytes = match case["input_hex"].as_str() {
            Some(hex) => (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).expect("hex")).collect(),
            None => case["input"].as_str().expect("input").as_bytes().to_vec(),
        };
        let input = String::from_utf8_lossy(&bytes);
        // What is not UTF-8 gets longer when it is made so.
        let longer = input.len() - bytes.len();
        match problem(&case, &input, longer, &options) {
            Some(p) => problems.push(p),
            None => good += 1,
        }
    }
    verdict("expressions of the reference's table", good, &problems);
}

fn problem(case: &Value, input: &str, longer: usize, options: &ParseOptions) -> Option<String> {
    let errors = match (parse_expr(input, options), case["valid"].as_bool()) {
        (Ok(e), Some(true)) => {
            let node = node_name(&e);
            return (Some(node) != case["node"].as_str()).then(|| format!("{input}: a {node}, not a {}", case["node"]));
        }
        (Ok(_), _) => return Some(format!("{input}: accepted, not {}", case["errors"])),
        (Err(e), Some(true)) => return Some(format!("{input}: refused: {e}")),
        (Err(e), _) => e,
    };
    let expected = case["errors"].as_array().expect("errors of a bad expression");
    let same = errors.0.len() == expected.len()
        && errors.0.iter().zip(expected).enumerate().all(|(i, (got, want))| {
            let span = (u64::from(got.span.start), u64::from(got.span.end));
            let wanted = (want["start"].as_u64().unwrap_or(0), want["end"].as_u64().unwrap_or(0));
            // The table leaves the place of some errors open that are never shown.
            let place = span == wanted || (span.0, span.1 - longer as u64) == wanted || (i > 0 && wanted == (0, 0));
            place && Some(got.message.as_str()) == want["msg"].as_str()
        });
    (!same).then(|| format!("{input}: {:?}, not {}", errors.0, case["errors"]))
}

fn node_name(e: &promql::parse::Expr) -> &'static str {
    use promql::parse::Expr::*;
    match e {
        Number(_) => "NumberLiteral",
        String(_) => "StringLiteral",
        Vector(_) => "VectorSelector",
        Matrix(_) => "MatrixSelector",
        Subquery(_) => "SubqueryExpr",
        Call(_) => "Call",
        Aggregate(_) => "AggregateExpr",
        Binary(_) => "BinaryExpr",
        Unary(_) => "UnaryExpr",
        Paren(_) => "ParenExpr",
    }
}

/// Every query must be accepted.
fn parse_all(what: &str, queries: Vec<String>) {
    let (mut good, mut problems) = (0, Vec::new());
    for query in queries {
        match parse_expr(&query, &ParseOptions::ALL) {
            Ok(_) => good += 1,
            Err(e) => problems.push(format!("{query}: {e}")),
        }
    }
    verdict(what, good, &problems);
}

#[test]
fn test_scripts() {
    let Some(dir) = data("promql") else { return };
    let (mut queries, mut good, mut problems) = (Vec::new(), 0, Vec::new());
    for file in files(&dir, "test") {
        let text = std::fs::read_to_string(&file).expect("readable");
        let mut loading = false;
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        for (i, line) in lines.iter().enumerate() {
            let inner = line.trim_start();
            if inner.is_empty() || inner.starts_with('#') {
                loading &= !inner.is_empty();
                continue;
            }
            if loading && line.starts_with([' ', '\t']) {
                let parsed = match parse_start_times(inner) {
                    Some(parsed) => parsed.map(|_| ()),
                    None => parse_series(inner).map(|_| ()).map_err(|e| e.to_string()),
                };
                match parsed {
                    Ok(()) => good += 1,
                    Err(e) => problems.push(format!("{}:{}: {inner}: {e}", file.display(), i + 1)),
                }
                continue;
            }
            let line = &inner;
            loading = line.starts_with("load");
            if let Some(query) = evaluated(line) {
                queries.push(query.to_string());
            }
        }
    }
    verdict("series of the test scripts", good, &problems);
    // Evaluations that are expected to fail are not wrong as text.
    parse_all("expressions of the test scripts", queries);
}

/// The expression of an `eval` line.
fn evaluated(line: &str) -> Option<&str> {
    let (command, rest) = line.split_once(char::is_whitespace)?;
    if !command.starts_with("eval") {
        return None;
    }
    let mut words = Words(rest);
    match words.next()? {
        "instant" => {
            let before = words.0;
            if words.next()? == "at" {
                words.next();
                return Some(words.0.trim());
            }
            Some(before.trim())
        }
        "range" => {
            for _ in 0..6 {
                words.next();
            }
            Some(words.0.trim())
        }
        _ => None,
    }
}

struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        self.0 = &text[end..];
        (end > 0).then(|| &text[..end])
    }
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn rules_and_dashboards() {
    let Some(dir) = data("kube-prometheus-stack") else { return };
    let mut queries = Vec::new();
    for file in files(&dir, "yaml").iter().filter(|f| f.ends_with("rules.yaml")) {
        let text = std::fs::read_to_string(file).expect("readable");
        let root = yaml::parse(&text).expect("yaml");
        for group in root.get("groups").and_then(|g| g.items()).expect("groups") {
            for rule in group.get("rules").and_then(|r| r.items()).expect("rules") {
                queries.push(rule.get("expr").and_then(|e| e.text()).expect("expr").to_string());
            }
        }
    }
    parse_all("rules of kube-prometheus-stack", queries);
    let mut queries = Vec::new();
    for file in files(&dir, "json") {
        let root: Value = serde_json::from_str(&std::fs::read_to_string(file).expect("readable")).expect("json");
        collect_targets(&root, &mut queries);
    }
    parse_all("dashboard panels of kube-prometheus-stack", queries);
}

fn collect_targets(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(expr) = fields.get("expr").and_then(Value::as_str) {
                out.push(with_variables(expr));
            }
            fields.values().for_each(|v| collect_targets(v, out));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_targets(v, out)),
        _ => {}
    }
}

/// Fills in dashboard variables: a length of time where one is meant, a word elsewhere.
fn with_variables(expr: &str) -> String {
    let mut out = String::new();
    let mut rest = expr;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = match after.strip_prefix('{').and_then(|t| t.split_once('}')) {
            Some((name, tail)) => (name, tail),
            None => after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        out.push_str(if name.contains("interval") || name == "resolution" { "5m" } else { "value" });
        rest = tail;
    }
    out.push_str(rest);
    out
}
