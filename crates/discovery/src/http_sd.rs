//! Targets from an HTTP server that answers with the JSON of file discovery.

use crate::error::Error;
use crate::group::{self, TargetGroup};
use crate::provider::{Context, Updates};
use crate::refresh;
use client::{HeaderValue, HttpClient, HttpConfig, Request, header};
use std::future::Future;
use yaml::{Millis, Url};

/// A longer answer is refused.
pub(crate) const MAX_BODY_BYTES: usize = 256 << 20;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct HttpSdConfig as "http.plain" check(HttpSdConfig::check) {
        pub http: HttpConfig => inline;
        pub refresh_interval: Millis = Millis::from_secs(60);
        pub url: Url => always;
    }
}

impl HttpSdConfig {
    fn check(&mut self) -> Result<(), String> {
        check_url(&self.url)
    }
}

/// The complaints of discoveries that ask a URL.
pub(crate) fn check_url(url: &Url) -> Result<(), String> {
    if url.is_empty() {
        return Err("URL is missing".into());
    }
    if !matches!(url.scheme().as_str(), "http" | "https") {
        return Err("URL scheme must be 'http' or 'https'".into());
    }
    if url.host().is_empty() {
        return Err("host is missing in URL".into());
    }
    Ok(())
}

pub(crate) fn run(config: HttpSdConfig, cx: Context, updates: Updates) -> Result<impl Future<Output = ()> + Send, Error> {
    let http = cx.client(&config.http, "http")?;
    let mut request = Request::get(config.url.as_str())?.timeout(config.refresh_interval.duration());
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let seconds = model::number::format_f(config.refresh_interval.ms() as f64 / 1000.0);
    if let Ok(v) = HeaderValue::from_str(&seconds) {
        request.headers.insert("x-prometheus-refresh-interval-seconds", v);
    }
    let interval = config.refresh_interval.duration();
    let failures = cx.metrics.http_failures.clone();
    Ok(refresh::run("http", interval, cx, updates, async move || {
        let result = ask(&http, &request, &config).await;
        if result.is_err() {
            failures.inc();
        }
        result
    }))
}

async fn ask(http: &HttpClient, request: &Request, config: &HttpSdConfig) -> Result<Vec<TargetGroup>, Error> {
    let answer = http.send(request.clone()).await?;
    if answer.status != 200 {
        return Err(Error::invalid(format!("server returned HTTP status {}", answer.status)));
    }
    let kind = answer.headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).trim().to_string()).unwrap_or_default();
    if !is_json(&kind) {
        return Err(Error::invalid(format!("unsupported content type {kind:?}")));
    }
    let body = answer.bytes(MAX_BODY_BYTES).await?;
    let url = config.url.as_str();
    let label = |(i, g): (usize, TargetGroup)| TargetGroup { source: format!("{url}:{i}"), ..g }.with_label("__meta_url", url);
    Ok(group::from_json(&body)?.into_iter().enumerate().map(label).collect())
}

fn is_json(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    match lower.split_once(';') {
        None => lower == "application/json",
        Some((kind, rest)) => kind == "application/json" && matches!(rest.trim_start(), "charset=utf-8" | "charset=\"utf-8\""),
    }
}
