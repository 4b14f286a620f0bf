//! Reading the log while it is being written: from a position to the end, then waiting for more.

use crate::replay::{Record, SegmentReader, Step};
use crate::segment;
use crate::{Corruption, LogPosition, Wal, WalError};
use std::sync::Arc;
use std::time::Duration;
use stdx::shutdown::Shutdown;

/// How often a waiting tail looks at its shutdown signal.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub enum TailEvent<'a> {
    Record(Record<'a>),
    /// Part of the log cannot be read; the tail went on behind it.
    Damaged(Corruption),
    /// The segments in between are gone; the tail went on at `to`.
    Skipped {
        from: LogPosition,
        to: LogPosition,
    },
    /// Nothing new within the time, or shutdown was asked for.
    Idle,
    /// The log is closed and everything was read.
    Closed,
}

/// One reader. Not shared; moves on by itself.
pub struct Tail {
    wal: Arc<Wal>,
    position: LogPosition,
    reader: Option<SegmentReader>,
    record: Vec<u8>,
}

impl Wal {
    /// A reader from `from` on, which should be a position that [`Record`], [`Wal::log`] or [`Wal::end`] gave. One that lies behind the end (the log
    /// lost its tail in a power cut) is moved back to the end.
    pub fn tail(self: &Arc<Self>, from: LogPosition) -> Tail {
        Tail { wal: Arc::clone(self), position: from.min(self.end()), reader: None, record: Vec::new() }
    }
}

impl Tail {
    /// Everything before it was handed out.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// The next thing, waiting for it up to `timeout`. Blocks the thread. Only sees what is written as a whole.
    pub fn next(&mut self, timeout: Duration, shutdown: &Shutdown) -> Result<TailEvent<'_>, WalError> {
        let deadline = self.wal.clock.monotonic() + timeout;
        loop {
            let tip = self.wal.wait_beyond(self.position, Duration::ZERO);
            if self.position < tip.written {
                match self.read(tip.written)? {
                    Got::Record(start, end) => {
                        let segment = self.position.segment;
                        self.position.offset = end;
                        let at = |offset| LogPosition { segment, offset };
                        return Ok(TailEvent::Record(Record { bytes: &self.record, start: at(start), end: at(end) }));
                    }
                    Got::Damage(c) => {
                        self.position.offset = c.to;
                        self.wal.metrics.reader_corruptions.inc();
                        return Ok(TailEvent::Damaged(c));
                    }
                    Got::Gap(to) => {
                        let from = std::mem::replace(&mut self.position, to);
                        self.reader = None;
                        return Ok(TailEvent::Skipped { from, to });
                    }
                    Got::Moved => continue,
                    Got::Nothing => {}
                }
            } else if tip.closed {
                return Ok(TailEvent::Closed);
            }
            let left = deadline.saturating_sub(self.wal.clock.monotonic());
            if left.is_zero() || shutdown.is_requested() {
                return Ok(TailEvent::Idle);
            }
            self.wal.wait_beyond(self.position, left.min(LOOK_EVERY));
        }
    }

    fn read(&mut self, written: LogPosition) -> Result<Got, WalError> {
        let finished = self.position.segment < written.segment;
        if self.reader.as_ref().is_none_or(|r| r.segment != self.position.segment) {
            let all = segment::list(self.wal.fs.as_ref(), &self.wal.dir)?;
            let Some(next) = all.into_iter().find(|s| s.number >= self.position.segment) else { return Ok(Got::Nothing) };
            if next.number > self.position.segment {
                return Ok(Got::Gap(LogPosition { segment: next.number, offset: 0 }));
            }
            self.reader = Some(SegmentReader::open(self.wal.fs.as_ref(), &next, self.position.offset)?);
        }
        let reader = self.reader.as_mut().expect("was opened above");
        reader.limit = if finished { reader.file_len()? } else { written.offset };
        match reader.step(&mut self.record)? {
            Step::Record { start, end } => Ok(Got::Record(start, end)),
            Step::Corrupt(c) => Ok(Got::Damage(c)),
            Step::End | Step::Torn { .. } if finished => {
                self.position = LogPosition { segment: self.position.segment + 1, offset: 0 };
                self.reader = None;
                Ok(Got::Moved)
            }
            Step::End => {
                self.position.offset = self.position.offset.max(written.offset);
                Ok(Got::Moved)
            }
            Step::Torn { .. } => Ok(Got::Nothing),
        }
    }
}

enum Got {
    Record(u64, u64),
    Damage(Corruption),
    Gap(LogPosition),
    /// Past what holds no record; look again.
    Moved,
    Nothing,
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
