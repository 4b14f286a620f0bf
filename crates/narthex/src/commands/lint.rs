//! `check metrics`: what of a page is against the customs of metric names, and how many series each family has.

use super::families::{Family, read};
use super::{Context, FAILURE, LINT, complain, line};
use model::MetricType;
use std::collections::BTreeMap;

pub fn run(cx: &Context) -> u8 {
    let (extended, lints) = (cx.values.bool("extended"), cx.values.text("lint") != "none");
    if !extended && !lints {
        complain("error: at least one of --extended or linting must be enabled");
        complain("Use --extended for cardinality analysis, or remove --lint=none to enable linting");
        return FAILURE;
    }
    let what = if lints { "error while linting" } else { "error while parsing text to metric families" };
    let families = match super::stdin().and_then(|page| read(&page)) {
        Ok(f) => f,
        Err(e) => {
            complain(&format!("{what}: {e}"));
            return FAILURE;
        }
    };
    let found = if lints { problems(&families) } else { Vec::new() };
    found.iter().for_each(|(name, text)| complain(&format!("{name} {text}")));
    if extended {
        cardinality(&families);
    }
    if found.is_empty() { 0 } else { LINT }
}

/// Family and what is wrong with it, sorted.
fn problems(families: &BTreeMap<String, Family>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (name, family) in families {
        let mut found = Vec::new();
        of_family(name, family, &mut found);
        out.extend(found.into_iter().map(|text| (name.clone(), text)));
    }
    out.sort();
    out
}

const BASE_UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga", "gibi", "tera", "tebi", "peta",
    "pebi",
];

const ABBREVIATIONS: [&str; 14] = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

fn of_family(name: &str, family: &Family, out: &mut Vec<String>) {
    let mut say = |text: &str| out.push(text.to_string());
    let kind = family.kind;
    let metrics = family.metrics();
    let ends = |suffix: &str| name.ends_with(suffix);
    if family.help.is_none() {
        say("no help text");
    }
    if let Some((unit, base)) = unit_of(name).filter(|(unit, base)| unit != base) {
        say(&format!("use base unit \"{base}\" instead of \"{unit}\""));
    }
    let (counter, untyped) = (kind == MetricType::Counter, kind == MetricType::Unknown);
    if counter && !ends("_total") {
        say("counter metrics should have \"_total\" suffix");
    } else if !counter && !untyped && ends("_total") {
        say("non-counter metrics should not have \"_total\" suffix");
    }
    if !untyped {
        let (histogram, summary) = (kind == MetricType::Histogram, kind == MetricType::Summary);
        if !histogram && ends("_bucket") {
            say("non-histogram metrics should not have \"_bucket\" suffix");
        }
        for suffix in ["_count", "_sum"] {
            if !histogram && !summary && ends(suffix) {
                say(&format!("non-histogram and non-summary metrics should not have \"{suffix}\" suffix"));
            }
        }
        for (label, _) in metrics.iter().flat_map(model::Labels::iter) {
            if !histogram && label == "le" {
                say("non-histogram metrics should not have \"le\" label");
            }
            if !summary && label == "quantile" {
                say("non-summary metrics should not have \"quantile\" label");
            }
        }
        let (lower, word) = (name.to_lowercase(), kind.as_str());
        if lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}")) {
            say(&format!("metric name should not include type '{word}'"));
        }
    }
    if name.contains(':') {
        say("metric names should not contain ':'");
    }
    if is_camel(name) {
        say("metric names should be written in 'snake_case' not 'camelCase'");
    }
    for (label, _) in metrics.iter().flat_map(model::Labels::iter) {
        if is_camel(label) {
            say("label names should be written in 'snake_case' not 'camelCase'");
        }
    }
    let lower = name.to_lowercase();
    for short in ABBREVIATIONS {
        if lower.contains(&format!("_{short}_")) || lower.ends_with(&format!("_{short}")) {
            say("metric names should not contain abbreviated units");
        }
    }
    for (i, m) in metrics.iter().enumerate() {
        if metrics[i + 1..].contains(m) {
            say("metric not unique");
        }
    }
}

fn is_camel(name: &str) -> bool {
    name.as_bytes().windows(2).any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
}

/// The first unit in a name, and its base unit.
fn unit_of(name: &str) -> Option<(&str, &'static str)> {
    let base = |word: &str| BASE_UNITS.iter().find(|(u, _)| *u == word).map(|(_, b)| *b);
    name.split('_').find_map(|word| {
        let found = base(word).or_else(|| PREFIXES.iter().find_map(|p| word.strip_prefix(p).and_then(base)));
        found.map(|b| (word, b))
    })
}

fn cardinality(families: &BTreeMap<String, Family>) {
    let mut rows: Vec<(&str, usize)> = families
        .iter()
        .map(|(name, f)| {
            let metrics = f.metrics();
            let first = |label: &str| {
                let Some(first) = metrics.first() else { return 0 };
                f.samples.iter().filter(|s| s.labels.has(label) && s.labels.without(&[model::name::METRIC_NAME, label]) == *first).count()
            };
            let n = match f.kind {
                MetricType::Histogram => metrics.len() * (2 + first("le")),
                MetricType::Summary => metrics.len() * (2 + first("quantile")),
                _ => metrics.len(),
            };
            (name.as_str(), n)
        })
        .collect();
    rows.sort_by_key(|r| std::cmp::Reverse(r.1));
    let total: usize = rows.iter().map(|r| r.1).sum();
    let mut table = vec![["Metric".to_string(), "Cardinality".to_string(), "Percentage".to_string()]];
    table.extend(rows.iter().map(|(name, n)| [(*name).to_string(), n.to_string(), format!("{:.2}%", *n as f64 / total as f64 * 100.0)]));
    table.push(["Total".to_string(), total.to_string(), "100%".to_string()]);
    let width = |i: usize| table.iter().map(|r| r[i].chars().count()).max().unwrap_or(0) + 4;
    let widths = [width(0), width(1), width(2)];
    for row in &table {
        line(&row.iter().zip(widths).map(|(cell, w)| format!("{cell:w$}")).collect::<String>());
    }
}
