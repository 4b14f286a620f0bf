//! What an operator asks for: deleting series, dropping what was deleted, snapshots.

use super::{Db, DbError};
use crate::compact;
use model::Matcher;
use std::path::Path;

impl Db {
    fn check_complete(&self) -> Result<(), DbError> {
        if self.is_ready() { Ok(()) } else { Err(DbError::NotReady) }
    }

    /// Marks the samples from `start_ms` to `end_ms`, both included, of all series that fit as deleted. They are not answered any more when it
    /// returns, and still on the disk.
    pub fn delete_series(&self, start_ms: i64, end_ms: i64, matchers: &[Matcher]) -> Result<u64, DbError> {
        self.check_complete()?;
        let _one = self.change.lock();
        let mut n = 0;
        for b in self.blocks.load().iter().filter(|b| b.meta().overlaps(start_ms, end_ms)) {
            n += b.delete(start_ms, end_ms, matchers)?;
        }
        Ok(n + self.head.delete(start_ms, end_ms, matchers)?)
    }

    /// Writes all blocks with deleted samples again without them.
    pub fn clean_tombstones(&self) -> Result<(), DbError> {
        self.check_complete()?;
        let _one = self.change.lock();
        let started = self.options.clock.monotonic();
        let stop = || self.shutdown.is_requested();
        let writer = crate::block::BlockWriter::new(std::sync::Arc::clone(&self.options.fs));
        for b in self.blocks.load_full().iter().filter(|b| !b.tombstones().is_empty()) {
            let ulid = self.new_ulid();
            compact::clean_tombstones(&writer, &self.options.dir, ulid, b, &stop)?;
        }
        self.reload()?;
        self.metrics.tombstone_cleanup_seconds.observe((self.options.clock.monotonic() - started).as_secs_f64());
        Ok(())
    }

    /// Makes a copy in `into`, which must not be inside the data directory's blocks: hard links of all blocks, and the head as blocks of its own
    /// unless it is left out. The log is not part of it.
    pub fn snapshot(&self, into: &Path, skip_head: bool) -> Result<(), DbError> {
        if into == self.options.dir {
            return Err(DbError::Invalid(format!("cannot snapshot into base directory {}", into.display())));
        }
        self.check_complete()?;
        let _one = self.change.lock();
        self.options.fs.create_dir_all(into).map_err(DbError::io(format!("create {}", into.display())))?;
        for b in self.blocks.load().iter() {
            b.snapshot(into)?;
        }
        if skip_head {
            return Ok(());
        }
        if let Some(max) = self.head.max_ms() {
            self.write_head_block(into, max, false)?;
        }
        let late = self.head.take_late();
        self.write_late_blocks(into, &late)?;
        self.options.fs.sync_dir(into).map_err(DbError::io(format!("sync {}", into.display())))
    }
}
