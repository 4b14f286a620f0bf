//! One Alertmanager: a bounded queue of alerts and the loop that sends them in batches.

use super::config::AlertmanagerConfig;
use super::metrics::Metrics;
use client::{HttpClient, Options, Request, Response, SigV4};
use model::Labels;
use model::time::format_rfc3339_ms;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::shutdown::Shutdown;
use tracing::{error, warn};

/// An alert as Alertmanager takes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Posted {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub starts_at: String,
    pub ends_at: String,
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
}

/// An alert on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub labels: Labels,
    pub annotations: Labels,
    pub starts_at_ms: i64,
    pub ends_at_ms: i64,
    pub generator_url: Arc<str>,
}

impl Outgoing {
    fn posted(&self) -> Posted {
        let map = |l: &Labels| l.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Posted {
            labels: map(&self.labels),
            annotations: map(&self.annotations),
            starts_at: format_rfc3339_ms(self.starts_at_ms),
            ends_at: format_rfc3339_ms(self.ends_at_ms),
            generator_url: self.generator_url.to_string(),
        }
    }
}

/// How a set of Alertmanagers is reached.
#[derive(Clone)]
pub(super) struct Access {
    client: HttpClient,
    signer: Option<Arc<SigV4>>,
}

impl Access {
    pub fn new(config: &AlertmanagerConfig, options: &Options) -> Result<Self, client::Error> {
        let client = HttpClient::new(&config.http, "alertmanager", options)?;
        // Amazon's managed Prometheus, the only one that asks for signatures.
        let signer = config.sigv4.as_ref().map(|s| SigV4::new(s, "aps", options)).transpose()?;
        Ok(Access { client, signer: signer.map(Arc::new) })
    }

    async fn send(&self, mut request: Request) -> Result<Response, client::Error> {
        if let Some(s) = &self.signer {
            s.sign(&mut request).await?;
        }
        self.client.send(request).await
    }
}

pub(super) struct Sender {
    pub url: String,
    access: Access,
    timeout: Duration,
    capacity: usize,
    batch: usize,
    queue: Mutex<VecDeque<Arc<Outgoing>>>,
    more: tokio::sync::Notify,
    metrics: Metrics,
    clock: SharedClock,
}

impl Sender {
    pub fn new(url: String, access: Access, timeout: Duration, capacity: usize, batch: usize, metrics: Metrics, clock: SharedClock) -> Arc<Self> {
        let am = &[url.as_str()];
        metrics.errors.with(am);
        metrics.sent.with(am);
        metrics.dropped.with(am);
        metrics.queue_length.with(am);
        Arc::new(Sender {
            access,
            timeout,
            capacity,
            batch: batch.max(1),
            queue: Mutex::default(),
            more: tokio::sync::Notify::new(),
            metrics,
            clock,
            url,
        })
    }

    /// Puts alerts into the queue; when it is full the oldest are dropped and counted.
    pub fn add(&self, alerts: &[Arc<Outgoing>]) {
        let mut queue = self.queue.lock();
        queue.extend(alerts.iter().cloned());
        let over = queue.len().saturating_sub(self.capacity);
        if over > 0 {
            queue.drain(..over);
            warn!(component = "notifier", alertmanager = %self.url, num_dropped = over, "Alert notification queue full, dropping alerts");
            self.metrics.dropped.with(&[&self.url]).add(over as u64);
        }
        self.metrics.queue_length.with(&[&self.url]).set(queue.len() as f64);
        drop(queue);
        self.more.notify_one();
    }

    /// Sends until told to stop; then, when asked to drain, until the queue is empty.
    pub async fn run(self: Arc<Self>, stop: Shutdown, drain: bool) {
        loop {
            let batch: Vec<Arc<Outgoing>> = {
                let mut queue = self.queue.lock();
                let n = queue.len().min(self.batch);
                let batch = queue.drain(..n).collect();
                self.metrics.queue_length.with(&[&self.url]).set(queue.len() as f64);
                batch
            };
            if batch.is_empty() {
                if stop.is_requested() {
                    break;
                }
                tokio::select! {
                    () = self.more.notified() => {}
                    () = stop.requested() => {}
                }
                continue;
            }
            if stop.is_requested() && !drain {
                self.metrics.dropped.with(&[&self.url]).add(batch.len() as u64);
                continue;
            }
            self.post(&batch).await;
        }
        self.metrics.remove(&self.url);
    }

    async fn post(&self, batch: &[Arc<Outgoing>]) {
        let n = batch.len() as u64;
        let started = self.clock.monotonic();
        let body = serde_json::to_vec(&batch.iter().map(|a| a.posted()).collect::<Vec<_>>()).expect("strings are always JSON");
        let outcome = self.exchange(body).await;
        let took = self.clock.monotonic().saturating_sub(started).as_secs_f64();
        self.metrics.latency.with(&[&self.url]).observe(took);
        self.metrics.latency_histogram.with(&[&self.url]).observe(took);
        self.metrics.sent.with(&[&self.url]).add(n);
        if let Err(e) = outcome {
            self.metrics.errors.with(&[&self.url]).add(n);
            self.metrics.dropped.with(&[&self.url]).add(n);
            error!(component = "notifier", alertmanager = %self.url, count = n, err = %e, "Error sending alerts");
        }
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<(), String> {
        let request = Request::post(&self.url, "application/json", body).map_err(|e| e.to_string())?.timeout(self.timeout);
        let response = self.access.send(request).await.map_err(|e| e.to_string())?;
        let status = response.status;
        if status.is_success() {
            response.discard().await;
            return Ok(());
        }
        Err(format!("bad response status {status}: {}", response.first_line().await))
    }
}
