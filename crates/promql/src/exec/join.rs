//! Operators between two vectors: series find each other by signature, once; then whole rows are combined.
//!
//! The usual case, where a signature has one series on the "one" side and results cannot coincide, combines rows as the "many" side streams
//! by. Everything else (several series of a signature that take turns, fill values) goes step by step.

use super::binop::{Answer, Elem, Side, arithmetic, changes_metric, compare, element};
use super::rows::{Cell, Grid, Matrix, Meta, Row, RowRef, bits};
use super::set::{Signatures, members, retain};
use super::stream::{Duplicates, Stream};
use super::{Exec, maps::Map, names, vector};
use crate::annotations::Annotations;
use crate::engine::QueryError;
use crate::parse::Span;
use crate::parse::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::plan::Binary;
use hashbrown::HashMap;
use model::Labels;

/// What is done with a row of the many side: its partner is known.
pub struct ManySide<'p> {
    one: Matrix,
    /// Row of the partner, for each source series.
    partner: Vec<u32>,
    join: Join<'p>,
}

/// The operator itself.
#[derive(Clone, Copy)]
struct Join<'p> {
    op: BinaryOp,
    /// The many side is the right one.
    swapped: bool,
    return_bool: bool,
    span: Span,
    matching: &'p VectorMatching,
    drop_name_now: bool,
}

impl Join<'_> {
    fn element(&self, many: Side<'_>, one: Side<'_>) -> Elem {
        if self.swapped { element(self.op, one, many) } else { element(self.op, many, one) }
    }

    /// Labels of a result, from those of its two sides.
    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let drop_name = self.drop_name_now || changes_metric(self.op);
        let m = self.matching;
        let listed = |n: &str| m.labels.iter().any(|x| x == n);
        let base = many.filtered(|n| !(drop_name && names::is_schema_label(n)) && (m.card != Cardinality::OneToOne || listed(n) == m.on));
        m.include.iter().fold(base, |labels, name| labels.with(name, one.value(name)))
    }

    /// Names of the results of the usual case: series `i` of the many side and its partner.
    fn metas(&self, signatures: &Signatures, many_sig: &[u32], row_of: &[u32], many: &mut Stream<'_>, one: &mut Stream<'_>) -> Vec<Meta> {
        let drop_name = self.return_bool;
        let m = self.matching;
        if m.card == Cardinality::OneToOne && m.include.is_empty() && (self.drop_name_now || changes_metric(self.op)) {
            // The labels that were matched by are all that is left.
            let labels: Vec<Labels> = signatures.labels.iter().map(names::without_schema).collect();
            return many_sig.iter().map(|s| Meta { labels: labels[*s as usize].clone(), drop_name }).collect();
        }
        let nothing = Labels::empty();
        let partners: &[Meta] = if m.include.is_empty() { &[] } else { one.series.named() };
        let named = many.series.named().iter().zip(many_sig);
        named
            .map(|(meta, s)| {
                let partner = partners.get(row_of[*s as usize] as usize).map_or(&nothing, |p| &p.labels);
                Meta { labels: self.labels(&meta.labels, partner), drop_name }
            })
            .collect()
    }
}

impl ManySide<'_> {
    pub fn apply(&self, grid: Grid, src: usize, row: &mut Row, notes: &mut Annotations) {
        let other = self.one.row(self.partner[src] as usize);
        let j = &self.join;
        if !row.hist.is_empty() || !other.hist.is_empty() {
            return self.mixed(grid, row, other, notes);
        }
        let f = arithmetic(j.op);
        if f.is_none() && !j.op.is_comparison() {
            return self.mixed(grid, row, other, notes);
        }
        row.valid.iter_mut().enumerate().for_each(|(w, a)| *a &= other.word(w));
        let (first, theirs) = other.covered();
        let mine = &mut row.v[first..first + theirs.len()];
        if let Some(f) = f {
            let pairs = mine.iter_mut().zip(theirs);
            match (j.op, j.swapped) {
                (BinaryOp::Add, _) => pairs.for_each(|(a, b)| *a += b),
                (BinaryOp::Mul, _) => pairs.for_each(|(a, b)| *a *= b),
                (BinaryOp::Sub, false) => pairs.for_each(|(a, b)| *a -= b),
                (BinaryOp::Div, false) => pairs.for_each(|(a, b)| *a /= b),
                (_, false) => pairs.for_each(|(a, b)| *a = f(*a, *b)),
                (_, true) => pairs.for_each(|(a, b)| *a = f(*b, *a)),
            }
            return;
        }
        for (i, (a, b)) in mine.iter_mut().zip(theirs).enumerate() {
            let (l, r) = if j.swapped { (*b, *a) } else { (*a, *b) };
            let keep = compare(j.op, l, r);
            if j.return_bool {
                *a = f64::from(u8::from(keep));
            } else if keep {
                *a = l;
            } else {
                bits::clear(&mut row.valid, first + i);
            }
        }
    }

    /// With histograms, or operators that floats do not have.
    fn mixed(&self, grid: Grid, row: &mut Row, other: RowRef<'_>, notes: &mut Annotations) {
        let mine = std::mem::replace(row, Row::new(grid));
        for k in 0..grid.n {
            let (Some(a), Some(b)) = (mine.view().cell(k), other.cell(k)) else { continue };
            let elem = self.join.element(side(a), side(b));
            if let Some(note) = elem.note {
                notes.add(note, "", self.join.span);
            }
            put(row, k, elem, self.join.return_bool);
        }
    }
}

fn side<'a>(cell: Cell<'a>) -> Side<'a> {
    match cell {
        Cell::Float(v) => Side::Float(v),
        Cell::Hist(h) => Side::Hist(h),
    }
}

/// Writes what an operator gave, if anything.
fn put(row: &mut Row, k: usize, elem: Elem, return_bool: bool) {
    match elem.answer {
        None => {}
        Some(_) if return_bool => row.set(k, f64::from(u8::from(elem.keep))),
        Some(Answer::Float(v)) if elem.keep => row.set(k, v),
        Some(Answer::Hist(h)) if elem.keep => row.set_hist(k, h),
        Some(_) => {}
    }
}

pub fn evaluate<'p>(ex: &Exec<'_>, b: &'p Binary, grid: Grid) -> Result<Stream<'p>, QueryError> {
    let Some(matching) = b.matching.as_ref() else { return Err(QueryError::bad_data("two vectors need a matching")) };
    let (lhs, rhs) = (vector(ex, &b.lhs, grid)?, vector(ex, &b.rhs, grid)?);
    let swapped = matching.card == Cardinality::OneToMany;
    let (mut many, mut one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let drop_name_now = b.return_bool && !ex.switches.delayed_names;
    let join = Join { op: b.op, swapped, return_bool: b.return_bool, span: b.span, matching, drop_name_now };
    let mut signatures = Signatures::new(matching);
    let (mut many_sig, mut one_sig) = (signatures.of(&many), signatures.of(&one));
    let count = signatures.len();
    let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
    let repeated = |signature: &[u32]| {
        let mut seen = vec![false; count];
        signature.iter().any(|s| std::mem::replace(&mut seen[*s as usize], true))
    };
    let one_repeats = repeated(&one_sig);
    if filled || one_repeats || (matching.card == Cardinality::OneToOne && repeated(&many_sig)) {
        if !filled && !one_repeats {
            // The one side cannot fail by itself: what has no partner need not be looked at.
            let (in_many, in_one) = (members(&many_sig, count), members(&one_sig, count));
            retain(&mut many, &mut many_sig, |s| in_one[s as usize]);
            retain(&mut one, &mut one_sig, |s| in_many[s as usize]);
        }
        return step_by_step(ex, &join, grid, many.collect(ex)?, &many_sig, one.collect(ex)?, &one_sig, count);
    }
    let (in_many, in_one) = (members(&many_sig, count), members(&one_sig, count));
    retain(&mut many, &mut many_sig, |s| in_one[s as usize]);
    retain(&mut one, &mut one_sig, |s| in_many[s as usize]);
    let mut row_of = vec![u32::MAX; count];
    one_sig.iter().enumerate().for_each(|(row, s)| row_of[*s as usize] = row as u32);
    let metas = join.metas(&signatures, &many_sig, &row_of, &mut many, &mut one);
    if !names::all_different(metas.iter().map(|m| &m.labels)) {
        return step_by_step(ex, &join, grid, many.collect(ex)?, &many_sig, one.collect(ex)?, &one_sig, count);
    }
    let mut partner = vec![0; many.series.sources()];
    for (i, s) in many_sig.iter().enumerate() {
        partner[many.series.src(i)] = row_of[*s as usize];
    }
    many.series.set_metas(metas);
    let (one, _) = one.rows(ex)?;
    Ok(many.map(ex, Map::Join(Box::new(ManySide { one, partner, join }))))
}

/// Results under construction, by labels.
struct Results<'a, 'p> {
    join: &'a Join<'p>,
    many: &'a Matrix,
    one: &'a Matrix,
    grid: Grid,
    by_labels: HashMap<Labels, usize, foldhash::fast::RandomState>,
    /// Place of the result of a pair; `u32::MAX` for a fill value.
    by_pair: HashMap<(u32, u32), usize, foldhash::fast::RandomState>,
    rows: Vec<(Labels, Row)>,
}

impl Results<'_, '_> {
    fn place(&mut self, many: Option<u32>, one: Option<u32>) -> usize {
        let pair = (many.unwrap_or(u32::MAX), one.unwrap_or(u32::MAX));
        if let Some(at) = self.by_pair.get(&pair) {
            return *at;
        }
        let m = self.join.matching;
        let of = |matrix: &Matrix, i: u32| matrix.meta(i as usize).labels.clone();
        let stand_in = |labels: &Labels| names::match_labels(labels, &m.labels, m.on);
        let (many_labels, one_labels) = match (many, one) {
            (Some(a), Some(b)) => (of(self.many, a), of(self.one, b)),
            (Some(a), None) => (of(self.many, a), stand_in(&of(self.many, a))),
            (None, Some(b)) => (stand_in(&of(self.one, b)), of(self.one, b)),
            (None, None) => (Labels::empty(), Labels::empty()),
        };
        let labels = self.join.labels(&many_labels, &one_labels);
        let at = *self.by_labels.entry(labels.clone()).or_insert_with(|| {
            self.rows.push((labels, Row::new(self.grid)));
            self.rows.len() - 1
        });
        self.by_pair.insert(pair, at);
        at
    }

    /// Applies the operator to one pair at one step, or to one sample and a fill value.
    fn operate(
        &mut self,
        k: usize,
        (many, l): (Option<u32>, Side<'_>),
        (one, r): (Option<u32>, Side<'_>),
        state: &mut Matched,
        notes: &mut Annotations,
    ) -> Result<(), QueryError> {
        let elem = self.join.element(l, r);
        if let Some(note) = elem.note {
            notes.add(note, "", self.join.span);
        }
        if elem.answer.is_none() {
            return Ok(());
        }
        let at = self.place(many, one);
        if self.join.matching.card == Cardinality::OneToOne && state.any {
            return Err(QueryError::execution("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"));
        }
        if state.written.contains(&at) {
            return Err(QueryError::execution("multiple matches for labels: grouping labels must ensure unique matches"));
        }
        state.any = true;
        state.written.push(at);
        if !elem.keep && !self.join.return_bool {
            return Ok(());
        }
        let row = &mut self.rows[at].1;
        if row.view().cell(k).is_some() {
            return Err(QueryError::duplicate_labels());
        }
        put(row, k, elem, self.join.return_bool);
        Ok(())
    }
}

/// What a signature has matched at one step.
#[derive(Default)]
struct Matched {
    any: bool,
    written: Vec<usize>,
}

fn step_by_step<'p>(
    ex: &Exec<'_>,
    join: &Join<'_>,
    grid: Grid,
    many: Matrix,
    many_sig: &[u32],
    one: Matrix,
    one_sig: &[u32],
    count: usize,
) -> Result<Stream<'p>, QueryError> {
    let m = join.matching;
    let mut many_of: Vec<Vec<u32>> = vec![Vec::new(); count];
    many_sig.iter().enumerate().for_each(|(i, s)| many_of[*s as usize].push(i as u32));
    let any = |matrix: &Matrix| {
        let mut set = vec![0u64; grid.words()];
        (0..matrix.len()).for_each(|i| matrix.row(i).add_presence(&mut set));
        set
    };
    let (any_many, any_one) = (any(&many), any(&one));
    let filled = m.fill_left.is_some() || m.fill_right.is_some();
    let mut out = Results { join, many: &many, one: &one, grid, by_labels: HashMap::default(), by_pair: HashMap::default(), rows: Vec::new() };
    let mut notes = Annotations::default();
    for k in 0..grid.n {
        let (a, b) = (bits::get(&any_many, k), bits::get(&any_one, k));
        let enough = if filled { a || b } else { a && b };
        if !enough {
            continue;
        }
        ex.budget.check()?;
        let mut partners: Vec<Option<u32>> = vec![None; count];
        for (i, signature) in one_sig.iter().enumerate().filter(|(i, _)| one.row(*i).cell(k).is_some()) {
            if let Some(first) = partners[*signature as usize].replace(i as u32) {
                return Err(duplicate(join, &one, first, i as u32));
            }
        }
        for (members, partner) in many_of.iter().zip(&partners) {
            let mut state = Matched::default();
            let one_cell = partner.and_then(|p| one.row(p as usize).cell(k));
            for i in members {
                let Some(l) = many.row(*i as usize).cell(k) else { continue };
                match (one_cell, m.fill_right) {
                    (Some(r), _) => out.operate(k, (Some(*i), side(l)), (*partner, side(r)), &mut state, &mut notes)?,
                    (None, Some(fill)) => out.operate(k, (Some(*i), side(l)), (None, Side::Float(fill)), &mut state, &mut notes)?,
                    (None, None) => {}
                }
            }
            if let (Some(fill), Some(r), false) = (m.fill_left, one_cell, state.any) {
                out.operate(k, (None, Side::Float(fill)), (*partner, side(r)), &mut state, &mut notes)?;
            }
        }
    }
    ex.notes.lock().merge(notes);
    let mut charge = ex.budget.charge();
    let mut matrix = Matrix::new(grid);
    for (labels, row) in out.rows.into_iter().filter(|(_, row)| !row.is_empty()) {
        charge.add_samples(row.view().samples())?;
        charge.add_bytes((grid.n * 8) as u64)?;
        matrix.push(Meta { labels, drop_name: join.return_bool }, row.view());
    }
    matrix.add_charge(charge);
    Stream::from_matrix(matrix, grid).rename(ex, Duplicates::Merge, |_| {})
}

fn duplicate(join: &Join<'_>, one: &Matrix, first: u32, second: u32) -> QueryError {
    let (first, second) = (&one.meta(first as usize).labels, &one.meta(second as usize).labels);
    let group = names::match_labels(second, &join.matching.labels, join.matching.on);
    let hand = if join.swapped { "left" } else { "right" };
    QueryError::execution(format!(
        "found duplicate series for the match group {group} on the {hand} hand-side of the operation: [{second}, {first}];many-to-many matching not \
         allowed: matching labels must be unique on one side"
    ))
}
