//! Why nothing was found.

use std::fmt;

#[derive(Debug)]
pub enum Error {
    /// The request came to nothing.
    Http(client::Error),
    /// The answer, the file or the configuration is not what it should be.
    Invalid(String),
    /// A file cannot be read.
    Io { path: String, source: std::io::Error },
}

impl Error {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Error::Invalid(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Http(e) => e.fmt(f),
            Error::Invalid(text) => f.write_str(text),
            Error::Io { path, source } => write!(f, "read {path}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Http(e) => Some(e),
            Error::Io { source, .. } => Some(source),
            Error::Invalid(_) => None,
        }
    }
}

impl From<client::Error> for Error {
    fn from(e: client::Error) -> Self {
        Error::Http(e)
    }
}
