//! `--web.config.file`: TLS, authentication, extra headers. Read again when it, a certificate, a key or a token changes.

mod access;
mod tls;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

pub use access::ClientConfig;
pub use tls::TlsServerConfig;

use crate::server::{Guard, Policy};
use http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stdx::fs::{Fs, SharedFs};
use stdx::shutdown::Shutdown;
use tracing::{error, info};
use yaml::{Millis, Secret};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct WebConfig as "web.Config" {
        pub tls_server_config: Option<TlsServerConfig>;
        pub http_server_config: HttpServerConfig;
        pub rate_limit: RateLimit;
        pub basic_auth_users: BTreeMap<String, Secret>;
        /// Health endpoints without authentication. Not in Prometheus.
        pub open_health_endpoints: bool;
        /// Who may do what. Not in Prometheus.
        pub clients: Vec<ClientConfig>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct HttpServerConfig as "web.HTTPConfig" {
        pub http2: bool = true;
        pub headers: BTreeMap<String, String>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct RateLimit as "web.RateLimiterConfig" {
        pub burst: u64;
        /// 0: no limit.
        pub interval: Millis;
    }
}

const HEADERS: [&str; 5] = ["content-security-policy", "strict-transport-security", "x-content-type-options", "x-frame-options", "x-xss-protection"];

/// Reads and checks a file; an empty one asks for nothing.
pub fn load(fs: &dyn Fs, path: &Path) -> Result<WebConfig, String> {
    let text = fs.read(path).map_err(|e| format!("open {}: {e}", path.display()))?;
    let text = String::from_utf8(text).map_err(|_| format!("{}: not valid UTF-8", path.display()))?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tree = yaml::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    if tree.is_null() {
        return Ok(WebConfig::default());
    }
    let c: WebConfig = yaml::from_node(&tree, &yaml::Options::in_dir(dir)).map_err(|e| format!("{}: {e}", path.display()))?;
    c.check().map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(c)
}

impl WebConfig {
    fn check(&self) -> Result<(), String> {
        for (name, value) in &self.http_server_config.headers {
            if !HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("HTTP header {name:?} can not be configured"));
            }
            HeaderValue::from_str(value).map_err(|_| format!("HTTP header {name:?} has an invalid value"))?;
        }
        for (user, hash) in &self.basic_auth_users {
            if hash.reveal().parse::<bcrypt::HashParts>().is_err() {
                return Err(format!("basic_auth_users: the password of {user:?} is not a bcrypt hash"));
            }
        }
        access::check(&self.clients, self.tls_server_config.as_ref())
    }
}

fn policy(fs: &dyn Fs, path: &Path) -> Result<Policy, String> {
    let c = load(fs, path)?;
    let at = |e: String| format!("{}: {e}", path.display());
    let tls = c.tls_server_config.as_ref().filter(|t| t.is_enabled());
    let headers =
        c.http_server_config.headers.iter().filter_map(|(n, v)| Some((HeaderName::from_bytes(n.as_bytes()).ok()?, HeaderValue::from_str(v).ok()?)));
    let (tokens, certificates) = access::tables(fs, &c.clients).map_err(at)?;
    Ok(Policy {
        verified_clients: tls.is_some_and(TlsServerConfig::verifies_clients),
        allowed_sans: tls.map(|t| t.client_allowed_sans.clone()).filter(|s| !s.is_empty()),
        tls: tls.map(|t| tls::server_config(fs, t, c.http_server_config.http2).map(Arc::new)).transpose().map_err(at)?,
        headers: headers.collect(),
        users: c.basic_auth_users.into_iter().map(|(u, h)| (u, h.reveal().to_string())).collect(),
        tokens,
        certificates,
        open_health: c.open_health_endpoints,
        rate_limit: (!c.rate_limit.interval.is_zero()).then(|| (c.rate_limit.burst as f64, c.rate_limit.interval.duration())),
    })
}

/// Whether a file and all that it names are right.
pub fn check(fs: &dyn Fs, path: &Path) -> Result<(), String> {
    policy(fs, path).map(drop)
}

/// Puts a file's policy in place.
pub fn install(guard: &Guard, fs: &dyn Fs, path: &Path) -> Result<(), String> {
    guard.set(policy(fs, path)?);
    Ok(())
}

/// What the file and all that it names looked like: times of change and sizes.
fn fingerprint(fs: &dyn Fs, path: &Path) -> Vec<(PathBuf, i64, u64)> {
    let mut files = vec![path.to_path_buf()];
    if let Ok(c) = load(fs, path) {
        let tls = c.tls_server_config.iter().flat_map(|t| [&t.cert_file, &t.key_file, &t.client_ca_file]);
        let named = tls.chain(c.clients.iter().map(|c| &c.token_file));
        files.extend(named.filter_map(|f| f.get().map(Path::to_path_buf)));
    }
    files.into_iter().map(|f| (f.clone(), fs.modified_ms(&f).unwrap_or(0), fs.len(&f).unwrap_or(0))).collect()
}

/// So often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Looks for changes until the end. A file that became wrong leaves the old policy in place, and is tried again: a certificate and its key do
/// not change in the same moment.
pub async fn watch(guard: Arc<Guard>, fs: SharedFs, path: PathBuf, shutdown: Shutdown) {
    let mut seen = fingerprint(&*fs, &path);
    loop {
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shutdown.requested() => return,
        }
        let now = fingerprint(&*fs, &path);
        if now == seen {
            continue;
        }
        match install(&guard, &*fs, &path) {
            Ok(()) => info!(component = "web", file = %path.display(), "web configuration changed and was read again"),
            Err(e) => error!(component = "web", err = %e, "web configuration changed but is wrong; the old one stays"),
        }
        seen = now;
    }
}
