//! The network: a link from each server to its parent, which may be cut, slow, lossy, and may bring a request twice or behind a later one.
//!
//! A request is lost on the way there or its answer on the way back; the sender cannot tell which.

use crate::exec::Exec;
use crate::time::MS;
use crate::world::{Event, Queue};
use client::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use remote::uplink::{Answer, Push, Sending, Transport, TransportError};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use stdx::rand::Rand;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Up,
    /// Nobody listens: it is told at once.
    Refused,
    /// What is sent vanishes.
    Silent,
}

/// How a link behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub mode: Mode,
    pub latency_ms: (u64, u64),
    pub lose_request: f64,
    pub lose_answer: f64,
    /// The request arrives once more, up to a minute later.
    pub twice: f64,
}

impl Manner {
    pub fn good() -> Self {
        Manner { mode: Mode::Up, latency_ms: (1, 20), lose_request: 0.0, lose_answer: 0.0, twice: 0.0 }
    }
}

/// The link from one server to its parent.
pub struct Link {
    pub from: usize,
    pub to: usize,
    state: Mutex<(Manner, Rand)>,
    exec: Exec,
    queue: Queue,
    /// Sabotage: what cannot be delivered is acknowledged all the same.
    pub acknowledges_all: bool,
}

impl Link {
    pub fn new(from: usize, to: usize, exec: Exec, queue: Queue, rand: Rand, acknowledges_all: bool) -> Arc<Self> {
        Arc::new(Link { from, to, state: Mutex::new((Manner::good(), rand)), exec, queue, acknowledges_all })
    }

    pub fn manner(&self) -> Manner {
        self.state.lock().0
    }

    pub fn set(&self, manner: Manner) {
        self.state.lock().0 = manner;
    }

    fn chance(&self, p: f64) -> bool {
        self.state.lock().1.chance(p)
    }

    pub fn latency_ns(&self) -> u64 {
        let mut s = self.state.lock();
        let (lo, hi) = s.0.latency_ms;
        let us = s.1.below((hi - lo) * 1000 + 1);
        lo * MS + us * 1000
    }

    /// Sends an answer back, or loses it.
    pub fn answer(&self, reply: &Arc<Reply>, after_ns: u64, result: Result<Answer, TransportError>) {
        let m = self.manner();
        if m.mode == Mode::Silent || self.chance(m.lose_answer) {
            return;
        }
        let result = if m.mode == Mode::Refused { Err(TransportError("connection reset".to_string())) } else { result };
        let at = self.exec.now_ns() + after_ns + self.latency_ns();
        self.queue.put(at, Event::Answer { reply: Arc::clone(reply), result });
    }
}

/// A request on its way.
pub struct Delivery {
    pub link: Arc<Link>,
    pub push: Push,
    /// None for one that arrives again: nobody waits for its answer.
    pub reply: Option<Arc<Reply>>,
}

/// Where the answer is waited for.
#[derive(Default)]
pub struct Reply {
    state: Mutex<(Option<Result<Answer, TransportError>>, Option<Waker>)>,
}

impl Reply {
    pub fn put(&self, result: Result<Answer, TransportError>) {
        let waker = {
            let mut s = self.state.lock();
            s.0.get_or_insert(result);
            s.1.take()
        };
        if let Some(w) = waker {
            w.wake();
        }
    }

    async fn get(&self) -> Result<Answer, TransportError> {
        poll_fn(|cx| {
            let mut s = self.state.lock();
            match s.0.take() {
                Some(r) => Poll::Ready(r),
                None => {
                    s.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// One uplink's end of a link.
pub struct SimTransport {
    pub link: Arc<Link>,
    pub timeout: Duration,
}

impl Transport for SimTransport {
    fn send(&self, push: Push) -> Sending<'_> {
        Box::pin(async move {
            let l = &self.link;
            let reply = Arc::new(Reply::default());
            let m = l.manner();
            let now = l.exec.now_ns();
            match m.mode {
                Mode::Up => {
                    if !l.chance(m.lose_request) {
                        let delivery = Delivery { link: Arc::clone(l), push: push.clone(), reply: Some(Arc::clone(&reply)) };
                        l.queue.put(now + l.latency_ns(), Event::Deliver(delivery));
                    }
                    if l.chance(m.twice) {
                        let later = l.state.lock().1.below(60_000) * MS;
                        let delivery = Delivery { link: Arc::clone(l), push, reply: None };
                        l.queue.put(now + l.latency_ns() + later, Event::Deliver(delivery));
                    }
                }
                _ if l.acknowledges_all => {
                    let result = Ok(Answer { status: 204, ..Answer::default() });
                    l.queue.put(now + l.latency_ns(), Event::Answer { reply: Arc::clone(&reply), result });
                }
                Mode::Refused => {
                    let result = Err(TransportError("connection refused".to_string()));
                    l.queue.put(now + l.latency_ns(), Event::Answer { reply: Arc::clone(&reply), result });
                }
                Mode::Silent => {}
            }
            tokio::select! {
                biased;
                r = reply.get() => r,
                () = l.exec.sleep(self.timeout) => Err(TransportError("timeout".to_string())),
            }
        })
    }
}

/// What the HTTP client would make of what the HTTP server would make of an answer.
pub fn over_http(a: &remote::receive::Answer, now_ms: i64) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in &a.headers {
        if let (Ok(n), Ok(v)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            headers.append(n, v);
        }
    }
    let mut answer = Answer::of_headers(a.status, &headers, now_ms);
    if !(200..300).contains(&a.status) {
        answer.message = a.body.lines().next().unwrap_or_default().to_string();
    }
    answer
}
