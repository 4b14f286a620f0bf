//! What can go wrong with a block's files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use storage::ReadError;

#[derive(Debug)]
pub enum BlockError {
    /// A file step failed; says which.
    Io { step: &'static str, path: PathBuf, source: io::Error },
    /// Stored bytes are damaged; says which file and what.
    Corrupt { path: PathBuf, what: String },
    /// The caller gave something that does not fit the format (unsorted series, a symbol too long); the output is to be thrown away.
    Invalid(String),
    /// Somebody asked to stop.
    Stopped,
}

impl BlockError {
    pub fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlockError {
        move |source| BlockError::Io { step, path: path.to_path_buf(), source }
    }

    pub fn corrupt(path: &Path, what: impl Into<String>) -> BlockError {
        BlockError::Corrupt { path: path.to_path_buf(), what: what.into() }
    }

    /// Is it about what is stored, and not about the disk or the caller?
    pub fn is_corrupt(&self) -> bool {
        matches!(self, BlockError::Corrupt { .. })
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockError::Io { step, path, source } => write!(f, "{step} {}: {source}", path.display()),
            BlockError::Corrupt { path, what } => write!(f, "{}: {what}", path.display()),
            BlockError::Invalid(what) => f.write_str(what),
            BlockError::Stopped => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for BlockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BlockError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<BlockError> for ReadError {
    fn from(e: BlockError) -> ReadError {
        match e {
            BlockError::Corrupt { .. } => ReadError::Corrupt(e.to_string()),
            other => ReadError::Other(other.to_string()),
        }
    }
}
