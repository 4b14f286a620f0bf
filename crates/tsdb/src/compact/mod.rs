//! Compaction: several blocks become one, deleted samples go for good, old blocks leave.
//!
//! [`plan`] says which blocks, [`merge`] puts their series together without taking chunks apart where it need not, [`retention`] says which blocks
//! are too old or too many. Nothing here runs by itself: `db` calls it.

pub mod merge;
pub mod plan;
pub mod retention;
pub mod samples;

pub use merge::BlocksSource;
pub use plan::{DelayFile, block_ranges, plan};
pub use retention::{Limits, Why, beyond_retention, superseded};

use crate::block::writer::OnChunk;
use crate::block::{Block, BlockError, BlockWriter, Ulid};
use crate::meta::{BlockMeta, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Asked now and then whether to give up.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// The meta of the block that these become.
pub fn merged_meta(ulid: Ulid, blocks: &[Arc<BlockMeta>]) -> BlockMeta {
    let mut out = BlockMeta { ulid, version: 1, ..BlockMeta::default() };
    out.min_time_ms = blocks.iter().map(|b| b.min_time_ms).min().unwrap_or(0);
    out.max_time_ms = blocks.iter().map(|b| b.max_time_ms).max().unwrap_or(0);
    out.compaction.level = blocks.iter().map(|b| b.compaction.level).max().unwrap_or(0) + 1;
    out.compaction.sources = blocks.iter().flat_map(|b| b.compaction.sources.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
    out.compaction.parents = blocks.iter().map(|b| b.desc()).collect();
    // A block of late samples only says nothing about how far the head had come; once mixed with others it does.
    if !blocks.is_empty() && blocks.iter().all(|b| b.has_hint(HINT_OUT_OF_ORDER)) {
        out.add_hint(HINT_OUT_OF_ORDER);
    }
    for hint in [HINT_STALE_SERIES, HINT_SELECTED_SERIES] {
        if blocks.iter().any(|b| b.has_hint(hint)) {
            out.add_hint(hint);
        }
    }
    out
}

/// The meta of a block written from a head: it is its own source.
pub fn head_meta(ulid: Ulid, min_time_ms: i64, max_time_ms: i64, hints: &[&str]) -> BlockMeta {
    let mut out = BlockMeta { ulid, min_time_ms, max_time_ms, version: 1, ..BlockMeta::default() };
    out.compaction.level = 1;
    out.compaction.sources = vec![ulid];
    for h in hints {
        out.add_hint(h);
    }
    out
}

/// Writes one block from several, which stay as they are: with the result in place they are [`superseded`]. None when no sample is left; the
/// sources are then marked deletable. When stored data is damaged the sources are marked failed, so that they are not tried again and
/// nothing that can still be read is thrown away.
pub fn compact(
    writer: &BlockWriter,
    data_dir: &Path,
    ulid: Ulid,
    blocks: &[Arc<Block>],
    stop: Stop<'_>,
    on_chunk: OnChunk<'_>,
) -> Result<Option<BlockMeta>, BlockError> {
    let metas: Vec<Arc<BlockMeta>> = blocks.iter().map(|b| b.meta()).collect();
    rewrite(writer, data_dir, merged_meta(ulid, &metas), blocks, stop, on_chunk)
}

/// Writes a block again without its deleted samples.
pub fn clean_tombstones(
    writer: &BlockWriter,
    data_dir: &Path,
    ulid: Ulid,
    block: &Arc<Block>,
    stop: Stop<'_>,
) -> Result<Option<BlockMeta>, BlockError> {
    let old = block.meta();
    let mut meta = head_meta(ulid, old.min_time_ms, old.max_time_ms, &[]);
    meta.compaction.parents = vec![old.desc()];
    meta.compaction.hints.clone_from(&old.compaction.hints);
    rewrite(writer, data_dir, meta, std::slice::from_ref(block), stop, &mut |_| {})
}

fn rewrite(
    writer: &BlockWriter,
    data_dir: &Path,
    meta: BlockMeta,
    blocks: &[Arc<Block>],
    stop: Stop<'_>,
    on_chunk: OnChunk<'_>,
) -> Result<Option<BlockMeta>, BlockError> {
    let written = BlocksSource::new(blocks, meta.min_time_ms, meta.max_time_ms, stop)
        .and_then(|mut source| writer.write_observed(data_dir, meta, &mut source, on_chunk));
    let mark: fn(&mut BlockMeta) = match &written {
        Ok(None) => |m| m.compaction.deletable = true,
        Err(e) if e.is_corrupt() => |m| m.compaction.failed = true,
        _ => return written,
    };
    for b in blocks {
        if let Err(e) = b.update_meta(mark) {
            tracing::error!(block = %b.ulid(), error = %e, "cannot mark a block after its compaction");
        }
    }
    written
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
