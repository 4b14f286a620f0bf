//! From matchers to slots.
//!
//! A matcher that an absent label would fit excludes series, any other one includes them. Matchers that name one pair are done first; what must
//! look at many values then looks at those of the remaining series, or at all values, whichever are fewer. Looking at values is done in
//! pieces, so that new series do not wait long for the lock.

use super::index::HeadIndex;
use super::postings::{Postings, union};
use model::{MatchOp, Matcher};
use parking_lot::RwLock;
use roaring::RoaringBitmap;
use std::collections::HashMap;

/// Values looked at in one go.
const PIECE: usize = 4096;

/// No more series than this fit: the fewest that any pair that must be there has.
pub fn at_most(lock: &RwLock<HeadIndex>, matchers: &[Matcher]) -> u64 {
    let index = lock.read();
    let with = |m: &Matcher| pair_of(&index, m).map_or(0, |p| index.pairs.postings(p).len());
    matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty()).map(with).min().unwrap_or_else(|| index.len())
}

/// Slots of the series that fit all matchers.
pub fn select(lock: &RwLock<HeadIndex>, matchers: &[Matcher]) -> RoaringBitmap {
    // Ids may change their meaning between two pieces when series leave: then once more, at last without letting go.
    for _ in 0..2 {
        if let Some(found) = select_in_pieces(lock, matchers) {
            return found;
        }
    }
    let index = lock.read();
    let slow: Vec<(&Matcher, Vec<u32>)> = matchers.iter().filter(|m| !is_direct(m)).map(|m| (m, fitting(&index, m, 0, usize::MAX).0)).collect();
    combine(&index, matchers, &slow)
}

fn select_in_pieces(lock: &RwLock<HeadIndex>, matchers: &[Matcher]) -> Option<RoaringBitmap> {
    let mut index = lock.read();
    let generation = index.pairs.generation();
    let mut set = combine(&index, matchers, &[]);
    let mut slow: Vec<&Matcher> = matchers.iter().filter(|m| !is_direct(m)).collect();
    slow.retain(|m| {
        let values = index.pairs.name(&m.name).map_or(0, |n| n.pairs.len() as u64);
        let few = set.len() * 2 <= values || set.len() <= 16;
        if few {
            keep_fitting(&index, &mut set, m);
        }
        !few
    });
    let mut ids = Vec::new();
    for m in slow {
        let (mut at, mut all) = (0, Vec::new());
        loop {
            let (found, more) = fitting(&index, m, at, PIECE);
            all.extend(found);
            if !more {
                break;
            }
            at += PIECE;
            parking_lot::RwLockReadGuard::bump(&mut index);
            if index.pairs.generation() != generation {
                return None;
            }
        }
        ids.push((m, all));
    }
    if ids.is_empty() {
        return Some(set);
    }
    if matchers.iter().all(|m| !is_direct(m)) {
        return Some(combine(&index, matchers, &ids));
    }
    for (m, all) in &ids {
        restrict(&index, &mut set, m, all);
    }
    Some(set)
}

/// Does the matcher need no look at values?
fn is_direct(m: &Matcher) -> bool {
    matches!(m.op, MatchOp::Equal | MatchOp::NotEqual) && !m.value.is_empty() || is_any(m)
}

/// `=~".*"` fits everything.
fn is_any(m: &Matcher) -> bool {
    m.op == MatchOp::Regex && m.value == ".*"
}

/// Pairs whose postings a slow matcher needs: those that fit, or, when it excludes, those that do not. From the `at`th value on, `n` of them; the
/// second value says whether there are more.
fn fitting(index: &HeadIndex, m: &Matcher, at: usize, n: usize) -> (Vec<u32>, bool) {
    let Some(name) = index.pairs.name(&m.name) else { return (Vec::new(), false) };
    let excludes = m.matches_empty();
    let end = at.saturating_add(n).min(name.pairs.len());
    let all = at.min(end)..end;
    let found = name.pairs[all].iter().copied().filter(|p| m.matches(index.pairs.value(*p)) != excludes).collect();
    (found, end < name.pairs.len())
}

fn pair_of(index: &HeadIndex, m: &Matcher) -> Option<u32> {
    let mut bytes = Vec::with_capacity(m.name.len() + m.value.len() + 8);
    if m.name.len().max(m.value.len()) > model::labels::MAX_LEN {
        return None;
    }
    model::labels::push_pair(&mut bytes, &m.name, &m.value);
    index.pairs.find(&bytes)
}

/// Applies all direct matchers, and the slow ones whose pairs were found.
fn combine(index: &HeadIndex, matchers: &[Matcher], slow: &[(&Matcher, Vec<u32>)]) -> RoaringBitmap {
    let mut include: Vec<&Postings> = Vec::new();
    for m in matchers.iter().filter(|m| is_direct(m) && m.op == MatchOp::Equal) {
        match pair_of(index, m) {
            Some(p) => include.push(index.pairs.postings(p)),
            None => return RoaringBitmap::new(),
        }
    }
    include.sort_by_key(|p| p.len());
    let mut include = include.into_iter();
    let mut set = match include.next() {
        Some(first) => first.to_bitmap(),
        None => match slow.iter().find(|(m, _)| !m.matches_empty()) {
            Some((_, ids)) => union(ids.iter().map(|p| index.pairs.postings(*p))),
            None => index.all().clone(),
        },
    };
    include.for_each(|p| p.intersect_into(&mut set));
    for m in matchers.iter().filter(|m| is_direct(m) && m.op == MatchOp::NotEqual) {
        if let Some(p) = pair_of(index, m) {
            set -= index.pairs.postings(p).to_bitmap();
        }
    }
    for (m, ids) in slow {
        restrict(index, &mut set, m, ids);
    }
    set
}

fn restrict(index: &HeadIndex, set: &mut RoaringBitmap, m: &Matcher, ids: &[u32]) {
    let with = union(ids.iter().map(|p| index.pairs.postings(*p)));
    if m.matches_empty() { *set -= with } else { *set &= with }
}

/// Asks each series of the set, each value once.
fn keep_fitting(index: &HeadIndex, set: &mut RoaringBitmap, m: &Matcher) {
    let name = index.pairs.find_name(&m.name);
    let mut known: HashMap<Option<u32>, bool, foldhash::fast::RandomState> = HashMap::default();
    *set = set
        .iter()
        .filter(|slot| {
            let pair = index.pair_ids(*slot).iter().copied().find(|p| Some(index.pairs.name_id_of(*p)) == name);
            *known.entry(pair).or_insert_with(|| m.matches(pair.map_or("", |p| index.pairs.value(p))))
        })
        .collect();
}

/// Values of a label among the slots, or all when there is no restriction; not sorted.
pub fn label_values(lock: &RwLock<HeadIndex>, name: &str, slots: Option<&RoaringBitmap>) -> Vec<String> {
    let index = lock.read();
    let Some(id) = index.pairs.find_name(name) else { return Vec::new() };
    let pairs = &index.pairs.name_by_id(id).pairs;
    let value = |p: &u32| index.pairs.value(*p).to_string();
    match slots {
        None => pairs.iter().filter(|p| !index.pairs.postings(**p).is_empty()).map(value).collect(),
        Some(slots) if slots.len() < pairs.len() as u64 => {
            let mut found: Vec<u32> =
                slots.iter().filter_map(|s| index.pair_ids(s).iter().copied().find(|p| index.pairs.name_id_of(*p) == id)).collect();
            found.sort_unstable();
            found.dedup();
            found.iter().map(value).collect()
        }
        Some(slots) => pairs
            .iter()
            .filter(|p| match index.pairs.postings(**p) {
                Postings::One(s) => slots.contains(*s),
                Postings::Few(v) => v.iter().any(|s| slots.contains(*s)),
                Postings::Many(b) => !b.is_disjoint(slots),
            })
            .map(value)
            .collect(),
    }
}

/// Label names of the slots, or all when there is no restriction; not sorted.
pub fn label_names(lock: &RwLock<HeadIndex>, slots: Option<&RoaringBitmap>) -> Vec<String> {
    let index = lock.read();
    match slots {
        None => {
            let used = |n: &&super::pairs::Name| n.pairs.iter().any(|p| !index.pairs.postings(*p).is_empty());
            index.pairs.names().filter(used).map(|n| n.name.to_string()).collect()
        }
        Some(slots) => {
            let mut names: Vec<u32> = Vec::new();
            for s in slots {
                for p in index.pair_ids(s) {
                    let n = index.pairs.name_id_of(*p);
                    if !names.contains(&n) {
                        names.push(n);
                    }
                }
            }
            names.iter().map(|n| index.pairs.name_by_id(*n).name.to_string()).collect()
        }
    }
}
