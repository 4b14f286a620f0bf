//! The head as the source of a block: its in-order samples of a range, or its late ones.

use super::Head;
use super::series::View;
use crate::block::{BlockError, SeriesOut, SeriesSource};
use crate::compact::samples::Samples;
use crate::index::writer::SymbolSet;
use crate::tombstones::Interval;
use roaring::RoaringBitmap;
use std::path::Path;
use storage::EncodedChunk;

/// Asked now and then whether to give up.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// Series between two questions whether to stop.
const ASK_EVERY: usize = 1024;

/// In-order samples with `mint_ms <= t <= maxt_ms`. The floor must be above `maxt_ms` already, so that none is added meanwhile.
pub struct InOrderSource<'a> {
    head: &'a Head,
    slots: Vec<u32>,
    next: usize,
    mint_ms: i64,
    maxt_ms: i64,
    view: View,
    samples: Samples,
    labels: Vec<u8>,
    stop: Stop<'a>,
}

impl<'a> InOrderSource<'a> {
    pub fn new(head: &'a Head, mint_ms: i64, maxt_ms: i64, stop: Stop<'a>) -> Self {
        let mut slots: Vec<u32> = head.index.read().all().iter().collect();
        slots.retain(|s| head.slot(*s).lock().touches(mint_ms, maxt_ms));
        head.sort_by_labels(&mut slots);
        InOrderSource { head, slots, next: 0, mint_ms, maxt_ms, view: View::default(), samples: Samples::default(), labels: Vec::new(), stop }
    }

    /// Time of the oldest sample in the range.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.slots.iter().filter_map(|s| self.head.slot(*s).lock().oldest_ms(&self.head.full)).min().map(|t| t.max(self.mint_ms))
    }
}

fn corrupt(what: String) -> BlockError {
    BlockError::corrupt(Path::new("head"), what)
}

impl SeriesSource for InOrderSource<'_> {
    fn symbols(&mut self, symbols: &mut SymbolSet) -> Result<(), BlockError> {
        add_symbols(self.head, self.slots.iter().copied(), symbols);
        Ok(())
    }

    fn next(&mut self, out: &mut SeriesOut) -> Result<bool, BlockError> {
        if self.next.is_multiple_of(ASK_EVERY) && (self.stop)() {
            return Err(BlockError::Stopped);
        }
        let Some(slot) = self.slots.get(self.next).copied() else { return Ok(false) };
        self.next += 1;
        let id = {
            let s = self.head.slot(slot).lock();
            s.view(self.mint_ms, self.maxt_ms, &mut self.view);
            s.id
        };
        set_labels(self.head, slot, &mut self.labels, out);
        let deleted: Vec<Interval> =
            self.head.deleted_of(id).unwrap_or_default().into_iter().map(|(mint_ms, maxt_ms)| Interval { mint_ms, maxt_ms }).collect();
        let whole = |from: i64, to: i64| from >= self.mint_ms && to <= self.maxt_ms && !deleted.iter().any(|d| d.mint_ms <= to && d.maxt_ms >= from);
        for c in &self.view.full {
            let (from, chunk) = match self.head.full.read_with_start(c.at) {
                Ok(found) => found,
                Err(e) => {
                    // It is in the log too, for as long as that lasts; waiting for it would stop all compaction.
                    tracing::error!(problem = %e, "a chunk of the head cannot be read and is missing in the block");
                    continue;
                }
            };
            if from > self.maxt_ms {
                break;
            }
            if whole(from, c.maxt_ms) {
                out.push_chunk(from, c.maxt_ms, chunk.encoding, chunk.bytes());
            } else {
                self.samples.clear();
                self.samples.decode(chunk.encoding, chunk.bytes(), self.mint_ms, self.maxt_ms).map_err(|e| corrupt(e.to_string()))?;
                self.samples.remove(&deleted);
                self.samples.encode(&mut |a, b, e, bytes| out.push_chunk(a, b, e, bytes));
            }
        }
        if let Some(encoding) = self.view.open_encoding {
            let (from, to) = self.view.open_ms;
            if whole(from, to) {
                out.push_chunk(from, to, encoding, &self.view.open);
            } else {
                self.samples.clear();
                self.samples.decode(encoding, &self.view.open, self.mint_ms, self.maxt_ms).map_err(|e| corrupt(e.to_string()))?;
                self.samples.remove(&deleted);
                self.samples.encode(&mut |a, b, e, bytes| out.push_chunk(a, b, e, bytes));
            }
        }
        Ok(true)
    }
}

/// Late samples of a series as they were when the compaction began.
pub type LateTaken = (u32, u64, Vec<EncodedChunk>);

/// Late samples with `mint_ms <= t <= maxt_ms` out of what was taken.
pub struct LateSource<'a> {
    head: &'a Head,
    /// Sorted by labels.
    taken: &'a [LateTaken],
    next: usize,
    mint_ms: i64,
    maxt_ms: i64,
    samples: Samples,
    labels: Vec<u8>,
    stop: Stop<'a>,
}

impl<'a> LateSource<'a> {
    pub fn new(head: &'a Head, taken: &'a [LateTaken], mint_ms: i64, maxt_ms: i64, stop: Stop<'a>) -> Self {
        LateSource { head, taken, next: 0, mint_ms, maxt_ms, samples: Samples::default(), labels: Vec::new(), stop }
    }

    fn touches(&self, c: &EncodedChunk) -> bool {
        c.mint_ms <= self.maxt_ms && c.maxt_ms >= self.mint_ms
    }
}

impl SeriesSource for LateSource<'_> {
    fn symbols(&mut self, symbols: &mut SymbolSet) -> Result<(), BlockError> {
        let slots = self.taken.iter().filter(|(_, _, chunks)| chunks.iter().any(|c| self.touches(c))).map(|(slot, ..)| *slot);
        add_symbols(self.head, slots, symbols);
        Ok(())
    }

    fn next(&mut self, out: &mut SeriesOut) -> Result<bool, BlockError> {
        let taken = self.taken;
        while let Some((slot, id, chunks)) = taken.get(self.next) {
            if self.next.is_multiple_of(ASK_EVERY) && (self.stop)() {
                return Err(BlockError::Stopped);
            }
            self.next += 1;
            self.samples.clear();
            let (mint_ms, maxt_ms) = (self.mint_ms, self.maxt_ms);
            for c in chunks.iter().filter(|c| c.mint_ms <= maxt_ms && c.maxt_ms >= mint_ms) {
                self.samples.decode(c.encoding, &c.bytes, self.mint_ms, self.maxt_ms).map_err(|e| corrupt(e.to_string()))?;
            }
            if let Some(deleted) = self.head.deleted_of(*id) {
                let deleted: Vec<Interval> = deleted.into_iter().map(|(mint_ms, maxt_ms)| Interval { mint_ms, maxt_ms }).collect();
                self.samples.remove(&deleted);
            }
            if self.samples.is_empty() {
                continue;
            }
            self.samples.sort();
            set_labels(self.head, *slot, &mut self.labels, out);
            self.samples.encode(&mut |a, b, e, bytes| out.push_chunk(a, b, e, bytes));
            return Ok(true);
        }
        Ok(false)
    }
}

fn set_labels(head: &Head, slot: u32, scratch: &mut Vec<u8>, out: &mut SeriesOut) {
    scratch.clear();
    let index = head.index.read();
    index.pair_ids(slot).iter().for_each(|p| scratch.extend_from_slice(index.pairs.bytes(*p)));
    drop(index);
    out.set_labels(model::LabelsRef::from_encoded(scratch));
}

fn add_symbols(head: &Head, slots: impl Iterator<Item = u32>, symbols: &mut SymbolSet) {
    let index = head.index.read();
    let mut pairs = RoaringBitmap::new();
    for slot in slots {
        pairs.extend(index.pair_ids(slot).iter().copied());
    }
    for p in pairs {
        let (name, value) = super::pairs::split(index.pairs.bytes(p));
        symbols.add(name);
        symbols.add(value);
    }
}

impl Head {
    /// Packs all late samples and gives copies, sorted by the labels of their series. They stay readable until [`Head::drop_late`].
    pub fn take_late(&self) -> Vec<LateTaken> {
        let mut slots: Vec<u32> = self.index.read().all().iter().collect();
        slots.retain(|s| self.slot(*s).lock().late.is_some());
        self.sort_by_labels(&mut slots);
        let mut out = Vec::with_capacity(slots.len());
        for slot in slots {
            let mut s = self.slot(slot).lock();
            let id = s.id;
            if let Some(late) = &mut s.late {
                out.push((slot, id, late.packed()));
            }
        }
        out
    }
}
