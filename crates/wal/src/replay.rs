//! Reading the log: one segment behind another, each record with its exact place, going on behind damage.
//!
//! A damaged byte costs the record it lies in. When the damaged fragment's length can be trusted (a sound fragment follows where it says), reading
//! goes on right behind it, else at the next fragment whose checksum fits. Continuations of the lost record are passed over.

use crate::compress::{Compression, Unpacker};
use crate::page::{END_OF_PAGE, FIRST, FULL, HEADER, KIND_MASK, LAST, MIDDLE, SNAPPY_FLAG, ZSTD_FLAG, left_in_page};
use crate::segment::{self, Segment};
use crate::{Corruption, LogPosition, WalError};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use stdx::crc::crc32c;
use stdx::fs::{File, Fs, Open, SharedFs};

/// How much of a segment is in memory at once.
const WINDOW: usize = 256 * 1024;

/// A record and where it stands.
#[derive(Debug)]
pub struct Record<'a> {
    pub bytes: &'a [u8],
    pub start: LogPosition,
    /// Right behind it.
    pub end: LogPosition,
}

/// Reads the records of one segment, up to a limit that may be moved on while the segment grows.
pub(crate) struct SegmentReader {
    file: Box<dyn File>,
    path: PathBuf,
    pub segment: u64,
    pub pos: u64,
    pub limit: u64,
    window: Vec<u8>,
    window_at: u64,
    packed: Vec<u8>,
    unpacker: Unpacker,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The record is in the buffer.
    Record {
        start: u64,
        end: u64,
    },
    /// The limit, with nothing left over.
    End,
    /// The limit, inside the record that begins at `at`.
    Torn {
        at: u64,
    },
    Corrupt(Corruption),
}

enum Fragment {
    Pad { next: u64 },
    Data { kind: u8, compression: Compression, at: u64, len: usize, next: u64 },
    Bad { reason: String, next: u64 },
    Torn,
    End,
}

impl SegmentReader {
    pub(crate) fn open(fs: &dyn Fs, segment: &Segment, pos: u64) -> Result<Self, WalError> {
        let doing = format!("open segment {}", segment.path.display());
        let file = fs.open(&segment.path, Open::Read).map_err(WalError::io(doing.clone()))?;
        let limit = file.len().map_err(WalError::io(doing))?;
        Ok(SegmentReader {
            file,
            path: segment.path.clone(),
            segment: segment.number,
            pos,
            limit,
            window: Vec::new(),
            window_at: 0,
            packed: Vec::new(),
            unpacker: Unpacker::new(),
        })
    }

    /// The file's size right now.
    pub(crate) fn file_len(&self) -> Result<u64, WalError> {
        self.file.len().map_err(WalError::io(format!("measure segment {}", self.path.display())))
    }

    /// `len` bytes at `at`, which must lie before the limit.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], WalError> {
        let inside = at >= self.window_at && at + len as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let want = (self.limit - at).min(WINDOW as u64) as usize;
            self.window.resize(want.max(len), 0);
            self.window_at = at;
            let n = self.file.read_at(at, &mut self.window).map_err(WalError::io(format!("read segment {}", self.path.display())))?;
            self.window.truncate(n);
            if n < len {
                let got = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file is shorter than it was");
                return Err(WalError::io(format!("read segment {} at {at}", self.path.display()))(got));
            }
        }
        let from = (at - self.window_at) as usize;
        Ok(&self.window[from..from + len])
    }

    fn fragment(&mut self, pos: u64) -> Result<Fragment, WalError> {
        if pos >= self.limit {
            return Ok(Fragment::End);
        }
        let left = left_in_page(pos);
        let page_end = pos + left as u64;
        let avail = (self.limit - pos).min(left as u64) as usize;
        let head = self.bytes(pos, avail.min(HEADER))?;
        let flags = head[0];
        let kind = flags & KIND_MASK;
        if left < HEADER || flags == END_OF_PAGE {
            let zero = self.bytes(pos, avail)?.iter().all(|b| *b == 0);
            return Ok(match zero {
                true => Fragment::Pad { next: page_end },
                false => Fragment::Bad { reason: "unexpected non-zero byte in padded page".to_string(), next: page_end },
            });
        }
        if !(FULL..=LAST).contains(&kind) || flags & !(KIND_MASK | SNAPPY_FLAG | ZSTD_FLAG) != 0 {
            return Ok(Fragment::Bad { reason: format!("unknown fragment type {flags:#04x}"), next: page_end });
        }
        if avail < HEADER {
            return Ok(Fragment::Torn);
        }
        let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let want = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        if len > left - HEADER {
            return Ok(Fragment::Bad { reason: format!("fragment of {len} bytes does not fit into its page"), next: page_end });
        }
        if len > avail - HEADER {
            return Ok(Fragment::Torn);
        }
        let next = pos + (HEADER + len) as u64;
        let got = crc32c(self.bytes(pos + HEADER as u64, len)?);
        if got != want {
            return Ok(Fragment::Bad { reason: format!("unexpected checksum {got:x}, expected {want:x}"), next });
        }
        let compression = match flags & (SNAPPY_FLAG | ZSTD_FLAG) {
            0 => Compression::None,
            SNAPPY_FLAG => Compression::Snappy,
            ZSTD_FLAG => Compression::Zstd,
            _ => return Ok(Fragment::Bad { reason: "fragment says it is packed in two ways".to_string(), next }),
        };
        Ok(Fragment::Data { kind, compression, at: pos + HEADER as u64, len, next })
    }

    /// The next record into `out`, whose content it replaces. Stays where it is on [`Step::End`] and [`Step::Torn`].
    pub(crate) fn step(&mut self, out: &mut Vec<u8>) -> Result<Step, WalError> {
        self.packed.clear();
        let mut start: Option<u64> = None;
        loop {
            match self.fragment(self.pos)? {
                Fragment::Torn if self.is_sound_behind()? => {
                    return self.pass_over(start.unwrap_or(self.pos), u64::MAX, "fragment is longer than its segment".to_string());
                }
                Fragment::End | Fragment::Torn if start.is_some() => {
                    let at = start.expect("checked by the guard");
                    self.pos = at;
                    return Ok(Step::Torn { at });
                }
                Fragment::End => return Ok(Step::End),
                Fragment::Torn => return Ok(Step::Torn { at: self.pos }),
                Fragment::Pad { next } => self.pos = next,
                Fragment::Bad { reason, next } => return self.pass_over(start.unwrap_or(self.pos), next, reason),
                Fragment::Data { kind, compression, at, len, next } => match (kind, start) {
                    (FULL, None) => {
                        let begin = std::mem::replace(&mut self.pos, next);
                        self.bytes(at, len)?;
                        let from = (at - self.window_at) as usize;
                        let unpacked = self.unpacker.unpack(&self.window[from..from + len], compression, out);
                        return Ok(self.finished(begin, next, unpacked));
                    }
                    (FIRST, None) => {
                        start = Some(self.pos);
                        self.add(at, len)?;
                        self.pos = next;
                    }
                    (MIDDLE, Some(_)) => {
                        self.add(at, len)?;
                        self.pos = next;
                    }
                    (LAST, Some(begin)) => {
                        self.add(at, len)?;
                        self.pos = next;
                        let unpacked = self.unpacker.unpack(&self.packed, compression, out);
                        return Ok(self.finished(begin, next, unpacked));
                    }
                    (_, None) => return self.pass_over(self.pos, next, "continuation of a record that did not begin".to_string()),
                    (_, Some(begin)) => {
                        // A new record begins inside another one: only the unfinished one is lost.
                        return Ok(Step::Corrupt(self.corruption(begin, self.pos, "record is not finished".to_string())));
                    }
                },
            }
        }
    }

    fn add(&mut self, at: u64, len: usize) -> Result<(), WalError> {
        self.bytes(at, len)?;
        let from = (at - self.window_at) as usize;
        self.packed.extend_from_slice(&self.window[from..from + len]);
        Ok(())
    }

    fn finished(&self, start: u64, end: u64, unpacked: Result<(), String>) -> Step {
        match unpacked {
            Ok(()) => Step::Record { start, end },
            Err(reason) => Step::Corrupt(self.corruption(start, end, reason)),
        }
    }

    fn corruption(&self, from: u64, to: u64, reason: String) -> Corruption {
        Corruption { path: self.path.clone(), segment: self.segment, from, to: to.min(self.limit).max(from), reason, torn: false }
    }

    /// Moves behind damage: to `next` if something sound stands there, else to the next sound fragment of the page, else to the next page; and past
    /// what continues the lost record.
    fn pass_over(&mut self, from: u64, next: u64, reason: String) -> Result<Step, WalError> {
        let bad = self.pos;
        self.pos = next;
        // A length that was damaged points anywhere, beyond sound records too.
        let page_end = bad + left_in_page(bad) as u64;
        if next >= page_end || !matches!(self.fragment(next)?, Fragment::Data { .. } | Fragment::Pad { .. } | Fragment::End) {
            self.pos = self.next_sound(bad + 1, page_end)?.unwrap_or(page_end);
        }
        loop {
            match self.fragment(self.pos)? {
                Fragment::Bad { .. } | Fragment::Torn if !self.pos.is_multiple_of(crate::page::PAGE) => self.pos += left_in_page(self.pos) as u64,
                Fragment::Bad { .. } => self.pos += crate::page::PAGE,
                Fragment::Data { kind: MIDDLE | LAST, next, .. } => self.pos = next,
                Fragment::Pad { .. } | Fragment::Data { .. } | Fragment::Torn | Fragment::End => break,
            }
        }
        self.pos = self.pos.min(self.limit);
        Ok(Step::Corrupt(self.corruption(from, self.pos, reason)))
    }

    /// Does anything sound follow in this page? Then its end was not torn off.
    fn is_sound_behind(&mut self) -> Result<bool, WalError> {
        let page_end = self.pos + left_in_page(self.pos) as u64;
        Ok(self.next_sound(self.pos + 1, page_end)?.is_some())
    }

    /// The first place from `at` on at which a fragment stands whose checksum fits.
    fn next_sound(&mut self, at: u64, page_end: u64) -> Result<Option<u64>, WalError> {
        for pos in at..page_end.min(self.limit) {
            if matches!(self.fragment(pos)?, Fragment::Data { len, .. } if len > 0) {
                return Ok(Some(pos));
            }
        }
        Ok(None)
    }
}

/// The first record of the newest segment up to and including `last` that has any. None when there is none, or when the segment begins with damage.
pub fn opening_of(fs: &dyn Fs, dir: &Path, last: u64) -> Result<Option<Vec<u8>>, WalError> {
    let mut record = Vec::new();
    for s in segment::list(fs, dir)?.iter().rev().filter(|s| s.number <= last) {
        match SegmentReader::open(fs, s, 0)?.step(&mut record)? {
            Step::Record { .. } => return Ok(Some(record)),
            Step::End | Step::Torn { .. } => {}
            Step::Corrupt(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// Reads a range of segments.
pub struct LogReader {
    fs: SharedFs,
    rest: VecDeque<Segment>,
    current: Option<SegmentReader>,
    record: Vec<u8>,
    torn: Option<Corruption>,
}

impl LogReader {
    /// All segments of a directory with `first <= number <= last`; a checkpoint's directory has segments of its own. None at all is fine.
    pub fn open(fs: SharedFs, dir: &Path, first: u64, last: u64) -> Result<Self, WalError> {
        let rest = segment::list(fs.as_ref(), dir)?.into_iter().filter(|s| s.number >= first && s.number <= last).collect();
        Ok(LogReader { fs, rest, current: None, record: Vec::new(), torn: None })
    }

    /// The segment that is read right now.
    pub fn segment(&self) -> Option<u64> {
        self.current.as_ref().map(|c| c.segment)
    }

    /// The unfinished record at the very end, if there was one: what a crash leaves, no error.
    pub fn torn(&self) -> Option<&Corruption> {
        self.torn.as_ref()
    }

    /// The next record; None at the end. After [`WalError::Corrupt`] the next call goes on behind the damage; other errors stay.
    #[allow(clippy::should_implement_trait, reason = "lends its buffer, which an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, WalError> {
        loop {
            match self.step()? {
                LogStep::Record { start, end } => return Ok(Some(Record { bytes: &self.record, start, end })),
                LogStep::EndOfSegment => {}
                LogStep::End => return Ok(None),
            }
        }
    }

    /// As [`LogReader::next`], but tells the end of each segment before the next one is opened. The record is in [`LogReader::bytes`].
    pub fn step(&mut self) -> Result<LogStep, WalError> {
        if self.current.is_none() {
            let Some(segment) = self.rest.pop_front() else { return Ok(LogStep::End) };
            self.current = Some(SegmentReader::open(self.fs.as_ref(), &segment, 0)?);
        }
        let reader = self.current.as_mut().expect("was opened above");
        let segment = reader.segment;
        match reader.step(&mut self.record)? {
            Step::Record { start, end } => {
                let at = |offset| LogPosition { segment, offset };
                return Ok(LogStep::Record { start: at(start), end: at(end) });
            }
            Step::Corrupt(c) => return Err(WalError::Corrupt(c)),
            Step::End => self.current = None,
            Step::Torn { at } => {
                let mut c = reader.corruption(at, reader.limit, "last record is torn".to_string());
                c.torn = true;
                self.current = None;
                if !self.rest.is_empty() {
                    return Err(WalError::Corrupt(c));
                }
                self.torn = Some(c);
            }
        }
        Ok(LogStep::EndOfSegment)
    }

    /// The record that was read last.
    pub fn bytes(&self) -> &[u8] {
        &self.record
    }
}

/// What a reader of a log came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStep {
    Record { start: LogPosition, end: LogPosition },
    EndOfSegment,
    End,
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
