//! How far an uplink is, on disk.
//!
//! A small text file, replaced as a whole: the position in the log up to which everything is acknowledged, ranges of the log behind it that are still
//! to be sent (the second lane's), and time ranges that have left the log and are to be read back from blocks. The last line is a checksum.

use std::fmt::Write;
use std::io;
use std::path::Path;
use stdx::crc::crc32c;
use stdx::fs::{SharedFs, write_atomic};
use wal::LogPosition;

const HEAD: &str = "narthex uplink cursor 1";
/// Ranges beyond this many are joined with their neighbours.
const MAX_RANGES: usize = 64;

/// Part of the log, `from` included, `to` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    pub from: LogPosition,
    pub to: LogPosition,
}

/// Milliseconds since the Unix epoch, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub start_ms: i64,
    pub end_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Everything before it is acknowledged, but for `backlog` and `missing`.
    pub live: LogPosition,
    /// The newest sample that was acknowledged; i64::MIN when none was.
    pub acked_ms: i64,
    /// All before `live`, in order.
    pub backlog: Vec<LogRange>,
    pub missing: Vec<TimeRange>,
}

impl Cursor {
    /// Nothing is acknowledged, everything from here on is to be sent.
    pub fn starting_at(live: LogPosition) -> Self {
        Cursor { live, acked_ms: i64::MIN, ..Cursor::default() }
    }

    /// The oldest place of the log that is still needed.
    pub fn lowest(&self) -> LogPosition {
        self.backlog.iter().map(|r| r.from).min().map_or(self.live, |b| b.min(self.live))
    }

    /// Adds a time range to what is to be read back.
    pub fn add_missing(&mut self, range: TimeRange) {
        if range.start_ms > range.end_ms {
            return;
        }
        self.missing.push(range);
        self.missing.sort_by_key(|r| r.start_ms);
        let mut joined: Vec<TimeRange> = Vec::new();
        for r in self.missing.drain(..) {
            match joined.last_mut() {
                Some(last) if r.start_ms <= last.end_ms.saturating_add(1) => last.end_ms = last.end_ms.max(r.end_ms),
                Some(last) if close_together(last, &r) => last.end_ms = r.end_ms,
                _ => joined.push(r),
            }
        }
        while joined.len() > MAX_RANGES {
            let last = joined.remove(MAX_RANGES);
            joined[MAX_RANGES - 1].end_ms = last.end_ms;
        }
        self.missing = joined;
    }

    /// The log begins at `first` now: what lay before it cannot be read from it any more.
    pub fn cut_below(&mut self, first: LogPosition) {
        self.live = self.live.max(first);
        for r in &mut self.backlog {
            r.from = r.from.max(first);
        }
        self.backlog.retain(|r| r.from < r.to);
    }

    /// The log was written again from `at` on, because a power cut took what stood there: that is to be sent.
    pub fn pull_back_to(&mut self, at: LogPosition) {
        self.live = self.live.min(at);
        for r in &mut self.backlog {
            r.to = r.to.min(at);
        }
        self.backlog.retain(|r| r.from < r.to);
    }

    /// After a restart the live lane goes on at `live`: what of the backlog lies behind it comes anyway.
    fn normalize(&mut self) {
        let live = self.live;
        for r in &mut self.backlog {
            r.to = r.to.min(live);
        }
        self.backlog.retain(|r| r.from < r.to);
    }

    pub fn encode(&self) -> String {
        let mut out = format!("{HEAD}\nlive {} {}\nacked {}\n", self.live.segment, self.live.offset, self.acked_ms);
        for r in &self.backlog {
            let _ = writeln!(out, "backlog {} {} {} {}", r.from.segment, r.from.offset, r.to.segment, r.to.offset);
        }
        for r in &self.missing {
            let _ = writeln!(out, "missing {} {}", r.start_ms, r.end_ms);
        }
        let _ = writeln!(out, "crc {:08x}", crc32c(out.as_bytes()));
        out
    }

    /// None when the text is damaged or of another version.
    pub fn decode(text: &str) -> Option<Cursor> {
        let (body, crc) = text.rsplit_once("crc ")?;
        if u32::from_str_radix(crc.trim_end(), 16).ok()? != crc32c(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let mut c = Cursor::starting_at(LogPosition::default());
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            let n: Vec<i64> = rest.split(' ').map(|n| n.parse().ok()).collect::<Option<_>>()?;
            let at = |segment: i64, offset: i64| Some(LogPosition { segment: u64::try_from(segment).ok()?, offset: u64::try_from(offset).ok()? });
            match (word, n.as_slice()) {
                ("live", [s, o]) => c.live = at(*s, *o)?,
                ("acked", [t]) => c.acked_ms = *t,
                ("backlog", [a, b, s, o]) => c.backlog.push(LogRange { from: at(*a, *b)?, to: at(*s, *o)? }),
                ("missing", [a, b]) => c.missing.push(TimeRange { start_ms: *a, end_ms: *b }),
                _ => return None,
            }
        }
        c.normalize();
        Some(c)
    }

    /// None when there is no file. A damaged one is an error: the caller decides where to begin.
    pub fn load(fs: &SharedFs, path: &Path) -> io::Result<Option<Cursor>> {
        if !fs.exists(path) {
            return Ok(None);
        }
        let bytes = fs.read(path)?;
        let cursor = std::str::from_utf8(&bytes).ok().and_then(Cursor::decode);
        cursor.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cursor file {} is damaged", path.display())))
    }

    pub fn save(&self, fs: &SharedFs, path: &Path) -> io::Result<()> {
        write_atomic(fs.as_ref(), path, self.encode().as_bytes())
    }
}

/// Neighbours less than a minute apart are not worth two questions to the blocks.
fn close_together(last: &TimeRange, next: &TimeRange) -> bool {
    next.start_ms.saturating_sub(last.end_ms) < 60_000
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
