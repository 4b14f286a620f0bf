//! Which path is what: the API, health, reload, own metrics, federation, the page.

use crate::api::{self, App, Replay};
use crate::metrics::Metrics;
use crate::server::{Admission, Body, Handler, Identity, Need, Reply, ReplyFuture, Req};
use crate::{federate, scope, server};
use http::{HeaderMap, Method, StatusCode};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use stdx::clock::SharedClock;
use stdx::metrics::Registry;

/// What can be answered before the storage is open.
pub struct Front {
    pub clock: SharedClock,
    pub registry: Registry,
    /// Without a trailing slash; "" for the root.
    pub route_prefix: String,
    pub agent: bool,
    pub max_request_bytes_in_flight: usize,
    pub replay: Box<dyn Fn() -> Replay + Send + Sync>,
}

/// The handler of the whole server: of its front from the start, of the rest once [`Site::open`] was called.
pub struct Site {
    front: Arc<Front>,
    app: Arc<OnceLock<Arc<App>>>,
    metrics: Arc<Metrics>,
    in_flight: Arc<AtomicUsize>,
}

/// Bodies of writes are at most this long; so is what they decompress to.
const MAX_WRITE_BYTES: usize = 32 << 20;
/// Forms and everything else.
const MAX_FORM_BYTES: usize = 10 << 20;

/// Gives the bytes back when the request is done.
struct InFlight {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Site {
    pub fn new(front: Front) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new(&front.registry));
        let in_flight = Arc::new(AtomicUsize::new(0));
        let gauge = Arc::clone(&in_flight);
        let bytes = front.registry.gauge("narthex_web_request_bytes_in_flight", "Bytes of request bodies of writers that are held right now.");
        front.registry.collector(move |_| bytes.set(gauge.load(Ordering::Relaxed) as f64));
        Arc::new(Site { front: Arc::new(front), app: Arc::default(), metrics, in_flight })
    }

    /// From now on everything is served; whether it is complete is for the [`App`] to say.
    pub fn open(&self, app: Arc<App>) {
        let _ = self.app.set(app);
    }

    /// Nothing is missing any more.
    pub fn announce_ready(&self) {
        self.metrics.ready.set(1.0);
    }

    /// The path below the route prefix; None when it is not below it.
    fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.front.route_prefix.as_str()).filter(|p| p.is_empty() || p.starts_with('/'))
    }
}

impl Handler for Site {
    fn call(&self, req: Req) -> ReplyFuture {
        let (front, app, metrics) = (Arc::clone(&self.front), Arc::clone(&self.app), Arc::clone(&self.metrics));
        let path = self.strip(&req.path).map(str::to_string);
        Box::pin(async move {
            let started = front.clock.monotonic();
            if let Some(clean) = cleaned(&req.path) {
                return Reply::redirect(StatusCode::MOVED_PERMANENTLY, &with_query(&clean, &req.params));
            }
            let Some(path) = path else {
                return if req.path == "/" {
                    Reply::redirect(StatusCode::FOUND, &format!("{}/", front.route_prefix))
                } else {
                    Reply::text(StatusCode::NOT_FOUND, "404 page not found\n")
                };
            };
            let name = handler_name(&path);
            let reply = match app.get() {
                Some(app) => route(app, &front, &metrics, req, &path).await,
                None => waiting(&front, &metrics, &req, &path).await,
            };
            let bytes = match &reply.body {
                Body::Full(b) => b.as_ref().map_or(0, |b| b.len() as u64),
                Body::Stream(_) => 0,
            };
            metrics.observe(&name, reply.status.as_u16(), front.clock.monotonic().saturating_sub(started).as_secs_f64(), bytes);
            reply
        })
    }

    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap, identity: Option<&Identity>) -> Result<Admission, Reply> {
        let below = self.strip(path).unwrap_or("");
        scope::permit(identity, method, below)?;
        if scope::need(method, below) != Need::Write {
            return Ok(Admission { max_body_bytes: MAX_FORM_BYTES, permit: None });
        }
        match self.app.get() {
            None => return Err(api::not_ready(false)),
            Some(app) if app.receiver.is_some() && !app.is_serving() => return Err(app.not_ready()),
            Some(_) => {}
        }
        let length: usize = headers.get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(MAX_WRITE_BYTES);
        let bytes = length.min(MAX_WRITE_BYTES);
        let before = self.in_flight.fetch_add(bytes, Ordering::AcqRel);
        let permit = InFlight { bytes, total: Arc::clone(&self.in_flight) };
        // One request is always let in, however small the budget.
        if before > 0 && before + bytes > self.front.max_request_bytes_in_flight {
            let text = format!("too many request bytes in flight: {before} of {}\n", self.front.max_request_bytes_in_flight);
            return Err(Reply::text(StatusCode::SERVICE_UNAVAILABLE, text).header(http::header::RETRY_AFTER, "1"));
        }
        Ok(Admission { max_body_bytes: MAX_WRITE_BYTES, permit: Some(Box::new(permit)) })
    }
}

/// A path without doubled slashes and dots, when it has any: Go's servers send there who asks otherwise.
fn cleaned(path: &str) -> Option<String> {
    let odd = path.contains("//") || path.split('/').any(|s| matches!(s, "." | ".."));
    if !odd && path != "/api/v1" {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for s in path.split('/') {
        match s {
            "" | "." => {}
            ".." => drop(kept.pop()),
            s => kept.push(s),
        }
    }
    let slash = if (path.ends_with('/') || path == "/api/v1") && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", kept.join("/")))
}

fn with_query(path: &str, params: &server::Params) -> String {
    let query: Vec<String> = params.pairs().iter().map(|(k, v)| format!("{}={}", form_escape(k), form_escape(v))).collect();
    if query.is_empty() { path.to_string() } else { format!("{path}?{}", query.join("&")) }
}

/// The path as the metrics name it: parameters by their names, unknown paths as one.
fn handler_name(path: &str) -> String {
    match path {
        p if p.starts_with("/api/v1/label/") => "/api/v1/label/:name/values".to_string(),
        p if p.starts_with("/api/v1/") => match p.len() {
            0..=40 => p.to_string(),
            _ => "/api/v1/*path".to_string(),
        },
        p if p.starts_with("/user/") => "/user/*filepath".to_string(),
        "/" | "/graph" | "/metrics" | "/federate" | "/version" | "/-/healthy" | "/-/ready" | "/-/reload" | "/-/quit" => path.to_string(),
        _ => "/*path".to_string(),
    }
}

/// Routes of the page.
const PAGES: &[&str] = &[
    "/query",
    "/alerts",
    "/targets",
    "/rules",
    "/service-discovery",
    "/status",
    "/tsdb-status",
    "/flags",
    "/config",
    "/alertmanager-discovery",
    "/agent",
    "/tree",
];

/// While the storage is being opened.
async fn waiting(front: &Arc<Front>, metrics: &Metrics, req: &Req, path: &str) -> Reply {
    match path {
        "/-/healthy" => healthy(front, req),
        "/metrics" => own_metrics(front, metrics, req).await,
        "/api/v1/status/walreplay" => api::wal_replay((front.replay)()),
        _ => api::not_ready(false),
    }
}

fn word(front: &Front) -> &'static str {
    if front.agent { "Agent" } else { "Server" }
}

fn healthy(front: &Front, req: &Req) -> Reply {
    if req.method == Method::HEAD {
        return Reply::empty(StatusCode::OK);
    }
    Reply::text(StatusCode::OK, format!("Prometheus {} is Healthy.\n", word(front)))
}

async fn route(app: &Arc<App>, front: &Arc<Front>, metrics: &Arc<Metrics>, req: Req, path: &str) -> Reply {
    if path == "/api/v1/status/walreplay" && req.method == Method::GET {
        return api::wal_replay((front.replay)());
    }
    if let Some(api) = path.strip_prefix("/api/v1/") {
        return api::handle(Arc::clone(app), req, api.to_string()).await;
    }
    let get = req.method == Method::GET || req.method == Method::HEAD;
    let post = req.method == Method::POST || req.method == Method::PUT;
    match path {
        "/-/healthy" | "/-/ready" if !get => Reply::not_allowed("GET, HEAD, OPTIONS"),
        "/-/healthy" => healthy(front, &req),
        "/-/ready" => {
            if app.is_ready() && req.method == Method::HEAD {
                Reply::empty(StatusCode::OK)
            } else if app.is_ready() {
                Reply::text(StatusCode::OK, format!("Prometheus {} is Ready.\n", word(front)))
            } else {
                app.not_ready()
            }
        }
        "/-/reload" | "/-/quit" if get => Reply::text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"),
        "/-/reload" | "/-/quit" if !post => Reply::not_allowed("GET, OPTIONS, POST, PUT"),
        "/-/reload" | "/-/quit" if !app.options.enable_lifecycle => Reply::text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled."),
        "/-/reload" => {
            let control = Arc::clone(&app.control);
            match tokio::task::spawn_blocking(move || control.reload()).await {
                Ok(Ok(())) => Reply::empty(StatusCode::OK),
                Ok(Err(e)) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {e}\n")),
                Err(e) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {e}\n")),
            }
        }
        "/-/quit" => {
            app.control.quit();
            Reply::text(StatusCode::OK, "Requesting termination... Goodbye!")
        }
        "/metrics" if get => own_metrics(front, metrics, &req).await,
        "/federate" if get => {
            if !app.is_ready() {
                return app.not_ready();
            }
            let (app, metrics) = (Arc::clone(app), Arc::clone(metrics));
            match tokio::task::spawn_blocking(move || federate::federate(&app, &metrics, &req)).await {
                Ok(r) => r,
                Err(e) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")),
            }
        }
        "/version" if get => match serde_json::to_vec(&app.options.build) {
            Ok(json) => Reply::json(StatusCode::OK, json),
            Err(e) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")),
        },
        "/federate" => Reply::not_allowed("GET, OPTIONS"),
        "/" | "" if get => Reply::redirect(StatusCode::FOUND, &format!("{}/query", app.options.route_prefix)),
        "/graph" if get => {
            let to = format!("{}/query", app.options.route_prefix);
            let to = if req.params.pairs().is_empty() { format!("{to}?") } else { with_query(&to, &req.params) };
            Reply::redirect(StatusCode::FOUND, &to)
        }
        p if get && PAGES.contains(&p) => crate::page::page(app),
        p if get && p.starts_with("/user/") && !app.options.user_assets.is_empty() => user_asset(app, &p[6..]).await,
        _ => Reply::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

async fn own_metrics(front: &Arc<Front>, metrics: &Metrics, req: &Req) -> Reply {
    let accept = req.header("accept").to_string();
    let front = Arc::clone(front);
    metrics.pages_in_flight.add(1.0);
    let done = tokio::task::spawn_blocking(move || {
        let format = exposition::write::negotiate(&accept, true);
        let body = exposition::write::write_families(&front.registry.gather(), format);
        (format.content_type(), body)
    })
    .await;
    metrics.pages_in_flight.add(-1.0);
    metrics.pages.with(&[if done.is_ok() { "200" } else { "500" }]).inc();
    match done {
        Ok((content_type, body)) => {
            let mut reply = Reply::text(StatusCode::OK, body);
            reply.headers.clear();
            reply.header(http::header::CONTENT_TYPE, &content_type)
        }
        Err(e) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")),
    }
}

fn form_escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            b' ' => out.push('+'),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// A file of `--web.user-assets`; never one outside of it.
async fn user_asset(app: &App, name: &str) -> Reply {
    let name = server::percent_decode(name.as_bytes(), false);
    let relative = Path::new(&name);
    if !relative.components().all(|c| matches!(c, Component::Normal(_))) {
        return Reply::text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let kind = match relative.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    match tokio::fs::read(Path::new(&app.options.user_assets).join(relative)).await {
        Ok(bytes) => Reply::new(StatusCode::OK, kind, bytes),
        Err(_) => Reply::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}
