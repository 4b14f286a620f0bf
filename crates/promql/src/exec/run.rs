//! Computes the rows of a stream and hands them over in order: alone, or by several threads.
//!
//! Threads take runs of series from a counter. Whoever finds that the next run in order is ready hands it over, and what lies ready behind it;
//! a thread that is ahead leaves its run and goes on. Only when too much lies ready does it wait.

use super::Exec;
use super::limits::Charge;
use super::profile::{Cost, Profile};
use super::range::windows::Windows;
use super::rows::Row;
use super::select::NewestAt;
use super::stream::{Source, Stream};
use crate::annotations::Annotations;
use crate::engine::QueryError;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use storage::SeriesData;

/// Working memory of one thread.
#[derive(Default)]
pub struct Scratch {
    pub data: SeriesData,
    pub notes: Annotations,
    /// Samples looked at and read.
    pub total: u64,
    pub read: u64,
    pub per_step: Option<(Vec<u64>, Vec<u64>)>,
    pub indices: Vec<u32>,
    pub values: Vec<f64>,
    pub windows: Windows,
    pub newest: NewestAt,
    /// What reading took since it was last asked.
    pub reading: Cost,
    /// Most samples that a series needed so far.
    largest: u64,
    /// Memory of the columns.
    charge: Option<Charge>,
}

impl Scratch {
    pub fn new(ex: &Exec<'_>) -> Self {
        let n = ex.grid.n;
        Scratch { per_step: ex.per_step.as_ref().map(|_| (vec![0; n], vec![0; n])), charge: Some(ex.budget.charge()), ..Scratch::default() }
    }

    /// Counts samples of a step, if it is one of the query's own steps.
    #[inline]
    pub fn count(&mut self, own_grid: bool, k: usize, total: u64, read: u64) {
        self.total += total;
        self.read += read;
        if let (true, Some((t, r))) = (own_grid, self.per_step.as_mut()) {
            t[k] += total;
            r[k] += read;
        }
    }

    /// Reads a series into columns; these count as memory while the thread holds them.
    pub fn read(
        &mut self,
        ex: &Exec<'_>,
        data: &mut SeriesData,
        read: impl FnOnce(&mut SeriesData) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let began = ex.profile.map(Profile::now);
        read(data)?;
        let columns = 8 * (data.t_ms.capacity() + data.v.capacity() + data.st_ms.capacity());
        let held = if data.hist.is_empty() { columns } else { columns.max(data.size_bytes()) } as u64;
        if let Some(charge) = self.charge.as_mut().filter(|c| c.bytes() < held) {
            charge.add_bytes(held - charge.bytes())?;
        }
        if let Some((profile, began)) = ex.profile.zip(began) {
            let time = profile.now().saturating_sub(began);
            self.reading.add(Cost { time, series: 1, samples: data.len() as u64, bytes: data.size_bytes() as u64 });
        }
        Ok(())
    }

    /// May so many samples be held for a moment? The shared count is only asked when it is more than ever.
    #[inline]
    pub fn peek_samples(&mut self, ex: &Exec<'_>, n: u64) -> Result<(), QueryError> {
        if n <= self.largest {
            return Ok(());
        }
        self.largest = n;
        ex.budget.peek_samples(n)
    }

    /// Hands over what was counted and noted.
    pub fn finish(self, ex: &Exec<'_>) {
        ex.total.fetch_add(self.total, Ordering::Relaxed);
        ex.read.fetch_add(self.read, Ordering::Relaxed);
        if let (Some(shared), Some((total, read))) = (&ex.per_step, self.per_step) {
            let mut shared = shared.lock();
            shared.total.iter_mut().zip(total).for_each(|(a, b)| *a += b);
            shared.read.iter_mut().zip(read).for_each(|(a, b)| *a += b);
        }
        ex.notes.lock().merge(self.notes);
    }
}

/// Series between two looks whether to go on.
const LOOK_EVERY: usize = 16;
/// Cells of a run: the series that one thread takes at a time.
const RUN_CELLS: usize = 1 << 13;
const LONGEST_RUN: usize = 256;
/// Runs that may lie ready for each thread.
const AHEAD: usize = 4;
/// What a series costs at least, in cells.
const LEAST_PER_SERIES: usize = 100;

/// Takes rows in order: number of the series, and its row.
type Take<'a> = dyn FnMut(usize, &mut Row) -> Result<(), QueryError> + Send + 'a;

impl Stream<'_> {
    /// Takes all rows in order. They are computed by several threads when it is worth it; `take` is called by one at a time.
    pub fn for_each(&self, ex: &Exec<'_>, take: &mut Take<'_>) -> Result<(), QueryError> {
        let Some(profile) = ex.profile else { return self.all(ex, take) };
        // Who asks has taken what `take` takes; rows are the work of others.
        let (node, began) = (profile.here(), profile.now());
        let result = self.all(ex, &mut |i, row| {
            let then = profile.now();
            let taken = take(i, row);
            profile.add(node, Cost { time: profile.now().saturating_sub(then), ..Cost::default() });
            taken
        });
        profile.elsewhere(profile.now().saturating_sub(began));
        result
    }

    fn all(&self, ex: &Exec<'_>, take: &mut Take<'_>) -> Result<(), QueryError> {
        let cells = self.len() * self.grid.n.max(LEAST_PER_SERIES);
        let computed = !matches!(self.source, Source::Matrix(_) | Source::Repeat(_));
        let run_len = (RUN_CELLS / self.grid.n.max(1)).clamp(1, LONGEST_RUN);
        let threads = ex.switches.threads.min(self.len().div_ceil(run_len));
        if threads < 2 || cells < ex.switches.parallel_from_cells || !computed {
            return self.for_each_alone(ex, take);
        }
        let queue = Queue {
            run_len,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            ready: Mutex::new(Ready { next: 0, runs: Vec::new(), free: Vec::new(), handing_over: false, failure: None }),
            moved: Condvar::new(),
            take: Mutex::new(take),
            most_ready: threads * AHEAD,
        };
        std::thread::scope(|s| {
            for _ in 1..threads {
                s.spawn(|| self.work(ex, &queue));
            }
            self.work(ex, &queue);
        });
        queue.ready.into_inner().failure.map_or(Ok(()), Err)
    }

    fn for_each_alone(&self, ex: &Exec<'_>, take: &mut Take<'_>) -> Result<(), QueryError> {
        let mut scratch = Scratch::new(ex);
        let mut row = Row::new(self.grid);
        let mut all = || {
            for i in 0..self.len() {
                if i.is_multiple_of(LOOK_EVERY) {
                    ex.budget.check()?;
                }
                row.reset(self.grid);
                self.fill(ex, self.series.src(i), &mut scratch, &mut row)?;
                take(i, &mut row)?;
            }
            ex.budget.check()
        };
        let result = all();
        scratch.finish(ex);
        result
    }

    /// One thread: takes runs of series and computes their rows.
    fn work(&self, ex: &Exec<'_>, queue: &Queue<'_, '_>) {
        let _on_panic = StopOthers(queue);
        let mut scratch = Scratch::new(ex);
        let mut rows: Vec<Row> = Vec::new();
        while !queue.stop.load(Ordering::Relaxed) {
            let run = queue.next.fetch_add(1, Ordering::Relaxed);
            let series = run * queue.run_len..((run + 1) * queue.run_len).min(self.len());
            if series.is_empty() {
                break;
            }
            rows.resize_with(series.len(), || Row::new(self.grid));
            let compute = || {
                for (i, row) in series.zip(&mut rows) {
                    if i.is_multiple_of(LOOK_EVERY) {
                        ex.budget.check()?;
                    }
                    row.reset(self.grid);
                    self.fill(ex, self.series.src(i), &mut scratch, row)?;
                }
                ex.budget.check()
            };
            match compute() {
                Ok(()) => rows = queue.put(run, rows),
                Err(e) => {
                    queue.fail(e);
                    break;
                }
            }
        }
        scratch.finish(ex);
    }
}

/// Runs of rows on their way to the one who takes them.
struct Queue<'a, 'b> {
    run_len: usize,
    next: AtomicUsize,
    stop: AtomicBool,
    ready: Mutex<Ready>,
    moved: Condvar,
    /// Locked by whoever hands over.
    take: Mutex<&'a mut Take<'b>>,
    most_ready: usize,
}

struct Ready {
    /// The run that is to be handed over next.
    next: usize,
    /// Runs that lie ready, in no order.
    runs: Vec<(usize, Vec<Row>)>,
    /// Rows to be used again.
    free: Vec<Vec<Row>>,
    handing_over: bool,
    failure: Option<QueryError>,
}

impl Queue<'_, '_> {
    /// Leaves a run; hands over what can be, unless another thread does. Gives rows to go on with.
    fn put(&self, run: usize, rows: Vec<Row>) -> Vec<Row> {
        let mut ready = self.ready.lock();
        ready.runs.push((run, rows));
        if !ready.handing_over {
            ready.handing_over = true;
            let mut take = self.take.lock();
            while let Some(at) = ready.runs.iter().position(|(r, _)| *r == ready.next) {
                let (run, mut rows) = ready.runs.swap_remove(at);
                let taken = parking_lot::MutexGuard::unlocked(&mut ready, || {
                    rows.iter_mut().enumerate().try_for_each(|(i, row)| take(run * self.run_len + i, row))
                });
                ready.next += 1;
                ready.free.push(rows);
                if let Err(e) = taken {
                    self.stop.store(true, Ordering::Relaxed);
                    ready.failure.get_or_insert(e);
                }
                self.moved.notify_all();
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            ready.handing_over = false;
        }
        while ready.runs.len() >= self.most_ready && !self.stop.load(Ordering::Relaxed) {
            self.moved.wait(&mut ready);
        }
        ready.free.pop().unwrap_or_default()
    }

    fn fail(&self, e: QueryError) {
        let mut ready = self.ready.lock();
        self.stop.store(true, Ordering::Relaxed);
        ready.failure.get_or_insert(e);
        self.moved.notify_all();
    }
}

/// A thread that panics leaves its run undone: the others must not wait for it.
struct StopOthers<'a, 'b, 'c>(&'a Queue<'b, 'c>);

impl Drop for StopOthers<'_, '_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Relaxed);
            self.0.moved.notify_all();
        }
    }
}
