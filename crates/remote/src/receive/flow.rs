//! Memory of the requests that are worked on: one budget for remote write and OTLP. What a request will take is reserved before it is unpacked, and what turns out to be
//! more is asked for before it is taken.

use super::answer::{Answer, RETRY_SOON_SECONDS};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stdx::metrics::{Counter, Gauge, Registry};

pub struct InFlight {
    limit_bytes: usize,
    used: AtomicUsize,
    gauge: Gauge,
    overloaded: Counter,
}

/// What one request has reserved; given back when dropped.
pub(crate) struct Reserved<'f> {
    of: &'f InFlight,
    bytes: usize,
}

impl InFlight {
    pub fn new(limit_bytes: usize, r: &Registry) -> Arc<Self> {
        Arc::new(InFlight {
            limit_bytes,
            used: AtomicUsize::new(0),
            gauge: r.gauge("narthex_receive_in_flight_bytes", "Decoded bytes of the requests that are being worked on."),
            overloaded: r.counter("narthex_receive_overloaded_total", "Requests answered with 503 because too many bytes were in flight."),
        })
    }

    /// None when others have taken too much. One request alone is always let in.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Reserved<'_>> {
        let mut reserved = Reserved { of: self, bytes: 0 };
        reserved.grow(bytes).then_some(reserved)
    }

    pub(crate) fn refusal(&self) -> Answer {
        let text = format!("too many bytes of remote write requests in flight (limit {})", self.limit_bytes);
        Answer::retry(503, &text, RETRY_SOON_SECONDS)
    }
}

impl Reserved<'_> {
    /// So many bytes more; false when there is no room for them. A request that is alone always has room: its own limits hold.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.of.used.fetch_add(bytes, Ordering::AcqRel);
        let now = before.saturating_add(bytes);
        if before > self.bytes && now > self.of.limit_bytes {
            self.of.used.fetch_sub(bytes, Ordering::AcqRel);
            self.of.overloaded.inc();
            return false;
        }
        self.bytes += bytes;
        self.of.gauge.set(now as f64);
        true
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let before = self.of.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.of.gauge.set(before.saturating_sub(self.bytes) as f64);
    }
}
