//! and, or, unless: by which signatures are present at a step.

use super::rows::{Grid, Matrix};
use super::stream::{Duplicates, Stream};
use super::{Exec, maps::Map, maps::Mask, names, vector};
use crate::engine::QueryError;
use crate::parse::ast::{BinaryOp, VectorMatching};
use crate::plan::Binary;
use hashbrown::HashMap;
use model::name::METRIC_NAME;
use std::sync::Arc;

/// Numbers for the signatures of series, by the labels that a matching looks at.
pub struct Signatures {
    numbers: HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>,
    names: Vec<String>,
    on: bool,
}

impl Signatures {
    pub fn new(matching: &VectorMatching) -> Self {
        let mut names = matching.labels.clone();
        if !matching.on {
            names.push(METRIC_NAME.to_string());
        }
        Signatures { numbers: HashMap::default(), names, on: matching.on }
    }

    /// The signature of every series, new ones numbered as they come.
    pub fn of(&mut self, stream: &mut Stream<'_>) -> Vec<u32> {
        stream.take_names_off();
        let mut key = Vec::new();
        stream
            .items
            .iter()
            .map(|i| {
                names::key_of(&i.meta.labels, &self.names, self.on, &mut key);
                if let Some(s) = self.numbers.get(key.as_slice()) {
                    return *s;
                }
                let next = self.numbers.len() as u32;
                self.numbers.insert(key.as_slice().into(), next);
                next
            })
            .collect()
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
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
    let sources = stream.items.iter().map(|i| i.src as usize + 1).max().unwrap_or(0);
    let mut set_of = vec![u32::MAX; sources];
    for (item, s) in stream.items.iter().zip(signature) {
        set_of[item.src as usize] = *s;
    }
    let words = stream.grid.words();
    sets.iter_mut().for_each(|s| s.resize(words, 0));
    Arc::new(Mask { set_of, sets, keep_members })
}

/// Drops series for which `keep` does not hold, and their signatures.
pub fn retain(stream: &mut Stream<'_>, signature: &mut Vec<u32>, keep: impl Fn(u32) -> bool) {
    let mut i = 0;
    stream.retain(|_| {
        i += 1;
        keep(signature[i - 1])
    });
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
    let (mut left, mut right) = (signatures.of(&mut lhs), signatures.of(&mut rhs));
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
        return Ok(lhs.map(Map::Mask(mask)));
    }
    let mut both = lhs.collect(ex)?;
    let mut sets: Vec<Vec<u64>> = vec![Vec::new(); count];
    for (i, s) in left.iter().enumerate() {
        let set = &mut sets[*s as usize];
        set.resize(grid.words(), 0);
        both.row(i).add_presence(set);
    }
    let mask = mask(&rhs, &right, sets, false);
    append(&mut both, rhs.map(Map::Mask(mask)).collect(ex)?, ex)?;
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
