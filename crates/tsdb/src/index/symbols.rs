//! The symbol table: every string of the index once, sorted. Series name their labels by number in it.

use super::cursor::Cursor;

/// An offset is kept for every so manieth symbol; a look-up walks over half as many on average.
const STRIDE: usize = 4;

pub struct Symbols {
    /// Of the section in the file.
    start: usize,
    /// Of every `STRIDE`th symbol, from the section's content on.
    offsets: Vec<u32>,
    count: u32,
    /// In version 1 symbols are named by their offset in the file.
    by_offset: bool,
}

impl Symbols {
    /// Checks the section and that all of it is UTF-8, walking it once.
    pub fn open(file: &[u8], start: u64, version: u8) -> Option<Symbols> {
        let content = Cursor::section(file, start)?;
        let mut c = Cursor::new(content);
        let count = c.be32()?;
        let mut offsets = Vec::with_capacity((count as usize).min(content.len()) / STRIDE + 1);
        for i in 0..count as usize {
            if i % STRIDE == 0 {
                offsets.push(c.pos() as u32);
            }
            c.str()?;
        }
        Some(Symbols { start: start as usize + 4, offsets, count, by_offset: version == 1 })
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of memory.
    pub fn size_bytes(&self) -> usize {
        self.offsets.len() * 4
    }

    pub fn get<'a>(&self, file: &'a [u8], symbol: u32) -> Option<&'a str> {
        self.bytes(file, symbol).and_then(|b| std::str::from_utf8(b).ok())
    }

    /// The symbol's text, which was checked when the table was opened (in version 1, where a symbol is any offset, it is checked now).
    #[inline]
    pub fn bytes<'a>(&self, file: &'a [u8], symbol: u32) -> Option<&'a [u8]> {
        if self.by_offset {
            return Cursor::at(file, symbol as usize).str().map(str::as_bytes);
        }
        let offset = *self.offsets.get(symbol as usize / STRIDE)?;
        if symbol >= self.count {
            return None;
        }
        let mut c = Cursor::at(file, self.start + offset as usize);
        for _ in 0..symbol as usize % STRIDE {
            c.bytes()?;
        }
        c.bytes()
    }

    /// The number of a string; None when no series has it.
    pub fn find(&self, file: &[u8], s: &str) -> Option<u32> {
        let first = |i: usize| Cursor::at(file, self.start + self.offsets[i] as usize).bytes();
        let (mut low, mut high) = (0, self.offsets.len());
        while low < high {
            let mid = low.midpoint(high);
            if first(mid)? <= s.as_bytes() { low = mid + 1 } else { high = mid }
        }
        let block = low.checked_sub(1)?;
        let mut c = Cursor::at(file, self.start + self.offsets[block] as usize);
        for i in block * STRIDE..((block + 1) * STRIDE).min(self.count as usize) {
            let at = c.pos();
            let symbol = c.bytes()?;
            if symbol == s.as_bytes() {
                return u32::try_from(if self.by_offset { at } else { i }).ok();
            }
        }
        None
    }

    /// All strings in their order.
    pub fn iter<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = &'a str> {
        let mut c = Cursor::at(file, self.start + 4);
        (0..self.count).map_while(move |_| c.str())
    }
}
