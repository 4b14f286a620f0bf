//! Chunk segments of a block: files `chunks/000001`, `000002`, ... of at most 512 MiB.
//!
//! ```text
//! | magic 85BD40DD | version 1 | 3 zeros | { length uvarint | encoding u8 | data | CRC-32C of encoding and data } ...
//! ```
//!
//! A chunk is named by its segment (from 0) in the upper and its offset in the lower 32 bits.

use super::error::BlockError;
use super::sink::Sink;
use crate::chunkenc::{ChunkEncoding, encoding_from_byte};
use crate::index::cursor::Cursor;
use std::path::{Path, PathBuf};
use stdx::crc::{crc32c, crc32c_append};
use stdx::fs::{Fs, Mapped, SharedFs};
use stdx::varint::{put_uvarint, uvarint_len};

pub const MAGIC: u32 = 0x85bd_40dd;
const VERSION: u8 = 1;
const HEADER_LEN: usize = 8;
pub const DEFAULT_SEGMENT_BYTES: u64 = 512 << 20;

/// All segments of a block, mapped.
pub struct SegmentReader {
    segments: Vec<(PathBuf, Mapped)>,
}

impl SegmentReader {
    /// A segment that cannot be mapped or has another header is left out with a message; its chunks cannot be read then.
    pub fn open(fs: &dyn Fs, dir: &Path) -> Result<(Self, Vec<String>), BlockError> {
        let mut names: Vec<(u64, String)> =
            fs.list(dir).map_err(BlockError::io("list", dir))?.into_iter().filter_map(|e| Some((e.name.parse().ok()?, e.name))).collect();
        names.sort_unstable();
        let (mut segments, mut problems) = (Vec::new(), Vec::new());
        for (i, (number, name)) in names.into_iter().enumerate() {
            let path = dir.join(name);
            if number != i as u64 + 1 {
                problems.push(format!("{}: expected segment {:06}", path.display(), i + 1));
            }
            let bytes = match fs.map(&path) {
                Ok(bytes) if valid_header(&bytes) => bytes,
                Ok(_) => {
                    problems.push(format!("{}: not a chunk segment of version {VERSION}", path.display()));
                    Mapped::new(Vec::new())
                }
                Err(e) => {
                    problems.push(format!("{}: {e}", path.display()));
                    Mapped::new(Vec::new())
                }
            };
            segments.push((path, bytes));
        }
        Ok((SegmentReader { segments }, problems))
    }

    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, b)| b.len() as u64).sum()
    }

    /// A chunk's encoding and data, after its checksum was compared.
    #[inline]
    pub fn chunk(&self, reference: u64) -> Result<(ChunkEncoding, &[u8]), BlockError> {
        let (segment, offset) = ((reference >> 32) as usize, reference as u32 as usize);
        let Some((path, bytes)) = self.segments.get(segment) else {
            return Err(BlockError::Invalid(format!("chunk {reference:#x} is in segment {} of {}", segment + 1, self.segments.len())));
        };
        let read = || {
            let mut c = Cursor::at(bytes, offset);
            let len = usize::try_from(c.uvarint()?).ok()?;
            let body = c.take(len.checked_add(1)?)?;
            Some((body, c.be32()?))
        };
        let (body, crc) = read().ok_or_else(|| BlockError::corrupt(path, format!("chunk at {offset} reaches behind the end")))?;
        if crc32c(body) != crc {
            return Err(BlockError::corrupt(path, format!("checksum of chunk at {offset} does not match")));
        }
        let encoding = encoding_from_byte(body[0]).map_err(|e| BlockError::corrupt(path, format!("chunk at {offset}: {e}")))?;
        Ok((encoding, &body[1..]))
    }
}

fn valid_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN && bytes[..4] == MAGIC.to_be_bytes() && bytes[4] == VERSION
}

/// Writes chunks one after the other into segments.
pub struct SegmentWriter {
    fs: SharedFs,
    dir: PathBuf,
    segment_bytes: u64,
    current: Option<Sink>,
    /// How many segments have been begun.
    begun: u64,
    bytes: u64,
}

impl SegmentWriter {
    /// `dir` must exist and be empty.
    pub fn create(fs: SharedFs, dir: &Path, segment_bytes: u64) -> Self {
        // An offset has 32 bits.
        let segment_bytes = segment_bytes.clamp(1 << 10, 1 << 32);
        SegmentWriter { fs, dir: dir.to_path_buf(), segment_bytes, current: None, begun: 0, bytes: 0 }
    }

    /// Writes a chunk and returns its reference.
    pub fn write(&mut self, encoding: ChunkEncoding, data: &[u8]) -> Result<u64, BlockError> {
        let size = (uvarint_len(data.len() as u64) + 1 + data.len() + 4) as u64;
        if self.current.as_ref().is_some_and(|s| s.pos() + size > self.segment_bytes) {
            self.close()?;
        }
        let out = match &mut self.current {
            Some(out) => out,
            empty => {
                self.begun += 1;
                let mut out = Sink::create(&*self.fs, &self.dir.join(format!("{:06}", self.begun)))?;
                out.write(&MAGIC.to_be_bytes())?;
                out.write(&[VERSION, 0, 0, 0])?;
                empty.insert(out)
            }
        };
        let reference = ((self.begun - 1) << 32) | out.pos();
        let mut head = Vec::with_capacity(10);
        put_uvarint(&mut head, data.len() as u64);
        head.push(encoding as u8);
        out.write(&head)?;
        out.write(data)?;
        out.write(&crc32c_append(crc32c(&[encoding as u8]), data).to_be_bytes())?;
        Ok(reference)
    }

    fn close(&mut self) -> Result<(), BlockError> {
        if let Some(out) = self.current.take() {
            self.bytes += out.finish()?;
        }
        Ok(())
    }

    /// Brings everything to the disk. Returns the length of all segments.
    pub fn finish(mut self) -> Result<u64, BlockError> {
        self.close()?;
        self.fs.sync_dir(&self.dir).map_err(BlockError::io("sync", &self.dir))?;
        Ok(self.bytes)
    }
}
