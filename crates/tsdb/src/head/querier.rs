//! Reading the head through the storage traits.
//!
//! A selection is a list of slots and a token that keeps the slots from being used again. Labels are built when asked for; samples are copied
//! out under the series' lock (bytes of the open chunk, places of full ones) and decoded outside of it.

use super::Head;
use super::isolation::Snapshot;
use super::select;
use super::series::View;
use model::{Labels, Matcher};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::{
    EncodedChunk, ExemplarQueryable, ExemplarSeries, Groups, LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings,
};

/// The head as something that can be asked.
#[derive(Clone)]
pub struct HeadQueryable(pub Arc<Head>);

impl Queryable for HeadQueryable {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(HeadQuerier {
            head: Arc::clone(&self.0),
            mint_ms,
            maxt_ms,
            readers: self.0.reader(),
            snapshot: Arc::new(self.0.isolation.snapshot()),
        }))
    }
}

impl ExemplarQueryable for HeadQueryable {
    fn exemplars(&self, start_ms: i64, end_ms: i64, matcher_sets: &[Vec<Matcher>]) -> Result<Vec<ExemplarSeries>, ReadError> {
        Ok(self.0.exemplars.select(start_ms, end_ms, matcher_sets))
    }
}

pub struct HeadQuerier {
    head: Arc<Head>,
    mint_ms: i64,
    maxt_ms: i64,
    readers: Arc<()>,
    snapshot: Arc<Snapshot>,
}

impl HeadQuerier {
    fn slots(&self, matchers: &[Matcher]) -> Option<RoaringBitmap> {
        (!matchers.is_empty()).then(|| select::select(&self.head.index, matchers))
    }
}

impl Querier for HeadQuerier {
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let set = select::select(&self.head.index, matchers);
        let mut slots: Vec<u32> = set.iter().collect();
        if hints.func == "series" {
            let (a, b) = (self.mint_ms, self.maxt_ms);
            slots.retain(|s| self.head.slot(*s).lock().touches(a, b));
        }
        if sorted {
            self.head.sort_by_labels(&mut slots);
        }
        if hints.limit > 0 {
            slots.truncate(hints.limit);
        }
        Ok(Arc::new(HeadSelection {
            head: Arc::clone(&self.head),
            slots,
            mint_ms: self.mint_ms,
            maxt_ms: self.maxt_ms,
            warnings: Mutex::default(),
            snapshot: Arc::clone(&self.snapshot),
            _readers: Arc::clone(&self.readers),
        }))
    }

    fn at_most(&self, matchers: &[Matcher]) -> Option<u64> {
        Some(select::at_most(&self.head.index, matchers))
    }

    fn values_at_most(&self, name: &str) -> Option<u64> {
        Some(self.head.index.read().pairs.name(name).map_or(0, |n| n.pairs.len() as u64))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let mut values = select::label_values(&self.head.index, name, self.slots(matchers).as_ref());
        values.sort_unstable();
        if hints.limit > 0 {
            values.truncate(hints.limit);
        }
        Ok((values, Warnings::new()))
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        let mut names = select::label_names(&self.head.index, self.slots(matchers).as_ref());
        names.sort_unstable();
        if hints.limit > 0 {
            names.truncate(hints.limit);
        }
        Ok((names, Warnings::new()))
    }
}

pub struct HeadSelection {
    pub(super) head: Arc<Head>,
    pub(super) slots: Vec<u32>,
    mint_ms: i64,
    maxt_ms: i64,
    warnings: Mutex<Warnings>,
    snapshot: Arc<Snapshot>,
    _readers: Arc<()>,
}

/// No more messages about damage than this are kept per selection.
const MAX_WARNINGS: usize = 10;

impl HeadSelection {
    fn warn(&self, problems: Vec<String>) {
        let mut warnings = self.warnings.lock();
        for p in problems {
            if warnings.len() < MAX_WARNINGS && !warnings.contains(&p) {
                warnings.push(p);
            }
        }
    }
}

/// So many series are sorted, or copied for sorting, without letting go of the index.
const SORT_UNLOCKED: usize = 1 << 13;

thread_local! {
    /// Memory for one read, used again.
    static VIEW: RefCell<View> = RefCell::default();
}

impl Selection for HeadSelection {
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.head.index.read().labels(self.slots[i])
    }

    fn labels_of(&self, numbers: &mut dyn Iterator<Item = usize>, leave_out: &[&str], each: &mut dyn FnMut(Labels)) {
        self.some_labels_of(numbers, leave_out, each);
    }

    fn groups(&self, numbers: &mut dyn Iterator<Item = usize>, names: &[&str], keep: bool) -> Groups {
        self.groups_of(numbers, names, keep)
    }

    fn may_have(&self, name: &str) -> bool {
        self.head.index.read().pairs.find_name(name).is_some()
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        let (start_ms, end_ms) = (start_ms.max(self.mint_ms), end_ms.min(self.maxt_ms));
        let problems = self.head.read_slot(self.slots[i], start_ms, end_ms, Some(&self.snapshot), out);
        if !problems.is_empty() {
            self.warn(problems);
        }
        Ok(())
    }

    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        let (chunks, problems) = self.head.chunks_of(self.slots[i], start_ms.max(self.mint_ms), end_ms.min(self.maxt_ms), &self.snapshot);
        self.warn(problems);
        chunks.into_iter().for_each(each);
        Ok(())
    }

    fn warnings(&self) -> Warnings {
        self.warnings.lock().clone()
    }
}

/// Notes a damaged chunk.
fn note(problems: &mut Vec<String>) -> impl FnMut(String) + '_ {
    |e| {
        tracing::warn!(problem = %e, "a chunk of the head cannot be read; it is left out");
        problems.push(e);
    }
}

impl Head {
    /// What a reader holds while it reads.
    pub(crate) fn reader(&self) -> Arc<()> {
        Arc::clone(&self.readers.lock())
    }

    /// Sorts slots by the labels of their series. New series wait only for short pieces of it.
    pub(crate) fn sort_by_labels(&self, slots: &mut [u32]) {
        if slots.len() > SORT_UNLOCKED {
            return self.sort_by_ranks(slots);
        }
        let index = self.index.read();
        let pairs = &index.pairs;
        slots.sort_by(|a, b| {
            let (a, b) = (index.pair_ids(*a), index.pair_ids(*b));
            // Equal pairs have equal ids: only the first that differ are looked at.
            match a.iter().zip(b).find(|(x, y)| x != y) {
                Some((x, y)) => super::pairs::split(pairs.bytes(*x)).cmp(&super::pairs::split(pairs.bytes(*y))),
                None => a.len().cmp(&b.len()),
            }
        });
    }

    /// Copies out the pairs of the series, sorts those, and sorts the series by the places of their pairs.
    fn sort_by_ranks(&self, slots: &mut [u32]) {
        let mut lists: Vec<u32> = Vec::with_capacity(slots.len() * 10);
        let mut ends: Vec<usize> = Vec::with_capacity(slots.len());
        let mut pairs: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
        let mut texts: Vec<(String, String, u32)> = Vec::new();
        for piece in slots.chunks(SORT_UNLOCKED) {
            let index = self.index.read();
            for slot in piece {
                for p in index.pair_ids(*slot) {
                    let next = pairs.len() as u32;
                    let number = *pairs.entry(*p).or_insert_with(|| {
                        let (n, v) = super::pairs::split(index.pairs.bytes(*p));
                        texts.push((n.to_string(), v.to_string(), next));
                        next
                    });
                    lists.push(number);
                }
                ends.push(lists.len());
            }
        }
        texts.sort_unstable();
        let mut rank = vec![0u32; texts.len()];
        for (place, (_, _, number)) in texts.iter().enumerate() {
            rank[*number as usize] = place as u32;
        }
        lists.iter_mut().for_each(|p| *p = rank[*p as usize]);
        let list = |i: usize| &lists[if i == 0 { 0 } else { ends[i - 1] }..ends[i]];
        let mut order: Vec<u32> = (0..slots.len() as u32).collect();
        order.sort_unstable_by(|a, b| list(*a as usize).cmp(list(*b as usize)));
        let sorted: Vec<u32> = order.iter().map(|i| slots[*i as usize]).collect();
        slots.copy_from_slice(&sorted);
    }

    /// Appends the samples of a series, both ends included, without those that were deleted or came after the snapshot. Returns what could not be read.
    pub(crate) fn read_slot(&self, slot: u32, start_ms: i64, end_ms: i64, snapshot: Option<&Snapshot>, out: &mut SeriesData) -> Vec<String> {
        let mut problems = Vec::new();
        if start_ms > end_ms {
            return problems;
        }
        VIEW.with_borrow_mut(|view| {
            let id = self.view(slot, start_ms, end_ms, snapshot, view);
            match self.deleted_of(id) {
                None => view.read(&self.full, start_ms, end_ms, out, &mut note(&mut problems)),
                Some(gone) => {
                    let mut all = SeriesData::default();
                    view.read(&self.full, start_ms, end_ms, &mut all, &mut note(&mut problems));
                    without(&all, &gone, out);
                }
            }
        });
        problems
    }

    /// Copies what is needed to read a series; returns its reference.
    fn view(&self, slot: u32, start_ms: i64, end_ms: i64, snapshot: Option<&Snapshot>, view: &mut View) -> u64 {
        let (id, touched) = {
            let s = self.slot(slot).lock();
            s.view(start_ms, end_ms, view);
            (s.id, s.touched)
        };
        if let Some(snapshot) = snapshot {
            snapshot.hidden(slot, touched, &mut view.hidden);
        }
        id
    }

    pub(crate) fn deleted_of(&self, id: u64) -> Option<Vec<(i64, i64)>> {
        if !self.any_deleted.load(Ordering::Acquire) {
            return None;
        }
        self.deleted.read().get(&id).cloned()
    }

    /// The chunks of a series that touch a range, in order of their start, made anew where samples were deleted or came after the snapshot; and
    /// what could not be read.
    pub(crate) fn chunks_of(&self, slot: u32, start_ms: i64, end_ms: i64, snapshot: &Snapshot) -> (Vec<EncodedChunk>, Vec<String>) {
        let (mut view, mut problems) = (View::default(), Vec::new());
        let id = self.view(slot, start_ms, end_ms, Some(snapshot), &mut view);
        if !view.hidden.is_empty() || self.deleted_of(id).is_some() {
            let mut data = SeriesData::default();
            problems = self.read_slot(slot, start_ms, end_ms, Some(snapshot), &mut data);
            return (super::series::encode(&data), problems);
        }
        let mut out = Vec::new();
        for c in &view.full {
            match self.full.read_with_start(c.at) {
                Ok((mint_ms, chunk)) if mint_ms <= end_ms => {
                    out.push(EncodedChunk { mint_ms, maxt_ms: c.maxt_ms, encoding: chunk.encoding, bytes: Arc::from(chunk.bytes()) });
                }
                Ok(_) => {}
                Err(e) => note(&mut problems)(e),
            }
        }
        if let Some(encoding) = view.open_encoding {
            out.push(EncodedChunk { mint_ms: view.open_ms.0, maxt_ms: view.open_ms.1, encoding, bytes: Arc::from(view.open.as_slice()) });
        }
        view.late.chunks(&mut out);
        out.sort_by_key(|c| c.mint_ms);
        (out, problems)
    }
}

/// Copies the samples that lie in none of the intervals.
fn without(data: &SeriesData, gone: &[(i64, i64)], out: &mut SeriesData) {
    let keep = |t: i64| !gone.iter().any(|(a, b)| (*a..=*b).contains(&t));
    for (i, t) in data.t_ms.iter().enumerate().filter(|(_, t)| keep(**t)) {
        out.t_ms.push(*t);
        out.v.push(data.v[i]);
    }
    for (i, t) in data.hist_t_ms.iter().enumerate().filter(|(_, t)| keep(**t)) {
        out.hist_t_ms.push(*t);
        out.hist.push(Arc::clone(&data.hist[i]));
    }
}
