//! Remote write in: one request's headers and body in, one answer out. No HTTP in here.
//!
//! The contract, beyond that of Prometheus:
//!
//! - 2xx is said when everything is as durable as the storage's sync policy says.
//! - Each sample is judged by itself, in version 1.0 too. A bad one never takes its good neighbours with it; the 400 names the first few.
//! - Late samples are taken. Repeats succeed. The same time with another value keeps the first, is counted, and is no error of the sender.
//! - A limit on the number of series refuses the series (400), not the request: were it asked to come again, one series too many would block all
//!   others of its sender for ever.
//! - Overload is a 503 with `Retry-After`: senders keep what they have on their disks.
//!
//! Series with replica labels go through [`merge`]; all others are stored as they come.

mod answer;
mod flight;
mod flow;
#[cfg(test)]
pub(crate) mod memory_store;
pub mod merge;
mod metrics;
mod negotiate;
mod walk;

pub use answer::{Answer, Written};
pub(crate) use answer::{RETRY_LATER_SECONDS, RETRY_SOON_SECONDS, Refusals, reason};
pub use flow::InFlight;

use crate::ledger::{Arrival, Ledger};
use crate::wire::body::{self, MAX_DECODED_BYTES};
use crate::wire::{Version, WireError};
use merge::Merger;
use metrics::Metrics;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::metrics::Registry;
use storage::{AppendOptions, CommitError, MergeStore, Wait};
use walk::{Failure, Tally, reasons};

/// Prometheus' replica label.
pub const DEFAULT_REPLICA_LABEL: &str = "__replica__";
/// Buffers that are kept for the next requests, and the largest that is kept.
const KEPT_BUFFERS: usize = 16;
const KEPT_BUFFER_BYTES: usize = 4 << 20;

#[derive(Clone, Debug)]
pub struct ReceiveOptions {
    /// Labels that tell the members of a pair apart. Empty: nothing is merged.
    pub replica_labels: Vec<String>,
    pub accepted: Vec<Version>,
    /// The largest decoded body.
    pub max_decoded_bytes: usize,
    /// Decoded bytes of all requests that are worked on at the same time. One request alone is always let in.
    pub max_in_flight_bytes: usize,
    /// Samples further in the future than this are refused.
    pub max_ahead: Duration,
    /// So long a held sample waits for news of its series' owner.
    pub held_flush_after: Duration,
    /// Whether start times become zero samples (`created-timestamp-zero-ingestion`).
    pub start_zeros: bool,
    /// Whether metadata is stored (`metadata-wal-records`).
    pub metadata: bool,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        ReceiveOptions {
            replica_labels: vec![DEFAULT_REPLICA_LABEL.to_string()],
            accepted: vec![Version::V1, Version::V2],
            max_decoded_bytes: MAX_DECODED_BYTES,
            max_in_flight_bytes: 256 << 20,
            max_ahead: Duration::from_secs(600),
            held_flush_after: Duration::from_secs(300),
            start_zeros: false,
            metadata: true,
        }
    }
}

/// One POST.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Headers; "" when absent.
    pub content_type: &'a str,
    pub content_encoding: &'a str,
    /// Who sends, for the ledger: the `X-Narthex-Sender` header, or the peer's address without its port.
    pub sender: &'a str,
    /// Labels that every series must have: a series that has not is refused. Empty for a sender that may write any.
    pub only_labels: &'a [(String, String)],
    pub body: &'a [u8],
}

/// Header by which a sender of ours says who it is.
pub const SENDER_HEADER: &str = "X-Narthex-Sender";

pub struct Receiver {
    store: Arc<dyn MergeStore>,
    options: ReceiveOptions,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    merger: Merger,
    ledger: Arc<Ledger>,
    in_flight: Arc<InFlight>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Receiver {
    /// Takes over held samples that the log gave back, at once or when the store is filled. Build it once, before the first request.
    pub fn new(store: Arc<dyn MergeStore>, mut options: ReceiveOptions, registry: &Registry, clock: SharedClock) -> Self {
        options.replica_labels.sort();
        let metrics = Arc::new(Metrics::new(registry));
        let merger = Merger::new(Arc::clone(&store), Arc::clone(&metrics), clock.now_ms());
        let ledger = Arc::new(Ledger::new(registry, Arc::clone(&clock)));
        let in_flight = InFlight::new(options.max_in_flight_bytes, registry);
        Receiver { store, options, clock, metrics, merger, ledger, in_flight, buffers: Mutex::default() }
    }

    /// Who sends, and how they are.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The budget of memory, for whoever takes requests beside it.
    pub fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Answers one request. Blocks on the disk: call it from a thread that may.
    pub fn handle(&self, request: &Request<'_>) -> Answer {
        let (version, answer) = match negotiate::version(request.content_type, &self.options.accepted) {
            Ok(version) => (version.header_value(), self.answer(version, request)),
            Err(text) => ("", self.turned_away("content_type", Answer::new(415, &text))),
        };
        self.metrics.requests.with(&[version, &answer.status.to_string()]).inc();
        if answer.status == 400 {
            tracing::warn!(err = %answer.body.trim_end(), "refused samples of a remote write request");
        }
        answer
    }

    fn answer(&self, version: Version, request: &Request<'_>) -> Answer {
        let encoding = match negotiate::encoding(request.content_encoding) {
            Ok(e) => e,
            Err(text) => return self.turned_away("content_encoding", Answer::new(415, &text)),
        };
        let expected = match body::expected_len(encoding, request.body, self.options.max_decoded_bytes) {
            Ok(n) => n,
            Err(e) => return self.unreadable(version, &e),
        };
        let Some(mut reserved) = self.in_flight.reserve(request.body.len() + expected) else { return self.in_flight.refusal() };
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        let limit = self.options.max_decoded_bytes;
        let answer = match body::decompress_within(encoding, request.body, limit, &mut buffer, &mut |more| reserved.grow(more)) {
            Ok(decoded) => self.store(version, request, decoded),
            Err(WireError::NoRoom) => self.in_flight.refusal(),
            Err(e) => self.unreadable(version, &e),
        };
        if buffer.capacity() <= KEPT_BUFFER_BYTES {
            let mut buffers = self.buffers.lock();
            if buffers.len() < KEPT_BUFFERS {
                buffers.push(buffer);
            }
        }
        answer
    }

    /// Nothing of the request was taken, because of what it is and not of what it says.
    fn turned_away(&self, reason: &str, answer: Answer) -> Answer {
        self.metrics.rejected.with(&[reason]).inc();
        answer
    }

    fn unreadable(&self, version: Version, e: &WireError) -> Answer {
        let text = e.to_string();
        match e {
            WireError::TooLarge { .. } => self.turned_away("too_large", Answer::new(413, &text)),
            WireError::Compression(_) => self.turned_away("compression", Answer::new(400, &text)),
            _ => self.turned_away("malformed", Answer::new(400, &text).with_written(version, Written::default())),
        }
    }

    fn store(&self, version: Version, request: &Request<'_>, decoded: &[u8]) -> Answer {
        let now_ms = self.clock.now_ms();
        let mut app = self.store.appender(AppendOptions::receive());
        let mut batch = self.merger.begin(app.as_mut(), now_ms);
        let mut tally = Tally::default();
        let walked = self.walk(version, decoded, request.only_labels, &mut batch, &mut tally, now_ms);
        let counts = batch.counts;
        let after = batch.end();
        let committed = match walked {
            Ok(()) => app.commit(Wait::Durable),
            Err(failure) => {
                app.rollback();
                self.merger.land(after, false);
                return match failure {
                    Failure::Wire(e) => self.unreadable(version, &e),
                    Failure::Unavailable(why) => Answer::retry(503, &why, RETRY_LATER_SECONDS).with_written(version, Written::default()),
                };
            }
        };
        let landed = self.merger.land(after, committed.is_ok());
        let stats = match committed {
            Err(e) => {
                tracing::error!(err = %e, "remote write request could not be committed");
                let status = if matches!(e, CommitError::Unavailable(_)) { 503 } else { 500 };
                return Answer::retry(status, &e.to_string(), RETRY_LATER_SECONDS).with_written(version, Written::default());
            }
            Ok(_) if !landed => {
                let text = "another request that this one relied on could not be committed";
                return Answer::retry(503, text, RETRY_SOON_SECONDS).with_written(version, Written::default());
            }
            Ok(stats) => stats,
        };
        self.count(&tally, &counts, &stats);
        self.ledger.note(
            request.sender,
            &Arrival {
                now_ms,
                newest_ms: tally.newest_ms,
                samples: tally.written.samples + tally.written.histograms,
                duplicates: counts.duplicates + stats.duplicates,
                covered: counts.covered,
                filled: counts.filled,
                refused: tally.refusals.samples,
                late: stats.late,
                bytes: request.body.len() as u64,
                replicas: &tally.replicas,
            },
        );
        if tally.refusals.is_empty() {
            return Answer::new(204, "").with_written(version, tally.written);
        }
        Answer::new(400, &tally.refusals.text()).with_written(version, tally.written)
    }

    fn count(&self, tally: &Tally, counts: &merge::MergeCounts, stats: &storage::CommitStats) {
        let m = &self.metrics;
        m.samples.add(tally.written.samples);
        m.histograms.add(tally.written.histograms);
        m.exemplars.add(tally.written.exemplars);
        m.without_metadata_samples.add(tally.without_metadata);
        m.late.add(stats.late);
        m.duplicates.add(counts.duplicates + stats.duplicates);
        m.conflicts.add(tally.conflicts + stats.dropped);
        self.count_merge(counts);
        for (reason, n) in &tally.refusals.by_reason {
            m.refused.with(&[reason]).add(*n);
            if *reason == reasons::INVALID_LABELS {
                m.invalid_labels_samples.add(*n);
            }
        }
    }

    fn count_merge(&self, counts: &merge::MergeCounts) {
        let m = &self.metrics;
        m.covered.add(counts.covered);
        m.held.add(counts.held);
        m.filled.add(counts.filled);
        m.takeovers.add(counts.takeovers);
        if counts.refused > 0 {
            m.refused.with(&[reasons::HELD_TOO_LONG]).add(counts.refused);
        }
    }

    /// Stores held samples whose owner has not been heard of for too long, and forgets series that are gone. Call every few seconds; blocks.
    pub fn tick(&self, now_ms: i64) {
        let wait_ms = i64::try_from(self.options.held_flush_after.as_millis()).unwrap_or(i64::MAX);
        match self.merger.tick(now_ms, now_ms.saturating_sub(wait_ms)) {
            Ok(counts) => self.count_merge(&counts),
            Err(e) => tracing::error!(err = %e, "held samples could not be stored"),
        }
        self.ledger.tick(now_ms);
    }
}

#[cfg(test)]
mod tests;
