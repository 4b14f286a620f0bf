//! Which part of the log is acknowledged, when batches of many shards come back in any order.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use stdx::clock::SharedClock;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wal::LogPosition;

/// One log record that is on its way.
struct Entry {
    remaining: u32,
    end: LogPosition,
    newest_ms: i64,
    since: Duration,
}

struct Inner {
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    acked: LogPosition,
    acked_ms: i64,
    pending: u64,
}

/// Entries are numbered as they are pushed; one thread pushes, many report.
pub(super) struct Tracker {
    inner: Mutex<Inner>,
    emptied: Notify,
    clock: SharedClock,
}

impl Tracker {
    pub(super) fn new(acked: LogPosition, acked_ms: i64, clock: SharedClock) -> Self {
        let inner = Inner { first: 0, entries: VecDeque::new(), acked, acked_ms, pending: 0 };
        Tracker { inner: Mutex::new(inner), emptied: Notify::new(), clock }
    }

    /// The number that the next [`Tracker::push`] will have.
    pub(super) fn next(&self) -> u64 {
        let i = self.inner.lock();
        i.first + i.entries.len() as u64
    }

    /// A record that ends at `end` and whose `items` will be reported done. Call before the items can be.
    pub(super) fn push(&self, items: u32, end: LogPosition, newest_ms: i64) {
        let mut i = self.inner.lock();
        let i = &mut *i;
        if items == 0 {
            match i.entries.back_mut() {
                Some(last) => last.end = end,
                None => i.acked = end,
            }
            return;
        }
        i.pending += u64::from(items);
        i.entries.push_back(Entry { remaining: items, end, newest_ms, since: self.clock.monotonic() });
    }

    /// Items that do not come from the log: they do not move the position.
    pub(super) fn push_beside(&self, items: u32, newest_ms: i64) {
        let end = {
            let i = self.inner.lock();
            i.entries.back().map_or(i.acked, |e| e.end)
        };
        self.push(items, end, newest_ms);
    }

    /// So many items of these entries are acknowledged (or refused for good).
    pub(super) fn done(&self, runs: &[(u64, u32)]) {
        let mut i = self.inner.lock();
        let i = &mut *i;
        for (entry, n) in runs {
            let at = entry.checked_sub(i.first).expect("an entry leaves only when all of its items were reported");
            let e = &mut i.entries[at as usize];
            e.remaining = e.remaining.checked_sub(*n).expect("no item is reported twice");
            i.pending -= u64::from(*n);
        }
        while i.entries.front().is_some_and(|e| e.remaining == 0) {
            let e = i.entries.pop_front().expect("there is a first entry");
            i.first += 1;
            i.acked = e.end;
            i.acked_ms = i.acked_ms.max(e.newest_ms);
        }
        if i.entries.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Everything before it is acknowledged; and the newest sample time that is.
    pub(super) fn acked(&self) -> (LogPosition, i64) {
        let i = self.inner.lock();
        (i.acked, i.acked_ms)
    }

    pub(super) fn pending(&self) -> u64 {
        self.inner.lock().pending
    }

    /// How long the oldest item has been on its way.
    pub(super) fn oldest(&self) -> Duration {
        let since = self.inner.lock().entries.front().map(|e| e.since);
        since.map_or(Duration::ZERO, |s| self.clock.monotonic().saturating_sub(s))
    }

    /// True when nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.inner.lock().entries.is_empty()
    }

    /// Ends when the last item that is on its way is reported done; made when it was called.
    pub(super) fn emptied(&self) -> Notified<'_> {
        self.emptied.notified()
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
