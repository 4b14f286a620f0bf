//! What is sent and what comes back.

use crate::auth::{basic, secret_header};
use crate::error::{Error, ErrorKind};
use crate::gunzip::Gunzip;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;
use tokio::time::Instant;

/// One request. Cloning is cheap: whoever sends the same again and again keeps one and clones it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For the whole exchange, reading of the body included. None waits for ever.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A user and password in the URL become a header.
    pub fn new(method: Method, url: &str) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        let mut uri = parse_uri(url)?;
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            let (user, password) = yaml::Url::parse(url).ok().and_then(|u| u.user_info()).unwrap_or_default();
            headers.insert(header::AUTHORIZATION, secret_header(&basic(user.as_bytes(), password.unwrap_or_default().as_bytes()))?);
            uri = without_user(uri)?;
        }
        Ok(Request { method, uri, headers, body: Bytes::new(), timeout: None })
    }

    pub fn get(url: &str) -> Result<Self, Error> {
        Self::new(Method::GET, url)
    }

    pub fn post(url: &str, content_type: &'static str, body: impl Into<Bytes>) -> Result<Self, Error> {
        let mut r = Self::new(Method::POST, url)?;
        r.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        r.body = body.into();
        Ok(r)
    }

    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// What a URL without scheme or host is told, and one that needs escapes gets.
pub(crate) fn parse_uri(url: &str) -> Result<Uri, Error> {
    let bad = |why: String| Error::new(ErrorKind::Config, format!("parse {url:?}: {why}"));
    let uri = match url.parse::<Uri>() {
        Ok(uri) => uri,
        Err(_) => {
            let url = url::Url::parse(url).map_err(|e| bad(e.to_string()))?;
            url.as_str().parse::<Uri>().map_err(|e| bad(e.to_string()))?
        }
    };
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(bad(format!("unsupported protocol scheme {other:?}"))),
        None => return Err(bad("missing protocol scheme".into())),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("no host in request URL".into()));
    }
    Ok(uri)
}

fn without_user(uri: Uri) -> Result<Uri, Error> {
    let mut parts = uri.into_parts();
    if let Some(a) = &parts.authority {
        let host = a.as_str().rsplit_once('@').map_or(a.as_str(), |(_, h)| h);
        parts.authority = Some(host.parse().map_err(|e| Error::with(ErrorKind::Config, "host of url is not valid", e))?);
    }
    Uri::from_parts(parts).map_err(|e| Error::with(ErrorKind::Config, "url is not valid", e))
}

/// Head and, still to be read, body of an answer.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// After redirects.
    pub uri: Uri,
    pub(crate) body: Incoming,
    pub(crate) deadline: Option<Instant>,
}

/// What is read of an error's body, and thrown away of a body that nobody wants.
const MAX_REST: usize = 64 << 10;

impl Response {
    /// Appends the body to `out`, decoded when it says it is gzip. At most `limit` bytes, else [`ErrorKind::TooLarge`].
    pub async fn read(self, out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        match self.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            Some(e) if e.eq_ignore_ascii_case(b"gzip") => {
                let mut gunzip = Gunzip::new(std::mem::take(out), limit);
                let result = self.each(|chunk| gunzip.push(chunk)).await;
                let finished = gunzip.finish(out);
                result.and(finished)
            }
            _ => self.read_raw(out, limit).await,
        }
    }

    /// Like [`Response::read`], as it came.
    pub async fn read_raw(self, out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let start = out.len();
        let announced = self.body.size_hint().lower();
        if announced > limit as u64 {
            return Err(Error::too_large(limit));
        }
        out.reserve(announced as usize);
        self.each(|chunk| {
            if out.len() - start + chunk.len() > limit {
                return Err(Error::too_large(limit));
            }
            out.extend_from_slice(chunk);
            Ok(())
        })
        .await
    }

    /// The body as bytes of its own.
    pub async fn bytes(self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.read(&mut out, limit).await?;
        Ok(out)
    }

    /// The body's first line, for an error message; "" when there is none or it cannot be read.
    pub async fn first_line(self) -> String {
        let mut out = Vec::new();
        // What came before a fault is still worth showing.
        let _ = self.read(&mut out, MAX_REST).await;
        String::from_utf8_lossy(&out).lines().next().unwrap_or_default().chars().take(512).collect()
    }

    /// Reads a short rest, so that the connection can be used again.
    pub async fn discard(self) {
        let mut seen = 0;
        let _ = self
            .each(|chunk| {
                seen += chunk.len();
                if seen > MAX_REST { Err(Error::too_large(MAX_REST)) } else { Ok(()) }
            })
            .await;
    }

    /// The next piece of the body as it came; None at the end. For streams that have no end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = match self.deadline {
                Some(at) => tokio::time::timeout_at(at, self.body.frame()).await.map_err(|_| Error::timeout())?,
                None => self.body.frame().await,
            };
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(body_error(e)),
                Some(Ok(f)) => {
                    if let Ok(data) = f.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn each(mut self, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        while let Some(data) = self.chunk().await? {
            take(data.chunk())?;
        }
        Ok(())
    }
}

fn body_error(e: hyper::Error) -> Error {
    if e.is_incomplete_message() {
        return Error::new(ErrorKind::Transport, "unexpected EOF");
    }
    Error::with(ErrorKind::Transport, "read body", e)
}
