//! Batches that come while the log is still being replayed: they are gathered by labels and go to the head when it is filled.
//!
//! So scraping and receiving go on while replay runs. Nothing is promised before it is in the log: `commit` returns when the head has taken the
//! batch. Series have provisional references until then; asked for with one later, the head says that it does not know it, and the caller asks
//! for the series again, as it must be ready to anyway. What would be refused sample by sample is counted as dropped.

use super::Db;
use model::{Exemplar, FloatHistogram, Histogram, Labels, LabelsRef, Metadata};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::{AppendError, AppendOptions, Appender, CommitError, CommitStats, HeldValue, HistogramSample, SeriesRef, Wait};

/// No real reference is that large.
const PROVISIONAL: u64 = 1 << 63;
/// All waiting batches together take at most about so much.
pub const MAX_WAITING_BYTES: u64 = 256 << 20;

enum Op {
    Float(i64, f64),
    Int(i64, Box<Histogram>),
    FloatHistogram(i64, Box<FloatHistogram>),
    StartZero(i64, i64, bool),
    Hold(String, i64, HeldValue),
    Exemplar(Box<Exemplar>),
    Metadata(Box<Metadata>),
}

impl Op {
    fn size_bytes(&self) -> u64 {
        let histogram = |spans: usize, buckets: usize| 200 + 8 * (spans + buckets) as u64;
        size_of::<(u32, Op)>() as u64
            + match self {
                Op::Int(_, h) => histogram(h.positive_spans.len() + h.negative_spans.len(), h.positive_deltas.len() + h.negative_deltas.len()),
                Op::FloatHistogram(_, h) => {
                    histogram(h.positive_spans.len() + h.negative_spans.len(), h.positive_buckets.len() + h.negative_buckets.len())
                }
                Op::Exemplar(e) => 100 + e.labels.as_ref().encoded().len() as u64,
                Op::Metadata(m) => 100 + (m.help.len() + m.unit.len()) as u64,
                Op::Float(..) | Op::StartZero(..) | Op::Hold(..) => 0,
            }
    }
}

pub(super) struct WaitingAppender<'a> {
    db: &'a Db,
    options: AppendOptions,
    series: Vec<Labels>,
    numbers: HashMap<Labels, u32>,
    ops: Vec<(u32, Op)>,
    bytes: u64,
}

impl<'a> WaitingAppender<'a> {
    pub fn new(db: &'a Db, options: AppendOptions) -> Self {
        WaitingAppender { db, options, series: Vec::new(), numbers: HashMap::new(), ops: Vec::new(), bytes: 0 }
    }

    fn waiting(&self) -> &AtomicU64 {
        &self.db.waiting_bytes
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), AppendError> {
        if self.waiting().fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_WAITING_BYTES {
            self.waiting().fetch_sub(bytes, Ordering::Relaxed);
            return Err(AppendError::Unavailable("the log is being replayed and too much is waiting already".to_string()));
        }
        self.bytes += bytes;
        Ok(())
    }

    fn push(&mut self, series: SeriesRef, op: Op) -> Result<(), AppendError> {
        let number = series.0.checked_sub(PROVISIONAL).filter(|n| *n < self.series.len() as u64).ok_or(AppendError::UnknownSeries)?;
        self.reserve(op.size_bytes())?;
        self.ops.push((number as u32, op));
        Ok(())
    }

    /// Gives everything to the head, which is there by now.
    fn hand_over(&mut self, wait: Wait) -> Result<CommitStats, CommitError> {
        let mut a: Box<dyn Appender + '_> = Box::new(self.db.head.appender(self.options));
        let refs: Vec<Result<SeriesRef, AppendError>> = self.series.iter().map(|l| a.series(l.as_ref())).collect();
        let mut dropped = 0;
        for (number, op) in self.ops.drain(..) {
            let result = refs[number as usize].clone().and_then(|s| match op {
                Op::Float(t, v) => a.append(s, t, v),
                Op::Int(t, h) => a.append_histogram(s, t, HistogramSample::Int(&h)),
                Op::FloatHistogram(t, h) => a.append_histogram(s, t, HistogramSample::Float(&h)),
                Op::StartZero(t, start, histogram) => a.append_start_zero(s, t, start, histogram),
                Op::Hold(replica, t, value) => a.hold(s, &replica, t, value),
                Op::Exemplar(e) => a.append_exemplar(s, &e),
                Op::Metadata(m) => a.update_metadata(s, &m),
            });
            match result {
                Ok(()) => {}
                Err(AppendError::Unavailable(why)) => return Err(CommitError::Unavailable(why)),
                Err(_) => dropped += 1,
            }
        }
        let stats = a.commit(wait)?;
        Ok(CommitStats { dropped: stats.dropped + dropped, ..stats })
    }
}

impl Drop for WaitingAppender<'_> {
    fn drop(&mut self) {
        self.waiting().fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Appender for WaitingAppender<'_> {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        crate::head::index::check_labels(labels).map_err(AppendError::InvalidLabels)?;
        let labels = labels.to_labels();
        if let Some(n) = self.numbers.get(&labels) {
            return Ok(SeriesRef(PROVISIONAL + u64::from(*n)));
        }
        self.reserve(labels.as_ref().encoded().len() as u64 + 100)?;
        let n = self.series.len() as u32;
        self.series.push(labels.clone());
        self.numbers.insert(labels, n);
        Ok(SeriesRef(PROVISIONAL + u64::from(n)))
    }

    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError> {
        self.push(series, Op::Float(t_ms, v))
    }

    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        let op = match h {
            HistogramSample::Int(h) => {
                crate::head::valid::check_histogram(h).map_err(AppendError::InvalidHistogram)?;
                Op::Int(t_ms, Box::new(h.clone()))
            }
            HistogramSample::Float(h) => {
                crate::head::valid::check_float_histogram(h).map_err(AppendError::InvalidHistogram)?;
                Op::FloatHistogram(t_ms, Box::new(h.clone()))
            }
        };
        self.push(series, op)
    }

    fn append_start_zero(&mut self, series: SeriesRef, t_ms: i64, start_ms: i64, histogram: bool) -> Result<(), AppendError> {
        self.push(series, Op::StartZero(t_ms, start_ms, histogram))
    }

    fn hold(&mut self, series: SeriesRef, replica: &str, t_ms: i64, value: HeldValue) -> Result<(), AppendError> {
        self.push(series, Op::Hold(replica.to_string(), t_ms, value))
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        self.push(series, Op::Exemplar(Box::new(exemplar.clone())))
    }

    fn update_metadata(&mut self, series: SeriesRef, metadata: &Metadata) -> Result<(), AppendError> {
        self.push(series, Op::Metadata(Box::new(metadata.clone())))
    }

    fn commit(mut self: Box<Self>, wait: Wait) -> Result<CommitStats, CommitError> {
        if self.ops.is_empty() && self.series.is_empty() {
            return Ok(CommitStats::default());
        }
        match self.db.wait_ready() {
            Ok(()) => self.hand_over(wait),
            Err(e) => Err(CommitError::Unavailable(e.to_string())),
        }
    }

    fn rollback(self: Box<Self>) {}
}

/// Whether the head is filled.
pub(super) enum State {
    Replaying,
    Ready,
    /// Replay failed, or the store was closed before it ended.
    Failed(Arc<String>),
}
