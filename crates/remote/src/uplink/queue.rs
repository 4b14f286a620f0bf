//! What waits in one shard: filled by a reading thread, emptied by a sending task. Order is kept.

use super::batch::Item;
use super::shared::Shared;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Since when the oldest has been waiting.
    since: Option<Duration>,
    closed: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    room: Notify,
    capacity: usize,
    shared: Arc<Shared>,
}

impl Queue {
    pub(super) fn new(capacity: usize, shared: Arc<Shared>) -> Self {
        Queue { state: Mutex::default(), filled: Notify::new(), room: Notify::new(), capacity, shared }
    }

    /// Takes all items if there is room for one, waiting for it up to `timeout`. False when there is none; nothing was taken then.
    pub(super) async fn push_all(&self, items: &mut Vec<Item>, timeout: Duration) -> bool {
        // Made before the look: room that is made after it is heard of.
        let room = self.room.notified();
        if self.try_push(items) {
            return true;
        }
        self.shared.within(timeout, room).await;
        self.try_push(items)
    }

    fn try_push(&self, items: &mut Vec<Item>) -> bool {
        let mut s = self.state.lock();
        if s.items.len() >= self.capacity {
            return false;
        }
        s.since.get_or_insert_with(|| self.shared.clock.monotonic());
        s.items.extend(items.drain(..));
        drop(s);
        self.filled.notify_one();
        true
    }

    /// No more will come: what is left is handed out at once.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Moves the next `max` items into `out`: when so many wait, or the oldest has waited for `deadline`. False when closed and empty.
    pub(super) async fn next_batch(&self, max: usize, deadline: Duration, out: &mut Vec<Item>) -> bool {
        loop {
            let wait = {
                let mut s = self.state.lock();
                let now = self.shared.clock.monotonic();
                let due = s.since.map(|at| at + deadline);
                let is_due = s.closed || s.items.len() >= max || due.is_some_and(|d| d <= now);
                if is_due && !s.items.is_empty() {
                    let n = s.items.len().min(max);
                    out.extend(s.items.drain(..n));
                    if s.items.is_empty() {
                        s.since = None;
                    }
                    self.room.notify_waiters();
                    return true;
                }
                if s.closed {
                    return false;
                }
                due.map(|d| d.saturating_sub(now))
            };
            match wait {
                Some(time) => drop(self.shared.within(time, self.filled.notified()).await),
                None => self.filled.notified().await,
            }
        }
    }
}
