//! Instant selectors: the newest sample within the lookback window, at every step.

use super::Exec;
use super::range::smooth;
use super::rows::{Grid, Row, bits, hist_samples};
use super::run::Scratch;
use super::series::Series;
use super::stream::{Source, Stream};
use crate::engine::QueryError;
use crate::plan::Select;
use model::histogram::ResetHint;
use model::name::METRIC_NAME;
use model::sample::is_stale_nan;
use model::{FloatHistogram, MatchOp, Matcher};
use std::sync::Arc;
use storage::{SelectHints, Selection, SeriesData};

/// A selection that was made before in this query.
pub struct Known {
    matchers: Vec<Matcher>,
    start_ms: i64,
    end_ms: i64,
    selection: Arc<dyn Selection>,
}

/// Asks the storage, or takes what an equal selector got.
pub fn selection(ex: &Exec<'_>, matchers: &[Matcher], hints: &SelectHints) -> Result<Arc<dyn Selection>, QueryError> {
    let known = |k: &&Known| k.start_ms == hints.start_ms && k.end_ms == hints.end_ms && k.matchers == matchers;
    if let Some(k) = ex.selections.lock().iter().find(known) {
        return Ok(Arc::clone(&k.selection));
    }
    let querier = ex.storage.querier(hints.start_ms, hints.end_ms).map_err(expanding)?;
    let selection = querier.select(false, hints, matchers).map_err(expanding)?;
    let warnings = selection.warnings();
    if !warnings.is_empty() {
        let mut notes = ex.notes.lock();
        warnings.into_iter().for_each(|w| notes.add_plain(w));
    }
    let new = Known { matchers: matchers.to_vec(), start_ms: hints.start_ms, end_ms: hints.end_ms, selection: Arc::clone(&selection) };
    ex.selections.lock().push(new);
    Ok(selection)
}

fn expanding(e: storage::ReadError) -> QueryError {
    let mut e = QueryError::from(e);
    e.message = format!("expanding series: {}", e.message);
    e
}

impl Select {
    /// The metric name that all its series have, when it asks for one.
    pub fn one_name(&self) -> Option<&str> {
        self.matchers.iter().find(|m| m.op == MatchOp::Equal && m.name == METRIC_NAME && !m.value.is_empty()).map(|m| m.value.as_str())
    }

    /// The time that is looked at for a step.
    #[inline]
    pub fn reference(&self, grid: Grid, k: usize) -> i64 {
        self.at_ms.map_or_else(|| grid.time(k), |at| at + grid.pinned_shift_ms) - self.offset_ms
    }

    pub fn hints(&self, ex: &Exec<'_>, start_ms: i64, end_ms: i64, range_ms: i64, grid: Grid) -> SelectHints {
        let step_ms = if grid == ex.grid { ex.switches.hint_step_ms } else { grid.step_ms };
        SelectHints { start_ms, end_ms, step_ms, func: self.func.clone(), range_ms, limit: 0 }
    }
}

/// Decodes a series. With `stats_only`, histograms lose their buckets, after they have told whether there was a reset.
pub fn read(selection: &dyn Selection, i: usize, start_ms: i64, end_ms: i64, stats_only: bool, data: &mut SeriesData) -> Result<(), QueryError> {
    data.clear();
    selection.read(i, start_ms, end_ms, data)?;
    if stats_only && !data.hist.is_empty() {
        let mut previous: Option<Arc<FloatHistogram>> = None;
        for h in &mut data.hist {
            if h.is_stale() {
                continue;
            }
            let hint = match (h.reset_hint, &previous) {
                (ResetHint::Unknown, Some(p)) if h.detect_reset(p) => ResetHint::Reset,
                (ResetHint::Unknown, Some(_)) => ResetHint::NotReset,
                (hint, _) => hint,
            };
            let bare = FloatHistogram { reset_hint: hint, schema: h.schema, count: h.count, sum: h.sum, ..FloatHistogram::default() };
            previous = Some(std::mem::replace(h, Arc::new(bare)));
        }
    }
    Ok(())
}

pub struct InstantSource {
    selection: Arc<dyn Selection>,
    select: Arc<Select>,
    start_ms: i64,
    end_ms: i64,
}

/// Reading range of a selector without a range: lookback before the first step, and (smoothed) behind the last.
fn instant_range(ex: &Exec<'_>, select: &Select, grid: Grid) -> (i64, i64) {
    // Pinned selectors are read where they should look, even where they look elsewhere.
    let unmoved = Grid { pinned_shift_ms: 0, ..grid };
    let (first, last) = (select.reference(unmoved, 0), select.reference(unmoved, grid.n - 1));
    let lookback = ex.switches.lookback_ms;
    (first.saturating_sub(lookback) + 1, if select.smoothed { last + lookback } else { last })
}

pub fn instant<'p>(ex: &Exec<'_>, select: &Arc<Select>, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let (start_ms, end_ms) = instant_range(ex, select, grid);
    let selection = selection(ex, &select.matchers, &select.hints(ex, start_ms, end_ms, 0, grid))?;
    let series = Series::stored(Arc::clone(&selection), select.one_name().is_some());
    Ok(Stream::new(grid, series, Source::Instant(InstantSource { selection, select: Arc::clone(select), start_ms, end_ms })).by(ex))
}

/// Walks over the steps with the newest sample at or before each: its kind and index.
enum Newest {
    Float(usize),
    Hist(usize),
}

fn each_step(reference: impl Fn(usize) -> i64, grid: Grid, lookback: i64, data: &SeriesData, mut visit: impl FnMut(usize, Newest)) {
    let (mut f, mut h) = (0, 0);
    for k in 0..grid.n {
        let at = reference(k);
        while f < data.t_ms.len() && data.t_ms[f] <= at {
            f += 1;
        }
        while h < data.hist_t_ms.len() && data.hist_t_ms[h] <= at {
            h += 1;
        }
        let float_t = f.checked_sub(1).map(|i| data.t_ms[i]);
        let hist_t = h.checked_sub(1).map(|i| data.hist_t_ms[i]);
        let Some(t) = float_t.max(hist_t) else { continue };
        if t <= at - lookback {
            continue;
        }
        visit(k, if float_t >= hist_t { Newest::Float(f - 1) } else { Newest::Hist(h - 1) });
    }
}

impl InstantSource {
    pub fn fill(&self, ex: &Exec<'_>, i: usize, grid: Grid, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        let mut data = std::mem::take(&mut scratch.data);
        let lookback = ex.switches.lookback_ms;
        scratch.read(ex, &mut data, |d| read(self.selection.as_ref(), i, self.start_ms, self.end_ms, self.select.stats_only, d))?;
        row.reset(grid);
        let own = grid == ex.grid;
        if self.select.smoothed {
            smooth::instant(&self.select, grid, lookback, &data, &self.selection.labels(i), row, &mut scratch.notes);
        } else if data.hist.is_empty() && self.select.at_ms.is_none() && scratch.per_step.is_none() {
            let n = floats(&data, grid, self.select.offset_ms, lookback, &mut scratch.newest, row);
            scratch.count(false, 0, n, n);
        } else {
            each_step(
                |k| self.select.reference(grid, k),
                grid,
                lookback,
                &data,
                |k, newest| match newest {
                    Newest::Float(i) => {
                        let v = data.v[i];
                        if !is_stale_nan(v) {
                            row.set(k, v);
                            scratch.count(own, k, 1, 1);
                        }
                    }
                    Newest::Hist(i) => {
                        let h = &data.hist[i];
                        if !h.is_stale() {
                            let size = hist_samples(h) as u64;
                            row.set_hist(k, Arc::clone(h));
                            scratch.count(own, k, size, size);
                        }
                    }
                },
            );
        }
        scratch.data = data;
        scratch.peek_samples(ex, row.view().samples())
    }
}

/// Which sample is the newest at each step, for one column of times. Series of one target are scraped together: what was found for one holds
/// for the next ones.
#[derive(Default)]
pub struct NewestAt {
    t: Vec<i64>,
    known: bool,
    /// Number of the sample, where there is one.
    index: Vec<u32>,
    valid: Vec<u64>,
}

impl NewestAt {
    fn look(&mut self, t: &[i64], grid: Grid, offset: i64, lookback: i64) {
        if self.known && self.t == t {
            return;
        }
        self.known = true;
        self.t.clear();
        self.t.extend_from_slice(t);
        self.index.clear();
        self.valid.clear();
        self.valid.resize(grid.words(), 0);
        let mut next = 0;
        let mut at = grid.start_ms - offset;
        for k in 0..grid.n {
            while next < t.len() && t[next] <= at {
                next += 1;
            }
            self.index.push(next.saturating_sub(1) as u32);
            if next > 0 && t[next - 1] > at - lookback {
                bits::set(&mut self.valid, k);
            }
            at += grid.step_ms;
        }
    }
}

/// The common case: floats only, moving steps. Returns how many steps have a sample.
fn floats(data: &SeriesData, grid: Grid, offset: i64, lookback: i64, newest: &mut NewestAt, row: &mut Row) -> u64 {
    let v = &data.v[..];
    if v.is_empty() {
        return 0;
    }
    if grid.n == 1 {
        let at = grid.start_ms - offset;
        let newest = data.t_ms.partition_point(|t| *t <= at).checked_sub(1);
        let Some(i) = newest.filter(|i| data.t_ms[*i] > at - lookback && !is_stale_nan(v[*i])) else { return 0 };
        row.set(0, v[i]);
        return 1;
    }
    newest.look(&data.t_ms, grid, offset, lookback);
    row.valid.copy_from_slice(&newest.valid);
    let mut any_stale = false;
    for (slot, i) in row.v.iter_mut().zip(&newest.index) {
        *slot = v[*i as usize];
        any_stale |= is_stale_nan(*slot);
    }
    if any_stale {
        (0..grid.n).filter(|k| is_stale_nan(row.v[*k])).for_each(|k| bits::clear(&mut row.valid, k));
    }
    bits::count(&row.valid) as u64
}

/// `timestamp(selector)` and `start_timestamp(selector)`: not the values but when they were taken.
pub struct TimestampSource {
    inner: InstantSource,
    start_times: bool,
}

pub fn timestamps<'p>(ex: &Exec<'_>, select: &Arc<Select>, grid: Grid, start_times: bool) -> Result<Stream<'p>, QueryError> {
    let (start_ms, end_ms) = instant_range(ex, select, grid);
    let selection = selection(ex, &select.matchers, &select.hints(ex, start_ms, end_ms, 0, grid))?;
    let series = Series::stored(Arc::clone(&selection), select.one_name().is_some());
    let inner = InstantSource { selection, select: Arc::clone(select), start_ms, end_ms };
    Ok(Stream::new(grid, series, Source::Timestamps(TimestampSource { inner, start_times })).by(ex))
}

impl TimestampSource {
    pub fn fill(&self, ex: &Exec<'_>, i: usize, grid: Grid, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        let mut data = std::mem::take(&mut scratch.data);
        let s = &self.inner;
        scratch.read(ex, &mut data, |d| read(s.selection.as_ref(), i, s.start_ms, s.end_ms, false, d))?;
        row.reset(grid);
        let own = grid == ex.grid;
        // With `@`, the reference forgets the offset here: it looks at the pinned time, in what was loaded for the offset.
        let reference = |k: usize| s.select.at_ms.unwrap_or_else(|| s.select.reference(grid, k));
        each_step(reference, grid, ex.switches.lookback_ms, &data, |k, newest| {
            let (stale, t, st) = match newest {
                Newest::Float(i) => (is_stale_nan(data.v[i]), data.t_ms[i], data.st_ms.get(i)),
                Newest::Hist(i) => (data.hist[i].is_stale(), data.hist_t_ms[i], data.hist_st_ms.get(i)),
            };
            if !stale {
                let t = if self.start_times { st.copied().unwrap_or(0) } else { t };
                row.set(k, t as f64 / 1000.0);
                scratch.count(own, k, 1, 1);
            }
        });
        scratch.data = data;
        scratch.peek_samples(ex, row.view().samples())
    }
}
