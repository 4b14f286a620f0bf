//! The series of several blocks in order of labels, each once, for a new block.
//!
//! A chunk that overlaps no other one, has nothing deleted and lies within the new block is copied as it is. Others are taken apart: samples of
//! overlapping chunks are put in order, of equal times the one from the earlier block stays.

use super::Stop;
use super::samples::Samples;
use crate::block::writer::{SeriesOut, SeriesSource};
use crate::block::{Block, BlockError};
use crate::index::ChunkMeta;
use crate::index::writer::SymbolSet;
use crate::tombstones::{Intervals, Tombstones};
use model::LabelsRef;
use std::sync::Arc;

/// Asks whether to stop every so many series.
const STOP_EVERY: u32 = 256;

pub struct BlocksSource<'a> {
    cursors: Vec<Cursor>,
    /// Samples of the new block have `mint_ms <= t < maxt_ms`.
    mint_ms: i64,
    maxt_ms: i64,
    stop: Stop<'a>,
    until_asked: u32,
    /// (cursor, chunk) of the series at hand.
    found: Vec<(usize, ChunkMeta)>,
    samples: Samples,
}

/// Where the walk over a block is.
struct Cursor {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    refs: Vec<u32>,
    at: usize,
    labels: Vec<u8>,
    chunks: Vec<ChunkMeta>,
}

impl Cursor {
    fn load(&mut self) -> Result<(), BlockError> {
        self.labels.clear();
        self.chunks.clear();
        if let Some(r) = self.refs.get(self.at) {
            self.block.index().series(*r, &mut self.labels, &mut self.chunks)?;
        }
        Ok(())
    }

    fn labels(&self) -> Option<LabelsRef<'_>> {
        (self.at < self.refs.len()).then(|| LabelsRef::from_encoded(&self.labels))
    }

    fn stones(&self) -> Option<&Intervals> {
        self.tombstones.get(u64::from(self.refs[self.at]))
    }
}

impl<'a> BlocksSource<'a> {
    pub fn new(blocks: &[Arc<Block>], mint_ms: i64, maxt_ms: i64, stop: Stop<'a>) -> Result<Self, BlockError> {
        let mut cursors = Vec::with_capacity(blocks.len());
        for block in blocks {
            let mut c = Cursor {
                tombstones: block.tombstones(),
                refs: block.index().all_postings()?.into_vec(),
                block: block.clone(),
                at: 0,
                labels: Vec::new(),
                chunks: Vec::new(),
            };
            c.load()?;
            cursors.push(c);
        }
        cursors.sort_by_key(|c| c.block.meta().min_time_ms);
        Ok(BlocksSource { cursors, mint_ms, maxt_ms, stop, until_asked: 0, found: Vec::new(), samples: Samples::default() })
    }

    /// Which chunks stand alone, and which must be taken apart together.
    fn emit(&mut self, out: &mut SeriesOut) -> Result<(), BlockError> {
        self.found.sort_by_key(|(_, c)| c.mint_ms);
        let mut from = 0;
        while from < self.found.len() {
            let mut reach = self.found[from].1.maxt_ms;
            let mut to = from + 1;
            while to < self.found.len() && self.found[to].1.mint_ms <= reach {
                reach = reach.max(self.found[to].1.maxt_ms);
                to += 1;
            }
            if to == from + 1 && self.is_whole(from) {
                let (cursor, c) = self.found[from];
                let (encoding, bytes) = self.cursors[cursor].block.chunk(c.reference)?;
                out.push_chunk(c.mint_ms, c.maxt_ms, encoding, bytes);
            } else {
                self.take_apart(from, to, out)?;
            }
            from = to;
        }
        Ok(())
    }

    fn is_whole(&self, i: usize) -> bool {
        let (cursor, c) = &self.found[i];
        let deleted = self.cursors[*cursor].stones().is_some_and(|s| s.overlaps(c.mint_ms, c.maxt_ms));
        !deleted && c.mint_ms >= self.mint_ms && c.maxt_ms < self.maxt_ms
    }

    fn take_apart(&mut self, from: usize, to: usize, out: &mut SeriesOut) -> Result<(), BlockError> {
        self.samples.clear();
        let mut part = Samples::default();
        for (cursor, c) in &self.found[from..to] {
            let cursor = &self.cursors[*cursor];
            let stones = cursor.stones();
            if stones.is_some_and(|s| s.covers(c.mint_ms, c.maxt_ms)) {
                continue;
            }
            let (encoding, bytes) = cursor.block.chunk(c.reference)?;
            part.clear();
            part.decode(encoding, bytes, self.mint_ms, self.maxt_ms.saturating_sub(1))
                .map_err(|e| BlockError::corrupt(cursor.block.dir(), format!("chunk {:#x}: {e}", c.reference)))?;
            part.remove(stones.map_or(&[], |s| s.as_slice()));
            part.iter().for_each(|s| self.samples.push(s.clone()));
        }
        self.samples.sort();
        self.samples.encode(&mut |mint_ms, maxt_ms, encoding, bytes| out.push_chunk(mint_ms, maxt_ms, encoding, bytes));
        Ok(())
    }
}

impl SeriesSource for BlocksSource<'_> {
    fn symbols(&mut self, symbols: &mut SymbolSet) -> Result<(), BlockError> {
        for c in &self.cursors {
            c.block.index().symbols().for_each(|s| symbols.add(s));
        }
        Ok(())
    }

    fn next(&mut self, out: &mut SeriesOut) -> Result<bool, BlockError> {
        if self.until_asked == 0 {
            if (self.stop)() {
                return Err(BlockError::Stopped);
            }
            self.until_asked = STOP_EVERY;
        }
        self.until_asked -= 1;
        let Some(least) = self.cursors.iter().filter_map(Cursor::labels).min() else { return Ok(false) };
        out.set_labels(least);
        self.found.clear();
        let mut at = Vec::new();
        for (i, c) in self.cursors.iter().enumerate() {
            if c.labels() == Some(out.labels()) {
                at.push(i);
                self.found.extend(c.chunks.iter().filter(|c| c.overlaps(self.mint_ms, self.maxt_ms.saturating_sub(1))).map(|c| (i, *c)));
            }
        }
        self.emit(out)?;
        for i in at {
            self.cursors[i].at += 1;
            self.cursors[i].load()?;
        }
        Ok(true)
    }
}
