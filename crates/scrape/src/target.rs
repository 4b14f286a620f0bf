//! One endpoint of a job: what it is called, where it is, and how its last scrape went.

use crate::config::ScrapeConfig;
use crate::labels::{SCRAPE_INTERVAL, SCRAPE_TIMEOUT, discovered, parse_bool, public};
use crate::metadata::MetadataCache;
use crate::url::target_url;
use discovery::TargetGroup;
use model::Labels;
use parking_lot::Mutex;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    Up,
    Down,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// How the last scrape went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastScrape {
    pub health: Health,
    /// Empty when all was well. Says where in the page when the page was at fault.
    pub error: String,
    /// When it began, milliseconds since the Unix epoch; None when there was none.
    pub at_ms: Option<i64>,
    pub duration_seconds: f64,
}

/// Where a target came from: enough to tell its labels before relabelling.
#[derive(Clone, Debug)]
pub struct Origin {
    pub group: Arc<TargetGroup>,
    pub index: usize,
    pub config: Arc<ScrapeConfig>,
}

impl Origin {
    pub fn discovered_labels(&self) -> Labels {
        match self.group.targets.get(self.index) {
            Some(own) => discovered(&self.config, own, &self.group.labels).build(),
            None => Labels::empty(),
        }
    }
}

/// What a target keeps while its labels are made anew.
#[derive(Debug, Default)]
pub struct TargetState {
    last: Mutex<LastScrape>,
    pub metadata: MetadataCache,
}

/// Shared between its runner, its pool and those who look at it. Never changes; when discovery or the job says something else of the same
/// target, another one with the same key takes over the state.
#[derive(Debug)]
pub struct Target {
    /// With the reserved labels.
    pub labels: Labels,
    /// Without: what its series carry.
    pub public: Labels,
    pub url: String,
    /// Tells targets of a job apart: the public labels and the URL.
    pub key: u64,
    pub origin: Origin,
    pub state: Arc<TargetState>,
}

impl Target {
    pub fn new(labels: Labels, origin: Origin) -> Self {
        let url = target_url(&labels, &origin.config);
        let public = public(&labels);
        let mut h = Fnv::default();
        h.write(format!("{:016}", public.stable_hash()).as_bytes());
        h.write(url.as_bytes());
        Target { labels, public, url, key: h.0, origin, state: Arc::default() }
    }

    /// The same target with the state of another.
    pub fn with_state_of(&self, other: &Target) -> Self {
        Target {
            labels: self.labels.clone(),
            public: self.public.clone(),
            url: self.url.clone(),
            key: self.key,
            origin: self.origin.clone(),
            state: Arc::clone(&other.state),
        }
    }

    pub fn interval_ms(&self) -> i64 {
        model::duration::parse_ms(self.labels.value(SCRAPE_INTERVAL)).unwrap_or(0).max(1)
    }

    pub fn timeout_ms(&self) -> i64 {
        model::duration::parse_ms(self.labels.value(SCRAPE_TIMEOUT)).unwrap_or(0).max(1)
    }

    /// A switch that relabelling may have set.
    pub fn flag(&self, label: &str, default: bool) -> bool {
        parse_bool(self.labels.value(label)).unwrap_or(default)
    }

    pub fn discovered_labels(&self) -> Labels {
        self.origin.discovered_labels()
    }

    pub fn last(&self) -> LastScrape {
        self.state.last.lock().clone()
    }

    pub fn report(&self, last: LastScrape) {
        *self.state.last.lock() = last;
    }

    pub fn metadata(&self) -> &MetadataCache {
        &self.state.metadata
    }
}

/// FNV-1a of 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// How long to wait until the target's own place in the interval: the same place every time, another one for each target and each server.
pub fn offset_ns(key: u64, seed: u64, now_ns: i64, interval_ns: i64) -> i64 {
    let interval = interval_ns.max(1);
    let to_next_round = interval - now_ns.rem_euclid(interval);
    let place = ((key ^ seed) % interval as u64) as i64;
    let wait = to_next_round + place;
    if wait > interval { wait - interval } else { wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_keep_their_place() {
        let place = |now| (now + offset_ns(0x1234_5678_9abc, 77, now, 15_000_000_000)).rem_euclid(15_000_000_000);
        assert!([1, 5_000_000_000, 14_999_999_999, 1_700_000_000_123_456_789].iter().all(|now| place(*now) == place(0)));
        assert_ne!(offset_ns(1 << 40, 0, 0, 15_000_000_000), offset_ns(1 << 40, 99, 0, 15_000_000_000));
        let mut h = Fnv::default();
        h.write(b"a");
        assert_eq!(h.0, 0xaf63_dc4c_8601_ec8c);
    }
}
