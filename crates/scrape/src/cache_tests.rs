use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Puts a page through the cache as a page writer does; series `n` has the bytes `n`. Returns what ended and how often the order foretold.
fn page(cache: &mut SeriesCache, lines: &[u32], good: bool) -> (BTreeSet<u64>, usize) {
    cache.begin();
    let mut foretold = 0;
    for n in lines {
        let raw = format!("series_{n}");
        let expected = cache.expected().filter(|(_, _, bytes)| *bytes == raw.as_bytes()).map(|(id, ..)| id);
        let id = match expected {
            Some(id) => {
                cache.follow(id);
                foretold += 1;
                id
            }
            None => match cache.find(raw.as_bytes()) {
                Some((id, line)) => {
                    assert_eq!(line, Line::Series(SeriesRef(u64::from(*n))));
                    id
                }
                None => cache.add(raw.as_bytes(), Line::Series(SeriesRef(u64::from(*n)))).expect("room"),
            },
        };
        if cache.mark(id) {
            cache.track(id);
        }
    }
    let mut ended = BTreeSet::new();
    if good {
        cache.succeed(|s| assert!(ended.insert(s.0), "a series ends once"));
    } else {
        cache.fail(|s| assert!(ended.insert(s.0), "a series ends once"));
    }
    (ended, foretold)
}

#[test]
fn a_page_that_repeats_is_foretold() {
    let mut c = SeriesCache::default();
    assert_eq!(page(&mut c, &[1, 2, 3, 4], true).1, 0);
    assert_eq!(page(&mut c, &[1, 2, 3, 4], true), (BTreeSet::new(), 4));
    // One left out, one new: the order is found again behind them.
    assert_eq!(page(&mut c, &[1, 9, 3, 4], true), (BTreeSet::from([2]), 2));
    assert_eq!(page(&mut c, &[1, 9, 3, 4], true), (BTreeSet::new(), 4));
    assert_eq!(page(&mut c, &[1], true), (BTreeSet::from([3, 4, 9]), 1));
    assert_eq!(page(&mut c, &[1], true).1, 1);
}

#[test]
fn a_failure_ends_all_once() {
    let mut c = SeriesCache::default();
    page(&mut c, &[1, 2], true);
    assert_eq!(page(&mut c, &[1, 7], false).0, BTreeSet::from([1, 2]));
    assert_eq!(page(&mut c, &[], false).0, BTreeSet::new());
    assert_eq!(page(&mut c, &[1, 2], true).0, BTreeSet::new());
}

#[test]
fn lines_that_are_forgotten_still_end() {
    let mut c = SeriesCache::default();
    page(&mut c, &[1, 2, 3], true);
    c.forget_lines();
    assert_eq!(page(&mut c, &[2], true).0, BTreeSet::from([1, 3]));
    c.forget_lines();
    assert_eq!(page(&mut c, &[2], false).0, BTreeSet::from([2]));
}

#[test]
fn what_is_not_seen_does_not_pile_up() {
    let mut c = SeriesCache::default();
    for round in 0..50 {
        let lines: Vec<u32> = (round * 100..(round + 1) * 100).collect();
        page(&mut c, &lines, true);
    }
    assert!(c.line_count() <= 300, "{}", c.line_count());
    for round in 0..500 {
        let lines: Vec<u32> = (round * 100..(round + 1) * 100).collect();
        page(&mut c, &lines, false);
    }
    assert!(c.line_count() <= 2 * 300 + GROWTH_ALLOWANCE + 100, "{}", c.line_count());
}

proptest! {
    /// Against a plain model: what ended is what was on the last good page and is not on this one; a failed page ends everything.
    #[test]
    fn ends_are_differences(pages in prop::collection::vec((prop::collection::vec(0u32..30, 0..40), prop::bool::weighted(0.8), prop::bool::weighted(0.1)), 1..20)) {
        let mut c = SeriesCache::default();
        let mut alive: BTreeSet<u64> = BTreeSet::new();
        for (lines, good, forget) in pages {
            if forget {
                c.forget_lines();
            }
            let here: BTreeSet<u64> = lines.iter().map(|n| u64::from(*n)).collect();
            let (ended, _) = page(&mut c, &lines, good);
            if good {
                prop_assert_eq!(ended, alive.difference(&here).copied().collect::<BTreeSet<_>>());
                alive = here;
            } else {
                prop_assert_eq!(ended, std::mem::take(&mut alive));
            }
        }
    }
}
