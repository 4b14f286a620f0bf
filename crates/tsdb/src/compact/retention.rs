//! Which blocks leave: those marked deletable, those that others were made from, the too old, and the oldest when all are too large.

use crate::block::Ulid;
use crate::meta::BlockMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// A block leaves when the newest block ends this much later than it; 0 for never.
    pub time_ms: i64,
    /// Blocks and `used_bytes` together take at most this; 0 for any.
    pub size_bytes: u64,
    /// What the log and the head's files take.
    pub used_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Marked so in its meta.
    Deletable,
    TooOld,
    TooLarge,
}

/// Blocks to delete, with their sizes given; in order of ulid.
pub fn beyond_retention(blocks: &[(Arc<BlockMeta>, u64)], limits: Limits) -> Vec<(Ulid, Why)> {
    let mut out = BTreeMap::new();
    let mut newest_first: Vec<&(Arc<BlockMeta>, u64)> = blocks.iter().collect();
    newest_first.sort_by_key(|(m, _)| (std::cmp::Reverse(m.max_time_ms), m.ulid));
    let Some(newest) = newest_first.first().map(|(m, _)| m.max_time_ms) else { return Vec::new() };
    let mut total = limits.used_bytes;
    let mut full = false;
    for (i, (m, size)) in newest_first.into_iter().enumerate() {
        total = total.saturating_add(*size);
        full |= limits.size_bytes > 0 && total > limits.size_bytes;
        if m.compaction.deletable {
            out.insert(m.ulid, Why::Deletable);
        } else if limits.time_ms > 0 && i > 0 && newest.saturating_sub(m.max_time_ms) >= limits.time_ms {
            out.insert(m.ulid, Why::TooOld);
        } else if full {
            out.insert(m.ulid, Why::TooLarge);
        }
    }
    out.into_iter().collect()
}

/// Blocks that another one present was made from: they leave once it is there.
pub fn superseded(blocks: &[Arc<BlockMeta>]) -> Vec<Ulid> {
    let present: BTreeSet<Ulid> = blocks.iter().map(|b| b.ulid).collect();
    let parents: BTreeSet<Ulid> = blocks.iter().flat_map(|b| b.compaction.parents.iter().map(|p| p.ulid)).collect();
    parents.intersection(&present).copied().collect()
}
