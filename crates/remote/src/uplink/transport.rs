//! One request to the parent and what it answers. HTTP in the program, anything in a simulation.

use super::batch::Counts;
use crate::azure::AzureTokens;
use crate::config::RemoteWriteConfig;
use crate::receive::SENDER_HEADER;
use crate::wire::body::ContentEncoding;
use crate::wire::{
    EXEMPLARS_WRITTEN_HEADER, FEATURE_HEADER, FEATURE_LATE_SAMPLES, HISTOGRAMS_WRITTEN_HEADER, SAMPLES_WRITTEN_HEADER, VERSION_HEADER, Version,
};
use client::{Bytes, HeaderMap, HeaderName, HeaderValue, HttpClient, Method, Options, Request, SigV4, header};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use stdx::clock::SharedClock;

/// A request body ready to go.
#[derive(Clone, Debug)]
pub struct Push {
    pub version: Version,
    pub encoding: ContentEncoding,
    pub body: Bytes,
    /// 0 for the first try.
    pub attempt: u32,
}

/// What came back, whatever the status.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// The parent is one of ours and said what it can do; None when it is not.
    pub features: Option<Features>,
    /// It takes zstd.
    pub zstd: bool,
    /// What it says it wrote; None when it does not say.
    pub written: Option<Counts>,
    /// First line of the body of an answer that is not 2xx.
    pub message: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub late_samples: bool,
}

/// No answer: worth trying again.
#[derive(Clone, Debug)]
pub struct TransportError(pub String);

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TransportError {}

pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>>;

pub trait Transport: Send + Sync {
    /// May be dropped at any point.
    fn send(&self, push: Push) -> Sending<'_>;
}

/// Remote write over HTTP.
pub struct HttpTransport {
    client: HttpClient,
    request: Request,
    signer: Option<SigV4>,
    azure: Option<AzureTokens>,
    clock: SharedClock,
}

const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");

impl HttpTransport {
    /// `sender` is what this server calls itself, "" for nothing.
    pub fn new(config: &RemoteWriteConfig, name: &str, sender: &str, options: &Options) -> Result<Self, client::Error> {
        if let Some(key) = config.unsupported() {
            let text = format!("remote write: {key} is not supported yet; use basic_auth, authorization, oauth2, sigv4 or another way of azuread");
            return Err(client::Error::new(client::ErrorKind::Config, text));
        }
        let options = Options { round_robin_dns: config.round_robin_dns, ..options.clone() };
        let client = HttpClient::new(&config.http, name, &options)?;
        let mut request = Request::new(Method::POST, config.url.as_str())?.timeout(config.remote_timeout.duration());
        if let (false, Ok(name), Ok(value)) = (sender.is_empty(), HeaderName::from_bytes(SENDER_HEADER.as_bytes()), HeaderValue::from_str(sender)) {
            request.headers.insert(name, value);
        }
        for (k, v) in &config.headers {
            if let (Ok(k), Ok(v)) = (HeaderName::from_bytes(k.as_bytes()), HeaderValue::from_str(v)) {
                request.headers.insert(k, v);
            }
        }
        // Amazon's managed Prometheus.
        let signer = config.sigv4.as_ref().map(|s| SigV4::new(s, "aps", &options)).transpose()?;
        let azure = config.azuread.as_ref().map(|a| AzureTokens::new(a, name, &options)).transpose()?;
        Ok(HttpTransport { client, request, signer, azure, clock: options.clock })
    }
}

impl Transport for HttpTransport {
    fn send(&self, push: Push) -> Sending<'_> {
        Box::pin(async move {
            let mut request = self.request.clone();
            let h = &mut request.headers;
            h.insert(header::CONTENT_ENCODING, HeaderValue::from_static(push.encoding.header_value()));
            h.insert(header::CONTENT_TYPE, HeaderValue::from_static(push.version.content_type()));
            if let Ok(name) = HeaderName::from_bytes(VERSION_HEADER.as_bytes()) {
                h.insert(name, HeaderValue::from_static(push.version.header_value()));
            }
            if push.attempt > 0 {
                h.insert(RETRY_ATTEMPT, HeaderValue::from(push.attempt));
            }
            request.body = push.body;
            if let Some(s) = &self.signer {
                s.sign(&mut request).await.map_err(|e| TransportError(e.to_string()))?;
            }
            if let Some(a) = &self.azure {
                let token = a.header().await.map_err(|e| TransportError(e.to_string()))?;
                request.headers.insert(header::AUTHORIZATION, token);
            }
            let response = self.client.send(request).await.map_err(|e| TransportError(e.to_string()))?;
            if let (401, Some(a)) = (response.status.as_u16(), &self.azure) {
                a.forget();
            }
            let mut answer = Answer::of_headers(response.status.as_u16(), &response.headers, self.clock.now_ms());
            if response.status.is_success() {
                response.discard().await;
            } else {
                answer.message = response.first_line().await;
            }
            Ok(answer)
        })
    }
}

impl Answer {
    /// What status and headers say.
    pub fn of_headers(status: u16, headers: &HeaderMap, now_ms: i64) -> Answer {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let number = |name: &str| text(name).and_then(|v| v.trim().parse::<u64>().ok());
        let words = |name: &str| {
            text(name).into_iter().flat_map(|v| v.split(',')).map(|w| w.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        };
        let written = number(SAMPLES_WRITTEN_HEADER).map(|samples| Counts {
            samples,
            histograms: number(HISTOGRAMS_WRITTEN_HEADER).unwrap_or(0),
            exemplars: number(EXEMPLARS_WRITTEN_HEADER).unwrap_or(0),
        });
        Answer {
            status,
            retry_after: text("retry-after").and_then(|v| retry_after(v, now_ms)),
            features: text(FEATURE_HEADER).map(|_| Features { late_samples: words(FEATURE_HEADER).any(|w| w == FEATURE_LATE_SAMPLES) }),
            zstd: words("accept-encoding").any(|w| w == "zstd"),
            written,
            message: String::new(),
        }
    }
}

/// Seconds, or an HTTP date.
fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(s) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(s));
    }
    let at_ms = http_date_ms(text.trim())?;
    Some(Duration::from_millis(u64::try_from(at_ms - now_ms).unwrap_or(0)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn http_date_ms(text: &str) -> Option<i64> {
    let mut parts = text.split_ascii_whitespace().skip(1);
    let day: i64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].iter().position(|m| *m == month)? as i64 + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|n| n.parse::<i64>().ok());
    let (h, m, s) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since the epoch, by counting in years that begin in March.
    let (y, m_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m_from_march + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + h * 3600 + m * 60 + s) * 1000)
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
