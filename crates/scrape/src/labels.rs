//! Label work: from what discovery says to a target's labels, from what a page says to a stored series' labels.

use crate::config::ScrapeConfig;
use exposition::LabelBuf;
use model::labels::quote;
use model::name::{INSTANCE, JOB, METRIC_NAME, Scheme};
use model::relabel;
use model::{Labels, LabelsBuilder};

pub const ADDRESS: &str = "__address__";
pub const SCHEME: &str = "__scheme__";
pub const METRICS_PATH: &str = "__metrics_path__";
pub const SCRAPE_INTERVAL: &str = "__scrape_interval__";
pub const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
pub const PARAM_PREFIX: &str = "__param_";
pub const META_PREFIX: &str = "__meta_";
pub const RESERVED_PREFIX: &str = "__";
pub const EXPORTED_PREFIX: &str = "exported_";
pub const CONVERT_HISTOGRAMS: &str = "__convert_classic_histograms_to_nhcb__";
pub const CLASSIC_HISTOGRAMS: &str = "__always_scrape_classic_histograms__";
pub const NATIVE_HISTOGRAMS: &str = "__scrape_native_histograms__";

/// Labels of a target before relabelling: its own, its group's, and the job's settings.
pub fn discovered(config: &ScrapeConfig, own: &Labels, group: &Labels) -> LabelsBuilder {
    let mut b = own.builder();
    for (n, v) in group.iter() {
        if !own.has(n) {
            b.set(n, v);
        }
    }
    let flag = |on: bool| if on { "true" } else { "false" };
    let interval = model::duration::format_ms(config.scrape_interval.ms());
    let timeout = model::duration::format_ms(config.scrape_timeout.ms());
    let defaults = [
        (JOB, config.job_name.as_str()),
        (SCRAPE_INTERVAL, &interval),
        (SCRAPE_TIMEOUT, &timeout),
        (METRICS_PATH, &config.metrics_path),
        (SCHEME, &config.scheme),
        (CONVERT_HISTOGRAMS, flag(config.convert_histograms())),
        (CLASSIC_HISTOGRAMS, flag(config.classic_histograms())),
        (NATIVE_HISTOGRAMS, flag(config.native_histograms())),
    ];
    for (name, value) in defaults {
        if b.value(name).is_empty() {
            b.set(name, value);
        }
    }
    for (key, values) in &config.params {
        let name = format!("{PARAM_PREFIX}{key}");
        if let Some(first) = values.first()
            && b.value(&name).is_empty()
        {
            b.set(&name, first);
        }
    }
    b
}

/// As Go's `strconv.ParseBool`.
pub fn parse_bool(s: &str) -> Option<bool> {
    match s {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The labels of a target, reserved ones included. Ok(None) when the rules drop it.
pub fn target_labels(config: &ScrapeConfig, own: &Labels, group: &Labels) -> Result<Option<Labels>, String> {
    let mut b = discovered(config, own, group);
    if !relabel::process(&mut b, &config.relabel_configs) {
        return Ok(None);
    }
    let address = b.value(ADDRESS).to_string();
    if address.is_empty() {
        return Err("no address".to_string());
    }
    if address.contains('/') {
        return Err(format!("{} is not a valid hostname", quote(&address)));
    }
    let duration = |name: &str, what: &str| match model::duration::parse_ms(b.value(name)) {
        Err(e) => Err(format!("error parsing scrape {what}: {e}")),
        Ok(0) => Err(format!("scrape {what} cannot be 0")),
        Ok(ms) => Ok(ms),
    };
    let (interval, timeout) = (duration(SCRAPE_INTERVAL, "interval")?, duration(SCRAPE_TIMEOUT, "timeout")?);
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({} > {})",
            quote(b.value(SCRAPE_TIMEOUT)),
            quote(b.value(SCRAPE_INTERVAL))
        ));
    }
    for (name, what) in [
        (CONVERT_HISTOGRAMS, "convert classic histograms to nhcb"),
        (CLASSIC_HISTOGRAMS, "always scrape classic histograms"),
        (NATIVE_HISTOGRAMS, "scrape native histograms"),
    ] {
        let v = b.value(name);
        if !v.is_empty() && parse_bool(v).is_none() {
            return Err(format!("error parsing {what}: strconv.ParseBool: parsing {}: invalid syntax", quote(v)));
        }
    }
    b.retain(|n, _| !n.starts_with(META_PREFIX));
    if b.value(INSTANCE).is_empty() {
        b.set(INSTANCE, &address);
    }
    Ok(Some(b.build()))
}

/// What a target's series carry: all but the reserved labels.
pub fn public(labels: &Labels) -> Labels {
    labels.filtered(|n| !n.starts_with(RESERVED_PREFIX))
}

/// How a job treats the labels of its pages.
pub struct SampleRules<'a> {
    pub target: &'a Labels,
    pub honor_labels: bool,
    pub rules: &'a [relabel::RelabelRule],
}

impl SampleRules<'_> {
    /// The labels under which a sample is stored. None when the rules drop it.
    pub fn apply(&self, page: &LabelBuf) -> Option<Labels> {
        let exposed = page.as_ref();
        let mut b = exposed.to_labels().builder();
        let mut conflicts: Vec<(&str, &str)> = Vec::new();
        for (n, v) in self.target.iter() {
            match exposed.get(n) {
                Some(_) if self.honor_labels => continue,
                None if self.honor_labels && page.is_blank(n) => continue,
                Some(theirs) => conflicts.push((n, theirs)),
                None => {}
            }
            b.set(n, v);
        }
        // Shorter names first, so that exported_a and exported_exported_a come out the same way every time.
        conflicts.sort_by_key(|(n, _)| n.len());
        for (n, v) in conflicts {
            let mut name = format!("{EXPORTED_PREFIX}{n}");
            while !b.value(&name).is_empty() {
                name.insert_str(0, EXPORTED_PREFIX);
            }
            b.set(&name, v);
        }
        let keep = relabel::process(&mut b, self.rules) && !b.is_empty();
        keep.then(|| b.build())
    }
}

/// Labels of `up` and its like.
pub fn report_labels(name: &str, target: &Labels) -> Labels {
    let mut b = target.builder();
    b.set(METRIC_NAME, name);
    b.build()
}

/// Limits on one series' labels; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelLimits {
    pub count: u64,
    pub name_length: u64,
    pub value_length: u64,
}

fn first_chars(s: &str) -> String {
    s.chars().take(50).collect()
}

/// Is a series one that may be stored?
pub fn check(labels: &Labels, scheme: Scheme) -> Result<(), String> {
    let Some(name) = labels.get(METRIC_NAME) else { return Err("missing metric name (__name__ label)".to_string()) };
    if !scheme.metric_ok(name) || labels.iter().any(|(n, _)| n != METRIC_NAME && !scheme.label_ok(n)) {
        return Err(format!("invalid metric name or label names: {labels}"));
    }
    Ok(())
}

impl LabelLimits {
    pub fn check(&self, labels: &Labels) -> Result<(), String> {
        let metric = || first_chars(labels.metric_name());
        if self.count > 0 && labels.len() as u64 > self.count {
            return Err(format!("label_limit exceeded (metric: {}, number of labels: {}, limit: {})", metric(), labels.len(), self.count));
        }
        if self.name_length == 0 && self.value_length == 0 {
            return Ok(());
        }
        for (n, v) in labels.iter() {
            if self.name_length > 0 && n.len() as u64 > self.name_length {
                return Err(format!(
                    "label_name_length_limit exceeded (metric: {}, label name: {}, length: {}, limit: {})",
                    metric(),
                    first_chars(n),
                    n.len(),
                    self.name_length
                ));
            }
            if self.value_length > 0 && v.len() as u64 > self.value_length {
                return Err(format!(
                    "label_value_length_limit exceeded (metric: {}, label name: {}, value: {}, length: {}, limit: {})",
                    metric(),
                    first_chars(n),
                    quote(&first_chars(v)),
                    v.len(),
                    self.value_length
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
