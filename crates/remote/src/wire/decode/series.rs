//! One series of a request as the decoder hands it out, and what can be wrong with its labels.

use super::super::proto::{self, Fields};
use super::super::{FloatSample, WireError, histogram};
use super::{MAX_LABELS, label};
use model::{Exemplar, Labels, LabelsRef, Metadata, MetricType, name};
use std::fmt;
use storage::SeriesRef;

/// Why labels cannot name a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelFault {
    /// No `__name__`, or an empty one.
    NoMetricName,
    EmptyName,
    /// A label stands twice.
    Duplicate(String),
    InvalidUtf8,
    TooLong,
    TooMany(usize),
    /// A reference beyond the symbol table, or a name without a value.
    BadReference(String),
}

impl fmt::Display for LabelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelFault::NoMetricName => f.write_str("no metric name"),
            LabelFault::EmptyName => f.write_str("a label has an empty name"),
            LabelFault::Duplicate(name) => write!(f, "duplicated label {name}"),
            LabelFault::InvalidUtf8 => f.write_str("a label is not valid UTF-8"),
            LabelFault::TooLong => f.write_str("a label is longer than 16 MiB"),
            LabelFault::TooMany(n) => write!(f, "{n} labels, more than the limit of {MAX_LABELS}"),
            LabelFault::BadReference(what) => f.write_str(what),
        }
    }
}

/// One series of a request. Everything borrows from the decoder and is overwritten by the next one.
pub struct Series<'d, 'a> {
    /// Its number in the request, from 0.
    pub index: usize,
    /// Its reference, when [`super::WriteDecoder::next_known`] was told it; then `labels` is empty.
    pub known: Option<SeriesRef>,
    /// Sorted, unique, without empty values and without the replica labels; or what is wrong with them.
    pub labels: Result<LabelsRef<'d>, LabelFault>,
    /// The values of the replica labels, joined by `/` in order of their names; "" when the series has none.
    pub replica: &'d str,
    pub samples: &'d [FloatSample],
    pub(super) histograms: &'d [&'a [u8]],
    pub(super) exemplars: &'d [&'a [u8]],
    pub(super) replica_labels: &'d [String],
    pub(super) metadata: Option<(MetricType, u32, u32)>,
    pub(super) symbols: Symbols<'d, 'a>,
    pub(super) pairs: &'d [(&'a [u8], &'a [u8])],
}

#[derive(Clone, Copy)]
pub(super) struct Symbols<'d, 'a> {
    pub strings: &'d [&'a str],
    /// Numbers of those that are not UTF-8.
    pub invalid: &'d [u32],
}

impl<'a> Symbols<'_, 'a> {
    pub fn get(&self, number: u32) -> Result<&'a str, LabelFault> {
        match self.strings.get(number as usize) {
            Some(_) if !self.invalid.is_empty() && self.invalid.contains(&number) => Err(LabelFault::InvalidUtf8),
            Some(s) => Ok(s),
            None => Err(LabelFault::BadReference(format!("label reference {number} is outside of the symbol table (size {})", self.strings.len()))),
        }
    }
}

impl<'a> Series<'_, 'a> {
    /// The metric name; None when there is none, or it is not UTF-8.
    pub fn metric_name(&self) -> Option<&str> {
        if let (None, Ok(labels)) = (self.known, &self.labels) {
            return labels.get(name::METRIC_NAME);
        }
        let (_, value) = self.pairs.iter().find(|(n, v)| *n == name::METRIC_NAME.as_bytes() && !v.is_empty())?;
        std::str::from_utf8(value).ok()
    }

    /// The labels without the replica labels, for messages.
    pub fn text(&self) -> String {
        if let (None, Ok(labels)) = (self.known, &self.labels) {
            return labels.to_string();
        }
        let is_replica = |name: &[u8]| self.replica_labels.iter().any(|r| r.as_bytes() == name);
        let plain = self.pairs.iter().filter(|(n, _)| !is_replica(n)).map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v)));
        Labels::from_pairs(plain).to_string()
    }

    pub fn histogram_count(&self) -> usize {
        self.histograms.len()
    }

    pub fn exemplar_count(&self) -> usize {
        self.exemplars.len()
    }

    pub fn histograms(&self) -> impl Iterator<Item = Result<histogram::DecodedHistogram, WireError>> {
        self.histograms.iter().map(|m| histogram::decode(m).map_err(|e| e.at("histogram of time series", self.index)))
    }

    /// An exemplar whose labels are bad comes as the text of what is wrong with it.
    pub fn exemplars(&self) -> impl Iterator<Item = Result<Result<Exemplar, LabelFault>, WireError>> {
        self.exemplars.iter().map(|m| self.exemplar(m).map_err(|e| e.at("exemplar of time series", self.index)))
    }

    fn exemplar(&self, message: &'a [u8]) -> Result<Result<Exemplar, LabelFault>, WireError> {
        let in_v2 = !self.symbols.strings.is_empty();
        let (mut pairs, mut refs): (Vec<(&str, &str)>, Vec<u32>) = (Vec::new(), Vec::new());
        let (mut value, mut t_ms, mut fault) = (0.0, 0, None);
        let mut fields = Fields::new(message);
        while let Some((number, v)) = fields.next_field()? {
            match number {
                1 if in_v2 => proto::each_varint(v, |r| {
                    if refs.len() <= 2 * MAX_LABELS {
                        refs.push(u32::try_from(r).unwrap_or(u32::MAX));
                    }
                })?,
                1 if pairs.len() > MAX_LABELS => {}
                1 => {
                    let (name, value) = label(v.bytes()?)?;
                    match (std::str::from_utf8(name), std::str::from_utf8(value)) {
                        (Ok(name), Ok(value)) => pairs.push((name, value)),
                        _ => fault = Some(LabelFault::InvalidUtf8),
                    }
                }
                2 => value = v.double()?,
                3 => t_ms = v.int64()?,
                _ => {}
            }
        }
        let (of_refs, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            fault = Some(LabelFault::BadReference(format!("an odd number of label references ({})", refs.len())));
        }
        for [name, value] in of_refs {
            match (self.symbols.get(*name), self.symbols.get(*value)) {
                (Ok(name), Ok(value)) => pairs.push((name, value)),
                (Err(e), _) | (_, Err(e)) => fault = Some(e),
            }
        }
        if pairs.len() > MAX_LABELS {
            fault = Some(LabelFault::TooMany(pairs.len()));
        }
        Ok(match fault {
            Some(f) => Err(f),
            None => Ok(Exemplar { labels: model::Labels::from_pairs(pairs), value, t_ms: (t_ms != 0).then_some(t_ms) }),
        })
    }

    /// The metadata of a 2.0 series; None when it has none, when it says nothing, or when its references are bad.
    pub fn metadata(&self) -> Option<Metadata> {
        let (kind, help, unit) = self.metadata?;
        let (help, unit) = (self.symbols.get(help).ok()?, self.symbols.get(unit).ok()?);
        if kind == MetricType::Unknown && help.is_empty() && unit.is_empty() {
            return None;
        }
        Some(Metadata { kind, help: help.to_string(), unit: unit.to_string() })
    }

    /// The labels as they came, as far as they could be read; for messages. Shortened when they are very long.
    pub fn describe(&self) -> String {
        const LONGEST: usize = 1000;
        let mut out = String::from("{");
        for (i, (name, value)) in self.pairs.iter().enumerate() {
            if out.len() > LONGEST {
                out.push_str(", ...");
                break;
            }
            let short = |s: &[u8]| String::from_utf8_lossy(&s[..s.len().min(LONGEST / 4)]).into_owned();
            let comma = if i > 0 { ", " } else { "" };
            out.push_str(&format!("{comma}{}={}", short(name), model::labels::quote(&short(value))));
        }
        out.push('}');
        out
    }
}
