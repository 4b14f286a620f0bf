//! Samples of standbys that wait for a decision: held, picked to fill a hole, or stored because their sender takes over.

use super::replicas::{NOBODY, Replica, ReplicaId};
use super::state::{State, apart, barely_apart, hole};
use super::{Batch, ValueRef};
use storage::{AppendError, HeldValue, SeriesRef};

#[derive(Clone, Debug)]
pub(super) struct HeldSample {
    pub t_ms: i64,
    pub replica: ReplicaId,
    pub live: bool,
    pub value: HeldValue,
    /// The flight that brought it.
    pub flight: u64,
    /// When it was received, by the wall clock.
    pub received_ms: i64,
}

impl State {
    /// Writes a sample to the log and keeps it for later. One that is held already is not held again.
    pub(super) fn hold(
        &mut self,
        b: &mut Batch<'_>,
        series: SeriesRef,
        r: (ReplicaId, &Replica),
        t_ms: i64,
        live: bool,
        value: ValueRef<'_>,
    ) -> Result<(), AppendError> {
        // Mostly there is one.
        let held = self.held.get_or_insert_with(|| Box::new(Vec::with_capacity(1)));
        let at = held.partition_point(|h| (h.t_ms, h.replica) < (t_ms, r.0));
        if held.get(at).is_some_and(|h| (h.t_ms, h.replica) == (t_ms, r.0)) {
            b.counts.duplicates += 1;
            return Ok(());
        }
        let value = value.to_held();
        b.app.hold(series, &r.1.name, t_ms, value.clone())?;
        b.counts.held += 1;
        held.insert(at, HeldSample { t_ms, replica: r.0, live, value, flight: b.flight, received_ms: b.now_ms });
        Ok(())
    }

    /// Puts back a held sample that the log gave back, or whose covering sample was not stored after all.
    pub fn restore(&mut self, sample: HeldSample) {
        if sample.t_ms <= self.newest_ms {
            return;
        }
        let held = self.held.get_or_insert_default();
        let at = held.partition_point(|h| (h.t_ms, h.replica) < (sample.t_ms, sample.replica));
        if held.get(at).is_none_or(|h| (h.t_ms, h.replica) != (sample.t_ms, sample.replica)) {
            held.insert(at, sample);
        }
    }

    /// Fills the hole between the newest stored sample and `next_ms`, if it is one, with held samples of anyone who saw the target.
    pub(super) fn fill(&mut self, b: &mut Batch<'_>, series: SeriesRef, next_ms: i64, i: i64) -> Result<(), AppendError> {
        while i > 0 && self.newest_ms != i64::MIN && (self.ended || next_ms - self.newest_ms > hole(i)) {
            let Some(at) = self.pick(i, next_ms, |h| h.live) else { return Ok(()) };
            b.counts.filled += 1;
            let owner = self.owner;
            self.store_held(b, series, at)?;
            self.owner = owner;
        }
        Ok(())
    }

    /// The held sample that best follows the newest stored one: the first far enough from it, or a slightly nearer one where that leaves a hole.
    fn pick(&self, i: i64, before_ms: i64, wanted: impl Fn(&HeldSample) -> bool) -> Option<usize> {
        let held = self.held.as_ref()?;
        let newest = self.newest_ms;
        let distance = |h: &HeldSample| if newest == i64::MIN || self.ended { i64::MAX } else { h.t_ms - newest };
        let room = |h: &HeldSample| before_ms == i64::MAX || before_ms - h.t_ms >= barely_apart(i);
        let candidates = || held.iter().enumerate().filter(|(_, h)| h.t_ms < before_ms && room(h) && wanted(h));
        let far = candidates().find(|(_, h)| distance(h) >= apart(i));
        let near = candidates().filter(|(_, h)| distance(h) >= barely_apart(i) && distance(h) < apart(i)).last();
        match (far, near) {
            (Some((_, h)), Some((n, _))) if distance(h) > hole(i) && !self.ended => Some(n),
            (Some((f, _)), _) => Some(f),
            (None, near) => near.filter(|(_, h)| before_ms != i64::MAX && before_ms - h.t_ms <= hole(i)).map(|(n, _)| n),
        }
    }

    /// Stores the held sample at this place; everything before it is covered then.
    fn store_held(&mut self, b: &mut Batch<'_>, series: SeriesRef, at: usize) -> Result<(), AppendError> {
        let Some(h) = self.held.as_mut().map(|held| held.remove(at)) else { return Ok(()) };
        let value = ValueRef::of_held(&h.value);
        match b.append(series, h.t_ms, value) {
            Err(e @ AppendError::Unavailable(_)) => {
                self.restore(h);
                return Err(e);
            }
            // It was taken once and is refused now (retention has passed over it): nothing can be done with it any more.
            Err(_) => b.counts.refused += 1,
            Ok(()) => {
                let (id, t_ms, stale) = (h.replica, h.t_ms, value.is_stale());
                b.journal.push((series, h));
                self.advance(b, series, id, t_ms, stale);
            }
        }
        Ok(())
    }

    /// A new owner: what it sent while it was not is stored as far as the cadence allows, with holes in it filled by others.
    pub(super) fn promote(&mut self, b: &mut Batch<'_>, series: SeriesRef, id: ReplicaId, i: i64) -> Result<(), AppendError> {
        while let Some(at) = self.pick(i, i64::MAX, |h| h.replica == id) {
            let count = |s: &State| s.held.as_ref().map_or(0, |h| h.len());
            let before = count(self);
            if let Some(next_ms) = self.held.as_ref().map(|held| held[at].t_ms) {
                self.fill(b, series, next_ms, i)?;
            }
            if count(self) == before {
                self.store_held(b, series, at)?;
            }
            // Behind its own marker it goes on, if it saw the target again.
            self.owner = if self.ended { NOBODY } else { id };
        }
        Ok(())
    }

    /// Stores what has been held since before `received_before_ms` without news of the owner, so that it does not stay invisible.
    pub fn give_up_waiting(
        &mut self,
        b: &mut Batch<'_>,
        series: SeriesRef,
        received_before_ms: i64,
        replica: impl Fn(ReplicaId) -> i64,
    ) -> Result<(), AppendError> {
        let Some(first) = self.held.as_ref().and_then(|held| held.iter().find(|h| h.received_ms < received_before_ms)) else { return Ok(()) };
        let i = match (self.interval.ms(), self.held_interval_ms()) {
            (0, Some(ms)) => ms,
            (0, None) => replica(first.replica),
            (ms, _) => ms,
        };
        while let Some(id) = self.pick(i, i64::MAX, |h| h.received_ms < received_before_ms).and_then(|at| Some(self.held.as_ref()?[at].replica)) {
            b.counts.takeovers += 1;
            self.owner = id;
            self.promote(b, series, id, i)?;
        }
        // What is left and old does not fit the cadence: it lies too near to what is stored.
        if let Some(held) = &mut self.held {
            let before = held.len();
            let journal = &mut b.journal;
            held.retain(|h| {
                let keep = h.received_ms >= received_before_ms;
                if !keep {
                    journal.push((series, h.clone()));
                }
                keep
            });
            b.counts.covered += (before - held.len()) as u64;
            if held.is_empty() {
                self.held = None;
            }
        }
        Ok(())
    }
}
