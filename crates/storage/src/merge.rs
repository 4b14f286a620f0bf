//! Several queryables as one: the local storage and remote ones, or head and blocks. Series with equal labels become one; at a time that
//! several have, the first in order wins.

use crate::read::{EncodedChunk, LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings};
use model::{Labels, Matcher};
use std::sync::Arc;

/// Asks the primary and all others. A failing secondary becomes a warning, a failing primary an error.
pub struct MergeQueryable {
    primary: Arc<dyn Queryable>,
    secondaries: Vec<Arc<dyn Queryable>>,
}

impl MergeQueryable {
    pub fn new(primary: Arc<dyn Queryable>, secondaries: Vec<Arc<dyn Queryable>>) -> Self {
        MergeQueryable { primary, secondaries }
    }
}

impl Queryable for MergeQueryable {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        let primary = self.primary.querier(mint_ms, maxt_ms)?;
        if self.secondaries.is_empty() {
            return Ok(primary);
        }
        let mut warnings = Warnings::new();
        let mut parts = vec![primary];
        for s in &self.secondaries {
            match s.querier(mint_ms, maxt_ms) {
                Ok(q) => parts.push(q),
                Err(e) => warnings.push(e.to_string()),
            }
        }
        Ok(Box::new(MergeQuerier { parts, warnings }))
    }
}

struct MergeQuerier {
    parts: Vec<Box<dyn Querier>>,
    warnings: Warnings,
}

impl MergeQuerier {
    /// Runs on every part; the first part's error is an error, another's a warning.
    fn each<T>(&self, warnings: &mut Warnings, mut ask: impl FnMut(&dyn Querier) -> Result<T, ReadError>) -> Result<Vec<T>, ReadError> {
        let mut out = Vec::with_capacity(self.parts.len());
        for (i, part) in self.parts.iter().enumerate() {
            match ask(part.as_ref()) {
                Ok(v) => out.push(v),
                Err(e) if i == 0 => return Err(e),
                Err(e) => warnings.push(e.to_string()),
            }
        }
        Ok(out)
    }

    fn merged_strings(
        &self,
        limit: usize,
        ask: impl FnMut(&dyn Querier) -> Result<(Vec<String>, Warnings), ReadError>,
    ) -> Result<(Vec<String>, Warnings), ReadError> {
        let mut warnings = self.warnings.clone();
        let parts = self.each(&mut warnings, ask)?;
        let mut all = Vec::new();
        for (values, w) in parts {
            all.extend(values);
            warnings.extend(w);
        }
        all.sort_unstable();
        all.dedup();
        if limit > 0 {
            all.truncate(limit);
        }
        Ok((all, warnings))
    }
}

impl Querier for MergeQuerier {
    fn select(&self, _sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let mut warnings = self.warnings.clone();
        let parts = self.each(&mut warnings, |q| q.select(true, hints, matchers))?;
        Ok(Arc::new(MergeSelection::new(parts, warnings)))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.merged_strings(hints.limit, |q| q.label_values(name, hints, matchers))
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.merged_strings(hints.limit, |q| q.label_names(hints, matchers))
    }
}

/// Sorted selections merged into one sorted selection.
pub struct MergeSelection {
    parts: Vec<Arc<dyn Selection>>,
    /// For each merged series: labels, and where it is: (part, number) in order of the parts.
    series: Vec<(Labels, Vec<(usize, usize)>)>,
    warnings: Warnings,
}

impl MergeSelection {
    /// `parts` must each be sorted by labels.
    pub fn new(parts: Vec<Arc<dyn Selection>>, mut warnings: Warnings) -> Self {
        let mut all: Vec<(Labels, (usize, usize))> = Vec::new();
        for (p, part) in parts.iter().enumerate() {
            warnings.extend(part.warnings());
            all.extend((0..part.len()).map(|i| (part.labels(i), (p, i))));
        }
        all.sort();
        let mut series: Vec<(Labels, Vec<(usize, usize)>)> = Vec::new();
        for (labels, at) in all {
            match series.last_mut() {
                Some((l, places)) if *l == labels => places.push(at),
                _ => series.push((labels, vec![at])),
            }
        }
        MergeSelection { parts, series, warnings }
    }
}

impl Selection for MergeSelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.series[i].0.clone()
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        let places = &self.series[i].1;
        if let [(p, n)] = places.as_slice() {
            return self.parts[*p].read(*n, start_ms, end_ms, out);
        }
        let mut columns = Vec::with_capacity(places.len());
        for (p, n) in places {
            let mut d = SeriesData::default();
            self.parts[*p].read(*n, start_ms, end_ms, &mut d)?;
            columns.push(d);
        }
        merge_data(&columns, out);
        Ok(())
    }

    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        let mut all = Vec::new();
        for (p, n) in &self.series[i].1 {
            self.parts[*p].chunks(*n, start_ms, end_ms, &mut |c| all.push(c))?;
        }
        all.sort_by_key(|c| c.mint_ms);
        all.into_iter().for_each(each);
        Ok(())
    }

    fn warnings(&self) -> Warnings {
        self.warnings.clone()
    }
}

/// Merges decoded columns in rising order of time, appending to `out`. At equal times the first column's sample wins, whatever its kind.
pub fn merge_data(columns: &[SeriesData], out: &mut SeriesData) {
    // (time, column, is histogram, index): sorted so that the winner of each time comes first.
    let mut order: Vec<(i64, usize, bool, usize)> = Vec::with_capacity(columns.iter().map(SeriesData::len).sum());
    for (c, d) in columns.iter().enumerate() {
        order.extend(d.t_ms.iter().enumerate().map(|(i, t)| (*t, c, false, i)));
        order.extend(d.hist_t_ms.iter().enumerate().map(|(i, t)| (*t, c, true, i)));
    }
    order.sort_unstable();
    order.dedup_by_key(|(t, ..)| *t);
    let any_st = columns.iter().any(|d| !d.st_ms.is_empty());
    let any_hist_st = columns.iter().any(|d| !d.hist_st_ms.is_empty());
    for (t, c, is_hist, i) in order {
        let d = &columns[c];
        if is_hist {
            out.hist_t_ms.push(t);
            out.hist.push(Arc::clone(&d.hist[i]));
            if any_hist_st {
                out.hist_st_ms.push(d.hist_st_ms.get(i).copied().unwrap_or(0));
            }
        } else {
            out.t_ms.push(t);
            out.v.push(d.v[i]);
            if any_st {
                out.st_ms.push(d.st_ms.get(i).copied().unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
