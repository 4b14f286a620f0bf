//! The data between operators: a grid of steps, a row (one series over all steps), a matrix of rows.

use super::limits::Charge;
use model::{FloatHistogram, Labels};
use std::sync::Arc;

/// Evaluation times: `start`, `start + step`, ...; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub start_ms: i64,
    /// At least 1.
    pub step_ms: i64,
    pub n: usize,
}

impl Grid {
    pub fn instant(t_ms: i64) -> Grid {
        Grid { start_ms: t_ms, step_ms: 1, n: 1 }
    }

    #[inline]
    pub fn time(&self, k: usize) -> i64 {
        self.start_ms + self.step_ms * k as i64
    }

    pub fn end_ms(&self) -> i64 {
        self.time(self.n.saturating_sub(1))
    }

    /// 64-bit words of a set of steps.
    pub fn words(&self) -> usize {
        self.n.div_ceil(64)
    }
}

/// Sets of steps, as words of 64.
pub mod bits {
    #[inline]
    pub fn get(set: &[u64], k: usize) -> bool {
        set[k / 64] >> (k % 64) & 1 == 1
    }

    #[inline]
    pub fn set(set: &mut [u64], k: usize) {
        set[k / 64] |= 1 << (k % 64);
    }

    #[inline]
    pub fn clear(set: &mut [u64], k: usize) {
        set[k / 64] &= !(1 << (k % 64));
    }

    pub fn count(set: &[u64]) -> usize {
        set.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub fn any(set: &[u64]) -> bool {
        set.iter().any(|w| *w != 0)
    }

    /// Sets the first `n`.
    pub fn fill(set: &mut [u64], n: usize) {
        let (full, rest) = (n / 64, n % 64);
        set[..full].fill(u64::MAX);
        if rest > 0 {
            set[full] = (1 << rest) - 1;
        }
    }

    pub fn or(into: &mut [u64], other: &[u64]) {
        into.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
    }

    /// The members in rising order.
    pub fn ones(set: &[u64]) -> impl Iterator<Item = usize> + '_ {
        set.iter().enumerate().flat_map(|(w, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                Some(w * 64 + bit)
            })
        })
    }
}

/// Name of an output series.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    pub labels: Labels,
    /// The metric name (and type and unit) goes when the query is done: with delayed name removal.
    pub drop_name: bool,
}

/// Histograms of a series at steps, rising.
pub type Hists = Vec<(u32, Arc<FloatHistogram>)>;

/// One series over all steps. At a step there is a float, a histogram or nothing.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// As long as the grid; only where `valid`.
    pub v: Vec<f64>,
    pub valid: Vec<u64>,
    pub hist: Hists,
}

impl Row {
    pub fn new(grid: Grid) -> Row {
        Row { v: vec![0.0; grid.n], valid: vec![0; grid.words()], hist: Vec::new() }
    }

    /// Empties it for a grid, keeping its memory.
    pub fn reset(&mut self, grid: Grid) {
        self.v.resize(grid.n, 0.0);
        self.valid.clear();
        self.valid.resize(grid.words(), 0);
        self.hist.clear();
    }

    #[inline]
    pub fn set(&mut self, k: usize, v: f64) {
        self.v[k] = v;
        bits::set(&mut self.valid, k);
    }

    /// Steps must come in rising order.
    pub fn set_hist(&mut self, k: usize, h: Arc<FloatHistogram>) {
        self.hist.push((k as u32, h));
    }

    pub fn is_empty(&self) -> bool {
        self.hist.is_empty() && !bits::any(&self.valid)
    }

    pub fn view(&self) -> RowRef<'_> {
        RowRef { v: &self.v, valid: &self.valid, hist: &self.hist }
    }

    pub fn drop_floats(&mut self) {
        self.valid.fill(0);
    }
}

/// A row that lives elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    pub v: &'a [f64],
    pub valid: &'a [u64],
    pub hist: &'a [(u32, Arc<FloatHistogram>)],
}

/// What a series has at a step.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    Float(f64),
    Hist(&'a Arc<FloatHistogram>),
}

impl<'a> RowRef<'a> {
    pub fn is_empty(&self) -> bool {
        self.hist.is_empty() && !bits::any(self.valid)
    }

    pub fn cell(&self, k: usize) -> Option<Cell<'a>> {
        if bits::get(self.valid, k) {
            return Some(Cell::Float(self.v[k]));
        }
        if self.hist.is_empty() {
            return None;
        }
        self.hist.binary_search_by_key(&(k as u32), |(k, _)| *k).ok().map(|i| Cell::Hist(&self.hist[i].1))
    }

    /// Steps with anything, added to a set.
    pub fn add_presence(&self, set: &mut [u64]) {
        bits::or(set, self.valid);
        for (k, _) in self.hist {
            bits::set(set, *k as usize);
        }
    }

    /// What limits count: floats are one sample each, histograms 16 bytes a sample.
    pub fn samples(&self) -> u64 {
        let hists: usize = self.hist.iter().map(|(_, h)| hist_samples(h)).sum();
        (bits::count(self.valid) + hists) as u64
    }

    pub fn copy_to(&self, row: &mut Row) {
        row.v.clear();
        row.v.extend_from_slice(self.v);
        row.valid.clear();
        row.valid.extend_from_slice(self.valid);
        row.hist.clear();
        row.hist.extend_from_slice(self.hist);
    }
}

/// A histogram in samples of 16 bytes.
pub fn hist_samples(h: &FloatHistogram) -> usize {
    (h.size() + 8) / 16
}

/// Rows side by side in one piece of memory.
#[derive(Debug, Default)]
pub struct Matrix {
    n: usize,
    words: usize,
    metas: Vec<Meta>,
    v: Vec<f64>,
    valid: Vec<u64>,
    /// Empty when no row has any histogram, else one entry for each row.
    hist: Vec<Hists>,
    charges: Vec<Charge>,
}

impl Matrix {
    pub fn new(grid: Grid) -> Matrix {
        Matrix { n: grid.n, words: grid.words(), ..Matrix::default() }
    }

    /// With rows that are all empty. Memory that is never written to costs nothing.
    pub fn zeroed(grid: Grid, metas: Vec<Meta>) -> Matrix {
        let rows = metas.len();
        Matrix {
            n: grid.n,
            words: grid.words(),
            v: vec![0.0; rows * grid.n],
            valid: vec![0; rows * grid.words()],
            hist: Vec::new(),
            metas,
            charges: Vec::new(),
        }
    }

    /// From columns that were computed side by side.
    pub fn from_parts(grid: Grid, metas: Vec<Meta>, v: Vec<f64>, valid: Vec<u64>) -> Matrix {
        Matrix { n: grid.n, words: grid.words(), metas, v, valid, hist: Vec::new(), charges: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.metas.len()
    }

    pub fn meta(&self, i: usize) -> &Meta {
        &self.metas[i]
    }

    pub fn metas(&self) -> &[Meta] {
        &self.metas
    }

    /// Keeps account of the memory as long as the matrix lives.
    pub fn add_charge(&mut self, charge: Charge) {
        self.charges.push(charge);
    }

    #[inline]
    pub fn row(&self, i: usize) -> RowRef<'_> {
        RowRef {
            v: &self.v[i * self.n..(i + 1) * self.n],
            valid: &self.valid[i * self.words..(i + 1) * self.words],
            hist: self.hist.get(i).map_or(&[], Vec::as_slice),
        }
    }

    pub fn push(&mut self, meta: Meta, row: RowRef<'_>) {
        self.metas.push(meta);
        self.v.extend_from_slice(row.v);
        self.valid.extend_from_slice(row.valid);
        if !row.hist.is_empty() || !self.hist.is_empty() {
            self.hist.resize(self.metas.len(), Hists::new());
            self.hist[self.metas.len() - 1] = row.hist.to_vec();
        }
    }

    /// The float parts of all rows, to be filled by several threads, and the histograms.
    pub fn parts_mut(&mut self) -> (&mut [f64], &mut [u64]) {
        (&mut self.v, &mut self.valid)
    }

    pub fn set_hists(&mut self, i: usize, hists: Hists) {
        if hists.is_empty() {
            return;
        }
        self.hist.resize(self.metas.len(), Hists::new());
        self.hist[i] = hists;
    }

    pub fn metas_mut(&mut self) -> &mut Vec<Meta> {
        &mut self.metas
    }
}
