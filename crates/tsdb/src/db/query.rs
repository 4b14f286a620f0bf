//! Asking the store: blocks and head as one.

use super::Db;
use crate::blockquery::StoreQuerier;
use crate::head::querier::HeadQueryable;
use model::{Labels, Matcher};
use std::sync::Arc;
use storage::{
    EncodedChunk, ExemplarQueryable, ExemplarSeries, LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, SeriesRef,
    Warnings,
};

impl Db {
    /// Does the head have samples of the range, both ends included? While it is being filled it may.
    fn head_touches(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        if !self.is_ready() {
            return true;
        }
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
                self.head.read_slot(slot, start_ms, end_ms, None, &mut data);
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
        if self.is_ready() {
            return self.querier_over(mint_ms, maxt_ms);
        }
        self.check_not_failed()?;
        // Blocks have everything before the floor, but for late samples that are in the log still.
        let partial = maxt_ms >= self.head.floor_ms() || self.late_log_bytes > 0;
        let inner = self.querier_over(mint_ms, maxt_ms)?;
        Ok(if partial { Box::new(Partial { inner, floor_ms: self.head.floor_ms() }) } else { inner })
    }
}

impl ExemplarQueryable for Db {
    fn exemplars(&self, start_ms: i64, end_ms: i64, matcher_sets: &[Vec<Matcher>]) -> Result<Vec<ExemplarSeries>, ReadError> {
        self.check_not_failed()?;
        HeadQueryable(Arc::clone(&self.head)).exemplars(start_ms, end_ms, matcher_sets)
    }
}

/// A store whose head is still being filled: what it answers is right as far as it goes, and says that it may not go all the way.
struct Partial {
    inner: Box<dyn Querier>,
    floor_ms: i64,
}

impl Partial {
    fn warning(&self) -> String {
        let since = if self.floor_ms == i64::MIN { String::new() } else { format!(" since {}", model::time::format_rfc3339_ms(self.floor_ms)) };
        format!("the log is being replayed: samples{since} from before the start may be missing until that is done")
    }
}

impl Querier for Partial {
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        Ok(Arc::new(PartialSelection { inner: self.inner.select(sorted, hints, matchers)?, warning: self.warning() }))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let (values, mut warnings) = self.inner.label_values(name, hints, matchers)?;
        warnings.push(self.warning());
        Ok((values, warnings))
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let (names, mut warnings) = self.inner.label_names(hints, matchers)?;
        warnings.push(self.warning());
        Ok((names, warnings))
    }
}

struct PartialSelection {
    inner: Arc<dyn Selection>,
    warning: String,
}

impl Selection for PartialSelection {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.inner.labels(i)
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        self.inner.read(i, start_ms, end_ms, out)
    }

    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        self.inner.chunks(i, start_ms, end_ms, each)
    }

    fn warnings(&self) -> Warnings {
        let mut out = self.inner.warnings();
        out.push(self.warning.clone());
        out
    }
}
