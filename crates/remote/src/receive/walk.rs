//! The walk through one request: each series, each sample, into the storage or the merge.

use super::answer::{self, Refusals, Written};
use super::merge::replicas::{MAX_REPLICAS, Replica, ReplicaId};
use super::merge::{self, Batch, Merger, ValueRef};
use super::{ReceiveOptions, Receiver};
use crate::wire::decode::{Pair, Series, WriteDecoder};
use crate::wire::{Version, WireError};
use std::sync::Arc;
use storage::AppendError;

/// How far a request came.
pub(super) enum Failure {
    /// The body is damaged: nothing of it was taken.
    Wire(WireError),
    /// The storage takes nothing.
    Unavailable(String),
}

impl From<WireError> for Failure {
    fn from(e: WireError) -> Self {
        Failure::Wire(e)
    }
}

/// What is collected while a request is walked.
#[derive(Default)]
pub(super) struct Tally {
    pub written: Written,
    pub refusals: Refusals,
    pub without_metadata: u64,
    pub conflicts: u64,
    pub newest_ms: Option<i64>,
    /// Replicas met in this request, each with its newest sample.
    pub replicas: Vec<(ReplicaId, Arc<Replica>, i64)>,
}

impl Receiver {
    pub(super) fn walk(
        &self,
        version: Version,
        decoded: &[u8],
        only_labels: &[(String, String)],
        b: &mut Batch<'_>,
        tally: &mut Tally,
        now_ms: i64,
    ) -> Result<(), Failure> {
        let latest_ms = now_ms.saturating_add(i64::try_from(self.options.max_ahead.as_millis()).unwrap_or(i64::MAX));
        let mut decoder = WriteDecoder::new(version, decoded, &self.options.replica_labels)?;
        // Whether a client may write a series is asked of its labels.
        let known = |b: &mut Batch<'_>, pairs: &[Pair<'_>]| if only_labels.is_empty() { b.appender().series_behind(pairs) } else { None };
        while let Some(series) = decoder.next_known(&mut |pairs| known(b, pairs))? {
            let count = (series.samples.len() + series.histogram_count()) as u64;
            let labels = match &series.labels {
                Ok(labels) => *labels,
                Err(fault) => {
                    tally.refusals.add(reasons::INVALID_LABELS, count, || format!("invalid labels for series {}: {fault}", series.describe()));
                    continue;
                }
            };
            // Prometheus sends its exemplars as series of their own.
            if count == 0 && series.exemplar_count() == 0 && version == Version::V2 {
                tally
                    .refusals
                    .add(reasons::NO_SAMPLES, 0, || format!("TimeSeries must contain at least one sample or histogram for series {labels}"));
                continue;
            }
            if let Some((name, value)) = only_labels.iter().find(|(n, v)| self.label(&series, &labels, n) != Some(v)) {
                tally.refusals.add(reasons::FOREIGN, count, || format!("this client may only write series with {name}={value:?}, not {labels}"));
                continue;
            }
            let id = match series.known.map_or_else(|| b.appender().series(labels), Ok) {
                Ok(id) => id,
                Err(AppendError::Unavailable(why)) => return Err(Failure::Unavailable(why)),
                Err(e) => {
                    tally.refusals.add(answer::reason(&e), count, || format!("{e} for series {labels}"));
                    continue;
                }
            };
            let mut walk = SeriesWalk { options: &self.options, series: &series, id, latest_ms, tally };
            if series.replica.is_empty() {
                walk.plain(b)?;
            } else {
                if !self.merger.restore(now_ms) {
                    return Err(Failure::Unavailable("the log is being replayed; samples of replicas are merged when that is done".to_string()));
                }
                let known = walk.tally.replica(&self.merger, series.replica);
                let Some((replica_id, replica)) = known else {
                    walk.tally.refusals.add(reasons::REPLICA_LIMIT, count, || {
                        format!("limit of {} different replicas reached for series {}", MAX_REPLICAS, series.text())
                    });
                    continue;
                };
                let is_up = || series.metric_name() == Some("up");
                self.merger.with_series(b, id, is_up, |b, merged| walk.merged(b, merged, replica_id, &replica))?;
            }
            walk.beside(b)?;
        }
        Ok(())
    }
}

impl Receiver {
    /// A label of a series as its sender wrote it: the replica's was taken off.
    fn label<'s>(&self, series: &'s Series<'_, '_>, labels: &'s model::LabelsRef<'_>, name: &str) -> Option<&'s str> {
        match &self.options.replica_labels[..] {
            [replica] if replica == name => Some(series.replica).filter(|r| !r.is_empty()),
            _ => labels.get(name),
        }
    }
}

/// Reasons for a refusal that are not the storage's.
pub(super) mod reasons {
    pub const INVALID_LABELS: &str = "invalid_labels";
    pub const NO_SAMPLES: &str = "no_samples";
    pub const REPLICA_LIMIT: &str = "replica_limit";
    pub const HELD_TOO_LONG: &str = "held_too_long";
    pub const FOREIGN: &str = "foreign_series";
}

impl Tally {
    fn replica(&mut self, merger: &Merger, name: &str) -> Option<(ReplicaId, Arc<Replica>)> {
        if let Some((id, replica, _)) = self.replicas.iter().find(|(_, r, _)| r.name == name) {
            return Some((*id, Arc::clone(replica)));
        }
        let (id, replica) = merger.replicas.id(name)?;
        self.replicas.push((id, Arc::clone(&replica), i64::MIN));
        Some((id, replica))
    }
}

/// One series of a request on its way into the storage.
struct SeriesWalk<'w, 'd, 'a> {
    options: &'w ReceiveOptions,
    series: &'w Series<'d, 'a>,
    id: storage::SeriesRef,
    latest_ms: i64,
    tally: &'w mut Tally,
}

impl SeriesWalk<'_, '_, '_> {
    /// Books what became of one sample.
    fn book(&mut self, t_ms: i64, histogram: bool, result: Result<(), AppendError>) -> Result<(), Failure> {
        match result {
            Ok(()) => {}
            Err(AppendError::DuplicateTimestamp) => self.tally.conflicts += 1,
            Err(AppendError::Unavailable(why)) => return Err(Failure::Unavailable(why)),
            Err(e) => {
                let series = self.series;
                let ahead = if e == AppendError::OutOfBounds && t_ms > self.latest_ms { ": timestamp is too far in the future" } else { "" };
                self.tally.refusals.add(answer::reason(&e), 1, || format!("{e}{ahead} for series {} (timestamp {t_ms})", series.text()));
                return Ok(());
            }
        }
        if histogram {
            self.tally.written.histograms += 1;
        } else {
            self.tally.written.samples += 1;
        }
        self.tally.newest_ms = self.tally.newest_ms.max(Some(t_ms));
        Ok(())
    }

    fn plain(&mut self, b: &mut Batch<'_>) -> Result<(), Failure> {
        let (id, latest_ms, zeros) = (self.id, self.latest_ms, self.options.start_zeros);
        let mut samples = self.series.samples;
        if !zeros && samples.len() > 1 {
            let mut run = samples.iter().take_while(|s| s.t_ms <= latest_ms).map(|s| (s.t_ms, s.v));
            let n = b.appender().append_run(id, &mut run);
            self.tally.written.samples += n as u64;
            self.tally.newest_ms = samples[..n].iter().map(|s| s.t_ms).max().max(self.tally.newest_ms);
            samples = &samples[n..];
        }
        for s in samples {
            if zeros && s.start_ms != 0 {
                // One that comes too late for its place is no news to anybody.
                let _ = b.appender().append_start_zero(id, s.t_ms, s.start_ms, false);
            }
            let result = if s.t_ms > latest_ms { Err(AppendError::OutOfBounds) } else { b.appender().append(id, s.t_ms, s.v) };
            self.book(s.t_ms, false, result)?;
        }
        for h in self.series.histograms() {
            let h = h?;
            if zeros && h.start_ms != 0 {
                let _ = b.appender().append_start_zero(id, h.t_ms, h.start_ms, true);
            }
            let result =
                if h.t_ms > latest_ms { Err(AppendError::OutOfBounds) } else { b.appender().append_histogram(id, h.t_ms, h.value.as_sample()) };
            self.book(h.t_ms, true, result)?;
        }
        Ok(())
    }

    fn merged(&mut self, b: &mut Batch<'_>, merged: &mut merge::Series<'_>, replica_id: ReplicaId, replica: &Replica) -> Result<(), Failure> {
        let latest_ms = self.latest_ms;
        let mut newest_ms = i64::MIN;
        if let [first, second, ..] = self.series.samples {
            replica.guess_interval(second.t_ms.saturating_sub(first.t_ms));
        }
        for s in self.series.samples {
            let result = if s.t_ms > latest_ms {
                Err(AppendError::OutOfBounds)
            } else {
                newest_ms = newest_ms.max(s.t_ms);
                merged.sample(b, replica_id, replica, s.t_ms, ValueRef::Float(s.v)).map(|_| ())
            };
            self.book(s.t_ms, false, result)?;
        }
        for h in self.series.histograms() {
            let h = h?;
            let result = if h.t_ms > latest_ms {
                Err(AppendError::OutOfBounds)
            } else {
                newest_ms = newest_ms.max(h.t_ms);
                merged.sample(b, replica_id, replica, h.t_ms, ValueRef::Histogram(h.value.as_sample())).map(|_| ())
            };
            self.book(h.t_ms, true, result)?;
        }
        if let Some((.., newest)) = self.tally.replicas.iter_mut().find(|(id, ..)| *id == replica_id) {
            *newest = newest_ms.max(*newest);
        }
        Ok(())
    }

    /// Exemplars and metadata. What is wrong with them is counted and never refuses the request: samples matter more.
    fn beside(&mut self, b: &mut Batch<'_>) -> Result<(), Failure> {
        for e in self.series.exemplars() {
            let Ok(e) = e? else {
                continue;
            };
            if e.t_ms.is_none_or(|t| t <= self.latest_ms) && b.appender().append_exemplar(self.id, &e).is_ok() {
                self.tally.written.exemplars += 1;
            }
        }
        match self.series.metadata() {
            Some(m) if self.options.metadata => {
                let _ = b.appender().update_metadata(self.id, &m);
            }
            Some(_) => {}
            None => self.tally.without_metadata += (self.series.samples.len() + self.series.histogram_count()) as u64,
        }
        Ok(())
    }
}
