//! Late samples of a merged series: those not newer than its newest stored one. They fill holes, and only holes.
//!
//! Nearly all of them lie where the series is known to be solid and cost one comparison. For the others the stored times around them are looked
//! up, and what was found is kept: a backlog arrives in order of time, so one look serves many samples.

use super::replicas::{Replica, ReplicaId};
use super::state::{State, apart, barely_apart, hole};
use super::{Batch, Outcome, ValueRef};
use storage::{AppendError, SeriesRef};

/// A look-up reaches so many intervals ahead, for the samples that will follow.
const LOOK_AHEAD_INTERVALS: i64 = 32;
/// Reach of a look-up when the interval is unknown.
const UNKNOWN_REACH_MS: i64 = 60_000;

/// What is known of the series before [`State::solid_ms`].
#[derive(Default)]
pub(super) struct Late {
    /// Late samples that were appended, each with its flight: until that has landed, the store does not show them.
    fills: Vec<(u64, i64)>,
    /// Nothing is stored between these two, both excluded.
    empty: Option<Empty>,
    /// From the first to the second, both included, there is no hole.
    solid: Option<(i64, i64)>,
}

#[derive(Clone, Copy)]
struct Empty {
    from_ms: i64,
    to_ms: i64,
    /// Something is stored there. If not, it is only how far was looked.
    from_is_stored: bool,
    to_is_stored: bool,
}

impl State {
    pub(super) fn decide_late(
        &mut self,
        b: &mut Batch<'_>,
        series: SeriesRef,
        r: (ReplicaId, &Replica),
        t_ms: i64,
        value: ValueRef<'_>,
    ) -> Result<Outcome, AppendError> {
        // One distance, perhaps over a hole, says little: what its owner sends from in between is missing there.
        if !self.interval.is_sure() && r.0 == self.owner && r.0 == self.last && t_ms < self.newest_ms {
            return match b.append(series, t_ms, value) {
                Ok(()) => {
                    let flight = b.flight;
                    let late = self.late.get_or_insert_default();
                    late.fills.push((flight, t_ms));
                    late.empty = None;
                    Ok(Outcome::Stored)
                }
                Err(AppendError::DuplicateTimestamp) => Ok(b.covered(true)),
                Err(e) => Err(e),
            };
        }
        let solid = self.late.as_ref().and_then(|l| l.solid).is_some_and(|(from, to)| (from..=to).contains(&t_ms));
        if t_ms >= self.solid_ms || solid {
            return Ok(b.covered(r.0 == self.owner));
        }
        let i = self.interval_ms(r.1);
        let margin = if i > 0 { 2 * i } else { UNKNOWN_REACH_MS };
        let known = self.late.as_ref().and_then(|l| l.empty).filter(|e| {
            let to = if e.to_is_stored { e.to_ms } else { e.to_ms.saturating_sub(margin) };
            let from = if e.from_is_stored { e.from_ms } else { e.from_ms.saturating_add(margin) };
            from < t_ms && t_ms < to
        });
        let empty = match known {
            Some(e) => e,
            None => match self.look(b, series, t_ms, i, margin) {
                Some(e) => e,
                None => return Ok(b.covered(r.0 == self.owner)),
            },
        };
        let (before, after) = (t_ms - empty.from_ms, empty.to_ms - t_ms);
        let closes = before.max(after) <= hole(i);
        if i > 0 && before.min(after) < if closes { barely_apart(i) } else { apart(i) } {
            return Ok(b.covered(false));
        }
        // Nothing says yet how far apart samples are: what is near to a stored one may double its interval, what is far cannot.
        let near = (empty.from_is_stored && before < UNKNOWN_REACH_MS) || (empty.to_is_stored && after < UNKNOWN_REACH_MS);
        if i == 0 && r.0 != self.owner && near {
            return Ok(b.covered(false));
        }
        match b.append(series, t_ms, value) {
            Ok(()) => {}
            Err(AppendError::DuplicateTimestamp) => return Ok(b.covered(false)),
            Err(e) => return Err(e),
        }
        b.counts.filled += 1;
        let flight = b.flight;
        let late = self.late.get_or_insert_default();
        late.fills.push((flight, t_ms));
        late.empty = Some(Empty { from_ms: t_ms, from_is_stored: true, ..empty });
        if empty.from_is_stored && t_ms - empty.from_ms <= hole(i) {
            let start = late.solid.filter(|(_, to)| *to == empty.from_ms).map_or(empty.from_ms, |(from, _)| from);
            late.solid = Some((start, t_ms));
        }
        Ok(Outcome::Stored)
    }

    /// Looks up what is stored around a time. None when there is no hole.
    fn look(&mut self, b: &mut Batch<'_>, series: SeriesRef, t_ms: i64, i: i64, margin: i64) -> Option<Empty> {
        let ahead = if i > 0 { LOOK_AHEAD_INTERVALS * i } else { margin };
        let (from_ms, to_ms) = (t_ms.saturating_sub(margin), t_ms.saturating_add(ahead));
        let mut times = std::mem::take(&mut b.times);
        times.clear();
        let late = self.late.get_or_insert_default();
        // First what is on its way, then what is there: a flight that lands in between is seen twice, not never.
        late.fills.retain(|(flight, _)| b.flights.is_aloft(*flight));
        times.extend(late.fills.iter().map(|(_, t)| *t).filter(|t| (from_ms..=to_ms).contains(t)));
        if let Err(e) = b.store.times(series, from_ms, to_ms.min(self.newest_ms), &mut times) {
            tracing::warn!(err = %e, "stored times around late samples cannot be read; taking them for missing");
        }
        if self.solid_ms <= to_ms {
            times.push(self.solid_ms);
        }
        times.sort_unstable();
        times.dedup();
        let next = times.partition_point(|t| *t < t_ms);
        let found = if times.get(next) == Some(&t_ms) {
            None
        } else {
            let before = next.checked_sub(1).map(|p| times[p]);
            let after = times.get(next).copied();
            match (before, after) {
                (Some(p), Some(n)) if i > 0 && n - p <= hole(i) => None,
                _ => Some(Empty {
                    from_ms: before.unwrap_or(from_ms),
                    to_ms: after.unwrap_or(to_ms),
                    from_is_stored: before.is_some(),
                    to_is_stored: after.is_some(),
                }),
            }
        };
        match found {
            Some(empty) => late.empty = Some(empty),
            None if i > 0 => {
                let limit = hole(i);
                let start = next.min(times.len() - 1);
                let mut lo = start;
                while lo > 0 && times[lo] - times[lo - 1] <= limit {
                    lo -= 1;
                }
                let mut hi = start;
                while hi + 1 < times.len() && times[hi + 1] - times[hi] <= limit {
                    hi += 1;
                }
                let (lo, hi) = (times[lo], times[hi]);
                if hi >= self.solid_ms {
                    self.solid_ms = lo.min(self.solid_ms);
                } else {
                    late.solid = Some((lo, hi));
                }
            }
            None => {}
        }
        if late.fills.is_empty() && late.empty.is_none() && late.solid.is_none() {
            self.late = None;
        }
        b.times = times;
        found
    }
}
