//! Tokens for the `azuread` section: asked for when the first request needs one, kept until shortly before they end.
//!
//! Client secret and workload identity ask the authority of the cloud; a managed identity asks the machine (or, in an App Service, its agent); the SDK's way tries what
//! the environment names, in the order of Azure's own libraries, but for command-line tools. No certificates.

use crate::cloud::AzureAdConfig;
use client::{Error, ErrorKind, HeaderName, HeaderValue, HttpClient, HttpConfig, Options, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A token is asked for anew this long before it ends.
const EARLY_MS: i64 = 5 * 60_000;
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REPLY_BYTES: usize = 1 << 20;
const MACHINE: &str = "http://169.254.169.254";
/// Where a pod finds its token when nothing is said.
const POD_TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub struct AzureTokens {
    config: AzureAdConfig,
    client: HttpClient,
    options: Options,
    cached: Mutex<Option<(HeaderValue, i64)>>,
    /// Held while a token is fetched, so that many requests at once ask for one.
    fetching: tokio::sync::Mutex<()>,
}

struct Token {
    text: String,
    lifetime_ms: i64,
}

fn refused(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Auth, format!("azuread: cannot fetch token: {what}"))
}

impl AzureTokens {
    pub fn new(config: &AzureAdConfig, name: &str, options: &Options) -> Result<Self, Error> {
        let client = HttpClient::new(&HttpConfig::default(), &format!("{name} azuread"), options)?;
        Ok(AzureTokens { config: config.clone(), client, options: options.clone(), cached: Mutex::default(), fetching: tokio::sync::Mutex::new(()) })
    }

    /// The `Authorization` header for a request that is made now.
    pub async fn header(&self) -> Result<HeaderValue, Error> {
        let fresh = || self.cached.lock().as_ref().filter(|(_, until)| *until > self.options.clock.now_ms()).map(|(h, _)| h.clone());
        if let Some(h) = fresh() {
            return Ok(h);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(h) = fresh() {
            return Ok(h);
        }
        let token = self.fetch().await?;
        let mut header =
            HeaderValue::from_str(&format!("Bearer {}", token.text)).map_err(|_| refused("the token holds characters that no header may"))?;
        header.set_sensitive(true);
        let early_ms = EARLY_MS.min(token.lifetime_ms / 10);
        *self.cached.lock() = Some((header.clone(), self.options.clock.now_ms().saturating_add(token.lifetime_ms - early_ms)));
        Ok(header)
    }

    /// After an answer that the token is not good.
    pub fn forget(&self) {
        *self.cached.lock() = None;
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.options.environment.azure.get(name).map(String::as_str)
    }

    /// What the token is for.
    fn scope(&self) -> String {
        let host = match self.config.cloud.as_str() {
            "AzureChina" => "cn",
            "AzureGovernment" => "us",
            _ => "com",
        };
        if self.config.scope.is_empty() { format!("https://monitor.azure.{host}//.default") } else { self.config.scope.clone() }
    }

    fn authority(&self) -> &str {
        self.var("AZURE_AUTHORITY_HOST").unwrap_or(match self.config.cloud.as_str() {
            "AzureChina" => "https://login.chinacloudapi.cn",
            "AzureGovernment" => "https://login.microsoftonline.us",
            _ => "https://login.microsoftonline.com",
        })
    }

    async fn fetch(&self) -> Result<Token, Error> {
        let c = &self.config;
        if let Some(o) = &c.oauth {
            return self.by_secret(&o.tenant_id, &o.client_id, o.client_secret.reveal()).await;
        }
        if let Some(w) = &c.workload_identity {
            let file = if w.token_file_path.is_empty() { POD_TOKEN_FILE } else { &w.token_file_path };
            return self.by_file(&w.tenant_id, &w.client_id, file).await;
        }
        if let Some(m) = &c.managed_identity {
            return self.by_machine(&m.client_id).await;
        }
        if let Some(s) = &c.sdk {
            return self.by_environment(&s.tenant_id).await;
        }
        Err(refused("no way of the section is supported"))
    }

    async fn by_environment(&self, tenant: &str) -> Result<Token, Error> {
        let tenant = if tenant.is_empty() { self.var("AZURE_TENANT_ID").unwrap_or_default() } else { tenant };
        let id = self.var("AZURE_CLIENT_ID").unwrap_or_default();
        match (self.var("AZURE_CLIENT_SECRET"), self.var("AZURE_FEDERATED_TOKEN_FILE")) {
            (Some(secret), _) if !id.is_empty() && !tenant.is_empty() => self.by_secret(tenant, id, secret).await,
            (_, Some(file)) if !id.is_empty() && !tenant.is_empty() => self.by_file(tenant, id, file).await,
            _ => self.by_machine(id).await,
        }
    }

    async fn by_secret(&self, tenant: &str, id: &str, secret: &str) -> Result<Token, Error> {
        self.ask_authority(tenant, &[("client_id", id), ("client_secret", secret)]).await
    }

    async fn by_file(&self, tenant: &str, id: &str, file: &str) -> Result<Token, Error> {
        let bytes = self.options.fs.read(Path::new(file)).map_err(|e| refused(format!("read token file {file}: {e}")))?;
        let assertion = String::from_utf8_lossy(&bytes).trim().to_string();
        self.ask_authority(tenant, &[("client_id", id), ("client_assertion_type", JWT_BEARER), ("client_assertion", &assertion)]).await
    }

    async fn ask_authority(&self, tenant: &str, who: &[(&str, &str)]) -> Result<Token, Error> {
        let scope = self.scope();
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.authority().trim_end_matches('/'));
        let form: Vec<(&str, &str)> = who.iter().copied().chain([("grant_type", "client_credentials"), ("scope", scope.as_str())]).collect();
        self.ask(Request::post(&url, "application/x-www-form-urlencoded", encode(&form))?).await
    }

    async fn by_machine(&self, client_id: &str) -> Result<Token, Error> {
        // A machine is asked for a resource, not for a scope of it.
        let scope = self.scope();
        let resource = scope.strip_suffix("/.default").unwrap_or(&scope);
        let mut query = vec![("resource", resource)];
        if !client_id.is_empty() {
            query.push(("client_id", client_id));
        }
        let (url, header, value) = match (self.var("IDENTITY_ENDPOINT"), self.var("IDENTITY_HEADER")) {
            (Some(endpoint), Some(secret)) => {
                query.insert(0, ("api-version", "2019-08-01"));
                (endpoint.to_string(), HeaderName::from_static("x-identity-header"), secret)
            }
            _ => {
                query.insert(0, ("api-version", "2018-02-01"));
                let host = self.var("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(MACHINE);
                (format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/')), HeaderName::from_static("metadata"), "true")
            }
        };
        let value = HeaderValue::from_str(value).map_err(|_| refused("IDENTITY_HEADER holds characters that no header may"))?;
        self.ask(Request::get(&format!("{url}?{}", encode(&query)))?.header(header, value)).await
    }

    async fn ask(&self, request: Request) -> Result<Token, Error> {
        let answer = self.client.send(request.timeout(TIMEOUT)).await.map_err(refused)?;
        let status = answer.status;
        let bytes = answer.bytes(MAX_REPLY_BYTES).await.map_err(refused)?;
        let reply: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status != StatusCode::OK {
            let why = ["error", "error_description"].iter().filter_map(|k| reply[*k].as_str()).collect::<Vec<_>>().join(": ");
            return Err(refused(format!("server answered {status} {why}").trim_end()));
        }
        let text = reply["access_token"].as_str().filter(|t| !t.is_empty()).ok_or_else(|| refused("the answer has no access_token"))?.to_string();
        // Numbers, or numbers as text; an App Service says when instead of how long.
        let number = |name: &str| reply[name].as_i64().or_else(|| reply[name].as_str()?.parse().ok());
        let until = || Some(number("expires_on")?.saturating_sub(self.options.clock.now_ms() / 1000));
        let seconds = number("expires_in").or_else(until).filter(|s| *s > 0).unwrap_or(300);
        Ok(Token { text, lifetime_ms: seconds.saturating_mul(1000) })
    }
}

/// As in a form: a space is a plus.
fn encode(pairs: &[(&str, &str)]) -> String {
    let escape = |s: &str| {
        s.bytes().fold(String::with_capacity(s.len()), |mut out, b| {
            match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => out.push(char::from(b)),
                b' ' => out.push('+'),
                b => out.push_str(&format!("%{b:02X}")),
            }
            out
        })
    };
    pairs.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
#[path = "azure_tests.rs"]
mod tests;
