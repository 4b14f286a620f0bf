//! Reading: select series, then decode each in bulk.

use crate::groups::{Grouping, Groups};
use model::{Exemplar, FloatHistogram, Labels, Matcher};
use std::fmt;
use std::sync::Arc;

/// Something that can be asked. Shared by all readers.
pub trait Queryable: Send + Sync {
    /// A view of the samples from `mint_ms` to `maxt_ms`, both included, as committed when it was made or later.
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError>;
}

/// What the caller will do with a selection: leave to skip what it cannot need. Never changes what is right.
#[derive(Clone, Debug, Default)]
pub struct SelectHints {
    /// The times that matter for this selector, both included; within the querier's range.
    pub start_ms: i64,
    pub end_ms: i64,
    /// Distance of evaluation steps; 0 for an instant query.
    pub step_ms: i64,
    /// Function or aggregation around the selector, "" when none; `series` when only labels are wanted.
    pub func: String,
    /// Range of a matrix selector; 0 when there is none.
    pub range_ms: i64,
    /// At most so many series are wanted; 0 for all.
    pub limit: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct LabelHints {
    /// At most so many values are wanted; 0 for all.
    pub limit: usize,
}

/// Something that went wrong with a part while the rest is answered.
pub type Warnings = Vec<String>;

pub trait Querier: Send + Sync {
    /// Series that fit all matchers. Sorted by labels when `sorted`. A series without samples in the range may be among them.
    /// Matchers see absent labels as "".
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError>;

    /// No more series than this fit, as far as that is known in memory and without looking at any; None when it is not.
    fn at_most(&self, _matchers: &[Matcher]) -> Option<u64> {
        None
    }

    /// No more values than this has the label, as far as that is known in memory and without looking at any; None when it is not.
    fn values_at_most(&self, _name: &str) -> Option<u64> {
        None
    }

    /// Values of a label, sorted, of series that fit all matchers.
    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError>;

    /// Label names, sorted, of series that fit all matchers.
    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError>;
}

/// The series of one select, by number. Holds what it needs: blocks stay open, chunks stay readable while it lives. All methods may be called
/// from several threads at once.
pub trait Selection: Send + Sync {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels of series `i`. May build them: ask once.
    fn labels(&self, i: usize) -> Labels;

    /// Labels of the series with these numbers, in the order given, without those that `leave_out` names.
    fn labels_of(&self, numbers: &mut dyn Iterator<Item = usize>, leave_out: &[&str], each: &mut dyn FnMut(Labels)) {
        for i in numbers {
            let labels = self.labels(i);
            each(if leave_out.is_empty() { labels } else { labels.without(leave_out) });
        }
    }

    /// Brings the series with these numbers together by the labels that `names` lists (with `keep`), or by all but those. What knows its labels
    /// by number need not build any but those of the groups.
    fn groups(&self, numbers: &mut dyn Iterator<Item = usize>, names: &[&str], keep: bool) -> Groups {
        let mut grouping = Grouping::new(names, keep);
        numbers.for_each(|i| grouping.add(self.labels(i).as_ref()));
        grouping.groups
    }

    /// False when surely no series has a label of this name.
    fn may_have(&self, _name: &str) -> bool {
        true
    }

    /// Decodes the samples of series `i` with `start_ms <= t <= end_ms`, appending them to `out` in rising order of time, each time once, deleted
    /// ones left out, staleness markers included. Does not clear `out`.
    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError>;

    /// The stored chunks of series `i` that touch the range, in order of their start; they may overlap, and may hold samples outside the range.
    /// A storage that has none makes them.
    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError>;

    fn warnings(&self) -> Warnings {
        Warnings::new()
    }
}

/// Decoded samples of one series as columns. Floats and histograms are apart, each in rising order of time; no time stands in both.
#[derive(Clone, Debug, Default)]
pub struct SeriesData {
    pub t_ms: Vec<i64>,
    pub v: Vec<f64>,
    /// Start timestamps of the float samples when any is known; else empty. Same length as `t_ms` otherwise, 0 for unknown.
    pub st_ms: Vec<i64>,
    pub hist_t_ms: Vec<i64>,
    pub hist: Vec<Arc<FloatHistogram>>,
    pub hist_st_ms: Vec<i64>,
}

impl SeriesData {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.t_ms.clear();
        self.v.clear();
        self.st_ms.clear();
        self.hist_t_ms.clear();
        self.hist.clear();
        self.hist_st_ms.clear();
    }

    pub fn len(&self) -> usize {
        self.t_ms.len() + self.hist_t_ms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.t_ms.is_empty() && self.hist_t_ms.is_empty()
    }

    /// Bytes that its columns occupy, histograms by a rough measure; for limits.
    pub fn size_bytes(&self) -> usize {
        let per_hist = |h: &Arc<FloatHistogram>| {
            size_of::<FloatHistogram>()
                + 8 * (h.positive_buckets.len() + h.negative_buckets.len() + h.positive_spans.len() + h.negative_spans.len() + h.custom_values.len())
        };
        8 * (self.t_ms.len() + self.v.len() + self.st_ms.len() + self.hist_t_ms.len() + self.hist_st_ms.len())
            + self.hist.iter().map(per_hist).sum::<usize>()
    }
}

/// As numbered in Prometheus' block format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkEncoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    Xor2 = 4,
    HistogramSt = 5,
    FloatHistogramSt = 6,
}

/// A chunk's bytes as a block holds them (without length, encoding byte and checksum).
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    /// Time of the first sample.
    pub mint_ms: i64,
    /// Time of the last sample.
    pub maxt_ms: i64,
    pub encoding: ChunkEncoding,
    pub bytes: Arc<[u8]>,
}

/// Series of exemplars, for `query_exemplars`.
pub trait ExemplarQueryable: Send + Sync {
    /// Exemplars from `start_ms` to `end_ms`, both included, of series that fit all matchers of any one of the sets.
    fn exemplars(&self, start_ms: i64, end_ms: i64, matcher_sets: &[Vec<Matcher>]) -> Result<Vec<ExemplarSeries>, ReadError>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarSeries {
    pub labels: Labels,
    /// In rising order of time; each has one.
    pub exemplars: Vec<Exemplar>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The storage cannot answer yet (replay) or any more (closed).
    NotReady(String),
    /// Stored bytes are damaged; says which file and what.
    Corrupt(String),
    /// A limit was reached; says which.
    Limit(String),
    /// Anything else below: a remote side, the disk.
    Other(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::NotReady(why) => write!(f, "storage not ready: {why}"),
            ReadError::Corrupt(what) => write!(f, "corrupt data: {what}"),
            ReadError::Limit(what) | ReadError::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ReadError {}

/// A selection that is held in memory: for tests, small results, and what a remote side answered.
#[derive(Clone, Debug, Default)]
pub struct MemorySelection {
    pub series: Vec<(Labels, SeriesData)>,
    pub warnings: Warnings,
}

impl MemorySelection {
    pub fn sort(&mut self) {
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
    }
}

fn copy_range<T: Clone>(times: &[i64], from: &[T], start_ms: i64, end_ms: i64, to: &mut Vec<T>) {
    if from.is_empty() {
        return;
    }
    let a = times.partition_point(|t| *t < start_ms);
    let b = times.partition_point(|t| *t <= end_ms);
    to.extend_from_slice(&from[a..b.max(a)]);
}

impl Selection for MemorySelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.series[i].0.clone()
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        let d = &self.series[i].1;
        copy_range(&d.t_ms, &d.v, start_ms, end_ms, &mut out.v);
        copy_range(&d.t_ms, &d.st_ms, start_ms, end_ms, &mut out.st_ms);
        copy_range(&d.t_ms, &d.t_ms, start_ms, end_ms, &mut out.t_ms);
        copy_range(&d.hist_t_ms, &d.hist, start_ms, end_ms, &mut out.hist);
        copy_range(&d.hist_t_ms, &d.hist_st_ms, start_ms, end_ms, &mut out.hist_st_ms);
        copy_range(&d.hist_t_ms, &d.hist_t_ms, start_ms, end_ms, &mut out.hist_t_ms);
        Ok(())
    }

    fn chunks(&self, _i: usize, _start_ms: i64, _end_ms: i64, _each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        Err(ReadError::Other("series in memory have no chunks; read the samples".to_string()))
    }

    fn warnings(&self) -> Warnings {
        self.warnings.clone()
    }
}
