//! What can be wrong with a document, with its place.

use std::fmt;

/// One fault and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// From 1; 0 when the place is not known.
    pub line: u32,
    /// From 1; 0 when the place is not known.
    pub column: u32,
    pub message: String,
    /// The document does not fit its type (as against: it fits, but says something that may not be).
    pub is_type_error: bool,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not YAML, or beyond a limit of [`crate::tree`].
    Syntax(Issue),
    /// YAML, but not what the type wants; at least one issue, in order of their places.
    Content(Vec<Issue>),
}

impl Error {
    pub fn issues(&self) -> &[Issue] {
        match self {
            Error::Syntax(issue) => std::slice::from_ref(issue),
            Error::Content(issues) => issues,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Syntax(issue) => write!(f, "yaml: {issue}"),
            Error::Content(issues) => {
                if issues.iter().any(|i| i.is_type_error) {
                    f.write_str("yaml: unmarshal errors:")?;
                    return issues.iter().try_for_each(|i| write!(f, "\n  {i}"));
                }
                for (n, i) in issues.iter().enumerate() {
                    write!(f, "{}{i}", if n == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {}
