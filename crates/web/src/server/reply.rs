//! An answer on its way out: status, headers, body; compressed when the client takes it.

use super::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, VARY};
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

    pub fn redirect(status: StatusCode, to: &str) -> Self {
        let shown = to.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;");
        let body = format!("<a href=\"{shown}\">{}</a>.\n\n", status.canonical_reason().unwrap_or("Found"));
        Self::new(status, "text/html; charset=utf-8", body).header(LOCATION, to)
    }

    /// The path is there, but not for this method.
    pub fn not_allowed(allow: &str) -> Self {
        Self::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").header(ALLOW, allow)
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coding {
    Zstd,
    Gzip,
    Deflate,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }
}

/// Of what the client takes the cheapest: zstd, gzip, deflate.
fn best_coding(asked: &HeaderMap) -> Option<Coding> {
    let mut best: Option<Coding> = None;
    for part in asked.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        let mut it = part.split(';').map(str::trim);
        let name = it.next().unwrap_or("");
        if it.any(|p| matches!(p.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")) {
            continue;
        }
        let coding = match name {
            "zstd" => Coding::Zstd,
            "gzip" | "x-gzip" | "*" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            _ => continue,
        };
        best = Some(best.map_or(coding, |b| b.min(coding)));
    }
    best
}

fn compress(plain: &[u8], coding: Coding) -> Bytes {
    let level = flate2::Compression::fast();
    let out = Vec::with_capacity(plain.len() / 4);
    let done = match coding {
        Coding::Zstd => zstd::bulk::compress(plain, 1),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_best_coding_that_is_asked_for() {
        for (asked, want) in [
            ("", None),
            ("identity", None),
            ("gzip", Some(Coding::Gzip)),
            ("deflate, gzip;q=0.5", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("zstd;q=0, gzip", Some(Coding::Gzip)),
            ("br;q=1.0, *;q=0.1", Some(Coding::Gzip)),
            ("gzip; q = 0", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(asked).expect("a header"))]);
            assert_eq!(best_coding(&headers), want, "{asked}");
        }
    }

    #[test]
    fn every_coding_comes_back_the_same() {
        let plain: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&compress(&plain, Coding::Gzip)[..]).read_to_end(&mut out).expect("gzip");
        assert!(out == plain);
        out.clear();
        flate2::read::ZlibDecoder::new(&compress(&plain, Coding::Deflate)[..]).read_to_end(&mut out).expect("deflate");
        assert!(out == plain);
        assert!(zstd::bulk::decompress(&compress(&plain, Coding::Zstd), 200_000).expect("zstd") == plain);
    }
}
