//! Writes an index, version 2, front to back: header, symbols, series, lists of references, table of label pairs, table of contents.
//!
//! All strings must be known before the first series, because series name them by number; [`SymbolSet`] collects them. Lists of references need
//! every series of a label pair: they are gathered by reading the series just written again, a few label names at a time, so that memory stays
//! at some bytes per series however many labels there are.

use super::cursor::Cursor;
use super::{ChunkMeta, MAGIC, SERIES_ALIGN, Toc, VERSION};
use crate::block::error::BlockError;
use crate::block::sink::Sink;
use hashbrown::HashTable;
use model::LabelsRef;
use std::hash::BuildHasher;
use std::path::Path;
use stdx::crc::crc32c;
use stdx::fs::Fs;
use stdx::varint::{put_uvarint, put_varint, uvarint_len};

/// References are multiples of 16 in 32 bits.
pub const MAX_INDEX_BYTES: u64 = 16 * (u32::MAX as u64);
/// A section's length has 32 bits.
const MAX_SECTION_BYTES: u64 = u32::MAX as u64;
/// At least so many (value, reference) pairs are gathered at a time.
const MIN_BATCH: u64 = 1 << 20;
const READ_BYTES: usize = 1 << 20;

/// Strings, each once. After [`SymbolSet::sort`] they have numbers.
pub struct SymbolSet {
    arena: Vec<u8>,
    /// End of each string in the arena, in order of arrival.
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
    /// By arrival: the number in sorted order.
    numbers: Vec<u32>,
    /// By number: the arrival.
    order: Vec<u32>,
}

impl Default for SymbolSet {
    fn default() -> Self {
        let mut set = SymbolSet {
            arena: Vec::new(),
            ends: Vec::new(),
            table: HashTable::new(),
            hasher: foldhash::fast::FixedState::default(),
            numbers: Vec::new(),
            order: Vec::new(),
        };
        // The empty string is always there: Prometheus' heads put it in, and readers expect it for the pair that all series have.
        set.add("");
        set
    }
}

impl SymbolSet {
    fn arrival(ends: &[usize], arena: &[u8], i: u32) -> (usize, usize) {
        let i = i as usize;
        let start = if i == 0 { 0 } else { ends[i - 1] };
        debug_assert!(ends[i] <= arena.len(), "ends lie within the arena");
        (start, ends[i])
    }

    fn bytes(&self, arrival: u32) -> &[u8] {
        let (start, end) = Self::arrival(&self.ends, &self.arena, arrival);
        &self.arena[start..end]
    }

    pub fn add(&mut self, s: &str) {
        let SymbolSet { arena, ends, table, hasher, .. } = self;
        let text = |i: u32| {
            let (start, end) = Self::arrival(ends, arena, i);
            &arena[start..end]
        };
        let hash = hasher.hash_one(s.as_bytes());
        if table.find(hash, |i| text(*i) == s.as_bytes()).is_some() {
            return;
        }
        let next = u32::try_from(ends.len()).expect("fewer than 4 billion strings fit into memory");
        table.insert_unique(hash, next, |i| hasher.hash_one(text(*i)));
        arena.extend_from_slice(s.as_bytes());
        ends.push(arena.len());
    }

    /// Adds all names and values.
    pub fn add_labels(&mut self, labels: LabelsRef<'_>) {
        for (name, value) in labels.iter() {
            self.add(name);
            self.add(value);
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives the numbers. Nothing may be added afterwards.
    fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.bytes(*a).cmp(self.bytes(*b)));
        self.numbers = vec![0; order.len()];
        for (number, arrival) in order.iter().enumerate() {
            self.numbers[*arrival as usize] = number as u32;
        }
        self.order = order;
    }

    fn number(&self, s: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(s.as_bytes());
        let arrival = self.table.find(hash, |i| self.bytes(*i) == s.as_bytes())?;
        Some(self.numbers[*arrival as usize])
    }

    fn get(&self, number: u32) -> &[u8] {
        self.bytes(self.order[number as usize])
    }
}

pub struct IndexWriter {
    out: Sink,
    toc: Toc,
    symbols: SymbolSet,
    /// How many series use each string as a label name, by number.
    name_uses: Vec<u64>,
    /// References of all series.
    all: Vec<u32>,
    last_labels: Vec<u8>,
    last_chunk: u64,
    scratch: Vec<u8>,
    series_end: u64,
}

impl IndexWriter {
    /// Writes the header and the symbols.
    pub fn create(fs: &dyn Fs, path: &Path, mut symbols: SymbolSet) -> Result<Self, BlockError> {
        symbols.sort();
        let mut out = Sink::create(fs, path)?;
        out.write(&MAGIC.to_be_bytes())?;
        out.write(&[VERSION])?;
        let toc = Toc { symbols: out.pos(), ..Toc::default() };
        let text: u64 = symbols.order.iter().map(|i| symbols.bytes(*i).len()).map(|n| (uvarint_len(n as u64) + n) as u64).sum();
        if text + 4 > MAX_SECTION_BYTES {
            return Err(BlockError::Invalid(format!("symbol table size exceeds {MAX_SECTION_BYTES} bytes: {text}")));
        }
        out.write(&((text + 4) as u32).to_be_bytes())?;
        out.write_summed(&(symbols.len() as u32).to_be_bytes())?;
        let mut scratch = Vec::new();
        for i in 0..symbols.len() as u32 {
            scratch.clear();
            let s = symbols.get(i);
            put_uvarint(&mut scratch, s.len() as u64);
            scratch.extend_from_slice(s);
            out.write_summed(&scratch)?;
        }
        out.write_crc()?;
        let name_uses = vec![0; symbols.len()];
        let mut w = IndexWriter { out, toc, symbols, name_uses, all: Vec::new(), last_labels: Vec::new(), last_chunk: 0, scratch, series_end: 0 };
        w.toc.series = w.out.pos();
        w.series_end = w.toc.series;
        Ok(w)
    }

    /// Series come sorted by labels, each once; chunks sorted by time without overlap, in the order they were written. Returns the reference.
    pub fn add_series(&mut self, labels: LabelsRef<'_>, chunks: &[ChunkMeta]) -> Result<u32, BlockError> {
        if !self.all.is_empty() && labels <= LabelsRef::from_encoded(&self.last_labels) {
            let last = LabelsRef::from_encoded(&self.last_labels);
            return Err(BlockError::Invalid(format!("out-of-order series added with label set {labels}, last label set {last}")));
        }
        self.check_chunks(chunks)?;
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels.encoded());
        self.out.pad(SERIES_ALIGN)?;
        let at = self.out.pos();
        if at > MAX_INDEX_BYTES {
            return Err(BlockError::Invalid(format!("index exceeds max size of 64GiB at series {labels}")));
        }
        let reference = (at / SERIES_ALIGN) as u32;
        let mut b = std::mem::take(&mut self.scratch);
        b.clear();
        put_uvarint(&mut b, labels.iter().count() as u64);
        for (name, value) in labels.iter() {
            let unknown = |s: &str| BlockError::Invalid(format!("symbol entry for {s:?} does not exist"));
            let n = self.symbols.number(name).ok_or_else(|| unknown(name))?;
            let v = self.symbols.number(value).ok_or_else(|| unknown(value))?;
            self.name_uses[n as usize] += 1;
            put_uvarint(&mut b, u64::from(n));
            put_uvarint(&mut b, u64::from(v));
        }
        put_chunks(&mut b, chunks);
        let mut len = Vec::with_capacity(4);
        put_uvarint(&mut len, b.len() as u64);
        self.out.write(&len)?;
        self.out.write(&b)?;
        self.out.write(&crc32c(&b).to_be_bytes())?;
        self.scratch = b;
        self.all.push(reference);
        self.series_end = self.out.pos();
        Ok(reference)
    }

    fn check_chunks(&mut self, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        let mut last_maxt = None;
        for c in chunks {
            if c.reference < self.last_chunk {
                return Err(BlockError::Invalid(format!("unsorted chunk reference: {}, previous: {}", c.reference, self.last_chunk)));
            }
            if last_maxt.is_some_and(|t| c.mint_ms <= t) {
                return Err(BlockError::Invalid(format!("chunk minT {} is not higher than previous chunk maxT", c.mint_ms)));
            }
            if c.maxt_ms < c.mint_ms {
                return Err(BlockError::Invalid(format!("chunk maxT {} is less than minT {}", c.maxt_ms, c.mint_ms)));
            }
            self.last_chunk = c.reference;
            last_maxt = Some(c.maxt_ms);
        }
        Ok(())
    }

    pub fn series_count(&self) -> u64 {
        self.all.len() as u64
    }

    /// Writes the rest and brings the file to the disk. Returns its length.
    pub fn finish(mut self) -> Result<u64, BlockError> {
        self.toc.label_indices = self.out.pos();
        self.toc.postings = self.out.pos();
        self.out.flush()?;
        let all = std::mem::take(&mut self.all);
        // (name, value, offset of the list); in order.
        let mut table: Vec<(u32, u32, u64)> = Vec::new();
        let empty = self.symbols.number("").expect("the empty string is always a symbol");
        let at = self.write_list(all.iter().copied())?;
        table.push((empty, empty, at));
        let names: Vec<u32> = (0..self.name_uses.len() as u32).filter(|n| self.name_uses[*n as usize] > 0).collect();
        let mut rest = names.as_slice();
        while !rest.is_empty() {
            let budget = (all.len() as u64).max(MIN_BATCH);
            let mut uses = 0;
            let take = rest.iter().take_while(|n| {
                uses += self.name_uses[**n as usize];
                uses <= budget
            });
            let batch = rest.split_at(take.count().max(1));
            rest = batch.1;
            self.write_batch(batch.0, &mut table)?;
        }
        self.toc.postings_table = self.out.pos();
        self.toc.label_indices_table = self.toc.postings_table;
        self.write_table(&table)?;
        self.out.write(&self.toc.to_bytes())?;
        self.out.finish()
    }

    fn write_list(&mut self, refs: impl ExactSizeIterator<Item = u32>) -> Result<u64, BlockError> {
        self.out.pad(4)?;
        let at = self.out.pos();
        let n = refs.len();
        let len = u32::try_from(n as u64 * 4 + 4).map_err(|_| BlockError::Invalid(format!("posting size exceeds 4 bytes: {n} series")))?;
        self.out.write(&len.to_be_bytes())?;
        self.out.write_summed(&(n as u32).to_be_bytes())?;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        for r in refs {
            bytes.extend_from_slice(&r.to_be_bytes());
        }
        self.out.write_summed(&bytes)?;
        self.out.write_crc()?;
        self.scratch = bytes;
        Ok(at)
    }

    /// Gathers and writes the lists of a few label names.
    fn write_batch(&mut self, names: &[u32], table: &mut Vec<(u32, u32, u64)>) -> Result<(), BlockError> {
        // For each name, value and reference in one number: sorting them brings the references of a value together, in order.
        let mut slot = vec![usize::MAX; self.symbols.len()];
        let mut pairs: Vec<Vec<u64>> = Vec::with_capacity(names.len());
        for (i, n) in names.iter().enumerate() {
            slot[*n as usize] = i;
            pairs.push(Vec::with_capacity(self.name_uses[*n as usize] as usize));
        }
        self.out.flush()?;
        self.read_series(|reference, name, value| {
            if let Some(p) = pairs.get_mut(slot[name as usize]) {
                p.push((u64::from(value) << 32) | u64::from(reference));
            }
        })?;
        for (name, mut pairs) in names.iter().zip(pairs) {
            pairs.sort_unstable();
            for run in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
                let at = self.write_list(run.iter().map(|p| *p as u32))?;
                table.push((*name, (run[0] >> 32) as u32, at));
            }
        }
        Ok(())
    }

    /// Calls for each label of each series as they stand in the file.
    fn read_series(&self, mut each: impl FnMut(u32, u32, u32)) -> Result<(), BlockError> {
        let broken = || BlockError::Invalid("series just written cannot be read back".to_string());
        let mut buf = vec![0; READ_BYTES];
        let mut at = self.toc.series.next_multiple_of(SERIES_ALIGN);
        while at < self.series_end {
            let want = buf.len().min((self.series_end - at) as usize);
            let got = self.out.read_at(at, &mut buf[..want])?;
            let mut pos = 0;
            // Only whole series are taken; the next read begins where the last one ended.
            while let Some((next, labels)) = whole_series(&buf[..got], pos) {
                let reference = ((at + pos as u64) / SERIES_ALIGN) as u32;
                let mut c = Cursor::new(labels);
                for _ in 0..c.uvarint().ok_or_else(broken)? {
                    let (name, value) = c.uvarint().zip(c.uvarint()).ok_or_else(broken)?;
                    each(reference, name as u32, value as u32);
                }
                pos = next.next_multiple_of(SERIES_ALIGN as usize);
                if pos >= got {
                    break;
                }
            }
            if pos == 0 {
                if got < want || buf.len() as u64 >= self.series_end - at {
                    return Err(broken());
                }
                let larger = buf.len() * 2;
                buf.resize(larger, 0);
            }
            at += pos as u64;
        }
        Ok(())
    }

    fn write_table(&mut self, table: &[(u32, u32, u64)]) -> Result<(), BlockError> {
        let string = |i: u32| self.symbols.get(i);
        let len_of = |s: &[u8]| (uvarint_len(s.len() as u64) + s.len()) as u64;
        let len: u64 = 4 + table.iter().map(|(n, v, at)| 1 + len_of(string(*n)) + len_of(string(*v)) + uvarint_len(*at) as u64).sum::<u64>();
        if len > MAX_SECTION_BYTES {
            return Err(BlockError::Invalid(format!("postings offset table exceeds {MAX_SECTION_BYTES} bytes: {len}")));
        }
        self.out.write(&(len as u32).to_be_bytes())?;
        self.out.write_summed(&(table.len() as u32).to_be_bytes())?;
        let mut b = Vec::new();
        for (n, v, at) in table {
            b.clear();
            put_uvarint(&mut b, 2);
            for s in [self.symbols.get(*n), self.symbols.get(*v)] {
                put_uvarint(&mut b, s.len() as u64);
                b.extend_from_slice(s);
            }
            put_uvarint(&mut b, *at);
            self.out.write_summed(&b)?;
        }
        self.out.write_crc()
    }
}

fn put_chunks(b: &mut Vec<u8>, chunks: &[ChunkMeta]) {
    put_uvarint(b, chunks.len() as u64);
    let Some(first) = chunks.first() else { return };
    put_varint(b, first.mint_ms);
    put_uvarint(b, first.maxt_ms.wrapping_sub(first.mint_ms) as u64);
    put_uvarint(b, first.reference);
    for pair in chunks.windows(2) {
        let [last, c] = pair else { continue };
        put_uvarint(b, c.mint_ms.wrapping_sub(last.maxt_ms) as u64);
        put_uvarint(b, c.maxt_ms.wrapping_sub(c.mint_ms) as u64);
        put_varint(b, c.reference.wrapping_sub(last.reference) as i64);
    }
}

/// The content of the series at `pos` and where it ends, if the buffer has all of it.
fn whole_series(buf: &[u8], pos: usize) -> Option<(usize, &[u8])> {
    let mut c = Cursor::at(buf, pos);
    let content = c.bytes()?;
    c.take(4)?;
    Some((c.pos(), content))
}
