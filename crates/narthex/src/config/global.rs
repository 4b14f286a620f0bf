//! `global`: what jobs and rules inherit, and the labels that everything leaves this server with.

use model::{Labels, LabelsBuilder};
use scrape::config::GlobalScrapeConfig;
use std::collections::BTreeMap;
use yaml::{Cx, FilePath, Millis, Node};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct GlobalConfig as "config.plain" check(GlobalConfig::check) {
        pub scrape: GlobalScrapeConfig => inline;
        pub evaluation_interval: Millis = Millis::from_mins(1);
        pub rule_query_offset: Millis;
        pub query_log_file: FilePath;
        pub external_labels: Labels => with(external_labels);
    }
}

/// An empty section is the default one.
pub(super) fn section(node: &Node, cx: &mut Cx) -> Option<GlobalConfig> {
    if node.entries().is_some_and(<[_]>::is_empty) { Some(GlobalConfig::default()) } else { yaml::FromYaml::from_yaml(node, cx) }
}

/// Values may be empty here: they may become something when variables are expanded.
fn external_labels(node: &Node, cx: &mut Cx) -> Option<Labels> {
    for (place, what) in node.entries().into_iter().flatten().flat_map(|(k, v)| [(k, "name"), (v, "value")]) {
        if let yaml::Kind::Binary(bytes) = &place.kind {
            return cx.invalid(place, format!("\"{}\" is not a valid label {what}", bytes.escape_ascii()));
        }
    }
    let pairs = yaml::decode_map::<String>(node, cx, "labels.Labels")?;
    for (name, _) in &pairs {
        if name.is_empty() {
            return cx.invalid(node, format!("{name:?} is not a valid label name"));
        }
    }
    Some(Labels::from_pairs(pairs))
}

impl GlobalConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.evaluation_interval.is_zero() {
            self.evaluation_interval = Millis::from_mins(1);
        }
        let legacy = self.scrape.metric_name_validation_scheme.unwrap_or_default() == scrape::config::NameValidation::Legacy;
        match self.external_labels.iter().find(|(n, _)| legacy && !model::name::is_legacy_label(n)) {
            Some((n, _)) => Err(format!("{n:?} is not a valid label name")),
            None => Ok(()),
        }
    }

    /// Replaces `$NAME` and `${NAME}` by the environment's values, `$$` by a dollar sign. Returns the names that were not there.
    pub(super) fn expand_external_labels(&mut self, environment: &BTreeMap<String, String>) -> Vec<String> {
        let mut missing = Vec::new();
        let mut b = LabelsBuilder::default();
        for (n, v) in self.external_labels.iter() {
            b.set(n, &expand(v, environment, &mut missing));
        }
        self.external_labels = b.build();
        missing
    }
}

/// As Go's `os.Expand`.
fn expand(text: &str, environment: &BTreeMap<String, String>, missing: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        let name = match rest.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) => {
                    rest = &inner[end + 1..];
                    &inner[..end]
                }
                None => {
                    rest = inner;
                    ""
                }
            },
            None if rest.starts_with('$') => {
                rest = &rest[1..];
                "$"
            }
            None => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                let (name, tail) = rest.split_at(end);
                rest = tail;
                name
            }
        };
        match (name, environment.get(name)) {
            ("$", _) => out.push('$'),
            ("", _) => {}
            (_, Some(v)) if !v.is_empty() => out.push_str(v),
            _ => missing.push(name.to_string()),
        }
    }
    out.push_str(rest);
    out
}
