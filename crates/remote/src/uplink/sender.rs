//! One shard's sending task: takes batches, sends until they are acknowledged or refused for good, reports what is done.
//!
//! A refusal that names no culprit (a plain Prometheus rolls a whole request of version 1.0 back when one sample is out of order) splits the request in halves until the
//! refused samples stand alone, so that their neighbours are stored.

use super::batch::{Counts, Encoder, Item, count, runs};
use super::lane::Sending;
use super::queue::Queue;
use super::shared::Shared;
use super::tracker::Tracker;
use super::transport::{Answer, Push, TransportError};
use crate::config::ProtobufMessage;
use crate::wire::Version;
use crate::wire::body::ContentEncoding;
use std::sync::Arc;
use std::time::Duration;
use stdx::backoff::Backoff;
use stdx::rand::Rand;

pub(super) struct Sender {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    tracker: Arc<Tracker>,
    sending: Arc<Sending>,
    encoder: Encoder,
    backoff: Backoff,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// The parent stored what it could; so many were refused.
    Partly {
        refused: Counts,
        message: String,
    },
    /// The whole request was refused because of something in it.
    Refused {
        message: String,
    },
    /// Same samples again, in another way of writing.
    Again,
    /// We are stopping.
    GivenUp,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Is(Outcome),
    Retry { why: String, after: Duration },
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<Queue>, tracker: Arc<Tracker>, sending: Arc<Sending>, rand: Rand) -> Self {
        let q = &shared.config.queue_config;
        let backoff = Backoff::new(q.min_backoff.duration(), q.max_backoff.duration(), rand);
        Sender { shared, queue, tracker, sending, encoder: Encoder::new(), backoff }
    }

    pub(super) async fn run(mut self) {
        let max = usize::try_from(self.shared.config.queue_config.max_samples_per_send).unwrap_or(usize::MAX);
        let deadline = self.shared.config.queue_config.batch_send_deadline.duration();
        let mut items = Vec::new();
        while self.queue.next_batch(max, deadline, &mut items).await {
            let done = runs(&items);
            if !self.deliver(&mut items).await {
                return;
            }
            self.tracker.done(&done);
            items.clear();
        }
    }

    /// True when every item is acknowledged, refused, or dropped on purpose; false when we are stopping.
    async fn deliver(&mut self, items: &mut Vec<Item>) -> bool {
        if !self.know_whether_histograms_go(items).await {
            return false;
        }
        self.drop_unwanted(items);
        let mut parts = vec![(0, items.len())];
        while let Some((from, to)) = parts.pop() {
            if from == to {
                continue;
            }
            let part = &items[from..to];
            match self.send(part).await {
                Outcome::Taken => self.taken(part, Counts::default(), ""),
                Outcome::Partly { refused, message } => self.taken(part, refused, &message),
                Outcome::Refused { message } if to - from == 1 => self.taken(part, count(part), &message),
                Outcome::Refused { .. } => {
                    let middle = from + (to - from) / 2;
                    parts.push((middle, to));
                    parts.push((from, middle));
                }
                Outcome::Again => parts.push((from, to)),
                Outcome::GivenUp => return false,
            }
        }
        true
    }

    /// In version 1.0 a parent of ours gets native histograms and another one only if that is configured: before any is left out, it must be known whose it is.
    /// False when we are stopping.
    async fn know_whether_histograms_go(&self, items: &[Item]) -> bool {
        let s = &self.shared;
        let sure = s.config.send_native_histograms || s.parent.version(s.config.protobuf_message) == Version::V2;
        if sure || !items.iter().any(Item::is_histogram) {
            return true;
        }
        while s.parent.takes_late().is_none() {
            if s.stop.is_requested() {
                return false;
            }
            super::backlog::ask_parent(s).await;
        }
        true
    }

    fn drop_unwanted(&self, items: &mut Vec<Item>) {
        let s = &self.shared;
        let limit = s.config.queue_config.sample_age_limit;
        if !limit.is_zero() {
            let oldest = s.clock.now_ms() - limit.ms();
            let before = count(items);
            items.retain(|i| i.t_ms >= oldest);
            s.metrics.dropped("too_old", before.more_than(count(items)));
        }
        let histograms = s.config.send_native_histograms || s.parent.is_ours() || s.parent.version(s.config.protobuf_message) == Version::V2;
        if !histograms {
            items.retain(|i| !i.is_histogram());
        }
    }

    fn taken(&self, part: &[Item], refused: Counts, message: &str) {
        let s = &self.shared;
        s.metrics.sent.add(count(part));
        if let Some(newest) = part.iter().map(|i| i.t_ms).max() {
            super::metrics::raise(&s.metrics.highest_sent, newest as f64 / 1000.0);
        }
        if refused.total() == 0 {
            return;
        }
        let reason = reason_of(message);
        s.metrics.failed.add(refused);
        s.metrics.refused(reason, refused.total());
        if let Some(n) = s.refused_log.due(refused.total(), &s.clock) {
            let example = part.first().map(|i| i.series.labels.to_string()).unwrap_or_default();
            tracing::warn!(
                remote_name = %s.name, url = %s.url, refused = n, reason, error = %message, example = %example,
                "parent refuses samples for good"
            );
        }
    }

    /// Sends one request until there is an outcome.
    async fn send(&mut self, part: &[Item]) -> Outcome {
        let s = Arc::clone(&self.shared);
        let (version, encoding) = (s.parent.version(s.config.protobuf_message), s.parent.encoding());
        let body = match self.encoder.encode(part, version, encoding, s.parent.is_ours()) {
            Ok(body) => client::Bytes::from(body),
            Err(e) => return Outcome::Refused { message: e.to_string() },
        };
        let counts = count(part);
        let mut push = Push { version, encoding, body, attempt: 0 };
        loop {
            let started = s.clock.monotonic();
            let answer = tokio::select! {
                biased;
                answer = s.transport.send(push.clone()) => answer,
                () = s.abort.requested() => return Outcome::GivenUp,
            };
            let took = s.clock.monotonic().saturating_sub(started);
            s.metrics.batch_seconds.observe(took.as_secs_f64());
            match judge(&s, answer, version, encoding, counts) {
                Verdict::Is(outcome) => {
                    s.parent.set_down(false);
                    self.backoff.reset();
                    s.metrics.bytes.add(push.body.len() as u64);
                    self.sending.add(took, counts.total());
                    return outcome;
                }
                Verdict::Retry { why, after } => {
                    s.parent.set_down(true);
                    s.metrics.retried.add(counts);
                    if s.retry_log.due(1, &s.clock).is_some() {
                        tracing::warn!(remote_name = %s.name, url = %s.url, error = %why, "failed to send batch, retrying");
                    }
                    // Nothing is lost by leaving it to the next start.
                    if s.stop.is_requested() {
                        return Outcome::GivenUp;
                    }
                    let wait = self.backoff.next_wait().max(after);
                    s.pause(wait).await;
                    push.attempt += 1;
                }
            }
        }
    }
}

/// What an answer means for the samples of its request.
fn judge(s: &Shared, answer: Result<Answer, TransportError>, version: Version, encoding: ContentEncoding, sent: Counts) -> Verdict {
    let a = match answer {
        Ok(a) => a,
        Err(e) => return Verdict::Retry { why: e.to_string(), after: Duration::ZERO },
    };
    s.parent.learn(&a);
    let retry = |a: Answer| Verdict::Retry {
        why: format!("server returned HTTP status {}: {}", a.status, a.message),
        after: a.retry_after.unwrap_or(Duration::ZERO),
    };
    match a.status {
        200..=299 => {
            let Some(written) = a.written.filter(|_| version == Version::V2) else {
                if version == Version::V2 && a.features.is_none() {
                    // A receiver of version 2.0 must say what it wrote: this one took the request for something else.
                    s.parent.fall_back();
                    return Verdict::Is(Outcome::Again);
                }
                return Verdict::Is(Outcome::Taken);
            };
            match sent.more_than(written) {
                // Exemplars may be turned off up there; that is no loss of samples.
                Counts { samples: 0, histograms: 0, .. } => Verdict::Is(Outcome::Taken),
                refused if a.features.is_none() => Verdict::Is(Outcome::Partly { refused, message: "answered 2xx but wrote less".to_string() }),
                _ => Verdict::Is(Outcome::Taken),
            }
        }
        415 if version == Version::V2 && s.config.protobuf_message != ProtobufMessage::V1 => {
            s.parent.fall_back();
            Verdict::Is(Outcome::Again)
        }
        415 | 400 if encoding == ContentEncoding::Zstd && a.written.is_none() => {
            s.parent.no_zstd();
            Verdict::Is(Outcome::Again)
        }
        // The parent is not ready, or not set up for us (yet): no fault of the samples.
        401 | 403 | 404 | 405 | 407 | 408 | 415 | 425 | 429 => retry(a),
        400..=499 => match a.written {
            Some(written) => Verdict::Is(Outcome::Partly { refused: sent.more_than(written), message: a.message }),
            None => Verdict::Is(Outcome::Refused { message: a.message }),
        },
        _ => retry(a),
    }
}

/// A word for what the parent says is wrong.
fn reason_of(message: &str) -> &'static str {
    let m = message.to_ascii_lowercase();
    [
        ("out of order", "out_of_order"),
        ("duplicate sample", "duplicate_timestamp"),
        ("too old", "too_old"),
        ("out of bounds", "out_of_bounds"),
        ("limit", "limit"),
        ("too large", "too_large"),
        ("histogram", "invalid_histogram"),
        ("label", "invalid_labels"),
        ("metric name", "invalid_labels"),
    ]
    .iter()
    .find(|(text, _)| m.contains(text))
    .map_or("other", |(_, reason)| reason)
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
