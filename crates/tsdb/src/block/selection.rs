//! The series of one block that fit a query.

use super::{Block, BlockError};
use crate::chunkenc;
use crate::index::ChunkMeta;
use crate::tombstones::Tombstones;
use model::{Labels, LabelsRef, Matcher};
use parking_lot::Mutex;
use std::sync::Arc;
use storage::merge::merge_data;
use storage::{EncodedChunk, Grouping, Groups, ReadError, Selection, SeriesData, Warnings};

/// No more messages about damage than this are kept per selection.
const MAX_WARNINGS: usize = 10;

/// Keeps the block open.
pub struct BlockSelection {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    /// Sorted; so are the labels.
    refs: Vec<u32>,
    warnings: Mutex<Warnings>,
}

impl BlockSelection {
    pub(super) fn new(block: Arc<Block>, start_ms: i64, end_ms: i64, matchers: &[Matcher], limit: usize) -> Result<Self, BlockError> {
        let tombstones = block.tombstones();
        let (mut refs, warning) = block.references(matchers)?;
        let mut warnings: Warnings = warning.into_iter().collect();
        let meta = block.meta();
        if tombstones.is_empty() && start_ms <= meta.min_time_ms && meta.max_time_ms <= end_ms.saturating_add(1) {
            // Every series of the block has samples in its time.
            if limit > 0 {
                refs.truncate(limit);
            }
            return Ok(BlockSelection { block, tombstones, refs, warnings: Mutex::new(warnings) });
        }
        let mut chunks = Vec::new();
        let mut kept = 0;
        refs.retain(|r| {
            if limit > 0 && kept == limit {
                return false;
            }
            chunks.clear();
            if let Err(e) = block.index.chunks(*r, &mut chunks) {
                warn(&mut warnings, &block, &e.to_string());
                return false;
            }
            let stones = tombstones.get(u64::from(*r));
            let some = chunks.iter().any(|c| c.overlaps(start_ms, end_ms) && !stones.is_some_and(|s| s.covers(c.mint_ms, c.maxt_ms)));
            kept += usize::from(some);
            some
        });
        Ok(BlockSelection { block, tombstones, refs, warnings: Mutex::new(warnings) })
    }

    pub fn block(&self) -> &Arc<Block> {
        &self.block
    }

    pub fn reference(&self, i: usize) -> u32 {
        self.refs[i]
    }

    /// Labels of series `i` in the layout of [`Labels`], replacing what is in `out`. False when they cannot be read.
    pub fn labels_into(&self, i: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        match self.block.index.labels(self.refs[i], out) {
            Ok(()) => true,
            Err(e) => {
                self.warn(&e.to_string());
                out.clear();
                false
            }
        }
    }

    fn warn(&self, what: &str) {
        warn(&mut self.warnings.lock(), &self.block, what);
    }

    /// The chunks of series `i` that touch the range; empty (with a warning) when they cannot be read.
    fn metas(&self, i: usize, start_ms: i64, end_ms: i64) -> Vec<ChunkMeta> {
        let mut chunks = Vec::with_capacity(32);
        if let Err(e) = self.block.index.chunks(self.refs[i], &mut chunks) {
            self.warn(&e.to_string());
        }
        chunks.retain(|c| c.overlaps(start_ms, end_ms));
        chunks
    }

    fn decode(&self, c: &ChunkMeta, start_ms: i64, end_ms: i64, out: &mut SeriesData) {
        let lens = Lens::of(out);
        let result = match self.block.chunk(c.reference) {
            Ok((encoding, bytes)) => chunkenc::decode(encoding, bytes, start_ms, end_ms, out).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        if let Err(what) = result {
            lens.cut(out);
            self.warn(&format!("chunk {:#x} from {} to {}: {what}", c.reference, c.mint_ms, c.maxt_ms));
        }
    }
}

fn warn(warnings: &mut Warnings, block: &Block, what: &str) {
    if warnings.len() < MAX_WARNINGS {
        let text = format!("block {}: {what}", block.ulid());
        tracing::warn!(block = %block.ulid(), problem = what, "stored data cannot be read");
        warnings.push(text);
    }
}

/// Lengths of columns, to undo an addition.
#[derive(Clone, Copy)]
pub(crate) struct Lens {
    pub floats: usize,
    pub histograms: usize,
}

impl Lens {
    pub fn of(d: &SeriesData) -> Lens {
        Lens { floats: d.t_ms.len(), histograms: d.hist_t_ms.len() }
    }

    pub fn cut(self, d: &mut SeriesData) {
        d.t_ms.truncate(self.floats);
        d.v.truncate(self.floats);
        d.st_ms.truncate(self.floats);
        d.hist_t_ms.truncate(self.histograms);
        d.hist.truncate(self.histograms);
        d.hist_st_ms.truncate(self.histograms);
    }

    /// Takes out what came after, leaving what was there before.
    fn split_off(self, d: &mut SeriesData) -> SeriesData {
        let st = if d.st_ms.is_empty() { Vec::new() } else { d.st_ms.split_off(self.floats) };
        let hist_st = if d.hist_st_ms.is_empty() { Vec::new() } else { d.hist_st_ms.split_off(self.histograms) };
        SeriesData {
            t_ms: d.t_ms.split_off(self.floats),
            v: d.v.split_off(self.floats),
            st_ms: st,
            hist_t_ms: d.hist_t_ms.split_off(self.histograms),
            hist: d.hist.split_off(self.histograms),
            hist_st_ms: hist_st,
        }
    }
}

fn last_before(d: &SeriesData, lens: Lens) -> Option<i64> {
    let t = lens.floats.checked_sub(1).map(|i| d.t_ms[i]);
    t.max(lens.histograms.checked_sub(1).map(|i| d.hist_t_ms[i]))
}

fn first_after(d: &SeriesData, lens: Lens) -> Option<i64> {
    match (d.t_ms.get(lens.floats), d.hist_t_ms.get(lens.histograms)) {
        (Some(a), Some(b)) => Some(*a.min(b)),
        (a, b) => a.or(b).copied(),
    }
}

/// Appends several runs of samples, of which each is in order, to `out`, from the lengths `base` on. Costs nothing when the runs follow each
/// other in time; otherwise those that overlap are merged, and at equal times the earlier run wins.
pub(crate) fn append_run(base: Lens, out: &mut SeriesData, read: impl FnOnce(&mut SeriesData) -> Result<(), ReadError>) -> Result<(), ReadError> {
    let before = Lens::of(out);
    read(out)?;
    let after_base = before.floats > base.floats || before.histograms > base.histograms;
    if !after_base {
        return Ok(());
    }
    let (Some(last), Some(first)) = (last_before(out, before), first_after(out, before)) else { return Ok(()) };
    if first > last {
        return Ok(());
    }
    let new = before.split_off(out);
    let old = base.split_off(out);
    merge_data(&[old, new], out);
    if !out.st_ms.is_empty() {
        out.st_ms.resize(out.t_ms.len(), 0);
    }
    if !out.hist_st_ms.is_empty() {
        out.hist_st_ms.resize(out.hist_t_ms.len(), 0);
    }
    Ok(())
}

impl Selection for BlockSelection {
    fn len(&self) -> usize {
        self.refs.len()
    }

    fn labels(&self, i: usize) -> Labels {
        let mut out = Vec::with_capacity(256);
        self.labels_into(i, &mut out);
        LabelsRef::from_encoded(&out).to_labels()
    }

    fn groups(&self, numbers: &mut dyn Iterator<Item = usize>, names: &[&str], keep: bool) -> Groups {
        let mut grouping = Grouping::new(names, keep);
        let mut labels = Vec::with_capacity(512);
        for i in numbers {
            self.labels_into(i, &mut labels);
            grouping.add(LabelsRef::from_encoded(&labels));
        }
        grouping.groups
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        let base = Lens::of(out);
        let stones = self.tombstones.get(u64::from(self.refs[i]));
        for c in self.metas(i, start_ms, end_ms) {
            if stones.is_some_and(|s| s.covers(c.mint_ms, c.maxt_ms)) {
                continue;
            }
            append_run(base, out, |out| {
                let lens = Lens::of(out);
                self.decode(&c, start_ms, end_ms, out);
                if let Some(s) = stones.filter(|s| s.overlaps(c.mint_ms, c.maxt_ms)) {
                    s.apply(out, lens.floats, lens.histograms);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        let stones = self.tombstones.get(u64::from(self.refs[i]));
        for c in self.metas(i, start_ms, end_ms) {
            if stones.is_some_and(|s| s.covers(c.mint_ms, c.maxt_ms)) {
                continue;
            }
            match self.block.chunk(c.reference) {
                Ok((encoding, bytes)) if !stones.is_some_and(|s| s.overlaps(c.mint_ms, c.maxt_ms)) => {
                    each(EncodedChunk { mint_ms: c.mint_ms, maxt_ms: c.maxt_ms, encoding, bytes: bytes.into() });
                }
                // Deleted samples must not leave: what is left is encoded again.
                Ok((encoding, bytes)) => {
                    let mut run = crate::compact::samples::Samples::default();
                    match run.decode(encoding, bytes, c.mint_ms, c.maxt_ms) {
                        Ok(()) => {
                            run.remove(stones.map_or(&[], |s| s.as_slice()));
                            run.encode(&mut |mint_ms, maxt_ms, encoding, bytes| {
                                each(EncodedChunk { mint_ms, maxt_ms, encoding, bytes: bytes.into() });
                            });
                        }
                        Err(e) => self.warn(&e.to_string()),
                    }
                }
                Err(e) => self.warn(&e.to_string()),
            }
        }
        Ok(())
    }

    fn warnings(&self) -> Warnings {
        self.warnings.lock().clone()
    }
}
