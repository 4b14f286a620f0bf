//! The one HTTP server: listeners, connections with limits, requests read whole, replies written whole or as a stream.
//!
//! It knows nothing of paths: a [`Handler`] answers. Bound early and served late: a socket is open before the storage is, so that `/-/healthy`
//! answers while the log replays.

mod body;
mod certificate;
mod guard;
mod identity;
mod limiter;
mod params;
mod reply;
mod stall;

pub use body::{Body, Sender};
pub use guard::{AuthDecision, Guard, Policy, Sha256, sha256};
pub use identity::{Identity, Need, Rights};
pub use params::{Params, percent_decode, percent_decode_bytes};
pub use reply::Reply;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use stall::Stall;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use stdx::metrics::{Counter, Registry};
use stdx::shutdown::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

/// A request with its body.
#[derive(Debug)]
pub struct Req {
    pub method: Method,
    /// Undecoded path, without the query.
    pub path: String,
    /// Arguments of the query and, for a form, of the body.
    pub params: Params,
    pub headers: HeaderMap,
    /// Empty for a form: its content is in `params`.
    pub body: Bytes,
    pub peer: SocketAddr,
    /// Who sent it, when authentication is on.
    pub identity: Option<Arc<Identity>>,
    /// Dropped when the client has gone away before the answer: long work may look at it.
    pub gone: Shutdown,
}

impl Req {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

pub type ReplyFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    fn call(&self, req: Req) -> ReplyFuture;

    /// Whether this one may ask that, and whether the body may be read now, up to how many bytes. `Err` is answered without reading it.
    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap, identity: Option<&Identity>) -> Result<Admission, Reply>;
}

/// Leave to read a body.
pub struct Admission {
    pub max_body_bytes: usize,
    /// Held until the reply is written: what the handler wants to count as in flight.
    pub permit: Option<Box<dyn std::any::Any + Send>>,
}

/// Requests of one HTTP/2 connection at the same time.
const MAX_STREAMS: u32 = 250;
/// So long an HTTP/2 client may take to say that it is still there.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Limits {
    /// To read a request, and between requests.
    pub read_timeout: Duration,
    pub max_connections: usize,
    pub max_header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { read_timeout: Duration::from_secs(300), max_connections: 512, max_header_bytes: 1 << 20 }
    }
}

/// Opens the sockets. An address without a host means all interfaces, IPv6 and IPv4.
pub fn bind(addresses: &[String]) -> io::Result<Vec<std::net::TcpListener>> {
    let mut out = Vec::new();
    for a in addresses {
        let a = match a.strip_prefix(':') {
            Some(port) => format!("[::]:{port}"),
            None => a.clone(),
        };
        let listener = std::net::TcpListener::bind(&a).map_err(|e| io::Error::new(e.kind(), format!("listen on {a}: {e}")))?;
        listener.set_nonblocking(true)?;
        out.push(listener);
    }
    Ok(out)
}

/// Accepts and serves until shutdown, then lets running requests finish for at most `grace`.
pub fn run(
    listeners: Vec<std::net::TcpListener>,
    handler: Arc<dyn Handler>,
    guard: Arc<Guard>,
    limits: Limits,
    registry: &Registry,
    shutdown: Shutdown,
    grace: Duration,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    let of =
        |what: &str, help: &str| registry.counter_vec(&format!("net_conntrack_listener_conn_{what}_total"), help, &["listener_name"]).with(&["http"]);
    let counts = Counts {
        accepted: of("accepted", "Total number of connections opened to the listener of a given name."),
        closed: of("closed", "Total number of connections closed that were made to the listener of a given name."),
    };
    serve(listeners, handler, guard, limits, counts, shutdown, grace)
}

/// Of connections that came in.
#[derive(Clone)]
struct Counts {
    accepted: Counter,
    closed: Counter,
}

async fn serve(
    listeners: Vec<std::net::TcpListener>,
    handler: Arc<dyn Handler>,
    guard: Arc<Guard>,
    limits: Limits,
    counts: Counts,
    shutdown: Shutdown,
    grace: Duration,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let mut tasks = tokio::task::JoinSet::new();
    for l in listeners {
        let listener = TcpListener::from_std(l)?;
        info!(component = "web", address = %listener.local_addr()?, "Listening on");
        let (handler, guard, limits, slots, shutdown) = (handler.clone(), guard.clone(), limits.clone(), slots.clone(), shutdown.clone());
        let counts = counts.clone();
        tasks.spawn(async move { accept(listener, handler, guard, limits, counts, slots, shutdown, grace).await });
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn accept(
    listener: TcpListener,
    handler: Arc<dyn Handler>,
    guard: Arc<Guard>,
    limits: Limits,
    counts: Counts,
    slots: Arc<Semaphore>,
    shutdown: Shutdown,
    grace: Duration,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
            () = shutdown.requested() => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(x) => x,
                Err(e) => {
                    warn!(err = %e, "accept connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            () = shutdown.requested() => break,
        };
        let (handler, guard, limits, shutdown) = (handler.clone(), guard.clone(), limits.clone(), shutdown.clone());
        counts.accepted.inc();
        let closed = counts.closed.clone();
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            if let Err(e) = serve_connection(stream, peer, handler, guard, limits, shutdown).await {
                debug!(peer = %peer, err = %e, "serve connection");
            }
            closed.inc();
            drop(slot);
        });
    }
    let _ = tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    handler: Arc<dyn Handler>,
    guard: Arc<Guard>,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = guard.accept(stream, limits.read_timeout).await?;
    let client = Client { peer, names: stream.client_names().into(), http2: stream.is_http2() };
    match stream {
        guard::Stream::Plain(s) => serve_io(TokioIo::new(Stall::new(s, limits.read_timeout)), client, handler, guard, limits, shutdown).await,
        guard::Stream::Tls(s) => serve_io(TokioIo::new(Stall::new(*s, limits.read_timeout)), client, handler, guard, limits, shutdown).await,
    }
}

/// What is known of the other side of a connection.
#[derive(Clone)]
struct Client {
    peer: SocketAddr,
    /// In its certificate.
    names: Arc<[String]>,
    http2: bool,
}

async fn serve_io<I>(
    io: I,
    client: Client,
    handler: Arc<dyn Handler>,
    guard: Arc<Guard>,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let read_timeout = limits.read_timeout;
    let http2 = client.http2;
    let service = service_fn(move |req: http::Request<Incoming>| {
        let (client, handler, guard) = (client.clone(), handler.clone(), guard.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(req, client, handler, guard, read_timeout).await) }
    });
    // Which version it is was said in the TLS handshake: guessing from the first bytes would wait for them without a limit.
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.read_timeout).max_buf_size(limits.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(limits.read_timeout)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    tokio::select! {
        r = connection.as_mut() => return r,
        () = shutdown.requested() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Sends the signal when it is dropped: the future of a request is dropped when its client goes away.
struct SignalOnDrop(Shutdown);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        self.0.request();
    }
}

async fn answer(
    req: http::Request<Incoming>,
    client: Client,
    handler: Arc<dyn Handler>,
    guard: Arc<Guard>,
    read_timeout: Duration,
) -> http::Response<Body> {
    let (parts, body) = req.into_parts();
    let path = parts.uri.path().to_string();
    let identity = match guard.check(client.peer.ip(), &client.names, &path, &parts.headers).await {
        AuthDecision::Open => None,
        AuthDecision::Known(identity) => Some(identity),
        AuthDecision::Refused(reply) => return guard.dress(*reply).into_http(&parts.headers, &parts.method).await,
    };
    let admission = match handler.admit(&parts.method, &path, &parts.headers, identity.as_deref()) {
        Ok(a) => a,
        Err(reply) => return guard.dress(reply).into_http(&parts.headers, &parts.method).await,
    };
    let body = match tokio::time::timeout(read_timeout, read_body(body, admission.max_body_bytes)).await {
        Ok(Ok(b)) => b,
        Ok(Err(reply)) => return guard.dress(reply).into_http(&parts.headers, &parts.method).await,
        Err(_) => {
            return Reply::text(StatusCode::REQUEST_TIMEOUT, "request body not received in time\n").into_http(&parts.headers, &parts.method).await;
        }
    };
    let mut params = Params::default();
    params.add_encoded(parts.uri.query().unwrap_or("").as_bytes());
    let is_form = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
    let takes_form = parts.method == Method::POST || parts.method == Method::PUT;
    let body = if is_form && takes_form && !parts.headers.contains_key(CONTENT_ENCODING) {
        params.prepend_encoded(&body);
        Bytes::new()
    } else {
        body
    };
    let gone = Shutdown::new();
    let on_drop = SignalOnDrop(gone.clone());
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let req = Req { method: parts.method, path, params, headers: parts.headers, body, peer: client.peer, identity, gone };
    let reply = handler.call(req).await;
    drop(on_drop);
    let response = guard.dress(reply).into_http(&headers, &method).await;
    drop(admission.permit);
    response
}

async fn read_body(mut body: Incoming, max: usize) -> Result<Bytes, Reply> {
    let too_large = || Reply::text(StatusCode::PAYLOAD_TOO_LARGE, format!("request body is larger than {max} bytes\n"));
    // Who says that it is too long need not send it.
    if hyper::body::Body::size_hint(&body).lower() > max as u64 {
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Reply::text(StatusCode::BAD_REQUEST, format!("read request body: {e}\n")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > max {
            return Err(too_large());
        }
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(f) => {
                all.reserve(f.len() + data.len());
                all.extend_from_slice(&f);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}
