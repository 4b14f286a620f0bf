//! Relabelling: rules that rewrite, keep or drop a set of labels.
//!
//! The rules of `relabel_configs`, `metric_relabel_configs`, `write_relabel_configs` and `alert_relabel_configs`. How they are written in the
//! configuration is the YAML room's matter; here they are values: start from [`RelabelRule::default`], set what was written, [`RelabelRule::validate`],
//! then [`process`].

mod validate;

use crate::labels::{Labels, LabelsBuilder};
use crate::name::Scheme;
use crate::regex::Regex;
use md5::{Digest, Md5};
use std::fmt;

pub use validate::RelabelError;

pub const DEFAULT_SEPARATOR: &str = ";";
pub const DEFAULT_REGEX: &str = "(.*)";
pub const DEFAULT_REPLACEMENT: &str = "$1";

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Action {
    /// Sets the target label to the replacement when the regex matches.
    #[default]
    Replace,
    Keep,
    Drop,
    /// Keeps only what has the source value in the target label.
    KeepEqual,
    DropEqual,
    /// Sets the target label to a hash of the source value modulo `modulus`.
    HashMod,
    /// Copies labels whose names match to names made from the replacement.
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl Action {
    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, a)| *a == self).map_or("replace", |(s, _)| s)
    }

    /// Case does not matter.
    pub fn parse(s: &str) -> Result<Self, RelabelError> {
        let lower = s.to_lowercase();
        ACTIONS.iter().find(|(name, _)| *name == lower).map(|(_, a)| *a).ok_or_else(|| RelabelError::UnknownAction(s.to_string()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule. [`RelabelRule::default`] has the defaults of the configuration.
#[derive(Clone, Debug)]
pub struct RelabelRule {
    pub source_labels: Vec<String>,
    pub separator: String,
    pub regex: Regex,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    pub action: Action,
    /// Which label names may be written. None until [`RelabelRule::validate`] fills in the configuration's scheme.
    pub scheme: Option<Scheme>,
}

impl Default for RelabelRule {
    fn default() -> Self {
        RelabelRule {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_string(),
            regex: Regex::new(DEFAULT_REGEX).expect("the default pattern is well-formed"),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_string(),
            action: Action::Replace,
            scheme: None,
        }
    }
}

/// Rules are equal when they are written equal.
impl PartialEq for RelabelRule {
    fn eq(&self, o: &Self) -> bool {
        self.source_labels == o.source_labels
            && self.separator == o.separator
            && self.regex.pattern() == o.regex.pattern()
            && self.modulus == o.modulus
            && self.target_label == o.target_label
            && self.replacement == o.replacement
            && self.action == o.action
            && self.scheme == o.scheme
    }
}

/// Applies the rules in order. False when one of them drops the labels; what `labels` then holds means nothing.
pub fn process(labels: &mut LabelsBuilder, rules: &[RelabelRule]) -> bool {
    rules.iter().all(|r| r.apply(labels))
}

/// The labels after the rules; None when they were dropped.
pub fn process_labels(labels: &Labels, rules: &[RelabelRule]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut b = labels.builder();
    process(&mut b, rules).then(|| b.build())
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

impl RelabelRule {
    /// Applies this rule; false when it drops the labels.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        match self.action {
            Action::Keep => self.with_source(labels, |v| self.regex.is_match(v)),
            Action::Drop => self.with_source(labels, |v| !self.regex.is_match(v)),
            Action::KeepEqual => self.with_source(labels, |v| labels.value(&self.target_label) == v),
            Action::DropEqual => self.with_source(labels, |v| labels.value(&self.target_label) != v),
            Action::LabelDrop => {
                labels.retain(|n, _| !self.regex.is_match(n));
                true
            }
            Action::LabelKeep => {
                labels.retain(|n, _| self.regex.is_match(n));
                true
            }
            Action::LabelMap => {
                self.map_names(labels);
                true
            }
            Action::Replace => {
                self.replace(labels);
                true
            }
            Action::HashMod => {
                let hash = self.with_source(labels, |v| md5_low_64(v.as_bytes()));
                // A rule that was not validated may have no modulus; there is nothing to write then.
                if let Some(rest) = hash.checked_rem(self.modulus) {
                    labels.set(&self.target_label, &rest.to_string());
                }
                true
            }
            Action::Lowercase => {
                let v = self.with_source(labels, |v| v.chars().map(lower).collect::<String>());
                labels.set(&self.target_label, &v);
                true
            }
            Action::Uppercase => {
                let v = self.with_source(labels, |v| v.chars().map(upper).collect::<String>());
                labels.set(&self.target_label, &v);
                true
            }
        }
    }

    /// Hands over the values of the source labels, joined.
    fn with_source<T>(&self, labels: &LabelsBuilder, f: impl FnOnce(&str) -> T) -> T {
        match self.source_labels.as_slice() {
            [] => f(""),
            [one] => f(labels.value(one)),
            many => {
                let mut joined = String::with_capacity(64);
                for (i, name) in many.iter().enumerate() {
                    if i > 0 {
                        joined.push_str(&self.separator);
                    }
                    joined.push_str(labels.value(name));
                }
                f(&joined)
            }
        }
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let scheme = self.scheme.unwrap_or_default();
        // Plain copy of the source: the rule most often written.
        if self.replacement == DEFAULT_REPLACEMENT && self.regex.pattern() == DEFAULT_REGEX && !has_variable(&self.target_label) {
            if scheme.label_ok(&self.target_label) {
                let v = self.with_source(labels, str::to_string);
                labels.set(&self.target_label, &v);
            }
            return;
        }
        let written = self.with_source(labels, |source| {
            let found = self.regex.captures(source)?;
            let expand = |template: &str| {
                let mut out = String::new();
                found.expand_into(template, &mut out);
                out
            };
            let target = if has_variable(&self.target_label) { expand(&self.target_label) } else { self.target_label.clone() };
            let value = if has_variable(&self.replacement) { expand(&self.replacement) } else { self.replacement.clone() };
            scheme.label_ok(&target).then_some((target, value))
        });
        if let Some((target, value)) = written {
            labels.set(&target, &value);
        }
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let copies: Vec<(String, String)> =
            labels.pairs().iter().filter_map(|(n, v)| Some((self.regex.expand(&self.replacement, n)?, v.clone()))).collect();
        for (name, value) in copies.iter().filter(|(n, _)| !n.is_empty()) {
            labels.set(name, value);
        }
    }
}

/// The last eight bytes of the MD5 sum, big-endian: what Prometheus takes, so that shards stay where they are.
fn md5_low_64(data: &[u8]) -> u64 {
    let sum: [u8; 16] = Md5::digest(data).into();
    u64::from_be_bytes(sum[8..].try_into().expect("eight of sixteen bytes"))
}

/// One character for one, as Go's strings package maps case.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn upper(c: char) -> char {
    let mut up = c.to_uppercase();
    match (up.next(), up.next()) {
        (Some(u), None) => u,
        _ => c,
    }
}

#[cfg(test)]
mod tests;
