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
    /// Moves the times of `@`. Not 0 only inside a subquery with an offset that begins where its parent does: there the reference counts the
    /// offset once more, and so must we.
    pub pinned_shift_ms: i64,
}

impl Grid {
    pub fn instant(t_ms: i64) -> Grid {
        Grid { start_ms: t_ms, step_ms: 1, n: 1, pinned_shift_ms: 0 }
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
        RowRef { from: 0, v: &self.v, valid: &self.valid, hist: &self.hist }
    }

    pub fn drop_floats(&mut self) {
        self.valid.fill(0);
    }
}

/// A row that lives elsewhere: only the steps from its first sample to its last, in whole words.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    /// The word of steps that `v` and `valid` begin with.
    from: usize,
    v: &'a [f64],
    valid: &'a [u64],
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
        self.hist.is_empty() && !self.has_floats()
    }

    pub fn has_floats(&self) -> bool {
        bits::any(self.valid)
    }

    pub fn float_count(&self) -> usize {
        bits::count(self.valid)
    }

    /// The steps `64 * w` to `64 * w + 63` that have floats.
    #[inline]
    pub fn word(&self, w: usize) -> u64 {
        w.checked_sub(self.from).and_then(|w| self.valid.get(w)).copied().unwrap_or(0)
    }

    /// The float at a step that has one.
    #[inline]
    pub fn at(&self, k: usize) -> f64 {
        self.v[k - self.from * 64]
    }

    #[inline]
    pub fn float(&self, k: usize) -> Option<f64> {
        (self.word(k / 64) >> (k % 64) & 1 == 1).then(|| self.at(k))
    }

    pub fn cell(&self, k: usize) -> Option<Cell<'a>> {
        if let Some(v) = self.float(k) {
            return Some(Cell::Float(v));
        }
        if self.hist.is_empty() {
            return None;
        }
        self.hist.binary_search_by_key(&(k as u32), |(k, _)| *k).ok().map(|i| Cell::Hist(&self.hist[i].1))
    }

    /// Steps and floats in order.
    pub fn floats(self) -> impl Iterator<Item = (usize, f64)> + 'a {
        let first = self.from * 64;
        bits::ones(self.valid).map(move |k| (first + k, self.v[k]))
    }

    /// Calls `each` with steps and floats in order: the quick way where all steps have one.
    #[inline]
    pub fn each_float(&self, mut each: impl FnMut(usize, f64)) {
        for (w, word) in self.valid.iter().enumerate() {
            let first = (self.from + w) * 64;
            if *word == u64::MAX {
                self.v[w * 64..w * 64 + 64].iter().enumerate().for_each(|(b, v)| each(first + b, *v));
            } else {
                bits::ones(std::slice::from_ref(word)).for_each(|b| each(first + b, self.v[w * 64 + b]));
            }
        }
    }

    /// The first step that it covers, and floats from there on; those that are not valid mean nothing.
    pub fn covered(&self) -> (usize, &'a [f64]) {
        (self.from * 64, self.v)
    }

    /// Steps with anything, added to a set.
    pub fn add_presence(&self, set: &mut [u64]) {
        if !self.valid.is_empty() {
            bits::or(&mut set[self.from..], self.valid);
        }
        for (k, _) in self.hist {
            bits::set(set, *k as usize);
        }
    }

    /// What limits count: floats are one sample each, histograms 16 bytes a sample.
    pub fn samples(&self) -> u64 {
        let hists: usize = self.hist.iter().map(|(_, h)| hist_samples(h)).sum();
        (self.float_count() + hists) as u64
    }

    pub fn copy_to(&self, grid: Grid, row: &mut Row) {
        row.reset(grid);
        let first = self.from * 64;
        row.v[first..first + self.v.len()].copy_from_slice(self.v);
        row.valid[self.from..self.from + self.valid.len()].copy_from_slice(self.valid);
        row.hist.extend_from_slice(self.hist);
    }
}

/// A histogram in samples of 16 bytes.
pub fn hist_samples(h: &FloatHistogram) -> usize {
    (h.size() + 8) / 16
}

/// Slices one behind the other, in pieces that never move.
#[derive(Debug)]
struct Arena<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { pieces: Vec::new() }
    }
}

impl<T: Copy> Arena<T> {
    const SMALLEST_PIECE: usize = 256;
    const LARGEST_PIECE: usize = 1 << 17;

    /// Copies a slice in; returns its place.
    fn push(&mut self, slice: &[T]) -> (u32, usize) {
        let room = self.pieces.last().is_some_and(|p| p.capacity() - p.len() >= slice.len());
        if !room {
            let grown = self.pieces.last().map_or(Self::SMALLEST_PIECE, |p| (p.capacity() * 4).min(Self::LARGEST_PIECE));
            self.pieces.push(Vec::with_capacity(grown.max(slice.len())));
        }
        let last = self.pieces.len() - 1;
        let piece = &mut self.pieces[last];
        let at = piece.len();
        piece.extend_from_slice(slice);
        (last as u32, at)
    }

    /// Takes a vector over as a piece of its own.
    fn adopt(&mut self, piece: Vec<T>) -> u32 {
        self.pieces.push(piece);
        self.pieces.len() as u32 - 1
    }

    fn get(&self, (piece, at): (u32, usize), len: usize) -> &[T] {
        &self.pieces[piece as usize][at..at + len]
    }
}

/// Where a row's floats are.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    from: u32,
    words: u32,
    v: (u32, usize),
    valid: (u32, usize),
}

/// Rows, each from its first sample to its last.
#[derive(Debug, Default)]
pub struct Matrix {
    n: usize,
    /// Empty where nobody needs names; else one for each row.
    metas: Vec<Meta>,
    slots: Vec<Slot>,
    v: Arena<f64>,
    valid: Arena<u64>,
    /// Empty when no row has any histogram, else one entry for each row.
    hist: Vec<Hists>,
    charges: Vec<Charge>,
}

impl Matrix {
    pub fn new(grid: Grid) -> Matrix {
        Matrix { n: grid.n, ..Matrix::default() }
    }

    /// From whole columns that were computed side by side.
    pub fn from_columns(grid: Grid, metas: Vec<Meta>, v: Vec<f64>, valid: Vec<u64>) -> Matrix {
        let mut m = Matrix::new(grid);
        let words = grid.words();
        let (v, valid) = (m.v.adopt(v), m.valid.adopt(valid));
        m.slots = (0..metas.len()).map(|i| Slot { from: 0, words: words as u32, v: (v, i * grid.n), valid: (valid, i * words) }).collect();
        m.metas = metas;
        m
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn meta(&self, i: usize) -> &Meta {
        &self.metas[i]
    }

    pub fn metas(&self) -> &[Meta] {
        &self.metas
    }

    /// Takes the names out: rows stay without.
    pub fn take_metas(&mut self) -> Vec<Meta> {
        std::mem::take(&mut self.metas)
    }

    pub fn set_metas(&mut self, metas: Vec<Meta>) {
        self.metas = metas;
    }

    /// Keeps account of the memory as long as the matrix lives.
    pub fn add_charge(&mut self, charge: Charge) {
        self.charges.push(charge);
    }

    /// Memory that is charged for it.
    pub fn charged_bytes(&self) -> u64 {
        self.charges.iter().map(Charge::bytes).sum()
    }

    /// Floats of `words` words that begin with word `from`; the last word of all may be cut.
    fn cells(&self, from: usize, words: usize) -> usize {
        (words * 64).min(self.n - (from * 64).min(self.n))
    }

    #[inline]
    pub fn row(&self, i: usize) -> RowRef<'_> {
        let s = &self.slots[i];
        let (from, words) = (s.from as usize, s.words as usize);
        let hist = self.hist.get(i).map_or(&[][..], Vec::as_slice);
        if words == 0 {
            return RowRef { from, v: &[], valid: &[], hist };
        }
        RowRef { from, v: self.v.get(s.v, self.cells(from, words)), valid: self.valid.get(s.valid, words), hist }
    }

    /// Copies a row; returns about how many bytes it took. Steps before its first and behind its last sample take none.
    pub fn push(&mut self, meta: Meta, row: RowRef<'_>) -> u64 {
        self.metas.push(meta);
        self.push_row(row) + size_of::<Meta>() as u64
    }

    /// Copies a row that has no name, or has one already.
    pub fn push_row(&mut self, row: RowRef<'_>) -> u64 {
        let first = row.valid.iter().position(|w| *w != 0).unwrap_or(row.valid.len());
        let words = row.valid.iter().rposition(|w| *w != 0).map_or(0, |last| last + 1 - first);
        let mut slot = Slot::default();
        if words > 0 {
            (slot.from, slot.words) = ((row.from + first) as u32, words as u32);
            let cells = self.cells(row.from + first, words);
            slot.v = self.v.push(&row.v[first * 64..first * 64 + cells]);
            slot.valid = self.valid.push(&row.valid[first..first + words]);
        }
        self.slots.push(slot);
        if !row.hist.is_empty() || !self.hist.is_empty() {
            self.hist.resize(self.slots.len(), Hists::new());
            self.hist[self.slots.len() - 1] = row.hist.to_vec();
        }
        let hists: usize = row.hist.iter().map(|(_, h)| h.size() + size_of::<(u32, Arc<FloatHistogram>)>()).sum();
        (words * 65 * 8 + size_of::<Slot>() + hists) as u64
    }

    /// Puts the rows into another order; `order` has the number of each once.
    pub fn reorder(&mut self, order: &[u32]) {
        self.slots = order.iter().map(|i| self.slots[*i as usize]).collect();
        self.metas = order.iter().filter_map(|i| self.metas.get(*i as usize)).cloned().collect();
        if !self.hist.is_empty() {
            self.hist.resize(self.slots.len(), Hists::new());
            self.hist = order.iter().map(|i| std::mem::take(&mut self.hist[*i as usize])).collect();
        }
    }

    pub fn set_hists(&mut self, i: usize, hists: Hists) {
        if hists.is_empty() {
            return;
        }
        self.hist.resize(self.slots.len(), Hists::new());
        self.hist[i] = hists;
    }
}
