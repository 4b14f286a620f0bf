//! Where the states of merged series are kept: in pages of neighbouring references. A request's series mostly have neighbouring references, so that the next one's state lies
//! beside the last one's instead of anywhere in memory.

use super::state::State;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use storage::SeriesRef;

const PAGE: usize = 32;

struct Page {
    states: [Option<State>; PAGE],
    used: usize,
}

#[derive(Default)]
pub(super) struct States {
    pages: HashMap<u64, Box<Page>, RandomState>,
}

/// Number of the page, and place in it.
fn place(series: SeriesRef) -> (u64, usize) {
    (series.0 / PAGE as u64, (series.0 % PAGE as u64) as usize)
}

/// Which of `shards` parts a series belongs to: whole pages stay together.
pub(super) fn shard_of(series: SeriesRef, shards: usize) -> usize {
    (place(series).0 % shards as u64) as usize
}

impl States {
    pub fn get_mut(&mut self, series: SeriesRef) -> Option<&mut State> {
        let (page, at) = place(series);
        self.pages.get_mut(&page)?.states[at].as_mut()
    }

    pub fn get_or_insert_with(&mut self, series: SeriesRef, make: impl FnOnce() -> State) -> &mut State {
        let (page, at) = place(series);
        let page = self.pages.entry(page).or_insert_with(|| Box::new(Page { states: [const { None }; PAGE], used: 0 }));
        let slot = &mut page.states[at];
        if slot.is_none() {
            page.used += 1;
        }
        slot.get_or_insert_with(make)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(SeriesRef, &mut State) -> bool) {
        self.pages.retain(|number, page| {
            for (at, slot) in page.states.iter_mut().enumerate() {
                if let Some(state) = slot
                    && !keep(SeriesRef(number * PAGE as u64 + at as u64), state)
                {
                    *slot = None;
                    page.used -= 1;
                }
            }
            page.used > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_and_go_with_their_states() {
        let mut s = States::default();
        for n in [1, 2, 31, 32, 33, 1_000_000] {
            s.get_or_insert_with(SeriesRef(n), || State::empty(false)).newest_ms = n as i64;
        }
        assert_eq!(s.pages.len(), 3);
        assert_eq!(s.get_mut(SeriesRef(33)).map(|x| x.newest_ms), Some(33));
        assert!(s.get_mut(SeriesRef(3)).is_none() && s.get_mut(SeriesRef(99)).is_none());
        assert_eq!(s.get_or_insert_with(SeriesRef(2), || unreachable!("it is there")).newest_ms, 2);
        let mut seen = Vec::new();
        s.retain(|n, x| {
            seen.push((n.0, x.newest_ms));
            n.0 == 33
        });
        seen.sort_unstable();
        assert_eq!(seen, [(1, 1), (2, 2), (31, 31), (32, 32), (33, 33), (1_000_000, 1_000_000)]);
        assert_eq!((s.pages.len(), s.get_mut(SeriesRef(32)).is_none()), (1, true));
        assert_eq!(shard_of(SeriesRef(64), 64), shard_of(SeriesRef(95), 64));
    }
}
