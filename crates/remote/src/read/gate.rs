//! Lets only so many in at a time; the others wait for their turn.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use stdx::metrics::Gauge;

pub(super) struct Gate {
    limit: usize,
    inside: Mutex<usize>,
    left: Condvar,
}

/// Being inside. Dropping it lets the next one in.
pub(super) struct Permit {
    gate: Arc<Gate>,
    count: Gauge,
}

impl Gate {
    /// 0 for no limit.
    pub fn new(limit: usize) -> Arc<Self> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        Arc::new(Gate { limit, inside: Mutex::new(0), left: Condvar::new() })
    }

    /// Blocks until there is room. `count` counts who is inside and who waits.
    pub fn enter(self: &Arc<Self>, count: Gauge) -> Permit {
        count.add(1.0);
        let mut inside = self.inside.lock();
        while *inside >= self.limit {
            self.left.wait(&mut inside);
        }
        *inside += 1;
        Permit { gate: Arc::clone(self), count }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.gate.inside.lock() -= 1;
        self.count.add(-1.0);
        self.gate.left.notify_one();
    }
}
