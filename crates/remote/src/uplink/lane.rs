//! One lane: shards, their sending tasks, and the tracker that says how far they are. Filled by one thread.

use super::batch::Item;
use super::queue::Queue;
use super::sender::Sender;
use super::shared::Shared;
use super::tasks::Task;
use super::tracker::Tracker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wal::LogPosition;

/// Time that requests took, and samples that were in them.
#[derive(Default)]
pub(super) struct Sending {
    ns: AtomicU64,
    samples: AtomicU64,
}

impl Sending {
    pub(super) fn add(&self, took: Duration, samples: u64) {
        self.ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.samples.fetch_add(samples, Ordering::Relaxed);
    }
}

pub(super) struct Lane {
    sending: Arc<Sending>,
    shared: Arc<Shared>,
    queues: Vec<Arc<Queue>>,
    tasks: Vec<Task>,
    pub tracker: Arc<Tracker>,
}

impl Lane {
    pub(super) fn start(shared: &Arc<Shared>, shards: usize, acked: LogPosition, acked_ms: i64) -> Lane {
        let tracker = Arc::new(Tracker::new(acked, acked_ms, Arc::clone(&shared.clock)));
        let mut lane = Lane { sending: Arc::default(), shared: Arc::clone(shared), queues: Vec::new(), tasks: Vec::new(), tracker };
        lane.spawn(shards);
        lane
    }

    fn spawn(&mut self, shards: usize) {
        let capacity = usize::try_from(self.shared.config.queue_config.capacity).unwrap_or(usize::MAX);
        self.queues = (0..shards.max(1)).map(|_| Arc::new(Queue::new(capacity, Arc::clone(&self.shared)))).collect();
        for q in &self.queues {
            let sender =
                Sender::new(Arc::clone(&self.shared), Arc::clone(q), Arc::clone(&self.tracker), Arc::clone(&self.sending), self.shared.tasks.rand());
            self.tasks.push(Task::start(self.shared.tasks.as_ref(), Box::pin(sender.run())));
        }
    }

    pub(super) fn shards(&self) -> usize {
        self.queues.len()
    }

    /// Seconds that requests took since the last call, and samples that were in them.
    pub(super) fn take_sending_time(&self) -> (f64, u64) {
        (self.sending.ns.swap(0, Ordering::Relaxed) as f64 / 1e9, self.sending.samples.swap(0, Ordering::Relaxed))
    }

    /// A sending task has ended although nobody asked it to: a fault in the program. Begin again from the cursor.
    pub(super) fn is_broken(&self) -> bool {
        self.tasks.iter().any(Task::is_over)
    }

    /// True when nothing is on its way, now or within the time.
    pub(super) async fn wait_empty(&self, timeout: Duration) -> bool {
        // Made before the look: what is emptied after it is heard.
        let emptied = self.tracker.emptied();
        if self.tracker.is_empty() {
            return true;
        }
        self.shared.within(timeout, emptied).await;
        self.tracker.is_empty()
    }

    /// Hands over what is staged, in the order of the shards. True when all of it is; false when a shard stayed full for the time.
    pub(super) async fn push(&self, staged: &mut [Vec<Item>], timeout: Duration) -> bool {
        for (q, items) in self.queues.iter().zip(staged) {
            if !items.is_empty() && !q.push_all(items, timeout).await {
                self.shared.metrics.enqueue_retries.inc();
                return false;
            }
        }
        true
    }

    /// Another number of shards. Only when nothing is on its way, so that no series is in two shards at once.
    pub(super) fn reshard(&mut self, shards: usize) {
        debug_assert!(self.tracker.pending() == 0, "resharding with samples under way would lose their order");
        self.queues.iter().for_each(|q| q.close());
        self.tasks.clear();
        self.spawn(shards);
    }

    /// Sends what is queued, for so long at most; then gives up. Nothing is lost: what was not acknowledged is sent by the next start.
    pub(super) async fn finish(self, flush: Duration) {
        self.queues.iter().for_each(|q| q.close());
        let Lane { shared, tasks, .. } = self;
        let all = async {
            for t in &tasks {
                // A panic in a task was reported by its runtime; its samples stay unacknowledged.
                t.over().await;
            }
        };
        if shared.within(flush, all).await.is_none() {
            tracing::warn!(remote_name = %shared.name, url = %shared.url, "flush deadline reached, the rest is sent after the next start");
            shared.abort.request();
            tasks.iter().for_each(Task::abort);
        }
    }
}
