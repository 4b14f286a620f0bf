//! Segment files: their names, which there are, and writing one.

use crate::WalError;
use crate::compress::Compression;
use crate::page::{Framed, PAGE, left_in_page, put_record};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::{File, Fs, Open, SharedFs};

/// `00000042`
pub fn file_name(segment: u64) -> String {
    format!("{segment:08}")
}

pub fn path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(file_name(segment))
}

/// A segment that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub len: u64,
}

/// The segments in a directory, in order. None missing between the first and the last, else [`WalError::Gap`]. A directory that does not exist has none.
pub fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<Segment>, WalError> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let entries = fs.list(dir).map_err(WalError::io(format!("list log directory {}", dir.display())))?;
    let mut out: Vec<Segment> = entries
        .into_iter()
        .filter(|e| !e.is_dir && !e.name.is_empty() && e.name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|e| Some(Segment { number: e.name.parse().ok()?, path: dir.join(&e.name), len: e.len }))
        .collect();
    out.sort_by_key(|s| s.number);
    match out.windows(2).find(|w| w[0].number + 1 != w[1].number) {
        Some(w) => {
            let (a, b) = (&w[0], &w[1]);
            Err(WalError::Gap(format!("segments are not sequential in {}: {} is followed by {}", dir.display(), a.number, b.number)))
        }
        None => Ok(out),
    }
}

/// One segment being written. Stages records in memory and writes them with one call.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub number: u64,
    file: Box<dyn File>,
    /// A second handle, to sync while the first one writes.
    sync: Arc<dyn File>,
    /// Bytes that are written.
    pub end: u64,
    staged: Vec<u8>,
}

impl SegmentWriter {
    /// Starts an empty segment. Its name is durable only after the directory was synced.
    pub(crate) fn create(fs: &SharedFs, dir: &Path, number: u64) -> io::Result<Self> {
        let file = fs.open(&path(dir, number), Open::Truncate)?;
        let sync = Arc::from(file.try_clone()?);
        Ok(SegmentWriter { number, file, sync, end: 0, staged: Vec::new() })
    }

    pub(crate) fn sync_handle(&self) -> Arc<dyn File> {
        Arc::clone(&self.sync)
    }

    pub(crate) fn stage(&mut self, payload: &[u8], compression: Compression, framed: &mut Framed) {
        put_record(&mut self.staged, self.end, payload, compression, framed);
    }

    /// Fills the current page with zeros, as the format wants it at the end of a segment.
    pub(crate) fn stage_padding(&mut self) {
        let at = self.end + self.staged.len() as u64;
        if !at.is_multiple_of(PAGE) {
            self.staged.resize(self.staged.len() + left_in_page(at), 0);
        }
    }

    /// Writes what is staged. On an error the file is cut back to where it was; the second error says that this failed too.
    pub(crate) fn write(&mut self) -> Result<(), (io::Error, Option<io::Error>)> {
        let result = self.file.append(&self.staged);
        let n = self.staged.len() as u64;
        self.staged.clear();
        if self.staged.capacity() > 8 << 20 {
            self.staged = Vec::new();
        }
        match result {
            Ok(()) => {
                self.end += n;
                Ok(())
            }
            Err(e) => Err((e, self.file.set_len(self.end).err())),
        }
    }
}
