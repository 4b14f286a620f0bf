//! What can go wrong with the log, by what to do next.

use crate::LogPosition;
use crate::record::RecordError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are not what was written. Everything from `from` up to `to` is lost; reading goes on at `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The segment file.
    pub path: PathBuf,
    pub segment: u64,
    /// Where the damaged record begins.
    pub from: u64,
    /// Where the next whole record may begin; the end of the file when nothing follows.
    pub to: u64,
    pub reason: String,
    /// The segment ends inside a record: what a crash leaves at the end of the log, and nothing else.
    pub torn: bool,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corruption in segment {} at {}: {} ({} bytes unreadable)", self.path.display(), self.from, self.reason, self.to - self.from)
    }
}

#[derive(Clone, Debug)]
pub enum WalError {
    /// The disk has no room. Nothing was written; the same call works again when there is room.
    NoSpace(Arc<io::Error>),
    /// A write or a sync failed: what is on the disk is not known any more. The log takes nothing until it is opened anew.
    Broken(String),
    /// The log was closed.
    Closed,
    /// A file operation failed; nothing else changed.
    Io {
        doing: String,
        source: Arc<io::Error>,
    },
    Corrupt(Corruption),
    /// A record was read whole but its content makes no sense.
    Record {
        at: LogPosition,
        source: RecordError,
    },
    /// Segments or checkpoints do not follow one another.
    Gap(String),
    /// A limit of the log; says which.
    Limit(String),
}

impl WalError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> WalError {
        let doing = doing.into();
        move |e| WalError::Io { doing, source: Arc::new(e) }
    }
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::NoSpace(e) => write!(f, "no space for the log: {e}"),
            WalError::Broken(why) => write!(f, "log is broken until restart: {why}"),
            WalError::Closed => f.write_str("log is closed"),
            WalError::Io { doing, source } => write!(f, "{doing}: {source}"),
            WalError::Corrupt(c) => c.fmt(f),
            WalError::Record { at, source } => write!(f, "decode record at {at}: {source}"),
            WalError::Gap(what) | WalError::Limit(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for WalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WalError::NoSpace(e) | WalError::Io { source: e, .. } => Some(e.as_ref()),
            WalError::Record { source, .. } => Some(source),
            _ => None,
        }
    }
}
