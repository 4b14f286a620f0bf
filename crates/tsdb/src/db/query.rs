//! Asking the store: blocks and head as one.

use super::Db;
use crate::blockquery::StoreQuerier;
use crate::head::querier::HeadQueryable;
use model::Matcher;
use std::sync::Arc;
use storage::{ExemplarQueryable, ExemplarSeries, Querier, Queryable, ReadError, SelectHints, SeriesData, SeriesRef};

impl Db {
    /// Does the head have samples of the range, both ends included?
    fn head_touches(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        let in_order = self.head.min_ms().zip(self.head.max_ms());
        let touches = |r: Option<(i64, i64)>| r.is_some_and(|(a, b)| a <= maxt_ms && b >= mint_ms);
        touches(in_order) || touches(self.head.late_range_ms())
    }

    fn querier_over(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        // The head first: what leaves it from here on waits for this reader, and is in the blocks that are looked at after it.
        let head = HeadQueryable(Arc::clone(&self.head)).querier(mint_ms, maxt_ms)?;
        let head = self.head_touches(mint_ms, maxt_ms).then_some(head);
        let blocks = self.blocks.load_full();
        match head {
            Some(head) if !blocks.iter().any(|b| b.meta().overlaps(mint_ms, maxt_ms)) => Ok(head),
            head => Ok(Box::new(StoreQuerier::new(&blocks, head, mint_ms, maxt_ms))),
        }
    }

    pub(super) fn times_of(&self, series: SeriesRef, start_ms: i64, end_ms: i64, out: &mut Vec<i64>) -> Result<(), ReadError> {
        let mut data = SeriesData::default();
        let slot = self.head.index.read().slot_of(series.0);
        let blocks = self.blocks.load_full();
        let in_blocks = blocks.iter().any(|b| b.meta().overlaps(start_ms, end_ms));
        if !in_blocks {
            if let Some(slot) = slot {
                self.head.read_slot(slot, start_ms, end_ms, &mut data);
            }
        } else if let Some(labels) = self.head.labels_of(series) {
            let matchers: Vec<Matcher> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
            let found = self.querier_over(start_ms, end_ms)?.select(false, &SelectHints { start_ms, end_ms, ..SelectHints::default() }, &matchers)?;
            for i in 0..found.len() {
                if found.labels(i) == labels {
                    found.read(i, start_ms, end_ms, &mut data)?;
                }
            }
        }
        let from = out.len();
        out.extend_from_slice(&data.t_ms);
        out.extend_from_slice(&data.hist_t_ms);
        out[from..].sort_unstable();
        Ok(())
    }
}

impl Queryable for Db {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        self.check_ready()?;
        self.querier_over(mint_ms, maxt_ms)
    }
}

impl ExemplarQueryable for Db {
    fn exemplars(&self, start_ms: i64, end_ms: i64, matcher_sets: &[Vec<Matcher>]) -> Result<Vec<ExemplarSeries>, ReadError> {
        self.check_ready()?;
        HeadQueryable(Arc::clone(&self.head)).exemplars(start_ms, end_ms, matcher_sets)
    }
}
