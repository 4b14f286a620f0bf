//! What all threads and tasks of one uplink share: its destination, what was learned about the parent, how far it is.

use super::cursor::{Cursor, TimeRange};
use super::metrics::LinkMetrics;
use super::tasks::Tasks;
use super::transport::{Answer, Transport};
use crate::config::{ProtobufMessage, RemoteWriteConfig};
use crate::wire::Version;
use crate::wire::body::ContentEncoding;
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::shutdown::Shutdown;

/// How often one kind of trouble is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What answers have told about the parent. Only ever learned; a restart asks anew.
#[derive(Default)]
pub(super) struct Parent {
    answered: AtomicBool,
    ours: AtomicBool,
    late: AtomicBool,
    zstd: AtomicBool,
    no_v2: AtomicBool,
    /// The last request failed in a way that is worth trying again.
    down: AtomicBool,
}

impl Parent {
    pub(super) fn learn(&self, a: &Answer) {
        if let Some(f) = a.features {
            self.ours.store(true, Ordering::Relaxed);
            self.late.store(f.late_samples, Ordering::Relaxed);
        } else if (200..300).contains(&a.status) {
            // Something else answers at this address now.
            self.ours.store(false, Ordering::Relaxed);
            self.late.store(false, Ordering::Relaxed);
        }
        if a.zstd {
            self.zstd.store(true, Ordering::Relaxed);
        }
        // A proxy's error says nothing about who is behind it.
        if (200..300).contains(&a.status) || a.features.is_some() {
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it takes samples of any age; None as long as it has not answered.
    pub(super) fn takes_late(&self) -> Option<bool> {
        self.answered.load(Ordering::Relaxed).then(|| self.late.load(Ordering::Relaxed))
    }

    pub(super) fn is_ours(&self) -> bool {
        self.ours.load(Ordering::Relaxed)
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// It does not speak version 2.0.
    pub(super) fn fall_back(&self) {
        self.no_v2.store(true, Ordering::Relaxed);
    }

    pub(super) fn no_zstd(&self) {
        self.zstd.store(false, Ordering::Relaxed);
    }

    pub(super) fn version(&self, wanted: ProtobufMessage) -> Version {
        let v2 = match wanted {
            ProtobufMessage::V1 => false,
            ProtobufMessage::V2 => true,
            ProtobufMessage::Unsaid => self.is_ours(),
        };
        if v2 && !self.no_v2.load(Ordering::Relaxed) { Version::V2 } else { Version::V1 }
    }

    pub(super) fn encoding(&self) -> ContentEncoding {
        if self.zstd.load(Ordering::Relaxed) { ContentEncoding::Zstd } else { ContentEncoding::Snappy }
    }
}

/// Says something at most once a minute, with how often it was left unsaid.
#[derive(Default)]
pub(super) struct Seldom {
    state: Mutex<(Option<Duration>, u64)>,
}

impl Seldom {
    /// How much there is to tell, if it is time to.
    pub(super) fn due(&self, n: u64, clock: &SharedClock) -> Option<u64> {
        let now = clock.monotonic();
        let mut s = self.state.lock();
        s.1 += n;
        if s.0.is_some_and(|last| now.saturating_sub(last) < LOG_EVERY) {
            return None;
        }
        s.0 = Some(now);
        Some(std::mem::take(&mut s.1))
    }
}

pub(super) struct Shared {
    pub name: String,
    /// Without password.
    pub url: String,
    pub config: RemoteWriteConfig,
    pub transport: Arc<dyn Transport>,
    pub clock: SharedClock,
    pub tasks: Arc<dyn Tasks>,
    pub metrics: LinkMetrics,
    pub parent: Parent,
    /// Read no more; what is queued may still go out.
    pub stop: Shutdown,
    /// Give up what is being sent.
    pub abort: Shutdown,
    pub cursor: Mutex<Cursor>,
    /// Newest sample that the backlog lane has had acknowledged; i64::MAX when there is no backlog lane at work.
    pub backlog_acked_ms: AtomicI64,
    /// How long the live lane's oldest sample has been under way, milliseconds.
    pub live_delay_ms: AtomicI64,
    pub refused_log: Seldom,
    pub retry_log: Seldom,
    pub hard_gaps: Mutex<Vec<TimeRange>>,
}

/// Hard gaps that are remembered for those who ask; the counter has them all.
const MAX_HARD_GAPS: usize = 100;

impl Shared {
    /// Waits for so long, or until a stop is asked for.
    pub(super) async fn pause(&self, time: Duration) {
        self.within(time, self.stop.requested()).await;
    }

    /// What comes of the work, if it is done in time.
    pub(super) async fn within<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.tasks.sleep(time) => None,
        }
    }

    /// Nobody holds this range any more.
    pub(super) fn hard_gap(&self, range: TimeRange) {
        let seconds = (range.end_ms - range.start_ms).max(0) as f64 / 1000.0;
        self.metrics.hard_gap.add(seconds);
        tracing::error!(
            remote_name = %self.name, url = %self.url, start_ms = range.start_ms, end_ms = range.end_ms,
            "retention deleted samples that the parent never had"
        );
        let mut gaps = self.hard_gaps.lock();
        if gaps.len() == MAX_HARD_GAPS {
            gaps.remove(0);
        }
        gaps.push(range);
    }
}
