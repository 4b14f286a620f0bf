//! For this room's tests: a log in a temporary directory, a disk that fills up or fails to sync.

use crate::replay::LogReader;
use crate::{Compression, Corruption, Records, SyncPolicy, Wal, WalError, WalOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use stdx::clock::{ManualClock, SystemClock};
use stdx::fs::{Entry, File, Fs, Mapped, Open, RealFs, SharedFs};
use stdx::metrics::Registry;

pub(crate) fn options(compression: Compression) -> WalOptions {
    WalOptions { segment_size: 128 * 1024, compression, sync: SyncPolicy::EveryCommit, ..WalOptions::default() }
}

pub(crate) fn open_with(fs: SharedFs, dir: &Path, options: WalOptions) -> Result<Wal, WalError> {
    Wal::open(fs, dir, options, &Registry::new(SystemClock::shared()), ManualClock::at_ms(0))
}

pub(crate) fn open(dir: &Path) -> Wal {
    open_with(RealFs::shared(), dir, options(Compression::None)).expect("open the log")
}

/// Records of an unknown type with recognizable content, `len` bytes each.
pub(crate) fn numbered(from: usize, to: usize, len: usize) -> Vec<Vec<u8>> {
    (from..to)
        .map(|i| {
            let mut r = format!("Z{i:08}").into_bytes();
            r.extend((r.len()..len).map(|k| (k * 31 + i) as u8));
            r
        })
        .collect()
}

pub(crate) fn log(wal: &Wal, records: &[Vec<u8>]) {
    for r in records {
        let mut batch = Records::default();
        batch.push(r);
        wal.log(&batch).expect("log");
    }
}

/// Everything that can be read, and what could not.
pub(crate) fn read_all(dir: &Path) -> (Vec<Vec<u8>>, Vec<Corruption>, bool) {
    let mut reader = LogReader::open(RealFs::shared(), dir, 0, u64::MAX).expect("open for reading");
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok(Some(r)) => records.push(r.bytes.to_vec()),
            Ok(None) => break,
            Err(WalError::Corrupt(c)) => damage.push(c),
            Err(e) => panic!("read: {e}"),
        }
    }
    let torn = reader.torn().is_some();
    (records, damage, torn)
}

/// The machine's disk with `room` bytes left, and a sync that fails when told to.
#[derive(Debug)]
pub(crate) struct TightFs {
    pub room: Arc<AtomicU64>,
    pub sync_fails: Arc<AtomicBool>,
    pub syncs: Arc<AtomicU64>,
}

impl TightFs {
    pub(crate) fn with_room(bytes: u64) -> Arc<Self> {
        Arc::new(TightFs { room: Arc::new(AtomicU64::new(bytes)), sync_fails: Arc::default(), syncs: Arc::default() })
    }
}

#[derive(Debug)]
struct TightFile {
    file: Box<dyn File>,
    room: Arc<AtomicU64>,
    sync_fails: Arc<AtomicBool>,
    syncs: Arc<AtomicU64>,
}

impl Fs for TightFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let file = RealFs.open(path, how)?;
        let (room, sync_fails, syncs) = (Arc::clone(&self.room), Arc::clone(&self.sync_fails), Arc::clone(&self.syncs));
        Ok(Box::new(TightFile { file, room, sync_fails, syncs }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFs.read(path)
    }
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        RealFs.map(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealFs.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir_all(dir)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        RealFs.exists(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        RealFs.len(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        RealFs.modified_ms(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>> {
        RealFs.lock(path)
    }
}

impl File for TightFile {
    /// Writes what there is room for, as a full disk does.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        let n = room.min(bytes.len() as u64);
        self.room.store(room - n, Ordering::SeqCst);
        self.file.append(&bytes[..n as usize])?;
        if (n as usize) < bytes.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.file.sync_data()
    }
    fn try_clone(&self) -> io::Result<Box<dyn File>> {
        let (room, sync_fails, syncs) = (Arc::clone(&self.room), Arc::clone(&self.sync_fails), Arc::clone(&self.syncs));
        Ok(Box::new(TightFile { file: self.file.try_clone()?, room, sync_fails, syncs }))
    }
}
