//! A block's index: which series it has, where their chunks are, and which series have which label. Format in docs/formats/index.md.
//!
//! [`reader`] reads versions 1 to 3 from a mapped file and keeps little in memory: an offset for every fourth symbol and every 16th label pair.
//! [`writer`] writes version 2 as Prometheus lays it out. [`postings`] are the sorted series references of a label pair and their set
//! operations; [`select`] turns matchers into references.

pub mod cursor;
pub mod postings;
pub mod reader;
pub mod select;
pub mod symbols;
pub mod writer;

pub use postings::PostingList;
pub use reader::IndexReader;
pub use writer::IndexWriter;

pub const MAGIC: u32 = 0xbaaa_d700;
pub const HEADER_LEN: u64 = 5;
pub const VERSION: u8 = 2;
pub const TOC_LEN: usize = 6 * 8 + 4;
/// Series stand at multiples of this; their reference is the offset divided by it.
pub const SERIES_ALIGN: u64 = 16;

/// Where a chunk is and which time it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of the first sample.
    pub mint_ms: i64,
    /// Time of the last sample.
    pub maxt_ms: i64,
    /// Segment in the upper 32 bits, offset in the lower.
    pub reference: u64,
}

impl ChunkMeta {
    pub fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        self.mint_ms <= end_ms && start_ms <= self.maxt_ms
    }
}

/// The table of contents: where the sections begin. The two label index sections are empty in all but old blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    pub symbols: u64,
    pub series: u64,
    pub label_indices: u64,
    pub label_indices_table: u64,
    pub postings: u64,
    pub postings_table: u64,
}

impl Toc {
    pub fn to_bytes(self) -> [u8; TOC_LEN] {
        let mut out = [0; TOC_LEN];
        let fields = [self.symbols, self.series, self.label_indices, self.label_indices_table, self.postings, self.postings_table];
        for (slot, v) in out.chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&v.to_be_bytes());
        }
        let crc = stdx::crc::crc32c(&out[..TOC_LEN - 4]);
        out[TOC_LEN - 4..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads the end of an index file.
    pub fn from_end(file: &[u8]) -> Option<Toc> {
        let mut c = cursor::Cursor::new(file.get(file.len().checked_sub(TOC_LEN)?..)?);
        let crc = stdx::crc::crc32c(&file[file.len() - TOC_LEN..file.len() - 4]);
        let toc = Toc {
            symbols: c.be64()?,
            series: c.be64()?,
            label_indices: c.be64()?,
            label_indices_table: c.be64()?,
            postings: c.be64()?,
            postings_table: c.be64()?,
        };
        (c.be32()? == crc).then_some(toc)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
