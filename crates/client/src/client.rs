//! The client: credentials, redirects, time-outs around a pool of connections.

use crate::auth::{Auth, CustomHeaders, set_authorization};
use crate::config::HttpConfig;
use crate::connector::Connector;
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::proxy::Proxies;
use crate::request::{Request, Response, parse_uri};
use crate::tls::Tls;
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const MAX_REDIRECTS: usize = 10;
const MAX_IDLE_PER_HOST: usize = 1000;
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a quiet HTTP/2 connection is asked whether it lives.
const HTTP2_PING: Duration = Duration::from_secs(60);

type Pool = legacy::Client<Connector, Full<Bytes>>;

/// Sends requests as one section of the config says. Clones share connections, tokens and what was read from files.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    auth: Auth,
    headers: CustomHeaders,
    follow_redirects: bool,
    options: Options,
    tls: Arc<Tls>,
    proxies: Arc<Proxies>,
    pool: Mutex<(Pool, Option<Arc<ClientConfig>>)>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpClient({})", self.inner.name)
    }
}

impl HttpClient {
    /// Reads certificate files once, so that a config that cannot work is refused. `name` says in logs whose client it is.
    pub fn new(config: &HttpConfig, name: &str, options: &Options) -> Result<Self, Error> {
        let tls = Arc::new(Tls::new(&config.tls_config, config.enable_http2, options)?);
        let proxies = Arc::new(Proxies::new(&config.proxy, &options.environment)?);
        let pool = pool(name, &tls, &proxies, options);
        Ok(HttpClient {
            inner: Arc::new(Inner {
                name: name.to_string(),
                auth: Auth::new(config, name, options)?,
                headers: CustomHeaders::new(config, options)?,
                follow_redirects: config.follow_redirects,
                options: options.clone(),
                tls,
                proxies,
                pool: Mutex::new((pool, None)),
            }),
        })
    }

    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Sends and follows redirects. Any status is an answer, not an error. May be cancelled at any point.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let deadline = request.timeout.map(|t| Instant::now() + t);
        let exchange = self.exchange(request);
        let result = match deadline {
            Some(at) => tokio::time::timeout_at(at, exchange).await.unwrap_or_else(|_| Err(Error::timeout())),
            None => exchange.await,
        };
        result.map(|r| Response { deadline, ..r })
    }

    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let Request { mut method, mut uri, mut headers, mut body, timeout: _ } = request;
        let first = uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let same_host = uri.host() == first.host();
            let answer = self.once(&method, &uri, &headers, &body, same_host).await?;
            let Some(next) = self.redirect(&answer, &uri)? else {
                if answer.status == StatusCode::UNAUTHORIZED {
                    self.inner.auth.refused();
                }
                return Ok(answer);
            };
            let keep = matches!(answer.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            answer.discard().await;
            if !keep && method != Method::GET && method != Method::HEAD {
                method = Method::GET;
                body = Bytes::new();
                for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
                    headers.remove(name);
                }
            }
            if next.host() != first.host() {
                // Credentials are for the host they were given for.
                headers.remove(header::AUTHORIZATION);
                headers.remove(header::COOKIE);
            }
            uri = next;
        }
        Err(Error::new(ErrorKind::Transport, format!("stopped after {MAX_REDIRECTS} redirects")))
    }

    fn redirect(&self, answer: &Response, from: &Uri) -> Result<Option<Uri>, Error> {
        let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if !self.inner.follow_redirects || !is_redirect {
            return Ok(None);
        }
        let Some(location) = answer.headers.get(header::LOCATION).and_then(|l| l.to_str().ok()) else {
            return Ok(None);
        };
        let base = url::Url::parse(&from.to_string()).map_err(|e| Error::with(ErrorKind::Transport, "redirect", e))?;
        let next = base.join(location).map_err(|e| Error::with(ErrorKind::Transport, format!("redirect to {location:?}"), e))?;
        parse_uri(next.as_str()).map(Some)
    }

    async fn once(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes, trusted: bool) -> Result<Response, Error> {
        let inner = &*self.inner;
        let mut request = http::Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        let out = request.headers_mut();
        *out = headers.clone();
        if !out.contains_key(header::USER_AGENT) {
            out.insert(header::USER_AGENT, inner.options.user_agent.clone());
        }
        if trusted {
            set_authorization(out, inner.auth.header().await?);
            inner.headers.apply(out)?;
        }
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        if !secure && let Some(authorization) = inner.proxies.for_uri(uri).and_then(|p| p.authorization.clone()) {
            out.insert(header::PROXY_AUTHORIZATION, authorization);
        }
        let (head, body) = self.pool(secure)?.request(request).await.map_err(send_error)?.into_parts();
        Ok(Response { status: head.status, headers: head.headers, uri: uri.clone(), body, deadline: None })
    }

    /// The pool to use now: a new one when the certificates behind it have changed.
    fn pool(&self, secure: bool) -> Result<Pool, Error> {
        let inner = &*self.inner;
        if !secure || !inner.tls.may_change() {
            return Ok(inner.pool.lock().0.clone());
        }
        let config = inner.tls.client_config()?;
        let mut current = inner.pool.lock();
        if !current.1.as_ref().is_some_and(|c| Arc::ptr_eq(c, &config)) {
            if current.1.is_some() {
                tracing::info!(client = inner.name, "tls files have changed, new connections use them");
            }
            *current = (pool(&inner.name, &inner.tls, &inner.proxies, &inner.options), Some(config));
        }
        Ok(current.0.clone())
    }
}

fn pool(name: &str, tls: &Arc<Tls>, proxies: &Arc<Proxies>, options: &Options) -> Pool {
    let connector = Connector::new(name, Arc::clone(tls), Arc::clone(proxies), options.clone());
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .http2_keep_alive_interval(HTTP2_PING)
        .build(connector)
}

fn send_error(e: legacy::Error) -> Error {
    use std::error::Error as _;
    if let Some(ours) = e.source().and_then(|s| s.downcast_ref::<Error>()) {
        return Error::new(ours.kind(), ours.to_string());
    }
    let incomplete = e.source().and_then(|s| s.downcast_ref::<hyper::Error>()).is_some_and(hyper::Error::is_incomplete_message);
    if incomplete {
        return Error::new(ErrorKind::Transport, "EOF");
    }
    match e.source() {
        Some(source) => Error::new(ErrorKind::Transport, chain(source)),
        None => Error::new(ErrorKind::Transport, e.to_string()),
    }
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        text.push_str(": ");
        text.push_str(&e.to_string());
        next = e.source();
    }
    text
}
