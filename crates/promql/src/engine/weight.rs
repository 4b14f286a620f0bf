//! How much work a query is at most, as far as that is known without doing any of it: whether it is worth a thread of its own.

use crate::plan::{Plan, RangeInput, Select};
use model::MatchOp;
use storage::Queryable;

/// What a selected series costs at least, in cells: its newest chunk is decoded.
const LEAST_PER_SERIES: u64 = 120;
/// Samples are taken to be so far apart, where windows are weighed.
const INTERVAL_MS: i64 = 15_000;

pub(super) struct Scales<'a> {
    pub storage: &'a dyn Queryable,
    pub start_ms: i64,
    pub end_ms: i64,
    pub steps: u64,
    pub lookback_ms: i64,
}

impl Scales<'_> {
    /// Cells that are looked at, or more than that; None when nobody knows.
    pub fn weigh(&self, plan: &Plan) -> Option<u64> {
        let all = |plans: &[Plan]| plans.iter().try_fold(0u64, |sum, p| Some(sum + self.weigh(p)?));
        match plan {
            Plan::Number(_) | Plan::Text(_) | Plan::Time => Some(self.steps),
            Plan::Select(s) => self.select(s, 0),
            Plan::Range(input) => self.input(input),
            Plan::Call { args, .. } => all(args),
            Plan::RangeCall(c) => Some(self.input(&c.input)? + all(&c.args)?),
            Plan::Aggregate(a) => Some(self.weigh(&a.input)? + a.param.as_ref().map_or(Some(0), |p| self.weigh(p))?),
            Plan::Binary(b) => Some(self.weigh(&b.lhs)? + self.weigh(&b.rhs)?),
            Plan::Negate(p) | Plan::Invariant(p) => self.weigh(p),
        }
    }

    fn input(&self, input: &RangeInput) -> Option<u64> {
        match input {
            RangeInput::Select { select, range_ms, .. } => self.select(select, *range_ms),
            RangeInput::Subquery(_) => None,
        }
    }

    fn select(&self, s: &Select, range_ms: i64) -> Option<u64> {
        // Patterns may have to look at all values of a label.
        if s.matchers.iter().any(|m| matches!(m.op, MatchOp::Regex | MatchOp::NotRegex)) {
            return None;
        }
        let (first, last) = s.at_ms.map_or((self.start_ms, self.end_ms), |at| (at, at));
        let back = range_ms.checked_add(self.lookback_ms)?;
        let (from, to) = (first.checked_sub(s.offset_ms)?.checked_sub(back)?, last.checked_sub(s.offset_ms)?.checked_add(self.lookback_ms)?);
        let series = self.storage.querier(from, to).ok()?.at_most(&s.matchers)?;
        let window = 1 + (range_ms / INTERVAL_MS).unsigned_abs();
        series.checked_mul(self.steps.checked_mul(window)?.max(LEAST_PER_SERIES))
    }
}
