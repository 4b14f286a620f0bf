//! Disks that are full, that fail to sync, that may not be written: clear errors, nothing wrong afterwards.

use super::tests::{T0, labels, open, options, put, read_all};
use super::*;
use parking_lot::Mutex as TestMutex;
use std::io;
use std::path::Path;
use stdx::fs::{Entry, File, Fs, Mapped, Open, RealFs};
use storage::{AppendError, CommitError, HeldValue, Wait};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    NoSpace,
    SyncFails,
}

/// The real disk with a fault that can be switched.
#[derive(Debug)]
struct FaultyFs {
    real: RealFs,
    fault: Arc<TestMutex<Fault>>,
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn File>,
    fault: Arc<TestMutex<Fault>>,
}

impl FaultyFile {
    fn room(&self) -> io::Result<()> {
        if *self.fault.lock() == Fault::NoSpace { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl File for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.append(bytes)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
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
        if *self.fault.lock() == Fault::SyncFails { Err(io::Error::other("input/output error")) } else { self.file.sync_data() }
    }
    fn try_clone(&self) -> io::Result<Box<dyn File>> {
        Ok(Box::new(FaultyFile { file: self.file.try_clone()?, fault: Arc::clone(&self.fault) }))
    }
}

impl Fs for FaultyFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        Ok(Box::new(FaultyFile { file: self.real.open(path, how)?, fault: Arc::clone(&self.fault) }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.real.read(path)
    }
    fn map(&self, path: &Path) -> io::Result<Mapped> {
        self.real.map(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.real.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.real.create_dir_all(dir)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.real.remove_file(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.real.remove_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.real.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        self.real.exists(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.real.len(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.real.modified_ms(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.real.lock(path)
    }
    fn space(&self, _path: &Path) -> io::Result<stdx::fs::Space> {
        Ok(stdx::fs::Space { total_bytes: DISK_BYTES, free_bytes: 0 })
    }
}

const DISK_BYTES: u64 = 10 << 20;

fn open_faulty(dir: &Path) -> (Arc<Db>, Arc<TestMutex<Fault>>) {
    let fault = Arc::new(TestMutex::new(Fault::None));
    let fs = Arc::new(FaultyFs { real: RealFs, fault: Arc::clone(&fault) });
    (Db::open(DbOptions { fs, ..options(dir) }).expect("open"), fault)
}

fn try_put(db: &Db, t: i64) -> Result<storage::CommitStats, CommitError> {
    let mut a = db.appender(AppendOptions::receive());
    let s = a.series(labels(1).as_ref()).expect("series");
    a.append(s, t, 1.0).expect("append");
    a.commit(Wait::Durable)
}

#[test]
fn a_full_disk_refuses_batches_and_takes_them_again_when_there_is_room() {
    let dir = tempfile::tempdir().expect("dir");
    let (db, fault) = open_faulty(dir.path());
    try_put(&db, T0).expect("commit");
    *fault.lock() = Fault::NoSpace;
    assert!(matches!(try_put(&db, T0 + 1), Err(CommitError::Unavailable(_))));
    // A series that is new in the refused batch is named in the log by the next one.
    let mut a = db.appender(AppendOptions::scrape());
    let s = a.series(labels(2).as_ref()).expect("series");
    a.append(s, T0, 5.0).expect("append");
    assert!(matches!(a.commit(Wait::Written), Err(CommitError::Unavailable(_))));
    assert_eq!(read_all(&db, 1), vec![(T0, 1.0)]);
    *fault.lock() = Fault::None;
    try_put(&db, T0 + 2).expect("commit");
    put(&db, AppendOptions::scrape(), 2, &[(T0 + 3, 6.0)]);
    assert_eq!(read_all(&db, 1), vec![(T0, 1.0), (T0 + 2, 1.0)]);
    drop(db);
    let db = open(dir.path());
    assert_eq!((read_all(&db, 1), read_all(&db, 2)), (vec![(T0, 1.0), (T0 + 2, 1.0)], vec![(T0 + 3, 6.0)]));
}

#[test]
fn full_chunks_wait_in_memory_while_the_disk_is_full() {
    let dir = tempfile::tempdir().expect("dir");
    let (db, fault) = open_faulty(dir.path());
    let samples: Vec<(i64, f64)> = (0..700).map(|n| (T0 + n * 15_000, n as f64)).collect();
    put(&db, AppendOptions::scrape(), 1, &samples);
    *fault.lock() = Fault::NoSpace;
    assert!(db.head().full.flush().is_err());
    assert_eq!(read_all(&db, 1), samples);
    assert!(db.flush_head().is_err());
    assert_eq!(read_all(&db, 1), samples);
    *fault.lock() = Fault::None;
    db.flush_head().expect("flush");
    assert_eq!(read_all(&db, 1), samples);
    drop(db);
    assert_eq!(read_all(&open(dir.path()), 1), samples);
}

#[test]
fn after_a_failed_sync_nothing_is_taken_until_the_store_is_opened_again() {
    let dir = tempfile::tempdir().expect("dir");
    let (db, fault) = open_faulty(dir.path());
    try_put(&db, T0).expect("commit");
    *fault.lock() = Fault::SyncFails;
    assert!(matches!(try_put(&db, T0 + 1), Err(CommitError::Broken(_))));
    *fault.lock() = Fault::None;
    let mut a = db.appender(AppendOptions::scrape());
    assert!(matches!(a.series(labels(1).as_ref()), Err(AppendError::Unavailable(_))));
    assert_eq!(read_all(&db, 1)[0], (T0, 1.0));
    drop(a);
    drop(db);
    let db = open(dir.path());
    try_put(&db, T0 + 2).expect("commit");
}

#[test]
fn a_percentage_of_the_disk_is_a_limit_and_goes_before_a_size() {
    let dir = tempfile::tempdir().expect("dir");
    let (db, _) = open_faulty(dir.path());
    for range in 0..4 {
        let from = T0 + range * 2 * crate::config::HOUR_MS;
        put(&db, AppendOptions::scrape(), 1, &(0..120).map(|n| (from + n * 60_000, n as f64)).collect::<Vec<_>>());
    }
    db.flush_head().expect("flush");
    let sizes: Vec<u64> = db.blocks().iter().map(|b| b.size_bytes()).collect();
    assert_eq!(sizes.len(), 4);
    let used: u64 = sizes.iter().sum::<u64>() + db.head_bytes();
    // One block too much, by half of it.
    let percent = (used - sizes[0] / 2) as f64 * 100.0 / DISK_BYTES as f64;
    db.set_retention(0, 1 << 40, percent);
    db.maintain().expect("maintain");
    assert_eq!(db.blocks().iter().map(|b| b.size_bytes()).collect::<Vec<_>>(), sizes[1..]);
    // A size that nothing could satisfy is not looked at beside a percentage.
    db.set_retention(0, 1, percent);
    db.maintain().expect("maintain");
    assert_eq!(db.blocks().len(), 3);
    db.set_retention(0, 1, 0.0);
    db.maintain().expect("maintain");
    assert_eq!(db.blocks().len(), 0);
}

#[test]
fn a_file_in_place_of_the_directory_is_a_clear_error() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("data");
    stdx::fs::write_atomic(&RealFs, &path, b"x").expect("write");
    let e = Db::open(options(&path)).err().expect("must fail").to_string();
    assert!(e.contains("create data directory") && e.contains("data"), "{e}");
}

#[test]
fn exemplars_metadata_and_held_samples_come_back() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    let exemplar = |t: i64| model::Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 0.5, t_ms: Some(t) };
    let metadata = Metadata { kind: model::MetricType::Counter, help: "what it is".into(), unit: "seconds".into() };
    let mut a = db.appender(AppendOptions::scrape());
    let s = a.series(labels(1).as_ref()).expect("series");
    a.append(s, T0, 1.0).expect("append");
    a.append_exemplar(s, &exemplar(T0)).expect("exemplar");
    a.append_exemplar(s, &model::Exemplar { t_ms: None, value: 0.75, ..exemplar(0) }).expect("exemplar");
    a.update_metadata(s, &metadata).expect("metadata");
    a.hold(s, "b", T0 - 5, HeldValue::Float(1.0)).expect("hold");
    a.hold(s, "b", T0 + 5, HeldValue::Float(2.0)).expect("hold");
    let stats = a.commit(Wait::Durable).expect("commit");
    assert_eq!((stats.samples, stats.exemplars), (1, 2));
    assert!(db.take_held().is_empty(), "only the log gives held samples back");
    drop(db);
    let db = open(dir.path());
    let found = storage::ExemplarQueryable::exemplars(&*db, T0 - 1, T0 + 1, &[vec![model::Matcher::equal("i", "1")]]).expect("exemplars");
    assert_eq!(found[0].exemplars.iter().map(|e| (e.t_ms, e.value)).collect::<Vec<_>>(), vec![(Some(T0), 0.5), (Some(T0), 0.75)]);
    assert_eq!(db.metadata_of(s).as_deref(), Some(&metadata));
    let held = db.take_held();
    assert_eq!((held.len(), held[0].t_ms, &*held[0].replica, held[0].series), (1, T0 + 5, "b", s));
    assert!(db.take_held().is_empty());
    assert_eq!(read_all(&db, 1), vec![(T0, 1.0)]);
}
