//! Aggregations: rows are folded into the columns of their group as they come, and forgotten.

use super::limits::Charge;
use super::quantile::{extent, quantile};
use super::range::HistMean;
use super::rows::{Grid, Matrix, Meta, Row, bits};
use super::series::Series;
use super::stream::Stream;
use super::{Exec, Scalar, names, scalar, topk, vector};
use crate::annotations::{Annotations, HistOp, Note};
use crate::engine::QueryError;
use crate::parse::Span;
use crate::parse::ast::AggregateOp;
use crate::plan::{Aggregate, Plan};
use hashbrown::HashMap;
use model::histogram::{ResetHint, kahan};
use model::labels::quote;
use model::name::METRIC_NAME;
use model::number::format_f;
use model::{FloatHistogram, Labels};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which group each series belongs to, and what the groups are called.
pub struct Groups {
    pub of: Vec<u32>,
    pub metas: Vec<Meta>,
}

impl Groups {
    pub fn new(series: &Series, a: &Aggregate) -> Groups {
        let mut by = a.grouping.clone();
        if a.without {
            by.push(METRIC_NAME.to_string());
        }
        let groups = series.groups(&by, !a.without);
        let mut metas: Vec<Meta> = groups.labels.into_iter().map(|labels| Meta { labels, drop_name: false }).collect();
        for (i, g) in groups.of.iter().enumerate() {
            metas[*g as usize].drop_name |= series.drops_name(i);
        }
        Groups { of: groups.of, metas }
    }
}

pub fn evaluate<'p>(ex: &Exec<'_>, a: &'p Aggregate, grid: Grid) -> Result<Stream<'p>, QueryError> {
    use AggregateOp::*;
    if let (CountValues, Some(Plan::Text(label))) = (a.op, &a.param) {
        return count_values(ex, a, label, grid);
    }
    let param = match &a.param {
        Some(p) => scalar(ex, p, grid)?,
        None => Scalar::Same(0.0),
    };
    let stream = vector(ex, &a.input, grid)?;
    let groups = Groups::new(&stream.series, a);
    match a.op {
        Topk | Bottomk | Limitk | LimitRatio => topk::evaluate(ex, a, &param, stream, &groups, grid),
        Quantile => quantiles(ex, a, &param, stream, groups, grid),
        _ => fold(ex, a, stream, groups, grid),
    }
}

/// One or more columns for each group, and histograms where there are any.
struct Fold {
    op: AggregateOp,
    n: usize,
    words: usize,
    /// The value, or what leads to it: sum, mean, smallest, count.
    a: Vec<f64>,
    /// Compensation, or sum of squares.
    b: Vec<f64>,
    /// How many, where it is needed.
    count: Vec<f64>,
    valid: Vec<u64>,
    /// Averages that would have overflowed as sums.
    incremental: Vec<u64>,
    hists: BTreeMap<(u32, u32), HistFold>,
    span: Span,
    notes: Annotations,
    charge: Charge,
}

/// The histograms of a group at one step.
struct HistFold {
    sum: HistSum,
    incompatible: bool,
    reset: bool,
    not_reset: bool,
}

enum HistSum {
    Sum(Box<FloatHistogram>, Option<Box<FloatHistogram>>),
    Mean(Box<HistMean>),
    /// A float came first: the step is lost anyway.
    Nothing,
}

/// Up to so many cells, all groups are kept side by side; beyond, each is kept only from its first series to its last.
const SIDE_BY_SIDE: usize = 1 << 20;

/// Puts groups into the order of their first series that have samples, in which the reference finds them: of equals, a topk around takes the first.
fn by_first_series(groups: &mut Matrix, first: &[u32]) {
    if !first.is_sorted() {
        let mut order: Vec<u32> = (0..first.len() as u32).collect();
        order.sort_by_key(|g| first[*g as usize]);
        groups.reorder(&order);
    }
}

fn fold<'p>(ex: &Exec<'_>, a: &Aggregate, stream: Stream<'p>, groups: Groups, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let name_of = |i: usize| stream.series.meta(i).labels.metric_name().to_string();
    if grid.n == 1 || groups.metas.len() * grid.n <= SIDE_BY_SIDE {
        let mut f = Fold::new(ex, a, groups.metas.len(), grid)?;
        let mut first = vec![u32::MAX; groups.metas.len()];
        stream.for_each(ex, &mut |i, row| {
            let g = groups.of[i];
            if first[g as usize] > i as u32 && !row.is_empty() {
                first[g as usize] = i as u32;
            }
            f.take(g, row, &|| name_of(i));
            Ok(())
        })?;
        let mut matrix = f.finish(ex, groups.metas, grid)?;
        by_first_series(&mut matrix, &first);
        return Ok(Stream::from_matrix(matrix, grid));
    }
    let mut left = vec![0u32; groups.metas.len()];
    groups.of.iter().for_each(|g| left[*g as usize] += 1);
    let mut folds: Vec<Option<Box<Fold>>> = (0..groups.metas.len()).map(|_| None).collect();
    let mut out = Matrix::new(grid);
    let mut charge = ex.budget.charge();
    stream.for_each(ex, &mut |i, row| {
        let g = groups.of[i] as usize;
        if folds[g].is_none() && !row.is_empty() {
            folds[g] = Some(Box::new(Fold::new(ex, a, 1, grid)?));
        }
        if let Some(f) = &mut folds[g] {
            f.take(0, row, &|| name_of(i));
        }
        left[g] -= 1;
        if left[g] > 0 {
            return Ok(());
        }
        let Some(f) = folds[g].take() else { return Ok(()) };
        let done = f.finish(ex, vec![groups.metas[g].clone()], grid)?;
        charge.add_samples(done.row(0).samples())?;
        charge.add_bytes(out.push(groups.metas[g].clone(), done.row(0)))
    })?;
    out.add_charge(charge);
    Ok(Stream::from_matrix(out, grid))
}

impl Fold {
    fn new(ex: &Exec<'_>, a: &Aggregate, groups: usize, grid: Grid) -> Result<Self, QueryError> {
        use AggregateOp::*;
        let (cells, words) = (groups * grid.n, grid.words());
        let columns = match a.op {
            Sum => 2,
            Avg | Stddev | Stdvar => 3,
            _ => 1,
        };
        let mut charge = ex.budget.charge();
        charge.add_bytes((cells * columns * 8 + cells / 8) as u64)?;
        let column = |wanted: bool| if wanted { vec![0.0; cells] } else { Vec::new() };
        Ok(Fold {
            op: a.op,
            n: grid.n,
            words,
            // Minus zero is what leaves any first summand as it is.
            a: if matches!(a.op, Sum | Avg) { vec![-0.0; cells] } else { column(true) },
            b: column(columns > 1),
            count: column(columns > 2),
            valid: vec![0; groups * words],
            incremental: if a.op == Avg { vec![0; groups * words] } else { Vec::new() },
            hists: BTreeMap::new(),
            span: a.input_span,
            notes: Annotations::default(),
            charge,
        })
    }

    fn take(&mut self, g: u32, row: &Row, name: &dyn Fn() -> String) {
        use AggregateOp::*;
        let (at, word) = (g as usize * self.n, g as usize * self.words);
        if bits::any(&row.valid) {
            let cells = at..at + self.n;
            let valid = &mut self.valid[word..word + self.words];
            match self.op {
                Sum => sum(&mut self.a[cells.clone()], &mut self.b[cells], row),
                Avg => {
                    let incremental = &mut self.incremental[word..word + self.words];
                    avg(&mut self.a[cells.clone()], &mut self.b[cells.clone()], &mut self.count[cells], incremental, row);
                }
                Min => extreme(&mut self.a[cells], valid, row, |now, v| now > v),
                Max => extreme(&mut self.a[cells], valid, row, |now, v| now < v),
                Count => count(&mut self.a[cells], row),
                Group => bits::ones(&row.valid).for_each(|k| self.a[at + k] = 1.0),
                _ => squares(&mut self.a[cells.clone()], &mut self.b[cells.clone()], &mut self.count[cells], row),
            }
            bits::or(&mut self.valid[word..word + self.words], &row.valid);
        }
        for (k, h) in &row.hist {
            let k = *k as usize;
            match self.op {
                Count | Group => {
                    self.a[at + k] = if self.op == Count { self.a[at + k] + 1.0 } else { 1.0 };
                    bits::set(&mut self.valid[word..word + self.words], k);
                }
                Sum | Avg => self.take_hist(g, k, h, name),
                _ => self.notes.add(Note::HistogramIgnoredIn(self.op.as_str()), "", self.span),
            }
        }
    }

    fn take_hist(&mut self, g: u32, k: usize, h: &Arc<FloatHistogram>, name: &dyn Fn() -> String) {
        let float_came_first = bits::get(&self.valid[g as usize * self.words..], k);
        let new = || {
            let sum = if float_came_first {
                HistSum::Nothing
            } else if self.op == AggregateOp::Avg {
                HistSum::Mean(Box::new(HistMean::new(h)))
            } else {
                HistSum::Sum(Box::new((**h).clone()), None)
            };
            HistFold { sum, incompatible: false, reset: h.reset_hint == ResetHint::Reset, not_reset: h.reset_hint == ResetHint::NotReset }
        };
        let fold = match self.hists.entry((g, k as u32)) {
            std::collections::btree_map::Entry::Vacant(e) => {
                e.insert(new());
                return;
            }
            std::collections::btree_map::Entry::Occupied(e) => e.into_mut(),
        };
        if fold.incompatible {
            return;
        }
        let merged = match &mut fold.sum {
            HistSum::Nothing => return,
            HistSum::Sum(sum, c) => {
                let mut lost = c.take().map(|c| *c);
                let merged = sum.add_kahan(h, &mut lost).map(|m| m.bounds_reconciled);
                *c = lost.map(Box::new);
                merged
            }
            HistSum::Mean(mean) => mean.add(h),
        };
        fold.reset |= h.reset_hint == ResetHint::Reset;
        fold.not_reset |= h.reset_hint == ResetHint::NotReset;
        match merged {
            Err(_) => {
                fold.incompatible = true;
                self.notes.add(Note::MixedExponentialCustom, &name(), self.span);
            }
            Ok(true) => self.notes.add(Note::BoundsReconciled(HistOp::Aggregation), "", self.span),
            Ok(false) => {}
        }
    }

    fn finish(mut self, ex: &Exec<'_>, metas: Vec<Meta>, grid: Grid) -> Result<Matrix, QueryError> {
        use AggregateOp::*;
        match self.op {
            Sum => self.a.iter_mut().zip(&self.b).for_each(|(a, c)| *a = kahan::total(*a, *c)),
            Avg => {
                for g in 0..metas.len() {
                    for k in bits::ones(&self.valid[g * self.words..(g + 1) * self.words]) {
                        let i = g * self.n + k;
                        self.a[i] = mean(self.a[i], self.b[i], self.count[i], bits::get(&self.incremental[g * self.words..], k));
                    }
                }
            }
            Stdvar => self.a.iter_mut().zip(&self.b).zip(&self.count).for_each(|((a, b), n)| *a = b / n),
            Stddev => self.a.iter_mut().zip(&self.b).zip(&self.count).for_each(|((a, b), n)| *a = (b / n).sqrt()),
            _ => {}
        }
        let mut hists: BTreeMap<u32, Vec<(u32, Arc<FloatHistogram>)>> = BTreeMap::new();
        for ((g, k), fold) in std::mem::take(&mut self.hists) {
            let valid = &mut self.valid[g as usize * self.words..(g as usize + 1) * self.words];
            if bits::get(valid, k as usize) {
                bits::clear(valid, k as usize);
                self.notes.add(Note::MixedFloatsHistogramsAggregation, "", self.span);
                continue;
            }
            if fold.incompatible {
                continue;
            }
            let sum = match fold.sum {
                HistSum::Nothing => continue,
                HistSum::Sum(mut sum, c) => c.is_none_or(|c| sum.add(&c).is_ok()).then_some(*sum),
                HistSum::Mean(mean) => mean.finish().ok(),
            };
            let Some(mut sum) = sum else { continue };
            sum.compact(0);
            if fold.reset && fold.not_reset {
                self.notes.add(Note::ResetCollision(HistOp::Aggregation), "", self.span);
            }
            hists.entry(g).or_default().push((k, Arc::new(sum)));
        }
        ex.notes.lock().merge(self.notes);
        self.charge.add_samples(bits::count(&self.valid) as u64)?;
        let mut matrix = Matrix::from_columns(grid, metas, self.a, self.valid);
        hists.into_iter().for_each(|(g, h)| matrix.set_hists(g as usize, h));
        matrix.add_charge(self.charge);
        Ok(matrix)
    }
}

fn sum(sums: &mut [f64], c: &mut [f64], row: &Row) {
    for (w, word) in row.valid.iter().enumerate() {
        let from = w * 64;
        if *word == u64::MAX {
            let cells = sums[from..from + 64].iter_mut().zip(&mut c[from..from + 64]).zip(&row.v[from..from + 64]);
            cells.for_each(|((s, c), v)| kahan::add_lane(*v, s, c));
        } else {
            for k in bits::ones(std::slice::from_ref(word)) {
                kahan::add_lane(row.v[from + k], &mut sums[from + k], &mut c[from + k]);
            }
        }
    }
}

fn count(counts: &mut [f64], row: &Row) {
    for (w, word) in row.valid.iter().enumerate() {
        let from = w * 64;
        if *word == u64::MAX {
            counts[from..from + 64].iter_mut().for_each(|n| *n += 1.0);
        } else {
            bits::ones(std::slice::from_ref(word)).for_each(|k| counts[from + k] += 1.0);
        }
    }
}

/// Sums until a sum would overflow, from there on keeps the mean.
fn avg(sums: &mut [f64], c: &mut [f64], count: &mut [f64], incremental: &mut [u64], row: &Row) {
    for (w, word) in row.valid.iter().enumerate() {
        let from = w * 64;
        let overflows = |s: &[f64]| s.iter().zip(&row.v[from..from + 64]).fold(false, |any, (s, v)| any | (s + v).is_infinite());
        if *word == u64::MAX && incremental[w] == 0 && !overflows(&sums[from..from + 64]) {
            let cells = sums[from..from + 64].iter_mut().zip(&mut c[from..from + 64]).zip(&row.v[from..from + 64]);
            cells.for_each(|((s, c), v)| kahan::add_lane(*v, s, c));
            count[from..from + 64].iter_mut().for_each(|n| *n += 1.0);
        } else {
            bits::ones(std::slice::from_ref(word)).for_each(|k| avg_one(sums, c, count, incremental, from + k, row.v[from + k]));
        }
    }
}

fn avg_one(sums: &mut [f64], c: &mut [f64], count: &mut [f64], incremental: &mut [u64], k: usize, v: f64) {
    count[k] += 1.0;
    let n = count[k];
    if n == 1.0 {
        (sums[k], c[k]) = (v, 0.0);
        return;
    }
    if !bits::get(incremental, k) {
        let (s, lost) = kahan::add(v, sums[k], c[k]);
        if !s.is_infinite() {
            (sums[k], c[k]) = (s, lost);
            return;
        }
        bits::set(incremental, k);
        sums[k] /= n - 1.0;
        c[k] /= n - 1.0;
    }
    let q = (n - 1.0) / n;
    (sums[k], c[k]) = kahan::add(v / n, q * sums[k], q * c[k]);
}

/// What an average comes to. Of the compensation nothing is left where the sum reached the largest float.
fn mean(sum: f64, c: f64, n: f64, incremental: bool) -> f64 {
    match (incremental, c.is_nan()) {
        (true, _) => sum + c,
        (false, true) => sum / n,
        (false, false) => sum / n + c / n,
    }
}

fn extreme(best: &mut [f64], valid: &[u64], row: &Row, worse: impl Fn(f64, f64) -> bool) {
    for (w, word) in row.valid.iter().enumerate() {
        let from = w * 64;
        if *word == u64::MAX && valid[w] == u64::MAX {
            let cells = best[from..from + 64].iter_mut().zip(&row.v[from..from + 64]);
            cells.for_each(|(best, v)| *best = if worse(*best, *v) | best.is_nan() { *v } else { *best });
        } else {
            for k in bits::ones(std::slice::from_ref(word)).map(|b| from + b) {
                let v = row.v[k];
                if !bits::get(valid, k) || worse(best[k], v) || best[k].is_nan() {
                    best[k] = v;
                }
            }
        }
    }
}

/// Mean and sum of squared distances, kept up to date (Welford).
fn squares(mean: &mut [f64], sum: &mut [f64], count: &mut [f64], row: &Row) {
    for k in bits::ones(&row.valid) {
        let v = row.v[k];
        count[k] += 1.0;
        if count[k] == 1.0 {
            mean[k] = v;
            sum[k] = if v.is_finite() { 0.0 } else { f64::NAN };
            continue;
        }
        let delta = v - mean[k];
        mean[k] += delta / count[k];
        sum[k] += delta * (v - mean[k]);
    }
}

/// Notes about a quantile or ratio that is out of bounds.
fn quantiles<'p>(ex: &Exec<'_>, a: &Aggregate, q: &Scalar, stream: Stream<'p>, groups: Groups, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let (lowest, highest) = extent((0..grid.n).map(|k| q.get(k)));
    if highest.is_nan() {
        ex.note(Note::InvalidQuantile(f64::NAN), "", a.param_span);
    }
    if highest > 1.0 {
        ex.note(Note::InvalidQuantile(highest), "", a.param_span);
    }
    if lowest < 0.0 {
        ex.note(Note::InvalidQuantile(lowest), "", a.param_span);
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); groups.metas.len()];
    groups.of.iter().enumerate().for_each(|(i, g)| members[*g as usize].push(i as u32));
    let (matrix, _) = stream.rows(ex)?;
    let mut charge = ex.budget.charge();
    let mut out = Matrix::new(grid);
    let mut row = Row::new(grid);
    // Values of a run of steps side by side: rows are walked along, not across.
    const RUN: usize = 64;
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); RUN];
    let first_of = |members: &Vec<u32>| members.iter().copied().find(|i| !matrix.row(*i as usize).is_empty()).unwrap_or(u32::MAX);
    let first: Vec<u32> = members.iter().map(first_of).collect();
    for (meta, members) in groups.metas.into_iter().zip(members) {
        row.reset(grid);
        for w in 0..grid.words() {
            ex.budget.check()?;
            for i in &members {
                let r = matrix.row(*i as usize);
                for b in bits::ones(&[r.word(w)]) {
                    values[b].push(r.at(w * RUN + b));
                }
            }
            for (b, values) in values.iter_mut().enumerate().filter(|(_, v)| !v.is_empty()) {
                let k = w * RUN + b;
                row.set(k, quantile(q.get(k), values));
                values.clear();
            }
        }
        charge.add_samples(row.view().samples())?;
        charge.add_bytes(out.push(meta, row.view()))?;
    }
    if (0..matrix.len()).any(|i| !matrix.row(i).hist.is_empty()) {
        ex.note(Note::HistogramIgnoredIn("quantile"), "", a.input_span);
    }
    out.add_charge(charge);
    by_first_series(&mut out, &first);
    Ok(Stream::from_matrix(out, grid))
}

/// A group for every value that occurs, named by the value.
fn count_values<'p>(ex: &Exec<'_>, a: &Aggregate, label: &str, grid: Grid) -> Result<Stream<'p>, QueryError> {
    if label.is_empty() {
        return Err(QueryError::execution(format!("invalid label name {}", quote(label))));
    }
    let mut grouping = a.grouping.clone();
    if !a.without {
        grouping.push(label.to_string());
    }
    let mut stream = vector(ex, &a.input, grid)?;
    let labels: Vec<Labels> = stream.series.named().iter().map(|m| m.labels.clone()).collect();
    let mut place: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut rows: Vec<(Labels, Row)> = Vec::new();
    let mut charge = ex.budget.charge();
    stream.for_each(ex, &mut |i, row| {
        let mut group_of = |text: &str| -> Result<usize, QueryError> {
            let labels = names::group_labels(&labels[i].with(label, text), &grouping, a.without);
            if let Some(at) = place.get(&labels) {
                return Ok(*at);
            }
            charge.add_bytes((grid.n * 8) as u64)?;
            place.insert(labels.clone(), rows.len());
            rows.push((labels, Row::new(grid)));
            Ok(rows.len() - 1)
        };
        let mut steps: Vec<(usize, usize)> = Vec::new();
        let mut known: HashMap<u64, usize, foldhash::fast::RandomState> = HashMap::default();
        for k in bits::ones(&row.valid) {
            let at = match known.get(&row.v[k].to_bits()) {
                Some(at) => *at,
                None => {
                    let at = group_of(&format_f(row.v[k]))?;
                    known.insert(row.v[k].to_bits(), at);
                    at
                }
            };
            steps.push((k, at));
        }
        for (k, h) in &row.hist {
            steps.push((*k as usize, group_of(&h.to_string())?));
        }
        for (k, at) in steps {
            let counted = &mut rows[at].1;
            let so_far = if bits::get(&counted.valid, k) { counted.v[k] } else { 0.0 };
            counted.set(k, so_far + 1.0);
        }
        Ok(())
    })?;
    let mut out = Matrix::new(grid);
    for (labels, row) in rows {
        charge.add_samples(row.view().samples())?;
        out.push(Meta { labels, drop_name: false }, row.view());
    }
    out.add_charge(charge);
    Ok(Stream::from_matrix(out, grid))
}
