//! Making damaged segments readable for everyone again, in place, so that no position moves.
//!
//! Prometheus drops everything behind damage. Here the damaged bytes are overwritten by filler: whole records, of no known type, one per page, that
//! every reader passes over. What stood there is lost and was said to be lost when it was read; everything else stays.

use crate::page::{END_OF_PAGE, FULL, HEADER, left_in_page, put_fragment};
use crate::replay::{SegmentReader, Step};
use crate::segment::Segment;
use crate::{Corruption, WalError};
use std::path::Path;
use stdx::fs::{Fs, Open, SharedFs};

/// Type byte of filler records; neither Prometheus' nor ours.
const FILLER: u8 = 0xfe;

/// Overwrites the damage with filler, or cuts it off when it is the torn end of a segment. Only for segments that are not being written.
pub fn repair(fs: &SharedFs, c: &Corruption) -> Result<(), WalError> {
    let doing = || format!("repair segment {}", c.path.display());
    let mut file = fs.open(&c.path, Open::Update).map_err(WalError::io(doing()))?;
    let len = file.len().map_err(WalError::io(doing()))?;
    if c.torn || c.to >= len {
        file.set_len(c.from).map_err(WalError::io(doing()))?;
    } else {
        let mut at = c.from;
        while at < c.to {
            let n = (left_in_page(at) as u64).min(c.to - at) as usize;
            let mut bytes = Vec::with_capacity(n);
            match n.checked_sub(HEADER) {
                None => bytes.resize(n, END_OF_PAGE),
                Some(0) => put_fragment(&mut bytes, FULL, &[]),
                Some(data) => {
                    let mut filler = vec![0; data];
                    filler[0] = FILLER;
                    put_fragment(&mut bytes, FULL, &filler);
                }
            }
            file.write_at(at, &bytes).map_err(WalError::io(doing()))?;
            at += n as u64;
        }
    }
    file.sync_data().map_err(WalError::io(doing()))?;
    tracing::warn!(segment = c.segment, from = c.from, to = c.to, reason = %c.reason, "repaired a damaged place in the log; the records in it are lost");
    Ok(())
}

/// More missing segments than this in one place are no trace of a crash.
const MAX_GAP: u64 = 1000;

/// A power cut may take the name of a segment and leave the next one's, or bring an old one back: then empty segments take the places between, so
/// that the log is a sequence for everyone who opens it. Nothing that was acknowledged can have stood there.
pub(crate) fn fill_gaps(fs: &dyn Fs, dir: &Path) -> Result<(), WalError> {
    let list = fs.list(dir).map_err(WalError::io(format!("list log directory {}", dir.display())))?;
    let is_segment = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let mut numbers: Vec<u64> = list.iter().filter(|e| !e.is_dir && is_segment(&e.name)).filter_map(|e| e.name.parse().ok()).collect();
    // A checkpoint stands for the segments up to its own number.
    if let Some(covered) = crate::checkpoint::last(fs, dir)?.map(|c| c.segment)
        && numbers.iter().all(|n| *n > covered)
    {
        numbers.push(covered);
    }
    numbers.sort_unstable();
    for w in numbers.windows(2).filter(|w| w[1] > w[0] + 1 && w[1] - w[0] <= MAX_GAP) {
        tracing::warn!(dir = %dir.display(), after = w[0], before = w[1], "segments of the log are missing after a crash; empty ones take their place");
        for n in w[0] + 1..w[1] {
            let path = crate::segment::path(dir, n);
            fs.open(&path, Open::CreateNew).map_err(WalError::io(format!("create segment {}", path.display())))?;
        }
    }
    Ok(())
}

/// Cuts an unfinished record off the end of a segment.
pub(crate) fn cut_torn_tail(fs: &SharedFs, segment: &Segment) -> Result<(), WalError> {
    let mut reader = SegmentReader::open(fs.as_ref(), segment, 0)?;
    let mut record = Vec::new();
    loop {
        match reader.step(&mut record)? {
            Step::Record { .. } | Step::Corrupt(_) => {}
            Step::End => return Ok(()),
            Step::Torn { at } => {
                let doing = || format!("cut the torn end off segment {}", segment.path.display());
                let mut file = fs.open(&segment.path, Open::Update).map_err(WalError::io(doing()))?;
                file.set_len(at).map_err(WalError::io(doing()))?;
                file.sync_data().map_err(WalError::io(doing()))?;
                let bytes = segment.len.saturating_sub(at);
                tracing::info!(segment = segment.number, at, bytes, "cut an unfinished record off the end of the log");
                return Ok(());
            }
        }
    }
}
