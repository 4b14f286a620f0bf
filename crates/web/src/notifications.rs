//! What the page shows at its top: a reload failed, the server is stopping. As a list, and live as server-sent events.

use crate::api::{ApiResult, App, Success};
use crate::json::Json;
use crate::server::{Body, Reply, Sender};
use bytes::Bytes;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use parking_lot::Mutex;
use std::sync::Arc;
use stdx::metrics::{Counter, Gauge, Registry};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Notification {
    text: String,
    /// RFC 3339.
    date: String,
    active: bool,
}

impl Notification {
    fn write(&self, j: &mut Json) {
        j.raw("{\"text\":").string(&self.text).raw(",\"date\":").string(&self.date).raw(",\"active\":");
        j.raw(if self.active { "true}" } else { "false}" });
    }
}

/// Unsent notifications that a slow subscriber may have; beyond it it is dropped.
const BACKLOG: usize = 16;

pub struct Notifications {
    max_subscribers: usize,
    metrics: Metrics,
    state: Mutex<State>,
}

struct Metrics {
    subscribers: Gauge,
    sent: Counter,
    dropped: Counter,
}

#[derive(Default)]
struct State {
    active: Vec<Notification>,
    subscribers: Vec<Sender>,
}

impl Notifications {
    pub fn new(max_subscribers: usize, r: &Registry) -> Arc<Self> {
        let metrics = Metrics {
            subscribers: r.gauge("prometheus_api_notification_active_subscribers", "The current number of active notification subscribers."),
            sent: r.counter("prometheus_api_notification_updates_sent_total", "Total number of notification updates sent."),
            dropped: r.counter("prometheus_api_notification_updates_dropped_total", "Total number of notification updates dropped."),
        };
        Arc::new(Notifications { max_subscribers, metrics, state: Mutex::default() })
    }

    /// To all subscribers; one that does not read is dropped.
    fn send(&self, s: &mut State, n: &Notification) {
        let event = event(n);
        s.subscribers.retain(|to| {
            let sent = to.try_send(event.clone()).is_ok();
            let count = if sent { &self.metrics.sent } else { &self.metrics.dropped };
            count.inc();
            sent
        });
        self.metrics.subscribers.set(s.subscribers.len() as f64);
    }

    /// Shows a text until it is removed. Once only, however often it is added.
    pub fn add(&self, text: &str, date: &str) {
        let mut s = self.state.lock();
        if s.active.iter().any(|n| n.text == text) {
            return;
        }
        let n = Notification { text: text.to_string(), date: date.to_string(), active: true };
        s.active.push(n.clone());
        self.send(&mut s, &n);
    }

    pub fn remove(&self, text: &str) {
        let mut s = self.state.lock();
        if let Some(i) = s.active.iter().position(|n| n.text == text) {
            let n = Notification { active: false, ..s.active.remove(i) };
            self.send(&mut s, &n);
        }
    }

    pub fn list(&self) -> ApiResult {
        let mut j = Json::default();
        j.raw("[");
        let mut first = true;
        for n in &self.state.lock().active {
            n.write(j.sep(&mut first));
        }
        j.raw("]");
        Ok(Success::json(j))
    }

    /// Ends all live streams.
    pub fn close(&self) {
        self.state.lock().subscribers.clear();
    }
}

fn event(n: &Notification) -> Bytes {
    let mut j = Json::default();
    j.raw("data: ");
    n.write(&mut j);
    j.raw("\n\n");
    j.into_bytes().into()
}

/// `/notifications/live`
pub fn live(app: &App) -> Reply {
    let n = &app.notifications;
    let mut s = n.state.lock();
    s.subscribers.retain(|s| !s.is_closed());
    if s.subscribers.len() >= n.max_subscribers {
        return Reply::empty(StatusCode::NO_CONTENT);
    }
    let (tx, body) = Body::stream(BACKLOG);
    for a in &s.active {
        if tx.try_send(event(a)).is_err() {
            break;
        }
    }
    s.subscribers.push(tx);
    n.metrics.subscribers.set(s.subscribers.len() as f64);
    Reply::stream(StatusCode::OK, "text/event-stream", body).header(CACHE_CONTROL, "no-cache")
}
