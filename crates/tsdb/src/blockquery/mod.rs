//! Queries over blocks, and over blocks and the head as one.
//!
//! [`BlockQuerier`] asks one block, [`StoreQuerier`] several and whatever else is given as a [`Querier`] (the head), and merges their series
//! lazily: labels are compared once when selected, samples are decoded only when read, each chunk once.

pub mod labels;
pub mod merged;

pub use merged::{MergedSelection, Part};

use crate::block::Block;
use model::Matcher;
use std::sync::Arc;
use storage::{LabelHints, Querier, ReadError, SelectHints, Selection, Warnings};

/// One block between two times, both included.
pub struct BlockQuerier {
    block: Arc<Block>,
    mint_ms: i64,
    maxt_ms: i64,
}

impl BlockQuerier {
    pub fn new(block: Arc<Block>, mint_ms: i64, maxt_ms: i64) -> Self {
        BlockQuerier { block, mint_ms, maxt_ms }
    }

    fn range(&self, hints: &SelectHints) -> (i64, i64) {
        clip(hints, self.mint_ms, self.maxt_ms)
    }
}

/// The hinted range within the querier's; hints without a range mean all of it.
fn clip(hints: &SelectHints, mint_ms: i64, maxt_ms: i64) -> (i64, i64) {
    if hints.start_ms == 0 && hints.end_ms == 0 { (mint_ms, maxt_ms) } else { (hints.start_ms.max(mint_ms), hints.end_ms.min(maxt_ms)) }
}

impl Querier for BlockQuerier {
    fn select(&self, _sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let (start, end) = self.range(hints);
        Ok(Arc::new(self.block.select(start, end, matchers, hints.limit)?))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok((labels::label_values(&self.block, name, matchers, hints.limit)?, Warnings::new()))
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let mut names = labels::label_names(&self.block, matchers)?;
        if hints.limit > 0 {
            names.truncate(hints.limit);
        }
        Ok((names, Warnings::new()))
    }
}

/// Several blocks, and the head.
pub struct StoreQuerier {
    /// Sorted by the start of their time.
    blocks: Vec<Arc<Block>>,
    head: Option<Box<dyn Querier>>,
    mint_ms: i64,
    maxt_ms: i64,
}

impl StoreQuerier {
    /// Of `blocks` only those that touch the range from `mint_ms` to `maxt_ms`, both included, are asked. `head` is asked always.
    pub fn new(blocks: &[Arc<Block>], head: Option<Box<dyn Querier>>, mint_ms: i64, maxt_ms: i64) -> Self {
        let mut blocks: Vec<Arc<Block>> = blocks.iter().filter(|b| b.meta().overlaps(mint_ms, maxt_ms)).cloned().collect();
        blocks.sort_by_key(|b| b.meta().min_time_ms);
        StoreQuerier { blocks, head, mint_ms, maxt_ms }
    }

    fn strings(
        &self,
        limit: usize,
        block: impl Fn(&Arc<Block>) -> Result<Vec<String>, crate::block::BlockError>,
        head: impl FnOnce(&dyn Querier) -> Result<(Vec<String>, Warnings), ReadError>,
    ) -> Result<(Vec<String>, Warnings), ReadError> {
        let (mut all, mut warnings) = match &self.head {
            Some(h) => head(&**h)?,
            None => (Vec::new(), Warnings::new()),
        };
        for b in &self.blocks {
            match block(b) {
                Ok(mut v) => all.append(&mut v),
                Err(e) => warnings.push(format!("block {}: {e}", b.ulid())),
            }
        }
        // A merge sort that finds the sorted runs.
        all.sort();
        all.dedup();
        if limit > 0 {
            all.truncate(limit);
        }
        Ok((all, warnings))
    }
}

impl Querier for StoreQuerier {
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let (start, end) = clip(hints, self.mint_ms, self.maxt_ms);
        let head = self.head.as_ref().map(|h| h.select(sorted || !self.blocks.is_empty(), hints, matchers)).transpose()?;
        let (mut parts, mut warnings) = (Vec::with_capacity(self.blocks.len() + 1), Warnings::new());
        for b in self.blocks.iter().filter(|b| b.meta().overlaps(start, end)) {
            match b.select(start, end, matchers, hints.limit) {
                Ok(s) if s.is_empty() && s.warnings().is_empty() => {}
                Ok(s) => parts.push(Part::Block(Arc::new(s))),
                Err(e) => warnings.push(format!("block {}: {e}", b.ulid())),
            }
        }
        if let Some(head) = head {
            if parts.is_empty() && warnings.is_empty() {
                return Ok(head);
            }
            parts.push(Part::Other(head));
        }
        if warnings.is_empty()
            && let [Part::Block(one)] = parts.as_slice()
        {
            return Ok(one.clone());
        }
        Ok(Arc::new(MergedSelection::new(parts, warnings, hints.limit)))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.strings(hints.limit, |b| labels::label_values(b, name, matchers, hints.limit), |h| h.label_values(name, hints, matchers))
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.strings(hints.limit, |b| labels::label_names(b, matchers), |h| h.label_names(hints, matchers))
    }
}
