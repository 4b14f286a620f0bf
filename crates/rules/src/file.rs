//! A rule file: groups of recording and alerting rules, checked when it is read.

use crate::template::{ALERT_PRELUDE, Template};
use model::labels::quote;
use model::name::Scheme;
use promql::parse::{ParseOptions, parse_expr};
use std::collections::{BTreeMap, BTreeSet};
use yaml::{Millis, Options};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct RuleFile as "rulefmt.RuleGroups" {
        pub groups: Vec<RuleGroup>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct RuleGroup as "rulefmt.RuleGroup" {
        pub name: String;
        /// Zero for the global evaluation interval.
        pub interval: Millis;
        pub query_offset: Option<Millis>;
        /// Series or alerts that a rule may give; 0 for no limit.
        pub limit: i64;
        pub rules: Vec<RuleSpec>;
        pub labels: BTreeMap<String, String>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct RuleSpec as "rulefmt.Rule" {
        pub record: String;
        pub alert: String;
        pub expr: String;
        pub hold as "for": Millis;
        pub keep_firing_for: Millis;
        pub labels: BTreeMap<String, String>;
        pub annotations: BTreeMap<String, String>;
    }
}

/// Reads and checks a file's text. Every fault is named with its place, as `line:column: group …, rule …: …`.
pub fn parse(text: &str, scheme: Scheme, options: &ParseOptions, ignore_unknown_fields: bool) -> Result<RuleFile, Vec<String>> {
    let yaml_options = Options { ignore_unknown_fields, ..Options::default() };
    let tree = yaml::parse(text).map_err(|e| vec![e.to_string()])?;
    let file: RuleFile = yaml::from_node(&tree, &yaml_options).map_err(|e| vec![e.to_string()])?;
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    let group_nodes = tree.get("groups").and_then(|n| n.items()).unwrap_or(&[]);
    for (g, node) in file.groups.iter().zip(group_nodes) {
        let place = format!("{}:{}", node.line, node.column);
        if g.name.is_empty() {
            errors.push(format!("{place}: Groupname must not be empty"));
        }
        if !names.insert(&g.name) {
            errors.push(format!("{place}: groupname: \"{}\" is repeated in the same file", g.name));
        }
        check_labels(&g.labels, scheme, &mut |why| errors.push(why));
        let rule_nodes = node.get("rules").and_then(|n| n.items()).unwrap_or(&[]);
        for (i, (rule, rule_node)) in g.rules.iter().zip(rule_nodes).enumerate() {
            let name = if rule.alert.is_empty() { &rule.record } else { &rule.alert };
            let context = format!("group {}, rule {}, {}", quote(&g.name), i + 1, quote(name));
            check_rule(rule, scheme, options, &mut |key, why| {
                let at = key.and_then(|k| rule_node.get(k)).or(key.map(|_| rule_node));
                match at {
                    Some(n) => errors.push(format!("{}:{}: {context}: {why}", n.line, n.column)),
                    None => errors.push(format!("{context}: {why}")),
                }
            });
        }
    }
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

fn check_labels(labels: &BTreeMap<String, String>, scheme: Scheme, fault: &mut dyn FnMut(String)) {
    for name in labels.keys() {
        if !scheme.label_ok(name) || name == model::name::METRIC_NAME {
            fault(format!("invalid label name: {name}"));
        }
    }
}

/// Tells each fault with the key it lies in.
fn check_rule(r: &RuleSpec, scheme: Scheme, options: &ParseOptions, fault: &mut dyn FnMut(Option<&str>, String)) {
    match (r.record.is_empty(), r.alert.is_empty()) {
        (false, false) => fault(Some("record"), "only one of 'record' and 'alert' must be set".to_string()),
        (true, true) => fault(Some("record"), "one of 'record' or 'alert' must be set".to_string()),
        _ => {}
    }
    if r.expr.is_empty() {
        fault(Some("expr"), "field 'expr' must be set in rule".to_string());
    } else if let Err(e) = parse_expr(&r.expr, options) {
        fault(Some("expr"), format!("could not parse expression: {e}"));
    }
    if !r.record.is_empty() {
        for (set, key) in [(!r.annotations.is_empty(), "annotations"), (!r.hold.is_zero(), "for"), (!r.keep_firing_for.is_zero(), "keep_firing_for")]
        {
            if set {
                fault(Some("record"), format!("invalid field '{key}' in recording rule"));
            }
        }
        if !scheme.metric_ok(&r.record) {
            fault(Some("record"), format!("invalid recording rule name: {}", r.record));
        }
        if r.record.contains(['{', '}']) {
            fault(Some("record"), format!("braces present in the recording rule name; should it be in expr?: {}", r.record));
        }
    }
    check_labels(&r.labels, scheme, &mut |why| fault(None, why));
    for name in r.annotations.keys() {
        if !scheme.label_ok(name) {
            fault(None, format!("invalid annotation name: {name}"));
        }
    }
    if !r.alert.is_empty() {
        for (what, texts) in [("label", &r.labels), ("annotation", &r.annotations)] {
            for (name, text) in texts {
                if let Err(e) = Template::parse(&format!("__alert_{}", r.alert), &format!("{ALERT_PRELUDE}{text}")) {
                    fault(None, format!("{what} {name:?}: {e}"));
                }
            }
        }
    }
}
