//! A file that is written from front to back through a buffer, with the position and a running checksum at hand.

use super::error::BlockError;
use std::path::{Path, PathBuf};
use stdx::crc::crc32c_append;
use stdx::fs::{File, Fs, Open};

const BUFFER_BYTES: usize = 256 << 10;

pub struct Sink {
    file: Box<dyn File>,
    path: PathBuf,
    buf: Vec<u8>,
    /// Bytes before the buffer.
    flushed: u64,
    crc: u32,
}

impl Sink {
    pub fn create(fs: &dyn Fs, path: &Path) -> Result<Self, BlockError> {
        let file = fs.open(path, Open::Truncate).map_err(BlockError::io("create", path))?;
        Ok(Sink { file, path: path.to_path_buf(), buf: Vec::with_capacity(BUFFER_BYTES), flushed: 0, crc: 0 })
    }

    pub fn pos(&self) -> u64 {
        self.flushed + self.buf.len() as u64
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        if self.buf.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.file.append(bytes).map_err(BlockError::io("write", &self.path))?;
            self.flushed += bytes.len() as u64;
        } else {
            self.buf.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Writes what the checksum covers.
    pub fn write_summed(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.crc = crc32c_append(self.crc, bytes);
        self.write(bytes)
    }

    /// Writes the checksum of everything summed since the last time.
    pub fn write_crc(&mut self) -> Result<(), BlockError> {
        let crc = std::mem::take(&mut self.crc);
        self.write(&crc.to_be_bytes())
    }

    /// Zeros up to the next multiple of `align`.
    pub fn pad(&mut self, align: u64) -> Result<(), BlockError> {
        let over = self.pos() % align;
        if over == 0 { Ok(()) } else { self.write(&vec![0; (align - over) as usize]) }
    }

    pub fn flush(&mut self) -> Result<(), BlockError> {
        if !self.buf.is_empty() {
            self.file.append(&self.buf).map_err(BlockError::io("write", &self.path))?;
            self.flushed += self.buf.len() as u64;
            self.buf.clear();
        }
        Ok(())
    }

    /// Reads back what was written and flushed.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, BlockError> {
        self.file.read_at(offset, buf).map_err(BlockError::io("read back", &self.path))
    }

    /// Brings everything to the disk; returns the file's length.
    pub fn finish(mut self) -> Result<u64, BlockError> {
        self.flush()?;
        self.file.sync_data().map_err(BlockError::io("sync", &self.path))?;
        Ok(self.flushed)
    }
}
