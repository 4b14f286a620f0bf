//! One batch on its way into the log. Each sample is checked at once and gathered; a commit is one write.

use super::{AgentDb, SeriesState};
use crate::config::MAX_FUTURE_MS;
use crate::head::valid;
use model::{Exemplar, FloatHistogram, Histogram, LabelsRef, Metadata};
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use storage::{AppendError, AppendOptions, Appender, CommitError, CommitStats, HeldValue, HistogramSample, SeriesRef, Source, Wait};
use wal::record::{RefExemplar, RefHistogram, RefMetadata, RefSample};
use wal::{Records, WalError};

/// Batches whose memory is kept for later ones, and the largest that is kept.
const KEPT_BATCHES: usize = 4;
const KEPT_SAMPLES: usize = 1 << 14;

/// The memory of a batch, used again by later ones.
#[derive(Default)]
pub(super) struct Batch {
    floats: Vec<(u32, RefSample)>,
    ints: Vec<(u32, RefHistogram<Histogram>)>,
    float_histograms: Vec<(u32, RefHistogram<FloatHistogram>)>,
    exemplars: Vec<(u64, Exemplar)>,
    metadata: Vec<(u64, Metadata)>,
    /// Series whose labels are not in the log yet.
    unlogged: Vec<(u64, u32)>,
    records: Records,
    labels: Vec<u8>,
}

impl Batch {
    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
        self.float_histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.unlogged.clear();
        self.records.clear();
        self.labels.clear();
    }

    fn slots(&self) -> impl Iterator<Item = (u32, u64, i64)> {
        let floats = self.floats.iter().map(|(slot, s)| (*slot, s.series, s.t_ms));
        let ints = self.ints.iter().map(|(slot, h)| (*slot, h.series, h.t_ms));
        floats.chain(ints).chain(self.float_histograms.iter().map(|(slot, h)| (*slot, h.series, h.t_ms)))
    }
}

pub(super) struct AgentAppender<'a> {
    db: &'a AgentDb,
    batch: Batch,
    in_order_only: bool,
    until_ms: i64,
    /// The series that was asked for last.
    last: (u64, u32),
    last_t_ms: Option<i64>,
}

impl<'a> AgentAppender<'a> {
    pub fn new(db: &'a AgentDb, options: AppendOptions) -> Self {
        let now = db.options.clock.now_ms();
        AgentAppender {
            db,
            batch: db.batches.lock().pop().unwrap_or_default(),
            in_order_only: options.in_order_only,
            until_ms: if options.source == Source::Import { i64::MAX } else { now.saturating_add(MAX_FUTURE_MS) },
            last: (0, 0),
            last_t_ms: None,
        }
    }

    #[inline]
    fn slot_of(&self, series: SeriesRef) -> Result<(u32, &'a SeriesState), AppendError> {
        let slot = if self.last.0 == series.0 && series.0 != 0 { Some(self.last.1) } else { self.db.index.read().slot_of(series.0) };
        let slot = slot.ok_or(AppendError::UnknownSeries)?;
        let s = self.db.slot(slot);
        if s.id.load(Ordering::Acquire) == series.0 { Ok((slot, s)) } else { Err(AppendError::UnknownSeries) }
    }

    /// Checks a sample's time and holds its series; what was in order when it came is written, whoever else writes meanwhile.
    #[inline]
    fn admit(&mut self, series: SeriesRef, t_ms: i64) -> Result<u32, AppendError> {
        self.db.check_refused()?;
        let (slot, s) = self.slot_of(series)?;
        if t_ms > self.until_ms {
            return Err(AppendError::OutOfBounds);
        }
        // What a peer sends may be of any age: it is sent on as it came.
        if self.in_order_only && t_ms <= s.newest_ms.load(Ordering::Relaxed) {
            self.db.metrics.out_of_order.inc();
            return Err(AppendError::OutOfOrder);
        }
        s.pins.fetch_add(1, Ordering::SeqCst);
        if s.id.load(Ordering::SeqCst) != series.0 {
            s.pins.fetch_sub(1, Ordering::SeqCst);
            return Err(AppendError::UnknownSeries);
        }
        if !s.logged.load(Ordering::Acquire) && self.batch.unlogged.last().is_none_or(|(id, _)| *id != series.0) {
            self.batch.unlogged.push((series.0, slot));
        }
        self.last_t_ms = Some(t_ms);
        Ok(slot)
    }

    fn unpin(&self) {
        for (slot, ..) in self.batch.slots() {
            self.db.slot(slot).pins.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Each thing before what refers to it.
    fn encode(&mut self) {
        let Batch { floats, ints, float_histograms, exemplars, metadata, unlogged, records, labels } = &mut self.batch;
        unlogged.sort_unstable();
        unlogged.dedup();
        let mut ends = Vec::with_capacity(unlogged.len());
        {
            let index = self.db.index.read();
            for (_, slot) in unlogged.iter() {
                index.pair_ids(*slot).iter().for_each(|p| labels.extend_from_slice(index.pairs.bytes(*p)));
                ends.push(labels.len());
            }
        }
        let mut start = 0;
        let named = unlogged.iter().zip(&ends).map(|((id, _), end)| {
            let of = LabelsRef::from_encoded(&labels[start..*end]);
            start = *end;
            (*id, of)
        });
        records.series(named);
        records.metadata(metadata.iter().map(|(series, m)| RefMetadata { series: *series, kind: m.kind, unit: &m.unit, help: &m.help }));
        records.samples(floats.iter().map(|(_, s)| *s));
        records.histograms::<&Histogram, _>(ints.iter().map(|(_, h)| RefHistogram { series: h.series, start_ms: h.start_ms, t_ms: h.t_ms, h: &h.h }));
        records.float_histograms::<&FloatHistogram, _>(float_histograms.iter().map(|(_, h)| RefHistogram {
            series: h.series,
            start_ms: h.start_ms,
            t_ms: h.t_ms,
            h: &h.h,
        }));
        records.exemplars(exemplars.iter().map(|(series, e)| RefExemplar {
            series: *series,
            t_ms: e.t_ms.unwrap_or(0),
            v: e.value,
            labels: e.labels.as_ref(),
        }));
    }

    fn failed(&self, e: WalError) -> CommitError {
        match &e {
            WalError::NoSpace(_) | WalError::Limit(_) => CommitError::Unavailable(e.to_string()),
            _ => {
                self.db.refused.write().get_or_insert_with(|| e.to_string().into());
                CommitError::Broken(e.to_string())
            }
        }
    }

    fn written(&self) {
        for (slot, _, t_ms) in self.batch.slots() {
            self.db.slot(slot).newest_ms.fetch_max(t_ms, Ordering::AcqRel);
        }
        for (_, slot) in &self.batch.unlogged {
            self.db.slot(*slot).logged.store(true, Ordering::Release);
        }
        let m = &self.db.metrics;
        for (kind, n) in [("float", self.batch.floats.len()), ("histogram", self.batch.ints.len() + self.batch.float_histograms.len())] {
            if n > 0 {
                m.samples.with(&[kind]).add(n as u64);
            }
        }
        m.exemplars.add(self.batch.exemplars.len() as u64);
        let mut known = self.db.metadata.lock();
        for (id, metadata) in &self.batch.metadata {
            known.insert(*id, metadata.clone());
        }
    }
}

impl Drop for AgentAppender<'_> {
    fn drop(&mut self) {
        self.unpin();
        let mut batch = std::mem::take(&mut self.batch);
        if batch.floats.capacity() <= KEPT_SAMPLES {
            batch.clear();
            let mut kept = self.db.batches.lock();
            if kept.len() < KEPT_BATCHES {
                kept.push(batch);
            }
        }
    }
}

fn fingerprint(e: &Exemplar) -> u64 {
    foldhash::fast::FixedState::default().hash_one((e.labels.as_ref().encoded(), e.value.to_bits()))
}

impl Appender for AgentAppender<'_> {
    fn series(&mut self, labels: LabelsRef<'_>) -> Result<SeriesRef, AppendError> {
        self.db.check_refused()?;
        // Once more when the series was forgotten between finding it and looking at it.
        for _ in 0..2 {
            let (slot, _) = self.db.find_or_create(labels, None)?;
            let id = self.db.slot(slot).id.load(Ordering::Acquire);
            if id != 0 {
                self.last = (id, slot);
                return Ok(SeriesRef(id));
            }
        }
        Err(AppendError::UnknownSeries)
    }

    #[inline]
    fn append(&mut self, series: SeriesRef, t_ms: i64, v: f64) -> Result<(), AppendError> {
        let slot = self.admit(series, t_ms)?;
        self.batch.floats.push((slot, RefSample { series: series.0, start_ms: 0, t_ms, v }));
        Ok(())
    }

    fn append_histogram(&mut self, series: SeriesRef, t_ms: i64, h: HistogramSample<'_>) -> Result<(), AppendError> {
        match h {
            HistogramSample::Int(h) => {
                valid::check_histogram(h).map_err(AppendError::InvalidHistogram)?;
                let slot = self.admit(series, t_ms)?;
                self.batch.ints.push((slot, RefHistogram { series: series.0, start_ms: 0, t_ms, h: h.clone() }));
            }
            HistogramSample::Float(h) => {
                valid::check_float_histogram(h).map_err(AppendError::InvalidHistogram)?;
                let slot = self.admit(series, t_ms)?;
                self.batch.float_histograms.push((slot, RefHistogram { series: series.0, start_ms: 0, t_ms, h: h.clone() }));
            }
        }
        Ok(())
    }

    fn append_start_zero(&mut self, series: SeriesRef, t_ms: i64, start_ms: i64, histogram: bool) -> Result<(), AppendError> {
        let newest_ms = self.slot_of(series)?.1.newest_ms.load(Ordering::Relaxed);
        if start_ms <= 0 || start_ms >= t_ms || start_ms <= newest_ms {
            return Ok(());
        }
        if histogram {
            let zero = Histogram { reset_hint: model::histogram::ResetHint::Reset, ..Histogram::default() };
            return self.append_histogram(series, start_ms, HistogramSample::Int(&zero));
        }
        self.append(series, start_ms, 0.0)
    }

    fn hold(&mut self, _series: SeriesRef, _replica: &str, _t_ms: i64, _value: HeldValue) -> Result<(), AppendError> {
        Err(AppendError::Unavailable("a forward-only leaf merges no pairs".to_string()))
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: &Exemplar) -> Result<(), AppendError> {
        self.slot_of(series)?;
        let mut exemplar = exemplar.clone();
        let t_ms = exemplar.t_ms.or(self.last_t_ms).unwrap_or_else(|| self.db.options.clock.now_ms());
        exemplar.t_ms = Some(t_ms);
        let this = (t_ms, fingerprint(&exemplar));
        let mut last = self.db.exemplars.lock();
        match last.get(&series.0) {
            Some((before_ms, print)) if *print == this.1 || *before_ms > t_ms => return Ok(()),
            _ => last.insert(series.0, this),
        };
        self.batch.exemplars.push((series.0, exemplar));
        Ok(())
    }

    fn update_metadata(&mut self, series: SeriesRef, metadata: &Metadata) -> Result<(), AppendError> {
        self.slot_of(series)?;
        if self.db.metadata.lock().get(&series.0) != Some(metadata) {
            self.batch.metadata.push((series.0, metadata.clone()));
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>, wait: Wait) -> Result<CommitStats, CommitError> {
        if let Some(why) = &*self.db.refused.read() {
            return Err(CommitError::Broken(why.to_string()));
        }
        self.encode();
        if self.batch.records.is_empty() {
            return Ok(CommitStats::default());
        }
        let at = self.db.wal.log(&self.batch.records).map_err(|e| self.failed(e))?;
        self.written();
        if wait == Wait::Durable {
            self.db.wal.wait_durable(at).map_err(|e| self.failed(e))?;
        }
        Ok(CommitStats {
            samples: self.batch.floats.len() as u64,
            histograms: (self.batch.ints.len() + self.batch.float_histograms.len()) as u64,
            exemplars: self.batch.exemplars.len() as u64,
            ..CommitStats::default()
        })
    }

    fn rollback(self: Box<Self>) {}
}
