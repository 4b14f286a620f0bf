//! What is remembered of one merged series, and the decision about each of its samples.
//!
//! The rules, with `i` for the interval that the owner's own spacing says:
//!
//! 1. The owner's sample is stored. If it comes more than 1.5 `i` after the newest stored one, the hole is first filled with held samples.
//! 2. A sample of another replica that is newer than the newest stored one is held: written to the log, decided later. The owner's next sample
//!    covers it, or shows the hole it fills.
//! 3. If it is more than 1.5 `i` newer, the owner is silent: its sender takes over, and what was held meanwhile is stored.
//! 4. A sample not newer than the newest stored one is late: see [`super::late`].
//! 5. A staleness marker of the owner, or its `up` of 0, is held instead of stored while another replica still sees the target; that one takes over.
//!
//! Wherever a sample of one replica follows that of another, at least half of `i` lies between them. That keeps the cadence, and as long as the
//! replicas' clocks are no further apart than that, it keeps counters from stepping back.

use super::held::HeldSample;
use super::interval::Interval;
use super::late::Late;
use super::replicas::{NOBODY, Replica, ReplicaId};
use super::{Batch, Outcome, ValueRef};
use storage::{AppendError, MergeStore, SeriesRef};

/// More of them than this can only mean that the replicas' intervals differ widely: then the denser one takes over.
const MAX_HELD: usize = 64;
/// A replica that saw the target so shortly before the owner lost it is believed to see it still.
const SEES_IT_FOR_MS: i64 = 60_000;
/// How far back the spacing of a series is looked up when nothing is remembered of it: first the short way, then the long one.
const LEARN_BACK_MS: [i64; 2] = [5 * 60_000, 60 * 60_000];
const ENOUGH_TO_LEARN: usize = 16;

/// Longest distance of neighbours that is not a hole.
pub(super) fn hole(i: i64) -> i64 {
    i + i / 2
}

/// Least distance of samples of different replicas.
pub(super) fn apart(i: i64) -> i64 {
    i / 2
}

/// The same where keeping to it would leave a hole, as when the replicas are just half an interval apart and jitter.
pub(super) fn barely_apart(i: i64) -> i64 {
    i * 9 / 20
}

pub(super) struct State {
    /// Newest stored sample; `i64::MIN` when there is none.
    pub newest_ms: i64,
    /// From here to the newest sample nothing stored is further apart than a hole.
    pub solid_ms: i64,
    /// Newest live sample of a replica that is not the owner.
    other_ms: i64,
    /// The flight that touched this last.
    pub flight: u64,
    pub interval: Interval,
    pub owner: ReplicaId,
    /// Who brought the newest stored sample.
    pub(super) last: ReplicaId,
    other: ReplicaId,
    /// The newest stored sample is a staleness marker.
    pub ended: bool,
    /// A series named `up`: its 0 is a sample that says "not seen".
    pub is_up: bool,
    /// A commit failed: what is remembered here may not be stored. Held samples are good.
    pub doubtful: bool,
    /// Newer than the newest stored one, in order of time.
    #[allow(clippy::box_collection, reason = "most series hold nothing most of the time: one word instead of three")]
    pub held: Option<Box<Vec<HeldSample>>>,
    pub late: Option<Box<Late>>,
}

impl State {
    pub fn empty(is_up: bool) -> Self {
        State {
            newest_ms: i64::MIN,
            solid_ms: i64::MIN,
            other_ms: i64::MIN,
            flight: 0,
            interval: Interval::default(),
            owner: NOBODY,
            last: NOBODY,
            other: NOBODY,
            ended: false,
            is_up,
            doubtful: false,
            held: None,
            late: None,
        }
    }

    /// Of a series that was met in the log only: the rest is learned when it is met again.
    pub fn unknown() -> Self {
        State { doubtful: true, ..State::empty(false) }
    }

    /// Learns newest sample and spacing from what is stored. Nobody owns it then.
    pub fn load(store: &dyn MergeStore, series: SeriesRef, is_up: bool) -> Self {
        let mut state = State::empty(is_up);
        let Some(newest) = store.newest_ms(series) else { return state };
        (state.newest_ms, state.solid_ms) = (newest, newest);
        let mut times = Vec::new();
        for back in LEARN_BACK_MS {
            times.clear();
            // Blocks that cannot be read now leave the spacing unknown; that is safe, only less exact.
            if store.times(series, newest.saturating_sub(back), newest, &mut times).is_err() {
                times.clear();
            }
            if times.len() >= ENOUGH_TO_LEARN {
                break;
            }
        }
        state.interval = Interval::learn(&times);
        let limit = hole(state.interval.ms());
        for w in times.windows(2).rev() {
            if w[1] - w[0] > limit {
                break;
            }
            state.solid_ms = w[0];
        }
        state
    }

    pub fn interval_ms(&self, of: &Replica) -> i64 {
        match self.interval.ms() {
            0 => self.held_interval_ms().unwrap_or_else(|| of.typical_ms()),
            ms => ms,
        }
    }

    /// What this series itself says; 0 when it says nothing yet. What others of the replica are like tells nothing of the owner's silence: many may have the replica's
    /// name, with intervals of all kinds.
    fn own_interval_ms(&self) -> i64 {
        match self.interval.ms() {
            0 => self.held_interval_ms().unwrap_or(0),
            ms => ms,
        }
    }

    /// The smallest distance of two held samples of one replica.
    pub(super) fn held_interval_ms(&self) -> Option<i64> {
        let held = self.held.as_ref()?;
        let after = |i: usize| held[i + 1..].iter().find(|h| h.replica == held[i].replica).map(|h| h.t_ms - held[i].t_ms);
        (0..held.len()).filter_map(after).filter(|d| *d > 0).min()
    }

    /// Decides about one sample that came in.
    pub fn decide(
        &mut self,
        b: &mut Batch<'_>,
        series: SeriesRef,
        r: (ReplicaId, &Replica),
        t_ms: i64,
        value: ValueRef<'_>,
    ) -> Result<Outcome, AppendError> {
        let (id, replica) = r;
        let live = self.is_live(value);
        let i = self.interval_ms(replica);
        if t_ms <= self.newest_ms {
            self.note_other(id, t_ms, live);
            return self.decide_late(b, series, r, t_ms, value);
        }
        // One that became the owner without having stored anything: its sample must not come close behind one of another.
        let follows_another = id == self.owner && self.last != id && self.last != NOBODY && !self.ended;
        if follows_another && !value.is_stale() && t_ms - self.newest_ms < apart(i) {
            self.hold(b, series, r, t_ms, live, value)?;
            return Ok(Outcome::Held);
        }
        let vacant = self.owner == NOBODY && (self.ended || self.newest_ms == i64::MIN || (i > 0 && t_ms - self.newest_ms >= apart(i)));
        if id == self.owner || vacant {
            let another_sees_it = self.other != NOBODY && self.other != id && self.other_ms >= t_ms.saturating_sub(hole(i).max(SEES_IT_FOR_MS));
            if live || !another_sees_it {
                return self.own(b, series, r, t_ms, value);
            }
            self.hold(b, series, r, t_ms, live, value)?;
            let next = self.other;
            (self.other, self.owner) = (NOBODY, next);
            self.promote(b, series, next, i)?;
            return Ok(Outcome::Held);
        }
        self.note_other(id, t_ms, live);
        self.hold(b, series, r, t_ms, live, value)?;
        let held = self.held.as_ref().map_or(0, |h| h.len());
        let own = self.own_interval_ms();
        if (own > 0 && t_ms - self.newest_ms > hole(own)) || held > MAX_HELD {
            b.counts.takeovers += 1;
            self.owner = id;
            self.promote(b, series, id, if own > 0 { own } else { i })?;
            return Ok(if self.newest_ms >= t_ms { Outcome::Stored } else { Outcome::Held });
        }
        Ok(Outcome::Held)
    }

    /// Does a sample say that its sender sees the target?
    fn is_live(&self, value: ValueRef<'_>) -> bool {
        !(value.is_stale() || (self.is_up && value.is_zero()))
    }

    fn note_other(&mut self, id: ReplicaId, t_ms: i64, live: bool) {
        if id == self.owner {
            return;
        }
        if live && t_ms >= self.other_ms {
            (self.other, self.other_ms) = (id, t_ms);
        } else if !live && id == self.other && t_ms > self.other_ms {
            self.other = NOBODY;
        }
    }

    /// Stores a sample of the owner, or of one who becomes it.
    fn own(
        &mut self,
        b: &mut Batch<'_>,
        series: SeriesRef,
        r: (ReplicaId, &Replica),
        t_ms: i64,
        value: ValueRef<'_>,
    ) -> Result<Outcome, AppendError> {
        if self.held.is_some() {
            // What it sent and had held before this one tells its spacing too.
            let since_held = |held: &Vec<HeldSample>| held.iter().rev().find(|h| h.replica == r.0 && h.t_ms < t_ms).map(|h| t_ms - h.t_ms);
            let i = match (self.own_interval_ms(), self.held.as_deref().and_then(since_held)) {
                (0, Some(ms)) => ms,
                (ms, _) => ms,
            };
            self.fill(b, series, t_ms, i)?;
        }
        match b.append(series, t_ms, value) {
            Ok(()) | Err(AppendError::DuplicateTimestamp) => {}
            Err(e) => return Err(e),
        }
        self.advance(b, series, r.0, t_ms, value.is_stale());
        if self.interval.is_sure() {
            r.1.note_interval(self.interval.ms());
        }
        Ok(Outcome::Stored)
    }

    /// After a sample was stored that is newer than all others.
    pub(super) fn advance(&mut self, b: &mut Batch<'_>, series: SeriesRef, id: ReplicaId, t_ms: i64, stale: bool) {
        let i = self.interval.ms();
        if self.newest_ms == i64::MIN {
            self.solid_ms = t_ms;
        } else {
            let delta = t_ms - self.newest_ms;
            if i > 0 && delta > hole(i) {
                self.solid_ms = t_ms;
            }
            if id == self.last && !self.ended {
                self.interval.observe(delta);
            }
        }
        if id != self.owner {
            (self.other, self.other_ms) = (NOBODY, i64::MIN);
        }
        (self.newest_ms, self.last, self.ended) = (t_ms, id, stale);
        self.owner = if stale { NOBODY } else { id };
        if let Some(held) = &mut self.held {
            let covered = held.partition_point(|h| h.t_ms <= t_ms);
            b.counts.covered += covered as u64;
            b.journal.extend(held.drain(..covered).map(|h| (series, h)));
            if held.is_empty() {
                self.held = None;
            }
        }
    }

    /// After a failed commit: what that flight held is not in the log.
    pub fn forget_flight(&mut self, flight: u64) {
        self.doubtful = true;
        if let Some(held) = &mut self.held {
            held.retain(|h| h.flight != flight);
        }
    }

    /// Replaces what is doubtful by what is stored, keeping what is held.
    pub fn reload(&mut self, store: &dyn MergeStore, series: SeriesRef) {
        let held = self.held.take();
        let flight = self.flight;
        *self = State::load(store, series, self.is_up);
        self.flight = flight;
        for mut h in held.into_iter().flat_map(|h| *h) {
            h.live = self.is_live(ValueRef::of_held(&h.value));
            self.restore(h);
        }
    }
}
