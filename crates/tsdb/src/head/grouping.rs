//! Labels of many series at once, and series brought together by their labels: by the numbers of their pairs, without building texts.
//!
//! The numbers stay what they are while a reader lives: a pair goes only when its last series is released. The index is let go of between
//! pieces, so that new series do not wait long.

use super::index::HeadIndex;
use super::querier::HeadSelection;
use hashbrown::HashMap;
use model::{Labels, LabelsRef};
use smallvec::SmallVec;
use storage::Groups;

/// Series looked at without letting go of the index.
const PIECE: usize = 4096;

/// Numbers of label names; names that no series has are left out.
type NameIds = SmallVec<[u32; 8]>;

fn name_ids(index: &HeadIndex, names: &[&str]) -> NameIds {
    names.iter().filter_map(|n| index.pairs.find_name(n)).collect()
}

/// The labels of a slot whose names are in the list (with `keep`), or are not.
fn some_labels(index: &HeadIndex, slot: u32, ids: &NameIds, keep: bool, scratch: &mut Vec<u8>) -> Labels {
    scratch.clear();
    let pairs = index.pair_ids(slot).iter();
    pairs.filter(|p| ids.contains(&index.pairs.name_id_of(**p)) == keep).for_each(|p| scratch.extend_from_slice(index.pairs.bytes(*p)));
    LabelsRef::from_encoded(scratch).to_labels()
}

impl HeadSelection {
    /// Calls `each` with every series' slot, in pieces.
    fn in_pieces(&self, numbers: &mut dyn Iterator<Item = usize>, mut each: impl FnMut(&HeadIndex, &[u32])) {
        let mut slots = Vec::with_capacity(PIECE.min(self.slots.len()));
        loop {
            slots.clear();
            slots.extend((&mut *numbers).take(PIECE).map(|i| self.slots[i]));
            if slots.is_empty() {
                return;
            }
            each(&self.head.index.read(), &slots);
        }
    }

    pub(super) fn some_labels_of(&self, numbers: &mut dyn Iterator<Item = usize>, leave_out: &[&str], each: &mut dyn FnMut(Labels)) {
        let mut scratch = Vec::with_capacity(512);
        self.in_pieces(numbers, |index, slots| {
            let ids = name_ids(index, leave_out);
            slots.iter().for_each(|s| each(some_labels(index, *s, &ids, false, &mut scratch)));
        });
    }

    pub(super) fn groups_of(&self, numbers: &mut dyn Iterator<Item = usize>, names: &[&str], keep: bool) -> Groups {
        let mut paths = Paths::default();
        let mut groups = Groups::default();
        let mut scratch = Vec::with_capacity(512);
        self.in_pieces(numbers, |index, slots| {
            let ids = name_ids(index, names);
            for slot in slots {
                let end = paths.walk(index, index.pair_ids(*slot), &ids, keep);
                let group = &mut paths.group[end as usize];
                if *group == NONE {
                    *group = groups.labels.len() as u32;
                    groups.labels.push(some_labels(index, *slot, &ids, keep, &mut scratch));
                }
                groups.of.push(*group);
            }
        });
        groups
    }
}

const NONE: u32 = u32::MAX;

/// A tree of pair numbers: series with the same wanted pairs end at the same node.
struct Paths {
    next: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    /// The group of each node.
    group: Vec<u32>,
    /// Where the wanted pairs of the last series stood: those of the next mostly stand there too.
    places: SmallVec<[(u32, u32); 8]>,
    /// How many pairs that series had.
    width: usize,
}

impl Default for Paths {
    fn default() -> Self {
        Paths { next: HashMap::default(), group: vec![NONE], places: SmallVec::new(), width: usize::MAX }
    }
}

impl Paths {
    /// The node that the wanted ones of these pairs lead to.
    fn walk(&mut self, index: &HeadIndex, pairs: &[u32], ids: &NameIds, keep: bool) -> u32 {
        let name = |p: u32| index.pairs.name_id_of(p);
        // All that were asked for are where they were: no need to look for them.
        let as_before = keep
            && self.width == pairs.len()
            && self.places.len() == ids.len()
            && self.places.iter().all(|(at, id)| name(pairs[*at as usize]) == *id);
        if as_before {
            return (0..self.places.len()).fold(0, |node, i| self.step(node, pairs[self.places[i].0 as usize]));
        }
        self.places.clear();
        self.width = pairs.len();
        let mut node = 0;
        for (at, p) in pairs.iter().enumerate() {
            let id = name(*p);
            if ids.contains(&id) == keep {
                if keep {
                    self.places.push((at as u32, id));
                }
                node = self.step(node, *p);
            }
        }
        node
    }

    #[inline]
    fn step(&mut self, node: u32, pair: u32) -> u32 {
        *self.next.entry((node, pair)).or_insert_with(|| {
            self.group.push(NONE);
            self.group.len() as u32 - 1
        })
    }
}

#[cfg(test)]
#[path = "grouping_tests.rs"]
mod tests;
