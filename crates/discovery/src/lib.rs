//! Who is to be scraped, and where alerts go: target groups from files, names, APIs, kept up to date.
//!
//! A section of the config has [`SdConfigs`] inline. A [`Manager`] runs one provider for each distinct config, however many jobs share it,
//! and publishes a [`Snapshot`] of all jobs whenever something changed, at most every few seconds. A provider that fails keeps what it
//! found last. Not here: relabelling and what a target is; that is the scrape room's.

mod config;
mod consul;
mod dns;
mod docker;
mod ec2;
mod error;
mod file;
mod foreign;
mod group;
mod http_sd;
mod kubernetes;
mod manager;
mod metrics;
mod options;
mod provider;
mod refresh;
mod set;

pub use config::{NAMES, SdConfig, SdConfigs};
pub use consul::ConsulConfig;
pub use dns::DnsConfig;
pub use docker::DockerConfig;
pub use ec2::Ec2Config;
pub use error::Error;
pub use file::{FileConfig, read_targets};
pub use group::TargetGroup;
pub use http_sd::HttpSdConfig;
pub use kubernetes::{AttachMetadata, KubernetesConfig, Namespaces, Role, Selector};
pub use manager::{Groups, Manager, Snapshot};
pub use options::Options;

/// The label that holds host and port.
pub const ADDRESS_LABEL: &str = "__address__";

#[cfg(test)]
mod tests;
#[cfg(test)]
mod testserver;
