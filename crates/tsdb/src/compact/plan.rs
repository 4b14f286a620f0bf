//! Which blocks to make one, as Prometheus plans: overlapping ones first, then full ranges of growing size, then blocks with much deleted.

use crate::block::Ulid;
use crate::meta::{BlockMeta, HINT_SELECTED_SERIES, HINT_STALE_SERIES};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use stdx::fs::SharedFs;

/// Each range is so many times the one before.
const STEP: i64 = 3;
const MAX_STEPS: usize = 10;
/// A block of at least the middle range is written again when more than this part of its series has deletions.
const TOMBSTONE_RATIO: f64 = 0.05;

/// Sizes of blocks, from the smallest to the largest that is not above `max_ms`; always at least the smallest.
pub fn block_ranges(min_ms: i64, max_ms: i64) -> Vec<i64> {
    let all = std::iter::successors(Some(min_ms), |r| r.checked_mul(STEP)).take(MAX_STEPS);
    let mut ranges: Vec<i64> = all.take_while(|r| *r <= max_ms).collect();
    if ranges.is_empty() {
        ranges.push(min_ms);
    }
    ranges
}

/// The blocks to compact into one; empty when there is nothing to do. `held_back` says which blocks must stay as they are for now: neither they
/// nor what was made after them is touched.
pub fn plan(blocks: &[Arc<BlockMeta>], ranges: &[i64], held_back: &dyn Fn(&BlockMeta) -> bool) -> Vec<Ulid> {
    let mut blocks: Vec<Arc<BlockMeta>> = blocks.to_vec();
    blocks.sort_by_key(|b| b.ulid);
    let free = blocks.iter().take_while(|b| !held_back(b)).count();
    blocks.truncate(free);
    // Blocks of only a part of the head's series keep to themselves: mixed with others they would lose their hint.
    let class = |b: &BlockMeta| match (b.has_hint(HINT_STALE_SERIES), b.has_hint(HINT_SELECTED_SERIES)) {
        (true, _) => 1,
        (_, true) => 2,
        _ => 0,
    };
    for wanted in 0..3 {
        let mut of_class: Vec<&BlockMeta> = blocks.iter().map(|b| &**b).filter(|b| class(b) == wanted).collect();
        of_class.sort_by_key(|b| b.min_time_ms);
        let found = plan_class(&of_class, ranges);
        if !found.is_empty() {
            return found.iter().map(|b| b.ulid).collect();
        }
    }
    Vec::new()
}

fn plan_class<'a>(sorted: &[&'a BlockMeta], ranges: &[i64]) -> Vec<&'a BlockMeta> {
    let overlapping = overlapping(sorted);
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest block stays: backups get a whole block's time to take it.
    let Some((_, older)) = sorted.split_last() else { return Vec::new() };
    let full = full_range(older, ranges);
    if !full.is_empty() {
        return full;
    }
    let middle = ranges.get(ranges.len() / 2).copied().unwrap_or(0);
    for b in older.iter().rev() {
        if b.max_time_ms.saturating_sub(b.min_time_ms) < middle {
            if b.stats.num_tombstones > 0 && b.stats.num_tombstones >= b.stats.num_series {
                return vec![b];
            }
            break;
        }
        if b.stats.num_tombstones as f64 / (b.stats.num_series + 1) as f64 > TOMBSTONE_RATIO {
            return vec![b];
        }
    }
    Vec::new()
}

/// The first run of blocks that share time. One whose compaction failed is not tried again.
fn overlapping<'a>(sorted: &[&'a BlockMeta]) -> Vec<&'a BlockMeta> {
    let mut from = 0;
    while from < sorted.len() {
        let mut reach = sorted[from].max_time_ms;
        let mut to = from + 1;
        while to < sorted.len() && sorted[to].min_time_ms < reach {
            reach = reach.max(sorted[to].max_time_ms);
            to += 1;
        }
        let group = &sorted[from..to];
        if group.len() > 1 && !group.iter().any(|b| b.compaction.failed) {
            return group.to_vec();
        }
        from = to;
    }
    Vec::new()
}

fn full_range<'a>(older: &[&'a BlockMeta], ranges: &[i64]) -> Vec<&'a BlockMeta> {
    let Some(last) = older.last() else { return Vec::new() };
    let high = last.min_time_ms;
    for range in ranges.iter().skip(1) {
        for part in split_by_range(older, *range) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            if part.len() < 2 || part.iter().any(|b| b.compaction.failed) {
                continue;
            }
            // Either the range is full, or nothing more can come into it.
            if last.max_time_ms.saturating_sub(first.min_time_ms) == *range || last.max_time_ms <= high {
                return part.to_vec();
            }
        }
    }
    Vec::new()
}

/// Groups of blocks that lie within the same aligned range of time.
fn split_by_range<'a, 'b>(sorted: &'b [&'a BlockMeta], range: i64) -> Vec<&'b [&'a BlockMeta]> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < sorted.len() {
        let end = sorted[i].min_time_ms.div_euclid(range).saturating_mul(range).saturating_add(range);
        if sorted[i].max_time_ms > end {
            i += 1;
            continue;
        }
        let from = i;
        while i < sorted.len() && sorted[i].max_time_ms <= end {
            i += 1;
        }
        out.push(&sorted[from..i]);
    }
    out
}

/// A list of blocks that somebody (Thanos' sidecar) has copied away; blocks straight from the head wait for it before they are compacted.
#[derive(Clone, Debug)]
pub struct DelayFile {
    path: PathBuf,
    fs: SharedFs,
}

#[derive(Deserialize)]
struct Uploads {
    #[serde(default)]
    uploaded: Vec<String>,
}

impl DelayFile {
    pub fn new(fs: SharedFs, path: PathBuf) -> Self {
        DelayFile { path, fs }
    }

    /// Reads the file; the answer says which blocks are to wait. When there is no such file, or it cannot be read, none waits.
    pub fn read(&self) -> impl Fn(&BlockMeta) -> bool + use<> {
        let uploads =
            self.fs.read(&self.path).map_err(|e| e.to_string()).and_then(|b| serde_json::from_slice::<Uploads>(&b).map_err(|e| e.to_string()));
        let uploaded: Option<BTreeSet<String>> = match uploads {
            Ok(u) => Some(u.uploaded.into_iter().collect()),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot read the list of uploaded blocks; compaction does not wait");
                None
            }
        };
        move |b| b.compaction.level <= 1 && uploaded.as_ref().is_some_and(|u| !u.contains(&b.ulid.to_string()))
    }
}
