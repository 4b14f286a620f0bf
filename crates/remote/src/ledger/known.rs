//! Gaps that are known before anybody asks, so that a query can be told at once which of them it touches.
//!
//! Not the exact answer that [`super::gaps`] gives, which reads what it is asked about: this is kept up to date in the background, a few seconds
//! behind, for the last [`KNOWN_BACK_MS`]. It costs at most about a fiftieth of a core, however many targets there are.

use super::gaps::{Gap, GapKind, holes_at, interval_of, kind};
use super::tree::{Backlog, backlogs};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use model::{Labels, Matcher, name, sample::is_stale_nan};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::metrics::{Gauge, Registry};
use storage::{Queryable, ReadError, SelectHints, Selection, SeriesData};

/// So far back gaps are looked for and remembered.
pub const KNOWN_BACK_MS: i64 = 7 * 24 * 3_600_000;
/// At most so many gaps are remembered; the oldest are forgotten first.
pub const MAX_KNOWN_GAPS: usize = 100_000;
/// How often the newest samples are looked at, at best.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a look that took so long, so many times as long is waited.
const REST_FACTOR: u32 = 50;
/// The newest samples are looked at again and again for so long: what comes late fills holes in them.
const RECENT_MS: i64 = 10 * 60_000;
/// A look at the newest samples goes back no further than this.
const LOOK_BACK_MS: i64 = 3_600_000;
/// The past is looked at in pieces of this length, as many in one look as fit into the time.
const PIECE_MS: i64 = 3_600_000;
const PIECES_FOR: Duration = Duration::from_millis(50);
/// So many older gaps are looked at again in one look, in turns: they may have been filled.
const CHECKED_AGAIN: usize = 500;
/// A target without a new sample for so many intervals is silent.
const SILENT_INTERVALS: i64 = 4;

/// One target as its `up` series tells.
struct Target {
    interval_ms: i64,
    first_ms: i64,
    last_ms: i64,
    /// Its last sample is a staleness marker: nothing is missing behind it.
    ended: bool,
    /// In order of time, each between two samples.
    gaps: Vec<Gap>,
}

#[derive(Default)]
struct State {
    targets: HashMap<Labels, Target, RandomState>,
    /// Those of them that lack something.
    lacking: Vec<Labels>,
    backlogs: Vec<Backlog>,
    /// Before it nothing was looked at.
    from_ms: Option<i64>,
    /// Where looking again goes on.
    turn: usize,
}

/// A target that lacks something in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Of its `up` series, without the name.
    pub labels: Labels,
    pub gaps: Vec<Gap>,
}

/// What is known. Shared by everybody who answers queries.
pub struct KnownGaps {
    store: Arc<dyn Queryable>,
    clock: SharedClock,
    state: RwLock<State>,
    next_look: Mutex<Duration>,
    metric: Gauge,
}

impl KnownGaps {
    pub fn new(store: Arc<dyn Queryable>, registry: &Registry, clock: SharedClock) -> Self {
        let metric = registry.gauge("narthex_ledger_known_gaps", "Intervals of targets without samples that queries are told about.");
        KnownGaps { store, clock, state: RwLock::default(), next_look: Mutex::default(), metric }
    }

    /// Looks at what is new, when it is time for that. Call it every few seconds from a thread that may block.
    pub fn tick(&self) {
        let started = self.clock.monotonic();
        let mut next = self.next_look.lock();
        if started < *next {
            return;
        }
        match self.look(self.clock.now_ms()) {
            // While the log is replayed, nobody knows.
            Ok(()) | Err(ReadError::NotReady(_)) => {}
            Err(e) => tracing::warn!(err = %e, "look for gaps in the samples of targets"),
        }
        let took = self.clock.monotonic().saturating_sub(started);
        *next = started + took + LOOK_EVERY.max(took * REST_FACTOR);
    }

    /// All of one look, whether it is time or not.
    pub(super) fn look(&self, now_ms: i64) -> Result<(), ReadError> {
        let backlogs = backlogs(self.store.as_ref(), now_ms)?;
        self.look_at_newest(now_ms)?;
        self.check_again(now_ms)?;
        let started = self.clock.monotonic();
        while self.look_at_piece(now_ms)? && self.clock.monotonic().saturating_sub(started) < PIECES_FOR {}
        let mut state = self.state.write();
        state.backlogs = backlogs;
        state.forget(now_ms.saturating_sub(KNOWN_BACK_MS));
        let count = |t: &Target| t.gaps.len() + usize::from(t.silence(now_ms).is_some());
        self.metric.set(state.targets.values().map(count).sum::<usize>() as f64);
        let mut lacking: Vec<Labels> = state.targets.iter().filter(|(_, t)| count(t) > 0).map(|(l, _)| l.clone()).collect();
        lacking.sort_unstable();
        state.lacking = lacking;
        Ok(())
    }

    fn select(&self, start_ms: i64, end_ms: i64, more: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let mut matchers = vec![Matcher::equal(name::METRIC_NAME, "up")];
        matchers.extend_from_slice(more);
        let hints = SelectHints { start_ms, end_ms, ..SelectHints::default() };
        self.store.querier(start_ms, end_ms)?.select(false, &hints, &matchers)
    }

    fn look_at_newest(&self, now_ms: i64) -> Result<(), ReadError> {
        let back_ms = now_ms.saturating_sub(LOOK_BACK_MS);
        let selection = self.select(back_ms, now_ms, &[])?;
        let mut data = SeriesData::default();
        for i in 0..selection.len() {
            let labels = selection.labels(i).without_name();
            let known = self.state.read().targets.get(&labels).map(|t| (t.last_ms, t.ended));
            let from_ms = known.map_or(back_ms, |(last_ms, _)| last_ms.saturating_sub(RECENT_MS).max(back_ms));
            data.clear();
            // What was silent for longer than a look goes back begins with its last sample.
            if let Some((last_ms, ended)) = known.filter(|(last_ms, _)| *last_ms < from_ms) {
                data.t_ms.push(last_ms);
                data.v.push(if ended { model::sample::stale_nan() } else { 1.0 });
            }
            selection.read(i, from_ms, now_ms, &mut data)?;
            if let Some(seen) = Seen::of(&data) {
                self.state.write().take_newest(labels, seen);
            }
        }
        let mut state = self.state.write();
        state.from_ms.get_or_insert(back_ms);
        Ok(())
    }

    /// One more piece of the past; false when there is none left.
    fn look_at_piece(&self, now_ms: i64) -> Result<bool, ReadError> {
        let Some(to_ms) = self.state.read().from_ms else { return Ok(false) };
        if to_ms <= now_ms.saturating_sub(KNOWN_BACK_MS) {
            return Ok(false);
        }
        let from_ms = to_ms - PIECE_MS;
        let selection = self.select(from_ms, to_ms - 1, &[])?;
        let mut data = SeriesData::default();
        for i in 0..selection.len() {
            data.clear();
            selection.read(i, from_ms, to_ms - 1, &mut data)?;
            if let Some(seen) = Seen::of(&data) {
                self.state.write().take_older(selection.labels(i).without_name(), seen);
            }
        }
        self.state.write().from_ms = Some(from_ms);
        Ok(true)
    }

    /// Reads again where gaps are that lie behind what is looked at anyway.
    fn check_again(&self, now_ms: i64) -> Result<(), ReadError> {
        let mut old: Vec<(Labels, Gap)> = {
            let state = self.state.read();
            let of = |(l, t): (&Labels, &Target)| {
                t.gaps.iter().filter(|g| g.start_ms < t.last_ms - RECENT_MS).map(|g| (l.clone(), g.clone())).collect::<Vec<_>>()
            };
            state.targets.iter().filter(|(_, t)| !t.gaps.is_empty()).flat_map(of).collect()
        };
        if old.is_empty() {
            return Ok(());
        }
        old.sort_by(|a, b| (&a.0, a.1.start_ms).cmp(&(&b.0, b.1.start_ms)));
        let turn = self.state.read().turn % old.len();
        old.rotate_left(turn);
        old.truncate(CHECKED_AGAIN);
        let mut data = SeriesData::default();
        for (labels, gap) in &old {
            let equal: Vec<Matcher> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
            let selection = self.select(gap.start_ms, gap.end_ms.min(now_ms), &equal)?;
            for i in (0..selection.len()).filter(|i| selection.labels(*i).without_name() == *labels) {
                data.clear();
                selection.read(i, gap.start_ms, gap.end_ms, &mut data)?;
                if data.t_ms.len() > 2 {
                    self.state.write().refill(labels, gap, &data);
                }
            }
        }
        self.state.write().turn = turn + old.len();
        Ok(())
    }

    /// Nothing is known to be missing anywhere: queries need not look.
    pub fn is_empty(&self) -> bool {
        self.state.read().lacking.is_empty()
    }

    /// Targets that may be meant by the matchers (which judge only labels that the target has, the metric's name left out) and that lack something between
    /// the times, both included. Sorted by labels.
    pub fn touching(&self, start_ms: i64, end_ms: i64, matchers: &[Matcher]) -> Vec<Touched> {
        let now_ms = self.clock.now_ms();
        let state = self.state.read();
        let touched = |labels: &Labels| {
            let t = state.targets.get(labels)?;
            let silence = t.silence(now_ms);
            // A scrape that is missing must lie in the range, not only the end of a gap.
            let in_range = |g: &&Gap| g.start_ms + t.interval_ms <= end_ms && g.end_ms - t.interval_ms >= start_ms;
            let mut gaps: Vec<Gap> = t.gaps.iter().chain(silence.as_ref()).filter(in_range).cloned().collect();
            if gaps.is_empty() || !may_mean(matchers, labels) {
                return None;
            }
            gaps.iter_mut().for_each(|g| g.kind = kind(g, t.interval_ms, labels, &state.backlogs));
            Some(Touched { labels: labels.clone(), gaps })
        };
        state.lacking.iter().filter_map(touched).collect()
    }
}

/// A target's labels are on all of its series; of the labels that it has not, nothing is known.
fn may_mean(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().filter(|m| m.name != name::METRIC_NAME).all(|m| labels.get(&m.name).is_none_or(|v| m.matches(v)))
}

/// What one read of a target's `up` says.
struct Seen {
    first_ms: i64,
    last_ms: i64,
    ended: bool,
    interval_ms: Option<i64>,
    t_ms: Vec<i64>,
    v: Vec<f64>,
}

impl Seen {
    fn of(data: &SeriesData) -> Option<Seen> {
        let (first_ms, last_ms) = (*data.t_ms.first()?, *data.t_ms.last()?);
        let ended = data.v.last().is_some_and(|v| is_stale_nan(*v));
        Some(Seen { first_ms, last_ms, ended, interval_ms: interval_of(&data.t_ms), t_ms: data.t_ms.clone(), v: data.v.clone() })
    }

    fn holes(&self, interval_ms: i64) -> Vec<Gap> {
        holes_at(&self.t_ms, &self.v, interval_ms)
    }
}

impl Target {
    fn of(seen: &Seen) -> Target {
        let interval_ms = seen.interval_ms.unwrap_or(0);
        Target { interval_ms, first_ms: seen.first_ms, last_ms: seen.last_ms, ended: seen.ended, gaps: seen.holes(interval_ms) }
    }

    /// The gap from its last sample until now, when it should have had some since.
    fn silence(&self, now_ms: i64) -> Option<Gap> {
        let since = now_ms - self.last_ms;
        if self.ended || self.interval_ms <= 0 || since <= self.interval_ms * SILENT_INTERVALS {
            return None;
        }
        let missing_scrapes = (since / self.interval_ms).max(1) as u64;
        Some(Gap { start_ms: self.last_ms, end_ms: now_ms, missing_scrapes, kind: GapKind::Unknown })
    }
}

impl State {
    fn take_newest(&mut self, labels: Labels, seen: Seen) {
        let Some(t) = self.targets.get_mut(&labels) else {
            self.targets.insert(labels, Target::of(&seen));
            return;
        };
        // A few samples say nothing of the interval that was not known better.
        if let Some(ms) = seen.interval_ms.filter(|_| t.interval_ms == 0 || seen.t_ms.len() > 4) {
            t.interval_ms = ms;
        }
        t.gaps.retain(|g| g.start_ms < seen.first_ms);
        t.gaps.extend(seen.holes(t.interval_ms));
        if seen.last_ms >= t.last_ms {
            (t.last_ms, t.ended) = (seen.last_ms, seen.ended);
        }
    }

    fn take_older(&mut self, labels: Labels, mut seen: Seen) {
        let Some(t) = self.targets.get_mut(&labels) else {
            self.targets.insert(labels, Target::of(&seen));
            return;
        };
        if seen.first_ms >= t.first_ms {
            return;
        }
        let interval_ms = seen.interval_ms.filter(|_| seen.t_ms.len() > 4).unwrap_or(t.interval_ms);
        if seen.last_ms < t.first_ms {
            seen.t_ms.push(t.first_ms);
            seen.v.push(1.0);
        }
        let mut gaps = seen.holes(interval_ms);
        gaps.retain(|g| g.end_ms <= t.first_ms);
        gaps.append(&mut t.gaps);
        (t.gaps, t.first_ms) = (gaps, seen.first_ms);
    }

    /// Puts what is left of a gap in its place.
    fn refill(&mut self, labels: &Labels, gap: &Gap, data: &SeriesData) {
        let Some(t) = self.targets.get_mut(labels) else { return };
        let Some(at) = t.gaps.iter().position(|g| g.start_ms == gap.start_ms && g.end_ms == gap.end_ms) else { return };
        let left = holes_at(&data.t_ms, &data.v, t.interval_ms);
        t.gaps.splice(at..=at, left);
    }

    fn forget(&mut self, before_ms: i64) {
        for t in self.targets.values_mut() {
            t.gaps.retain(|g| g.end_ms >= before_ms);
        }
        self.targets.retain(|_, t| t.last_ms >= before_ms);
        let total: usize = self.targets.values().map(|t| t.gaps.len()).sum();
        if total > MAX_KNOWN_GAPS {
            let mut ends: Vec<i64> = self.targets.values().flat_map(|t| t.gaps.iter().map(|g| g.end_ms)).collect();
            ends.sort_unstable();
            let oldest = ends[total - MAX_KNOWN_GAPS];
            self.targets.values_mut().for_each(|t| t.gaps.retain(|g| g.end_ms > oldest));
        }
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
