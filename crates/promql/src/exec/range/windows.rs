//! Which samples lie in which window. Series of one target are scraped together and so have the same times: what was found for one holds for
//! the next ones, and only their values are looked at.

use super::Frame;
use crate::exec::rows::{Grid, bits};

/// The windows of one column of times that hold any sample, by number.
#[derive(Default)]
pub struct Windows {
    /// The times that all of this is about.
    t: Vec<i64>,
    known: bool,
    /// The step of each window, its first sample, and the one behind its last.
    pub k: Vec<u32>,
    pub from: Vec<u32>,
    pub to: Vec<u32>,
    /// Samples in all windows together.
    pub counted: u64,
    /// Steps whose windows are enough for the function.
    pub valid: Vec<u64>,
    /// One number for each window: what a function knows from the times alone.
    pub factor: Vec<f64>,
    /// For regressions: distance in seconds of each sample of each window, one window after the other; and their sum and sum of squares.
    pub x: Vec<f64>,
    pub sums: Vec<(f64, f64)>,
}

impl Windows {
    /// Finds the windows for these times; false when they are the same as before, and everything is known already. `least`: samples that make
    /// a window valid.
    pub fn look(&mut self, t: &[i64], frame: &Frame, grid: Grid, least: usize) -> bool {
        if self.known && self.t == t {
            return false;
        }
        // One window is found sooner than times are compared.
        self.known = grid.n > 1;
        self.t.clear();
        if self.known {
            self.t.extend_from_slice(t);
        }
        [&mut self.k, &mut self.from, &mut self.to].into_iter().for_each(Vec::clear);
        [&mut self.factor, &mut self.x].into_iter().for_each(Vec::clear);
        self.sums.clear();
        self.valid.clear();
        self.valid.resize(grid.words(), 0);
        self.counted = 0;
        let mut end = frame.reference(grid, 0);
        let mut to = t.partition_point(|t| *t <= end);
        let mut from = t[..to].partition_point(|t| *t <= end - frame.range_ms);
        for k in 0..grid.n {
            while to < t.len() && t[to] <= end {
                to += 1;
            }
            while from < to && t[from] <= end - frame.range_ms {
                from += 1;
            }
            if from < to {
                self.counted += (to - from) as u64;
                self.k.push(k as u32);
                self.from.push(from as u32);
                self.to.push(to as u32);
                if to - from >= least {
                    bits::set(&mut self.valid, k);
                }
            }
            end += grid.step_ms;
        }
        true
    }

    pub fn len(&self) -> usize {
        self.k.len()
    }

    /// Step, first sample, and the one behind the last, of every window.
    #[inline]
    pub fn each(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.k.iter().zip(&self.from).zip(&self.to).map(|((k, from), to)| (*k as usize, *from as usize, *to as usize))
    }
}
