//! What stands between a connection and the handler: TLS and authentication, as `--web.config.file` says.

use super::certificate;
use super::identity::Identity;
use super::limiter::{Bucket, Failures};
use super::reply::Reply;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the client chose HTTP/2. Without TLS there is only HTTP/1, as in Prometheus.
    pub fn is_http2(&self) -> bool {
        matches!(self, Stream::Tls(s) if s.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// Names in the client's certificate.
    pub fn client_names(&self) -> Vec<String> {
        let Stream::Tls(s) = self else { return Vec::new() };
        s.get_ref().1.peer_certificates().and_then(|c| c.first()).map_or_else(Vec::new, |c| certificate::alternative_names(c))
    }
}

pub enum AuthDecision {
    /// No authentication is asked for.
    Open,
    Known(Arc<Identity>),
    Refused(Box<Reply>),
}

pub type Sha256 = [u8; 32];

/// What the web configuration asks of every connection and request. Replaced whole when the file changes.
#[derive(Default)]
pub struct Policy {
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The client's certificate was verified before its names are believed.
    pub verified_clients: bool,
    /// Names of which a client's certificate must have one, when it has a certificate; None: any.
    pub allowed_sans: Option<Vec<String>>,
    /// User -> bcrypt hash.
    pub users: HashMap<String, String>,
    /// Hash of a bearer token -> who that is.
    pub tokens: HashMap<Sha256, Arc<Identity>>,
    /// Name in a client's certificate -> who that is.
    pub certificates: HashMap<String, Arc<Identity>>,
    /// Added to every reply.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `/-/healthy` and `/-/ready` without authentication. Prometheus has no such switch.
    pub open_health: bool,
    /// Requests at once, and the time until there may be one more.
    pub rate_limit: Option<(f64, Duration)>,
}

impl Policy {
    fn asks_for_credentials(&self) -> bool {
        !(self.users.is_empty() && self.tokens.is_empty() && self.certificates.is_empty())
    }
}

/// Passwords that were found right, so that bcrypt is paid once.
const KNOWN_CREDENTIALS: usize = 100;

pub struct Guard {
    clock: SharedClock,
    policy: RwLock<Arc<Policy>>,
    /// Hashes of user, bcrypt hash and password.
    known: Mutex<HashSet<Sha256>>,
    failures: Mutex<Failures>,
    requests: Mutex<Option<Bucket>>,
}

impl Guard {
    /// Plain HTTP, open to all.
    pub fn open(clock: SharedClock) -> Arc<Self> {
        Arc::new(Guard { clock, policy: RwLock::default(), known: Mutex::default(), failures: Mutex::default(), requests: Mutex::default() })
    }

    pub fn set(&self, policy: Policy) {
        self.known.lock().clear();
        *self.requests.lock() = None;
        *self.policy.write() = Arc::new(policy);
    }

    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read())
    }

    pub(super) async fn accept(&self, stream: TcpStream, timeout: Duration) -> io::Result<Stream> {
        let policy = self.policy();
        let Some(config) = policy.tls.clone() else { return Ok(Stream::Plain(stream)) };
        let accepting = TlsAcceptor::from(config).accept(stream);
        let tls = tokio::time::timeout(timeout, accepting)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "tls handshake not finished in time"))??;
        let stream = Stream::Tls(Box::new(tls));
        if let Some(allowed) = &policy.allowed_sans {
            let Stream::Tls(s) = &stream else { return Ok(stream) };
            let has_certificate = s.get_ref().1.peer_certificates().is_some_and(|c| !c.is_empty());
            if has_certificate && !stream.client_names().iter().any(|n| allowed.contains(n)) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "client certificate has none of client_allowed_sans"));
            }
        }
        Ok(stream)
    }

    /// Who sent a request. `names` are those of the client's certificate.
    pub(super) async fn check(&self, peer: IpAddr, names: &[String], path: &str, headers: &HeaderMap) -> AuthDecision {
        let policy = self.policy();
        if let Some((burst, interval)) = policy.rate_limit {
            let now = self.clock.monotonic();
            let mut bucket = self.requests.lock();
            if !bucket.get_or_insert_with(|| Bucket::full(burst, now)).take(burst, interval, now) {
                return AuthDecision::Refused(Box::new(too_many()));
            }
        }
        if !policy.asks_for_credentials() || (policy.open_health && (path.ends_with("/-/healthy") || path.ends_with("/-/ready"))) {
            return AuthDecision::Open;
        }
        if policy.verified_clients
            && let Some(known) = names.iter().find_map(|n| policy.certificates.get(n))
        {
            return AuthDecision::Known(Arc::clone(known));
        }
        let Some(header) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) else { return refused(&policy) };
        match (scheme(header, "bearer"), scheme(header, "basic").and_then(basic_credentials)) {
            (Some(token), _) => self.check_token(&policy, peer, token),
            (_, Some((user, password))) => self.check_password(&policy, peer, user, password).await,
            _ => refused(&policy),
        }
    }

    fn check_token(&self, policy: &Policy, peer: IpAddr, token: &str) -> AuthDecision {
        // The table is asked by the hash: how long that takes says nothing of the token.
        if let Some(known) = policy.tokens.get(&sha256(&[token])) {
            return AuthDecision::Known(Arc::clone(known));
        }
        self.failed(policy, peer)
    }

    async fn check_password(&self, policy: &Policy, peer: IpAddr, user: String, password: String) -> AuthDecision {
        // An unknown user costs as much as a wrong password.
        const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
        let hash = policy.users.get(&user).cloned();
        let key = sha256(&[&user, hash.as_deref().unwrap_or(""), &password]);
        if hash.is_some() && self.known.lock().contains(&key) {
            return AuthDecision::Known(Identity::user(&user));
        }
        if !self.failures.lock().may_try(peer, self.clock.monotonic()) {
            return AuthDecision::Refused(Box::new(too_many()));
        }
        let known_user = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_string());
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await.unwrap_or(false);
        if !(right && known_user) {
            return self.failed(policy, peer);
        }
        let mut known = self.known.lock();
        if known.len() >= KNOWN_CREDENTIALS {
            known.clear();
        }
        known.insert(key);
        AuthDecision::Known(Identity::user(&user))
    }

    fn failed(&self, policy: &Policy, peer: IpAddr) -> AuthDecision {
        let now = self.clock.monotonic();
        let mut failures = self.failures.lock();
        if !failures.may_try(peer, now) {
            return AuthDecision::Refused(Box::new(too_many()));
        }
        failures.failed(peer, now);
        refused(policy)
    }

    pub(super) fn dress(&self, mut reply: Reply) -> Reply {
        reply.headers.extend(self.policy().headers.iter().cloned());
        reply
    }
}

fn refused(policy: &Policy) -> AuthDecision {
    let reply = Reply::text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    AuthDecision::Refused(Box::new(reply.header(WWW_AUTHENTICATE, if policy.users.is_empty() { "Bearer" } else { "Basic" })))
}

fn too_many() -> Reply {
    Reply::text(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n").header(RETRY_AFTER, "1")
}

/// SHA-256 of the parts, each with its length before it.
pub fn sha256(parts: &[&str]) -> Sha256 {
    let mut c = ring::digest::Context::new(&ring::digest::SHA256);
    if let [only] = parts {
        c.update(only.as_bytes());
    } else {
        for p in parts {
            c.update(&(p.len() as u64).to_be_bytes());
            c.update(p.as_bytes());
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(c.finish().as_ref());
    out
}

/// What follows the scheme's name.
fn scheme<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    let (word, rest) = header.split_once(' ')?;
    word.eq_ignore_ascii_case(name).then(|| rest.trim())
}

fn basic_credentials(encoded: &str) -> Option<(String, String)> {
    use base64::Engine;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_string(), password.to_string()))
}
