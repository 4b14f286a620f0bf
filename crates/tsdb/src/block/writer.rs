//! Makes a block: everything is written and synced into `<ulid>.tmp-for-creation`, then the directory gets its name. A crash leaves the whole
//! block or something that is removed at the next start.

use super::segments::{DEFAULT_SEGMENT_BYTES, SegmentWriter};
use super::{BlockError, CHUNKS_DIR, CREATION_SUFFIX, INDEX_NAME};
use crate::chunkenc::{self, ChunkEncoding};
use crate::index::writer::SymbolSet;
use crate::index::{ChunkMeta, IndexWriter};
use crate::meta::{BlockMeta, BlockStats};
use crate::tombstones::Tombstones;
use model::LabelsRef;
use std::ops::Range;
use std::path::Path;
use stdx::fs::SharedFs;

/// A series on its way into a block. Reused from series to series.
#[derive(Clone, Debug, Default)]
pub struct SeriesOut {
    labels: Vec<u8>,
    chunks: Vec<ChunkOut>,
    data: Vec<u8>,
}

#[derive(Clone, Debug)]
struct ChunkOut {
    mint_ms: i64,
    maxt_ms: i64,
    encoding: ChunkEncoding,
    data: Range<usize>,
}

impl SeriesOut {
    pub fn clear(&mut self) {
        self.labels.clear();
        self.chunks.clear();
        self.data.clear();
    }

    pub fn set_labels(&mut self, labels: LabelsRef<'_>) {
        self.labels.clear();
        self.labels.extend_from_slice(labels.encoded());
    }

    pub fn labels(&self) -> LabelsRef<'_> {
        LabelsRef::from_encoded(&self.labels)
    }

    /// Adds a chunk whose first and last samples are at these times. Chunks come in rising order of time and do not overlap.
    pub fn push_chunk(&mut self, mint_ms: i64, maxt_ms: i64, encoding: ChunkEncoding, data: &[u8]) {
        let start = self.data.len();
        self.data.extend_from_slice(data);
        self.chunks.push(ChunkOut { mint_ms, maxt_ms, encoding, data: start..self.data.len() });
    }

    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Times, encoding and data of each chunk.
    pub fn chunks(&self) -> impl Iterator<Item = (i64, i64, ChunkEncoding, &[u8])> {
        self.chunks.iter().map(|c| (c.mint_ms, c.maxt_ms, c.encoding, &self.data[c.data.clone()]))
    }
}

/// Where the series of a new block come from.
pub trait SeriesSource {
    /// Called once, before the first series: adds every label name and value that [`SeriesSource::next`] will give. More do no harm.
    fn symbols(&mut self, symbols: &mut SymbolSet) -> Result<(), BlockError>;

    /// Fills the cleared `out` with the next series in order of labels; false when there is none. A series without chunks is left out of the block.
    fn next(&mut self, out: &mut SeriesOut) -> Result<bool, BlockError>;
}

/// Told about every chunk written, for metrics.
pub type OnChunk<'a> = &'a mut dyn FnMut(&WrittenChunk);

#[derive(Clone, Copy, Debug)]
pub struct WrittenChunk {
    pub size_bytes: usize,
    pub samples: u16,
    /// From first to last sample.
    pub span_ms: i64,
}

pub struct BlockWriter {
    pub fs: SharedFs,
    /// Chunk segments are at most this long.
    pub segment_bytes: u64,
}

impl BlockWriter {
    pub fn new(fs: SharedFs) -> Self {
        BlockWriter { fs, segment_bytes: DEFAULT_SEGMENT_BYTES }
    }

    /// Writes `data_dir/<ulid>` with the meta's ulid, times and compaction; its stats are filled in. Returns the meta, or None (and writes nothing)
    /// when there are no samples. After an error nothing is left in place.
    pub fn write(&self, data_dir: &Path, meta: BlockMeta, source: &mut dyn SeriesSource) -> Result<Option<BlockMeta>, BlockError> {
        self.write_observed(data_dir, meta, source, &mut |_| {})
    }

    pub fn write_observed(
        &self,
        data_dir: &Path,
        meta: BlockMeta,
        source: &mut dyn SeriesSource,
        on_chunk: OnChunk<'_>,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let name = meta.ulid.to_string();
        let tmp = data_dir.join(format!("{name}{CREATION_SUFFIX}"));
        let written = self.fill(&tmp, meta, source, on_chunk);
        match written {
            Ok(Some(meta)) => {
                let to = data_dir.join(&name);
                self.fs.rename(&tmp, &to).map_err(BlockError::io("rename", &tmp))?;
                self.fs.sync_dir(data_dir).map_err(BlockError::io("sync", data_dir))?;
                Ok(Some(meta))
            }
            other => {
                if let Err(e) = self.fs.remove_dir_all(&tmp)
                    && e.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(dir = %tmp.display(), error = %e, "cannot remove an unfinished block");
                }
                other
            }
        }
    }

    fn fill(&self, tmp: &Path, mut meta: BlockMeta, source: &mut dyn SeriesSource, on_chunk: OnChunk<'_>) -> Result<Option<BlockMeta>, BlockError> {
        let fs = &*self.fs;
        if fs.exists(tmp) {
            fs.remove_dir_all(tmp).map_err(BlockError::io("remove", tmp))?;
        }
        let chunks_dir = tmp.join(CHUNKS_DIR);
        fs.create_dir_all(&chunks_dir).map_err(BlockError::io("create", &chunks_dir))?;
        let mut symbols = SymbolSet::default();
        source.symbols(&mut symbols)?;
        let mut index = IndexWriter::create(fs, &tmp.join(INDEX_NAME), symbols)?;
        let mut segments = SegmentWriter::create(self.fs.clone(), &chunks_dir, self.segment_bytes);
        let mut stats = BlockStats::default();
        let mut series = SeriesOut::default();
        let mut metas: Vec<ChunkMeta> = Vec::new();
        loop {
            series.clear();
            if !source.next(&mut series)? {
                break;
            }
            if series.chunks.is_empty() {
                continue;
            }
            metas.clear();
            for (mint_ms, maxt_ms, encoding, data) in series.chunks() {
                let samples = chunkenc::num_samples(encoding, data).map_err(|e| BlockError::Invalid(e.to_string()))?;
                let reference = segments.write(encoding, data)?;
                metas.push(ChunkMeta { mint_ms, maxt_ms, reference });
                stats.num_samples += u64::from(samples);
                match encoding {
                    ChunkEncoding::Xor | ChunkEncoding::Xor2 => stats.num_float_samples += u64::from(samples),
                    _ => stats.num_histogram_samples += u64::from(samples),
                }
                on_chunk(&WrittenChunk { size_bytes: data.len(), samples, span_ms: maxt_ms.saturating_sub(mint_ms) });
            }
            index.add_series(series.labels(), &metas)?;
            stats.num_chunks += metas.len() as u64;
        }
        stats.num_series = index.series_count();
        if stats.num_samples == 0 {
            return Ok(None);
        }
        segments.finish()?;
        index.finish()?;
        meta.stats = stats;
        Tombstones::default().write(fs, tmp)?;
        meta.write(fs, tmp)?;
        meta.version = 1;
        fs.sync_dir(tmp).map_err(BlockError::io("sync", tmp))?;
        Ok(Some(meta))
    }
}
