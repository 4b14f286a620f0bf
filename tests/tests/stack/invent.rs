//! Series made up for expressions: whatever these select exists, and joins find partners.
//!
//! Three entities stand behind all series. A label that nothing says a value for has the name of the entity, whatever the label: so the
//! pod of one metric is the owner of another. The first entity is the one that dashboards ask for; the second has a reset and a time
//! without samples.

use crate::expressions::WORD;
use model::{MatchOp, Matcher};
use promql::parse::{Expr, ParseOptions, parse_expr};
use std::collections::{BTreeMap, BTreeSet};

const ENTITIES: usize = 3;
const STEP_MS: i64 = 30_000;
/// 40 minutes.
const SAMPLES: i64 = 80;
/// The second entity starts over here.
const RESET: i64 = 50;
/// The second entity ends here, and comes back behind it.
const STALE: i64 = 28;
const BACK: i64 = 44;
const STALE_MARKER: u64 = 0x7ff0_0000_0000_0002;
/// Values taken of a pattern, and series for one entity of one selector.
const ALTERNATIVES: usize = 2;
const COMBINATIONS: usize = 8;
/// Every series has these.
const EVERYWHERE: [&str; 7] = ["cluster", "container", "instance", "job", "namespace", "node", "pod"];
/// Labels whose value several entities may share. Of another label the name of the first entity is the first entity's alone: else a pod
/// would have two owners.
const SHARED: [&str; 3] = ["cluster", "job", "namespace"];
const BOUNDS: [&str; 9] = ["0.05", "0.1", "0.4", "1", "5", "10", "30", "60", "+Inf"];

pub struct Series {
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// (milliseconds, value)
    pub samples: Vec<(i64, f64)>,
}

/// What is known of one metric.
#[derive(Default)]
struct Metric {
    /// By their text, so that each is there once.
    selectors: BTreeMap<String, Vec<Matcher>>,
    /// Labels that expressions group or join by.
    labels: BTreeSet<String>,
}

/// A series as unit tests of rules write it: its values, one each [`STEP_MS`].
pub struct Stepped {
    pub labels: Vec<(String, String)>,
    pub values: String,
}

/// The same from the epoch on, every sample in its step.
pub fn in_steps(expressions: &[String]) -> Vec<Stepped> {
    let all = series(expressions, SAMPLES * STEP_MS);
    let text = |samples: &[(i64, f64)]| -> String {
        let at = |k: i64| samples.iter().find(|(t, _)| t / STEP_MS == k);
        let values = (0..SAMPLES).map(|k| match at(k) {
            None => "_".to_string(),
            Some((_, v)) if v.to_bits() == STALE_MARKER => "stale".to_string(),
            Some((_, v)) => v.to_string(),
        });
        values.collect::<Vec<_>>().join(" ")
    };
    all.into_iter().map(|s| Stepped { values: text(&s.samples), labels: s.labels }).collect()
}

/// The last samples are at or shortly before `end_ms`.
pub fn series(expressions: &[String], end_ms: i64) -> Vec<Series> {
    let (mut metrics, mut values) = (BTreeMap::new(), BTreeMap::new());
    for text in expressions {
        let expr = parse_expr(text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
        learn(&expr, &mut metrics, &mut values);
    }
    let mut all: BTreeMap<Vec<(String, String)>, usize> = BTreeMap::new();
    for (name, metric) in &metrics {
        for matchers in metric.selectors.values() {
            for entity in 0..ENTITIES {
                for labels in label_sets(name, metric, matchers, &values, entity) {
                    all.entry(labels).or_insert(entity);
                }
            }
        }
    }
    all.into_iter().map(|(labels, entity)| Series { samples: samples(&labels, entity, end_ms), labels }).collect()
}

fn learn(expr: &Expr, metrics: &mut BTreeMap<String, Metric>, values: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut labels = BTreeSet::new();
    expr.walk(&mut |e| match e {
        Expr::Aggregate(a) if !a.without => labels.extend(a.grouping.iter().cloned()),
        Expr::Binary(b) => {
            if let Some(m) = b.matching.as_ref().filter(|m| m.on) {
                labels.extend(m.labels.iter().chain(&m.include).cloned());
            }
        }
        _ => {}
    });
    labels.remove("le");
    for selector in expr.selectors() {
        let name = selector.matchers.iter().find(|m| m.name == "__name__" && m.op == MatchOp::Equal).map(|m| m.value.clone());
        let Some(name) = name else { continue };
        for m in selector.matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty()) {
            values.entry(m.name.clone()).or_default().insert(m.value.clone());
        }
        let metric: &mut Metric = metrics.entry(name).or_default();
        metric.labels.extend(labels.iter().cloned());
        metric.selectors.insert(format!("{:?}", selector.matchers), selector.matchers.clone());
    }
}

fn entity_name(entity: usize) -> String {
    if entity == 0 { WORD.to_string() } else { format!("{WORD}_{entity}") }
}

/// Every way to satisfy a selector, up to a number of them.
fn label_sets(
    name: &str,
    metric: &Metric,
    matchers: &[Matcher],
    values: &BTreeMap<String, BTreeSet<String>>,
    entity: usize,
) -> Vec<Vec<(String, String)>> {
    let mut names: BTreeSet<&str> = metric.labels.iter().map(String::as_str).chain(EVERYWHERE).collect();
    names.extend(matchers.iter().map(|m| m.name.as_str()));
    let buckets = name.contains("_bucket");
    if buckets {
        names.insert("le");
    }
    names.remove("__name__");
    if entity > 0 && matchers.iter().any(|m| m.value == WORD && !SHARED.contains(&m.name.as_str())) {
        return Vec::new();
    }
    let mut sets = vec![vec![("__name__".to_string(), name.to_string())]];
    for label in names {
        let wanted: Vec<&Matcher> = matchers.iter().filter(|m| m.name == label).collect();
        let choices = match label {
            // All of them: the others belong to the same histogram.
            "le" if buckets => BOUNDS.iter().map(|b| (*b).to_string()).collect(),
            _ => choices(&wanted, &values.get(label).into_iter().flatten().cloned().collect::<Vec<_>>(), entity),
        };
        let limit = if label == "le" { usize::MAX } else { COMBINATIONS };
        let with = |set: &Vec<(String, String)>, choice: &String| {
            let mut set = set.clone();
            if !choice.is_empty() {
                set.push((label.to_string(), choice.clone()));
            }
            set
        };
        sets = sets.iter().flat_map(|set| choices.iter().map(move |c| with(set, c))).take(limit.max(choices.len())).collect();
    }
    sets.iter_mut().for_each(|s| s.sort());
    sets
}

/// Values that satisfy all matchers of one label: that of the entity if it does.
fn choices(wanted: &[&Matcher], known: &[String], entity: usize) -> Vec<String> {
    let fits = |v: &String| wanted.iter().all(|m| m.matches(v));
    let own = entity_name(entity);
    if fits(&own) {
        return vec![own];
    }
    let mut candidates: Vec<String> = Vec::new();
    for m in wanted.iter().filter(|m| m.op == MatchOp::Equal || m.op == MatchOp::Regex) {
        let plain = m.value.replace("(/dev/)?", "").replace(['(', ')', '\\'], "").replace(".+", "x").replace(".*", "x");
        for part in plain.split('|') {
            // `5..` is a class of codes, but `limits.cpu` is meant as it stands.
            candidates.push(if part.ends_with("..") { part.replace('.', "0") } else { part.to_string() });
        }
    }
    candidates.extend_from_slice(known);
    let mut found = Vec::new();
    for c in candidates.into_iter().filter(fits) {
        if !found.contains(&c) && found.len() < ALTERNATIVES {
            found.push(c);
        }
    }
    found
}

fn samples(labels: &[(String, String)], entity: usize, end_ms: i64) -> Vec<(i64, f64)> {
    let get = |name: &str| labels.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
    let name = get("__name__");
    // One number for all parts of a histogram.
    let family = ["_bucket", "_count", "_sum"].iter().fold(name.to_string(), |n, part| n.replace(part, ""));
    let others = labels.iter().filter(|(n, _)| n != "__name__" && n != "le");
    let number = others.fold(hash(0, &family), |h, (n, v)| hash(hash(h, n), v));
    let bound = BOUNDS.iter().position(|b| *b == get("le")).map_or(BOUNDS.len(), |i| i + 1) as f64;
    let late = (number % 29_000) as i64;
    let mut out = Vec::new();
    for k in 0..SAMPLES {
        let at = end_ms - (SAMPLES - k) * STEP_MS + late;
        if entity == 1 && (STALE..BACK).contains(&k) {
            if k == STALE {
                out.push((at, f64::from_bits(STALE_MARKER)));
            }
            continue;
        }
        let age = if entity == 1 && k >= RESET { k - RESET } else { k };
        out.push((at, value(name, entity, number, bound, age as f64, at)));
    }
    out
}

/// FNV-1a: the same data in every run.
fn hash(seed: u64, text: &str) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    text.bytes().chain([0]).fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn value(name: &str, entity: usize, number: u64, bound: f64, age: f64, at: i64) -> f64 {
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    let ends = |words: &[&str]| words.iter().any(|w| name.ends_with(w));
    let slope = (number % 97) as f64 / 8.0;
    // Rises and falls between 0 and 1.
    let wave = ((number >> 8) as f64 % 40.0 + age * 7.0) % 100.0 / 100.0;
    if has(&["_bucket"]) {
        return bound * (slope + 1.0) * age;
    }
    if ends(&["_total", "_count", "_sum"]) {
        // Much that no bucket has seen: the alerts for slowness shall have something to say.
        return 4.0 * bound * (slope + 1.0) * age;
    }
    // Of what can run out, one has half of it, one nearly nothing, and one loses it fast.
    if has(&["_free", "_avail", "MemAvailable", "MemFree"]) {
        return [5.0e5 * (1.0 + wave / 8.0), 1.0e4 * (1.0 + wave), 1.0e6 - 12_000.0 * age][entity % ENTITIES];
    }
    if ends(&["_capacity_bytes", "_size_bytes", "_inodes", "_files", "MemTotal_bytes", "_allocatable", "_limit", "_entries_limit"]) {
        return 1.0e6;
    }
    if ends(&["_readonly"]) {
        return 0.0;
    }
    if has(&["timestamp", "time_seconds", "_created", "start_time"]) {
        return (at / 1000) as f64 - 900.0 - slope;
    }
    if has(&["_info", "_owner", "_labels", "_role"]) {
        return 1.0;
    }
    if name == "up" || has(&["_status_", "_condition", "_has_", "_replicas", "successful", "_up"]) {
        return ((number >> 16) % 3) as f64;
    }
    match (number >> 20) % 4 {
        0 => 0.0,
        1 => wave,
        2 => (wave * 500.0).floor(),
        _ => 1.0e6 * (1.0 + wave) + slope * age,
    }
}
