//! The only place that asks what time it is.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub type SharedClock = Arc<dyn Clock>;

/// Time as the rest of the program sees it.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch, by the wall clock. May step backwards.
    fn now_ms(&self) -> i64;
    /// Nanoseconds since the Unix epoch, by the wall clock.
    fn now_ns(&self) -> i64;
    /// Time since an arbitrary fixed point. Never steps backwards; for measuring.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks")]
    pub fn new() -> Self {
        SystemClock { origin: Instant::now() }
    }

    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        self.now_ns().div_euclid(1_000_000)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one place that asks")]
    fn now_ns(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => i64::try_from(d.as_nanos()).unwrap_or(i64::MAX),
            Err(e) => -i64::try_from(e.duration().as_nanos()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that moves only when told to. For simulations and tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    ns: AtomicI64,
}

impl ManualClock {
    pub fn at_ms(ms: i64) -> Arc<Self> {
        Arc::new(ManualClock { ns: AtomicI64::new(ms * 1_000_000) })
    }

    pub fn set_ms(&self, ms: i64) {
        self.ns.store(ms * 1_000_000, Ordering::SeqCst);
    }

    pub fn advance(&self, by: Duration) {
        self.ns.fetch_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ns().div_euclid(1_000_000)
    }

    fn now_ns(&self) -> i64 {
        self.ns.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.now_ns().max(0) as u64)
    }
}
