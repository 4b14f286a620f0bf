//! What waits in one shard: filled by a reading thread, emptied by a sending task. Order is kept.

use super::batch::Item;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Since when the oldest has been waiting.
    since: Option<Instant>,
    closed: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    room: Condvar,
    capacity: usize,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Queue { state: Mutex::default(), filled: Notify::new(), room: Condvar::new(), capacity }
    }

    /// Takes all items if there is room for one, waiting for it up to `timeout`. False when there is none; nothing was taken then.
    pub(super) fn push_all(&self, items: &mut Vec<Item>, timeout: Duration) -> bool {
        let mut s = self.state.lock();
        if s.items.len() >= self.capacity {
            self.room.wait_while_for(&mut s, |s| s.items.len() >= self.capacity, timeout);
            if s.items.len() >= self.capacity {
                return false;
            }
        }
        s.since.get_or_insert_with(Instant::now);
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
                let due = s.since.map(|at| at + deadline);
                let is_due = s.closed || s.items.len() >= max || due.is_some_and(|d| d <= Instant::now());
                if is_due && !s.items.is_empty() {
                    let n = s.items.len().min(max);
                    out.extend(s.items.drain(..n));
                    if s.items.is_empty() {
                        s.since = None;
                    }
                    self.room.notify_all();
                    return true;
                }
                if s.closed {
                    return false;
                }
                due
            };
            match wait {
                Some(at) => drop(tokio::time::timeout_at(at, self.filled.notified()).await),
                None => self.filled.notified().await,
            }
        }
    }
}
