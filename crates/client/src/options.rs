//! What a client needs that no config file says.

use crate::roots::SystemRoots;
use http::HeaderValue;
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
}

impl Environment {
    /// From a function that reads one variable; upper case wins over lower case.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| var(name).filter(|v| !v.is_empty()).or_else(|| var(&name.to_lowercase())).unwrap_or_default();
        Environment {
            http_proxy: either("HTTP_PROXY"),
            https_proxy: either("HTTPS_PROXY"),
            no_proxy: either("NO_PROXY"),
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
        }
    }
}
