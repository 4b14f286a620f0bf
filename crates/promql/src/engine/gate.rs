//! Lets only so many queries run at once; the others wait in line.

use super::{Cancel, ErrorKind, QueryError};
use parking_lot::{Condvar, Mutex};
use std::time::Duration;
use stdx::clock::SharedClock;

/// How long a waiting query sleeps before it looks whether it is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Gate {
    limit: usize,
    running: Mutex<usize>,
    left: Condvar,
}

/// A turn; ends when dropped.
pub struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
        self.0.left.notify_one();
    }
}

impl Gate {
    pub fn new(limit: usize) -> Self {
        Gate { limit: limit.max(1), running: Mutex::new(0), left: Condvar::new() }
    }

    /// A turn, if there is one without waiting.
    pub fn try_enter(&self) -> Option<Place<'_>> {
        let mut running = self.running.lock();
        (*running < self.limit).then(|| {
            *running += 1;
            Place(self)
        })
    }

    pub fn enter(&self, cancel: &Cancel, clock: &SharedClock, deadline: Duration) -> Result<Place<'_>, QueryError> {
        let mut running = self.running.lock();
        while *running >= self.limit {
            if cancel.is_canceled() {
                return Err(QueryError::new(ErrorKind::Canceled, "query was canceled in query queue"));
            }
            if clock.monotonic() >= deadline {
                return Err(QueryError::new(ErrorKind::Timeout, "query timed out in query queue"));
            }
            self.left.wait_for(&mut running, LOOK_AGAIN);
        }
        *running += 1;
        Ok(Place(self))
    }
}
