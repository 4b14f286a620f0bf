//! Lists one kind of objects and follows its changes, for ever.
//!
//! A list comes in pages; the watch that follows starts at the list's version, is kept fresh by bookmarks, and is opened anew where it
//! ended. Only when the server no longer knows that version (410) is everything listed again.

use super::access::Access;
use super::config::Selector;
use super::objects::{Kind, Meta, Object, Resource};
use crate::error::Error;
use crate::metrics::ProviderMetrics;
use crate::provider::Context;
use crate::set::percent_encode;
use client::{HttpClient, Request, Response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use stdx::backoff::Backoff;
use stdx::rand::Rand;
use tokio::sync::mpsc;

const PAGE: usize = 500;
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_PAGE_BYTES: usize = 512 << 20;
/// One event of a watch.
const MAX_EVENT_BYTES: usize = 64 << 20;
const BACKOFF_MIN: Duration = Duration::from_millis(800);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What a watch tells the state.
#[derive(Debug)]
pub(crate) struct Change {
    pub kind: Kind,
    /// Which of the provider's watches speaks.
    pub watch: usize,
    pub what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// All there is in the watch's view, by key.
    All(Vec<(String, Object)>),
    Put(String, Object),
    Gone(String),
}

pub(crate) struct Watch {
    client: HttpClient,
    base: String,
    namespace: Option<String>,
    selector: Selector,
    index: usize,
    sender: mpsc::Sender<Change>,
    metrics: Arc<ProviderMetrics>,
    job: String,
    rand: Rand,
}

#[derive(Deserialize)]
struct List<T> {
    metadata: ListMeta,
    items: Option<Vec<T>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Bookmark {
    metadata: Meta,
}

/// Why a watch ended.
enum End {
    /// It is over, as watches are after a while.
    Over,
    /// The version is too old: list again.
    Gone,
    /// Nobody listens any more.
    Closed,
}

impl Watch {
    pub fn new(access: &Access, namespace: Option<String>, selector: Selector, index: usize, sender: mpsc::Sender<Change>, cx: &Context) -> Self {
        Watch {
            client: access.client.clone(),
            base: access.base.clone(),
            namespace,
            selector,
            index,
            sender,
            metrics: Arc::clone(&cx.metrics),
            job: cx.job.clone(),
            rand: Rand::from_entropy(),
        }
    }

    pub async fn run<T: Resource>(mut self) {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX, self.rand.clone());
        let mut version: Option<String> = None;
        loop {
            let result = match &version {
                None => self.list::<T>().await.map(|v| {
                    version = v;
                    if version.is_some() { End::Over } else { End::Closed }
                }),
                Some(from) => {
                    let mut at = from.clone();
                    let result = self.follow::<T>(&mut at).await;
                    version = Some(at);
                    result
                }
            };
            match result {
                Ok(End::Over) => backoff.reset(),
                Ok(End::Closed) => return,
                Ok(End::Gone) => version = None,
                Err(e) => {
                    self.metrics.kubernetes_failures.inc();
                    tracing::error!(discovery = "kubernetes", config = self.job, resource = T::PLURAL, err = %e, "unable to list or watch");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    fn url<T: Resource>(&self, query: &str) -> String {
        let scope = self.namespace.as_ref().map(|n| format!("/namespaces/{n}")).unwrap_or_default();
        let mut url = format!("{}{}{scope}/{}?{query}", self.base, T::API, T::PLURAL);
        for (name, value) in [("labelSelector", &self.selector.label), ("fieldSelector", &self.selector.field)] {
            if !value.is_empty() {
                url.push_str(&format!("&{name}={}", percent_encode(value)));
            }
        }
        url
    }

    async fn send(&self, what: What, kind: Kind) -> bool {
        self.sender.send(Change { kind, watch: self.index, what }).await.is_ok()
    }

    /// The version of the list; None when nobody listens.
    async fn list<T: Resource>(&self) -> Result<Option<String>, Error> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let url =
                self.url::<T>(&if next.is_empty() { format!("limit={PAGE}") } else { format!("limit={PAGE}&continue={}", percent_encode(&next)) });
            let answer = ok(self.client.send(Request::get(&url)?.timeout(LIST_TIMEOUT)).await?).await?;
            let body = answer.bytes(MAX_PAGE_BYTES).await?;
            let page: List<T> = serde_json::from_slice(&body).map_err(|e| Error::invalid(format!("list of {}: {e}", T::PLURAL)))?;
            all.extend(page.items.unwrap_or_default().into_iter().map(|o| (o.meta().key(), o.object())));
            next = page.metadata.next;
            if next.is_empty() {
                let version = page.metadata.resource_version;
                return Ok(self.send(What::All(all), T::KIND).await.then_some(version));
            }
        }
    }

    async fn follow<T: Resource>(&mut self, version: &mut String) -> Result<End, Error> {
        // Spread over five to ten minutes, so that many watches do not end at once.
        let seconds = 300 + self.rand.below(300);
        let url = self.url::<T>(&format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}", percent_encode(version)));
        let answer = self.client.send(Request::get(&url)?.timeout(Duration::from_secs(seconds + 30))).await?;
        if answer.status == 410 {
            return Ok(End::Gone);
        }
        let mut answer = ok(answer).await?;
        let mut buf: Vec<u8> = Vec::new();
        loop {
            let Some(chunk) = answer.chunk().await? else { return Ok(End::Over) };
            let mut scanned = buf.len();
            buf.extend_from_slice(&chunk);
            let mut start = 0;
            while let Some(i) = buf[scanned..].iter().position(|b| *b == b'\n') {
                let end = scanned + i;
                if let Some(over) = self.event::<T>(&buf[start..end], version).await? {
                    return Ok(over);
                }
                start = end + 1;
                scanned = start;
            }
            buf.drain(..start);
            if buf.len() > MAX_EVENT_BYTES {
                return Err(Error::invalid(format!("event is larger than {MAX_EVENT_BYTES} bytes")));
            }
        }
    }

    async fn event<T: Resource>(&self, line: &[u8], version: &mut String) -> Result<Option<End>, Error> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let bad = |e: serde_json::Error| Error::invalid(format!("event of {}: {e}", T::PLURAL));
        let event: Event<'_> = serde_json::from_slice(line).map_err(bad)?;
        let (what, seen) = match event.kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let o: T = serde_json::from_str(event.object.get()).map_err(bad)?;
                let (key, seen) = (o.meta().key(), o.meta().resource_version.clone());
                (What::Put(key, o.object()), seen)
            }
            "DELETED" => {
                let o: T = serde_json::from_str(event.object.get()).map_err(bad)?;
                (What::Gone(o.meta().key()), o.meta().resource_version.clone())
            }
            "BOOKMARK" => {
                let b: Bookmark = serde_json::from_str(event.object.get()).map_err(bad)?;
                *version = b.metadata.resource_version;
                return Ok(None);
            }
            "ERROR" => {
                let s: Status = serde_json::from_str(event.object.get()).map_err(bad)?;
                return if s.code == 410 { Ok(Some(End::Gone)) } else { Err(Error::invalid(format!("watch: {} ({})", s.message, s.code))) };
            }
            _ => return Ok(None),
        };
        if !seen.is_empty() {
            *version = seen;
        }
        Ok(if self.send(what, T::KIND).await { None } else { Some(End::Closed) })
    }
}

async fn ok(answer: Response) -> Result<Response, Error> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let status = answer.status;
    let body = answer.first_line().await;
    let why: Status = serde_json::from_str(&body).unwrap_or_default();
    let text = if why.message.is_empty() { body } else { why.message };
    Err(Error::invalid(format!("server answered {status}: {text}")))
}
