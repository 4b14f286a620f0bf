//! What happens without being asked for: head to blocks, blocks to larger ones, the old to nothing, the log cut behind it all.
//!
//! A crash at any step leaves something that is right. A block is in place before the head forgets its samples and before the log is cut;
//! samples that are in both are the same and read once.

use super::{Db, DbError, open};
use crate::block::{self, Block, BlockError, BlockWriter, Ulid};
use crate::compact::{self, DelayFile, Limits, Why};
use crate::head::series::range_end;
use crate::head::source::{InOrderSource, LateSource};
use crate::meta::{BlockMeta, HINT_OUT_OF_ORDER};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stdx::shutdown::Shutdown;
use wal::{WalError, checkpoint};

/// How often the maintenance thread looks.
const TICK: Duration = Duration::from_secs(1);
/// How often blocks are looked through for compaction and retention.
const COMPACT_EVERY: Duration = Duration::from_secs(60);
/// After a failure compaction is tried again so much later, and then twice as late each time, up to the second.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The maintenance thread.
pub(super) fn run(db: &Weak<Db>, shutdown: &Shutdown) {
    let (mut next, mut retry) = (Duration::ZERO, RETRY_FIRST);
    while !shutdown.wait_timeout(TICK) {
        let Some(db) = db.upgrade() else { return };
        db.tick();
        if !db.is_ready() {
            continue;
        }
        let now = db.options.clock.monotonic();
        if now < next && !db.is_head_compactable() {
            continue;
        }
        match db.maintain() {
            Ok(()) => (next, retry) = (now + COMPACT_EVERY, RETRY_FIRST),
            Err(e) => {
                tracing::error!(error = %e, "compaction failed");
                next = now + retry;
                if shutdown.wait_timeout(retry) {
                    return;
                }
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

impl Db {
    /// The small things of every second: late syncs, slots that are free again, gauges.
    pub fn tick(&self) {
        for log in [&self.logs().wal, &self.logs().wbl] {
            if let Err(e) = log.sync_if_due()
                && self.head.refused().is_none()
            {
                self.head.refuse(e.to_string());
            }
        }
        self.head.release_unread();
        self.head.isolation.tidy();
        if self.is_ready() {
            self.note_births();
        }
        self.measure();
    }

    fn measure(&self) {
        let m = &self.metrics;
        let (min, max) = (self.head.min_ms().unwrap_or(0), self.head.max_ms().unwrap_or(0));
        m.head_min_time.set(min as f64);
        m.head_max_time.set(max as f64);
        m.head_min_time_seconds.set((min / 1000) as f64);
        m.head_max_time_seconds.set((max / 1000) as f64);
        m.head_chunks_bytes.set(self.head.full.size_bytes() as f64);
        let lowest = self.oldest_ms().unwrap_or(0);
        m.lowest_timestamp.set(lowest as f64);
        m.lowest_timestamp_seconds.set((lowest / 1000) as f64);
    }

    /// Everything that is due, now. Called by the maintenance thread; a simulation calls it itself.
    pub fn maintain(&self) -> Result<(), DbError> {
        let _one = self.change.lock();
        if !self.compactions.load(Ordering::Relaxed) {
            self.metrics.compactions_skipped.inc();
            return self.reload();
        }
        self.metrics.compactions_triggered.inc();
        let mut head_written = false;
        while self.is_head_compactable() && !self.shutdown.is_requested() {
            self.compact_head()?;
            head_written = true;
        }
        let late = self.head.late_samples();
        // Its log may also hold what turned out not to be late.
        if (head_written && (late > 0 || self.has_late_log())) || late > self.options.head.max_late_samples {
            self.compact_late()?;
        }
        if head_written {
            self.truncate_log()?;
        }
        self.reload()?;
        self.compact_blocks()
    }

    fn has_late_log(&self) -> bool {
        let segments = wal::segment::list(self.options.fs.as_ref(), self.logs().wbl.dir()).unwrap_or_default();
        segments.iter().any(|s| s.len > 0)
    }

    /// Does the head span so much that a block can be cut from it while the newest samples stay?
    pub fn is_head_compactable(&self) -> bool {
        match (self.head.min_ms(), self.head.max_ms()) {
            (Some(min), Some(max)) => max.saturating_sub(min) > self.head.range_ms() / 2 * 3,
            _ => false,
        }
    }

    pub(super) fn new_ulid(&self) -> Ulid {
        let (rand, last) = &mut *self.ulids.lock();
        let next = Ulid::new(self.options.clock.now_ms(), rand);
        // A clock that stands still or steps back must not put a new block before an old one.
        *last = if next > *last { next } else { Ulid(last.0 + 1) };
        *last
    }

    fn writer(&self) -> BlockWriter {
        BlockWriter::new(Arc::clone(&self.options.fs))
    }

    fn written(&self, kind: &str, meta: &Option<BlockMeta>, started: Duration) {
        let took = self.options.clock.monotonic() - started;
        self.metrics.compactions.inc();
        self.metrics.compaction_seconds.observe(took.as_secs_f64());
        if let Some(m) = meta {
            tracing::info!(
                ulid = %m.ulid,
                mint = m.min_time_ms,
                maxt = m.max_time_ms,
                series = m.stats.num_series,
                samples = m.stats.num_samples,
                duration = ?took,
                "wrote a block of {kind} samples"
            );
        }
    }

    fn observe_chunk(&self, c: &block::writer::WrittenChunk) {
        self.metrics.compaction_chunk_size.observe(c.size_bytes as f64);
        self.metrics.compaction_chunk_samples.observe(f64::from(c.samples));
        self.metrics.compaction_chunk_range.observe(c.span_ms as f64 / 1000.0);
    }

    fn failing<T>(&self, r: Result<T, BlockError>) -> Result<T, DbError> {
        r.map_err(|e| {
            self.metrics.compactions_failed.inc();
            DbError::Block(e)
        })
    }

    /// Writes the oldest range of the head as a block and forgets it there.
    fn compact_head(&self) -> Result<(), DbError> {
        let Some(min) = self.head.min_ms() else { return Ok(()) };
        let end = range_end(min, self.head.range_ms());
        self.write_head_block(&self.options.dir, end - 1, true)?;
        self.reload()?;
        self.forget(end);
        Ok(())
    }

    /// Takes what is before `end_ms` and in blocks now out of the head.
    fn forget(&self, end_ms: i64) {
        self.head.wait_for_readers(&self.shutdown);
        self.head.truncate(end_ms, self.wal().end().segment);
    }

    /// Writes in-order samples up to `maxt_ms` as a block. With `floor` nothing is in order any more that would belong to it.
    pub(super) fn write_head_block(&self, into: &std::path::Path, maxt_ms: i64, floor: bool) -> Result<Option<BlockMeta>, DbError> {
        let started = self.options.clock.monotonic();
        if floor {
            self.head.raise_floor(maxt_ms + 1);
        }
        let stop = || self.shutdown.is_requested();
        let mut source = InOrderSource::new(&self.head, i64::MIN, maxt_ms, &stop);
        let Some(oldest) = source.oldest_ms() else { return Ok(None) };
        let meta = compact::head_meta(self.new_ulid(), oldest, maxt_ms + 1, &[]);
        self.metrics.compaction_populating.set(1.0);
        let result = self.writer().write_observed(into, meta, &mut source, &mut |c| self.observe_chunk(c));
        self.metrics.compaction_populating.set(0.0);
        let meta = self.failing(result)?;
        self.written("in-order", &meta, started);
        Ok(meta)
    }

    /// Writes all late samples as blocks, one for each range, and forgets them in the head and in their log.
    pub(super) fn compact_late(&self) -> Result<(), DbError> {
        // What is logged before this point is in memory, and so in what is taken next.
        let segment = self.logs().wbl.next_segment()?;
        let taken = self.head.take_late();
        let metas = self.write_late_blocks(&self.options.dir, &taken)?;
        if !metas.is_empty() {
            self.reload()?;
        }
        self.head.wait_for_readers(&self.shutdown);
        self.head.drop_late(&taken);
        self.logs().wbl.truncate(segment)?;
        Ok(())
    }

    pub(super) fn write_late_blocks(&self, into: &std::path::Path, taken: &[crate::head::source::LateTaken]) -> Result<Vec<BlockMeta>, DbError> {
        let range = self.head.range_ms();
        let mut starts: Vec<i64> = Vec::new();
        for c in taken.iter().flat_map(|(_, _, chunks)| chunks) {
            let first = range_end(c.mint_ms, range) - range;
            starts.extend((first..=c.maxt_ms).step_by(usize::try_from(range).unwrap_or(usize::MAX)));
            if starts.len() > 1 << 16 {
                starts.sort_unstable();
                starts.dedup();
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let mut metas = Vec::new();
        for start in starts {
            let started = self.options.clock.monotonic();
            let stop = || self.shutdown.is_requested();
            let mut source = LateSource::new(&self.head, taken, start, start + range - 1, &stop);
            let meta = compact::head_meta(self.new_ulid(), start, start + range, &[HINT_OUT_OF_ORDER]);
            let meta = self.failing(self.writer().write(into, meta, &mut source))?;
            self.written("late", &meta, started);
            metas.extend(meta);
        }
        Ok(metas)
    }

    /// Sums up the older two thirds of the log in a checkpoint and removes them, but for what an uplink still needs.
    fn truncate_log(&self) -> Result<(), DbError> {
        let started = self.options.clock.monotonic();
        let wal = self.wal();
        let covered = checkpoint::last(self.options.fs.as_ref(), wal.dir())?.map_or(0, |c| c.segment + 1);
        let (first, _) = wal.segments()?;
        let first = first.max(covered);
        let last = wal.next_segment()?.saturating_sub(1);
        if last <= first {
            return Ok(());
        }
        let to = first + (last - first) * 2 / 3;
        if to <= first {
            return Ok(());
        }
        let head = &self.head;
        // Late samples below the floor may still be in their log.
        let deleted_from = head.late_range_ms().map_or(i64::MAX, |(a, _)| a).min(head.floor_ms());
        checkpoint::create(wal, to, (head.floor_ms(), deleted_from), false, |id| head.is_needed_by_log(id, to))?;
        wal.truncate(to + 1)?;
        if let Err(e) = checkpoint::remove_below(wal, to) {
            tracing::warn!(error = %e, "remove old checkpoints");
        }
        let (first, _) = wal.segments()?;
        head.forget_departed(first.saturating_sub(1).min(to));
        self.metrics.wal_truncate_seconds.observe((self.options.clock.monotonic() - started).as_secs_f64());
        Ok(())
    }

    /// Merges blocks as long as there is something to merge.
    fn compact_blocks(&self) -> Result<(), DbError> {
        let ranges = compact::block_ranges(self.options.min_block_ms, self.options.max_block_ms.max(self.options.min_block_ms));
        let delay = self.options.delay_compact_file.clone().map(|p| DelayFile::new(Arc::clone(&self.options.fs), p));
        while !self.shutdown.is_requested() && !self.is_head_compactable() {
            let blocks = self.blocks.load_full();
            // A block of late samples beside the head must not become part of one that says that the head had come so far.
            let floor = self.head.floor_ms();
            let beside_head = |m: &BlockMeta| m.has_hint(HINT_OUT_OF_ORDER) && m.max_time_ms > floor;
            let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|b| b.meta()).filter(|m| !beside_head(m)).collect();
            let chosen = match delay.as_ref().map(DelayFile::read) {
                Some(waits) => compact::plan(&metas, &ranges, &waits),
                None => compact::plan(&metas, &ranges, &|_| false),
            };
            if chosen.is_empty() {
                return Ok(());
            }
            let sources: Vec<Arc<Block>> = blocks.iter().filter(|b| chosen.contains(&b.ulid())).cloned().collect();
            if sources.windows(2).any(|w| w[1].meta().min_time_ms < w[0].meta().max_time_ms) {
                self.metrics.vertical_compactions.inc();
            }
            let started = self.options.clock.monotonic();
            let stop = || self.shutdown.is_requested();
            let result = compact::compact(&self.writer(), &self.options.dir, self.new_ulid(), &sources, &stop, &mut |c| self.observe_chunk(c));
            match result {
                Err(BlockError::Stopped) => return Ok(()),
                result => {
                    let meta = self.failing(result)?;
                    self.written("merged", &meta, started);
                }
            }
            self.reload()?;
        }
        Ok(())
    }

    /// Looks again at what blocks there are, and deletes those that may go.
    pub(super) fn reload(&self) -> Result<(), DbError> {
        self.metrics.reloads.inc();
        let result = self.try_reload();
        if result.is_err() {
            self.metrics.reload_failures.inc();
        }
        result
    }

    fn try_reload(&self) -> Result<(), DbError> {
        let (fs, dir) = (&self.options.fs, &self.options.dir);
        let known = self.blocks.load_full();
        let (dirs, _) = block::list_dirs(fs, dir)?;
        let mut blocks: Vec<Arc<Block>> = Vec::with_capacity(dirs.len());
        let mut bad = BTreeMap::new();
        for path in dirs {
            match known.iter().find(|b| b.dir() == path) {
                Some(b) => blocks.push(Arc::clone(b)),
                None => match Block::open(fs, &path) {
                    Ok(b) => blocks.push(b),
                    Err(e) => drop(bad.insert(open::name_of(&path), e.to_string())),
                },
            }
        }
        self.put_aside(bad);
        let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|b| b.meta()).collect();
        let mut gone: Vec<Ulid> = compact::superseded(&metas);
        blocks.retain(|b| !gone.contains(&b.ulid()));
        let sized: Vec<(Arc<BlockMeta>, u64)> = blocks.iter().map(|b| (b.meta(), b.size_bytes())).collect();
        let limits =
            Limits { time_ms: self.retention_time_ms.load(Ordering::Relaxed), size_bytes: self.retention_bytes(), used_bytes: self.head_bytes() };
        let old = compact::beyond_retention(&sized, limits);
        if old.iter().any(|(_, why)| *why == Why::TooOld) {
            self.metrics.time_retentions.inc();
        }
        if old.iter().any(|(_, why)| *why == Why::TooLarge) {
            self.metrics.size_retentions.inc();
        }
        gone.extend(old.iter().map(|(ulid, _)| *ulid));
        blocks.retain(|b| !gone.contains(&b.ulid()));
        blocks.sort_by_key(|b| (b.meta().min_time_ms, b.ulid()));
        self.metrics.blocks_loaded.set(blocks.len() as f64);
        self.metrics.blocks_bytes.set(sized.iter().filter(|(m, _)| !gone.contains(&m.ulid)).map(|(_, n)| n).sum::<u64>() as f64);
        self.metrics.symbol_table_bytes.set(blocks.iter().map(|b| b.memory_bytes()).sum::<usize>() as f64);
        self.blocks.store(Arc::new(blocks));
        for ulid in gone {
            tracing::info!(block = %ulid, "deleting an obsolete block");
            block::remove_dir(fs, &dir.join(ulid.to_string()))?;
        }
        self.measure();
        Ok(())
    }

    /// Tells of blocks that cannot be opened, each once.
    pub(super) fn put_aside(&self, bad: BTreeMap<String, String>) {
        let mut known = self.set_aside.lock();
        for (block, error) in bad.iter().filter(|(b, _)| !known.contains_key(*b)) {
            tracing::error!(block, error, "block cannot be opened; it is set aside and the rest is served");
        }
        self.metrics.blocks_set_aside.set(bad.len() as f64);
        *known = bad;
    }

    /// Bytes of the logs and of full chunks of the head.
    pub fn head_bytes(&self) -> u64 {
        let dir_bytes = |name: &str| -> u64 {
            let list = self.options.fs.list(&self.options.dir.join(name)).unwrap_or_default();
            list.iter().map(|e| e.len).sum()
        };
        dir_bytes(open::WAL_DIR) + dir_bytes(open::WBL_DIR) + self.head.full.size_bytes()
    }

    /// Writes the whole head as blocks and cuts the log: what a migration or a test wants, not what a running server needs.
    pub fn flush_head(&self) -> Result<(), DbError> {
        let _one = self.change.lock();
        while let (Some(min), Some(max)) = (self.head.min_ms(), self.head.max_ms()) {
            let end = range_end(min, self.head.range_ms());
            if min > max || self.head.floor_ms() > max {
                break;
            }
            self.write_head_block(&self.options.dir, end - 1, true)?;
            self.reload()?;
            self.forget(end);
        }
        if self.head.late_samples() > 0 || self.has_late_log() {
            self.compact_late()?;
        }
        match self.truncate_log() {
            Err(DbError::Log(WalError::Gap(_))) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
