//! Every durable file step of the program goes through here, so that a simulation can lose, tear and reorder it.
//!
//! What is promised: bytes are on the disk only after [`File::sync_data`]; a new, renamed or removed name is on the disk only after
//! [`Fs::sync_dir`] of its directory. Anything else may be gone after a power cut.

mod crash;
mod glob;
mod real;

pub use crash::{Disk, Lie, Mount};
pub use glob::{glob, matches};
pub use real::RealFs;

use std::fmt::Debug;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

pub type SharedFs = Arc<dyn Fs>;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading; must exist.
    Read,
    /// For appending and reading; created when missing, kept when present.
    Append,
    /// For writing from the start; created, or emptied when present.
    Truncate,
    /// For writing; must not exist.
    CreateNew,
    /// For writing at given offsets and reading; must exist.
    Update,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    /// Size in bytes; 0 for a directory.
    pub len: u64,
}

/// Size of a file system in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    /// What who has no privileges may still write.
    pub free_bytes: u64,
}

pub trait Fs: Send + Sync + Debug {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>>;
    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The whole file as memory that the kernel may drop and read again. The file must not change while it is mapped.
    fn map(&self, path: &Path) -> io::Result<Mapped>;
    /// Names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Replaces `to` when it exists (a directory only when empty).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn exists(&self, path: &Path) -> bool;
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Last change of the content, milliseconds since the Unix epoch.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// How large the file system is on which a path lies. `Unsupported` where nobody knows.
    fn space(&self, _path: &Path) -> io::Result<Space> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
    /// Takes an exclusive advisory lock that lasts as long as the returned file. `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>>;
}

pub trait File: Send + Sync + Debug {
    /// Writes all at the end (or at the position after the last write).
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Returns when everything written so far is on the disk. After an error nothing may be assumed about what is.
    fn sync_data(&self) -> io::Result<()>;
    /// A second handle of the same open file, so that one thread may sync while another appends.
    fn try_clone(&self) -> io::Result<Box<dyn File>>;
}

/// A file's bytes, cheap to clone.
#[derive(Clone)]
pub struct Mapped(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Mapped {
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Mapped(Arc::new(bytes))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapped({} bytes)", self.len())
    }
}

/// Puts a whole file in place: readers and a crash see the old content or the new, never a part. Durable when it returns.
pub fn write_atomic(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let mut tmp_name = name.to_os_string();
    tmp_name.push(".tmp");
    let tmp = path.with_file_name(tmp_name);
    let mut file = fs.open(&tmp, Open::Truncate)?;
    file.append(bytes)?;
    file.sync_data()?;
    drop(file);
    fs.rename(&tmp, path)?;
    match path.parent() {
        Some(dir) => fs.sync_dir(dir),
        None => Ok(()),
    }
}
