//! Tokens for `oauth2`: asked for when the first request needs one, kept until shortly before they end.

use crate::auth::{Text, secret_header};
use crate::client::HttpClient;
use crate::config::{GRANT_CLIENT_CREDENTIALS, GRANT_JWT, HttpConfig, OAuth2};
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::request::Request;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stdx::clock::SharedClock;

/// A token is asked for anew this long before it ends.
const EARLY_MS: i64 = 10_000;
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REPLY_BYTES: usize = 1 << 20;
const JWT_LIFETIME_S: i64 = 3600;

pub(crate) struct TokenSource {
    config: OAuth2,
    secret: Text,
    key: Text,
    client: HttpClient,
    clock: SharedClock,
    /// Held while a token is fetched, so that many requests at once ask for one.
    fetching: tokio::sync::Mutex<()>,
    cached: Mutex<Option<Cached>>,
    /// The server wants id and secret in the form, not in a header.
    in_form: AtomicBool,
}

struct Cached {
    header: HeaderValue,
    until_ms: i64,
    /// What it was made with; a changed file makes it void.
    secret: Arc<[u8]>,
}

impl TokenSource {
    pub fn new(config: &OAuth2, name: &str, options: &Options) -> Result<Self, Error> {
        let http = HttpConfig { tls_config: config.tls_config.clone(), proxy: config.proxy.clone(), ..HttpConfig::default() };
        Ok(TokenSource {
            secret: Text::new(config.client_secret.reveal(), &config.client_secret_file, "oauth2 client secret", options),
            key: Text::new(config.client_certificate_key.reveal(), &config.client_certificate_key_file, "oauth2 client certificate key", options),
            client: HttpClient::new(&http, &format!("{name} oauth2"), options)?,
            clock: Arc::clone(&options.clock),
            fetching: tokio::sync::Mutex::new(()),
            cached: Mutex::default(),
            in_form: AtomicBool::new(false),
            config: config.clone(),
        })
    }

    fn uses_jwt(&self) -> bool {
        self.config.grant_type == GRANT_JWT
    }

    pub async fn header(&self) -> Result<HeaderValue, Error> {
        let secret = if self.uses_jwt() { self.key.read()? } else { self.secret.read()? };
        if let Some(h) = self.fresh(&secret) {
            return Ok(h);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(h) = self.fresh(&secret) {
            return Ok(h);
        }
        // Boxed: the client that fetches the token is a client like the one that waits for it.
        let (header, lifetime_ms) = Box::pin(self.fetch(&secret)).await?;
        let until_ms = lifetime_ms.map_or(i64::MAX, |l| self.clock.now_ms().saturating_add(l - EARLY_MS));
        *self.cached.lock() = Some(Cached { header: header.clone(), until_ms, secret });
        Ok(header)
    }

    fn fresh(&self, secret: &Arc<[u8]>) -> Option<HeaderValue> {
        let cached = self.cached.lock();
        cached.as_ref().filter(|c| c.until_ms > self.clock.now_ms() && Arc::ptr_eq(&c.secret, secret)).map(|c| c.header.clone())
    }

    pub fn forget(&self) {
        *self.cached.lock() = None;
    }

    async fn fetch(&self, secret: &[u8]) -> Result<(HeaderValue, Option<i64>), Error> {
        let secret = String::from_utf8_lossy(secret.trim_ascii()).into_owned();
        let mut form = vec![(
            "grant_type".to_string(),
            if self.config.grant_type.is_empty() { GRANT_CLIENT_CREDENTIALS.to_string() } else { self.config.grant_type.clone() },
        )];
        if self.uses_jwt() {
            form.push(("assertion".into(), self.assertion(&secret)?));
        } else if !self.config.scopes.is_empty() {
            form.push(("scope".into(), self.config.scopes.join(" ")));
        }
        form.extend(self.config.endpoint_params.iter().map(|(k, v)| (k.clone(), v.clone())));
        if self.uses_jwt() {
            return self.ask(&form, None).await.map_err(|(e, _)| e);
        }
        let id = &self.config.client_id;
        let mut in_body = form.clone();
        in_body.push(("client_id".into(), id.clone()));
        in_body.push(("client_secret".into(), secret.clone()));
        if self.in_form.load(Ordering::Relaxed) {
            return self.ask(&in_body, None).await.map_err(|(e, _)| e);
        }
        let pair = format!("{}:{}", encode(id), encode(&secret));
        match self.ask(&form, Some(format!("Basic {}", STANDARD.encode(pair)))).await {
            // The server answered, but not with a token: it may want them the other way.
            Err((_, true)) => {
                let answer = self.ask(&in_body, None).await.map_err(|(e, _)| e)?;
                self.in_form.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            other => other.map_err(|(e, _)| e),
        }
    }

    /// The error says whether the server answered at all.
    async fn ask(&self, form: &[(String, String)], authorization: Option<String>) -> Result<(HeaderValue, Option<i64>), (Error, bool)> {
        let body: Vec<String> = form.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        let before = |e: Error| (Error::with(ErrorKind::Auth, "oauth2: cannot fetch token", e), false);
        let mut request = Request::post(&self.config.token_url, "application/x-www-form-urlencoded", body.join("&")).map_err(before)?;
        if let Some(a) = authorization {
            request.headers.insert(header::AUTHORIZATION, secret_header(a.as_bytes()).map_err(before)?);
        }
        let answer = self.client.send(request.timeout(TOKEN_TIMEOUT)).await.map_err(before)?;
        let status = answer.status;
        let bytes = answer.bytes(MAX_REPLY_BYTES).await.map_err(before)?;
        let refused = |what: String| (Error::new(ErrorKind::Auth, format!("oauth2: cannot fetch token: {what}")), true);
        let reply: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status != StatusCode::OK {
            let why = ["error", "error_description"].iter().filter_map(|k| reply[k].as_str()).collect::<Vec<_>>().join(": ");
            return Err(refused(format!("server answered {status} {why}").trim_end().to_string()));
        }
        let Some(token) = reply["access_token"].as_str().filter(|t| !t.is_empty()) else {
            return Err(refused("server response is missing access_token".into()));
        };
        let kind = match reply["token_type"].as_str() {
            Some(k) if !k.is_empty() && !k.eq_ignore_ascii_case("bearer") => k,
            _ => "Bearer",
        };
        let header = secret_header(format!("{kind} {token}").as_bytes()).map_err(|e| (e, true))?;
        // Some servers write the number as a string.
        let seconds = reply["expires_in"].as_i64().or_else(|| reply["expires_in"].as_str()?.parse().ok());
        Ok((header, seconds.filter(|s| *s > 0).map(|s| s.saturating_mul(1000))))
    }

    /// A signed statement of who we are (RFC 7523).
    fn assertion(&self, key_pem: &str) -> Result<String, Error> {
        let c = &self.config;
        let (name, scheme) = match c.signature_algorithm.as_str() {
            "RS384" => ("RS384", SignatureScheme::RSA_PKCS1_SHA384),
            "RS512" => ("RS512", SignatureScheme::RSA_PKCS1_SHA512),
            _ => ("RS256", SignatureScheme::RSA_PKCS1_SHA256),
        };
        let bad = || Error::new(ErrorKind::Config, "oauth2 client certificate key is not an RSA key in PEM");
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| bad())?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| bad())?;
        let signer = key.choose_scheme(&[scheme]).ok_or_else(bad)?;
        let now = self.clock.now_ms() / 1000;
        let or = |a: &str, b: &str| if a.is_empty() { b.to_string() } else { a.to_string() };
        let mut claims: Map<String, Value> = c.claims.iter().map(|(k, v)| (k.clone(), to_json(v))).collect();
        for (k, v) in [
            ("iss", json!(or(&c.iss, &c.client_id))),
            ("sub", json!(c.client_id)),
            ("aud", json!(or(&c.audience, &c.token_url))),
            ("iat", json!(now - 10)),
            ("exp", json!(now + JWT_LIFETIME_S)),
        ] {
            claims.insert(k.into(), v);
        }
        if !c.scopes.is_empty() {
            claims.insert("scope".into(), json!(c.scopes.join(" ")));
        }
        let mut head = json!({"alg": name, "typ": "JWT"});
        if !c.client_certificate_key_id.is_empty() {
            head["kid"] = json!(c.client_certificate_key_id);
        }
        let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let text = format!("{}.{}", part(&head), part(&Value::Object(claims)));
        let signature = signer.sign(text.as_bytes()).map_err(|e| Error::with(ErrorKind::Auth, "oauth2: cannot sign", e))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// As in a form: a space is a plus.
fn encode(s: &str) -> String {
    url::form_urlencoded::byte_serialize(s.as_bytes()).collect()
}

fn to_json(node: &yaml::Node) -> Value {
    match (&node.kind, node.resolved()) {
        (yaml::Kind::Seq(items), _) => Value::Array(items.iter().map(to_json).collect()),
        (yaml::Kind::Map(m), _) => Value::Object(m.iter().map(|(k, v)| (k.text().unwrap_or_default().to_string(), to_json(v))).collect()),
        (_, Some(yaml::Resolved::Null)) => Value::Null,
        (_, Some(yaml::Resolved::Bool(b))) => json!(b),
        (_, Some(yaml::Resolved::Int(i))) => json!(i),
        (_, Some(yaml::Resolved::Uint(u))) => json!(u),
        (_, Some(yaml::Resolved::Float(f))) => json!(f),
        _ => json!(node.text().unwrap_or_default()),
    }
}
