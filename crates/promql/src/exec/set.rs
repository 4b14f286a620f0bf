//! and, or, unless: by which signatures are present at a step.

use super::rows::{Grid, Matrix};
use super::stream::{Duplicates, Stream};
use super::{Exec, maps::Map, maps::Mask, vector};
use crate::engine::QueryError;
use crate::parse::ast::{BinaryOp, VectorMatching};
use crate::plan::Binary;
use hashbrown::HashMap;
use model::Labels;
use model::name::METRIC_NAME;
use std::sync::Arc;

/// Numbers for the signatures of series, by the labels that a matching looks at.
pub struct Signatures {
    numbers: HashMap<Labels, u32, foldhash::fast::RandomState>,
    /// The labels of each.
    pub labels: Vec<Labels>,
    names: Vec<String>,
    on: bool,
}

impl Signatures {
    pub fn new(matching: &VectorMatching) -> Self {
        let mut names = matching.labels.clone();
        if !matching.on {
            names.push(METRIC_NAME.to_string());
        }
        Signatures { numbers: HashMap::default(), labels: Vec::new(), names, on: matching.on }
    }

    /// The signature of every series, new ones numbered as they come.
    pub fn of(&mut self, stream: &Stream<'_>) -> Vec<u32> {
        let groups = stream.series.groups(&self.names, self.on);
        let number = |labels: Labels| {
            *self.numbers.entry(labels).or_insert_with_key(|labels| {
                self.labels.push(labels.clone());
                self.labels.len() as u32 - 1
            })
        };
        let number_of: Vec<u32> = groups.labels.into_iter().map(number).collect();
        groups.of.into_iter().map(|g| number_of[g as usize]).collect()
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }
}

/// The steps at which any series of a signature has a sample, for all signatures. Those without series have an empty set.
fn presence(ex: &Exec<'_>, stream: &Stream<'_>, signature: &[u32], count: usize) -> Result<Vec<Vec<u64>>, QueryError> {
    let mut sets = vec![Vec::new(); count];
    let words = stream.grid.words();
    stream.for_each(ex, &mut |i, row| {
        let set: &mut Vec<u64> = &mut sets[signature[i] as usize];
        set.resize(words, 0);
        row.view().add_presence(set);
        Ok(())
    })?;
    Ok(sets)
}

fn mask(stream: &Stream<'_>, signature: &[u32], mut sets: Vec<Vec<u64>>, keep_members: bool) -> Arc<Mask> {
    let mut set_of = vec![u32::MAX; stream.series.sources()];
    for (i, s) in signature.iter().enumerate() {
        set_of[stream.series.src(i)] = *s;
    }
    let words = stream.grid.words();
    sets.iter_mut().for_each(|s| s.resize(words, 0));
    Arc::new(Mask { set_of, sets, keep_members })
}

/// Drops series for which `keep` does not hold, and their signatures.
pub fn retain(stream: &mut Stream<'_>, signature: &mut Vec<u32>, keep: impl Fn(u32) -> bool) {
    stream.series.retain(|i| keep(signature[i]));
    signature.retain(|s| keep(*s));
}

pub fn members(signature: &[u32], count: usize) -> Vec<bool> {
    let mut is = vec![false; count];
    signature.iter().for_each(|s| is[*s as usize] = true);
    is
}

pub fn evaluate<'p>(ex: &Exec<'_>, b: &'p Binary, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let matching = b.matching.clone().unwrap_or_default();
    let (mut lhs, mut rhs) = (vector(ex, &b.lhs, grid)?, vector(ex, &b.rhs, grid)?);
    let mut signatures = Signatures::new(&matching);
    let (mut left, mut right) = (signatures.of(&lhs), signatures.of(&rhs));
    let count = signatures.len();
    let in_left = members(&left, count);
    if b.op != BinaryOp::Or {
        retain(&mut rhs, &mut right, |s| in_left[s as usize]);
        if b.op == BinaryOp::And {
            let in_right = members(&right, count);
            retain(&mut lhs, &mut left, |s| in_right[s as usize]);
        }
        let sets = presence(ex, &rhs, &right, count)?;
        let mask = mask(&lhs, &left, sets, b.op == BinaryOp::And);
        return Ok(lhs.map(ex, Map::Mask(mask)));
    }
    let mut both = lhs.collect(ex)?;
    let mut sets: Vec<Vec<u64>> = vec![Vec::new(); count];
    for (i, s) in left.iter().enumerate() {
        let set = &mut sets[*s as usize];
        set.resize(grid.words(), 0);
        both.row(i).add_presence(set);
    }
    let mask = mask(&rhs, &right, sets, false);
    append(&mut both, rhs.map(ex, Map::Mask(mask)).collect(ex)?, ex)?;
    Stream::from_matrix(both, grid).rename(ex, Duplicates::Merge, |_| {})
}

fn append(to: &mut Matrix, from: Matrix, ex: &Exec<'_>) -> Result<(), QueryError> {
    let mut charge = ex.budget.charge();
    for i in (0..from.len()).filter(|i| !from.row(*i).is_empty()) {
        let row = from.row(i);
        charge.add_samples(row.samples())?;
        charge.add_bytes(to.push(from.meta(i).clone(), row))?;
    }
    to.add_charge(charge);
    Ok(())
}
