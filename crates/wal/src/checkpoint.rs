//! What is still needed of old segments, written anew, so that the segments can go.
//!
//! `checkpoint.N` is a directory of segments that stands for all segments up to and including N. It is written as `checkpoint.N.tmp`, synced, and
//! renamed, so that a crash leaves the old state or the new one.

use crate::compress::{Compression, Packer};
use crate::page::{Framed, framed_bound};
use crate::record::{self, HeldRef, HeldValue, RecordType, Records, RefExemplar, RefHistogram, RefMetadata, RefSample};
use crate::replay::LogReader;
use crate::segment::SegmentWriter;
use crate::{LogPosition, Wal, WalError};
use model::{Labels, LabelsRef, Metadata};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::{Fs, SharedFs};

const PREFIX: &str = "checkpoint.";
const TMP: &str = ".tmp";
/// Records are gathered up to this size before they are written.
const WRITE_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub path: PathBuf,
    /// The last segment that it stands for; replay goes on with the next one.
    pub segment: u64,
}

/// What a checkpoint took over and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    pub total_series: u64,
    pub dropped_series: u64,
    pub total_samples: u64,
    pub dropped_samples: u64,
    pub total_tombstones: u64,
    pub dropped_tombstones: u64,
    pub total_exemplars: u64,
    pub dropped_exemplars: u64,
    pub total_metadata: u64,
    pub dropped_metadata: u64,
    /// Places that could not be read or made no sense.
    pub damaged: u64,
}

/// All checkpoints of a log directory, oldest first.
pub fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<Checkpoint>, WalError> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let entries = fs.list(dir).map_err(WalError::io(format!("list log directory {}", dir.display())))?;
    let mut out: Vec<Checkpoint> = entries
        .iter()
        .filter(|e| e.is_dir)
        .filter_map(|e| Some(Checkpoint { segment: e.name.strip_prefix(PREFIX)?.parse().ok()?, path: dir.join(&e.name) }))
        .collect();
    out.sort_by_key(|c| c.segment);
    Ok(out)
}

/// The newest checkpoint.
pub fn last(fs: &dyn Fs, dir: &Path) -> Result<Option<Checkpoint>, WalError> {
    Ok(list(fs, dir)?.pop())
}

/// Removes what an interrupted checkpoint left behind.
pub fn remove_temporary(fs: &dyn Fs, dir: &Path) -> Result<(), WalError> {
    for e in fs.list(dir).map_err(WalError::io(format!("list log directory {}", dir.display())))? {
        if e.is_dir && e.name.starts_with(PREFIX) && e.name.ends_with(TMP) {
            let path = dir.join(&e.name);
            fs.remove_dir_all(&path).map_err(WalError::io(format!("remove unfinished checkpoint {}", path.display())))?;
        }
    }
    Ok(())
}

/// Removes all checkpoints below `segment`.
pub fn remove_below(wal: &Wal, segment: u64) -> Result<(), WalError> {
    for c in list(wal.fs.as_ref(), &wal.dir)?.into_iter().filter(|c| c.segment < segment) {
        wal.metrics.checkpoint_deletions.inc();
        wal.fs.remove_dir_all(&c.path).map_err(|e| {
            wal.metrics.checkpoint_deletions_failed.inc();
            WalError::io(format!("remove checkpoint {}", c.path.display()))(e)
        })?;
    }
    wal.measure();
    Ok(())
}

/// Writes `checkpoint.{to}` out of the last checkpoint and the segments behind it up to and including `to`, which must not be the one being written.
///
/// Kept are series for which `keep` says so (asked for each record that names them; the answer must not change meanwhile) with their tombstones and
/// latest metadata, and samples, exemplars and held samples from `mint_ms` on; tombstones of what lies before `deleted_from_ms` are left out. Damaged places are left out and counted. Old checkpoints and
/// segments stay: call [`Wal::truncate`] and [`remove_below`] afterwards.
pub fn create(
    wal: &Wal,
    to: u64,
    (mint_ms, deleted_from_ms): (i64, i64),
    start_timestamps: bool,
    keep: impl FnMut(u64) -> bool,
) -> Result<CheckpointStats, WalError> {
    wal.metrics.checkpoint_creations.inc();
    let result = try_create(wal, to, (mint_ms, deleted_from_ms), start_timestamps, keep);
    if result.is_err() {
        wal.metrics.checkpoint_creations_failed.inc();
        let _ = remove_temporary(wal.fs.as_ref(), &wal.dir);
    }
    wal.measure();
    result
}

fn try_create(wal: &Wal, to: u64, from_ms: (i64, i64), start_timestamps: bool, keep: impl FnMut(u64) -> bool) -> Result<CheckpointStats, WalError> {
    let fs = &wal.fs;
    if to >= wal.end().segment {
        return Err(WalError::Gap(format!("segment {to} is still being written, no checkpoint of it")));
    }
    remove_temporary(fs.as_ref(), &wal.dir)?;
    let old = last(fs.as_ref(), &wal.dir)?;
    let first = old.as_ref().map_or(0, |c| c.segment + 1);
    let path = wal.dir.join(format!("{PREFIX}{to:08}"));
    let tmp = wal.dir.join(format!("{PREFIX}{to:08}{TMP}"));
    fs.create_dir_all(&tmp).map_err(WalError::io(format!("create checkpoint {}", tmp.display())))?;
    let out = Output::create(wal, tmp.clone())?;
    let mut filter = Filter::new(keep, from_ms, start_timestamps, out);
    if let Some(old) = &old {
        filter.take_all(LogReader::open(Arc::clone(fs), &old.path, 0, u64::MAX)?)?;
    }
    filter.take_all(LogReader::open(Arc::clone(fs), &wal.dir, first, to)?)?;
    let stats = filter.finish()?;
    fs.sync_dir(&tmp).map_err(WalError::io(format!("sync checkpoint {}", tmp.display())))?;
    if fs.exists(&path) {
        fs.remove_dir_all(&path).map_err(WalError::io(format!("replace checkpoint {}", path.display())))?;
    }
    fs.rename(&tmp, &path).map_err(WalError::io(format!("rename checkpoint {}", tmp.display())))?;
    fs.sync_dir(&wal.dir).map_err(WalError::io(format!("sync log directory {}", wal.dir.display())))?;
    Ok(stats)
}

/// The checkpoint being written.
struct Output {
    fs: SharedFs,
    dir: PathBuf,
    writer: SegmentWriter,
    compression: Compression,
    segment_size: u64,
    packer: Packer,
    packed: Vec<u8>,
}

impl Output {
    fn create(wal: &Wal, dir: PathBuf) -> Result<Self, WalError> {
        let writer = SegmentWriter::create(&wal.fs, &dir, 0).map_err(WalError::io("create a segment of the checkpoint"))?;
        let (compression, segment_size) = (wal.options.compression, wal.options.segment_size);
        Ok(Output { fs: Arc::clone(&wal.fs), dir, writer, compression, segment_size, packer: Packer::new(), packed: Vec::new() })
    }

    fn failed(e: io::Error) -> WalError {
        WalError::io("write the checkpoint")(e)
    }

    fn write(&mut self, records: &mut Records) -> Result<(), WalError> {
        let mut framed = Framed::default();
        for r in records.iter() {
            self.packed.clear();
            let how = self.packer.pack(r, self.compression, &mut self.packed).map_err(Self::failed)?;
            if self.writer.end > 0 && self.writer.end + WRITE_BYTES as u64 + framed_bound(self.packed.len()) > self.segment_size {
                self.finish_segment()?;
                self.writer = SegmentWriter::create(&self.fs, &self.dir, self.writer.number + 1).map_err(Self::failed)?;
            }
            self.writer.stage(&self.packed, how, &mut framed);
        }
        records.clear();
        self.writer.write().map_err(|(e, _)| Self::failed(e))
    }

    fn finish_segment(&mut self) -> Result<(), WalError> {
        self.writer.stage_padding();
        self.writer.write().map_err(|(e, _)| Self::failed(e))?;
        self.writer.sync_handle().sync_data().map_err(Self::failed)
    }
}

struct Filter<K> {
    keep: K,
    mint_ms: i64,
    deleted_from_ms: i64,
    out: Output,
    records: Records,
    metadata: HashMap<u64, Metadata>,
    stats: CheckpointStats,
    labels: Vec<u8>,
    samples: Vec<RefSample>,
}

impl<K: FnMut(u64) -> bool> Filter<K> {
    fn new(keep: K, (mint_ms, deleted_from_ms): (i64, i64), start_timestamps: bool, out: Output) -> Self {
        let records = Records::new(start_timestamps);
        let stats = CheckpointStats::default();
        Filter { keep, mint_ms, deleted_from_ms, out, records, metadata: HashMap::new(), stats, labels: Vec::new(), samples: Vec::new() }
    }

    fn take_all(&mut self, mut reader: LogReader) -> Result<(), WalError> {
        loop {
            match reader.next() {
                Ok(Some(r)) => {
                    let at = r.start;
                    self.take(r.bytes, at);
                }
                Ok(None) => return Ok(()),
                Err(WalError::Corrupt(c)) => {
                    tracing::warn!(error = %c, "leaving a damaged place out of the checkpoint");
                    self.stats.damaged += 1;
                }
                Err(e) => return Err(e),
            }
            if self.records.size_bytes() >= WRITE_BYTES {
                self.out.write(&mut self.records)?;
            }
        }
    }

    fn take(&mut self, rec: &[u8], at: LogPosition) {
        use RecordType::*;
        let Some(kind) = RecordType::of(rec) else { return };
        let result = match kind {
            Series => self.series(rec),
            Samples | SamplesV2 => self.samples(rec),
            Histograms | CustomHistograms | HistogramsV2 => self.histograms(rec),
            FloatHistograms | CustomFloatHistograms | FloatHistogramsV2 => self.float_histograms(rec),
            Tombstones => self.tombstones(rec),
            Exemplars => self.exemplars(rec),
            Metadata => self.metadata(rec),
            Held => self.held(rec),
            MmapMarkers | References => Ok(()),
        };
        if let Err(source) = result {
            tracing::warn!(error = %WalError::Record { at, source }, "leaving part of a record out of the checkpoint");
            self.stats.damaged += 1;
        }
    }

    fn series(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (keep, stats) = (&mut self.keep, &mut self.stats);
        let mut kept: Vec<(u64, Labels)> = Vec::new();
        let result = record::decode_series(rec, &mut self.labels, |id, labels| {
            stats.total_series += 1;
            match keep(id) {
                true => kept.push((id, labels.to_labels())),
                false => stats.dropped_series += 1,
            }
        });
        self.records.series(kept.iter().map(|(id, l)| (*id, l.as_ref())));
        result
    }

    fn samples(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        self.samples.clear();
        let result = record::decode_samples(rec, &mut self.samples);
        let total = self.samples.len();
        let mint = self.mint_ms;
        self.samples.retain(|s| s.t_ms >= mint);
        self.stats.total_samples += total as u64;
        self.stats.dropped_samples += (total - self.samples.len()) as u64;
        self.records.samples(self.samples.iter().copied());
        result
    }

    fn histograms(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (mint, stats, mut kept) = (self.mint_ms, &mut self.stats, Vec::new());
        let result = record::decode_histograms(rec, |h| take_sample(stats, mint, h, &mut kept));
        self.records.histograms(kept.iter().map(borrowed));
        result
    }

    fn float_histograms(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (mint, stats, mut kept) = (self.mint_ms, &mut self.stats, Vec::new());
        let result = record::decode_float_histograms(rec, |h| take_sample(stats, mint, h, &mut kept));
        self.records.float_histograms(kept.iter().map(borrowed));
        result
    }

    fn tombstones(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (keep, mint, stats, mut kept) = (&mut self.keep, self.deleted_from_ms, &mut self.stats, Vec::new());
        let result = record::decode_tombstones(rec, |s| {
            stats.total_tombstones += 1;
            match s.end_ms >= mint && keep(s.series) {
                true => kept.push(s),
                false => stats.dropped_tombstones += 1,
            }
        });
        self.records.tombstones(kept);
        result
    }

    fn exemplars(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (mint, stats) = (self.mint_ms, &mut self.stats);
        let mut kept: Vec<RefExemplar<Labels>> = Vec::new();
        let result = record::decode_exemplars(rec, &mut self.labels, |e| {
            stats.total_exemplars += 1;
            match e.t_ms >= mint {
                true => kept.push(RefExemplar { series: e.series, t_ms: e.t_ms, v: e.v, labels: e.labels.to_labels() }),
                false => stats.dropped_exemplars += 1,
            }
        });
        fn lend(e: &RefExemplar<Labels>) -> RefExemplar<LabelsRef<'_>> {
            RefExemplar { series: e.series, t_ms: e.t_ms, v: e.v, labels: e.labels.as_ref() }
        }
        self.records.exemplars(kept.iter().map(lend));
        result
    }

    fn metadata(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (keep, stats, latest) = (&mut self.keep, &mut self.stats, &mut self.metadata);
        record::decode_metadata(rec, |m| {
            stats.total_metadata += 1;
            let value = Metadata { kind: m.kind, help: m.help.to_string(), unit: m.unit.to_string() };
            if !keep(m.series) || latest.insert(m.series, value).is_some() {
                stats.dropped_metadata += 1;
            }
        })
    }

    fn held(&mut self, rec: &[u8]) -> Result<(), record::RecordError> {
        let (keep, mint) = (&mut self.keep, self.mint_ms);
        let (mut kept, mut name) = (Vec::new(), String::new());
        let result = record::decode_held(rec, |replica, series, t_ms, value| {
            if t_ms >= mint && keep(series) {
                if name.is_empty() {
                    name.push_str(replica);
                }
                kept.push((series, t_ms, value));
            }
        });
        fn lend(v: &HeldValue) -> HeldRef<'_> {
            match v {
                HeldValue::Float(v) => HeldRef::Float(*v),
                HeldValue::Int(h) => HeldRef::Int(h),
                HeldValue::FloatHistogram(h) => HeldRef::FloatHistogram(h),
            }
        }
        self.records.held(&name, kept.iter().map(|(series, t, v)| (*series, *t, lend(v))));
        result
    }

    fn finish(mut self) -> Result<CheckpointStats, WalError> {
        let latest = std::mem::take(&mut self.metadata);
        let mut order: Vec<(&u64, &Metadata)> = latest.iter().collect();
        order.sort_unstable_by_key(|(series, _)| **series);
        for part in order.chunks(10_000) {
            self.records.metadata(part.iter().map(|(series, m)| RefMetadata { series: **series, kind: m.kind, unit: &m.unit, help: &m.help }));
            self.out.write(&mut self.records)?;
        }
        self.out.write(&mut self.records)?;
        self.out.finish_segment()?;
        Ok(self.stats)
    }
}

fn take_sample<H>(stats: &mut CheckpointStats, mint_ms: i64, h: RefHistogram<H>, kept: &mut Vec<RefHistogram<H>>) {
    stats.total_samples += 1;
    match h.t_ms >= mint_ms {
        true => kept.push(h),
        false => stats.dropped_samples += 1,
    }
}

fn borrowed<H>(h: &RefHistogram<H>) -> RefHistogram<&H> {
    RefHistogram { series: h.series, start_ms: h.start_ms, t_ms: h.t_ms, h: &h.h }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
