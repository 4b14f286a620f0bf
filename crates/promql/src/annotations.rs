//! What a query's answer should be read with: warnings (probably wrong) and infos (maybe not meant so), in Prometheus' words and with the place in
//! the query that they are about. Equal texts are told once.

use crate::parse::Span;
use model::labels::quote;
use model::number::format_g;
use std::collections::BTreeMap;

/// Warnings and infos as texts, each sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// An addition, subtraction or aggregation of histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistOp {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistOp {
    fn as_str(self) -> &'static str {
        match self {
            HistOp::Addition => "addition",
            HistOp::Subtraction => "subtraction",
            HistOp::Aggregation => "aggregation",
        }
    }
}

/// One thing to tell. The metric name that most are about is given apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Note<'a> {
    InvalidRatio { got: f64, capped: f64 },
    InvalidQuantile(f64),
    BadBucketLabel(&'a str),
    MixedFloatsHistograms,
    MixedFloatsHistogramsAggregation,
    MixedClassicNative,
    NotCounter,
    NotGauge,
    MixedExponentialCustom,
    IncompatibleLayout(&'static str),
    SortInRange,
    PossibleNonCounter,
    PossibleNonCounterLabel(&'a str),
    ForcedMonotonicity(Monotonicity),
    IncompatibleTypes { op: &'static str, left: &'static str, right: &'static str },
    HistogramIgnoredIn(&'static str),
    HistogramIgnoredInMixedRange,
    QuantileNanResult,
    QuantileNanSkew,
    FractionNans,
    ResetCollision(HistOp),
    BoundsReconciled(HistOp),
    StartTimeOverlap,
}

/// Where buckets had to be fixed; grows as more of the same is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Monotonicity {
    pub t_ms: (i64, i64),
    pub bucket: (f64, f64),
    pub max_diff: f64,
    pub count: u64,
}

impl Monotonicity {
    fn merge(&mut self, o: &Monotonicity) {
        self.t_ms = (self.t_ms.0.min(o.t_ms.0), self.t_ms.1.max(o.t_ms.1));
        self.bucket = (self.bucket.0.min(o.bucket.0), self.bucket.1.max(o.bucket.1));
        self.max_diff = self.max_diff.max(o.max_diff);
        self.count += o.count;
    }
}

const NON_COUNTER: &str = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
const MONOTONICITY: &str = "input to histogram_quantile needed to be fixed for monotonicity (see \
                            https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

impl Note<'_> {
    fn is_info(&self) -> bool {
        use Note::*;
        matches!(
            self,
            PossibleNonCounter
                | PossibleNonCounterLabel(_)
                | ForcedMonotonicity(_)
                | IncompatibleTypes { .. }
                | HistogramIgnoredIn(_)
                | HistogramIgnoredInMixedRange
                | QuantileNanResult
                | QuantileNanSkew
                | FractionNans
                | BoundsReconciled(_)
        )
    }

    /// The text without position; what makes two notes the same.
    fn text(&self, metric: &str) -> String {
        use Note::*;
        let named = |text: &str| format!("{text} {}", quote(metric));
        let maybe_named = |text: &str| if metric.is_empty() { text.to_string() } else { format!("{text} for metric name {}", quote(metric)) };
        let body = match self {
            InvalidRatio { got, capped } => {
                format!("ratio value should be between -1 and 1, got {}, capping to {}", format_g(*got), format_g(*capped))
            }
            InvalidQuantile(q) => format!("quantile value should be between 0 and 1, got {}", format_g(*q)),
            BadBucketLabel(le) => maybe_named(&format!("bucket label \"le\" is missing or has a malformed value of {}", quote(le))),
            MixedFloatsHistograms => named("encountered a mix of histograms and floats for metric name"),
            MixedFloatsHistogramsAggregation => "encountered a mix of histograms and floats for aggregation".to_string(),
            MixedClassicNative => maybe_named("vector contains a mix of classic and native histograms"),
            NotCounter => named("this native histogram metric is not a counter:"),
            NotGauge => named("this native histogram metric is not a gauge:"),
            MixedExponentialCustom => named("vector contains a mix of histograms with exponential and custom buckets schemas for metric name"),
            IncompatibleLayout(op) => format!("incompatible bucket layout encountered for binary operator {op}"),
            SortInRange => "sort is ineffective for range queries since results are always ordered by labels".to_string(),
            PossibleNonCounter => named(NON_COUNTER),
            PossibleNonCounterLabel(kind) => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quote(kind),
                quote(metric)
            ),
            ForcedMonotonicity(_) => maybe_named(MONOTONICITY),
            IncompatibleTypes { op, left, right } => {
                format!("incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}")
            }
            HistogramIgnoredIn(what) => format!("ignored histogram in {what} aggregation"),
            HistogramIgnoredInMixedRange => named("ignored histograms in a range containing both floats and histograms for metric name"),
            QuantileNanResult => maybe_named("input to histogram_quantile has NaN observations, result is NaN"),
            QuantileNanSkew => maybe_named("input to histogram_quantile has NaN observations, result is skewed higher"),
            FractionNans => maybe_named("input to histogram_fraction has NaN observations, which are excluded from all fractions"),
            ResetCollision(op) => format!("conflicting counter resets during histogram {}", op.as_str()),
            BoundsReconciled(op) => format!("mismatched custom buckets were reconciled during {}", op.as_str()),
            StartTimeOverlap => format!("sample has start time that overlaps with previous sample timestamp for metric {}", quote(metric)),
        };
        format!("PromQL {}: {body}", if self.is_info() { "info" } else { "warning" })
    }
}

#[derive(Clone, Debug)]
struct Told {
    span: Span,
    info: bool,
    monotonicity: Option<Monotonicity>,
    /// How often, for those that tell it.
    overlaps: u64,
}

/// Collects notes. Each thread has its own; they are merged in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    told: BTreeMap<String, Told>,
    /// Skips building the text when the same is told again and again: a rough fingerprint of the last one.
    last: Option<(std::mem::Discriminant<Note<'static>>, Span, String)>,
    /// From the storage, without position.
    plain: Vec<String>,
}

impl Annotations {
    pub fn add(&mut self, note: Note<'_>, metric: &str, span: Span) {
        let kind = discriminant(&note);
        let counted = matches!(note, Note::ForcedMonotonicity(_) | Note::StartTimeOverlap);
        let repeats = |(k, s, m): &(std::mem::Discriminant<Note<'static>>, Span, String)| {
            *k == kind
                && *s == span
                && m == metric
                && !matches!(note, Note::InvalidQuantile(_) | Note::BadBucketLabel(_) | Note::IncompatibleTypes { .. })
        };
        if !counted && self.last.as_ref().is_some_and(repeats) {
            return;
        }
        let monotonicity = match note {
            Note::ForcedMonotonicity(m) => Some(m),
            _ => None,
        };
        let told = Told { span, info: note.is_info(), monotonicity, overlaps: u64::from(matches!(note, Note::StartTimeOverlap)) };
        self.put(note.text(metric), told);
        self.last = Some((kind, span, metric.to_string()));
    }

    fn put(&mut self, text: String, mut told: Told) {
        if let Some(before) = self.told.get(&text) {
            if let (Some(m), Some(b)) = (&mut told.monotonicity, &before.monotonicity) {
                m.merge(b);
            }
            told.overlaps += before.overlaps;
        }
        self.told.insert(text, told);
    }

    /// A warning of the storage.
    pub fn add_plain(&mut self, text: String) {
        if !self.plain.contains(&text) {
            self.plain.push(text);
        }
    }

    pub fn merge(&mut self, other: Annotations) {
        for (text, told) in other.told {
            self.put(text, told);
        }
        other.plain.into_iter().for_each(|t| self.add_plain(t));
        self.last = None;
    }

    /// The texts with their places in the query.
    pub fn notes(&self, query: &str) -> Notes {
        let mut notes = Notes { warnings: self.plain.clone(), infos: Vec::new() };
        for (text, told) in &self.told {
            let place = position(query, told.span.start as usize);
            let text = match &told.monotonicity {
                Some(m) => format!(
                    "{text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({place})",
                    format_g(m.bucket.0),
                    format_g(m.bucket.1),
                    two_digits(m.max_diff),
                    m.count,
                    rfc3339(m.t_ms.0),
                    rfc3339(m.t_ms.1)
                ),
                None if told.overlaps > 1 => format!("{text} ({} occurrences) ({place})", told.overlaps),
                None => format!("{text} ({place})"),
            };
            if told.info { notes.infos.push(text) } else { notes.warnings.push(text) }
        }
        notes.warnings.sort();
        notes.infos.sort();
        notes
    }
}

fn discriminant(note: &Note<'_>) -> std::mem::Discriminant<Note<'static>> {
    // The lifetime is of the borrowed text only; shapes without text stand for all values of a variant.
    match *note {
        Note::BadBucketLabel(_) => std::mem::discriminant(&Note::BadBucketLabel("")),
        Note::PossibleNonCounterLabel(_) => std::mem::discriminant(&Note::PossibleNonCounterLabel("")),
        Note::InvalidRatio { got, capped } => std::mem::discriminant(&Note::InvalidRatio { got, capped }),
        Note::InvalidQuantile(q) => std::mem::discriminant(&Note::InvalidQuantile(q)),
        Note::MixedFloatsHistograms => std::mem::discriminant(&Note::MixedFloatsHistograms),
        Note::MixedFloatsHistogramsAggregation => std::mem::discriminant(&Note::MixedFloatsHistogramsAggregation),
        Note::MixedClassicNative => std::mem::discriminant(&Note::MixedClassicNative),
        Note::NotCounter => std::mem::discriminant(&Note::NotCounter),
        Note::NotGauge => std::mem::discriminant(&Note::NotGauge),
        Note::MixedExponentialCustom => std::mem::discriminant(&Note::MixedExponentialCustom),
        Note::IncompatibleLayout(op) => std::mem::discriminant(&Note::IncompatibleLayout(op)),
        Note::SortInRange => std::mem::discriminant(&Note::SortInRange),
        Note::PossibleNonCounter => std::mem::discriminant(&Note::PossibleNonCounter),
        Note::ForcedMonotonicity(m) => std::mem::discriminant(&Note::ForcedMonotonicity(m)),
        Note::IncompatibleTypes { op, left, right } => std::mem::discriminant(&Note::IncompatibleTypes { op, left, right }),
        Note::HistogramIgnoredIn(s) => std::mem::discriminant(&Note::HistogramIgnoredIn(s)),
        Note::HistogramIgnoredInMixedRange => std::mem::discriminant(&Note::HistogramIgnoredInMixedRange),
        Note::QuantileNanResult => std::mem::discriminant(&Note::QuantileNanResult),
        Note::QuantileNanSkew => std::mem::discriminant(&Note::QuantileNanSkew),
        Note::FractionNans => std::mem::discriminant(&Note::FractionNans),
        Note::ResetCollision(o) => std::mem::discriminant(&Note::ResetCollision(o)),
        Note::BoundsReconciled(o) => std::mem::discriminant(&Note::BoundsReconciled(o)),
        Note::StartTimeOverlap => std::mem::discriminant(&Note::StartTimeOverlap),
    }
}

/// `line:column` of a byte, both from 1.
fn position(query: &str, at: usize) -> String {
    if query.is_empty() {
        return "unknown position".to_string();
    }
    let Some(before) = query.as_bytes().get(..at) else { return "invalid position".to_string() };
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rposition(|b| *b == b'\n').map_or(at + 1, |line_break| at - line_break);
    format!("{line}:{column}")
}

/// `%.2g`.
fn two_digits(v: f64) -> String {
    let rounded: f64 = format!("{v:.1e}").parse().unwrap_or(v);
    if rounded.abs() >= 100.0 {
        let (mantissa, exponent) =
            format!("{rounded:.1e}").split_once('e').map_or((String::new(), 0), |(m, e)| (m.to_string(), e.parse().unwrap_or(0)));
        return format!("{}e+{exponent:02}", mantissa.trim_end_matches(".0"));
    }
    format_g(rounded)
}

fn rfc3339(t_ms: i64) -> String {
    let seconds = t_ms / 1000;
    let civil = crate::exec::calendar::Civil::from_unix(seconds);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second)
}
