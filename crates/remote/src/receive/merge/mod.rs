//! The pair merge: several replicas write the same series, one comes out, with no hole where any of them has a sample.
//!
//! Per series and per sample, as they arrive. No election, no store beside the storage, nothing to configure but the names of the replica labels.
//! The rules stand in [`state`]. What is remembered of a series can be lost at any time: it is learned again from what is stored, and the samples
//! that wait for a decision are in the log.

mod held;
mod interval;
mod late;
pub mod replicas;
mod state;
mod states;

use super::flight::Flights;
use super::metrics::Metrics;
use held::HeldSample;
use parking_lot::Mutex;
use replicas::{NOBODY, Replica, ReplicaId, Replicas};
use state::State;
use states::{States, shard_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{AppendError, Appender, HeldValue, HistogramSample, MergeStore, SeriesRef};

const SHARDS: usize = 64;
/// What is remembered of a series is forgotten when its newest sample is this much older than now and nothing is held.
const FORGET_AFTER_MS: i64 = 60 * 60_000;

/// The value of a sample, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    Float(f64),
    Histogram(HistogramSample<'a>),
}

impl<'a> ValueRef<'a> {
    fn of_held(v: &'a HeldValue) -> Self {
        match v {
            HeldValue::Float(v) => ValueRef::Float(*v),
            HeldValue::Int(h) => ValueRef::Histogram(HistogramSample::Int(h)),
            HeldValue::FloatHistogram(h) => ValueRef::Histogram(HistogramSample::Float(h)),
        }
    }

    fn to_held(self) -> HeldValue {
        match self {
            ValueRef::Float(v) => HeldValue::Float(v),
            ValueRef::Histogram(HistogramSample::Int(h)) => HeldValue::Int(Arc::new(h.clone())),
            ValueRef::Histogram(HistogramSample::Float(h)) => HeldValue::FloatHistogram(Arc::new(h.clone())),
        }
    }

    pub fn is_stale(self) -> bool {
        match self {
            ValueRef::Float(v) => model::sample::is_stale_nan(v),
            ValueRef::Histogram(HistogramSample::Int(h)) => h.is_stale(),
            ValueRef::Histogram(HistogramSample::Float(h)) => h.is_stale(),
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, ValueRef::Float(v) if v == 0.0)
    }
}

/// What became of a sample that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// In the log, waiting for a decision.
    Held,
    /// Dropped: the interval around it is stored.
    Covered,
}

/// What one request did, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounts {
    /// Stored or held samples that a sample of another replica made superfluous.
    pub covered: u64,
    /// Repeats of the owner's own samples, and of held ones.
    pub duplicates: u64,
    pub held: u64,
    /// Samples that were stored to fill a hole.
    pub filled: u64,
    pub takeovers: u64,
    /// Held samples that the storage did not take any more.
    pub refused: u64,
}

/// One request on its way through the merge.
pub struct Batch<'x> {
    app: &'x mut dyn Appender,
    store: &'x dyn MergeStore,
    flights: &'x Flights,
    flight: u64,
    now_ms: i64,
    pub counts: MergeCounts,
    /// Held samples that were stored or dropped, in case the commit fails.
    journal: Vec<(SeriesRef, HeldSample)>,
    touched: Vec<SeriesRef>,
    depends: Vec<u64>,
    times: Vec<i64>,
}

/// What outlives the appender: needed when the commit is over.
pub struct Aftermath {
    flight: u64,
    journal: Vec<(SeriesRef, HeldSample)>,
    touched: Vec<SeriesRef>,
    depends: Vec<u64>,
}

impl<'x> Batch<'x> {
    fn append(&mut self, series: SeriesRef, t_ms: i64, value: ValueRef<'_>) -> Result<(), AppendError> {
        match value {
            ValueRef::Float(v) => self.app.append(series, t_ms, v),
            ValueRef::Histogram(h) => self.app.append_histogram(series, t_ms, h),
        }
    }

    fn covered(&mut self, own: bool) -> Outcome {
        if own {
            self.counts.duplicates += 1;
        } else {
            self.counts.covered += 1;
        }
        Outcome::Covered
    }

    /// The appender, for what needs no merging.
    pub fn appender(&mut self) -> &mut dyn Appender {
        self.app
    }

    pub fn end(self) -> Aftermath {
        Aftermath { flight: self.flight, journal: self.journal, touched: self.touched, depends: self.depends }
    }
}

type Shard = Mutex<States>;

pub struct Merger {
    store: Arc<dyn MergeStore>,
    shards: Vec<Shard>,
    flights: Flights,
    pub replicas: Replicas,
    metrics: Arc<Metrics>,
    /// What the log gave back is taken over.
    restored: AtomicBool,
    restoring: Mutex<()>,
}

impl Merger {
    pub fn new(store: Arc<dyn MergeStore>, metrics: Arc<Metrics>, now_ms: i64) -> Self {
        let merger = Merger {
            store,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            flights: Flights::default(),
            replicas: Replicas::default(),
            metrics,
            restored: AtomicBool::new(false),
            restoring: Mutex::default(),
        };
        merger.restore(now_ms);
        merger
    }

    /// Takes over the samples that the log gave back, once the store has them. False until then: nothing can be decided.
    pub fn restore(&self, now_ms: i64) -> bool {
        if self.restored.load(Ordering::Acquire) {
            return true;
        }
        if !self.store.is_filled() {
            return false;
        }
        let _one = self.restoring.lock();
        if self.restored.load(Ordering::Acquire) {
            return true;
        }
        for held in self.store.take_held() {
            let Some((id, _)) = self.replicas.id(&held.replica) else { continue };
            let mut shard = self.shard(held.series).lock();
            // The rest is learned when the series is met again, and so is whether it is an `up`.
            let state = shard.get_or_insert_with(held.series, State::unknown);
            let live = !ValueRef::of_held(&held.value).is_stale();
            state.restore(HeldSample { t_ms: held.t_ms, replica: id, live, value: held.value, flight: 0, received_ms: now_ms });
        }
        self.restored.store(true, Ordering::Release);
        true
    }

    fn shard(&self, series: SeriesRef) -> &Shard {
        &self.shards[shard_of(series, SHARDS)]
    }

    pub fn begin<'x>(&'x self, app: &'x mut dyn Appender, now_ms: i64) -> Batch<'x> {
        Batch {
            app,
            store: self.store.as_ref(),
            flights: &self.flights,
            flight: self.flights.depart(),
            now_ms,
            counts: MergeCounts::default(),
            journal: Vec::new(),
            touched: Vec::new(),
            depends: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Calls `each` with the series' state locked, so that no other request decides about it meanwhile.
    pub fn with_series<T>(
        &self,
        b: &mut Batch<'_>,
        series: SeriesRef,
        is_up: impl Fn() -> bool,
        each: impl FnOnce(&mut Batch<'_>, &mut Series<'_>) -> T,
    ) -> T {
        let mut shard = self.shard(series).lock();
        let state = shard.get_or_insert_with(series, || State::load(b.store, series, is_up()));
        if state.doubtful {
            state.is_up = is_up();
            state.reload(b.store, series);
        }
        if state.flight != b.flight {
            if self.flights.may_be_aloft(state.flight) && !b.depends.contains(&state.flight) {
                b.depends.push(state.flight);
            }
            state.flight = b.flight;
            b.touched.push(series);
        }
        each(b, &mut Series { state, series })
    }

    /// Call once the commit is over, well or not. True when the request may be acknowledged: it and all that it relied on is on the disk. May block.
    pub fn land(&self, after: Aftermath, well: bool) -> bool {
        if !well {
            for series in after.touched {
                if let Some(state) = self.shard(series).lock().get_mut(series) {
                    state.forget_flight(after.flight);
                }
            }
            for (series, held) in after.journal.into_iter().filter(|(_, h)| h.flight != after.flight) {
                if let Some(state) = self.shard(series).lock().get_mut(series) {
                    state.newest_ms = state.newest_ms.min(held.t_ms - 1);
                    state.restore(held);
                }
            }
        }
        self.flights.land(after.flight, well);
        self.flights.wait_for(&after.depends) && well
    }

    /// Stores what has waited since before `received_before_ms`, forgets series that are gone, and counts who owns what. Call every few seconds.
    pub fn tick(&self, now_ms: i64, received_before_ms: i64) -> Result<MergeCounts, storage::CommitError> {
        if !self.restore(now_ms) {
            return Ok(MergeCounts::default());
        }
        let mut app = self.store.appender(storage::AppendOptions::receive());
        let mut batch = self.begin(app.as_mut(), now_ms);
        let replicas = self.replicas.all();
        let typical = |id: ReplicaId| replicas.get(usize::from(id).wrapping_sub(1)).map_or(0, |r| r.typical_ms());
        let mut owned = vec![0u64; replicas.len() + 1];
        let (mut held, mut refused) = (0u64, Ok(()));
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|series, state| {
                if state.held.is_some() && refused.is_ok() {
                    if state.doubtful {
                        state.reload(batch.store, series);
                    }
                    if state.held.as_ref().is_some_and(|held| held.iter().any(|h| h.received_ms < received_before_ms)) {
                        state.flight = batch.flight;
                        batch.touched.push(series);
                        refused = state.give_up_waiting(&mut batch, series, received_before_ms, typical);
                    }
                }
                if let Some(n) = owned.get_mut(usize::from(state.owner)) {
                    *n += 1;
                }
                held += state.held.as_ref().map_or(0, |h| h.len() as u64);
                state.held.is_some() || state.newest_ms > now_ms - FORGET_AFTER_MS || self.flights.may_be_aloft(state.flight)
            });
        }
        for (id, replica) in replicas.iter().enumerate() {
            replica.owned.store(owned[id + 1], Ordering::Relaxed);
            self.metrics.owned_series.with(&[&replica.name]).set(owned[id + 1] as f64);
        }
        self.metrics.unowned_series.set(owned[usize::from(NOBODY)] as f64);
        self.metrics.held_waiting.set(held as f64);
        let counts = batch.counts;
        let after = batch.end();
        let done = if after.touched.is_empty() {
            app.rollback();
            Ok(())
        } else {
            app.commit(storage::Wait::Written).map(|_| ())
        };
        self.land(after, done.is_ok());
        done.map(|()| counts)
    }
}

/// One merged series, locked.
pub struct Series<'s> {
    state: &'s mut State,
    series: SeriesRef,
}

impl Series<'_> {
    /// Decides about one sample of a replica.
    pub fn sample(&mut self, b: &mut Batch<'_>, id: ReplicaId, replica: &Replica, t_ms: i64, value: ValueRef<'_>) -> Result<Outcome, AppendError> {
        self.state.decide(b, self.series, (id, replica), t_ms, value)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
