//! Series whose rows are computed when they are taken; what they are called is looked up when somebody asks.

use super::limits::Charge;
use super::maps::Map;
use super::profile::{Cost, Node, Profile};
use super::range::RangeSource;
use super::rows::{Grid, Matrix, Meta, Row, bits};
use super::run::Scratch;
use super::select::{InstantSource, TimestampSource};
use super::series::Series;
use super::{Exec, names};
use crate::engine::QueryError;
use hashbrown::HashMap;
use model::Labels;

/// What to do when two series come to have the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// Join them if they have no step in common; else it is an error.
    Merge,
    /// An error if two of them have any sample.
    Refuse,
}

pub enum Source<'p> {
    Matrix(Matrix),
    /// A matrix of one step whose values are those of all steps.
    Repeat(Matrix),
    Instant(InstantSource),
    Timestamps(TimestampSource),
    Range(Box<RangeSource<'p>>),
}

pub struct Stream<'p> {
    pub grid: Grid,
    pub series: Series,
    pub(super) source: Source<'p>,
    /// The operator that the source is, when the query is explained.
    node: Node,
    maps: Vec<(Map<'p>, Node)>,
}

impl<'p> Stream<'p> {
    pub fn new(grid: Grid, series: Series, source: Source<'p>) -> Self {
        Stream { grid, series, source, node: 0, maps: Vec::new() }
    }

    pub fn from_matrix(mut matrix: Matrix, grid: Grid) -> Self {
        Stream::new(grid, Series::known(matrix.take_metas()), Source::Matrix(matrix))
    }

    pub fn repeat(mut matrix: Matrix, grid: Grid) -> Self {
        Stream::new(grid, Series::known(matrix.take_metas()), Source::Repeat(matrix))
    }

    pub fn single(grid: Grid, meta: Meta, row: &Row) -> Self {
        let mut matrix = Matrix::new(grid);
        matrix.push(meta, row.view());
        Stream::from_matrix(matrix, grid)
    }

    /// Says that computing rows is the work of the operator that is at work now.
    pub fn by(mut self, ex: &Exec<'_>) -> Self {
        self.node = ex.here();
        self
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Adds a step to what is done with every row.
    pub fn map(mut self, ex: &Exec<'_>, map: Map<'p>) -> Self {
        self.maps.push((map, ex.here()));
        self
    }

    /// The name goes: now, or at the end of the query.
    pub fn without_names(mut self, ex: &Exec<'_>, duplicates: Duplicates) -> Result<Self, QueryError> {
        if ex.switches.delayed_names {
            self.series.drop_names_late();
            return Ok(self);
        }
        if self.series.drop_names() { self.settle(ex, duplicates) } else { Ok(self) }
    }

    /// Changes labels.
    pub fn rename(mut self, ex: &Exec<'_>, duplicates: Duplicates, change: impl FnMut(&mut Meta)) -> Result<Self, QueryError> {
        self.series.named().iter_mut().for_each(change);
        self.settle(ex, duplicates)
    }

    /// Makes labels unique again.
    fn settle(mut self, ex: &Exec<'_>, duplicates: Duplicates) -> Result<Self, QueryError> {
        if names::all_different(self.series.named().iter().map(|m| &m.labels)) {
            return Ok(self);
        }
        let grid = self.grid;
        let matrix = self.collect(ex)?;
        Ok(Stream::from_matrix(merge_equal(ex, matrix, grid, duplicates)?, grid))
    }

    /// Computes one row: that of series `src` of the source.
    pub(super) fn fill(&self, ex: &Exec<'_>, src: usize, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        if let Some(profile) = ex.profile {
            return self.fill_timed(profile, ex, src, scratch, row);
        }
        self.fill_source(ex, src, scratch, row)?;
        for (map, _) in &self.maps {
            map.apply(self.grid, src, row, &mut scratch.notes);
        }
        Ok(())
    }

    fn fill_source(&self, ex: &Exec<'_>, src: usize, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        match &self.source {
            Source::Matrix(m) => m.row(src).copy_to(self.grid, row),
            Source::Repeat(m) => repeat_row(m, src, self.grid, row),
            Source::Instant(s) => s.fill(ex, src, self.grid, scratch, row)?,
            Source::Timestamps(s) => s.fill(ex, src, self.grid, scratch, row)?,
            Source::Range(s) => s.fill(ex, src, self.grid, scratch, row)?,
        }
        Ok(())
    }

    /// The same, telling who took how long.
    fn fill_timed(&self, profile: &Profile, ex: &Exec<'_>, src: usize, scratch: &mut Scratch, row: &mut Row) -> Result<(), QueryError> {
        let mut then = profile.now();
        self.fill_source(ex, src, scratch, row)?;
        let mut took = || {
            let now = profile.now();
            now.saturating_sub(std::mem::replace(&mut then, now))
        };
        let given = |row: &Row, time| Cost { time, series: u64::from(!row.is_empty()), samples: row.view().samples(), bytes: 0 };
        let read = std::mem::take(&mut scratch.reading);
        let own = given(row, took().saturating_sub(read.time));
        match &self.source {
            Source::Range(s) => {
                profile.add(s.input, read);
                profile.add(self.node, own);
            }
            // A selector is told by what it decoded.
            _ if read.series > 0 => profile.add(self.node, Cost { time: own.time + read.time, ..read }),
            _ => profile.add(self.node, own),
        }
        for (map, node) in &self.maps {
            map.apply(self.grid, src, row, &mut scratch.notes);
            profile.add(*node, given(row, took()));
        }
        Ok(())
    }

    /// What an operator has given that has computed all its rows; others tell row by row.
    pub(super) fn given_already(&self) -> Cost {
        match &self.source {
            Source::Matrix(m) if self.maps.is_empty() => {
                let samples = (0..m.len()).map(|i| m.row(i).samples()).sum();
                Cost { series: m.len() as u64, samples, bytes: m.charged_bytes(), ..Cost::default() }
            }
            _ => Cost::default(),
        }
    }

    /// Computes everything.
    pub fn collect(self, ex: &Exec<'_>) -> Result<Matrix, QueryError> {
        let computed = !matches!(self.source, Source::Matrix(_));
        let (mut matrix, mut series) = self.rows(ex)?;
        let metas = std::mem::take(series.named());
        if computed {
            let mut charge = ex.budget.charge();
            charge.add_bytes(metas.iter().map(|m| m.labels.as_ref().encoded().len() as u64).sum())?;
            matrix.add_charge(charge);
        }
        matrix.set_metas(metas);
        Ok(matrix)
    }

    /// Computes all rows; what they are called may be asked later, or never.
    pub fn rows(self, ex: &Exec<'_>) -> Result<(Matrix, Series), QueryError> {
        if self.maps.is_empty()
            && self.series.is_whole()
            && let Source::Matrix(matrix) = self.source
        {
            return Ok((matrix, self.series));
        }
        let mut charge = ex.budget.charge();
        charge.add_bytes((self.len() * size_of::<Meta>()) as u64)?;
        let mut matrix = Matrix::new(self.grid);
        self.for_each(ex, &mut |_, row| {
            charge.add_samples(row.view().samples())?;
            charge.add_bytes(matrix.push_row(row.view()))
        })?;
        matrix.add_charge(charge);
        Ok((matrix, self.series))
    }
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
