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

/// As Go's `os.Expand`, as far as a shell's names go: a dollar sign that no name follows stays.
fn expand(text: &str, environment: &BTreeMap<String, String>, missing: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        if rest.is_empty() {
            out.push('$');
            break;
        }
        let (name, eaten) = shell_name(rest);
        rest = &rest[eaten..];
        match (name, environment.get(name)) {
            ("$", _) => out.push('$'),
            ("", _) if eaten > 0 => {}
            ("", _) => out.push('$'),
            (_, Some(v)) if !v.is_empty() => out.push_str(v),
            _ => missing.push(name.to_string()),
        }
    }
    out.push_str(rest);
    out
}

/// The name at the beginning of what follows a dollar sign, and how many bytes it takes with its braces. Braces that are wrong are eaten.
fn shell_name(s: &str) -> (&str, usize) {
    let is_special = |c: u8| matches!(c, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9');
    let b = s.as_bytes();
    match b[0] {
        b'{' if b.len() > 2 && is_special(b[1]) && b[2] == b'}' => (&s[1..2], 3),
        b'{' => match s.find('}') {
            Some(1) => ("", 2),
            Some(end) => (&s[1..end], end + 1),
            None => ("", 1),
        },
        c if is_special(c) => (&s[..1], 1),
        _ => {
            let end = s.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(s.len());
            (&s[..end], end)
        }
    }
}

/// The keys of the section in the order in which Prometheus writes them.
const ORDER: [&str; 21] = [
    "scrape_interval",
    "scrape_timeout",
    "scrape_protocols",
    "evaluation_interval",
    "rule_query_offset",
    "query_log_file",
    "scrape_failure_log_file",
    "external_labels",
    "body_size_limit",
    "sample_limit",
    "target_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "keep_dropped_targets",
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
    "scrape_native_histograms",
    "convert_classic_histograms_to_nhcb",
    "always_scrape_classic_histograms",
    "extra_scrape_metrics",
];

impl GlobalConfig {
    /// What Prometheus says of the section where nothing was written.
    pub(super) fn fill_in(&mut self, is_written: bool) {
        let s = &mut self.scrape;
        s.metric_name_validation_scheme.get_or_insert_default();
        s.scrape_native_histograms.get_or_insert(false);
        s.extra_scrape_metrics.get_or_insert(false);
        if s.scrape_timeout.is_zero() {
            s.scrape_timeout = Millis::from_secs(10).min(s.scrape_interval);
        }
        if !is_written {
            s.metric_name_escaping_scheme = "allow-utf-8".to_string();
        }
    }

    /// The section to be shown. `blank` are names of external labels whose value came to nothing.
    pub(super) fn shown(&self, blank: &[String]) -> yaml::Value {
        let yaml::Value::Map(mut entries) = yaml::MapWriter::table(self) else { return yaml::Value::Null };
        if !blank.is_empty() {
            let labels = self.external_labels.iter().map(|(n, v)| (n.to_string(), v.to_string()));
            let all: BTreeMap<String, String> = labels.chain(blank.iter().map(|n| (n.clone(), String::new()))).collect();
            entries.retain(|(k, _)| k != "external_labels");
            entries.push(("external_labels".to_string(), yaml::ToYaml::to_value(&all)));
        }
        entries.sort_by_key(|(k, _)| ORDER.iter().position(|o| o == k));
        yaml::Value::Map(entries)
    }
}
