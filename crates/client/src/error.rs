//! Why a request came to nothing.

use std::error::Error as StdError;
use std::fmt;

#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration or the URL cannot work; trying again does not help.
    Config,
    /// A credential, certificate or header file could not be read.
    File,
    /// No connection: name, address, proxy or TLS.
    Connect,
    /// The connection broke, or the peer does not speak HTTP.
    Transport,
    /// Did not end in time.
    Timeout,
    /// The body is larger than allowed.
    TooLarge,
    /// The body is not what its encoding says.
    Decode,
    /// No token could be had.
    Auth,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    pub(crate) fn with(kind: ErrorKind, message: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error { kind, message: message.into(), source: Some(source.into()) }
    }

    pub(crate) fn timeout() -> Self {
        Error::new(ErrorKind::Timeout, "context deadline exceeded")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Error::new(ErrorKind::TooLarge, format!("body size limit exceeded: more than {limit} bytes"))
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Worth trying again later.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, ErrorKind::Connect | ErrorKind::Transport | ErrorKind::Timeout | ErrorKind::Auth | ErrorKind::File)
    }
}

impl fmt::Display for Error {
    /// The whole chain in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut next: Option<&dyn StdError> = self.source.as_deref().map(|s| s as &dyn StdError);
        let mut sep = if self.message.is_empty() { "" } else { ": " };
        while let Some(e) = next {
            write!(f, "{sep}{e}")?;
            // Our own errors print their chain themselves.
            next = if e.is::<Error>() { None } else { e.source() };
            sep = ": ";
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}
