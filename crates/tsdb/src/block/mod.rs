//! Blocks: directories of chunks and an index that never change once they are in place.
//!
//! [`Block`] opens one and reads it; damage stays where it is: a series or chunk that cannot be read costs itself and is reported as a warning,
//! a block whose index cannot be read at all is an error for whoever opens it. [`writer`] makes one from sorted series.

pub mod error;
pub mod segments;
pub mod selection;
pub mod sink;
pub mod ulid;
pub mod writer;

pub use error::BlockError;
pub use selection::BlockSelection;
pub use ulid::Ulid;
pub use writer::{BlockWriter, SeriesOut, SeriesSource};

use crate::chunkenc::ChunkEncoding;
use crate::index::{ChunkMeta, IndexReader, select};
use crate::meta::BlockMeta;
use crate::tombstones::{Interval, Tombstones};
use model::{Labels, LabelsRef, Matcher};
use parking_lot::{Mutex, RwLock};
use segments::SegmentReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::SharedFs;

pub const INDEX_NAME: &str = "index";
pub const CHUNKS_DIR: &str = "chunks";
/// Added to a directory's name while a block is written; such directories are removed at the start.
pub const CREATION_SUFFIX: &str = ".tmp-for-creation";
/// Added to a directory's name before it is removed; likewise.
pub const DELETION_SUFFIX: &str = ".tmp-for-deletion";

pub struct Block {
    fs: SharedFs,
    dir: PathBuf,
    meta: RwLock<Arc<BlockMeta>>,
    index: IndexReader,
    segments: SegmentReader,
    tombstones: RwLock<Arc<Tombstones>>,
    /// What was found damaged when it was opened.
    problems: Vec<String>,
    /// One change of tombstones at a time.
    change: Mutex<()>,
}

impl Block {
    /// Maps the files and checks the index' tables. Damaged tombstones are an error: without them deleted samples would come back.
    pub fn open(fs: &SharedFs, dir: &Path) -> Result<Arc<Block>, BlockError> {
        let meta = BlockMeta::read(&**fs, dir)?;
        let index_path = dir.join(INDEX_NAME);
        let mapped = fs.map(&index_path).map_err(BlockError::io("map", &index_path))?;
        let index = IndexReader::open(mapped, &index_path)?;
        let (segments, problems) = SegmentReader::open(&**fs, &dir.join(CHUNKS_DIR))?;
        for what in &problems {
            tracing::error!(block = %meta.ulid, problem = %what, "chunk segment cannot be read");
        }
        let tombstones = Tombstones::read(&**fs, dir)?;
        Ok(Arc::new(Block {
            fs: fs.clone(),
            dir: dir.to_path_buf(),
            meta: RwLock::new(Arc::new(meta)),
            index,
            segments,
            tombstones: RwLock::new(Arc::new(tombstones)),
            problems,
            change: Mutex::new(()),
        }))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn meta(&self) -> Arc<BlockMeta> {
        self.meta.read().clone()
    }

    pub fn ulid(&self) -> Ulid {
        self.meta.read().ulid
    }

    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    pub fn tombstones(&self) -> Arc<Tombstones> {
        self.tombstones.read().clone()
    }

    /// Bytes on the disk: index, chunks, meta and tombstones.
    pub fn size_bytes(&self) -> u64 {
        let small = [crate::meta::FILE_NAME, crate::tombstones::FILE_NAME].iter().map(|n| self.fs.len(&self.dir.join(n)).unwrap_or(0));
        self.index.size_bytes() + self.segments.size_bytes() + small.sum::<u64>()
    }

    /// Bytes of memory that symbols and look-up tables take.
    pub fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    /// A chunk's encoding and data, checked.
    #[inline]
    pub fn chunk(&self, reference: u64) -> Result<(ChunkEncoding, &[u8]), BlockError> {
        self.segments.chunk(reference)
    }

    /// References of the series that fit all matchers. When a list of references is damaged all series are looked at instead.
    pub fn references(&self, matchers: &[Matcher]) -> Result<(Vec<u32>, Option<String>), BlockError> {
        match select::select(&self.index, matchers) {
            Ok(refs) => Ok((refs, None)),
            Err(e) if e.is_corrupt() => {
                let warning = format!("block {}: {e}; all series were searched instead", self.ulid());
                Ok((self.scan(matchers), Some(warning)))
            }
            Err(e) => Err(e),
        }
    }

    /// Looks at every series that some list of references still names.
    fn scan(&self, matchers: &[Matcher]) -> Vec<u32> {
        let mut all = match self.index.all_postings() {
            Ok(list) => list.into_vec(),
            Err(_) => self.references_from_lists(),
        };
        let mut labels = Vec::new();
        all.retain(|r| {
            labels.clear();
            self.index.labels(*r, &mut labels).is_ok() && matchers.iter().all(|m| m.matches_labels(LabelsRef::from_encoded(&labels)))
        });
        all
    }

    fn references_from_lists(&self) -> Vec<u32> {
        let mut all = Vec::new();
        for name in self.index.label_names() {
            let walked = self.index.each_value(name, "", |_, offset| {
                if let Ok(list) = self.index.postings_at(offset) {
                    list.append_to(&mut all);
                }
                std::ops::ControlFlow::Continue(())
            });
            if let Err(e) = walked {
                tracing::warn!(block = %self.ulid(), error = %e, "values of a label cannot be read");
            }
            all.sort();
            all.dedup();
        }
        all
    }

    /// Series with samples between `start_ms` and `end_ms`, both included, that fit all matchers, sorted by labels. `limit` 0 means all.
    pub fn select(self: &Arc<Self>, start_ms: i64, end_ms: i64, matchers: &[Matcher], limit: usize) -> Result<BlockSelection, BlockError> {
        BlockSelection::new(self.clone(), start_ms, end_ms, matchers, limit)
    }

    /// Marks the samples from `start_ms` to `end_ms`, both included, of all fitting series as deleted. Durable when it returns. Returns how many
    /// series it touched.
    pub fn delete(&self, start_ms: i64, end_ms: i64, matchers: &[Matcher]) -> Result<u64, BlockError> {
        let _one = self.change.lock();
        let (refs, _) = self.references(matchers)?;
        let mut stones = (*self.tombstones()).clone();
        let mut touched = 0;
        let mut chunks = Vec::new();
        for r in refs {
            chunks.clear();
            self.index.chunks(r, &mut chunks)?;
            let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { continue };
            if chunks.iter().any(|c| c.overlaps(start_ms, end_ms)) {
                let interval = Interval { mint_ms: start_ms.max(first.mint_ms), maxt_ms: end_ms.min(last.maxt_ms) };
                stones.add(u64::from(r), interval);
                touched += 1;
            }
        }
        if touched == 0 {
            return Ok(0);
        }
        stones.write(&*self.fs, &self.dir)?;
        let mut meta = (*self.meta()).clone();
        meta.stats.num_tombstones = stones.count();
        *self.tombstones.write() = Arc::new(stones);
        meta.write(&*self.fs, &self.dir)?;
        *self.meta.write() = Arc::new(meta);
        Ok(touched)
    }

    /// Changes the meta file: for marks like "failed" or "deletable".
    pub fn update_meta(&self, change: impl FnOnce(&mut BlockMeta)) -> Result<(), BlockError> {
        let _one = self.change.lock();
        let mut meta = (*self.meta()).clone();
        change(&mut meta);
        meta.write(&*self.fs, &self.dir)?;
        *self.meta.write() = Arc::new(meta);
        Ok(())
    }

    /// Makes the block appear in another directory too: hard links of the large files, copies of the small ones.
    pub fn snapshot(&self, into: &Path) -> Result<(), BlockError> {
        let to = into.join(self.ulid().to_string());
        let chunks = to.join(CHUNKS_DIR);
        let fs = &*self.fs;
        fs.create_dir_all(&chunks).map_err(BlockError::io("create", &chunks))?;
        let from_chunks = self.dir.join(CHUNKS_DIR);
        for e in fs.list(&from_chunks).map_err(BlockError::io("list", &from_chunks))? {
            let path = chunks.join(&e.name);
            fs.hard_link(&from_chunks.join(&e.name), &path).map_err(BlockError::io("link", &path))?;
        }
        let path = to.join(INDEX_NAME);
        fs.hard_link(&self.dir.join(INDEX_NAME), &path).map_err(BlockError::io("link", &path))?;
        self.meta().write(fs, &to)?;
        self.tombstones().write(fs, &to)?;
        fs.sync_dir(&chunks).map_err(BlockError::io("sync", &chunks))?;
        fs.sync_dir(&to).map_err(BlockError::io("sync", &to))?;
        fs.sync_dir(into).map_err(BlockError::io("sync", into))
    }

    /// Labels and chunks of a series.
    pub fn series(&self, reference: u32) -> Result<(Labels, Vec<ChunkMeta>), BlockError> {
        let (mut labels, mut chunks) = (Vec::new(), Vec::new());
        self.index.series(reference, &mut labels, &mut chunks)?;
        Ok((LabelsRef::from_encoded(&labels).to_labels(), chunks))
    }
}

/// Takes a block's directory away, in a way that a crash leaves either the block or something that is removed at the next start.
pub fn remove_dir(fs: &SharedFs, dir: &Path) -> Result<(), BlockError> {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(DELETION_SUFFIX);
    let gone = dir.with_file_name(name);
    if fs.exists(&gone) {
        fs.remove_dir_all(&gone).map_err(BlockError::io("remove", &gone))?;
    }
    fs.rename(dir, &gone).map_err(BlockError::io("rename", dir))?;
    if let Some(parent) = dir.parent() {
        fs.sync_dir(parent).map_err(BlockError::io("sync", parent))?;
    }
    fs.remove_dir_all(&gone).map_err(BlockError::io("remove", &gone))
}

/// Directories in `data_dir` that are named like blocks, and leftovers of blocks that were being written or removed.
pub fn list_dirs(fs: &SharedFs, data_dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), BlockError> {
    let (mut blocks, mut leftovers) = (Vec::new(), Vec::new());
    for e in fs.list(data_dir).map_err(BlockError::io("list", data_dir))?.into_iter().filter(|e| e.is_dir) {
        let stem = e.name.split('.').next().unwrap_or("");
        if stem.parse::<Ulid>().is_err() {
            continue;
        }
        let path = data_dir.join(&e.name);
        if e.name.ends_with(CREATION_SUFFIX) || e.name.ends_with(DELETION_SUFFIX) || e.name.ends_with(".tmp") {
            leftovers.push(path);
        } else if stem == e.name {
            blocks.push(path);
        }
    }
    Ok((blocks, leftovers))
}

#[cfg(test)]
#[path = "block_tests.rs"]
pub(crate) mod tests;
