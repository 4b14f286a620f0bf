//! The one log: what the head writes before it believes it, and what every uplink reads behind its own cursor.
//!
//! Byte for byte the write-ahead log of Prometheus (segments, pages, fragments, record types 1 to 13), so that either program can open the
//! other's directory. Two record types of our own are added, [`record::RecordType::Held`] and [`record::RecordType::References`], which Prometheus' server skips as unknown.
//!
//! # Contract
//!
//! Writing, by the head:
//! - [`Wal::open`] never continues an old segment: it cuts off a torn tail and starts a new one.
//! - Records of one commit are gathered in [`Records`] (one buffer, any number of records) and handed to [`Wal::log`]: one write, into one
//!   segment, all or nothing. [`WalError::NoSpace`] means "refused, nothing written, try again"; every other error is for good.
//! - [`Wal::log`] returns the end of the commit. The commit then survives kill -9. [`Wal::wait_durable`] returns when it survives a power cut too,
//!   as far as [`SyncPolicy`] asks for it; many threads share one sync.
//! - [`Wal::sync_if_due`] is to be called about once a second by whoever owns the log: it syncs what the policy left.
//!
//! Replaying, by the head: [`replay::LogReader`] over the last checkpoint and the segments behind it. Damage is an `Err` that says where; the next call goes on behind it.
//! Hand what was found to [`repair::repair`] to make the segment readable for everyone again.
//!
//! Cutting: [`checkpoint::create`] writes what is still needed of old segments, [`Wal::truncate`] removes them, but for what a registered
//! cursor has not read and the budget allows to keep.
//!
//! Tailing, by uplinks: [`Wal::register_cursor`] holds segments back, [`Wal::tail`] reads from a position and waits for more.
//!
//! Who may call: everything here is synchronous and may block on the disk. [`Wal`] is shared by any number of threads behind an `Arc`.

pub mod checkpoint;
mod compress;
pub mod cursor;
mod error;
mod log;
mod metrics;
mod page;
pub mod record;
pub mod repair;
pub mod replay;
pub mod segment;
pub mod tail;

pub use compress::Compression;
pub use cursor::{CursorBudget, CursorHold, Passed, Truncated};
pub use error::{Corruption, WalError};
pub use log::{SyncPolicy, Wal, WalOptions, WrittenBeyond};
pub use record::{RecordType, Records};
pub use tail::{Tail, TailEvent};

/// A place in the log: a byte offset in a segment. Ordered as the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub segment: u64,
    pub offset: u64,
}

impl std::fmt::Display for LogPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08}:{}", self.segment, self.offset)
    }
}

#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod testing;
