//! Why the store could not be opened or maintained.

use crate::block::BlockError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use wal::WalError;

#[derive(Debug)]
pub enum DbError {
    /// Another process has the directory open.
    Locked(PathBuf),
    /// A file step failed; says which.
    Io {
        doing: String,
        source: io::Error,
    },
    Log(WalError),
    Block(BlockError),
    /// The log is still being replayed.
    NotReady,
    /// The caller asked for something that cannot be.
    Invalid(String),
}

impl DbError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> DbError {
        let doing = doing.into();
        move |source| DbError::Io { doing, source }
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DbError::Locked(dir) => write!(f, "lock DB directory {}: resource temporarily unavailable; another process has it open", dir.display()),
            DbError::Io { doing, source } => write!(f, "{doing}: {source}"),
            DbError::Log(e) => e.fmt(f),
            DbError::Block(e) => e.fmt(f),
            DbError::NotReady => f.write_str("the log is being replayed"),
            DbError::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DbError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DbError::Io { source, .. } => Some(source),
            DbError::Log(e) => Some(e),
            DbError::Block(e) => Some(e),
            DbError::Locked(_) | DbError::Invalid(_) | DbError::NotReady => None,
        }
    }
}

impl From<WalError> for DbError {
    fn from(e: WalError) -> Self {
        DbError::Log(e)
    }
}

impl From<BlockError> for DbError {
    fn from(e: BlockError) -> Self {
        DbError::Block(e)
    }
}
