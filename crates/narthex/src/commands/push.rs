//! `push metrics`: sends pages in the text format by remote write, once. For testing.

use super::families::read;
use super::http::{self, Http};
use super::{Context, FAILURE, complain, line};
use client::{HeaderName, HeaderValue, Request};
use model::{Labels, Metadata, MetricType};
use remote::wire::body::{Compressor, ContentEncoding};
use remote::wire::{FloatSample, SeriesOut, VERSION_HEADER, Version, write1, write2};
use std::collections::BTreeMap;
use std::time::Duration;

pub fn run(cx: &Context) -> u8 {
    let version = match cx.values.text("protobuf_message") {
        "prometheus.WriteRequest" => Version::V1,
        "io.prometheus.write.v2.Request" => Version::V2,
        other => {
            let quoted = model::labels::quote(other);
            complain(&format!("  FAILED: invalid protobuf message {quoted}, must be prometheus.WriteRequest or io.prometheus.write.v2.Request"));
            return FAILURE;
        }
    };
    let url = endpoint(cx.values.arg("remote-write-url"), cx.values.text("remote-write.path"));
    let http = match Http::new(cx, &url, cx.values.map("header")) {
        Ok(h) => h,
        Err(e) => {
            complain(&e);
            return FAILURE;
        }
    };
    let timeout = Duration::from_nanos(crate::cli::parse_go_duration_ns(cx.values.text("timeout")).unwrap_or(0).max(0) as u64);
    let labels = cx.values.map("label");
    let push = |page: &[u8]| -> Result<(), String> { send(&http, &url, version, timeout, &body(page, version, &labels)?) };
    let files = cx.values.args("metric-files");
    if files.is_empty() {
        let page = super::stdin();
        line("Parsing standard input");
        return match page.and_then(|p| push(&p)) {
            Ok(()) => {
                line("  SUCCESS: metrics pushed to remote write.");
                0
            }
            Err(e) => {
                complain(&format!("  FAILED: {e}"));
                FAILURE
            }
        };
    }
    let mut code = 0;
    for file in files {
        let page = std::fs::read(file).map_err(|e| format!("open {file}: {}", crate::go::io_error(&e)));
        if page.is_ok() {
            line(&format!("Parsing metrics file {file}"));
        }
        match page.and_then(|p| push(&p)) {
            Ok(()) => line(&format!("  SUCCESS: metrics file {file} pushed to remote write.")),
            Err(e) => {
                complain(&format!("  FAILED: {e}"));
                code = FAILURE;
            }
        }
    }
    code
}

/// The URL as given; the usual path when it has none.
fn endpoint(url: &str, path: &str) -> String {
    let url = http::with_scheme(url);
    let rest = url.split_once("://").map_or("", |(_, r)| r);
    if rest.contains('/') && !rest.ends_with('/') || rest.contains('?') {
        return url;
    }
    format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'))
}

/// The message, before it is compressed. Samples without a time are of now.
fn body(page: &[u8], version: Version, extra: &BTreeMap<String, String>) -> Result<Vec<u8>, String> {
    let families = read(page)?;
    let now = http::now_ms();
    let mut out = Vec::new();
    let mut writer = write2::Writer::new();
    for (name, family) in &families {
        let kind = if family.kind == MetricType::Unknown { MetricType::Unknown } else { family.kind };
        let metadata = Metadata { kind, help: family.help.clone().unwrap_or_default(), ..Metadata::default() };
        if version == Version::V1 {
            write1::put_metadata(&mut out, name, &metadata);
        }
        for s in &family.samples {
            let mut b = s.labels.builder();
            for (n, v) in extra {
                b.set(n, v);
            }
            let labels: Labels = b.build();
            let samples = [FloatSample { t_ms: s.t_ms.unwrap_or(now), v: s.v, start_ms: 0 }];
            let series = SeriesOut { labels: labels.as_ref(), samples: &samples, histograms: &[], exemplars: &[], metadata: Some(&metadata) };
            match version {
                Version::V1 => write1::put_series(&mut out, &series),
                Version::V2 => writer.put_series(&series),
            }
        }
    }
    if version == Version::V2 {
        writer.finish(&mut out);
    }
    Ok(out)
}

fn send(http: &Http, url: &str, version: Version, timeout: Duration, message: &[u8]) -> Result<(), String> {
    let mut body = Vec::new();
    Compressor::new().compress(ContentEncoding::Snappy, message, &mut body).map_err(|e| e.to_string())?;
    let failed = |e: client::Error| format!("Post {}: {e}", model::labels::quote(url));
    let header = |name: &'static str| HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
    let request = Request::post(url, version.content_type(), body)
        .map_err(failed)?
        .header(header("content-encoding"), HeaderValue::from_static("snappy"))
        .header(header(VERSION_HEADER), HeaderValue::from_static(version.header_value()))
        .timeout(timeout);
    let answer = http.send(request).map_err(failed)?;
    if answer.status / 100 == 2 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    let reason = client::StatusCode::from_u16(answer.status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    Err(format!("server returned HTTP status {} {reason}: {text}", answer.status))
}
