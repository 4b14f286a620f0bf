//! An answer on its way out: status, headers, body; compressed when the client takes it.

use super::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, VARY};
use http::{HeaderMap, Method, StatusCode};
use std::io::Write;

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Body,
    /// May the body be compressed?
    pub compress: bool,
}

/// Below this compressing costs more than it saves.
const MIN_COMPRESS_BYTES: usize = 512;

impl Reply {
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Reply { status, headers: vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))], body: Body::full(body), compress: true }
    }

    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    pub fn empty(status: StatusCode) -> Self {
        Reply { status, headers: Vec::new(), body: Body::empty(), compress: false }
    }

    pub fn redirect(to: &str) -> Self {
        Self::empty(StatusCode::FOUND).header(LOCATION, to)
    }

    /// A body that a task sends piece by piece.
    pub fn stream(status: StatusCode, content_type: &'static str, body: Body) -> Self {
        Reply { status, headers: vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))], body, compress: false }
    }

    /// Adds a header; a value that is no header value is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(v) = HeaderValue::from_str(value) {
            self.headers.push((name, v));
        }
        self
    }

    pub(super) async fn into_http(self, asked: &HeaderMap, method: &Method) -> http::Response<Body> {
        let mut out = http::Response::new(Body::empty());
        *out.status_mut() = self.status;
        for (n, v) in self.headers {
            out.headers_mut().append(n, v);
        }
        let mut body = self.body;
        if self.compress {
            out.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
            if let Body::Full(Some(bytes)) = &mut body
                && bytes.len() >= MIN_COMPRESS_BYTES
                && let Some(coding) = best_coding(asked)
            {
                let plain = std::mem::take(bytes);
                *bytes = if plain.len() > 1 << 20 {
                    tokio::task::spawn_blocking(move || compress(&plain, coding)).await.unwrap_or_default()
                } else {
                    compress(&plain, coding)
                };
                out.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            }
        }
        *out.body_mut() = if *method == Method::HEAD { Body::empty() } else { body };
        out
    }
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }
}

fn best_coding(asked: &HeaderMap) -> Option<Coding> {
    let mut best = None;
    for part in asked.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        let mut it = part.split(';').map(str::trim);
        let name = it.next().unwrap_or("");
        if it.any(|p| p.replace(' ', "") == "q=0") {
            continue;
        }
        match name {
            "gzip" | "*" => return Some(Coding::Gzip),
            "deflate" => best = Some(Coding::Deflate),
            _ => {}
        }
    }
    best
}

fn compress(plain: &[u8], coding: Coding) -> Bytes {
    let level = flate2::Compression::fast();
    let out = Vec::with_capacity(plain.len() / 4);
    let done = match coding {
        Coding::Gzip => {
            let mut w = flate2::write::GzEncoder::new(out, level);
            w.write_all(plain).and_then(|()| w.finish())
        }
        Coding::Deflate => {
            let mut w = flate2::write::ZlibEncoder::new(out, level);
            w.write_all(plain).and_then(|()| w.finish())
        }
    };
    done.expect("writing to memory does not fail").into()
}
