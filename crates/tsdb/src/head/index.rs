//! What identifies the series of the head: labels to slot, reference to slot, slot to labels, and the postings. No samples.
//!
//! A slot is a small number that a series has while it is in the head; it is used again afterwards. A reference is for ever: it is what WAL
//! records carry. All of this sits behind one lock of the head; it is read for every series of a batch and written for new series only.

use super::pairs::{self, Pairs, spread};
use hashbrown::HashTable;
use model::{Labels, LabelsRef};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

/// A series may have at most so many labels: their number is kept in a byte.
pub const MAX_LABELS: usize = 255;
/// So many pairs of the series before are compared with one of a new series.
const LOOK_AHEAD: usize = 3;

pub struct HeadIndex {
    hasher: foldhash::fast::RandomState,
    /// (half of the hash, slot)
    table: HashTable<(u32, u32)>,
    pub pairs: Pairs,
    lists: Lists,
    refs: Refs,
    /// Further references of series that the log named more than once.
    aliases: Vec<(u64, u32)>,
    all: RoaringBitmap,
    free: Vec<u32>,
    next: u32,
    /// Pairs of the series that was added last: neighbours have most of them in common.
    last: Vec<Run>,
    last_slot: u32,
    /// The runs of `last` are not in the postings yet.
    unsettled: bool,
    /// Memory for the next `last`.
    new_runs: Vec<Run>,
    /// By slot: the slot of the series that was asked for behind it. A guess that may be wrong in any way.
    behind: Vec<AtomicU32>,
}

/// A pair, and the first of the neighbouring slots up to the last one that carry it and are not in its postings yet.
struct Run {
    pair: u32,
    from: u32,
}

impl Default for HeadIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl HeadIndex {
    pub fn new() -> Self {
        HeadIndex {
            hasher: foldhash::fast::RandomState::default(),
            table: HashTable::new(),
            pairs: Pairs::new(),
            lists: Lists::default(),
            refs: Refs::default(),
            aliases: Vec::new(),
            all: RoaringBitmap::new(),
            free: Vec::new(),
            next: 0,
            last: Vec::new(),
            last_slot: 0,
            unsettled: false,
            new_runs: Vec::new(),
            behind: Vec::new(),
        }
    }

    /// The hash by which [`HeadIndex::find`] looks; the same for the life of the head.
    pub fn hasher(&self) -> foldhash::fast::RandomState {
        self.hasher.clone()
    }

    pub fn len(&self) -> u64 {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Slots of all series.
    pub fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Writes postings that are due.
    pub fn settle(&mut self) {
        if !std::mem::take(&mut self.unsettled) {
            return;
        }
        for run in self.last.iter().filter(|r| r.from != NOWHERE) {
            self.pairs.postings_mut(run.pair).insert_run(run.from, self.last_slot);
        }
    }

    /// The slot of the series with these labels.
    #[inline]
    pub fn find(&self, hash: u64, labels: LabelsRef<'_>) -> Option<u32> {
        let tag = (hash >> 32) as u32;
        self.table.find(spread(tag), |(t, slot)| *t == tag && self.has_labels(*slot, labels.encoded())).map(|(_, slot)| *slot)
    }

    #[inline]
    fn has_labels(&self, slot: u32, mut encoded: &[u8]) -> bool {
        for id in self.lists.get(slot) {
            match encoded.strip_prefix(self.pairs.bytes(*id)) {
                Some(rest) => encoded = rest,
                None => return false,
            }
        }
        encoded.is_empty()
    }

    /// Takes in a series that [`HeadIndex::find`] did not find; its labels are valid ([`check_labels`]).
    pub fn add(&mut self, hash: u64, labels: LabelsRef<'_>, id: u64) -> u32 {
        let slot = self.add_unsettled(hash, labels, id);
        self.settle();
        slot
    }

    /// The same, but its postings may be written later: by [`HeadIndex::settle`], before anybody else may look. For many series one after the
    /// other, whose common pairs then cost a run for all of them instead of a search for each.
    pub fn add_unsettled(&mut self, hash: u64, labels: LabelsRef<'_>, id: u64) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let goes_on = self.unsettled && slot == self.last_slot + 1;
        let mut list = smallvec::SmallVec::<[u32; 32]>::new();
        let mut runs = std::mem::take(&mut self.new_runs);
        let mut at = 0;
        for pair in encoded_pairs(labels.encoded()) {
            let known = self.last.iter().skip(at).take(LOOK_AHEAD).position(|r| self.pairs.bytes(r.pair) == pair);
            let run = match known {
                Some(n) => {
                    at += n + 1;
                    let before = &mut self.last[at - 1];
                    // What goes on is not settled with the rest of the series before.
                    let from = if goes_on { std::mem::replace(&mut before.from, NOWHERE) } else { slot };
                    Run { pair: before.pair, from }
                }
                None => {
                    let same_name = self.last.get(at).is_some_and(|r| pairs::same_name(self.pairs.bytes(r.pair), pair));
                    at += usize::from(same_name);
                    Run { pair: self.pairs.find_or_add(pair), from: slot }
                }
            };
            list.push(run.pair);
            runs.push(run);
        }
        self.settle();
        std::mem::swap(&mut self.last, &mut runs);
        runs.clear();
        self.new_runs = runs;
        (self.last_slot, self.unsettled) = (slot, true);
        self.lists.set(slot, &list);
        if self.behind.len() <= slot as usize {
            self.behind.resize_with(slot as usize + 1, || AtomicU32::new(NOWHERE));
        }
        let tag = (hash >> 32) as u32;
        self.table.insert_unique(spread(tag), (tag, slot), |(t, _)| spread(*t));
        self.refs.set(id, slot);
        self.all.insert(slot);
        slot
    }

    /// Notes that a series was asked for behind another one.
    #[inline]
    pub fn note_behind(&self, before: u32, slot: u32) {
        if let Some(b) = self.behind.get(before as usize)
            && b.load(Ordering::Relaxed) != slot
        {
            b.store(slot, Ordering::Relaxed);
        }
    }

    /// The slot of the series that was asked for behind that of `before`, if these are its labels.
    #[inline]
    pub fn find_behind(&self, before: u32, pairs: &[(&[u8], &[u8])]) -> Option<u32> {
        let slot = self.behind.get(before as usize)?.load(Ordering::Relaxed);
        let ids = self.lists.get(slot);
        let same =
            ids.len() == pairs.len() && !ids.is_empty() && ids.iter().zip(pairs).all(|(id, (n, v))| pairs::is_pair(self.pairs.bytes(*id), n, v));
        same.then_some(slot)
    }

    pub fn slot_of(&self, id: u64) -> Option<u32> {
        self.refs.get(id)
    }

    /// Lets a second reference mean the same series.
    pub fn alias(&mut self, id: u64, slot: u32) {
        self.refs.set(id, slot);
        self.aliases.push((id, slot));
    }

    pub fn labels(&self, slot: u32) -> Labels {
        let list = self.lists.get(slot);
        let mut out = Vec::with_capacity(list.iter().map(|p| self.pairs.bytes(*p).len()).sum());
        for p in list {
            out.extend_from_slice(self.pairs.bytes(*p));
        }
        LabelsRef::from_encoded(&out).to_labels()
    }

    /// Ids of a series' pairs, in order of the label names.
    pub fn pair_ids(&self, slot: u32) -> &[u32] {
        self.lists.get(slot)
    }

    /// Makes series unfindable: they are in no postings and have no reference. Their labels and slots stay until [`HeadIndex::release`].
    pub fn unlink(&mut self, gone: &[(u64, u32)]) {
        let slots: RoaringBitmap = gone.iter().map(|(_, slot)| *slot).collect();
        let mut encoded = Vec::new();
        for (id, slot) in gone {
            encoded.clear();
            self.lists.get(*slot).iter().for_each(|p| encoded.extend_from_slice(self.pairs.bytes(*p)));
            let tag = (self.hash(LabelsRef::from_encoded(&encoded)) >> 32) as u32;
            if let Ok(entry) = self.table.find_entry(spread(tag), |(_, s)| s == slot) {
                entry.remove();
            }
            self.refs.remove(*id);
            self.all.remove(*slot);
            for p in self.lists.get(*slot) {
                self.pairs.postings_mut(*p).remove(*slot);
            }
        }
        for (id, _) in self.aliases.extract_if(.., |(_, slot)| slots.contains(*slot)) {
            self.refs.remove(id);
        }
    }

    /// Gives the slots of unlinked series back.
    pub fn release(&mut self, slots: &[u32]) {
        let mut ids = Vec::new();
        for slot in slots {
            ids.extend_from_slice(self.lists.get(*slot));
            self.lists.clear(*slot);
        }
        self.pairs.remove(&ids);
        self.free.extend_from_slice(slots);
        // Low slots first, so that the bitmaps stay dense.
        self.free.sort_unstable_by(|a, b| b.cmp(a));
    }

    pub fn heap_bytes(&self) -> usize {
        self.pairs.heap_bytes()
            + self.lists.heap_bytes()
            + self.refs.heap_bytes()
            + self.table.capacity() * 9
            + self.all.serialized_size()
            + 4 * self.behind.capacity()
    }

    pub fn hash(&self, labels: LabelsRef<'_>) -> u64 {
        self.hasher.hash_one(labels.encoded())
    }
}

/// Says what is wrong with labels, if anything.
pub fn check_labels(labels: LabelsRef<'_>) -> Result<(), String> {
    if labels.is_empty() {
        return Err("empty labelset".to_string());
    }
    let mut before: &[u8] = b"";
    let mut n = 0;
    let mut strings = labels.strings();
    while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
        if name > before && !value.is_empty() {
            before = name;
            n += 1;
            continue;
        }
        let text = String::from_utf8_lossy(name);
        return Err(if name.is_empty() {
            "a label name is empty".to_string()
        } else if value.is_empty() {
            format!("label \"{text}\" has an empty value")
        } else if name == before {
            format!("label name \"{text}\" is not unique")
        } else {
            format!("label name \"{text}\" is not sorted")
        });
    }
    if n > MAX_LABELS { Err(format!("{n} labels are more than {MAX_LABELS}")) } else { Ok(()) }
}

/// Cuts encoded labels into encoded pairs.
pub fn encoded_pairs(encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = |at: usize| match encoded[at] {
        255 => at + 4 + (usize::from(encoded[at + 1]) | usize::from(encoded[at + 2]) << 8 | usize::from(encoded[at + 3]) << 16),
        n => at + 1 + usize::from(n),
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= encoded.len() {
            return None;
        }
        let start = at;
        at = text(text(at));
        Some(&encoded[start..at])
    })
}

/// The pair ids of each slot, in blocks that never move; freed runs are used again by series with as many labels.
#[derive(Default)]
struct Lists {
    /// Where a slot's run begins: block and place in it. Its first number is its length.
    at: Vec<u32>,
    blocks: Vec<Vec<u32>>,
    /// Freed runs by length.
    free: Vec<Vec<u32>>,
}

const BLOCK: usize = 1 << 16;
const NOWHERE: u32 = u32::MAX;

impl Lists {
    #[inline]
    fn get(&self, slot: u32) -> &[u32] {
        match self.at.get(slot as usize) {
            None | Some(&NOWHERE) => &[],
            Some(at) => {
                let run = &self.blocks[*at as usize / BLOCK][*at as usize % BLOCK..];
                &run[1..=run[0] as usize]
            }
        }
    }

    fn set(&mut self, slot: u32, list: &[u32]) {
        if self.at.len() <= slot as usize {
            self.at.resize(slot as usize + 1, NOWHERE);
        }
        let at = match self.free.get_mut(list.len()).and_then(Vec::pop) {
            Some(at) => at,
            None => {
                if self.blocks.last().is_none_or(|b| b.len() + list.len() >= BLOCK) {
                    self.blocks.push(Vec::with_capacity(BLOCK));
                }
                let n = self.blocks.len() - 1;
                let block = &mut self.blocks[n];
                let at = n * BLOCK + block.len();
                block.resize(block.len() + list.len() + 1, 0);
                at as u32
            }
        };
        let run = &mut self.blocks[at as usize / BLOCK][at as usize % BLOCK..];
        run[0] = list.len() as u32;
        run[1..=list.len()].copy_from_slice(list);
        self.at[slot as usize] = at;
    }

    fn clear(&mut self, slot: u32) {
        let len = self.get(slot).len();
        let at = std::mem::replace(&mut self.at[slot as usize], NOWHERE);
        if at != NOWHERE {
            if self.free.len() <= len {
                self.free.resize(len + 1, Vec::new());
            }
            self.free[len].push(at);
        }
    }

    fn heap_bytes(&self) -> usize {
        4 * (self.at.capacity() + self.blocks.iter().map(Vec::len).sum::<usize>())
    }
}

/// References to slots. References are given out in rising order, so they come in dense runs, whatever the log of another server brought.
#[derive(Default)]
struct Refs {
    pages: HashMap<u64, RefPage, foldhash::fast::RandomState>,
}

const REF_PAGE: u64 = 256;

struct RefPage {
    used: u32,
    slots: Box<[u32]>,
}

impl Refs {
    #[inline]
    fn get(&self, id: u64) -> Option<u32> {
        let slot = self.pages.get(&(id / REF_PAGE))?.slots[(id % REF_PAGE) as usize];
        (slot != NOWHERE).then_some(slot)
    }

    fn set(&mut self, id: u64, slot: u32) {
        let page = self.pages.entry(id / REF_PAGE).or_insert_with(|| RefPage { used: 0, slots: vec![NOWHERE; REF_PAGE as usize].into_boxed_slice() });
        let place = &mut page.slots[(id % REF_PAGE) as usize];
        if *place == NOWHERE {
            page.used += 1;
        }
        *place = slot;
    }

    fn remove(&mut self, id: u64) {
        let Some(page) = self.pages.get_mut(&(id / REF_PAGE)) else { return };
        let place = &mut page.slots[(id % REF_PAGE) as usize];
        if *place != NOWHERE {
            *place = NOWHERE;
            page.used -= 1;
            if page.used == 0 {
                self.pages.remove(&(id / REF_PAGE));
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.pages.len() * (REF_PAGE as usize * 4 + 48)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(i: u32) -> Labels {
        Labels::from_pairs([("__name__", "up".to_string()), ("instance", format!("host-{i}")), ("job", format!("{}", i % 3))])
    }

    #[test]
    fn what_was_added_is_found_until_it_is_unlinked() {
        let mut x = HeadIndex::new();
        for i in 0..1000u32 {
            let l = labels(i);
            let hash = x.hash(l.as_ref());
            assert_eq!(x.find(hash, l.as_ref()), None);
            assert_eq!(x.add(hash, l.as_ref(), u64::from(i) + 1), i);
        }
        x.alias(5000, 7);
        let gone: Vec<(u64, u32)> = (0..1000).filter(|i| i % 2 == 1).map(|i| (u64::from(i) + 1, i)).collect();
        x.unlink(&gone);
        assert_eq!(x.slot_of(5000), None);
        assert_eq!(x.labels(7), labels(7));
        x.release(&gone.iter().map(|(_, s)| *s).collect::<Vec<_>>());
        for i in 0..1000u32 {
            let l = labels(i);
            let want = (i % 2 == 0).then_some(i);
            assert_eq!((x.find(x.hash(l.as_ref()), l.as_ref()), x.slot_of(u64::from(i) + 1)), (want, want));
        }
        assert_eq!((x.len(), x.pairs.len()), (500, 1 + 500 + 3));
        // The lowest free slot is used first.
        let l = labels(5001);
        assert_eq!(x.add(x.hash(l.as_ref()), l.as_ref(), 6000), 1);
        assert_eq!(x.labels(1), l);
    }

    #[test]
    fn postings_are_whole_when_settled() {
        let (mut one, mut all) = (HeadIndex::new(), HeadIndex::new());
        // Two series have left, so slots do not rise throughout.
        for x in [&mut one, &mut all] {
            for i in 5000..5003u32 {
                x.add(x.hash(labels(i).as_ref()), labels(i).as_ref(), u64::from(i));
            }
            x.unlink(&[(5000, 0), (5001, 1)]);
            x.release(&[0, 1]);
        }
        for i in 0..300u32 {
            let i = if i < 100 { i } else { i / 10 * 10 + (i + 7) % 10 };
            let (l, id) = (labels(i), u64::from(i) + 1);
            one.add(one.hash(l.as_ref()), l.as_ref(), id);
            all.add_unsettled(all.hash(l.as_ref()), l.as_ref(), id);
            if i % 64 == 0 {
                all.settle();
            }
        }
        all.settle();
        for (name, value) in [("__name__", "up"), ("job", "0"), ("job", "1"), ("job", "2"), ("instance", "host-17"), ("instance", "host-5002")] {
            let members = |x: &HeadIndex| {
                let mut pair = Vec::new();
                model::labels::push_pair(&mut pair, name, value);
                x.pairs.postings(x.pairs.find(&pair).expect("known")).to_bitmap().iter().collect::<Vec<_>>()
            };
            assert!(!members(&one).is_empty());
            assert_eq!(members(&one), members(&all), "{name}={value}");
        }
    }

    #[test]
    fn the_series_behind_another_is_found_by_exactly_its_labels() {
        let mut x = HeadIndex::new();
        let long = "v".repeat(300);
        let texts =
            [vec![("__name__", "up"), ("job", "a")], vec![("__name__", "up"), ("job", "b"), ("long", long.as_str())], vec![("__name__", "u")]];
        let all: Vec<Labels> = texts.iter().map(|t| Labels::from_pairs(t.iter().copied())).collect();
        for (i, l) in all.iter().enumerate() {
            x.add(x.hash(l.as_ref()), l.as_ref(), i as u64 + 1);
        }
        let ask = |x: &HeadIndex, before: u32, i: usize| {
            let pairs: Vec<(&[u8], &[u8])> = texts[i].iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            x.find_behind(before, &pairs)
        };
        assert_eq!(ask(&x, 0, 1), None, "nothing was noted");
        x.note_behind(0, 1);
        x.note_behind(1, 2);
        assert_eq!((ask(&x, 0, 1), ask(&x, 0, 0), ask(&x, 0, 2), ask(&x, 1, 2), ask(&x, 7, 2)), (Some(1), None, None, Some(2), None));
        let like = |n: &[u8], v: &[u8]| x.find_behind(1, &[(n, v)]);
        assert_eq!((like(b"__name__", b"u"), like(b"__name__", b"up"), like(b"__name_", b"_u"), like(b"__name__", b"")), (Some(2), None, None, None));
        x.unlink(&[(2, 1)]);
        x.release(&[1]);
        assert_eq!(ask(&x, 0, 1), None, "it has left");
    }

    #[test]
    fn labels_are_checked() {
        let check = |pairs: &[(&str, &str)], want: Result<(), &str>| {
            let mut b = Vec::new();
            pairs.iter().for_each(|(n, v)| model::labels::push_pair(&mut b, n, v));
            assert_eq!(check_labels(LabelsRef::from_encoded(&b)), want.map_err(str::to_string));
        };
        check(&[("a", "1"), ("b", "2")], Ok(()));
        check(&[], Err("empty labelset"));
        check(&[("a", "1"), ("a", "2")], Err("label name \"a\" is not unique"));
        check(&[("b", "1"), ("a", "2")], Err("label name \"a\" is not sorted"));
        check(&[("a", "")], Err("label \"a\" has an empty value"));
    }
}
