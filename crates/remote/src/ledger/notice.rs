//! Tells a query which known gaps it touches: a storage in front of the storage that looks at each select.
//!
//! It changes no answer. A gap is told of when the select's matchers may mean its target, its time overlaps what the select is for, and the target has a
//! series that fits the matchers.

use super::gaps::Gap;
use super::known::{KnownGaps, Touched};
use model::{Labels, Matcher};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, Warnings};

/// At most so many targets are told by name; the others by number.
pub const MAX_NAMED: usize = 5;
/// Of at most so many targets in one select it is found out whether they have a series that is asked for; the others are not told.
const MAX_ASKED: usize = 64;
/// Labels that tell a target's series from others.
const IDENTITY: [&str; 2] = ["job", "instance"];

type Found = Arc<Mutex<BTreeMap<Labels, Vec<Gap>>>>;

/// One query's storage. Ask it, then take what it has to tell.
pub struct Noticing {
    inner: Arc<dyn Queryable>,
    known: Arc<KnownGaps>,
    /// How far back a sample counts for a step of a selector without a range.
    lookback_ms: i64,
    found: Found,
}

impl Noticing {
    pub fn new(inner: Arc<dyn Queryable>, known: Arc<KnownGaps>, lookback_ms: i64) -> Self {
        Noticing { inner, known, lookback_ms, found: Found::default() }
    }

    /// What was touched so far, as texts for people.
    pub fn infos(&self) -> Vec<String> {
        let found = self.found.lock();
        let mut out: Vec<String> = found.iter().take(MAX_NAMED).map(|(labels, gaps)| text(labels, gaps)).collect();
        if found.len() > MAX_NAMED {
            out.push(format!("ledger: {} more targets lack scrapes in the range of this query; see /api/v1/gaps", found.len() - MAX_NAMED));
        }
        out
    }
}

fn text(labels: &Labels, gaps: &[Gap]) -> String {
    let scrapes: u64 = gaps.iter().map(|g| g.missing_scrapes).sum();
    let time = model::time::format_rfc3339_ms;
    let start = gaps.iter().map(|g| g.start_ms).min().unwrap_or(0);
    let end = gaps.iter().map(|g| g.end_ms).max().unwrap_or(0);
    let times = match gaps.len() {
        1 => String::new(),
        n => format!(" in {n} intervals"),
    };
    let mut kinds: Vec<&str> = gaps.iter().map(|g| g.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let noun = if scrapes == 1 { "scrape" } else { "scrapes" };
    format!("ledger: target {labels} lacks {scrapes} {noun}{times} between {} and {} ({} gap)", time(start), time(end), kinds.join(", "))
}

impl Queryable for Noticing {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        let inner = self.inner.querier(mint_ms, maxt_ms)?;
        Ok(Box::new(NoticingQuerier { inner, known: Arc::clone(&self.known), lookback_ms: self.lookback_ms, found: Arc::clone(&self.found) }))
    }
}

struct NoticingQuerier {
    inner: Box<dyn Querier>,
    known: Arc<KnownGaps>,
    lookback_ms: i64,
    found: Found,
}

impl NoticingQuerier {
    fn notice(&self, hints: &SelectHints, matchers: &[Matcher]) {
        // A step of an instant selector is answered by the last sample before it: what is missing further back changes nothing.
        let lookback_ms = if hints.range_ms == 0 { self.lookback_ms } else { 0 };
        let start_ms = hints.start_ms.saturating_add(lookback_ms).min(hints.end_ms);
        for Touched { labels, gaps } in self.known.touching(start_ms, hints.end_ms, matchers).into_iter().take(MAX_ASKED) {
            let new = !self.found.lock().contains_key(&labels);
            if new && !self.has_series(hints, matchers, &labels) {
                continue;
            }
            let mut found = self.found.lock();
            let all = found.entry(labels).or_default();
            for g in gaps {
                match all.iter_mut().find(|a| a.start_ms == g.start_ms) {
                    // One that lasts still ends later each time it is asked for.
                    Some(a) => *a = g,
                    None => all.push(g),
                }
            }
        }
    }

    /// Does the target have a series that fits, and that the asker may see?
    fn has_series(&self, hints: &SelectHints, matchers: &[Matcher], labels: &Labels) -> bool {
        let mut all = matchers.to_vec();
        all.extend(IDENTITY.iter().filter_map(|n| labels.get(n).map(|v| Matcher::equal(*n, v))));
        let hints = SelectHints { limit: 1, ..hints.clone() };
        self.inner.select(false, &hints, &all).is_ok_and(|s| !s.is_empty())
    }
}

impl Querier for NoticingQuerier {
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        self.notice(hints, matchers);
        self.inner.select(sorted, hints, matchers)
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.inner.label_values(name, hints, matchers)
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.inner.label_names(hints, matchers)
    }
}
