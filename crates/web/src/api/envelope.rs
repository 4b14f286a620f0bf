//! What every answer of `/api/v1` is wrapped in, and the errors it may say.

use crate::json::Json;
use crate::server::Reply;
use http::StatusCode;

/// What kind of error: decides `errorType` and the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    Unavailable,
    NotFound,
    NotAcceptable,
}

impl ErrorKind {
    fn word(self) -> &'static str {
        match self {
            ErrorKind::BadData => "bad_data",
            ErrorKind::Execution => "execution",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::NotFound => "not_found",
            ErrorKind::NotAcceptable => "not_acceptable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            ErrorKind::BadData => StatusCode::BAD_REQUEST,
            ErrorKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Canceled => StatusCode::from_u16(499).expect("a valid status"),
            ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal | ErrorKind::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        }
    }
}

#[derive(Clone, Debug)]
pub struct ApiError {
    pub kind: ErrorKind,
    pub message: String,
}

impl ApiError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ApiError { kind, message: message.into() }
    }

    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// `invalid parameter "step": …`
    pub fn param(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {why}"))
    }

    pub fn reply(&self) -> Reply {
        let mut j = Json::default();
        j.raw("{\"status\":\"error\",\"errorType\":").string(self.kind.word()).raw(",\"error\":").string(&self.message).raw("}");
        Reply::json(self.kind.status(), j.into_bytes())
    }
}

impl From<storage::ReadError> for ApiError {
    fn from(e: storage::ReadError) -> Self {
        let kind = match e {
            storage::ReadError::NotReady(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Execution,
        };
        ApiError::new(kind, e.to_string())
    }
}

/// Data of a successful answer with what is to be said beside it.
#[derive(Debug, Default)]
pub struct Success {
    /// JSON; empty for "204 no content".
    data: Vec<u8>,
    /// `data` has what comes before it in the answer already: see [`Success::begin`].
    begun: bool,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// At most so many warnings and so many infos are listed.
const MAX_ANNOTATIONS: usize = 10;

/// What every answer begins with.
const OPENING: &str = "{\"status\":\"success\",\"data\":";

impl Success {
    /// Where large data is written to, so that it need not be copied behind the opening; to be given to [`Success::begun`].
    pub fn begin(capacity: usize) -> Json {
        let mut j = Json::with_capacity(OPENING.len() + capacity);
        j.raw(OPENING);
        j
    }

    pub fn begun(j: Json) -> Self {
        Success { data: j.into_bytes(), begun: true, ..Success::default() }
    }

    pub fn json(j: Json) -> Self {
        Success { data: j.into_bytes(), ..Success::default() }
    }

    pub fn of(value: &impl serde::Serialize) -> Result<Self, ApiError> {
        let data = serde_json::to_vec(value).map_err(|e| ApiError::new(ErrorKind::Internal, format!("encode answer: {e}")))?;
        Ok(Success { data, ..Success::default() })
    }

    pub fn no_content() -> Self {
        Success::default()
    }

    pub fn warn(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    pub fn reply(mut self) -> Reply {
        if self.data.is_empty() {
            return Reply::empty(StatusCode::NO_CONTENT);
        }
        cap(&mut self.warnings, "warning");
        cap(&mut self.infos, "info");
        let mut j = if self.begun {
            Json::after(self.data)
        } else {
            let mut j = Success::begin(self.data.len() + 64);
            j.raw_bytes(&self.data);
            j
        };
        if !self.warnings.is_empty() {
            j.raw(",\"warnings\":").strings(&self.warnings);
        }
        if !self.infos.is_empty() {
            j.raw(",\"infos\":").strings(&self.infos);
        }
        j.raw("}");
        Reply::json(StatusCode::OK, j.into_bytes())
    }
}

fn cap(list: &mut Vec<String>, what: &str) {
    let over = list.len().saturating_sub(MAX_ANNOTATIONS);
    if over > 0 {
        list.truncate(MAX_ANNOTATIONS);
        list.push(format!("{over} more {what} annotations omitted"));
    }
}

pub type ApiResult = Result<Success, ApiError>;
