//! Writing: one appender is one batch.

use model::{Exemplar, FloatHistogram, Histogram, LabelsRef, Metadata};
use std::fmt;

/// Names a series inside one storage, until the storage says [`AppendError::UnknownSeries`]. Never 0. The same number that WAL records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// A native histogram as it is stored: with whole counts or with float counts.
#[derive(Clone, Copy, Debug)]
pub enum HistogramSample<'a> {
    Int(&'a Histogram),
    Float(&'a FloatHistogram),
}

/// The value of a held sample.
#[derive(Clone, Debug)]
pub enum HeldValue {
    Float(f64),
    Int(std::sync::Arc<Histogram>),
    FloatHistogram(std::sync::Arc<FloatHistogram>),
}

/// A sample of a standby that waits for a decision.
#[derive(Clone, Debug)]
pub struct Held {
    pub series: SeriesRef,
    pub replica: std::sync::Arc<str>,
    pub t_ms: i64,
    pub value: HeldValue,
}

/// What merging the members of a pair needs to know about what is stored.
pub trait MergeStore: Appendable {
    /// Time of the newest committed sample of a series; None when it has none or is unknown.
    fn newest_ms(&self, series: SeriesRef) -> Option<i64>;

    /// Appends the times of all stored samples of a series with `start_ms <= t <= end_ms` (head and blocks) in rising order.
    fn times(&self, series: SeriesRef, start_ms: i64, end_ms: i64, out: &mut Vec<i64>) -> Result<(), crate::ReadError>;

    /// Is everything there that was stored before the start? Until then the other answers mean nothing.
    fn is_filled(&self) -> bool {
        true
    }

    /// Held samples that the log gave back at the start and that are newer than their series' newest sample. Empty when asked again.
    fn take_held(&self) -> Vec<Held>;
}

/// Labels of series by reference, for those who read the log. Answers also for series that have left the head as long as the log still speaks of them.
pub trait SeriesLookup: Send + Sync {
    fn labels_of(&self, series: SeriesRef) -> Option<model::Labels>;
}

/// Whom the batch comes from decides what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOptions {
    /// Samples older than the series' newest are refused as [`AppendError::OutOfOrder`] (as Prometheus does without an out-of-order window).
    /// When false they are taken if they are younger than the retention.
    pub in_order_only: bool,
    /// A histogram that a replica sent, a rule result, a scrape: all alike today; named so that limits can tell them apart.
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Scrape,
    Rule,
    Receive,
    Import,
}

impl AppendOptions {
    pub fn scrape() -> Self {
        AppendOptions { in_order_only: true, source: Source::Scrape }
    }

    pub fn rule() -> Self {
        AppendOptions { in_order_only: true, source: Source::Rule }
    }

    pub fn receive() -> Self {
        AppendOptions { in_order_only: false, source: Source::Receive }
    }
}

/// When [`Appender::commit`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// When the batch is in the log as far as the process is concerned: it survives kill -9. For scrapes and rules.
    Written,
    /// When the batch is as durable as the storage's sync policy says (by default: on the disk). For what is acknowledged to a peer.
    Durable,
}

/// Something that can be written to. Shared by all writers.
pub trait Appendable: Send + Sync {
    /// A new, empty batch. Cheap. Never blocks.
    fn appender(&self, options: AppendOptions) -> Box<dyn Appender + '_>;
}

/// One batch. Not shared between threads; may be used from any one thread. Either [`Appender::commit`] or [`Appender::rollback`] is called
/// last; dropping it without either rolls back. An error of one sample leaves the others of the batch as they were.
pub trait Appender: Send {
    /// Finds or creates the series with these labels, which must be sorted, unique, and without empty values. A series created in a batch that is
    /// rolled back may stay behind, empty.
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError>;

    /// Guesses that the series that came behind the one asked for last comes behind it again, as senders go through theirs in the same order: its
    /// reference if these are exactly its labels, name and value sorted by name. Much cheaper than [`Appender::series`]. None means only that the guess
    /// was wrong, or that nothing is guessed here.
    fn series_behind(&mut self, _pairs: &[(&[u8], &[u8])]) -> Option<SeriesRef> {
        None
    }

    /// Adds float samples of a series as long as each is newer than what is stored; returns how many were taken. The rest wants [`Appender::append`].
    fn append_run(&mut self, _series: SeriesRef, _samples: &mut dyn Iterator<Item = (i64, f64)>) -> usize {
        0
    }

    /// Adds a float sample. `t_ms` is in milliseconds since the Unix epoch. An exact repeat of a stored sample is `Ok` and costs nothing.
    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError>;

    /// Adds a native histogram sample. The histogram is checked (bucket counts, spans, count) and copied.
    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError>;

    /// Adds a zero at the time a counter began, if nothing is stored at or after it. `t_ms` is the time of the sample that told about it.
    fn append_start_zero(&mut self, series: SeriesRef, t_ms: i64, start_ms: i64, histogram: bool) -> Result<(), AppendError>;

    /// Writes a sample to the log without making it part of the series: one that a pair's standby sent and that is not decided yet. It survives a
    /// restart ([`MergeStore::held`]) as long as the series has no newer sample, is never answered by a query and never sent up.
    fn hold(&mut self, series: SeriesRef, replica: &str, t_ms: i64, value: HeldValue) -> Result<(), AppendError>;

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError>;

    fn update_metadata(&mut self, series: SeriesRef, metadata: &Metadata) -> Result<(), AppendError>;

    /// Writes the batch to the log, then makes it visible to queries. May block on the disk: call it from a thread that may.
    fn commit(self: Box<Self>, wait: Wait) -> Result<CommitStats, CommitError>;

    fn rollback(self: Box<Self>);
}

/// What became of a committed batch. Duplicates, late and refused samples were already told by `append`; these are found at commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
    /// Samples that were stored behind the series' newest one.
    pub late: u64,
    /// Exact repeats, dropped.
    pub duplicates: u64,
    /// Another batch came first with other values, or raced past this one: dropped.
    pub dropped: u64,
}

/// Why one sample (or series) was not taken. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq)]
pub enum AppendError {
    /// Older than the newest sample of the series, and late samples are not wanted here.
    OutOfOrder,
    /// The same time with another value; the first one stays.
    DuplicateTimestamp,
    /// Too far in the future.
    OutOfBounds,
    /// Older than the retention (or than the out-of-order window).
    TooOld,
    OutOfOrderExemplar,
    InvalidExemplar(String),
    InvalidHistogram(String),
    InvalidLabels(String),
    /// The reference is not (any more) known: ask for the series again.
    UnknownSeries,
    /// A limit on the number of series; says which.
    SeriesLimit {
        limit: u64,
        scope: String,
    },
    /// The storage takes nothing at all right now, and why (disk full, failed sync). Retry the whole batch later.
    Unavailable(String),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::OutOfOrder => f.write_str("out of order sample"),
            AppendError::DuplicateTimestamp => f.write_str("duplicate sample for timestamp"),
            AppendError::OutOfBounds => f.write_str("out of bounds"),
            AppendError::TooOld => f.write_str("too old sample"),
            AppendError::OutOfOrderExemplar => f.write_str("out of order exemplar"),
            AppendError::InvalidExemplar(why) => write!(f, "invalid exemplar: {why}"),
            AppendError::InvalidHistogram(why) => write!(f, "invalid histogram: {why}"),
            AppendError::InvalidLabels(why) => write!(f, "invalid labels: {why}"),
            AppendError::UnknownSeries => f.write_str("unknown series reference"),
            AppendError::SeriesLimit { limit, scope } => write!(f, "series limit of {limit} reached ({scope})"),
            AppendError::Unavailable(why) => write!(f, "storage unavailable: {why}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why a whole batch was not taken. Nothing of it is visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// Try again later: no space, overload. Answer 503.
    Unavailable(String),
    /// The log could not be written or synced; the storage takes nothing until it is opened again.
    Broken(String),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Unavailable(why) => write!(f, "storage unavailable: {why}"),
            CommitError::Broken(why) => write!(f, "write to the log failed: {why}"),
        }
    }
}

impl std::error::Error for CommitError {}
