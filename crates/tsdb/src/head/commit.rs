//! The end of a batch: one write to the log, then memory, then the wait for the disk.
//!
//! A late sample is written twice: to the log, for uplinks, and to Prometheus' second log (`wbl`), from which it is replayed; replay of the log
//! takes only what is in order. So a Prometheus that takes over the directory sees late samples too, and both logs are waited for.

use super::Head;
use super::appender::{Batch, Entry, HeadAppender};
use super::isolation::Entered;
use super::late::{Inserted, Late};
use super::series::Series;
use super::value::{Kind, Value};
use model::{FloatHistogram, Histogram, LabelsRef};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::{CommitError, CommitStats, Held, HeldValue, SeriesRef, Wait};
use wal::record::{HeldRef, RefExemplar, RefHistogram, RefMetadata, RefSample};
use wal::{LogPosition, WalError};

/// What applying a batch found.
struct Applied<'a> {
    entered: Entered<'a>,
    min_ms: i64,
    max_ms: i64,
    late_min_ms: i64,
    late_max_ms: i64,
    chunks: u64,
    late_floats: u64,
    late_histograms: u64,
    stale: i64,
    histograms: i64,
}

impl HeadAppender<'_> {
    pub(super) fn commit_batch(&mut self, wait: Wait) -> Result<CommitStats, CommitError> {
        self.done = true;
        if let Some(why) = self.head.refused() {
            self.unpin_all();
            return Err(CommitError::Broken(why.to_string()));
        }
        let logged = match self.head.logs() {
            None => None,
            Some(logs) => {
                encode(self.head, &mut self.batch);
                if self.batch.records.is_empty() {
                    None
                } else {
                    match logs.wal.log(&self.batch.records) {
                        Ok(at) => Some(at),
                        Err(e) => {
                            self.unpin_all();
                            return Err(self.head.log_failed(e));
                        }
                    }
                }
            }
        };
        let mut late: Option<LogPosition> = None;
        {
            let _logging = self.head.late_logging.read();
            self.apply();
            if let Some(logs) = self.head.logs() {
                encode_late(&mut self.batch);
                if !self.batch.late_records.is_empty() {
                    late = Some(logs.wbl.log(&self.batch.late_records).map_err(|e| self.head.log_failed(e))?);
                }
            }
        }
        if wait == Wait::Durable
            && let Some(logs) = self.head.logs()
        {
            // A repeat is as durable as what it repeats, which another batch may have written just now.
            let (logged, late) = if self.stats.duplicates > 0 {
                drop(self.head.late_logging.write());
                (Some(logs.wal.end()), Some(logs.wbl.end()))
            } else {
                (logged, late)
            };
            for (log, at) in [(&logs.wal, logged), (&logs.wbl, late)] {
                if let Some(at) = at {
                    log.wait_durable(at).map_err(|e| self.head.log_failed(e))?;
                }
            }
        }
        Ok(self.stats)
    }

    fn apply(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let mut a = Applied {
            entered: self.head.isolation.enter(),
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            late_min_ms: i64::MAX,
            late_max_ms: i64::MIN,
            chunks: 0,
            late_floats: 0,
            late_histograms: 0,
            stale: 0,
            histograms: 0,
        };
        let (mut f, mut i, mut h) = (0, 0, 0);
        let parts = std::mem::take(&mut batch.parts);
        for part in &parts {
            match part.kind {
                Kind::Int => {
                    for n in i..part.end {
                        let e = &batch.ints[n];
                        let (slot, id, t_ms, value) = (e.slot, e.id, e.t_ms, Value::Int(Arc::clone(&e.v)));
                        self.apply_value(slot, id, t_ms, value, &mut a, &mut batch);
                    }
                    i = part.end;
                }
                Kind::FloatHistogram => {
                    for n in h..part.end {
                        let e = &batch.float_histograms[n];
                        let (slot, id, t_ms, value) = (e.slot, e.id, e.t_ms, Value::FloatHistogram(Arc::clone(&e.v)));
                        self.apply_value(slot, id, t_ms, value, &mut a, &mut batch);
                    }
                    h = part.end;
                }
                Kind::Float | Kind::None => {
                    while f < part.end {
                        f = self.apply_floats(f, part.end, &mut a, &mut batch);
                    }
                    f = part.end;
                }
            }
        }
        batch.parts = parts;
        for (id, slot) in &batch.unlogged {
            let mut s = self.head.slot(*slot).lock();
            if s.id == *id {
                s.logged = true;
            }
        }
        self.batch = batch;
        self.head.widen_in_order(a.min_ms, a.max_ms);
        self.head.widen_late(a.late_min_ms, a.late_max_ms);
        self.count(&a);
        // It is whole from here on.
        drop(a);
        self.apply_rest();
    }

    /// Applies the samples from `from` on that are of one series, as far as they are in order, or else one; returns the number of the next.
    #[inline]
    fn apply_floats(&mut self, from: usize, end: usize, a: &mut Applied<'_>, batch: &mut Batch) -> usize {
        let head = self.head;
        let Entry { slot, id, t_ms, v } = batch.floats[from];
        let mut s = head.slot(slot).lock();
        let mut next = from;
        if s.id == id && s.kind <= Kind::Float {
            let floor = self.min_valid_ms.max(head.floor_ms());
            let was_stale = s.stale;
            for e in batch.floats[from..end].iter().take_while(|e| e.slot == slot && e.id == id) {
                if e.t_ms <= s.newest_ms || e.t_ms < floor {
                    break;
                }
                if next == from {
                    a.entered.before_in_order(slot, &mut s);
                }
                a.chunks += u64::from(s.append_float(e.t_ms, e.v, head.chunk_context()));
                next += 1;
            }
            if next > from {
                s.pins -= (next - from) as u32;
                a.stale += i64::from(s.stale) - i64::from(was_stale);
                a.min_ms = a.min_ms.min(t_ms);
                a.max_ms = a.max_ms.max(s.newest_ms);
                self.stats.samples += (next - from) as u64;
                return next;
            }
        }
        drop(s);
        self.apply_value(slot, id, t_ms, Value::Float(v), a, batch);
        from + 1
    }

    #[cold]
    fn apply_value(&mut self, slot: u32, id: u64, t_ms: i64, value: Value, a: &mut Applied<'_>, batch: &mut Batch) {
        let head = self.head;
        let mut s = head.slot(slot).lock();
        if s.id != id {
            self.stats.dropped += 1;
            return;
        }
        s.pins = s.pins.saturating_sub(1);
        let value = s.typed_stale_marker(value);
        let floor = head.floor_ms();
        let in_range = t_ms >= self.min_valid_ms.max(floor);
        if in_range && t_ms > s.newest_ms {
            a.entered.before_in_order(slot, &mut s);
            let (was_stale, was_histogram) = (s.stale, s.kind > Kind::Float);
            a.chunks += u64::from(s.append_in_order(t_ms, &value, head.chunk_context()));
            a.stale += i64::from(s.stale) - i64::from(was_stale);
            a.histograms += i64::from(s.kind > Kind::Float) - i64::from(was_histogram);
            a.min_ms = a.min_ms.min(t_ms);
            a.max_ms = a.max_ms.max(t_ms);
            match value {
                Value::Float(_) => self.stats.samples += 1,
                _ => self.stats.histograms += 1,
            }
            return;
        }
        match s.stored_is(t_ms, &value, &head.full) {
            Some(true) => {
                self.stats.duplicates += 1;
                return;
            }
            Some(false) => {
                self.stats.dropped += 1;
                return;
            }
            None => {}
        }
        // It was in order when it came, but a block was begun meanwhile: that must not lose it.
        if !self.takes_late() && t_ms >= floor {
            self.stats.dropped += 1;
            return;
        }
        match insert_late(&mut s, t_ms, value.clone()) {
            Inserted::New => a.entered.added_late(slot, t_ms),
            Inserted::Repeat => {
                self.stats.duplicates += 1;
                return;
            }
            Inserted::Conflict => {
                self.stats.dropped += 1;
                return;
            }
        }
        // A batch that began while the log was replayed and ends after that.
        if self.began_filling() && !head.is_filling() {
            head.nothing_in_order_before(&mut s, t_ms);
        }
        drop(s);
        a.late_min_ms = a.late_min_ms.min(t_ms);
        a.late_max_ms = a.late_max_ms.max(t_ms);
        self.stats.late += 1;
        match value {
            Value::Float(v) => {
                a.late_floats += 1;
                self.stats.samples += 1;
                batch.late_floats.push(RefSample { series: id, start_ms: 0, t_ms, v });
            }
            Value::Int(h) => {
                a.late_histograms += 1;
                self.stats.histograms += 1;
                batch.late_ints.push(RefHistogram { series: id, start_ms: 0, t_ms, h });
            }
            Value::FloatHistogram(h) => {
                a.late_histograms += 1;
                self.stats.histograms += 1;
                batch.late_float_histograms.push(RefHistogram { series: id, start_ms: 0, t_ms, h });
            }
        }
    }

    fn apply_rest(&mut self) {
        if self.head.is_filling() && self.put_rest_aside() {
            return;
        }
        for (id, metadata) in self.batch.metadata.drain(..) {
            self.head.metadata.write().insert(id, metadata);
        }
        for (id, exemplar) in self.batch.exemplars.drain(..) {
            let Some(labels) = self.head.labels_of(SeriesRef(id)) else { continue };
            self.stats.exemplars += u64::from(self.head.exemplars.add(&labels, exemplar, &self.head.metrics));
        }
    }

    #[cold]
    fn put_rest_aside(&mut self) -> bool {
        let mut waiting = self.head.waiting.lock();
        // It may just have ended: then nobody looks there any more.
        if !self.head.is_filling() {
            return false;
        }
        waiting.metadata.append(&mut self.batch.metadata);
        for (id, exemplar) in self.batch.exemplars.drain(..) {
            if let Some(labels) = self.head.labels_of(SeriesRef(id))
                && waiting.exemplars.len() < super::filling::MAX_WAITING_EXEMPLARS
            {
                self.stats.exemplars += 1;
                waiting.exemplars.push((labels, exemplar));
            }
        }
        true
    }

    fn count(&self, a: &Applied<'_>) {
        let m = &self.head.metrics;
        let add = |c: &stdx::metrics::CounterVec, kind: &str, n: u64| {
            if n > 0 {
                c.with(&[kind]).add(n);
            }
        };
        add(&m.samples_appended, "float", self.stats.samples);
        add(&m.samples_appended, "histogram", self.stats.histograms);
        add(&m.out_of_order_samples_appended, "float", a.late_floats);
        add(&m.out_of_order_samples_appended, "histogram", a.late_histograms);
        add(&m.duplicate_samples, "repeat", self.stats.duplicates);
        add(&m.duplicate_samples, "conflict", self.stats.dropped);
        if a.chunks > 0 {
            m.head_chunks_created.add(a.chunks);
            m.head_chunks.add(a.chunks as f64);
        }
        if a.stale != 0 {
            m.head_stale_series.add(a.stale as f64);
        }
        if a.histograms != 0 {
            m.native_histogram_series.add(a.histograms as f64);
        }
        let late = a.late_floats + a.late_histograms;
        if late > 0 {
            let all = self.head.late_samples.fetch_add(late, Ordering::Relaxed) + late;
            m.late_samples.set(all as f64);
        }
    }
}

/// Puts a sample among the late ones of its series.
pub(super) fn insert_late(s: &mut Series, t_ms: i64, value: Value) -> Inserted {
    s.late.get_or_insert_with(|| Box::new(Late::default())).insert(t_ms, value)
}

/// Writes what is gathered as records, each thing before what refers to it.
fn encode(head: &Head, batch: &mut Batch) {
    let Batch { records, unlogged, scratch, ends, .. } = batch;
    if !unlogged.is_empty() {
        unlogged.sort_unstable();
        unlogged.dedup();
        {
            let index = head.index.read();
            // A series that has no samples in the batch may have left meanwhile.
            unlogged.retain(|(id, slot)| index.slot_of(*id) == Some(*slot));
            for (_, slot) in unlogged.iter() {
                index.pair_ids(*slot).iter().for_each(|p| scratch.extend_from_slice(index.pairs.bytes(*p)));
                ends.push(scratch.len());
            }
        }
        let mut start = 0;
        let labels = unlogged.iter().zip(ends.iter()).map(|((id, _), end)| {
            let labels = LabelsRef::from_encoded(&scratch[start..*end]);
            start = *end;
            (*id, labels)
        });
        records.series(labels);
    }
    records.metadata(batch.metadata.iter().map(|(series, m)| RefMetadata { series: *series, kind: m.kind, unit: &m.unit, help: &m.help }));
    let (mut f, mut i, mut h) = (0, 0, 0);
    for part in &batch.parts {
        match part.kind {
            Kind::Int => {
                let entries = &batch.ints[i..part.end];
                records.histograms(entries.iter().map(|e| RefHistogram { series: e.id, start_ms: 0, t_ms: e.t_ms, h: e.v.as_ref() }));
                i = part.end;
            }
            Kind::FloatHistogram => {
                let entries = &batch.float_histograms[h..part.end];
                records.float_histograms(entries.iter().map(|e| RefHistogram { series: e.id, start_ms: 0, t_ms: e.t_ms, h: e.v.as_ref() }));
                h = part.end;
            }
            Kind::Float | Kind::None => {
                let entries = &batch.floats[f..part.end];
                records.samples(entries.iter().map(|e| RefSample { series: e.id, start_ms: 0, t_ms: e.t_ms, v: e.v }));
                f = part.end;
            }
        }
    }
    records.exemplars(batch.exemplars.iter().map(|(series, e)| RefExemplar {
        series: *series,
        t_ms: e.t_ms.unwrap_or(0),
        v: e.value,
        labels: e.labels.as_ref(),
    }));
    for run in batch.held.chunk_by(|a, b| a.replica == b.replica) {
        records.held(&run[0].replica, run.iter().map(|h| (h.series.0, h.t_ms, held_ref(h))));
    }
}

fn held_ref(h: &Held) -> HeldRef<'_> {
    match &h.value {
        HeldValue::Float(v) => HeldRef::Float(*v),
        HeldValue::Int(h) => HeldRef::Int(h),
        HeldValue::FloatHistogram(h) => HeldRef::FloatHistogram(h),
    }
}

fn encode_late(batch: &mut Batch) {
    let Batch { late_records, late_floats, late_ints, late_float_histograms, .. } = batch;
    late_records.samples(late_floats.iter().copied());
    late_records.histograms::<&Histogram, _>(late_ints.iter().map(|e| RefHistogram {
        series: e.series,
        start_ms: e.start_ms,
        t_ms: e.t_ms,
        h: e.h.as_ref(),
    }));
    late_records.float_histograms::<&FloatHistogram, _>(late_float_histograms.iter().map(|e| RefHistogram {
        series: e.series,
        start_ms: e.start_ms,
        t_ms: e.t_ms,
        h: e.h.as_ref(),
    }));
}

impl Head {
    /// What a failed write to a log means for the batch, and for the head.
    fn log_failed(&self, e: WalError) -> CommitError {
        match &e {
            WalError::NoSpace(_) => {
                self.metrics.disk_full_refused.inc();
                CommitError::Unavailable(e.to_string())
            }
            WalError::Limit(_) => CommitError::Unavailable(e.to_string()),
            _ => {
                self.refuse(e.to_string());
                CommitError::Broken(e.to_string())
            }
        }
    }
}
