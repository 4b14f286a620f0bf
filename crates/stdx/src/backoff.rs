//! How long to wait before the next try: doubling, capped, with full jitter in the upper half.

use crate::rand::Rand;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
    rand: Rand,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration, rand: Rand) -> Self {
        Backoff { min, max: max.max(min), current: min, rand }
    }

    /// The next wait: between half of and all of the current step, which then doubles up to the maximum.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.current;
        self.current = (step * 2).min(self.max);
        step / 2 + (step / 2).mul_f64(self.rand.f64())
    }

    /// Call after a success.
    pub fn reset(&mut self) {
        self.current = self.min;
    }
}
