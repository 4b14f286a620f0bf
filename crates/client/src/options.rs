//! What a client needs that no config file says.

use crate::conntrack::Conntrack;
use crate::roots::SystemRoots;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SharedClock;
use stdx::fs::SharedFs;

/// What the environment says; read by the binary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub http_proxy: String,
    pub https_proxy: String,
    pub no_proxy: String,
    /// `SSL_CERT_FILE`: in place of the system's certificate bundle.
    pub ssl_cert_file: Option<PathBuf>,
    /// `AWS_*` and `HOME`, where the credentials of AWS are looked for.
    pub aws: BTreeMap<&'static str, String>,
    /// `AZURE_*` and `IDENTITY_*`, where the credentials of Azure are looked for.
    pub azure: BTreeMap<&'static str, String>,
}

/// What of the environment Azure credentials may depend on.
const AZURE_NAMES: [&str; 8] = [
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
];

/// What of the environment AWS credentials may depend on.
const AWS_NAMES: [&str; 15] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "HOME",
];

impl Environment {
    /// From a function that reads one variable; upper case wins over lower case.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| var(name).filter(|v| !v.is_empty()).or_else(|| var(&name.to_lowercase())).unwrap_or_default();
        Environment {
            http_proxy: either("HTTP_PROXY"),
            https_proxy: either("HTTPS_PROXY"),
            no_proxy: either("NO_PROXY"),
            aws: AWS_NAMES.into_iter().filter_map(|n| Some((n, var(n).filter(|v| !v.is_empty())?))).collect(),
            azure: AZURE_NAMES.into_iter().filter_map(|n| Some((n, var(n).filter(|v| !v.is_empty())?))).collect(),
            ssl_cert_file: var("SSL_CERT_FILE").filter(|v| !v.is_empty()).map(PathBuf::from),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub clock: SharedClock,
    pub fs: SharedFs,
    pub user_agent: HeaderValue,
    pub environment: Arc<Environment>,
    pub roots: Arc<SystemRoots>,
    /// For one address; the whole of a request is bounded by its own time-out.
    pub connect_timeout: Duration,
    /// Spread new connections over all addresses of a name instead of taking the first that answers.
    pub round_robin_dns: bool,
    /// Connect here, whatever the URL's host says.
    pub unix_socket: Option<PathBuf>,
    /// Counts connections, when given.
    pub conntrack: Option<Conntrack>,
}

pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl Options {
    pub fn new(clock: SharedClock, fs: SharedFs) -> Self {
        Self::in_environment(clock, fs, Environment::default())
    }

    pub fn in_environment(clock: SharedClock, fs: SharedFs, environment: Environment) -> Self {
        Options {
            roots: Arc::new(SystemRoots::new(Arc::clone(&fs), environment.ssl_cert_file.clone())),
            clock,
            fs,
            user_agent: HeaderValue::from_static(concat!("Narthex/", env!("CARGO_PKG_VERSION"))),
            environment: Arc::new(environment),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            round_robin_dns: false,
            unix_socket: None,
            conntrack: None,
        }
    }
}
