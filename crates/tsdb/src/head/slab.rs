//! A growing array whose elements never move and are reached without a lock: two levels of pages that are made once and stay.
//!
//! Not a collection to take things out of: a slot that is free again is given out by whoever keeps the list of free slots ([`super::index`]).

use std::sync::OnceLock;

const PAGE: usize = 1 << 10;
const PAGES: usize = 1 << 10;
const TOPS: usize = 1 << 10;

/// Slots that can be addressed: 2^30.
pub const CAPACITY: usize = PAGE * PAGES * TOPS;

type Page<T> = Box<[T]>;
type Top<T> = Box<[OnceLock<Page<T>>]>;

pub struct Slab<T> {
    tops: Box<[OnceLock<Top<T>>]>,
}

impl<T: Default> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Default> Slab<T> {
    pub fn new() -> Self {
        Slab { tops: (0..TOPS).map(|_| OnceLock::new()).collect() }
    }

    /// The element in a slot that [`Slab::ensure`] was asked for. None for any other.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.tops.get(slot / (PAGE * PAGES))?.get()?[slot / PAGE % PAGES].get()?.get(slot % PAGE)
    }

    /// The element in a slot, made when it is asked for the first time. `slot` is below [`CAPACITY`].
    pub fn ensure(&self, slot: u32) -> &T {
        let slot = slot as usize;
        let top = self.tops[slot / (PAGE * PAGES)].get_or_init(|| (0..PAGES).map(|_| OnceLock::new()).collect());
        let page = top[slot / PAGE % PAGES].get_or_init(|| (0..PAGE).map(|_| T::default()).collect());
        &page[slot % PAGE]
    }
}
