//! What a query may use: samples in memory, bytes for itself and for all queries together, time; and the signal to stop.

use crate::engine::{Cancel, ErrorKind, QueryError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::metrics::Gauge;

/// Shared by all queries of an engine.
#[derive(Debug, Default)]
pub struct TotalBytes {
    pub limit: u64,
    pub used: AtomicU64,
    /// Follows what is used.
    pub shown: Gauge,
}

impl TotalBytes {
    fn take(&self, n: u64) -> u64 {
        let all = self.used.fetch_add(n, Ordering::Relaxed) + n;
        self.shown.set(all as f64);
        all
    }

    fn give_back(&self, n: u64) {
        self.shown.set((self.used.fetch_sub(n, Ordering::Relaxed) - n) as f64);
    }
}

/// One query's allowance. Shared by its threads.
#[derive(Debug)]
pub struct Budget {
    max_samples: u64,
    samples: AtomicU64,
    peak_samples: AtomicU64,
    max_bytes: u64,
    bytes: AtomicU64,
    total: Arc<TotalBytes>,
    cancel: Cancel,
    clock: SharedClock,
    deadline: Duration,
}

impl Budget {
    pub fn new(max_samples: u64, max_bytes: u64, total: Arc<TotalBytes>, cancel: Cancel, clock: SharedClock, deadline: Duration) -> Arc<Self> {
        Arc::new(Budget {
            max_samples,
            samples: AtomicU64::new(0),
            peak_samples: AtomicU64::new(0),
            max_bytes,
            bytes: AtomicU64::new(0),
            total,
            cancel,
            clock,
            deadline,
        })
    }

    /// Has someone given up, or is the time over? Called once for every batch of work.
    pub fn check(&self) -> Result<(), QueryError> {
        self.check_in("expression evaluation")
    }

    pub fn check_in(&self, part: &str) -> Result<(), QueryError> {
        if self.cancel.is_canceled() {
            return Err(QueryError::new(ErrorKind::Canceled, format!("query was canceled in {part}")));
        }
        if self.clock.monotonic() >= self.deadline {
            return Err(QueryError::new(ErrorKind::Timeout, format!("query timed out in {part}")));
        }
        Ok(())
    }

    /// Would so many more samples be too many? Used for what is held only for a moment.
    pub fn peek_samples(&self, n: u64) -> Result<(), QueryError> {
        let now = self.samples.load(Ordering::Relaxed) + n;
        self.peak_samples.fetch_max(now, Ordering::Relaxed);
        if now > self.max_samples { Err(too_many_samples()) } else { Ok(()) }
    }

    /// Would so many more bytes be too many? Asked before they are taken.
    pub fn peek_bytes(&self, n: u64) -> Result<(), QueryError> {
        self.check_bytes(self.bytes.load(Ordering::Relaxed) + n, self.total.used.load(Ordering::Relaxed) + n)
    }

    fn check_bytes(&self, now: u64, all: u64) -> Result<(), QueryError> {
        if self.max_bytes > 0 && now > self.max_bytes {
            return Err(QueryError::execution(format!(
                "query would use more than {} bytes of memory, the limit for one query; it would need at least {now}",
                self.max_bytes
            )));
        }
        if self.total.limit > 0 && all > self.total.limit {
            return Err(QueryError::execution(format!(
                "running queries would use more than {} bytes of memory, the limit for all of them; try again later or ask for less",
                self.total.limit
            )));
        }
        Ok(())
    }

    /// For work that is long although it is about one series.
    pub fn pace(&self) -> Pace<'_> {
        Pace { budget: self, done: 0 }
    }

    pub fn peak_samples(&self) -> u64 {
        self.peak_samples.load(Ordering::Relaxed)
    }

    /// Takes memory for a result that stays until the charge is dropped.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: Arc::clone(self), samples: 0, bytes: 0 }
    }
}

fn too_many_samples() -> QueryError {
    QueryError::execution("query processing would load too many samples into memory in query execution")
}

/// Samples and bytes held by something; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    samples: u64,
    bytes: u64,
}

impl Charge {
    pub fn add_samples(&mut self, n: u64) -> Result<(), QueryError> {
        self.samples += n;
        let now = self.budget.samples.fetch_add(n, Ordering::Relaxed) + n;
        self.budget.peak_samples.fetch_max(now, Ordering::Relaxed);
        if now > self.budget.max_samples { Err(too_many_samples()) } else { Ok(()) }
    }

    pub fn add_bytes(&mut self, n: u64) -> Result<(), QueryError> {
        self.bytes += n;
        let now = self.budget.bytes.fetch_add(n, Ordering::Relaxed) + n;
        let all = self.budget.total.take(n);
        self.budget.check_bytes(now, all)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Looks now and then whether to go on.
pub struct Pace<'a> {
    budget: &'a Budget,
    done: u64,
}

/// Samples looked at between two looks: some milliseconds of work.
const LOOK_AFTER: u64 = 1 << 21;

impl Pace<'_> {
    #[inline]
    pub fn step(&mut self, samples: u64) -> Result<(), QueryError> {
        self.done += samples;
        if self.done < LOOK_AFTER {
            return Ok(());
        }
        self.done = 0;
        self.budget.check()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.samples.fetch_sub(self.samples, Ordering::Relaxed);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.bytes > 0 {
            self.budget.total.give_back(self.bytes);
        }
    }
}
