//! Filling the head from the disk: checkpoint, log, and Prometheus' log of late samples.
//!
//! One thread reads and decodes, others append, each its share of the series; what is under way between them is bounded, so replay needs no more
//! memory than running did. Chunks under `chunks_head` save appending, not reading: samples that such a chunk covers are passed over.
//!
//! From the log only samples in order are taken: late ones stand in the second log (see [`super::commit`]), whose marks of mapped chunks are not
//! needed because it is kept until all of it is in blocks. Damaged places cost themselves; they are reported and repaired at the end.

use super::Head;
use super::chunks_head::Found;
use super::commit::insert_late;
use super::index::HeadIndex;
use super::late::Inserted;
use super::series::FullChunk;
use super::value::{Kind, Value};
use model::{Exemplar, LabelsRef, Metadata};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use stdx::fs::SharedFs;
use storage::{Held, HeldValue, SeriesRef};
use wal::record::{self, RecordType};
use wal::replay::{LogReader, LogStep};
use wal::{Corruption, LogPosition, WalError, checkpoint, repair};

/// Samples handed to a worker at once.
const BATCH: usize = 4096;
/// Batches that may wait for a worker.
const WAITING: usize = 32;
const MAX_WORKERS: usize = 8;
/// Bytes of records that are read ahead at once, and how many times that may wait.
const PIECE_BYTES: usize = 256 << 10;
const READ_AHEAD: usize = 4;
/// Records between two questions whether to stop.
const ASK_EVERY: u64 = 64;

/// How far replay is, for who asks while it runs.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    pub first_segment: AtomicU64,
    pub last_segment: AtomicU64,
    pub current_segment: AtomicU64,
}

/// What replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayStats {
    pub records: u64,
    pub samples: u64,
    pub late_samples: u64,
    /// References that no series record explained, by kind of record.
    pub unknown_samples: u64,
    pub unknown_other: u64,
    /// Damaged places.
    pub damaged: u64,
}

/// Full chunks by the reference of their series.
pub type FoundChunks = HashMap<u64, Vec<Found>, foldhash::fast::RandomState>;

type Floats = Vec<(u64, i64, f64)>;

enum Work {
    Floats(Floats),
    Values(Vec<(u64, i64, Value)>),
    /// Says when everything before it is done.
    Barrier(SyncSender<()>),
}

#[derive(Default)]
struct Done {
    samples: u64,
    late: u64,
    unknown: u64,
    /// Oldest and newest time, in order and late.
    in_order: Option<(i64, i64)>,
    late_range: Option<(i64, i64)>,
    chunks: u64,
}

impl Head {
    /// Fills the empty head. `through` is the last segment to read of the log; the one after it may be written already. Ends early with
    /// [`WalError::Closed`] when `stop` says so.
    pub fn replay(
        &self,
        fs: &SharedFs,
        wal_dir: &Path,
        wbl_dir: &Path,
        through: (u64, u64),
        found: FoundChunks,
        progress: &ReplayProgress,
        stop: super::source::Stop<'_>,
    ) -> Result<ReplayStats, WalError> {
        let mut stats = ReplayStats::default();
        let mut damage = Vec::new();
        let checkpoint = if fs.exists(wal_dir) { checkpoint::last(fs.as_ref(), wal_dir)? } else { None };
        let first = checkpoint.as_ref().map_or(0, |c| c.segment + 1);
        progress.last_segment.store(through.0, Ordering::Relaxed);
        progress.first_segment.store(first.min(through.0), Ordering::Relaxed);
        progress.current_segment.store(first.min(through.0), Ordering::Relaxed);
        // A crash may have left chunks and late samples of series whose names are lost: their references must not get another meaning.
        let max_id = found.keys().copied().max().unwrap_or(0);
        let mut main =
            Main { head: self, found, aliases: HashMap::default(), stats: &mut stats, scratch: Vec::new(), max_id, met: Default::default(), stop };
        if let Some(c) = &checkpoint {
            main.read(LogReader::open(Arc::clone(fs), &c.path, 0, u64::MAX)?, false, None, &mut damage)?;
        }
        main.read(LogReader::open(Arc::clone(fs), wal_dir, first, through.0)?, false, Some(progress), &mut damage)?;
        if fs.exists(wbl_dir) {
            main.read(LogReader::open(Arc::clone(fs), wbl_dir, 0, through.1)?, true, None, &mut damage)?;
        }
        self.last_id.fetch_max(main.max_id, Ordering::Relaxed);
        drop(main);
        stats.damaged = damage.len() as u64;
        for c in &damage {
            self.metrics.wal_corruptions.inc();
            tracing::error!(damage = %c, "damaged place in the log; what stood in it is lost");
            repair::repair(fs, c)?;
        }
        let unknown = |n: u64, kind: &str| {
            if n > 0 {
                self.metrics.wal_replay_unknown_refs.with(&[kind]).add(n);
                tracing::warn!(count = n, kind, "the log refers to series that it does not name");
            }
        };
        unknown(stats.unknown_samples, "samples");
        unknown(stats.unknown_other, "other");
        Ok(stats)
    }
}

struct Main<'a> {
    head: &'a Head,
    found: FoundChunks,
    /// References of series that have another one already.
    aliases: HashMap<u64, u64, foldhash::fast::RandomState>,
    stats: &'a mut ReplayStats,
    scratch: Vec<u8>,
    max_id: u64,
    /// Slots of series that the log has named.
    met: roaring::RoaringBitmap,
    stop: super::source::Stop<'a>,
}

struct Workers {
    senders: Vec<SyncSender<Work>>,
    floats: Vec<Floats>,
    values: Vec<Vec<(u64, i64, Value)>>,
    /// Lists that the workers are done with.
    used: Arc<Mutex<Vec<Floats>>>,
}

impl Workers {
    fn float(&mut self, id: u64, t_ms: i64, v: f64) {
        let n = id as usize % self.senders.len();
        if !self.values[n].is_empty() {
            self.flush_values(n);
        }
        let list = &mut self.floats[n];
        list.push((id, t_ms, v));
        if list.len() >= BATCH {
            self.flush_floats(n);
        }
    }

    fn value(&mut self, id: u64, t_ms: i64, value: Value) {
        let n = id as usize % self.senders.len();
        if !self.floats[n].is_empty() {
            self.flush_floats(n);
        }
        let list = &mut self.values[n];
        list.push((id, t_ms, value));
        if list.len() >= BATCH / 8 {
            self.flush_values(n);
        }
    }

    fn flush_floats(&mut self, n: usize) {
        let empty = self.used.lock().pop().unwrap_or_else(|| Vec::with_capacity(BATCH));
        let list = std::mem::replace(&mut self.floats[n], empty);
        self.senders[n].send(Work::Floats(list)).expect("workers run until their channel is closed");
    }

    fn flush_values(&mut self, n: usize) {
        let list = std::mem::take(&mut self.values[n]);
        self.senders[n].send(Work::Values(list)).expect("workers run until their channel is closed");
    }

    fn flush(&mut self) {
        for n in 0..self.senders.len() {
            if !self.floats[n].is_empty() {
                self.flush_floats(n);
            }
            if !self.values[n].is_empty() {
                self.flush_values(n);
            }
        }
    }

    /// Returns when everything handed out so far is in the head.
    fn barrier(&mut self) {
        self.flush();
        let (done, wait) = sync_channel(self.senders.len());
        for s in &self.senders {
            s.send(Work::Barrier(done.clone())).expect("workers run until their channel is closed");
        }
        for _ in &self.senders {
            let _ = wait.recv();
        }
    }
}

/// Records that were read one after the other.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Where in `bytes` each ends, and where in the log it begins.
    records: Vec<(usize, LogPosition)>,
    /// What stands behind them.
    then: Option<WalError>,
}

/// Reads on a thread of its own until the end, an error, or nobody takes what it reads. Goes on behind damage.
fn read_ahead(mut reader: LogReader, to: &SyncSender<Piece>) {
    loop {
        let mut piece = Piece { bytes: Vec::with_capacity(PIECE_BYTES), ..Piece::default() };
        let mut ended = false;
        while piece.then.is_none() && !ended && piece.bytes.len() < PIECE_BYTES {
            match reader.step() {
                Ok(LogStep::Record { start, .. }) => {
                    piece.bytes.extend_from_slice(reader.bytes());
                    piece.records.push((piece.bytes.len(), start));
                }
                // What is known of series is to be known early: batches come meanwhile, and would give them other references.
                Ok(LogStep::EndOfSegment) if piece.records.is_empty() => {}
                Ok(LogStep::EndOfSegment) => break,
                Ok(LogStep::End) => ended = true,
                Err(e) => piece.then = Some(e),
            }
        }
        ended |= piece.then.as_ref().is_some_and(|e| !matches!(e, WalError::Corrupt(_)));
        if to.send(piece).is_err() || ended {
            return;
        }
    }
}

impl Main<'_> {
    fn read(&mut self, reader: LogReader, late: bool, progress: Option<&ReplayProgress>, damage: &mut Vec<Corruption>) -> Result<(), WalError> {
        let head = self.head;
        let n = match head.options.replay_workers {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let n = n.clamp(1, MAX_WORKERS);
        let mut all = Vec::new();
        let result = std::thread::scope(|scope| {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..n).map(|_| sync_channel(WAITING)).unzip();
            let used = Arc::new(Mutex::new(Vec::new()));
            let handles: Vec<_> = receivers
                .into_iter()
                .map(|r| {
                    let used = Arc::clone(&used);
                    scope.spawn(move || work(head, r, late, &used))
                })
                .collect();
            let mut workers = Workers { senders, floats: vec![Vec::new(); n], values: (0..n).map(|_| Vec::new()).collect(), used };
            let (read, records) = sync_channel(READ_AHEAD);
            scope.spawn(move || read_ahead(reader, &read));
            let result = self.take_all(records, &mut workers, progress, damage);
            workers.flush();
            drop(workers);
            all = handles.into_iter().map(|h| h.join().expect("a worker does not panic")).collect();
            result
        });
        for d in all {
            self.stats.samples += d.samples;
            self.stats.late_samples += d.late;
            self.stats.unknown_samples += d.unknown;
            head.metrics.head_chunks_created.add(d.chunks);
            head.metrics.head_chunks.add(d.chunks as f64);
            if let Some((a, b)) = d.in_order {
                head.widen_in_order(a, b);
            }
            if let Some((a, b)) = d.late_range {
                head.widen_late(a, b);
            }
            head.late_samples.fetch_add(d.late, Ordering::Relaxed);
        }
        head.metrics.late_samples.set(head.late_samples() as f64);
        result
    }

    fn take_all(
        &mut self,
        pieces: Receiver<Piece>,
        workers: &mut Workers,
        progress: Option<&ReplayProgress>,
        damage: &mut Vec<Corruption>,
    ) -> Result<(), WalError> {
        for piece in pieces {
            let mut start = 0;
            for (end, at) in piece.records {
                let bytes = &piece.bytes[start..end];
                start = end;
                if let Some(p) = progress {
                    p.current_segment.store(at.segment, Ordering::Relaxed);
                }
                self.stats.records += 1;
                if self.stats.records.is_multiple_of(ASK_EVERY) && (self.stop)() {
                    return Err(WalError::Closed);
                }
                if let Err(e) = self.record(bytes, workers) {
                    self.head.metrics.wal_corruptions.inc();
                    tracing::error!(position = %at, error = %e, "a record of the log makes no sense; the rest of it is lost");
                }
            }
            match piece.then {
                None => {}
                Some(WalError::Corrupt(c)) => damage.push(c),
                Some(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn canonical(&self, id: u64) -> u64 {
        if self.aliases.is_empty() { id } else { self.aliases.get(&id).copied().unwrap_or(id) }
    }

    fn record(&mut self, bytes: &[u8], workers: &mut Workers) -> Result<(), record::RecordError> {
        let Some(kind) = RecordType::of(bytes) else { return Ok(()) };
        match kind {
            RecordType::Series => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let head = self.head;
                // One lock for all of the record: those who append meanwhile wait for a moment instead of each series.
                let mut index = head.index.write();
                let mut created = 0;
                let result = record::decode_series(bytes, &mut scratch, |id, labels| created += u64::from(self.series(&mut index, id, labels)));
                index.settle();
                drop(index);
                head.metrics.head_series_created.add(created);
                head.metrics.head_series.add(created as f64);
                self.scratch = scratch;
                result
            }
            RecordType::Samples | RecordType::SamplesV2 => {
                let (this, mut max_id) = (&*self, self.max_id);
                let result = record::each_sample(bytes, |s| {
                    max_id = max_id.max(s.series);
                    workers.float(this.canonical(s.series), s.t_ms, s.v);
                });
                self.max_id = max_id;
                result
            }
            RecordType::Histograms | RecordType::CustomHistograms | RecordType::HistogramsV2 => record::decode_histograms(bytes, |s| {
                self.max_id = self.max_id.max(s.series);
                workers.value(self.canonical(s.series), s.t_ms, Value::Int(Arc::new(s.h)));
            }),
            RecordType::FloatHistograms | RecordType::CustomFloatHistograms | RecordType::FloatHistogramsV2 => {
                record::decode_float_histograms(bytes, |s| {
                    self.max_id = self.max_id.max(s.series);
                    workers.value(self.canonical(s.series), s.t_ms, Value::FloatHistogram(Arc::new(s.h)));
                })
            }
            RecordType::Exemplars => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let result = record::decode_exemplars(bytes, &mut scratch, |e| {
                    self.max_id = self.max_id.max(e.series);
                    let id = self.canonical(e.series);
                    match self.head.labels_of(SeriesRef(id)) {
                        Some(labels) => {
                            let exemplar = Exemplar { labels: e.labels.to_labels(), value: e.v, t_ms: Some(e.t_ms) };
                            self.head.exemplars.add(&labels, exemplar, &self.head.metrics);
                        }
                        None => self.stats.unknown_other += 1,
                    }
                });
                self.scratch = scratch;
                result
            }
            RecordType::Metadata => record::decode_metadata(bytes, |m| {
                self.max_id = self.max_id.max(m.series);
                let metadata = Metadata { kind: m.kind, help: m.help.to_string(), unit: m.unit.to_string() };
                self.head.metadata.write().insert(self.canonical(m.series), Arc::new(metadata));
            }),
            RecordType::Tombstones => record::decode_tombstones(bytes, |t| {
                self.max_id = self.max_id.max(t.series);
                let id = self.canonical(t.series);
                if (t.start_ms, t.end_ms) == (i64::MIN, i64::MAX) {
                    // Prometheus moved this stale series to a block: it begins anew if it comes again.
                    workers.barrier();
                    self.head.drop_series(id);
                } else {
                    // Also below the floor: late samples may still be there. What concerns nothing is forgotten at the end.
                    self.head.add_deleted(id, t.start_ms, t.end_ms);
                }
            }),
            RecordType::Held => record::decode_held(bytes, |replica, series, t_ms, value| {
                let value = match value {
                    record::HeldValue::Float(v) => HeldValue::Float(v),
                    record::HeldValue::Int(h) => HeldValue::Int(Arc::new(h)),
                    record::HeldValue::FloatHistogram(h) => HeldValue::FloatHistogram(Arc::new(h)),
                };
                self.max_id = self.max_id.max(series);
                let series = SeriesRef(self.canonical(series));
                self.head.held.lock().push(Held { series, replica: Arc::from(replica), t_ms, value });
            }),
            RecordType::MmapMarkers | RecordType::References => Ok(()),
        }
    }

    /// True when the series is new.
    fn series(&mut self, index: &mut HeadIndex, id: u64, labels: LabelsRef<'_>) -> bool {
        self.max_id = self.max_id.max(id);
        let (slot, created) = match self.head.find_or_adopt(index, labels, id) {
            Ok(found) => found,
            Err(e) => {
                tracing::warn!(error = %e, series = id, "the log names a series with labels that are not allowed; it is left out");
                return false;
            }
        };
        if !created {
            let known = self.head.slot(slot).lock().id;
            if known != id {
                self.aliases.insert(id, known);
                index.alias(id, slot);
            }
        }
        self.take_found(id, slot);
        created
    }

    /// Gives a series its full chunks.
    fn take_found(&mut self, id: u64, slot: u32) {
        let first = self.met.insert(slot);
        if self.found.is_empty() {
            return;
        }
        let Some(chunks) = self.found.remove(&id) else { return };
        if !first {
            // Samples under its other reference may still be on their way to a worker, and others may lie between these chunks and those.
            return;
        }
        let floor = self.head.floor_ms();
        let mut s = self.head.slot(slot).lock();
        for c in chunks.iter().filter(|c| c.maxt_ms >= floor) {
            if c.mint_ms <= s.newest_ms || c.maxt_ms < c.mint_ms {
                continue;
            }
            s.push_full(FullChunk { at: c.at, maxt_ms: c.maxt_ms });
            s.set_newest(c.maxt_ms, c.encoding);
            self.head.widen_in_order(c.mint_ms.max(floor), c.maxt_ms);
            self.head.metrics.head_chunks.add(1.0);
        }
    }
}

fn wider(range: &mut Option<(i64, i64)>, t: i64) {
    *range = Some(range.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
}

fn work(head: &Head, work: Receiver<Work>, late: bool, used: &Mutex<Vec<Floats>>) -> Done {
    let mut done = Done::default();
    let mut slots = Vec::new();
    for batch in work {
        match batch {
            Work::Floats(mut list) => {
                find_slots(head, list.iter().map(|s| s.0), &mut slots);
                for ((_, t_ms, v), slot) in list.drain(..).zip(&slots) {
                    if late || model::sample::is_stale_nan(v) {
                        one(head, *slot, t_ms, Value::Float(v), late, &mut done);
                    } else {
                        one_float(head, *slot, t_ms, v, &mut done);
                    }
                }
                used.lock().push(list);
            }
            Work::Values(list) => {
                find_slots(head, list.iter().map(|s| s.0), &mut slots);
                for ((_, t_ms, value), slot) in list.into_iter().zip(&slots) {
                    one(head, *slot, t_ms, value, late, &mut done);
                }
            }
            Work::Barrier(reached) => {
                let _ = reached.send(());
            }
        }
    }
    done
}

fn find_slots(head: &Head, ids: impl Iterator<Item = u64>, out: &mut Vec<Option<u32>>) {
    let index = head.index.read();
    out.clear();
    out.extend(ids.map(|id| index.slot_of(id)));
}

#[inline]
fn one_float(head: &Head, slot: Option<u32>, t_ms: i64, v: f64, done: &mut Done) {
    let Some(slot) = slot else {
        done.unknown += 1;
        return;
    };
    let mut s = head.slot(slot).lock();
    if t_ms > s.newest_ms && t_ms >= head.floor_ms() {
        done.chunks += u64::from(s.append_float(t_ms, v, head.chunk_context()));
        done.samples += 1;
        wider(&mut done.in_order, t_ms);
    }
}

fn one(head: &Head, slot: Option<u32>, t_ms: i64, value: Value, late: bool, done: &mut Done) {
    let Some(slot) = slot else {
        done.unknown += 1;
        return;
    };
    let mut s = head.slot(slot).lock();
    let value = s.typed_stale_marker(value);
    if late {
        if s.stored_is(t_ms, &value, &head.full).is_none() && insert_late(&mut s, t_ms, value) == Inserted::New {
            done.late += 1;
            wider(&mut done.late_range, t_ms);
        }
    } else if t_ms > s.newest_ms && t_ms >= head.floor_ms() {
        done.chunks += u64::from(s.append_in_order(t_ms, &value, head.chunk_context()));
        done.samples += 1;
        wider(&mut done.in_order, t_ms);
    }
}

impl Head {
    /// Counts what is only counted as it changes. Called once when the head was filled.
    pub fn count_after_replay(&self) {
        let (mut stale, mut histograms) = (0u64, 0u64);
        for slot in self.index.read().all() {
            let s = self.slot(slot).lock();
            stale += u64::from(s.stale);
            histograms += u64::from(s.kind > Kind::Float);
        }
        self.metrics.head_stale_series.set(stale as f64);
        self.metrics.native_histogram_series.set(histograms as f64);
    }
}
