//! Which parser a Content-Type asks for.

use model::labels::quote;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// text/plain, versions 0.0.4 and 1.0.0.
    Text,
    /// application/openmetrics-text, versions 0.0.1 and 1.0.0.
    OpenMetrics,
    /// application/vnd.google.protobuf: delimited io.prometheus.client.MetricFamily.
    Protobuf,
}

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain",
            Format::OpenMetrics => "application/openmetrics-text",
            Format::Protobuf => "application/vnd.google.protobuf",
        }
    }

    fn from_media_type(s: &str) -> Option<Self> {
        [Format::Text, Format::OpenMetrics, Format::Protobuf].into_iter().find(|f| f.media_type().eq_ignore_ascii_case(s))
    }
}

/// The format of a response. With a fallback, a missing or strange type is a warning (the second value) instead of an error.
pub fn format_of(content_type: &str, fallback: Option<Format>) -> Result<(Format, Option<String>), String> {
    let (with, without) = if content_type.is_empty() {
        ("non-compliant scrape target sending blank Content-Type".to_string(), " specified for target")
    } else {
        let media = content_type.split(';').next().unwrap_or("").trim();
        if let Some(f) = Format::from_media_type(media) {
            return Ok((f, None));
        }
        let token = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&c));
        match media.split_once('/') {
            Some((a, b)) if token(a) && token(b) => (format!("received unsupported Content-Type {}", quote(content_type)), " specified for target"),
            _ => (format!("cannot parse Content-Type {}", quote(content_type)), " for target"),
        }
    };
    match fallback {
        Some(f) => Ok((f, Some(format!("{with}, using fallback_scrape_protocol {}", quote(f.media_type()))))),
        None => Err(format!("{with} and no fallback_scrape_protocol{without}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_a_format() {
        for (content_type, fallback, expect) in [
            ("text/plain; version=0.0.4", None, Ok(Format::Text)),
            ("TEXT/plain", None, Ok(Format::Text)),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", None, Ok(Format::OpenMetrics)),
            ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", None, Ok(Format::Protobuf)),
            ("", Some(Format::OpenMetrics), Ok(Format::OpenMetrics)),
            ("text/html", Some(Format::Text), Ok(Format::Text)),
            ("", None, Err("non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target")),
            ("text/html", None, Err("received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target")),
            ("plain text", None, Err("cannot parse Content-Type \"plain text\" and no fallback_scrape_protocol for target")),
        ] {
            assert_eq!(format_of(content_type, fallback).map(|(f, _)| f), expect.map_err(str::to_string), "{content_type}");
        }
    }
}
