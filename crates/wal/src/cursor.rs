//! Cursors hold old segments back; truncation removes the rest, and, past the budget, what a slow cursor had still to read.

use crate::replay::LogReader;
use crate::segment::{self, Segment};
use crate::{LogPosition, Wal, WalError, record};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How much of the log is kept only because a cursor has not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorBudget {
    pub max_bytes: u64,
    /// Counted from the last write of a segment.
    pub max_age: Duration,
}

impl Default for CursorBudget {
    /// 8 GiB and three days.
    fn default() -> Self {
        CursorBudget { max_bytes: 8 << 30, max_age: Duration::from_secs(3 * 24 * 3600) }
    }
}

/// Segments that were removed although a cursor had not read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub cursor: String,
    /// What was not read: from here...
    pub from: LogPosition,
    /// ...up to here, where the log begins now.
    pub to: LogPosition,
    /// Times of the first and the last sample in it, both included. None when it held no samples. May begin earlier than what was unread.
    pub times_ms: Option<(i64, i64)>,
}

/// What a truncation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    pub removed_segments: u64,
    /// Bytes that were to go and stay for a cursor.
    pub held_bytes: u64,
    pub passed: Vec<Passed>,
}

#[derive(Debug)]
struct CursorState {
    name: String,
    position: Mutex<LogPosition>,
    passed: Mutex<Vec<Passed>>,
}

#[derive(Debug, Default)]
pub(crate) struct Cursors {
    live: Vec<Weak<CursorState>>,
}

/// A registered cursor. Segments from its position on are held back until it is moved or dropped.
#[derive(Debug)]
pub struct CursorHold {
    state: Arc<CursorState>,
}

impl CursorHold {
    pub fn name(&self) -> &str {
        &self.state.name
    }

    pub fn position(&self) -> LogPosition {
        *self.state.position.lock()
    }

    /// Everything before `to` is not needed any more. Never moves back.
    pub fn advance(&self, to: LogPosition) {
        let mut p = self.state.position.lock();
        *p = (*p).max(to);
    }

    /// What was removed before this cursor had read it, since the last call.
    pub fn take_passed(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.state.passed.lock())
    }
}

impl Cursors {
    fn live(&mut self) -> Vec<Arc<CursorState>> {
        self.live.retain(|w| w.strong_count() > 0);
        self.live.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Wal {
    /// Holds back all segments from `at` on. Register the cursors of all uplinks before the first truncation. Names need not differ.
    pub fn register_cursor(&self, name: &str, at: LogPosition) -> CursorHold {
        let state = Arc::new(CursorState { name: name.to_string(), position: Mutex::new(at), passed: Mutex::default() });
        self.cursors.lock().live.push(Arc::downgrade(&state));
        CursorHold { state }
    }

    /// The lowest segment that a cursor still has to read; labels of series in it and behind it are still asked for.
    pub fn lowest_cursor_segment(&self) -> Option<u64> {
        self.cursors.lock().live().iter().map(|c| c.position.lock().segment).min()
    }

    /// How many bytes of the log lie between two positions, as far as they exist. An estimate: asks the directory.
    pub fn bytes_between(&self, from: LogPosition, to: LogPosition) -> u64 {
        if from >= to {
            return 0;
        }
        if from.segment == to.segment {
            return to.offset.saturating_sub(from.offset);
        }
        let all = segment::list(self.fs.as_ref(), &self.dir).unwrap_or_default();
        let whole: u64 = all.iter().filter(|s| s.number >= from.segment && s.number < to.segment).map(|s| s.len).sum();
        let before = if all.iter().any(|s| s.number == from.segment) { from.offset } else { 0 };
        whole.saturating_sub(before) + to.offset
    }

    /// Removes all segments below `below` that no cursor needs, and of those that one needs what is over the budget. The segment that is being written stays.
    pub fn truncate(&self, below: u64) -> Result<Truncated, WalError> {
        self.metrics.truncations.inc();
        let result = self.try_truncate(below);
        if result.is_err() {
            self.metrics.truncations_failed.inc();
        }
        self.measure();
        result
    }

    fn try_truncate(&self, below: u64) -> Result<Truncated, WalError> {
        let below = below.min(self.end().segment);
        let old: Vec<Segment> = segment::list(self.fs.as_ref(), &self.dir)?.into_iter().filter(|s| s.number < below).collect();
        let mut cursors = self.cursors.lock();
        let cursors = cursors.live();
        for c in &cursors {
            self.metrics.cursor_segment.with(&[&c.name]).set(c.position.lock().segment as f64);
        }
        let needed = cursors.iter().map(|c| c.position.lock().segment).min().unwrap_or(u64::MAX);
        let keep_from = self.budget_start(&old, needed).min(below);

        let mut out = Truncated::default();
        let lost: Vec<&Segment> = old.iter().filter(|s| s.number >= needed && s.number < keep_from).collect();
        if !lost.is_empty() {
            out.passed = self.pass_by(&cursors, &lost, keep_from);
        }
        for s in &old {
            if s.number >= keep_from {
                out.held_bytes += s.len;
                continue;
            }
            self.fs.remove_file(&s.path).map_err(WalError::io(format!("remove segment {}", s.path.display())))?;
            out.removed_segments += 1;
        }
        self.fs.sync_dir(&self.dir).map_err(WalError::io(format!("sync log directory {}", self.dir.display())))?;
        self.metrics.held_bytes.set(out.held_bytes as f64);
        Ok(out)
    }

    /// The first segment that stays, of those that a cursor needs.
    fn budget_start(&self, old: &[Segment], needed: u64) -> u64 {
        let budget = self.options.cursor_budget;
        let max_age = i64::try_from(budget.max_age.as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now_ms();
        let mut bytes = 0;
        let mut start = old.last().map_or(u64::MAX, |s| s.number + 1);
        for s in old.iter().rev().take_while(|s| s.number >= needed) {
            bytes += s.len;
            let age = self.fs.modified_ms(&s.path).map_or(0, |at| now.saturating_sub(at));
            if bytes > budget.max_bytes || age > max_age {
                break;
            }
            start = s.number;
        }
        start
    }

    /// Finds out what the cursors lose with these segments, and tells them.
    fn pass_by(&self, cursors: &[Arc<CursorState>], lost: &[&Segment], keep_from: u64) -> Vec<Passed> {
        let times: Vec<(u64, Option<(i64, i64)>)> = lost.iter().map(|s| (s.number, self.times_of(s.number))).collect();
        let to = LogPosition { segment: keep_from, offset: 0 };
        let mut all = Vec::new();
        for c in cursors {
            let from = *c.position.lock();
            if from >= to {
                continue;
            }
            let unread = times.iter().filter(|(n, _)| *n >= from.segment);
            let count = unread.clone().count() as u64;
            let times_ms = unread.filter_map(|(_, t)| *t).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
            let passed = Passed { cursor: c.name.clone(), from, to, times_ms };
            tracing::warn!(cursor = %c.name, segments = count, from = %from, to = %to, "log is over its budget, removing segments that were not read");
            self.metrics.cursor_passed.with(&[&c.name]).add(count);
            c.passed.lock().push(passed.clone());
            *c.position.lock() = to;
            all.push(passed);
        }
        all
    }

    /// The range of sample times in a segment, as far as it can be read.
    fn times_of(&self, segment: u64) -> Option<(i64, i64)> {
        let mut reader = LogReader::open(Arc::clone(&self.fs), &self.dir, segment, segment).ok()?;
        let (mut range, mut scratch): (Option<(i64, i64)>, _) = (None, Vec::new());
        loop {
            match reader.next() {
                Ok(Some(r)) => {
                    if let Some((a, b)) = record::time_range(r.bytes, &mut scratch) {
                        range = Some(range.map_or((a, b), |(c, d)| (a.min(c), b.max(d))));
                    }
                }
                Err(WalError::Corrupt(_)) => {}
                Ok(None) | Err(_) => return range,
            }
        }
    }
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
