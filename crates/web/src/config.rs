//! `--web.config.file`: TLS, basic authentication and extra headers. Read again when it, a certificate or a key changes.

use crate::server::{Guard, Policy};
use http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stdx::fs::{Fs, SharedFs};
use stdx::shutdown::Shutdown;
use tracing::{error, info};
use yaml::{FilePath, Secret};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct WebConfig as "web.Config" {
        pub tls_server_config: Option<TlsServerConfig>;
        pub http_server_config: HttpServerConfig;
        pub basic_auth_users: BTreeMap<String, Secret>;
        /// Health endpoints without authentication. Not in Prometheus.
        pub open_health_endpoints: bool;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct TlsServerConfig as "web.TLSConfig" {
        pub cert: String;
        pub cert_file: FilePath;
        pub key: Secret;
        pub key_file: FilePath;
        pub client_auth_type: String;
        pub client_ca: String;
        pub client_ca_file: FilePath;
        pub client_allowed_sans: Vec<String>;
        pub min_version: String;
        pub max_version: String;
        pub cipher_suites: Vec<String>;
        pub curve_preferences: Vec<String>;
        pub prefer_server_cipher_suites: bool = true;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct HttpServerConfig as "web.HTTPConfig" {
        pub http2: bool = true;
        pub headers: BTreeMap<String, String>;
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
    for (name, value) in &c.http_server_config.headers {
        if !HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("{}: HTTP header {name:?} can not be configured", path.display()));
        }
        HeaderValue::from_str(value).map_err(|_| format!("{}: HTTP header {name:?} has an invalid value", path.display()))?;
    }
    for (user, hash) in &c.basic_auth_users {
        if hash.reveal().parse::<bcrypt::HashParts>().is_err() {
            return Err(format!("{}: basic_auth_users: the password of {user:?} is not a bcrypt hash", path.display()));
        }
    }
    Ok(c)
}

fn pem(fs: &dyn Fs, text: &str, file: &FilePath, what: &str) -> Result<Vec<u8>, String> {
    match (text.is_empty(), file.is_empty()) {
        (false, true) => Ok(text.as_bytes().to_vec()),
        (true, false) => fs.read(file.path()).map_err(|e| format!("read {what} {}: {e}", file.as_str())),
        (true, true) => Err(format!("missing one of {what} or {what}_file")),
        (false, false) => Err(format!("cannot specify both {what} and {what}_file")),
    }
}

fn tls(fs: &dyn Fs, c: &TlsServerConfig, http2: bool) -> Result<ServerConfig, String> {
    let cert = pem(fs, &c.cert, &c.cert_file, "cert")?;
    let key = pem(fs, c.key.reveal(), &c.key_file, "key")?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&cert).collect::<Result<_, _>>().map_err(|e| format!("parse cert: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("parse key: {e}"))?;
    let version = |v: &str, default: u16| match v {
        "" => Ok(default),
        "TLS13" => Ok(13),
        "TLS12" => Ok(12),
        "TLS11" | "TLS10" => Err(format!("TLS version {v} is not offered by this server; TLS12 is the lowest")),
        other => Err(format!("unknown TLS version: {other}")),
    };
    let (min, max) = (version(&c.min_version, 12)?, version(&c.max_version, 13)?);
    let versions: Vec<&'static rustls::SupportedProtocolVersion> =
        [(12, &rustls::version::TLS12), (13, &rustls::version::TLS13)].into_iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, v)| v).collect();
    let mut provider = rustls::crypto::ring::default_provider();
    if !c.cipher_suites.is_empty() {
        provider
            .cipher_suites
            .retain(|s| s.suite().as_str().is_some_and(|name| c.cipher_suites.iter().any(|w| w.replace("TLS_", "TLS13_") == name || w == name)));
        if provider.cipher_suites.is_empty() {
            return Err("none of cipher_suites is offered by this server".to_string());
        }
    }
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions).map_err(|e| e.to_string())?;
    let has_ca = !c.client_ca.is_empty() || !c.client_ca_file.is_empty();
    let roots = || -> Result<Arc<rustls::RootCertStore>, String> {
        let mut store = rustls::RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(&pem(fs, &c.client_ca, &c.client_ca_file, "client_ca")?) {
            store.add(cert.map_err(|e| format!("parse client_ca: {e}"))?).map_err(|e| format!("client_ca: {e}"))?;
        }
        Ok(Arc::new(store))
    };
    let verifier = |optional: bool| {
        let b = WebPkiClientVerifier::builder_with_provider(roots()?, Arc::clone(&provider));
        let b = if optional { b.allow_unauthenticated() } else { b };
        b.build().map_err(|e| e.to_string())
    };
    let builder = match c.client_auth_type.as_str() {
        "" | "NoClientCert" if !has_ca => builder.with_no_client_auth(),
        "" | "NoClientCert" => return Err("client CA's have been configured without a Client Auth Policy".to_string()),
        "RequireAndVerifyClientCert" => builder.with_client_cert_verifier(verifier(false)?),
        "VerifyClientCertIfGiven" => builder.with_client_cert_verifier(verifier(true)?),
        other @ ("RequestClientCert" | "RequireClientCert" | "RequireAnyClientCert") => {
            return Err(format!(
                "client_auth_type {other} is not supported by this server: use VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            ));
        }
        other => return Err(format!("Invalid ClientAuth: {other}")),
    };
    if !c.client_allowed_sans.is_empty() {
        return Err("client_allowed_sans is not supported by this server yet".to_string());
    }
    let mut config = builder.with_single_cert(chain, key).map_err(|e| format!("use certificate: {e}"))?;
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(config)
}

fn policy(fs: &dyn Fs, path: &Path) -> Result<Policy, String> {
    let c = load(fs, path)?;
    let tls = match &c.tls_server_config {
        Some(t) => Some(Arc::new(tls(fs, t, c.http_server_config.http2).map_err(|e| format!("{}: {e}", path.display()))?)),
        None => None,
    };
    let headers =
        c.http_server_config.headers.iter().filter_map(|(n, v)| Some((HeaderName::from_bytes(n.as_bytes()).ok()?, HeaderValue::from_str(v).ok()?)));
    Ok(Policy {
        tls,
        headers: headers.collect(),
        users: c.basic_auth_users.into_iter().map(|(u, h)| (u, h.reveal().to_string())).collect(),
        open_health: c.open_health_endpoints,
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
    if let Ok(c) = load(fs, path)
        && let Some(t) = &c.tls_server_config
    {
        files.extend([&t.cert_file, &t.key_file, &t.client_ca_file].into_iter().filter_map(|f| f.get().map(Path::to_path_buf)));
    }
    files.into_iter().map(|f| (f.clone(), fs.modified_ms(&f).unwrap_or(0), fs.len(&f).unwrap_or(0))).collect()
}

/// Looks for changes every few seconds until the end. A file that became wrong leaves the old policy in place.
pub async fn watch(guard: Arc<Guard>, fs: SharedFs, path: PathBuf, shutdown: Shutdown) {
    let mut seen = fingerprint(&*fs, &path);
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
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
