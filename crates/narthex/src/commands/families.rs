//! A page of metrics as families: what lint checks look at and what is pushed.

use exposition::{Entry, Format, LabelBuf, Parser, ParserOptions};
use model::name::{BUCKET_LABEL, METRIC_NAME};
use model::{Labels, MetricType};
use std::collections::BTreeMap;

pub(super) struct Family {
    pub kind: MetricType,
    pub help: Option<String>,
    /// In the order of the page.
    pub samples: Vec<Sample>,
}

pub(super) struct Sample {
    /// With the name of the sample, which may be longer than the family's.
    pub labels: Labels,
    pub v: f64,
    pub t_ms: Option<i64>,
}

impl Family {
    fn is_compound(&self) -> bool {
        matches!(self.kind, MetricType::Histogram | MetricType::Summary)
    }

    /// Labels of the metrics of the family: of a histogram or summary one for all its samples.
    pub fn metrics(&self) -> Vec<Labels> {
        let mut out: Vec<Labels> = Vec::new();
        for s in &self.samples {
            let own = match self.kind {
                MetricType::Histogram => s.labels.without(&[METRIC_NAME, BUCKET_LABEL]),
                MetricType::Summary => s.labels.without(&[METRIC_NAME, "quantile"]),
                _ => s.labels.without_name(),
            };
            if !self.is_compound() || !out.contains(&own) {
                out.push(own);
            }
        }
        out
    }
}

/// Reads a page in the text format. Families without samples are left out.
pub(super) fn read(page: &[u8]) -> Result<BTreeMap<String, Family>, String> {
    let mut out: BTreeMap<String, Family> = BTreeMap::new();
    let mut parser = Parser::new(page, Format::Text, ParserOptions::default());
    let mut labels = LabelBuf::new();
    let new = || Family { kind: MetricType::Unknown, help: None, samples: Vec::new() };
    loop {
        let entry = match parser.next() {
            Ok(Some(e)) => e,
            Ok(None) => break,
            Err(e) => return Err(wrong(&e.to_string())),
        };
        match entry {
            Entry::Help => out.entry(parser.meta_name().into_owned()).or_insert_with(new).help = Some(parser.meta_text().into_owned()),
            Entry::Type => out.entry(parser.meta_name().into_owned()).or_insert_with(new).kind = parser.meta_type(),
            Entry::Series => {
                if let Err(e) = parser.labels(&mut labels) {
                    return Err(wrong(&e.to_string()));
                }
                let labels = labels.as_ref().to_labels();
                let family = family_of(labels.metric_name(), &out);
                let sample = Sample { v: parser.value(), t_ms: parser.timestamp_ms(), labels };
                out.entry(family).or_insert_with(new).samples.push(sample);
            }
            Entry::Unit | Entry::Comment | Entry::Histogram => {}
        }
    }
    out.retain(|_, f| !f.samples.is_empty());
    Ok(out)
}

/// `what while parsing: "…" (line 3, byte 7)` in the words of the tool.
fn wrong(text: &str) -> String {
    let line = text.rsplit_once("(line ").and_then(|(_, rest)| rest.split(',').next()).unwrap_or("0");
    format!("text format parsing error in line {line}: {}", text.split(" while parsing: ").next().unwrap_or(text))
}

/// The family that a sample belongs to, by the types said so far.
fn family_of(name: &str, known: &BTreeMap<String, Family>) -> String {
    if known.contains_key(name) {
        return name.to_string();
    }
    for (kind, suffixes) in [(MetricType::Summary, ["_count", "_sum"].as_slice()), (MetricType::Histogram, &["_count", "_sum", "_bucket"])] {
        let base = suffixes.iter().find_map(|s| name.strip_suffix(s)).filter(|b| known.get(*b).is_some_and(|f| f.kind == kind));
        if let Some(base) = base {
            return base.to_string();
        }
    }
    name.to_string()
}
