//! What a sender is told, and the collection of what was refused in its request.

use crate::wire::{EXEMPLARS_WRITTEN_HEADER, FEATURE_HEADER, FEATURE_LATE_SAMPLES, HISTOGRAMS_WRITTEN_HEADER, SAMPLES_WRITTEN_HEADER, Version};
use storage::AppendError;

/// So many refused series are named in an answer; the others are counted.
const NAMED_REFUSALS: usize = 10;
/// What bodies may be packed with, for senders that want to know (RFC 9110, 12.5.3).
const ENCODINGS: &str = "snappy, zstd";
/// When to come again after an overload, and after a storage that takes nothing.
pub(crate) const RETRY_SOON_SECONDS: u64 = 1;
pub(crate) const RETRY_LATER_SECONDS: u64 = 5;

/// One answer, ready for the HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Name and value.
    pub headers: Vec<(&'static str, String)>,
    /// Text for people; empty when all went well. Ends with a newline otherwise, as Prometheus' does.
    pub body: String,
}

/// What was taken of a request. Repeats, covered and held samples are taken as well: the sender need not keep them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Answer {
    pub(crate) fn new(status: u16, text: &str) -> Self {
        let mut headers = vec![(FEATURE_HEADER, FEATURE_LATE_SAMPLES.to_string()), ("Accept-Encoding", ENCODINGS.to_string())];
        let mut body = text.to_string();
        if !body.is_empty() {
            headers.push(("Content-Type", "text/plain; charset=utf-8".to_string()));
            headers.push(("X-Content-Type-Options", "nosniff".to_string()));
            body.push('\n');
        }
        Answer { status, headers, body }
    }

    pub(crate) fn retry(status: u16, text: &str, after_seconds: u64) -> Self {
        let mut a = Self::new(status, text);
        a.headers.push(("Retry-After", after_seconds.to_string()));
        a
    }

    /// The counts of 2.0. Version 1.0 has none: to its senders a missing header means nothing, a zero would mean a loss.
    pub(super) fn with_written(mut self, version: Version, w: Written) -> Self {
        if version == Version::V2 {
            self.headers.push((SAMPLES_WRITTEN_HEADER, w.samples.to_string()));
            self.headers.push((HISTOGRAMS_WRITTEN_HEADER, w.histograms.to_string()));
            self.headers.push((EXEMPLARS_WRITTEN_HEADER, w.exemplars.to_string()));
        }
        self
    }
}

/// Why samples were refused, as a label value of the metric.
pub(crate) fn reason(e: &AppendError) -> &'static str {
    match e {
        AppendError::OutOfOrder => "out_of_order",
        AppendError::DuplicateTimestamp => "duplicate_timestamp",
        AppendError::OutOfBounds => "out_of_bounds",
        AppendError::TooOld => "too_old",
        AppendError::OutOfOrderExemplar => "out_of_order_exemplar",
        AppendError::InvalidExemplar(_) => "invalid_exemplar",
        AppendError::InvalidHistogram(_) => "invalid_histogram",
        AppendError::InvalidLabels(_) => "invalid_labels",
        AppendError::UnknownSeries => "unknown_series",
        AppendError::SeriesLimit { .. } => "series_limit",
        AppendError::Unavailable(_) => "unavailable",
    }
}

/// What was refused in one request: the first few by name, all by number.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    lines: Vec<String>,
    unnamed: u64,
    pub samples: u64,
    /// (reason, samples)
    pub by_reason: Vec<(&'static str, u64)>,
}

impl Refusals {
    /// `samples` of one series were refused; `line` is built only when there is room for it.
    pub fn add(&mut self, reason: &'static str, samples: u64, line: impl FnOnce() -> String) {
        self.samples += samples;
        match self.by_reason.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, n)) => *n += samples,
            None => self.by_reason.push((reason, samples)),
        }
        if self.lines.len() < NAMED_REFUSALS {
            self.lines.push(line());
        } else {
            self.unnamed += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        if self.unnamed > 0 {
            text.push_str(&format!("\nand {} more", self.unnamed));
        }
        text
    }
}
