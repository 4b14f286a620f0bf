use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs seeds on all cores; what failed.
fn batch(shape: Shape, from: u64, seeds: u64) -> Vec<String> {
    let next = AtomicU64::new(from);
    let bad = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            s.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let outcome = run(seed, Options { shape, ..Options::default() });
                    assert!(outcome.stored > 0, "seed {seed} stored nothing");
                    bad.lock().extend(outcome.findings.iter().map(|f| format!("seed {seed}: {f}")));
                }
            });
        }
    });
    bad.into_inner()
}

fn check(shape: Shape, from: u64, seeds: u64) {
    let bad = batch(shape, from, seeds);
    assert!(bad.is_empty(), "{shape:?}: {} findings: {:#?}", bad.len(), &bad[..bad.len().min(12)]);
}

#[test]
fn one_leaf_loses_nothing() {
    check(Shape::OneLeaf, 0, 30);
}

#[test]
fn a_pair_arrives_as_one() {
    check(Shape::OnePair, 0, 16);
}

#[test]
fn trees_lose_nothing() {
    check(Shape::Any, 0, 8);
}

/// What these found once is told in docs/simulation.md.
#[test]
fn what_was_found_is_found_no_more() {
    for (shape, seed) in
        [(Shape::OneLeaf, 3), (Shape::OneLeaf, 10), (Shape::OneLeaf, 12), (Shape::OneLeaf, 64), (Shape::OnePair, 13), (Shape::OnePair, 69)]
    {
        check(shape, seed, 1);
    }
}

#[test]
fn a_seed_replays_to_the_same_end() {
    for seed in 0..4 {
        let (a, b) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!((a.trace, a.events, a.lives), (b.trace, b.events, b.lives), "seed {seed}");
    }
}

/// The tests above are worth something: each rule, broken on purpose, is found broken.
#[test]
fn each_broken_rule_is_found() {
    for sabotage in Sabotage::ALL {
        let (shape, words) = match sabotage {
            Sabotage::None => continue,
            Sabotage::AckBeforeSync | Sabotage::CursorBeforeAck | Sabotage::ResumeAtNow => (Shape::OneLeaf, "missing"),
            Sabotage::MergeTakesBoth => (Shape::OnePair, "two samples within one interval"),
            Sabotage::MergeDropsAtFailover => (Shape::OnePair, "missing"),
            Sabotage::RefusesLate => (Shape::OneLeaf, "answers 400"),
            Sabotage::StoredTwice => (Shape::OneLeaf, "never scraped"),
            Sabotage::LedgerNotTold => (Shape::OneLeaf, "the ledger does not tell"),
        };
        let found = (0..100).find(|seed| run(*seed, Options { shape, sabotage, ..Options::default() }).findings.iter().any(|f| f.contains(words)));
        assert!(found.is_some(), "{sabotage:?} was not found in 100 seeds");
    }
}
