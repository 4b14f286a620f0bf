//! Clocks of servers: the one time of the simulation, each a little beside it.

use crate::exec::Exec;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use stdx::clock::Clock;

/// When it begins: a multiple of all block lengths that are used.
pub const EPOCH_MS: i64 = 1_699_999_200_000 / 7_200_000 * 7_200_000;

/// How often a server scrapes itself.
pub const SELF_SCRAPE_MS: i64 = 15_000;

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

pub struct ServerClock {
    exec: Exec,
    ahead_ms: AtomicI64,
}

impl ServerClock {
    pub fn new(exec: Exec, ahead_ms: i64) -> Arc<Self> {
        Arc::new(ServerClock { exec, ahead_ms: AtomicI64::new(ahead_ms) })
    }
}

impl std::fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerClock({} ms)", self.now_ms())
    }
}

impl Clock for ServerClock {
    fn now_ms(&self) -> i64 {
        self.now_ns().div_euclid(1_000_000)
    }

    fn now_ns(&self) -> i64 {
        (EPOCH_MS + self.ahead_ms.load(Ordering::Relaxed)) * 1_000_000 + self.exec.now_ns() as i64
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.exec.now_ns())
    }
}
