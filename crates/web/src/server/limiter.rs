//! Token buckets: how often something may happen. One for all requests (`rate_limit`), one per address for wrong credentials.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Holds up to `burst` tokens and gains one each interval.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub fn full(burst: f64, now: Duration) -> Self {
        Bucket { tokens: burst, at: now }
    }

    fn refill(&mut self, burst: f64, interval: Duration, now: Duration) {
        let gained = now.saturating_sub(self.at).as_secs_f64() / interval.as_secs_f64().max(1e-9);
        self.tokens = (self.tokens + gained).min(burst);
        self.at = now;
    }

    pub fn take(&mut self, burst: f64, interval: Duration, now: Duration) -> bool {
        self.refill(burst, interval, now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// So many wrong credentials an address may show at once, and one more each interval.
const FAILURES: f64 = 10.0;
const FAILURE_INTERVAL: Duration = Duration::from_secs(1);
/// So many addresses are remembered. Beyond it the ones that have all their tokens back are forgotten, and if that does not help, all.
const MAX_ADDRESSES: usize = 4096;

/// How often each address was wrong of late.
#[derive(Debug, Default)]
pub struct Failures {
    by_address: HashMap<IpAddr, Bucket>,
}

impl Failures {
    /// Whether credentials from this address may be looked at.
    pub fn may_try(&mut self, address: IpAddr, now: Duration) -> bool {
        let Some(b) = self.by_address.get_mut(&address) else { return true };
        b.refill(FAILURES, FAILURE_INTERVAL, now);
        b.tokens >= 1.0
    }

    pub fn failed(&mut self, address: IpAddr, now: Duration) {
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.retain(|_, b| {
                b.refill(FAILURES, FAILURE_INTERVAL, now);
                b.tokens < FAILURES
            });
            if self.by_address.len() >= MAX_ADDRESSES {
                self.by_address.clear();
            }
        }
        self.by_address.entry(address).or_insert_with(|| Bucket::full(FAILURES, now)).take(FAILURES, FAILURE_INTERVAL, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_run_out_and_come_back() {
        let (mut f, a, b) = (Failures::default(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let at = Duration::from_secs;
        for _ in 0..10 {
            assert!(f.may_try(a, at(100)));
            f.failed(a, at(100));
        }
        assert!(!f.may_try(a, at(100)), "the eleventh in a row is not looked at");
        assert!(f.may_try(b, at(100)), "others are not concerned");
        assert!(!f.may_try(a, at(100) + Duration::from_millis(900)));
        assert!(f.may_try(a, at(102)));
        for i in 0..10_000u32 {
            f.failed(IpAddr::from(i.to_be_bytes()), at(103));
        }
        assert!(f.by_address.len() <= MAX_ADDRESSES);
    }

    #[test]
    fn a_bucket_of_requests() {
        let (mut b, s) = (Bucket::full(2.0, Duration::ZERO), Duration::from_secs(1));
        let takes: Vec<bool> = (0..3).map(|_| b.take(2.0, s, Duration::ZERO)).collect();
        assert_eq!(takes, [true, true, false]);
        assert!(b.take(2.0, s, s) && !b.take(2.0, s, s));
    }
}
