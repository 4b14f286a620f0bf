//! Where keys come from, in AWS's own order: the config, the environment, the profile's file, a web identity (EKS), the container's agent
//! (ECS, EKS pod identity), the machine (IMDS, version 2). A role in the config is assumed with what was found.

use super::signature::{self, Keys, encode};
use super::{SigV4Config, refused, time};
use crate::client::HttpClient;
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::request::{Request, parse_uri};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The machine answers at once or is none of Amazon's.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_REPLY_BYTES: usize = 1 << 20;
/// Temporary keys are replaced this long before they end.
const EARLY_MS: i64 = 5 * 60_000;
const MACHINE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";

pub(super) struct Chain {
    config: SigV4Config,
    client: HttpClient,
    options: Options,
    cached: Mutex<Option<Found>>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Found {
    keys: Keys,
    until_ms: i64,
}

fn fixed(id: &str, secret: &str, token: &str) -> Found {
    Found { keys: Keys { id: id.into(), secret: secret.into(), token: token.into() }, until_ms: i64::MAX }
}

impl Chain {
    pub fn new(config: SigV4Config, client: HttpClient, options: Options) -> Self {
        Chain { config, client, options, cached: Mutex::default(), fetching: tokio::sync::Mutex::new(()) }
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.options.environment.aws.get(name).map(String::as_str)
    }

    fn read(&self, path: &Path) -> Result<String, Error> {
        let bytes = self.options.fs.read(path).map_err(|e| Error::with(ErrorKind::File, format!("unable to read {}", path.display()), e))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_string())
    }

    pub async fn region(&self) -> Result<String, Error> {
        if !self.config.region.is_empty() {
            return Ok(self.config.region.clone());
        }
        if let Some(r) = self.var("AWS_REGION").or_else(|| self.var("AWS_DEFAULT_REGION")) {
            return Ok(r.to_string());
        }
        if let Some(r) = self.profile("config").and_then(|section| value(&section, "region")) {
            return Ok(r);
        }
        let by_machine = self.machine("/latest/meta-data/placement/region").await;
        by_machine.map_err(|_| Error::new(ErrorKind::Config, "region not configured in sigv4 or in default credentials chain"))
    }

    pub async fn keys(&self, region: &str) -> Result<Keys, Error> {
        let fresh = || self.cached.lock().as_ref().filter(|f| f.until_ms > self.options.clock.now_ms()).map(|f| f.keys.clone());
        if let Some(keys) = fresh() {
            return Ok(keys);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(keys) = fresh() {
            return Ok(keys);
        }
        let mut found = self.find(region).await?;
        if !self.config.role_arn.is_empty() {
            found = self.assume(region, &found.keys).await?;
        }
        found.until_ms = found.until_ms.saturating_sub(EARLY_MS);
        let keys = found.keys.clone();
        *self.cached.lock() = Some(found);
        Ok(keys)
    }

    async fn find(&self, region: &str) -> Result<Found, Error> {
        let c = &self.config;
        if !c.access_key.is_empty() {
            return Ok(fixed(&c.access_key, c.secret_key.reveal(), ""));
        }
        // A profile in the config is meant, whatever the environment says.
        if c.profile.is_empty()
            && let (Some(id), Some(secret)) = (self.var("AWS_ACCESS_KEY_ID"), self.var("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(fixed(id, secret, self.var("AWS_SESSION_TOKEN").unwrap_or_default()));
        }
        if let Some(section) = self.profile("credentials")
            && let (Some(id), Some(secret)) = (value(&section, "aws_access_key_id"), value(&section, "aws_secret_access_key"))
        {
            return Ok(fixed(&id, &secret, &value(&section, "aws_session_token").unwrap_or_default()));
        }
        if !c.profile.is_empty() {
            return Err(refused(format!("profile {:?} has no keys", c.profile)));
        }
        if let (Some(file), Some(role)) = (self.var("AWS_WEB_IDENTITY_TOKEN_FILE"), self.var("AWS_ROLE_ARN")) {
            return self.web_identity(region, Path::new(file), role).await;
        }
        if let Some(found) = self.container().await? {
            return Ok(found);
        }
        self.machine_keys().await
    }

    /// The lines of the profile in `~/.aws/credentials` or `~/.aws/config`.
    fn profile(&self, file: &str) -> Option<String> {
        let named = self.var("AWS_SHARED_CREDENTIALS_FILE").filter(|_| file == "credentials").map(PathBuf::from);
        let path = named.or_else(|| Some(Path::new(self.var("HOME")?).join(".aws").join(file)))?;
        let wanted = if self.config.profile.is_empty() { self.var("AWS_PROFILE").unwrap_or("default") } else { &self.config.profile };
        let text = self.read(&path).ok()?;
        let mut sections = text.split('[').skip(1).filter_map(|s| s.split_once(']'));
        sections.find(|(name, _)| name.trim().strip_prefix("profile ").unwrap_or(name).trim() == wanted).map(|(_, body)| body.to_string())
    }

    fn sts(&self, region: &str) -> String {
        let fips = if self.config.use_fips_sts_endpoint { "-fips" } else { "" };
        let tail = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://sts{fips}.{region}.amazonaws.com{tail}/")
    }

    async fn assume(&self, region: &str, with: &Keys) -> Result<Found, Error> {
        let session = format!("narthex-{}", self.options.clock.now_ms());
        let mut form = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={}&RoleSessionName={session}", encode(&self.config.role_arn, false));
        if !self.config.external_id.is_empty() {
            form.push_str(&format!("&ExternalId={}", encode(&self.config.external_id, false)));
        }
        let mut request = Request::post(&self.sts(region), "application/x-www-form-urlencoded", form)?;
        signature::sign(&mut request, with, region, "sts", self.options.clock.now_ms())?;
        self.by_sts(request).await
    }

    async fn web_identity(&self, region: &str, token_file: &Path, role: &str) -> Result<Found, Error> {
        let token = self.read(token_file)?;
        let session = self.var("AWS_ROLE_SESSION_NAME").unwrap_or("narthex");
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
            encode(role, false),
            encode(session, false),
            encode(&token, false)
        );
        self.by_sts(Request::post(&self.sts(region), "application/x-www-form-urlencoded", form)?).await
    }

    async fn by_sts(&self, request: Request) -> Result<Found, Error> {
        let answer = self.client.send(request.timeout(TIMEOUT)).await?;
        let status = answer.status;
        let body = String::from_utf8_lossy(&answer.bytes(MAX_REPLY_BYTES).await?).into_owned();
        let tag = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            rest.split_once("</").map(|(text, _)| text.to_string())
        };
        if status != StatusCode::OK {
            let why = tag("Message").or_else(|| tag("Code")).unwrap_or_default();
            return Err(refused(format!("cannot assume role: server answered {status}: {why}")));
        }
        match (tag("AccessKeyId"), tag("SecretAccessKey"), tag("SessionToken"), tag("Expiration")) {
            (Some(id), Some(secret), Some(token), end) => {
                Ok(Found { keys: Keys { id, secret, token }, until_ms: end.and_then(|e| time::parse(&e)).unwrap_or(i64::MAX) })
            }
            _ => Err(refused("cannot assume role: answer has no credentials")),
        }
    }

    async fn container(&self) -> Result<Option<Found>, Error> {
        let relative = self.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|p| format!("{CONTAINER}{p}"));
        let Some(url) = relative.or_else(|| self.var("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_string)) else {
            return Ok(None);
        };
        let mut request = Request::get(&url)?.timeout(TIMEOUT);
        if let Some(file) = self.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            let token = self.read(Path::new(file))?;
            request.headers.insert(http::header::AUTHORIZATION, crate::auth::secret_header(token.as_bytes())?);
        }
        from_json(&self.text(request).await?).map(Some)
    }

    async fn machine_keys(&self) -> Result<Found, Error> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let none = |e: Error| refused(format!("no credentials found in the config, the environment, a profile or the machine: {e}"));
        let role = self.machine(ROLES).await.map_err(none)?;
        let role = role.lines().next().unwrap_or_default();
        from_json(&self.machine(&format!("{ROLES}{role}")).await?)
    }

    /// Asks the machine's metadata service, with a session token as version 2 wants it.
    async fn machine(&self, path: &str) -> Result<String, Error> {
        if self.var("AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Err(refused("metadata service is disabled"));
        }
        let mut ask = Request::new(Method::PUT, &format!("{MACHINE}/latest/api/token"))?.timeout(MACHINE_TIMEOUT);
        ask.headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"), HeaderValue::from_static("300"));
        let token = self.text(ask).await?;
        let mut request = Request { method: Method::GET, uri: parse_uri(&format!("{MACHINE}{path}"))?, ..Request::get(MACHINE)? };
        request.headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token"), crate::auth::secret_header(token.as_bytes())?);
        self.text(request.timeout(MACHINE_TIMEOUT)).await
    }

    async fn text(&self, request: Request) -> Result<String, Error> {
        let url = request.uri.to_string();
        let answer = self.client.send(request).await?;
        if !answer.status.is_success() {
            return Err(refused(format!("{url} answered {}", answer.status)));
        }
        Ok(String::from_utf8_lossy(&answer.bytes(MAX_REPLY_BYTES).await?).into_owned())
    }
}

/// `key = value` among the lines of a section.
fn value(section: &str, key: &str) -> Option<String> {
    section.lines().filter_map(|l| l.split_once('=')).find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim().to_string())
}

fn from_json(text: &str) -> Result<Found, Error> {
    let v: Value = serde_json::from_str(text).map_err(|e| Error::with(ErrorKind::Auth, "aws: credentials are not JSON", e))?;
    let get = |key: &str| v[key].as_str().map(str::to_string);
    match (get("AccessKeyId"), get("SecretAccessKey")) {
        (Some(id), Some(secret)) => Ok(Found {
            keys: Keys { id, secret, token: get("Token").unwrap_or_default() },
            until_ms: get("Expiration").and_then(|e| time::parse(&e)).unwrap_or(i64::MAX),
        }),
        _ => Err(refused("answer has no credentials")),
    }
}
