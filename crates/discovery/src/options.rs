//! What discovery needs that no config file says.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long changes are gathered before they are published, at most. The reference's `--scrape.discovery-reload-interval`.
pub const DEFAULT_UPDATE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Options {
    /// Clock, files and environment come with it.
    pub http: client::Options,
    pub update_interval: Duration,
    /// One variable of the environment; read by the binary.
    pub environment: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
    pub resolv_conf: PathBuf,
    /// Where a pod finds its token, certificate authority and namespace.
    pub service_account: PathBuf,
}

impl Options {
    pub fn new(http: client::Options) -> Self {
        Options {
            http,
            update_interval: DEFAULT_UPDATE_INTERVAL,
            environment: Arc::new(|_| None),
            resolv_conf: "/etc/resolv.conf".into(),
            service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("update_interval", &self.update_interval).finish_non_exhaustive()
    }
}
