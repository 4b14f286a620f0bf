//! Deleted ranges of series, until a compaction drops the samples for good. Format in docs/formats/tombstones.md.

use crate::block::error::BlockError;
use crate::index::cursor::Cursor;
use std::collections::BTreeMap;
use std::path::Path;
use stdx::crc::crc32c;
use stdx::fs::{Fs, write_atomic};
use stdx::varint::{put_uvarint, put_varint};
use storage::SeriesData;

pub const FILE_NAME: &str = "tombstones";
pub const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;

/// From `mint_ms` to `maxt_ms`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub mint_ms: i64,
    pub maxt_ms: i64,
}

impl Interval {
    pub fn contains(self, t_ms: i64) -> bool {
        self.mint_ms <= t_ms && t_ms <= self.maxt_ms
    }
}

/// Sorted, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a range; joins those it touches or borders on.
    pub fn add(&mut self, new: Interval) {
        if new.mint_ms > new.maxt_ms {
            return;
        }
        let first = self.0.partition_point(|i| i.maxt_ms < new.mint_ms.saturating_sub(1));
        let last = self.0.partition_point(|i| i.mint_ms <= new.maxt_ms.saturating_add(1));
        if first >= last {
            self.0.insert(first, new);
            return;
        }
        let joined = Interval { mint_ms: new.mint_ms.min(self.0[first].mint_ms), maxt_ms: new.maxt_ms.max(self.0[last - 1].maxt_ms) };
        self.0.splice(first..last, [joined]);
    }

    pub fn contains(&self, t_ms: i64) -> bool {
        let i = self.0.partition_point(|i| i.maxt_ms < t_ms);
        self.0.get(i).is_some_and(|i| i.contains(t_ms))
    }

    /// Is the whole range deleted?
    pub fn covers(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        let i = self.0.partition_point(|i| i.maxt_ms < mint_ms);
        self.0.get(i).is_some_and(|i| i.mint_ms <= mint_ms && maxt_ms <= i.maxt_ms)
    }

    pub fn overlaps(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        let i = self.0.partition_point(|i| i.maxt_ms < mint_ms);
        self.0.get(i).is_some_and(|i| i.mint_ms <= maxt_ms)
    }

    /// Takes the deleted samples out of columns, from the given lengths of float and histogram columns on.
    pub fn apply(&self, data: &mut SeriesData, floats_from: usize, histograms_from: usize) {
        if self.0.is_empty() {
            return;
        }
        let keep: Vec<bool> = data.t_ms.iter().enumerate().map(|(i, t)| i < floats_from || !self.contains(*t)).collect();
        retain(&mut data.t_ms, &keep);
        retain(&mut data.v, &keep);
        retain(&mut data.st_ms, &keep);
        let keep: Vec<bool> = data.hist_t_ms.iter().enumerate().map(|(i, t)| i < histograms_from || !self.contains(*t)).collect();
        retain(&mut data.hist_t_ms, &keep);
        retain(&mut data.hist, &keep);
        retain(&mut data.hist_st_ms, &keep);
    }
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut i = 0;
    column.retain(|_| {
        i += 1;
        keep.get(i - 1).copied().unwrap_or(true)
    });
}

/// By series reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Intervals>);

impl Tombstones {
    /// Without a file there are none.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Self, BlockError> {
        let path = dir.join(FILE_NAME);
        let bytes = match fs.read(&path) {
            Ok(b) => b,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(BlockError::Io { step: "read", path, source }),
        };
        Self::from_bytes(&bytes).map_err(|what| BlockError::corrupt(&path, what))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < HEADER_LEN + 4 {
            return Err("file is too short");
        }
        let (body, crc) = bytes.split_at(bytes.len() - 4);
        let mut c = Cursor::new(body);
        if c.be32() != Some(MAGIC) {
            return Err("wrong magic number");
        }
        if c.byte() != Some(VERSION) {
            return Err("unknown version");
        }
        if crc32c(&body[HEADER_LEN..]).to_be_bytes() != crc {
            return Err("checksum does not match");
        }
        let mut out = Self::default();
        while !c.is_empty() {
            let (Some(reference), Some(mint_ms), Some(maxt_ms)) = (c.uvarint(), c.varint(), c.varint()) else { return Err("entry is cut short") };
            out.add(reference, Interval { mint_ms, maxt_ms });
        }
        Ok(out)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (reference, intervals) in &self.0 {
            for i in intervals.as_slice() {
                put_uvarint(&mut out, *reference);
                put_varint(&mut out, i.mint_ms);
                put_varint(&mut out, i.maxt_ms);
            }
        }
        let crc = crc32c(&out[HEADER_LEN..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Puts the file in place; durable when it returns.
    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), BlockError> {
        let path = dir.join(FILE_NAME);
        write_atomic(fs, &path, &self.to_bytes()).map_err(BlockError::io("write", &path))
    }

    pub fn add(&mut self, reference: u64, interval: Interval) {
        self.0.entry(reference).or_default().add(interval);
    }

    pub fn get(&self, reference: u64) -> Option<&Intervals> {
        self.0.get(&reference)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.0.iter().map(|(reference, intervals)| (*reference, intervals))
    }

    /// How many ranges there are.
    pub fn count(&self) -> u64 {
        self.0.values().map(|i| i.as_slice().len() as u64).sum()
    }
}

#[cfg(test)]
#[path = "tombstones_tests.rs"]
pub(crate) mod tests;
