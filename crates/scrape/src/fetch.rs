//! Asking a target for its page.

use crate::config::ScrapeConfig;
use crate::core::Fetched;
use crate::metrics::Metrics;
use crate::protocol::accept_header;
use crate::target::Target;
use client::{ErrorKind, HeaderName, HeaderValue, HttpClient, Request, StatusCode, header};
use model::labels::quote;
use std::time::Duration;

/// Largest page, uncompressed, where no `body_size_limit` is set.
pub const DEFAULT_BODY_LIMIT: usize = 1 << 30;

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// All that is the same from scrape to scrape.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: HttpClient,
    /// Or why there can be none.
    request: Result<Request, String>,
    url: String,
    body_limit: usize,
}

impl Fetcher {
    pub fn new(client: HttpClient, target: &Target, config: &ScrapeConfig) -> Self {
        let timeout = Duration::from_millis(target.timeout_ms().unsigned_abs());
        let header = |s: &str| HeaderValue::from_str(s).map_err(|e| e.to_string());
        let request = || -> Result<Request, String> {
            Ok(Request::get(&target.url)
                .map_err(|e| e.to_string())?
                .header(header::ACCEPT, header(&accept_header(config.protocols(), config.escaping()))?)
                .header(header::ACCEPT_ENCODING, HeaderValue::from_static(if config.enable_compression { "gzip" } else { "identity" }))
                .header(TIMEOUT_HEADER, header(&model::number::format_f(timeout.as_secs_f64()))?)
                .timeout(timeout))
        };
        // As in the reference, a page of exactly the limit is already too large.
        let body_limit = match config.body_size_limit.bytes() {
            0 => DEFAULT_BODY_LIMIT,
            n => usize::try_from(n - 1).unwrap_or(usize::MAX),
        };
        Fetcher { client, request: request(), url: target.url.clone(), body_limit }
    }

    /// The page into `body`. Never longer than the time-out.
    pub async fn fetch(&self, mut body: Vec<u8>, metrics: &Metrics) -> Fetched {
        body.clear();
        let failed = |error: String| Fetched::Failed { error, too_large: false };
        let request = match &self.request {
            Ok(r) => r.clone(),
            Err(e) => return failed(e.clone()),
        };
        let response = match self.client.send(request).await {
            Ok(r) => r,
            Err(e) => return failed(format!("Get {}: {e}", quote(&self.url))),
        };
        if response.status != StatusCode::OK {
            let error = format!("server returned HTTP status {}", response.status);
            response.discard().await;
            return failed(error);
        }
        let content_type = response.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
        match response.read(&mut body, self.body_limit).await {
            Ok(()) => Fetched::Page { body, content_type },
            Err(e) if e.kind() == ErrorKind::TooLarge => {
                metrics.exceeded_body_size.inc();
                Fetched::Failed { error: "body size limit exceeded".to_string(), too_large: true }
            }
            Err(e) => failed(e.to_string()),
        }
    }
}
