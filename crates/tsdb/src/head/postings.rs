//! Which series carry a label pair: a set of slots, small ones as they are, large ones compressed.
//!
//! Most pairs of a large head are carried by one series or by very many; a bitmap for each of the former would cost more than the series.

use roaring::RoaringBitmap;

/// Above so many members a set becomes a bitmap.
const FEW: usize = 24;

/// Never empty in the index, except between the removal of its last member and that of its pair.
#[derive(Clone, Debug)]
pub enum Postings {
    One(u32),
    /// Sorted.
    Few(Vec<u32>),
    Many(Box<RoaringBitmap>),
}

impl Postings {
    pub fn empty() -> Self {
        Postings::Few(Vec::new())
    }

    pub fn len(&self) -> u64 {
        match self {
            Postings::One(_) => 1,
            Postings::Few(v) => v.len() as u64,
            Postings::Many(b) => b.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn insert(&mut self, slot: u32) {
        match self {
            Postings::One(a) if *a == slot => {}
            Postings::One(a) => {
                let mut v = Vec::with_capacity(4);
                v.extend([(*a).min(slot), (*a).max(slot)]);
                *self = Postings::Few(v);
            }
            Postings::Few(v) => {
                if v.is_empty() {
                    *self = Postings::One(slot);
                } else if v.len() >= FEW {
                    let mut b = RoaringBitmap::from_sorted_iter(v.iter().copied()).expect("members are kept sorted");
                    b.insert(slot);
                    *self = Postings::Many(Box::new(b));
                } else if let Err(at) = v.binary_search(&slot) {
                    v.insert(at, slot);
                }
            }
            // Not `try_push`: it looks for the highest member, word by word in a dense container.
            Postings::Many(b) => {
                b.insert(slot);
            }
        }
    }

    /// Adds all slots of a range, both ends included.
    pub fn insert_run(&mut self, from: u32, to: u32) {
        if (to - from) as usize >= FEW && !matches!(self, Postings::Many(_)) {
            *self = Postings::Many(Box::new(self.to_bitmap()));
        }
        match self {
            Postings::Many(b) if from < to => {
                b.insert_range(from..=to);
            }
            _ => (from..=to).for_each(|slot| self.insert(slot)),
        }
    }

    pub fn remove(&mut self, slot: u32) {
        match self {
            Postings::One(a) if *a == slot => *self = Postings::empty(),
            Postings::One(_) => {}
            Postings::Few(v) => v.retain(|s| *s != slot),
            Postings::Many(b) => {
                b.remove(slot);
                if b.len() <= FEW as u64 / 2 {
                    *self = Postings::Few(b.iter().collect());
                }
            }
        }
    }

    pub fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Postings::One(a) => RoaringBitmap::from([*a]),
            Postings::Few(v) => RoaringBitmap::from_sorted_iter(v.iter().copied()).expect("members are kept sorted"),
            Postings::Many(b) => (**b).clone(),
        }
    }

    /// Keeps of `set` what is here too.
    pub fn intersect_into(&self, set: &mut RoaringBitmap) {
        match self {
            Postings::Many(b) => *set &= &**b,
            few => *set &= few.to_bitmap(),
        }
    }

    /// Bytes on the heap, roughly.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Postings::One(_) => 0,
            Postings::Few(v) => v.capacity() * 4,
            Postings::Many(b) => b.serialized_size() + 64,
        }
    }
}

/// The members of all sets together.
pub fn union<'a>(sets: impl Iterator<Item = &'a Postings>) -> RoaringBitmap {
    let mut small = Vec::new();
    let mut large: Vec<&RoaringBitmap> = Vec::new();
    for set in sets {
        match set {
            Postings::One(a) => small.push(*a),
            Postings::Few(v) => small.extend_from_slice(v),
            Postings::Many(b) => large.push(b),
        }
    }
    small.sort_unstable();
    small.dedup();
    let small = RoaringBitmap::from_sorted_iter(small).expect("sorted just now");
    if large.is_empty() {
        return small;
    }
    large.push(&small);
    roaring::MultiOps::union(large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..60), 0..200)) {
            let (mut p, mut want) = (Postings::empty(), BTreeSet::new());
            for (add, slot) in steps {
                if add && slot % 7 == 0 { p.insert_run(slot, slot + 2 * (slot % 20)); want.extend(slot..=slot + 2 * (slot % 20)); } else if add { p.insert(slot); want.insert(slot); } else { p.remove(slot); want.remove(&slot); }
                prop_assert_eq!(p.len(), want.len() as u64);
            }
            prop_assert_eq!(p.to_bitmap().iter().collect::<Vec<_>>(), want.iter().copied().collect::<Vec<_>>());
            let other = Postings::Few(vec![3, 70]);
            prop_assert_eq!(union([&p, &other].into_iter()).iter().collect::<BTreeSet<_>>(), &want | &BTreeSet::from([3, 70]));
            let mut set = RoaringBitmap::from([1, 2, 3]);
            p.intersect_into(&mut set);
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), &want & &BTreeSet::from([1, 2, 3]));
        }
    }
}
