//! Label pairs, each kept once, with the series that carry it.
//!
//! A pair is kept as it stands in a series' encoded labels (length, name, length, value), so that building a series' labels is joining runs of
//! bytes, and comparing them is comparing runs of bytes. Ids are reused after [`Pairs::remove`]; [`Pairs::generation`] tells.

use super::postings::Postings;
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::BuildHasher;

pub struct Pair {
    /// Empty: the id is free.
    bytes: Box<[u8]>,
    name: u32,
    pub postings: Postings,
}

/// One label name and its pairs.
pub struct Name {
    pub name: Box<str>,
    /// Ids of its pairs in no particular order.
    pub pairs: Vec<u32>,
}

pub struct Pairs {
    hasher: foldhash::fast::RandomState,
    /// (half of the hash, id)
    table: HashTable<(u32, u32)>,
    pairs: Vec<Pair>,
    free: Vec<u32>,
    names: Vec<Name>,
    name_ids: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    generation: u64,
    bytes: usize,
}

#[inline]
pub fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Name and value of an encoded pair.
pub fn split(bytes: &[u8]) -> (&str, &str) {
    model::LabelsRef::from_encoded(bytes).iter().next().unwrap_or(("", ""))
}

/// Is this the encoded pair of a name and a value?
#[inline]
pub fn is_pair(bytes: &[u8], name: &[u8], value: &[u8]) -> bool {
    if name.len() < 255 && value.len() < 255 {
        let (n, v) = (name.len(), value.len());
        return bytes.len() == n + v + 2
            && usize::from(bytes[0]) == n
            && usize::from(bytes[n + 1]) == v
            && bytes[n + 2..] == *value
            && bytes[1..n + 1] == *name;
    }
    let (n, v) = split(bytes);
    n.as_bytes() == name && v.as_bytes() == value
}

/// Do two encoded pairs have the same name?
pub fn same_name(a: &[u8], b: &[u8]) -> bool {
    let end = |p: &[u8]| p.first().map_or(0, |n| usize::from(*n) + 1);
    // A name of 255 bytes and more is not told from others: nobody asks but to save time.
    matches!((a.get(..end(a)), b.get(..end(b))), (Some(a), Some(b)) if a == b)
}

impl Default for Pairs {
    fn default() -> Self {
        Self::new()
    }
}

impl Pairs {
    pub fn new() -> Self {
        Pairs {
            hasher: foldhash::fast::RandomState::default(),
            table: HashTable::new(),
            pairs: Vec::new(),
            free: Vec::new(),
            names: Vec::new(),
            name_ids: HashMap::default(),
            generation: 0,
            bytes: 0,
        }
    }

    /// Rises whenever ids may have changed their meaning.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn tag(&self, bytes: &[u8]) -> u32 {
        (self.hasher.hash_one(bytes) >> 32) as u32
    }

    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        let tag = self.tag(bytes);
        self.table.find(spread(tag), |(t, id)| *t == tag && *self.pairs[*id as usize].bytes == *bytes).map(|(_, id)| *id)
    }

    pub fn find_or_add(&mut self, bytes: &[u8]) -> u32 {
        let tag = self.tag(bytes);
        if let Some((_, id)) = self.table.find(spread(tag), |(t, id)| *t == tag && *self.pairs[*id as usize].bytes == *bytes) {
            return *id;
        }
        let name = self.name_id(split(bytes).0);
        let pair = Pair { bytes: bytes.into(), name, postings: Postings::empty() };
        self.bytes += bytes.len();
        let id = match self.free.pop() {
            Some(id) => {
                self.pairs[id as usize] = pair;
                id
            }
            None => {
                self.pairs.push(pair);
                (self.pairs.len() - 1) as u32
            }
        };
        self.names[name as usize].pairs.push(id);
        self.table.insert_unique(spread(tag), (tag, id), |(t, _)| spread(*t));
        id
    }

    fn name_id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.name_ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(Name { name: name.into(), pairs: Vec::new() });
        self.name_ids.insert(name.into(), id);
        id
    }

    #[inline]
    pub fn bytes(&self, id: u32) -> &[u8] {
        &self.pairs[id as usize].bytes
    }

    pub fn value(&self, id: u32) -> &str {
        split(self.bytes(id)).1
    }

    /// Number of the pair's name, for [`Pairs::name_by_id`].
    pub fn name_id_of(&self, id: u32) -> u32 {
        self.pairs[id as usize].name
    }

    pub fn name_by_id(&self, name: u32) -> &Name {
        &self.names[name as usize]
    }

    pub fn find_name(&self, name: &str) -> Option<u32> {
        self.name_ids.get(name).copied()
    }

    pub fn postings(&self, id: u32) -> &Postings {
        &self.pairs[id as usize].postings
    }

    pub fn postings_mut(&mut self, id: u32) -> &mut Postings {
        &mut self.pairs[id as usize].postings
    }

    pub fn name(&self, name: &str) -> Option<&Name> {
        self.name_ids.get(name).map(|id| &self.names[*id as usize])
    }

    /// All names; one may have lost all its pairs.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    pub fn len(&self) -> usize {
        self.pairs.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all pairs, as text.
    pub fn text_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out pairs that no series carries any more. `ids` may name a pair twice.
    pub fn remove(&mut self, ids: &[u32]) {
        let mut touched: Vec<u32> = Vec::new();
        for id in ids {
            let pair = &mut self.pairs[*id as usize];
            if pair.bytes.is_empty() || !pair.postings.is_empty() {
                continue;
            }
            let bytes = std::mem::take(&mut pair.bytes);
            touched.push(pair.name);
            self.bytes -= bytes.len();
            let tag = (self.hasher.hash_one(&*bytes) >> 32) as u32;
            if let Ok(entry) = self.table.find_entry(spread(tag), |(_, other)| other == id) {
                entry.remove();
            }
            self.free.push(*id);
        }
        if touched.is_empty() {
            return;
        }
        self.generation += 1;
        touched.sort_unstable();
        touched.dedup();
        for name in touched {
            let Pairs { names, pairs, .. } = self;
            names[name as usize].pairs.retain(|id| !pairs[*id as usize].bytes.is_empty());
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.pairs.iter().map(|p| size_of::<Pair>() + p.bytes.len() + p.postings.heap_bytes()).sum::<usize>() + self.table.capacity() * 9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: &str, v: &str) -> Vec<u8> {
        let mut out = Vec::new();
        model::labels::push_pair(&mut out, n, v);
        out
    }

    #[test]
    fn a_pair_is_kept_once_and_its_id_is_used_again() {
        let mut p = Pairs::new();
        let (a, b) = (p.find_or_add(&pair("job", "a")), p.find_or_add(&pair("job", "b")));
        assert_eq!(p.find_or_add(&pair("job", "a")), a);
        p.postings_mut(b).insert(7);
        p.remove(&[a, a, b]);
        assert_eq!((p.find(&pair("job", "a")), p.find(&pair("job", "b")), p.len()), (None, Some(b), 1));
        assert_eq!(p.find_or_add(&pair("zone", "z")), a);
        assert_eq!(p.name("job").expect("name").pairs, vec![b]);
        assert_eq!((p.value(a), p.text_bytes()), ("z", 6 + 7));
    }
}
