//! What stands between a connection and the handler: TLS and authentication, as `--web.config.file` says.

use super::reply::Reply;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub enum AuthDecision {
    /// No authentication is asked for.
    Open,
    Known(Arc<str>),
    Refused(Box<Reply>),
}

/// What the web configuration asks of every connection and request. Replaced whole when the file changes.
#[derive(Default)]
pub struct Policy {
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// User -> bcrypt hash.
    pub users: HashMap<String, String>,
    /// Added to every reply.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `/-/healthy` and `/-/ready` without authentication. Prometheus has no such switch.
    pub open_health: bool,
}

/// Passwords that were found right, so that bcrypt is paid once.
const KNOWN_CREDENTIALS: usize = 100;

#[derive(Default)]
pub struct Guard {
    policy: RwLock<Arc<Policy>>,
    known: Mutex<HashSet<String>>,
}

impl Guard {
    /// Plain HTTP, open to all.
    pub fn open() -> Arc<Self> {
        Arc::default()
    }

    pub fn set(&self, policy: Policy) {
        self.known.lock().clear();
        *self.policy.write() = Arc::new(policy);
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read())
    }

    pub(super) async fn accept(&self, stream: TcpStream, timeout: Duration) -> io::Result<Stream> {
        let Some(config) = self.policy().tls.clone() else { return Ok(Stream::Plain(stream)) };
        let accepting = TlsAcceptor::from(config).accept(stream);
        let tls = tokio::time::timeout(timeout, accepting)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "tls handshake not finished in time"))??;
        Ok(Stream::Tls(Box::new(tls)))
    }

    pub(super) async fn check(&self, _method: &Method, path: &str, headers: &HeaderMap) -> AuthDecision {
        let policy = self.policy();
        if policy.users.is_empty() || (policy.open_health && (path.ends_with("/-/healthy") || path.ends_with("/-/ready"))) {
            return AuthDecision::Open;
        }
        let refused = || {
            let body = Reply::text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            AuthDecision::Refused(Box::new(body.header(WWW_AUTHENTICATE, "Basic")))
        };
        let Some((user, password)) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(basic_credentials) else { return refused() };
        // An unknown user costs as much as a wrong password.
        const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
        let hash = policy.users.get(&user).cloned();
        let key = format!("{user}\0{}\0{password}", hash.as_deref().unwrap_or(""));
        if hash.is_some() && self.known.lock().contains(&key) {
            return AuthDecision::Known(user.into());
        }
        let known_user = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_string());
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await.unwrap_or(false);
        if !(right && known_user) {
            return refused();
        }
        let mut known = self.known.lock();
        if known.len() >= KNOWN_CREDENTIALS {
            known.clear();
        }
        known.insert(key);
        AuthDecision::Known(user.into())
    }

    pub(super) fn dress(&self, mut reply: Reply) -> Reply {
        reply.headers.extend(self.policy().headers.iter().cloned());
        reply
    }
}

fn basic_credentials(header: &str) -> Option<(String, String)> {
    use base64::Engine;
    let encoded = header.strip_prefix("Basic ").or_else(|| header.strip_prefix("basic "))?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_string(), password.to_string()))
}
