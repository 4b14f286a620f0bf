//! topk, bottomk, limitk, limit_ratio: series keep their labels, and some of their samples.

use super::aggregate::Groups;
use super::quantile::extent;
use super::rows::{Grid, Matrix, Meta, Row, bits};
use super::series::Series;
use super::sort::go_sort;
use super::stream::Stream;
use super::{Exec, Scalar};
use crate::annotations::Note;
use crate::engine::QueryError;
use crate::parse::ast::AggregateOp;
use crate::plan::Aggregate;
use model::number::format_g;

/// The largest and smallest float that becomes a 64-bit integer.
const MAX_INT: f64 = 9_223_372_036_854_774_784.0;
const MIN_INT: f64 = -9_223_372_036_854_775_808.0;

pub fn evaluate<'p>(ex: &Exec<'_>, a: &Aggregate, param: &Scalar, stream: Stream<'p>, groups: &Groups, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let (lowest, highest) = extent((0..grid.n).map(|k| param.get(k)));
    if a.op == AggregateOp::LimitRatio {
        if highest == 0.0 && lowest == 0.0 {
            return Ok(Stream::from_matrix(Matrix::new(grid), grid));
        }
        if highest.is_nan() {
            return Err(QueryError::execution("Ratio value is NaN"));
        }
        if highest > 1.0 {
            ex.note(Note::InvalidRatio { got: highest, capped: 1.0 }, "", a.param_span);
        }
        if lowest < -1.0 {
            ex.note(Note::InvalidRatio { got: lowest, capped: -1.0 }, "", a.param_span);
        }
        return by_ratio(ex, param, stream, grid);
    }
    if highest < 1.0 {
        return Ok(Stream::from_matrix(Matrix::new(grid), grid));
    }
    if highest.is_nan() {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    if lowest <= MIN_INT {
        return Err(QueryError::execution(format!("Scalar value {} underflows int64", format_g(lowest))));
    }
    if highest >= MAX_INT {
        return Err(QueryError::execution(format!("Scalar value {} overflows int64", format_g(highest))));
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); groups.metas.len()];
    groups.of.iter().enumerate().for_each(|(i, g)| members[*g as usize].push(i as u32));
    let (matrix, series) = stream.rows(ex)?;
    if a.op == AggregateOp::Limitk {
        first_k(&matrix, &series, param, &members, grid)
    } else {
        best_k(ex, a, &matrix, &series, param, &members, grid)
    }
}

/// Keeps samples of the rows as a set of (row, step) tells.
struct Kept {
    words: usize,
    keep: Vec<u64>,
}

impl Kept {
    fn new(rows: usize, grid: Grid) -> Self {
        Kept { words: grid.words(), keep: vec![0; rows * grid.words()] }
    }

    fn add(&mut self, row: usize, k: usize) {
        bits::set(&mut self.keep[row * self.words..(row + 1) * self.words], k);
    }

    /// The rows in the given order, with only what was kept.
    fn apply<'p>(&self, from: &Matrix, series: &Series, order: impl Iterator<Item = usize>, grid: Grid) -> Stream<'p> {
        let mut out = Matrix::new(grid);
        let mut row = Row::new(grid);
        for i in order {
            let keep = &self.keep[i * self.words..(i + 1) * self.words];
            if !bits::any(keep) {
                continue;
            }
            from.row(i).copy_to(grid, &mut row);
            row.valid.iter_mut().zip(keep).for_each(|(a, b)| *a &= b);
            row.hist.retain(|(k, _)| bits::get(keep, *k as usize));
            out.push(series.meta(i), row.view());
        }
        Stream::from_matrix(out, grid)
    }
}

fn limit(param: &Scalar, k: usize, series: usize) -> usize {
    // Truncated as a conversion to an integer does.
    let n = param.get(k);
    if n < 1.0 { 0 } else { (n as usize).min(series) }
}

fn first_k<'p>(matrix: &Matrix, series: &Series, param: &Scalar, members: &[Vec<u32>], grid: Grid) -> Result<Stream<'p>, QueryError> {
    let mut kept = Kept::new(matrix.len(), grid);
    let mut taken = vec![0usize; grid.n];
    for group in members {
        taken.fill(0);
        for i in group {
            let mut present = vec![0u64; grid.words()];
            matrix.row(*i as usize).add_presence(&mut present);
            for k in bits::ones(&present) {
                if taken[k] < limit(param, k, matrix.len()) {
                    taken[k] += 1;
                    kept.add(*i as usize, k);
                }
            }
        }
    }
    Ok(kept.apply(matrix, series, 0..matrix.len(), grid))
}

/// Heap of a step: the worst that is still in on top. The steps of Go's heap, so that of equal values the same ones stay.
struct Heap {
    top: bool,
    items: Vec<(f64, u32)>,
}

impl Heap {
    /// Worse than: what is no number is worst of all.
    fn less(&self, i: usize, j: usize) -> bool {
        let (a, b) = (self.items[i].0, self.items[j].0);
        a.is_nan() || if self.top { a < b } else { a > b }
    }

    fn offer(&mut self, limit: usize, v: f64, row: u32) {
        if self.items.len() < limit {
            self.items.push((v, row));
            self.up(self.items.len() - 1);
            return;
        }
        let worst = self.items[0].0;
        if (if self.top { worst < v } else { worst > v }) || (worst.is_nan() && !v.is_nan()) {
            self.items[0] = (v, row);
            self.down();
        }
    }

    fn up(&mut self, mut j: usize) {
        while j > 0 {
            let i = (j - 1) / 2;
            if i == j || !self.less(j, i) {
                break;
            }
            self.items.swap(i, j);
            j = i;
        }
    }

    fn down(&mut self) {
        let (n, mut i) = (self.items.len(), 0);
        loop {
            let left = 2 * i + 1;
            if left >= n {
                break;
            }
            let right = left + 1;
            let j = if right < n && self.less(right, left) { right } else { left };
            if !self.less(j, i) {
                break;
            }
            self.items.swap(i, j);
            i = j;
        }
    }
}

fn best_k<'p>(
    ex: &Exec<'_>,
    a: &Aggregate,
    matrix: &Matrix,
    series: &Series,
    param: &Scalar,
    members: &[Vec<u32>],
    grid: Grid,
) -> Result<Stream<'p>, QueryError> {
    const RUN: usize = 64;
    let top = a.op == AggregateOp::Topk;
    let mut kept = Kept::new(matrix.len(), grid);
    let mut order: Vec<usize> = Vec::new();
    let mut heaps: Vec<Heap> = (0..RUN).map(|_| Heap { top, items: Vec::new() }).collect();
    for group in members {
        for w in 0..grid.words() {
            ex.budget.check()?;
            for i in group {
                let row = matrix.row(*i as usize);
                for b in bits::ones(&[row.word(w)]) {
                    let k = w * RUN + b;
                    let limit = limit(param, k, matrix.len());
                    if limit > 0 {
                        heaps[b].offer(limit, row.at(k), *i);
                    }
                }
            }
            for (b, heap) in heaps.iter_mut().enumerate() {
                heap.items.iter().for_each(|(_, i)| kept.add(*i as usize, w * RUN + b));
                if grid.n == 1 && b == 0 {
                    // The best first, what is no number last.
                    go_sort(&mut heap.items, |(x, _), (y, _)| y.is_nan() || if top { y < x } else { y > x });
                    order.extend(heap.items.iter().map(|(_, i)| *i as usize));
                }
                heap.items.clear();
            }
        }
    }
    if (0..matrix.len()).any(|i| !matrix.row(i).hist.is_empty()) {
        ex.note(Note::HistogramIgnoredIn(a.op.as_str()), "", a.span);
    }
    if grid.n == 1 { Ok(kept.apply(matrix, series, order.into_iter(), grid)) } else { Ok(kept.apply(matrix, series, 0..matrix.len(), grid)) }
}

/// A fixed share of the series, told by the hash of their labels.
fn by_ratio<'p>(ex: &Exec<'_>, param: &Scalar, mut stream: Stream<'p>, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let mut out = Matrix::new(grid);
    let mut charge = ex.budget.charge();
    let metas: Vec<Meta> = stream.series.named().clone();
    stream.for_each(ex, &mut |i, row| {
        let meta = &metas[i];
        let offset = meta.labels.stable_hash() as f64 / u64::MAX as f64;
        let inside = |k: usize| {
            let r = param.get(k).clamp(-1.0, 1.0);
            r != 0.0 && ((r > 0.0 && offset < r) || (r < 0.0 && offset >= 1.0 + r))
        };
        for k in 0..grid.n {
            if !inside(k) {
                bits::clear(&mut row.valid, k);
            }
        }
        row.hist.retain(|(k, _)| inside(*k as usize));
        if !row.is_empty() {
            charge.add_samples(row.view().samples())?;
            charge.add_bytes(out.push(meta.clone(), row.view()))?;
        }
        Ok(())
    })?;
    out.add_charge(charge);
    Ok(Stream::from_matrix(out, grid))
}
