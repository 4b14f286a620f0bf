//! Why a query has no answer.

use std::fmt;

/// What the caller should do with the failure; the API's error types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The query cannot be asked: does not parse, wrong type, bad times.
    BadData,
    /// It failed while it ran: contradicting data, a limit.
    Execution,
    /// Someone gave up on it.
    Canceled,
    /// It took too long, or waited too long for its turn.
    Timeout,
    /// The storage failed.
    Internal,
}

impl ErrorKind {
    /// As the API's `errorType`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::BadData => "bad_data",
            ErrorKind::Execution => "execution",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    pub kind: ErrorKind,
    pub message: String,
}

impl QueryError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        QueryError { kind, message: message.into() }
    }

    pub(crate) fn execution(message: impl Into<String>) -> Self {
        QueryError::new(ErrorKind::Execution, message)
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        QueryError::new(ErrorKind::BadData, message)
    }

    pub(crate) fn duplicate_labels() -> Self {
        QueryError::execution("vector cannot contain metrics with the same labelset")
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}

impl From<storage::ReadError> for QueryError {
    fn from(e: storage::ReadError) -> Self {
        match &e {
            storage::ReadError::Limit(_) => QueryError::execution(e.to_string()),
            _ => QueryError::new(ErrorKind::Internal, e.to_string()),
        }
    }
}
