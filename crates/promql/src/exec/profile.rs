//! Where the time of a query goes: what each operator of the plan took for itself, over all threads, and what it gave. Only for queries that
//! are explained; the others do not read the clock for this.
//!
//! Operators are told apart by where they lie in the plan, which does not move while it runs. What an operator does when it is asked for a
//! stream is taken by a stack of frames; what it does for a row, by the thread that computes the row.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stdx::clock::SharedClock;

/// Number of an operator. 0 is nobody's.
pub type Node = u32;

/// What an operator took and gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Its own time, without that of what it works on. Over all threads.
    pub time: Duration,
    /// Series that it gave, or brought together.
    pub series: u64,
    /// Samples that it decoded (selectors), or gave.
    pub samples: u64,
    /// Memory of its samples.
    pub bytes: u64,
}

impl Cost {
    pub fn add(&mut self, other: Cost) {
        self.time += other.time;
        self.series += other.series;
        self.samples += other.samples;
        self.bytes += other.bytes;
    }
}

#[derive(Default)]
struct Shared {
    nanos: AtomicU64,
    series: AtomicU64,
    samples: AtomicU64,
    bytes: AtomicU64,
}

struct Frame {
    node: Node,
    began: Duration,
    /// Time that others took meanwhile.
    inside: Duration,
}

pub struct Profile {
    numbers: HashMap<usize, Node>,
    costs: Vec<Shared>,
    stack: Mutex<Vec<Frame>>,
    clock: SharedClock,
}

/// Where something lies: names an operator.
pub fn place<T>(of: &T) -> usize {
    std::ptr::from_ref(of) as usize
}

impl Profile {
    /// `places` of all operators of a plan.
    pub fn new(places: impl Iterator<Item = usize>, clock: SharedClock) -> Self {
        let numbers: HashMap<usize, Node> = places.zip(1..).collect();
        let costs = (0..=numbers.len()).map(|_| Shared::default()).collect();
        Profile { numbers, costs, stack: Mutex::default(), clock }
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Time goes to the operator at this place until the guard is dropped.
    pub fn enter(&self, place: usize) -> Entered<'_> {
        let node = self.numbers.get(&place).copied().unwrap_or(0);
        self.stack.lock().push(Frame { node, began: self.now(), inside: Duration::ZERO });
        Entered(self)
    }

    /// The operator that is at work.
    pub fn here(&self) -> Node {
        self.stack.lock().last().map_or(0, |f| f.node)
    }

    /// Says that the operator at work did not need this time for itself.
    pub fn elsewhere(&self, time: Duration) {
        if let Some(f) = self.stack.lock().last_mut() {
            f.inside += time;
        }
    }

    pub fn add(&self, node: Node, cost: Cost) {
        let s = &self.costs[node as usize];
        s.nanos.fetch_add(cost.time.as_nanos() as u64, Ordering::Relaxed);
        s.series.fetch_add(cost.series, Ordering::Relaxed);
        s.samples.fetch_add(cost.samples, Ordering::Relaxed);
        s.bytes.fetch_add(cost.bytes, Ordering::Relaxed);
    }

    pub fn cost_at(&self, place: usize) -> Cost {
        let s = &self.costs[self.numbers.get(&place).copied().unwrap_or(0) as usize];
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        Cost { time: Duration::from_nanos(get(&s.nanos)), series: get(&s.series), samples: get(&s.samples), bytes: get(&s.bytes) }
    }
}

/// An operator at work; see [`Profile::enter`].
pub struct Entered<'a>(&'a Profile);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let now = self.0.now();
        let mut stack = self.0.stack.lock();
        let Some(frame) = stack.pop() else { return };
        let took = now.saturating_sub(frame.began);
        if let Some(outer) = stack.last_mut() {
            outer.inside += took;
        }
        drop(stack);
        self.0.add(frame.node, Cost { time: took.saturating_sub(frame.inside), ..Cost::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::clock::ManualClock;

    #[test]
    fn everybody_gets_the_time_that_is_his() {
        let clock = ManualClock::at_ms(0);
        let ms = Duration::from_millis;
        let p = Profile::new([10, 20].into_iter(), clock.clone());
        {
            let _outer = p.enter(10);
            clock.advance(ms(1));
            {
                let _inner = p.enter(20);
                clock.advance(ms(5));
                p.elsewhere(ms(2));
                assert_eq!(p.here(), 2);
            }
            clock.advance(ms(1));
        }
        p.add(2, Cost { series: 3, ..Cost::default() });
        assert_eq!((p.cost_at(10).time, p.cost_at(20).time, p.cost_at(20).series), (ms(2), ms(3), 3));
    }
}
