//! What is known about the lines of a target's page, so that a page that repeats the last one costs little more than its numbers.
//!
//! Each line that was seen (a series, or a line of metadata) is an entry: its bytes, and the series or family it stands for. `order` lists the
//! entries as they stood on the last page. While the page follows that order, the next entry is found by comparing bytes; where it does not, by
//! a hash table, after which the order is followed again from there.
//!
//! Also knows which series end: those that were on the last page that was stored, and are not on this one.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use storage::SeriesRef;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Series(SeriesRef),
    /// Relabelling drops it.
    Dropped,
    /// HELP, TYPE or UNIT of a family, by its number.
    Metadata(u32),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// What [`Line`] holds, and which of them it is: a fifth less memory than the enum takes.
    value: u64,
    at: u32,
    len: u32,
    /// Number of the last page that had it.
    seen: u32,
    /// Its place in `order`.
    place: u32,
    /// Its end is to be marked: it came without a time of its own, or such series are tracked too.
    tracked: bool,
    /// It was on the last stored page, and tracked, when the present page overwrote `seen`.
    was_alive: bool,
    kind: LineKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineKind {
    Series,
    Dropped,
    Metadata,
}

impl Entry {
    #[inline]
    fn line(&self) -> Line {
        match self.kind {
            LineKind::Series => Line::Series(SeriesRef(self.value)),
            LineKind::Dropped => Line::Dropped,
            LineKind::Metadata => Line::Metadata(self.value as u32),
        }
    }

    fn set_line(&mut self, line: Line) {
        (self.kind, self.value) = match line {
            Line::Series(s) => (LineKind::Series, s.0),
            Line::Dropped => (LineKind::Dropped, 0),
            Line::Metadata(n) => (LineKind::Metadata, u64::from(n)),
        };
    }
}

/// Number of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u32);

#[derive(Default)]
pub struct SeriesCache {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    table: HashTable<u32>,
    hasher: FixedState,
    order: Vec<u32>,
    /// Position in `order`, and the order of the present page as far as it differs.
    cursor: usize,
    new_order: Option<Vec<u32>>,
    /// Number of the present page, and of the last one that was stored (0 for none).
    page: u32,
    stored: u32,
    alive: usize,
    /// Of the present page: series that were alive before and go on, series that are tracked, lines.
    kept: usize,
    tracked: usize,
    seen: usize,
    /// Entries after the last stored page: what growth is measured by.
    settled: usize,
    /// Entries when the page began.
    known_before: usize,
    /// Series whose cache entry was given up while they were alive.
    orphans: Vec<SeriesRef>,
}

/// A target whose pages fail may gather this many lines beyond twice the last good page.
const GROWTH_ALLOWANCE: usize = 1000;

impl SeriesCache {
    /// A new page begins. Returns its number.
    pub fn begin(&mut self) -> u32 {
        self.page = self.page.wrapping_add(1).max(1);
        (self.cursor, self.new_order) = (0, None);
        (self.kept, self.tracked, self.seen) = (0, 0, 0);
        self.known_before = self.entries.len();
        self.page
    }

    fn raw_of(&self, e: &Entry) -> &[u8] {
        &self.bytes[e.at as usize..(e.at + e.len) as usize]
    }

    /// The line that stood next on the last page.
    #[inline]
    pub fn expected(&self) -> Option<(Id, Line, &[u8])> {
        let id = *self.order.get(self.cursor)?;
        let e = &self.entries[id as usize];
        Some((Id(id), e.line(), self.raw_of(e)))
    }

    /// The expected line has come.
    #[inline]
    pub fn follow(&mut self, id: Id) {
        self.cursor += 1;
        if let Some(order) = &mut self.new_order {
            order.push(id.0);
        }
    }

    /// A line has come that may be anywhere; None when it is not known.
    pub fn find(&mut self, raw: &[u8]) -> Option<(Id, Line)> {
        let hash = self.hasher.hash_one(raw);
        let id = *self.table.find(hash, |id| self.raw_of(&self.entries[*id as usize]) == raw)?;
        let e = &self.entries[id as usize];
        let (line, place) = (e.line(), e.place as usize);
        self.diverge();
        self.push_order(id);
        // Follow the old order from there, if that is where it stood.
        if self.order.get(place) == Some(&id) {
            self.cursor = place + 1;
        }
        Some((Id(id), line))
    }

    fn diverge(&mut self) {
        if self.new_order.is_none() {
            let mut order = Vec::with_capacity(self.order.len() + 16);
            order.extend_from_slice(&self.order[..self.cursor]);
            self.new_order = Some(order);
        }
    }

    fn push_order(&mut self, id: u32) {
        if let Some(order) = &mut self.new_order {
            order.push(id);
        }
    }

    /// Remembers a line that is not known. None when there is no room for more bytes.
    pub fn add(&mut self, raw: &[u8], line: Line) -> Option<Id> {
        let at = u32::try_from(self.bytes.len()).ok()?;
        let len = u32::try_from(raw.len()).ok()?;
        at.checked_add(len)?;
        let id = u32::try_from(self.entries.len()).ok()?;
        self.bytes.extend_from_slice(raw);
        let mut entry = Entry { value: 0, at, len, seen: 0, place: u32::MAX, tracked: false, was_alive: false, kind: LineKind::Dropped };
        entry.set_line(line);
        self.entries.push(entry);
        let hash = self.hasher.hash_one(raw);
        let (bytes, entries, hasher) = (&self.bytes, &self.entries, &self.hasher);
        self.table.insert_unique(hash, id, |id| {
            let e = &entries[*id as usize];
            hasher.hash_one(&bytes[e.at as usize..(e.at + e.len) as usize])
        });
        self.diverge();
        self.push_order(id);
        Some(Id(id))
    }

    pub fn set_series(&mut self, id: Id, series: SeriesRef) {
        self.entries[id.0 as usize].set_line(Line::Series(series));
    }

    /// The series of an entry, if it is one.
    pub fn series(&self, id: Id) -> Option<SeriesRef> {
        series_of(&self.entries[id.0 as usize])
    }

    /// Was it first seen on this page?
    pub fn is_new(&self, id: Id) -> bool {
        id.0 as usize >= self.known_before
    }

    pub fn set_metadata(&mut self, id: Id, family: u32) {
        self.entries[id.0 as usize].set_line(Line::Metadata(family));
    }

    /// Notes that the line is on this page. False when it had been already.
    #[inline]
    pub fn mark(&mut self, id: Id) -> bool {
        let e = &mut self.entries[id.0 as usize];
        if e.seen == self.page {
            return false;
        }
        e.was_alive = e.tracked && e.seen == self.stored && self.stored != 0;
        self.seen += 1;
        e.tracked = false;
        e.seen = self.page;
        true
    }

    /// A sample of the line was taken, and its end is to be marked one day.
    #[inline]
    pub fn track(&mut self, id: Id) {
        let e = &mut self.entries[id.0 as usize];
        if !e.tracked {
            e.tracked = true;
            self.tracked += 1;
            self.kept += usize::from(e.was_alive);
        }
    }

    /// The page is good. Hands over each series that was alive and has no sample on it.
    pub fn succeed(&mut self, mut ended: impl FnMut(SeriesRef)) {
        if self.kept < self.alive || !self.orphans.is_empty() {
            // A series may have come back under other bytes: then it goes on.
            let here = self.entries.iter().filter(|e| e.seen == self.page && e.tracked).filter_map(series_of);
            let here: std::collections::HashSet<SeriesRef> = here.collect();
            // Not on the page; or there, but without a sample that was taken and counts.
            let ends = |e: &&Entry| (e.tracked && e.seen == self.stored && self.stored != 0) || (e.was_alive && !e.tracked && e.seen == self.page);
            let gone = self.entries.iter().filter(ends).filter_map(series_of);
            gone.chain(self.orphans.drain(..)).filter(|s| !here.contains(s)).for_each(&mut ended);
        }
        if let Some(order) = self.new_order.take() {
            self.order = order;
            for (place, id) in self.order.iter().enumerate() {
                self.entries[*id as usize].place = place as u32;
            }
            self.trim();
        } else {
            self.order.truncate(self.cursor);
        }
        self.stored = self.page;
        self.alive = self.tracked;
        let unseen = self.entries.len() - self.seen.min(self.entries.len());
        if unseen > 64 + self.seen / 4 {
            self.keep_seen();
        }
        self.settled = self.entries.len();
    }

    /// Gives back memory that growing has left over; there are as many caches as targets.
    fn trim(&mut self) {
        fn trim<T>(v: &mut Vec<T>) {
            if v.capacity() > v.len() + v.len() / 4 + 64 {
                v.shrink_to(v.len() + v.len() / 16);
            }
        }
        trim(&mut self.bytes);
        trim(&mut self.entries);
        trim(&mut self.order);
    }

    /// The page is no good, or there is none. Hands over each series that was alive. True when the cache had grown too much and was emptied of what
    /// the page did not show.
    pub fn fail(&mut self, mut ended: impl FnMut(SeriesRef)) -> bool {
        if self.stored != 0 {
            let alive = |e: &&Entry| (e.seen == self.page && e.was_alive) || (e.seen == self.stored && e.tracked);
            self.entries.iter().filter(alive).filter_map(series_of).for_each(&mut ended);
        }
        self.orphans.drain(..).for_each(ended);
        (self.stored, self.alive, self.new_order) = (0, 0, None);
        let too_much = self.entries.len() > self.settled * 2 + GROWTH_ALLOWANCE;
        if too_much {
            self.keep_seen();
            self.settled = self.entries.len();
        }
        too_much
    }

    /// Forgets all lines, but not which series are alive: how they are stored has changed.
    pub fn forget_lines(&mut self) {
        if self.stored != 0 {
            let alive = self.entries.iter().filter(|e| e.seen == self.stored && e.tracked).filter_map(series_of);
            self.orphans.extend(alive);
        }
        let (page, orphans) = (self.page, std::mem::take(&mut self.orphans));
        *self = SeriesCache { page, orphans, ..SeriesCache::default() };
    }

    /// Keeps only the lines of the present page.
    fn keep_seen(&mut self) {
        let page = self.page;
        let mut bytes = Vec::with_capacity(self.bytes.len() / 2);
        let mut renumbered = vec![u32::MAX; self.entries.len()];
        let mut kept: Vec<Entry> = Vec::with_capacity(self.seen);
        for (i, e) in self.entries.iter().enumerate().filter(|(_, e)| e.seen == page) {
            renumbered[i] = kept.len() as u32;
            let at = bytes.len() as u32;
            bytes.extend_from_slice(self.raw_of(e));
            kept.push(Entry { at, ..*e });
        }
        (self.bytes, self.entries) = (bytes, kept);
        self.order = self.order.iter().map(|id| renumbered[*id as usize]).filter(|id| *id != u32::MAX).collect();
        for (place, id) in self.order.iter().enumerate() {
            self.entries[*id as usize].place = place as u32;
        }
        self.table = HashTable::with_capacity(self.entries.len());
        let (bytes, entries, hasher) = (&self.bytes, &self.entries, &self.hasher);
        let hash_of = |id: &u32| {
            let e = &entries[*id as usize];
            hasher.hash_one(&bytes[e.at as usize..(e.at + e.len) as usize])
        };
        for id in 0..entries.len() as u32 {
            self.table.insert_unique(hash_of(&id), id, hash_of);
        }
    }

    /// Forgets lines of metadata, whose families have got other numbers.
    pub fn forget_metadata(&mut self) {
        // Their bytes stay; an unseen entry is dropped with the next clean-up, and a seen one is found by its bytes and numbered anew.
        for e in &mut self.entries {
            if e.kind == LineKind::Metadata {
                e.set_line(Line::Metadata(u32::MAX));
            }
        }
    }

    #[cfg(test)]
    pub fn line_count(&self) -> usize {
        self.entries.len()
    }
}

fn series_of(e: &Entry) -> Option<SeriesRef> {
    (e.kind == LineKind::Series).then_some(SeriesRef(e.value))
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
