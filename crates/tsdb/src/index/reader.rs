//! Reads an index from a mapped file.
//!
//! When opened, the table of contents, the symbols and the table of label pairs are checked and walked once; a series or a list of
//! references is checked each time it is read, so damage costs only what is damaged. The file's bytes are never trusted: every offset is
//! looked up with its bounds.

use super::cursor::Cursor;
use super::postings::PostingList;
use super::symbols::Symbols;
use super::{ChunkMeta, HEADER_LEN, MAGIC, SERIES_ALIGN, Toc};
use crate::block::error::BlockError;
use model::labels::push_pair_bytes;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use stdx::fs::Mapped;

/// An offset is kept for every so manieth label pair.
const STRIDE: u32 = 16;
/// A series with more labels or chunks than this is damaged.
const MAX_LABELS: u64 = 1 << 20;

pub struct IndexReader {
    file: Mapped,
    path: PathBuf,
    version: u8,
    toc: Toc,
    symbols: Symbols,
    /// Sorted by name; the pair of empty strings, which all series have, comes first.
    names: Vec<Name>,
    /// Offsets of table entries in the file's content of the table; of every `stride`th entry.
    samples: Vec<u32>,
    stride: u32,
    /// Where the content of the table begins.
    table: usize,
    /// Symbols of the label names and where their text is, sorted: every series names some of these few.
    name_symbols: Vec<(u32, u32, u32)>,
}

struct Name {
    /// The name's bytes in the file.
    at: usize,
    len: usize,
    /// Its first offset in `samples`.
    first: u32,
    /// How many values it has.
    count: u32,
}

/// An entry of the table: a label pair and where its references are.
struct Entry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    offset: u64,
}

fn entry<'a>(c: &mut Cursor<'a>) -> Option<Entry<'a>> {
    if c.uvarint()? != 2 {
        return None;
    }
    Some(Entry { name: c.bytes()?, value: c.bytes()?, offset: c.uvarint()? })
}

impl IndexReader {
    /// `path` is for messages.
    pub fn open(file: Mapped, path: &Path) -> Result<Self, BlockError> {
        let corrupt = |what: &str| BlockError::corrupt(path, what);
        let mut c = Cursor::new(&file);
        if c.be32() != Some(MAGIC) {
            return Err(corrupt("not an index: wrong magic number"));
        }
        let version = c.byte().unwrap_or(0);
        if !(1..=3).contains(&version) {
            return Err(corrupt(&format!("unknown index version {version}")));
        }
        let toc = Toc::from_end(&file).ok_or_else(|| corrupt("table of contents is damaged"))?;
        let symbols = Symbols::open(&file, toc.symbols, version).ok_or_else(|| corrupt("symbol table is damaged"))?;
        let content = Cursor::section(&file, toc.postings_table).ok_or_else(|| corrupt("postings offset table is damaged"))?;
        let table = toc.postings_table as usize + 4;
        let parsed = if version == 1 { sorted_table(content) } else { sampled_table(content) };
        let (mut names, samples) = parsed.ok_or_else(|| corrupt("postings offset table is damaged"))?;
        for n in &mut names {
            n.at += table;
        }
        let stride = if version == 1 { 1 } else { STRIDE };
        let mut name_symbols = Vec::with_capacity(names.len());
        for n in &names {
            let text = std::str::from_utf8(&file[n.at..n.at + n.len]).map_err(|_| corrupt("a label name is not utf-8"))?;
            if let (Some(symbol), Ok(at)) = (symbols.find(&file, text), u32::try_from(n.at)) {
                name_symbols.push((symbol, at, n.len as u32));
            }
        }
        name_symbols.sort_unstable();
        Ok(IndexReader { path: path.to_path_buf(), version, toc, symbols, names, samples, stride, table, name_symbols, file })
    }

    pub fn version(&self) -> u8 {
        self.version
    }

    pub fn toc(&self) -> Toc {
        self.toc
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size_bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Bytes of memory that the look-up tables take.
    pub fn memory_bytes(&self) -> usize {
        self.symbols.size_bytes() + self.samples.len() * 4 + self.names.len() * (size_of::<Name>() + size_of::<(u32, u32, u32)>())
    }

    /// Every string of the index, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.symbols.iter(&self.file)
    }

    pub fn symbol_count(&self) -> u32 {
        self.symbols.count()
    }

    fn corrupt(&self, what: impl Into<String>) -> BlockError {
        BlockError::corrupt(&self.path, what)
    }

    /// The checked bytes of a series.
    fn series_bytes(&self, reference: u32) -> Result<Cursor<'_>, BlockError> {
        let align = if self.version == 1 { 1 } else { SERIES_ALIGN };
        let offset = u64::from(reference) * align;
        let read = || {
            let mut c = Cursor::at(&self.file, usize::try_from(offset).ok()?);
            let content = c.bytes()?;
            (c.be32()? == stdx::crc::crc32c(content)).then_some(content)
        };
        match read() {
            Some(content) if offset >= HEADER_LEN => Ok(Cursor::new(content)),
            _ => Err(self.corrupt(format!("series at {offset} is damaged"))),
        }
    }

    fn damaged(&self, reference: u32) -> BlockError {
        self.corrupt(format!("series {reference} does not parse"))
    }

    /// Labels of a series, appended in the layout of [`model::Labels`], and its chunks, appended in order of their start.
    pub fn series(&self, reference: u32, labels: &mut Vec<u8>, chunks: &mut Vec<ChunkMeta>) -> Result<(), BlockError> {
        let mut c = self.series_bytes(reference)?;
        self.read_labels(&mut c, labels).ok_or_else(|| self.damaged(reference))?;
        read_chunks(&mut c, chunks).ok_or_else(|| self.damaged(reference))
    }

    /// Only the labels.
    pub fn labels(&self, reference: u32, labels: &mut Vec<u8>) -> Result<(), BlockError> {
        let mut c = self.series_bytes(reference)?;
        self.read_labels(&mut c, labels).ok_or_else(|| self.damaged(reference))
    }

    /// Only the chunks.
    pub fn chunks(&self, reference: u32, chunks: &mut Vec<ChunkMeta>) -> Result<(), BlockError> {
        let mut c = self.series_bytes(reference)?;
        let mut read = || {
            for _ in 0..c.uvarint()? {
                c.uvarint()?;
                c.uvarint()?;
            }
            read_chunks(&mut c, chunks)
        };
        read().ok_or_else(|| self.damaged(reference))
    }

    /// The value of one label of a series; "" when it has none.
    pub fn label_value(&self, reference: u32, name: u32) -> Result<&str, BlockError> {
        let mut c = self.series_bytes(reference)?;
        let mut read = || {
            for _ in 0..c.uvarint()? {
                let (n, v) = (c.uvarint()?, c.uvarint()?);
                if n == u64::from(name) {
                    return self.symbols.get(&self.file, u32::try_from(v).ok()?);
                }
            }
            Some("")
        };
        read().ok_or_else(|| self.damaged(reference))
    }

    /// Calls for the symbol number of each label name of a series.
    pub fn label_name_symbols(&self, reference: u32, mut each: impl FnMut(u32)) -> Result<(), BlockError> {
        let mut c = self.series_bytes(reference)?;
        let mut read = || {
            for _ in 0..c.uvarint()? {
                each(u32::try_from(c.uvarint()?).ok()?);
                c.uvarint()?;
            }
            Some(())
        };
        read().ok_or_else(|| self.damaged(reference))
    }

    pub fn symbol(&self, number: u32) -> Option<&str> {
        self.symbols.get(&self.file, number)
    }

    /// The number of a string.
    pub fn find_symbol(&self, s: &str) -> Option<u32> {
        self.symbols.find(&self.file, s)
    }

    fn read_labels(&self, c: &mut Cursor<'_>, out: &mut Vec<u8>) -> Option<()> {
        let n = c.uvarint()?;
        if n > MAX_LABELS {
            return None;
        }
        for _ in 0..n {
            let name = self.name_of(u32::try_from(c.uvarint()?).ok()?)?;
            let value = self.symbols.bytes(&self.file, u32::try_from(c.uvarint()?).ok()?)?;
            if name.len() > model::labels::MAX_LEN || value.len() > model::labels::MAX_LEN {
                return None;
            }
            push_pair_bytes(out, name, value);
        }
        Some(())
    }

    #[inline]
    fn name_of(&self, symbol: u32) -> Option<&[u8]> {
        match self.name_symbols.binary_search_by_key(&symbol, |n| n.0) {
            Ok(i) => {
                let (_, at, len) = self.name_symbols[i];
                self.file.get(at as usize..at as usize + len as usize)
            }
            Err(_) => self.symbols.bytes(&self.file, symbol),
        }
    }

    fn name_bytes(&self, n: &Name) -> &[u8] {
        &self.file[n.at..n.at + n.len]
    }

    fn find_name(&self, name: &str) -> Option<&Name> {
        let i = self.names.binary_search_by(|n| self.name_bytes(n).cmp(name.as_bytes())).ok()?;
        Some(&self.names[i])
    }

    /// All label names, sorted.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|n| n.len > 0).filter_map(|n| std::str::from_utf8(self.name_bytes(n)).ok())
    }

    /// How many values a label has.
    pub fn value_count(&self, name: &str) -> usize {
        self.find_name(name).map_or(0, |n| n.count as usize)
    }

    fn sample_cursor(&self, sample: u32) -> Cursor<'_> {
        Cursor::at(&self.file, self.table + self.samples[sample as usize] as usize)
    }

    /// The last of the name's offsets whose value is not above `value`.
    fn block_of(&self, n: &Name, value: &[u8]) -> Option<u32> {
        let samples = n.count.div_ceil(self.stride);
        let (mut low, mut high) = (0, samples);
        while low < high {
            let mid = low.midpoint(high);
            if entry(&mut self.sample_cursor(n.first + mid))?.value <= value { low = mid + 1 } else { high = mid }
        }
        Some(low.saturating_sub(1))
    }

    /// Calls for each value of a label from `from` on, in order, with where its references are, until told to stop.
    pub fn each_value<'a>(&'a self, name: &str, from: &str, mut each: impl FnMut(&'a str, u64) -> ControlFlow<()>) -> Result<(), BlockError> {
        let Some(n) = self.find_name(name) else { return Ok(()) };
        let mut walk = || {
            let mut block = self.block_of(n, from.as_bytes())?;
            while block * self.stride < n.count {
                let mut c = self.sample_cursor(n.first + block);
                for _ in 0..self.stride.min(n.count - block * self.stride) {
                    let e = entry(&mut c)?;
                    if e.value < from.as_bytes() {
                        continue;
                    }
                    if each(std::str::from_utf8(e.value).ok()?, e.offset).is_break() {
                        return Some(());
                    }
                }
                block += 1;
            }
            Some(())
        };
        walk().ok_or_else(|| self.corrupt("postings offset table is damaged"))
    }

    /// The series with a label pair. `("", "")` is all series.
    pub fn postings(&self, name: &str, value: &str) -> Result<PostingList<'_>, BlockError> {
        let mut found = None;
        self.each_value(name, value, |v, offset| {
            if v == value {
                found = Some(offset);
            }
            ControlFlow::Break(())
        })?;
        found.map_or_else(|| Ok(PostingList::default()), |offset| self.postings_at(offset))
    }

    /// The references at an offset that [`IndexReader::each_value`] told.
    pub fn postings_at(&self, offset: u64) -> Result<PostingList<'_>, BlockError> {
        let content = Cursor::section(&self.file, offset).ok_or_else(|| self.corrupt(format!("postings at {offset} are damaged")))?;
        match content.split_at_checked(4) {
            Some((n, refs)) if n.try_into().map(u32::from_be_bytes).is_ok_and(|n| n as usize * 4 == refs.len()) => Ok(PostingList::Raw(refs)),
            _ => Err(self.corrupt(format!("postings at {offset} have another length than they say"))),
        }
    }

    /// How many series have the pair whose references are at this offset; unchecked.
    pub fn postings_count_at(&self, offset: u64) -> u64 {
        let mut c = Cursor::at(&self.file, usize::try_from(offset).unwrap_or(usize::MAX));
        c.be32().and_then(|_| c.be32()).map_or(0, u64::from)
    }

    pub fn all_postings(&self) -> Result<PostingList<'_>, BlockError> {
        self.postings("", "")
    }
}

fn read_chunks(c: &mut Cursor<'_>, out: &mut Vec<ChunkMeta>) -> Option<()> {
    let n = c.uvarint()?;
    if n == 0 {
        return Some(());
    }
    let mint_ms = c.varint()?;
    let mut maxt_ms = mint_ms.wrapping_add(c.uvarint()? as i64);
    let mut reference = c.uvarint()?;
    out.push(ChunkMeta { mint_ms, maxt_ms, reference });
    for _ in 1..n {
        let mint_ms = maxt_ms.wrapping_add(c.uvarint()? as i64);
        maxt_ms = mint_ms.wrapping_add(c.uvarint()? as i64);
        reference = reference.wrapping_add(c.varint()? as u64);
        out.push(ChunkMeta { mint_ms, maxt_ms, reference });
    }
    Some(())
}

/// Walks a sorted table and keeps every `STRIDE`th entry of each name.
fn sampled_table(content: &[u8]) -> Option<(Vec<Name>, Vec<u32>)> {
    let mut c = Cursor::new(content);
    let (mut names, mut samples): (Vec<Name>, Vec<u32>) = (Vec::new(), Vec::new());
    let total = c.be32()?;
    for _ in 0..total {
        let at = c.pos();
        let e = entry(&mut c)?;
        match names.last_mut() {
            Some(n) if content[n.at..n.at + n.len] == *e.name => {
                if n.count % STRIDE == 0 {
                    samples.push(at as u32);
                }
                n.count += 1;
            }
            _ => {
                // The name stands behind the key count and its own length.
                let name_at = e.name.as_ptr() as usize - content.as_ptr() as usize;
                names.push(Name { at: name_at, len: e.name.len(), first: samples.len() as u32, count: 1 });
                samples.push(at as u32);
            }
        }
    }
    let sorted = names.is_sorted_by(|a, b| content[a.at..a.at + a.len] < content[b.at..b.at + b.len]);
    sorted.then_some((names, samples))
}

/// Version 1 tables come in any order: keeps every entry, sorted.
fn sorted_table(content: &[u8]) -> Option<(Vec<Name>, Vec<u32>)> {
    let mut c = Cursor::new(content);
    let mut entries = Vec::new();
    for _ in 0..c.be32()? {
        let at = c.pos() as u32;
        let e = entry(&mut c)?;
        entries.push((e.name, e.value, at));
    }
    entries.sort_unstable();
    let mut names: Vec<Name> = Vec::new();
    for (i, (name, _, _)) in entries.iter().enumerate() {
        match names.last_mut() {
            Some(n) if content[n.at..n.at + n.len] == **name => n.count += 1,
            _ => {
                let at = name.as_ptr() as usize - content.as_ptr() as usize;
                names.push(Name { at, len: name.len(), first: i as u32, count: 1 });
            }
        }
    }
    Some((names, entries.iter().map(|e| e.2).collect()))
}
