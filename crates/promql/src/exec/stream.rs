//! Series whose labels are known and whose rows are computed when they are taken.

use super::limits::Charge;
use super::maps::Map;
use super::range::RangeSource;
use super::rows::{Grid, Matrix, Meta, Row, bits};
use super::select::{InstantSource, TimestampSource};
use super::{Exec, names};
use crate::annotations::Annotations;
use crate::engine::QueryError;
use hashbrown::HashMap;
use model::Labels;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use storage::SeriesData;

/// What to do when two series come to have the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// Join them if they have no step in common; else it is an error.
    Merge,
    /// An error if two of them have any sample.
    Refuse,
}

/// One series of a stream.
#[derive(Clone, Debug)]
pub struct Item {
    pub meta: Meta,
    /// Its number in the source.
    pub src: u32,
}

pub enum Source<'p> {
    Matrix(Matrix),
    /// A matrix of one step whose values are those of all steps.
    Repeat(Matrix),
    Instant(InstantSource),
    Timestamps(TimestampSource),
    Range(Box<RangeSource<'p>>),
}

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
}

impl Scratch {
    pub fn new(ex: &Exec<'_>) -> Self {
        let n = ex.grid.n;
        Scratch { per_step: ex.per_step.as_ref().map(|_| (vec![0; n], vec![0; n])), ..Scratch::default() }
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

pub struct Stream<'p> {
    pub grid: Grid,
    pub items: Vec<Item>,
    pub source: Source<'p>,
    maps: Vec<Map<'p>>,
    /// Labels still have the metric name that they no longer should have: taken off when somebody looks, as most only look at others.
    name_pending: bool,
}

/// Series that one thread takes at a time.
const CHUNK: usize = 16;
/// What a series costs at least, in cells.
const LEAST_PER_SERIES: usize = 100;

impl<'p> Stream<'p> {
    pub fn new(grid: Grid, labels: Vec<Labels>, source: Source<'p>) -> Self {
        let items = labels.into_iter().enumerate().map(|(i, labels)| Item { meta: Meta { labels, drop_name: false }, src: i as u32 }).collect();
        Stream { grid, items, source, maps: Vec::new(), name_pending: false }
    }

    pub fn from_matrix(matrix: Matrix, grid: Grid) -> Self {
        let items = matrix.metas().iter().enumerate().map(|(i, m)| Item { meta: m.clone(), src: i as u32 }).collect();
        Stream { grid, items, source: Source::Matrix(matrix), maps: Vec::new(), name_pending: false }
    }

    pub fn repeat(matrix: Matrix, grid: Grid) -> Self {
        let items = matrix.metas().iter().enumerate().map(|(i, m)| Item { meta: m.clone(), src: i as u32 }).collect();
        Stream { grid, items, source: Source::Repeat(matrix), maps: Vec::new(), name_pending: false }
    }

    pub fn single(grid: Grid, meta: Meta, row: &Row) -> Self {
        let mut matrix = Matrix::new(grid);
        matrix.push(meta, row.view());
        Stream::from_matrix(matrix, grid)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds a step to what is done with every row.
    pub fn map(mut self, map: Map<'p>) -> Self {
        self.maps.push(map);
        self
    }

    /// Keeps only some series; the others are never computed.
    pub fn retain(&mut self, keep: impl FnMut(&Item) -> bool) {
        self.items.retain(keep);
    }

    /// The name goes: now, or at the end of the query.
    pub fn without_names(mut self, ex: &Exec<'_>, duplicates: Duplicates) -> Result<Self, QueryError> {
        if ex.switches.delayed_names {
            self.items.iter_mut().for_each(|i| i.meta.drop_name = true);
            return Ok(self);
        }
        // Series of one metric stay different when they lose its name.
        let mut name = None;
        let mut one_name = true;
        for item in &mut self.items {
            let labels = &item.meta.labels;
            let own = labels.get("__name__").unwrap_or("");
            one_name &= !labels.has("__type__") && !labels.has("__unit__") && name.get_or_insert_with(|| own.to_string()) == own;
            item.meta.drop_name = true;
        }
        self.name_pending = true;
        if one_name {
            return Ok(self);
        }
        self.take_names_off();
        self.settle(ex, duplicates)
    }

    /// Labels as they should be. To be called before labels other than those of a group are looked at.
    pub fn take_names_off(&mut self) {
        if std::mem::take(&mut self.name_pending) {
            self.items.iter_mut().for_each(|i| i.meta.labels = names::without_schema(&i.meta.labels));
        }
    }

    /// Is the metric name of these labels only still there?
    pub fn has_pending_names(&self) -> bool {
        self.name_pending
    }

    /// Changes labels.
    pub fn rename(mut self, ex: &Exec<'_>, duplicates: Duplicates, mut change: impl FnMut(&mut Meta)) -> Result<Self, QueryError> {
        self.take_names_off();
        self.items.iter_mut().for_each(|i| change(&mut i.meta));
        self.settle(ex, duplicates)
    }

    /// Makes labels unique again.
    fn settle(self, ex: &Exec<'_>, duplicates: Duplicates) -> Result<Self, QueryError> {
        if names::all_different(self.items.iter().map(|i| &i.meta.labels)) {
            return Ok(self);
        }
        let grid = self.grid;
        let matrix = self.collect(ex)?;
        Ok(Stream::from_matrix(merge_equal(ex, matrix, grid, duplicates)?, grid))
    }

    /// Computes one row.
    pub fn fill(&self, ex: &Exec<'_>, item: &Item, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        match &self.source {
            Source::Matrix(m) => m.row(item.src as usize).copy_to(self.grid, row),
            Source::Repeat(m) => repeat_row(m, item.src as usize, self.grid, row),
            Source::Instant(s) => s.fill(ex, item.src, self.grid, scratch, row)?,
            Source::Timestamps(s) => s.fill(ex, item.src, self.grid, scratch, row)?,
            Source::Range(s) => s.fill(ex, item.src, self.grid, scratch, row)?,
        }
        for map in &self.maps {
            map.apply(self.grid, item.src as usize, row, &mut scratch.notes);
        }
        Ok(())
    }

    /// Takes all rows in order. They are computed by several threads when it is worth it; `take` is called by one at a time.
    pub fn for_each(&self, ex: &Exec<'_>, take: &mut (dyn FnMut(usize, &mut Row) -> Result<(), QueryError> + Send)) -> Result<(), QueryError> {
        let cells = self.items.len() * self.grid.n.max(LEAST_PER_SERIES);
        let computed = !matches!(self.source, Source::Matrix(_) | Source::Repeat(_));
        let threads = ex.switches.threads.min(self.items.len().div_ceil(CHUNK));
        if threads < 2 || cells < ex.switches.parallel_from_cells || !computed {
            return self.for_each_alone(ex, take);
        }
        let queue = Queue {
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            turn: Mutex::new(Turn { chunk: 0, take, failure: None }),
            moved: Condvar::new(),
        };
        std::thread::scope(|s| {
            for _ in 1..threads {
                s.spawn(|| self.work(ex, &queue));
            }
            self.work(ex, &queue);
        });
        queue.turn.into_inner().failure.map_or(Ok(()), Err)
    }

    fn for_each_alone(&self, ex: &Exec<'_>, take: &mut (dyn FnMut(usize, &mut Row) -> Result<(), QueryError> + Send)) -> Result<(), QueryError> {
        let mut scratch = Scratch::new(ex);
        let mut row = Row::new(self.grid);
        let mut result = Ok(());
        for (i, item) in self.items.iter().enumerate() {
            result = ex.budget.check().and_then(|()| {
                row.reset(self.grid);
                self.fill(ex, item, &mut scratch, &mut row)?;
                take(i, &mut row)
            });
            if result.is_err() {
                break;
            }
        }
        scratch.finish(ex);
        result
    }

    /// One thread: takes chunks of series, computes their rows, and hands them over when it is their turn.
    fn work(&self, ex: &Exec<'_>, queue: &Queue<'_>) {
        let mut scratch = Scratch::new(ex);
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let chunk = queue.next.fetch_add(1, Ordering::Relaxed);
            let from = chunk * CHUNK;
            if from >= self.items.len() || queue.stop.load(Ordering::Relaxed) {
                break;
            }
            let items = &self.items[from..(from + CHUNK).min(self.items.len())];
            let computed = ex.budget.check().and_then(|()| {
                for (i, item) in items.iter().enumerate() {
                    if rows.len() == i {
                        rows.push(Row::new(self.grid));
                    }
                    rows[i].reset(self.grid);
                    self.fill(ex, item, &mut scratch, &mut rows[i])?;
                }
                Ok(())
            });
            let mut turn = queue.turn.lock();
            while turn.chunk != chunk && turn.failure.is_none() {
                queue.moved.wait(&mut turn);
            }
            if turn.failure.is_none() {
                let taken = computed.and_then(|()| rows[..items.len()].iter_mut().enumerate().try_for_each(|(i, row)| (turn.take)(from + i, row)));
                turn.chunk += 1;
                if let Err(e) = taken {
                    turn.failure = Some(e);
                    queue.stop.store(true, Ordering::Relaxed);
                }
            }
            queue.moved.notify_all();
        }
        scratch.finish(ex);
    }

    /// Computes everything.
    pub fn collect(mut self, ex: &Exec<'_>) -> Result<Matrix, QueryError> {
        self.take_names_off();
        let untouched = self.maps.is_empty() && self.items.iter().enumerate().all(|(i, item)| item.src as usize == i);
        if untouched && matches!(&self.source, Source::Matrix(m) if m.len() == self.items.len()) {
            return Ok(self.into_matrix());
        }
        let mut charge = ex.budget.charge();
        let mut matrix = Matrix::new(self.grid);
        self.for_each(ex, &mut |i, row| {
            charge.add_samples(row.view().samples())?;
            charge.add_bytes(matrix.push(self.items[i].meta.clone(), row.view()))
        })?;
        matrix.add_charge(charge);
        Ok(matrix)
    }

    /// Only of an untouched matrix: the labels may have changed, nothing else.
    fn into_matrix(self) -> Matrix {
        match self.source {
            Source::Matrix(mut m) => {
                m.metas_mut().iter_mut().zip(self.items).for_each(|(m, i)| *m = i.meta);
                m
            }
            _ => unreachable!("asked for only when the source is a matrix"),
        }
    }
}

/// Chunks of series, handed over in order.
struct Queue<'a> {
    next: AtomicUsize,
    stop: AtomicBool,
    turn: Mutex<Turn<'a>>,
    moved: Condvar,
}

struct Turn<'a> {
    chunk: usize,
    take: &'a mut (dyn FnMut(usize, &mut Row) -> Result<(), QueryError> + Send),
    failure: Option<QueryError>,
}

fn repeat_row(m: &Matrix, i: usize, grid: Grid, row: &mut Row) {
    let one = m.row(i);
    row.reset(grid);
    if let Some(v) = one.float(0) {
        row.v.fill(v);
        bits::fill(&mut row.valid, grid.n);
    } else if let Some((_, h)) = one.hist.first() {
        row.hist.extend((0..grid.n as u32).map(|k| (k, h.clone())));
    }
}

/// Joins rows with equal labels.
pub fn merge_equal(ex: &Exec<'_>, matrix: Matrix, grid: Grid, duplicates: Duplicates) -> Result<Matrix, QueryError> {
    let mut place: HashMap<Labels, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in (0..matrix.len()).filter(|i| !matrix.row(*i).is_empty()) {
        let at = *place.entry(matrix.meta(i).labels.clone()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(i);
    }
    let mut out = Matrix::new(grid);
    let mut charge: Charge = ex.budget.charge();
    let mut joined = Row::new(grid);
    for members in groups {
        let first = members[0];
        if members.len() == 1 {
            charge.add_bytes(out.push(matrix.meta(first).clone(), matrix.row(first)))?;
            continue;
        }
        if duplicates == Duplicates::Refuse {
            return Err(QueryError::duplicate_labels());
        }
        joined.reset(grid);
        let mut taken = vec![0u64; grid.words()];
        for i in &members {
            let row = matrix.row(*i);
            let mut own = vec![0u64; grid.words()];
            row.add_presence(&mut own);
            if own.iter().zip(&taken).any(|(a, b)| a & b != 0) {
                return Err(QueryError::duplicate_labels());
            }
            bits::or(&mut taken, &own);
            row.floats().for_each(|(k, v)| joined.set(k, v));
            joined.hist.extend_from_slice(row.hist);
        }
        joined.hist.sort_by_key(|(k, _)| *k);
        charge.add_bytes(out.push(matrix.meta(first).clone(), joined.view()))?;
    }
    out.add_charge(charge);
    Ok(out)
}
