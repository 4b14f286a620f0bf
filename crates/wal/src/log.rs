//! Writing the log: one commit is one write, many commits share one sync.
//!
//! Three locks, taken in this order and never held over a sync: the appender (who writes), the tip (how far readers may go), the sync state (how
//! far the disk is). The thread that finds nobody syncing becomes the leader and syncs for all who wait.

use crate::compress::{Compression, Packer};
use crate::cursor::{CursorBudget, Cursors};
use crate::metrics::Metrics;
use crate::page::{Framed, PAGE, framed_bound};
use crate::record::Records;
use crate::segment::{self, SegmentWriter};
use crate::{LogPosition, WalError, repair};
use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::fs::{File, Open, SharedFs};
use stdx::metrics::Registry;

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When [`Wal::wait_durable`] returns.
    EveryCommit,
    /// At most so much later.
    Interval(Duration),
    /// When the kernel likes, as Prometheus does. Finished segments are synced all the same.
    None,
}

#[derive(Clone, Debug)]
pub struct WalOptions {
    /// A segment is closed before it grows beyond this. A multiple of 32 KiB.
    pub segment_size: u64,
    pub compression: Compression,
    pub sync: SyncPolicy,
    /// How long written bytes may stay unsynced at most under [`SyncPolicy::EveryCommit`] when nobody waits for them.
    pub lazy_sync: Duration,
    pub cursor_budget: CursorBudget,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            segment_size: 128 << 20,
            compression: Compression::Snappy,
            sync: SyncPolicy::EveryCommit,
            lazy_sync: Duration::from_secs(5),
            cursor_budget: CursorBudget::default(),
        }
    }
}

/// The log of one directory. Shared by all writers and readers.
pub struct Wal {
    pub(crate) fs: SharedFs,
    pub(crate) dir: PathBuf,
    pub(crate) options: WalOptions,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: Metrics,
    pub(crate) cursors: Mutex<Cursors>,
    appender: Mutex<Appender>,
    /// Where this process began to write.
    began: LogPosition,
    tip: Mutex<Tip>,
    tip_moved: Condvar,
    /// Futures that wait for the tip to move. Taken after the tip's lock is let go of.
    tip_wakers: Mutex<Vec<Waker>>,
    sync: Mutex<SyncState>,
    synced: Condvar,
    packers: Mutex<Vec<Staging>>,
}

struct Appender {
    writer: SegmentWriter,
    /// The record that every segment begins with; empty: none.
    opening: Vec<u8>,
    /// Finished segments that nobody has synced yet.
    unsynced: Vec<Arc<dyn File>>,
    /// Segments created so far; the directory is synced up to `dir_synced` of them.
    created: u64,
    dir_synced: u64,
    /// Why nothing is written any more.
    broken: Option<String>,
    closed: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Tip {
    pub written: LogPosition,
    pub closed: bool,
}

struct SyncState {
    durable: LogPosition,
    leading: bool,
    last: Duration,
    broken: Option<String>,
}

/// Memory in which a commit is packed before the appender is locked.
struct Staging {
    packer: Packer,
    bytes: Vec<u8>,
    records: Vec<(usize, Compression)>,
}

/// So many bytes of packing memory are kept for the next commit.
const STAGING_KEPT_BYTES: usize = 4 << 20;

fn is_no_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

impl Wal {
    /// Opens the log in `dir`, which is made when missing. Fills gaps that a crash left, cuts a torn tail off the last segment and starts
    /// the next one.
    pub fn open(fs: SharedFs, dir: &Path, options: WalOptions, registry: &Registry, clock: SharedClock) -> Result<Wal, WalError> {
        if options.segment_size == 0 || !options.segment_size.is_multiple_of(PAGE) {
            return Err(WalError::Limit(format!("invalid segment size {}: want a multiple of {PAGE}", options.segment_size)));
        }
        fs.create_dir_all(dir).map_err(WalError::io(format!("create log directory {}", dir.display())))?;
        repair::fill_gaps(fs.as_ref(), dir)?;
        let segments = segment::list(fs.as_ref(), dir)?;
        if let Some(last) = segments.last() {
            repair::cut_torn_tail(&fs, last)?;
        }
        // What a killed process wrote and did not sync is taken for stored from now on: a repeat of it is acknowledged at once.
        for s in segments.iter().filter(|s| s.len > 0) {
            let file = fs.open(&s.path, Open::Read).map_err(WalError::io(format!("open segment {}", s.number)))?;
            file.sync_data().map_err(WalError::io(format!("sync segment {}", s.number)))?;
        }
        let covered = crate::checkpoint::last(fs.as_ref(), dir)?.map(|c| c.segment + 1);
        let number = segments.last().map(|s| s.number + 1).into_iter().chain(covered).max().unwrap_or(0);
        let writer = SegmentWriter::create(&fs, dir, number).map_err(WalError::io(format!("create segment {number}")))?;
        fs.sync_dir(dir).map_err(WalError::io(format!("sync log directory {}", dir.display())))?;
        let metrics = Metrics::new(registry);
        metrics.segment_current.set(number as f64);
        let start = LogPosition { segment: number, offset: 0 };
        let last = clock.monotonic();
        let wal = Wal {
            fs,
            dir: dir.to_path_buf(),
            options,
            clock,
            metrics,
            cursors: Mutex::default(),
            appender: Mutex::new(Appender {
                writer,
                opening: Vec::new(),
                unsynced: Vec::new(),
                created: 0,
                dir_synced: 0,
                broken: None,
                closed: false,
            }),
            began: start,
            tip: Mutex::new(Tip { written: start, closed: false }),
            tip_moved: Condvar::new(),
            tip_wakers: Mutex::default(),
            sync: Mutex::new(SyncState { durable: start, leading: false, last, broken: None }),
            synced: Condvar::new(),
            packers: Mutex::default(),
        };
        wal.measure();
        Ok(wal)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn fs(&self) -> &SharedFs {
        &self.fs
    }

    pub fn compression(&self) -> Compression {
        self.options.compression
    }

    /// Where this process began to write. What an earlier one wrote lies before it; a position behind it that an earlier one gave out names what a power cut took.
    pub fn began(&self) -> LogPosition {
        self.began
    }

    /// The end of what is written: readers see everything before it.
    pub fn end(&self) -> LogPosition {
        self.tip.lock().written
    }

    /// First and last segment that exist.
    pub fn segments(&self) -> Result<(u64, u64), WalError> {
        let list = segment::list(self.fs.as_ref(), &self.dir)?;
        match (list.first(), list.last()) {
            (Some(a), Some(b)) => Ok((a.number, b.number)),
            _ => Err(WalError::Gap(format!("log directory {} has no segments", self.dir.display()))),
        }
    }

    /// Writes all records of a commit. See [`Wal::log_records`].
    pub fn log(&self, records: &Records) -> Result<LogPosition, WalError> {
        self.log_records(records.iter())
    }

    /// Writes records, all into one segment with one write, or none of them. Returns the position behind them. Empty records are allowed.
    ///
    /// [`WalError::NoSpace`] and [`WalError::Io`]: nothing was written, the same call may work later. Anything else stays.
    pub fn log_records<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Result<LogPosition, WalError> {
        let mut staging = self.packers.lock().pop().unwrap_or_else(|| Staging { packer: Packer::new(), bytes: Vec::new(), records: Vec::new() });
        let result = self.pack(records, &mut staging).and_then(|bound| self.append(&staging, bound));
        staging.bytes.clear();
        staging.records.clear();
        if staging.bytes.capacity() <= STAGING_KEPT_BYTES {
            self.packers.lock().push(staging);
        }
        if result.is_err() {
            self.metrics.writes_failed.inc();
        }
        result
    }

    /// Packs the records outside of any lock; returns how many bytes they take at most.
    fn pack<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>, staging: &mut Staging) -> Result<u64, WalError> {
        let (mut bound, mut saved) = (0, 0);
        for record in records {
            let start = staging.bytes.len();
            let how = staging.packer.pack(record, self.options.compression, &mut staging.bytes).map_err(WalError::io("compress a log record"))?;
            let len = staging.bytes.len() - start;
            saved += record.len() - len;
            bound += framed_bound(len);
            staging.records.push((len, how));
        }
        if self.options.compression != Compression::None {
            self.metrics.record_bytes_saved.with(&[self.options.compression.as_str()]).add(saved as u64);
        }
        Ok(bound)
    }

    fn append(&self, staging: &Staging, bound: u64) -> Result<LogPosition, WalError> {
        let mut a = self.appender.lock();
        a.check()?;
        if a.writer.end > 0 && a.writer.end + bound > self.options.segment_size {
            self.switch(&mut a)?;
        }
        let mut framed = Framed::default();
        if a.writer.end == 0 && !a.opening.is_empty() {
            let Appender { writer, opening, .. } = &mut *a;
            writer.stage(opening, Compression::None, &mut framed);
        }
        let mut at = 0;
        for (len, how) in &staging.records {
            a.writer.stage(&staging.bytes[at..at + len], *how, &mut framed);
            at += len;
        }
        let before = a.writer.end;
        if let Err((error, cut)) = a.writer.write() {
            return Err(self.failed_write(&mut a, error, cut));
        }
        self.metrics.record_part_writes.add(framed.fragments);
        self.metrics.record_part_bytes.add(framed.bytes);
        self.metrics.completed_pages.add(framed.pages_completed);
        self.metrics.page_flushes.inc();
        self.metrics.storage_size.add((a.writer.end - before) as f64);
        let end = LogPosition { segment: a.writer.number, offset: a.writer.end };
        self.move_tip(end);
        Ok(end)
    }

    fn failed_write(&self, a: &mut Appender, error: io::Error, cut: Option<io::Error>) -> WalError {
        let no_space = is_no_space(&error);
        if no_space && cut.is_none() {
            return WalError::NoSpace(Arc::new(error));
        }
        let why = match cut {
            Some(cut) => format!("write segment {}: {error}; and cutting back the part that was written: {cut}", a.writer.number),
            None => format!("write segment {}: {error}", a.writer.number),
        };
        tracing::error!(error = %why, "log is broken, nothing is written until restart");
        a.broken = Some(why.clone());
        drop_in(&self.sync, &why);
        self.synced.notify_all();
        WalError::Broken(why)
    }

    /// Goes on in a new segment; returns its number. For checkpoints that want everything before it.
    pub fn next_segment(&self) -> Result<u64, WalError> {
        let mut a = self.appender.lock();
        a.check()?;
        self.switch(&mut a)?;
        Ok(a.writer.number)
    }

    fn switch(&self, a: &mut Appender) -> Result<(), WalError> {
        let number = a.writer.number + 1;
        let next = SegmentWriter::create(&self.fs, &self.dir, number).map_err(|e| match is_no_space(&e) {
            true => WalError::NoSpace(Arc::new(e)),
            false => WalError::io(format!("create segment {number}"))(e),
        })?;
        a.writer.stage_padding();
        // Without the padding the segment is as readable; there may be no room for it.
        if let Err((e, Some(cut))) = a.writer.write() {
            return Err(self.failed_write(a, e, Some(cut)));
        }
        a.unsynced.push(a.writer.sync_handle());
        a.writer = next;
        a.created += 1;
        self.metrics.segment_current.set(number as f64);
        self.move_tip(LogPosition { segment: number, offset: 0 });
        Ok(())
    }

    /// Lets every segment from here on begin with this record. A segment that has something else in it already is ended.
    pub fn set_opening(&self, record: &[u8]) -> Result<(), WalError> {
        let mut a = self.appender.lock();
        a.check()?;
        if a.writer.end > 0 {
            self.switch(&mut a)?;
        }
        a.opening = record.to_vec();
        Ok(())
    }

    fn move_tip(&self, to: LogPosition) {
        self.tip.lock().written = to;
        self.wake_readers();
    }

    /// Returns when everything before `position` is as durable as the policy promises. Blocks on the disk under [`SyncPolicy::EveryCommit`].
    pub fn wait_durable(&self, position: LogPosition) -> Result<(), WalError> {
        let mut s = self.sync.lock();
        if let SyncPolicy::Interval(every) = self.options.sync {
            s.check()?;
            let due = s.durable < position && !s.leading && self.clock.monotonic().saturating_sub(s.last) >= every;
            return if due { self.lead(&mut s) } else { Ok(()) };
        }
        loop {
            if s.durable >= position {
                return Ok(());
            }
            s.check()?;
            if self.options.sync == SyncPolicy::None {
                return Ok(());
            }
            if s.leading {
                self.synced.wait(&mut s);
            } else {
                self.lead(&mut s)?;
            }
        }
    }

    /// Syncs everything that is written so far, whatever the policy.
    pub fn sync(&self) -> Result<(), WalError> {
        let end = self.end();
        let mut s = self.sync.lock();
        loop {
            if s.durable >= end {
                return Ok(());
            }
            s.check()?;
            if s.leading {
                self.synced.wait(&mut s);
            } else {
                self.lead(&mut s)?;
            }
        }
    }

    /// Syncs what the policy left unsynced for too long. Call it about once a second.
    pub fn sync_if_due(&self) -> Result<(), WalError> {
        let after = match self.options.sync {
            SyncPolicy::EveryCommit => Some(self.options.lazy_sync),
            SyncPolicy::Interval(every) => Some(every),
            SyncPolicy::None => None,
        };
        let finished = !self.appender.lock().unsynced.is_empty();
        let end = self.end();
        let mut s = self.sync.lock();
        s.check()?;
        let old = after.is_some_and(|after| s.durable < end && self.clock.monotonic().saturating_sub(s.last) >= after);
        if s.leading || !(old || finished) {
            return Ok(());
        }
        self.lead(&mut s)
    }

    /// Syncs for everyone: releases the lock meanwhile, then says how far the disk is.
    fn lead(&self, s: &mut parking_lot::MutexGuard<'_, SyncState>) -> Result<(), WalError> {
        s.leading = true;
        let result = parking_lot::MutexGuard::unlocked(s, || self.sync_files());
        s.leading = false;
        s.last = self.clock.monotonic();
        let out = match result {
            Ok(durable) => {
                s.durable = s.durable.max(durable);
                s.check()
            }
            Err(e) => {
                let why = format!("sync the log: {e}");
                tracing::error!(error = %why, "log is broken, nothing is written until restart");
                s.broken.get_or_insert(why.clone());
                parking_lot::MutexGuard::unlocked(s, || {
                    self.appender.lock().broken.get_or_insert(why.clone());
                });
                Err(WalError::Broken(why))
            }
        };
        self.synced.notify_all();
        out
    }

    fn sync_files(&self) -> io::Result<LogPosition> {
        let (end, current, finished, created, dir_synced) = {
            let a = self.appender.lock();
            let end = LogPosition { segment: a.writer.number, offset: a.writer.end };
            (end, a.writer.sync_handle(), a.unsynced.clone(), a.created, a.dir_synced)
        };
        let started = self.clock.monotonic();
        for file in &finished {
            file.sync_data()?;
        }
        current.sync_data()?;
        if created > dir_synced {
            self.fs.sync_dir(&self.dir)?;
        }
        self.metrics.fsync_seconds.observe(self.clock.monotonic().saturating_sub(started).as_secs_f64());
        let mut a = self.appender.lock();
        a.unsynced.drain(..finished.len());
        a.dir_synced = a.dir_synced.max(created);
        Ok(end)
    }

    /// Waits until something is written behind `position`, the log is closed, or the time is over.
    pub(crate) fn wait_beyond(&self, position: LogPosition, timeout: Duration) -> Tip {
        let mut tip = self.tip.lock();
        self.tip_moved.wait_while_for(&mut tip, |t| t.written <= position && !t.closed, timeout);
        *tip
    }

    /// Lets every waiting [`crate::Tail`] look at its shutdown signal.
    pub fn wake_readers(&self) {
        self.tip_moved.notify_all();
        let wakers = std::mem::take(&mut *self.tip_wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Completes when something is written beyond `position`, or the log is closed. For readers that may not block. Cancel-safe.
    pub fn written_beyond(&self, position: LogPosition) -> WrittenBeyond<'_> {
        WrittenBeyond { wal: self, position }
    }

    /// Syncs and closes. Later writes fail with [`WalError::Closed`]; readers may go on to the end.
    pub fn close(&self) -> Result<(), WalError> {
        {
            let mut a = self.appender.lock();
            if a.closed {
                return Ok(());
            }
            a.closed = true;
            if a.broken.is_none() && a.writer.end > 0 {
                a.writer.stage_padding();
                if let Err((e, Some(cut))) = a.writer.write() {
                    return Err(self.failed_write(&mut a, e, Some(cut)));
                }
                let end = LogPosition { segment: a.writer.number, offset: a.writer.end };
                self.move_tip(end);
            }
        }
        let result = self.sync();
        self.tip.lock().closed = true;
        self.wake_readers();
        result
    }

    /// Sums up the directory for the size metric.
    pub(crate) fn measure(&self) {
        let mut bytes = 0;
        for entry in self.fs.list(&self.dir).unwrap_or_default() {
            bytes += match entry.is_dir {
                true => self.fs.list(&self.dir.join(&entry.name)).unwrap_or_default().iter().map(|e| e.len).sum(),
                false => entry.len,
            };
        }
        self.metrics.storage_size.set(bytes as f64);
    }
}

/// See [`Wal::written_beyond`].
pub struct WrittenBeyond<'a> {
    wal: &'a Wal,
    position: LogPosition,
}

impl Future for WrittenBeyond<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            // The waker first: what is written after the look wakes it.
            let mut wakers = self.wal.tip_wakers.lock();
            if !wakers.iter().any(|w| w.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
        }
        let tip = *self.wal.tip.lock();
        if tip.written > self.position || tip.closed { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn drop_in(sync: &Mutex<SyncState>, why: &str) {
    sync.lock().broken.get_or_insert_with(|| why.to_string());
}

impl Appender {
    fn check(&self) -> Result<(), WalError> {
        match &self.broken {
            Some(why) => Err(WalError::Broken(why.clone())),
            None if self.closed => Err(WalError::Closed),
            None => Ok(()),
        }
    }
}

impl SyncState {
    fn check(&self) -> Result<(), WalError> {
        match &self.broken {
            Some(why) => Err(WalError::Broken(why.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
