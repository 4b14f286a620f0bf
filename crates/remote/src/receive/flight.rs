//! Requests whose commit is still on its way to the disk.
//!
//! A sample may be dropped because another request just brought one that covers it. Its sender must not hear "stored" before that other request
//! is on the disk, or it would forget the only copy that survives a power cut. So each request is a flight with a number, a merged series
//! remembers the flight that touched it last, and whoever decides by such a series waits for that flight to land.

use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many failed flights are remembered. A flight that is waited for is waited for at once, so few are enough.
const REMEMBERED_FAILURES: usize = 4096;

pub struct Flights {
    /// Every flight with a lower number has landed.
    oldest: AtomicU64,
    inner: Mutex<Inner>,
    landed: Condvar,
}

struct Inner {
    next: u64,
    aloft: BTreeSet<u64>,
    failed: VecDeque<u64>,
}

impl Default for Flights {
    fn default() -> Self {
        let inner = Inner { next: 1, aloft: BTreeSet::new(), failed: VecDeque::new() };
        Flights { oldest: AtomicU64::new(1), inner: Mutex::new(inner), landed: Condvar::new() }
    }
}

impl Flights {
    pub fn depart(&self) -> u64 {
        let mut inner = self.inner.lock();
        let flight = inner.next;
        inner.next += 1;
        inner.aloft.insert(flight);
        self.note_oldest(&inner);
        flight
    }

    /// Call exactly once for each departure, after the commit (or its failure).
    pub fn land(&self, flight: u64, well: bool) {
        let mut inner = self.inner.lock();
        inner.aloft.remove(&flight);
        if !well {
            if inner.failed.len() == REMEMBERED_FAILURES {
                inner.failed.pop_front();
            }
            inner.failed.push_back(flight);
        }
        self.note_oldest(&inner);
        drop(inner);
        self.landed.notify_all();
    }

    fn note_oldest(&self, inner: &Inner) {
        let oldest = inner.aloft.first().copied().unwrap_or(inner.next);
        self.oldest.store(oldest, Ordering::Release);
    }

    /// Cheap; may say true for a flight that has just landed.
    pub fn may_be_aloft(&self, flight: u64) -> bool {
        flight >= self.oldest.load(Ordering::Acquire)
    }

    pub fn is_aloft(&self, flight: u64) -> bool {
        self.may_be_aloft(flight) && self.inner.lock().aloft.contains(&flight)
    }

    /// Blocks until all of them have landed; true when all landed well. Land the own flight first, or two requests wait for each other.
    pub fn wait_for(&self, flights: &[u64]) -> bool {
        if flights.is_empty() {
            return true;
        }
        let mut inner = self.inner.lock();
        while flights.iter().any(|f| inner.aloft.contains(f)) {
            self.landed.wait(&mut inner);
        }
        !flights.iter().any(|f| inner.failed.contains(f))
    }
}
