//! The machine's file system.
#![allow(clippy::disallowed_methods, reason = "this is the one place that touches it")]

use super::{Entry, File, Fs, Mapped, Open, Space};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

#[derive(Debug, Default)]
pub struct RealFs;

impl RealFs {
    pub fn shared() -> super::SharedFs {
        Arc::new(RealFs)
    }
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// Where the next append goes.
    end: u64,
}

impl Fs for RealFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let mut o = OpenOptions::new();
        match how {
            Open::Read => o.read(true),
            Open::Append => o.read(true).write(true).create(true).truncate(false),
            Open::Truncate => o.read(true).write(true).create(true).truncate(true),
            Open::CreateNew => o.read(true).write(true).create_new(true),
            Open::Update => o.read(true).write(true),
        };
        let file = o.open(path)?;
        let end = file.metadata()?.len();
        Ok(Box::new(RealFile { file, end }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let file = fs::File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Mapped::new(Vec::new()));
        }
        Ok(Mapped::new(map_read_only(&file)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut out = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = match fs::metadata(entry.path()) {
                Ok(m) => m,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let Ok(name) = entry.file_name().into_string() else { continue };
            out.push(Entry { name, is_dir: meta.is_dir(), len: if meta.is_dir() { 0 } else { meta.len() } });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let at = fs::metadata(path)?.modified()?;
        Ok(at.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        file_system_of(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealFile { file, end: 0 })),
            Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::WouldBlock, "held by another process")),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

#[allow(unsafe_code, reason = "the only mapping of the program; Fs::map says that mapped files do not change")]
fn map_read_only(file: &fs::File) -> io::Result<memmap2::Mmap> {
    // SAFETY: mapped files (block indexes, chunk segments) are written once, renamed into place and never modified afterwards;
    // removal leaves the mapping intact.
    unsafe { memmap2::Mmap::map(file) }
}

#[allow(unsafe_code, reason = "std does not say how large a file system is")]
fn file_system_of(path: &Path) -> io::Result<Space> {
    let path = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))?;
    let mut s = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a zero byte, and the structure is only looked at when the call says that it was filled.
    let s = unsafe {
        if libc::statvfs(path.as_ptr(), s.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        s.assume_init()
    };
    Ok(Space { total_bytes: s.f_blocks.saturating_mul(s.f_frsize), free_bytes: s.f_bavail.saturating_mul(s.f_frsize) })
}

impl File for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.end = self.end.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.end = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_clone(&self) -> io::Result<Box<dyn File>> {
        Ok(Box::new(RealFile { file: self.file.try_clone()?, end: self.end }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_atomic;

    #[test]
    fn appends_lists_maps_and_locks() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let fs = RealFs;
        let p = dir.path().join("a");
        let mut f = fs.open(&p, Open::Append).expect("open");
        f.append(b"one").expect("append");
        f.append(b"two").expect("append");
        f.sync_data().expect("sync");
        assert_eq!(&*fs.map(&p).expect("map"), b"onetwo");
        write_atomic(&fs, &p, b"three").expect("replace");
        assert_eq!(fs.read(&p).expect("read"), b"three");
        assert_eq!(fs.list(dir.path()).expect("list"), vec![Entry { name: "a".into(), is_dir: false, len: 5 }]);
        let space = fs.space(dir.path()).expect("a file system");
        assert!(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
        let lock = dir.path().join("lock");
        let held = fs.lock(&lock).expect("lock");
        assert_eq!(fs.lock(&lock).expect_err("second lock").kind(), io::ErrorKind::WouldBlock);
        drop(held);
        fs.lock(&lock).expect("lock again");
    }
}
