//! Asking a server: the client that --http.config.file describes, the HTTP API, and `check healthy|ready`.

use super::{Context, complain, exit};
use client::{HttpClient, HttpConfig, Method, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::{Clock, SystemClock};
use stdx::fs::{Fs, RealFs};

/// A larger answer is refused.
const MAX_ANSWER_BYTES: usize = 1 << 30;
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with the thread it runs on.
pub(super) struct Http {
    client: HttpClient,
    runtime: tokio::runtime::Runtime,
    headers: BTreeMap<String, String>,
}

pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    /// By the flags of the command. `server` is looked at for a user that stands in the file as well.
    pub fn new(cx: &Context, server: &str, headers: BTreeMap<String, String>) -> Result<Http, String> {
        let file = cx.values.text("http.config.file");
        let config = if file.is_empty() { HttpConfig::default() } else { read_config(Path::new(file))? };
        if !file.is_empty() && crate::go::parse_url(server).is_ok_and(|u| u.user_info().is_some_and(|(user, _)| !user.is_empty())) {
            return Err("promtool: error: Cannot set base auth in the server URL and use a http.config.file at the same time".to_string());
        }
        Http::with(&config, headers)
    }

    pub fn with(config: &HttpConfig, headers: BTreeMap<String, String>) -> Result<Http, String> {
        let environment = client::Environment::read(crate::server::variable);
        let options = client::Options::in_environment(SystemClock::shared(), RealFs::shared(), environment);
        let client =
            HttpClient::new(config, "promtool", &options).map_err(|e| format!("promtool: error: Failed to create a new HTTP round tripper: {e}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        Ok(Http { client, runtime, headers })
    }

    pub fn send(&self, mut request: Request) -> Result<Answer, client::Error> {
        for (name, value) in &self.headers {
            if let (Ok(n), Ok(v)) = (client::HeaderName::from_bytes(name.as_bytes()), client::HeaderValue::from_str(value)) {
                request.headers.insert(n, v);
            }
        }
        self.runtime.block_on(async {
            let answer = self.client.send(request).await?;
            Ok(Answer { status: answer.status.as_u16(), body: answer.bytes(MAX_ANSWER_BYTES).await? })
        })
    }

    /// `data` of an answer of the API; the error is what promtool says of it.
    pub fn api(&self, server: &str, method: Method, path: &str, params: &[(&str, String)]) -> Result<Value, String> {
        let base = with_scheme(server);
        let query = encode(params);
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let form = "application/x-www-form-urlencoded";
        let get = || Request::get(&if query.is_empty() { url.clone() } else { format!("{url}?{query}") });
        let first = if method == Method::POST { Request::post(&url, form, query.clone()) } else { get() };
        let verb = if method == Method::POST { "Post" } else { "Get" };
        let failed = |e: client::Error| format!("query error: {verb} {}: {e}", model::labels::quote(&url));
        let mut answer = self.send(first.map_err(failed)?.timeout(QUERY_TIMEOUT)).map_err(failed)?;
        // A server or a proxy that takes no POST may still take the question.
        if matches!(answer.status, 405 | 501) && method == Method::POST {
            answer = self.send(get().map_err(failed)?.timeout(QUERY_TIMEOUT)).map_err(failed)?;
        }
        data(&answer)
    }
}

fn data(answer: &Answer) -> Result<Value, String> {
    let is_api_error = matches!(answer.status, 400 | 422);
    if answer.status / 100 != 2 && !is_api_error {
        let (kind, word) = if answer.status / 100 == 4 { ("client_error", "client") } else { ("server_error", "server") };
        let kind = if matches!(answer.status / 100, 4 | 5) { kind } else { "bad_response" };
        let body = String::from_utf8_lossy(&answer.body).trim().to_string();
        let what = if kind == "bad_response" { format!("bad response code {}", answer.status) } else { format!("{word} error: {}", answer.status) };
        return Err(if body.is_empty() { format!("query error: {kind}: {what}") } else { format!("query error: {kind}: {what} (detail: {body})") });
    }
    let mut v: Value = serde_json::from_slice(&answer.body).map_err(|e| format!("query error: bad_response: readObjectStart: {e}"))?;
    if v["status"] == "error" || is_api_error {
        let text = |key: &str| v[key].as_str().unwrap_or_default().to_string();
        return Err(format!("query error: {}: {}", text("errorType"), text("error")));
    }
    Ok(v["data"].take())
}

fn read_config(path: &Path) -> Result<HttpConfig, String> {
    let name = path.display();
    let failed = |e: String| format!("promtool: error: Failed to load HTTP config file: {e}");
    let bytes = RealFs.read(path).map_err(|e| failed(format!("open {name}: {}", crate::go::io_error(&e))))?;
    let text = String::from_utf8(bytes).map_err(|_| failed(format!("{name}: not valid UTF-8")))?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tree = yaml::parse(&text).map_err(|e| failed(e.to_string()))?;
    if tree.is_null() {
        return Ok(HttpConfig::default());
    }
    yaml::from_node(&tree, &yaml::Options::in_dir(dir)).map_err(|e| failed(e.to_string()))
}

/// A server without a scheme is asked by HTTP.
pub(super) fn with_scheme(server: &str) -> String {
    if server.contains("://") { server.to_string() } else { format!("http://{}", server.trim_start_matches("//")) }
}

/// As in a form.
fn encode(params: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in params {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&format!("{}={}", escape(name), escape(value)));
    }
    out
}

fn escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A path element.
pub(super) fn escape_path(s: &str) -> String {
    escape(s).replace('+', "%20")
}

/// Now, in milliseconds.
pub(super) fn now_ms() -> i64 {
    SystemClock::shared().now_ms()
}

/// `check healthy` and `check ready`.
pub(super) fn status(cx: &Context, path: &str) -> u8 {
    let server = cx.values.text("url");
    let ask = || -> Result<(), String> {
        let http = Http::new(cx, server, BTreeMap::new())?;
        let url = format!("{}{path}", with_scheme(server).trim_end_matches('/'));
        let failed = |e: client::Error| format!("Get {}: {e}", model::labels::quote(&url));
        let answer = http.send(Request::get(&url).map_err(failed)?.timeout(STATUS_TIMEOUT)).map_err(failed)?;
        if answer.status != 200 {
            return Err(format!("check failed: URL={}, status={}", with_scheme(server), answer.status));
        }
        complain(&format!("  SUCCESS:  {}", String::from_utf8_lossy(&answer.body)));
        Ok(())
    };
    exit(ask())
}

/// Shared by who needs a clock of the system.
pub(super) fn clock() -> Arc<dyn Clock> {
    SystemClock::shared()
}
