//! What a central knows of those who send to it, and of what it lacks.
//!
//! - [`Ledger`]: per sender, how new its samples are, how many, and what became of them. In memory: it says how things are now; what was lies in
//!   the series that it exports.
//! - [`gaps`]: which targets lack which intervals, found in the stored `up` series themselves.
//! - [`known`] and [`notice`]: the same kept ready, so that a query is told what it touches.
//! - [`tree`]: senders and the uplinks below them, as the series that travel up the tree tell.

pub mod gaps;
pub mod known;
pub mod notice;
pub mod tree;

use crate::receive::merge::replicas::{Replica, ReplicaId};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::clock::SharedClock;
use stdx::metrics::{Family, Kind, Metric, Registry, Value};

/// At most so many senders are told apart; the others are counted as one of this name.
pub const MAX_SENDERS: usize = 10_000;
pub const OTHER_SENDERS: &str = "other";
/// At most so many replicas are listed of one sender.
const MAX_REPLICAS_LISTED: usize = 1_000;
/// A sender that was not heard of for so long is forgotten.
const FORGET_AFTER_MS: i64 = 24 * 3_600_000;
/// The rate is a mean over about this long.
const RATE_WINDOW_MS: f64 = 60_000.0;

/// What one acknowledged request brought.
pub struct Arrival<'a> {
    pub now_ms: i64,
    pub newest_ms: Option<i64>,
    pub samples: u64,
    pub duplicates: u64,
    pub covered: u64,
    pub filled: u64,
    pub refused: u64,
    pub late: u64,
    pub bytes: u64,
    pub replicas: &'a [(ReplicaId, Arc<Replica>, i64)],
}

/// One sender, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    /// Its own word, or its address.
    pub name: String,
    pub first_received_ms: i64,
    pub last_received_ms: i64,
    /// Time of the newest sample it ever brought; 0 when none.
    pub newest_sample_ms: i64,
    /// Floats and histograms, all that were taken.
    pub samples: u64,
    pub samples_per_second: f64,
    pub requests: u64,
    pub bytes: u64,
    /// Exact repeats.
    pub duplicates: u64,
    /// Dropped because another replica's sample covers them.
    pub covered: u64,
    /// Stored because they fill a hole.
    pub filled: u64,
    pub refused: u64,
    /// Stored behind their series' newest sample.
    pub late: u64,
    /// Replica names met in its requests.
    pub replicas: BTreeMap<String, ReplicaView>,
}

#[derive(Clone, Debug, Default)]
pub struct ReplicaView {
    /// Newest sample that was received of it; 0 when none.
    pub newest_sample_ms: i64,
    /// Merged series that are being made from it, as of the last tick.
    pub owned_series: u64,
}

struct Entry {
    sender: Sender,
    replicas: Vec<(ReplicaId, Arc<Replica>, i64)>,
    /// Since the last tick.
    recent: u64,
}

pub struct Ledger {
    senders: Arc<Mutex<HashMap<String, Entry, RandomState>>>,
    last_tick_ms: Mutex<i64>,
}

impl Ledger {
    pub fn new(registry: &Registry, clock: SharedClock) -> Self {
        let senders: Arc<Mutex<HashMap<String, Entry, RandomState>>> = Arc::default();
        let last_tick_ms = Mutex::new(clock.now_ms());
        let seen = Arc::clone(&senders);
        registry.collector(move |out| out.extend(families(&seen.lock(), clock.now_ms())));
        Ledger { senders, last_tick_ms }
    }

    /// Nobody has sent anything since the start.
    pub fn is_empty(&self) -> bool {
        self.senders.lock().is_empty()
    }

    pub fn note(&self, sender: &str, a: &Arrival<'_>) {
        let mut senders = self.senders.lock();
        let name = if senders.contains_key(sender) || senders.len() < MAX_SENDERS { sender } else { OTHER_SENDERS };
        let e = senders.entry_ref(name).or_insert_with(|| Entry {
            sender: Sender { name: name.to_string(), first_received_ms: a.now_ms, ..Sender::default() },
            replicas: Vec::new(),
            recent: 0,
        });
        let s = &mut e.sender;
        s.last_received_ms = a.now_ms;
        s.newest_sample_ms = s.newest_sample_ms.max(a.newest_ms.unwrap_or(0));
        s.samples += a.samples;
        s.requests += 1;
        s.bytes += a.bytes;
        s.duplicates += a.duplicates;
        s.covered += a.covered;
        s.filled += a.filled;
        s.refused += a.refused;
        s.late += a.late;
        e.recent += a.samples;
        for (id, replica, newest_ms) in a.replicas {
            match e.replicas.iter().position(|(known, ..)| known == id) {
                Some(at) => e.replicas[at].2 = e.replicas[at].2.max(*newest_ms),
                None if e.replicas.len() < MAX_REPLICAS_LISTED => e.replicas.push((*id, Arc::clone(replica), *newest_ms)),
                None => {}
            }
        }
    }

    /// Renews rates and forgets senders that are gone. Call every few seconds.
    pub fn tick(&self, now_ms: i64) {
        let mut last = self.last_tick_ms.lock();
        let elapsed = (now_ms - *last) as f64;
        if elapsed <= 0.0 {
            return;
        }
        *last = now_ms;
        let weight = 1.0 - (-elapsed / RATE_WINDOW_MS).exp();
        self.senders.lock().retain(|_, e| {
            let rate = e.recent as f64 * 1000.0 / elapsed;
            e.sender.samples_per_second += weight * (rate - e.sender.samples_per_second);
            e.recent = 0;
            now_ms - e.sender.last_received_ms < FORGET_AFTER_MS
        });
    }

    /// All senders, by name.
    pub fn senders(&self) -> Vec<Sender> {
        let mut all: Vec<Sender> = self
            .senders
            .lock()
            .values()
            .map(|e| {
                let view = |r: &Replica, newest: i64| ReplicaView {
                    newest_sample_ms: newest.max(0),
                    owned_series: r.owned.load(std::sync::atomic::Ordering::Relaxed),
                };
                let replicas = e.replicas.iter().map(|(_, r, newest)| (r.name.clone(), view(r, *newest))).collect();
                Sender { replicas, ..e.sender.clone() }
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn families(senders: &HashMap<String, Entry, RandomState>, now_ms: i64) -> Vec<Family> {
    let family = |name: &str, help: &str, kind: Kind, value: &dyn Fn(&Sender) -> f64| {
        let wrap = |v| if kind == Kind::Counter { Value::Counter(v) } else { Value::Gauge(v) };
        let mut metrics: Vec<Metric> =
            senders.values().map(|e| Metric { labels: vec![("sender".to_string(), e.sender.name.clone())], value: wrap(value(&e.sender)) }).collect();
        metrics.sort_by(|a, b| a.labels.cmp(&b.labels));
        Family { name: name.to_string(), help: help.to_string(), kind, metrics }
    };
    if senders.is_empty() {
        return Vec::new();
    }
    let age = |t_ms: i64| (now_ms - t_ms) as f64 / 1000.0;
    vec![
        family(
            "narthex_receive_sender_newest_sample_age_seconds",
            "Age of the newest sample of a sender.",
            Kind::Gauge,
            &|s| age(s.newest_sample_ms),
        ),
        family("narthex_receive_sender_last_request_age_seconds", "Time since the last request of a sender.", Kind::Gauge, &|s| {
            age(s.last_received_ms)
        }),
        family("narthex_receive_sender_samples_total", "Samples of a sender that were taken.", Kind::Counter, &|s| s.samples as f64),
        family("narthex_receive_sender_duplicate_samples_total", "Exact repeats of a sender.", Kind::Counter, &|s| s.duplicates as f64),
        family("narthex_receive_sender_covered_samples_total", "Samples of a sender that those of another replica cover.", Kind::Counter, &|s| {
            s.covered as f64
        }),
        family(
            "narthex_receive_sender_filled_samples_total",
            "Samples that were stored with a request of a sender to fill a hole.",
            Kind::Counter,
            &|s| s.filled as f64,
        ),
        family("narthex_receive_sender_refused_samples_total", "Samples of a sender that were refused.", Kind::Counter, &|s| s.refused as f64),
    ]
}

#[cfg(test)]
mod tests;
