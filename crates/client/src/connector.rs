//! From a URL to a connection: names, addresses, proxies, TLS.

use crate::conntrack::{Dialer, Open};
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::proxy::{Proxies, Proxy, bare_host, port_of};
use crate::tls::Tls;
use http::{HeaderMap, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The answer to CONNECT may not be longer.
const MAX_CONNECT_REPLY: usize = 16 << 10;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Stream = Box<dyn Io>;

pub(crate) struct Conn {
    io: TokioIo<Stream>,
    proxied: bool,
    http2: bool,
    /// Counted until it is dropped.
    _open: Open,
}

#[derive(Clone)]
pub(crate) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    tls: Arc<Tls>,
    proxies: Arc<Proxies>,
    options: Options,
    dialer: Option<Dialer>,
    /// Where the next connection begins among a name's addresses.
    turn: AtomicUsize,
}

impl Connector {
    pub fn new(name: &str, tls: Arc<Tls>, proxies: Arc<Proxies>, options: Options) -> Self {
        let dialer = options.conntrack.as_ref().map(|c| c.dialer(name));
        Connector { shared: Arc::new(Shared { tls, proxies, options, dialer, turn: AtomicUsize::new(0) }) }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Conn;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.connect(&uri).await })
    }
}

impl Shared {
    async fn connect(&self, uri: &Uri) -> Result<Conn, Error> {
        let secure = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = bare_host(uri.host().unwrap_or_default());
        let port = port_of(uri);
        let proxy = if self.options.unix_socket.is_some() { None } else { self.proxies.for_uri(uri) };
        let (host_to_dial, port_to_dial) = proxy.map_or((host, port), |p| (p.host.as_str(), p.port));
        let (dialed, open) = self.counted(host_to_dial, port_to_dial).await?;
        let stream = match proxy {
            None => dialed,
            Some(p) => {
                let mut stream = dialed;
                if p.https {
                    stream = Box::new(self.secure(stream, &p.host).await?);
                }
                if secure {
                    tunnel(&mut stream, host, port, p, &self.proxies.connect_headers).await?;
                }
                stream
            }
        };
        if !secure {
            return Ok(Conn { io: TokioIo::new(stream), proxied: proxy.is_some(), http2: false, _open: open });
        }
        let stream = self.secure(stream, host).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Conn { io: TokioIo::new(Box::new(stream)), proxied: false, http2, _open: open })
    }

    async fn counted(&self, host: &str, port: u16) -> Result<(Stream, Open), Error> {
        let Some(d) = &self.dialer else { return Ok((self.dial(host, port).await?, Open::uncounted())) };
        d.attempt();
        match self.dial(host, port).await {
            Ok(stream) => Ok((stream, d.open())),
            Err(e) => {
                d.fail(&e);
                Err(e)
            }
        }
    }

    async fn secure(&self, stream: Stream, host: &str) -> Result<TlsStream<Stream>, Error> {
        let config = self.tls.client_config()?;
        let name = self.tls.server_name(host)?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|e| Error::with(ErrorKind::Connect, "tls", e))
    }

    async fn dial(&self, host: &str, port: u16) -> Result<Stream, Error> {
        if let Some(path) = &self.options.unix_socket {
            let stream = UnixStream::connect(path).await;
            return Ok(Box::new(stream.map_err(|e| dial_error(&format!("unix {}", path.display()), &e))?));
        }
        let found = tokio::net::lookup_host((host, port)).await;
        let mut addresses: Vec<SocketAddr> = found.map_err(|e| Error::with(ErrorKind::Connect, format!("dial tcp: lookup {host}"), e))?.collect();
        if addresses.is_empty() {
            return Err(Error::new(ErrorKind::Connect, format!("dial tcp: lookup {host}: no such host")));
        }
        if self.options.round_robin_dns {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(turn);
        }
        let mut last = Error::timeout();
        for address in addresses {
            match tokio::time::timeout(self.options.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|e| dial_error(&format!("tcp {address}"), &e))?;
                    return Ok(Box::new(stream));
                }
                Ok(Err(e)) => last = dial_error(&format!("tcp {address}"), &e),
                Err(_) => last = Error::new(ErrorKind::Connect, format!("dial tcp {address}: i/o timeout")),
            }
        }
        Err(last)
    }
}

/// In the reference's words, which dashboards and people look for.
fn dial_error(to: &str, e: &io::Error) -> Error {
    let why = match e.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_string(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_string(),
        io::ErrorKind::HostUnreachable => "no route to host".to_string(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_string(),
        io::ErrorKind::NotFound => "no such file or directory".to_string(),
        _ => e.to_string(),
    };
    Error::new(ErrorKind::Connect, format!("dial {to}: connect: {why}"))
}

/// Asks a proxy for a way through to the host.
async fn tunnel(stream: &mut Stream, host: &str, port: u16, proxy: &Proxy, headers: &HeaderMap) -> Result<(), Error> {
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    let mut line = |name: &[u8], value: &[u8]| {
        ask.extend_from_slice(name);
        ask.extend_from_slice(b": ");
        ask.extend_from_slice(value);
        ask.extend_from_slice(b"\r\n");
    };
    if let Some(a) = &proxy.authorization {
        line(b"Proxy-Authorization", a.as_bytes());
    }
    for (name, value) in headers {
        line(name.as_str().as_bytes(), value.as_bytes());
    }
    ask.extend_from_slice(b"\r\n");
    let broken = |e: io::Error| Error::with(ErrorKind::Connect, "proxy", e);
    stream.write_all(&ask).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut reply = Vec::with_capacity(256);
    while !reply.ends_with(b"\r\n\r\n") {
        if reply.len() >= MAX_CONNECT_REPLY {
            return Err(Error::new(ErrorKind::Connect, "proxy: answer to connect is too long"));
        }
        // One byte at a time: what follows the answer belongs to the tunnel.
        match stream.read_u8().await {
            Ok(b) => reply.push(b),
            Err(e) => return Err(broken(e)),
        }
    }
    let status = reply.split(|b| *b == b'\r').next().unwrap_or_default();
    let status = String::from_utf8_lossy(status);
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(Error::new(ErrorKind::Connect, format!("proxy refused to connect: {status}"))),
    }
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        let c = Connected::new().proxy(self.proxied);
        if self.http2 { c.negotiated_h2() } else { c }
    }
}

impl Read for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
