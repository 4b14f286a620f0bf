//! The `remote_write` and `remote_read` sections: every key of Prometheus. What cannot be done yet is refused by its name when a server
//! starts or reloads with it; reading the file stays possible.

use crate::cloud::{AzureAdConfig, GoogleIamConfig};
use client::{HttpConfig, SigV4Config};
use model::relabel::RelabelRule;
use std::collections::BTreeMap;
use yaml::{Millis, Url};

yaml::table! {
    /// One destination of samples.
    #[derive(Clone, Debug, PartialEq)]
    pub struct RemoteWriteConfig as "config.plain" check(RemoteWriteConfig::check) {
        pub url: Url => required("url for remote_write is empty");
        /// For one request.
        pub remote_timeout: Millis = Millis::from_secs(30);
        pub headers: BTreeMap<String, String>;
        pub write_relabel_configs: Vec<RelabelRule> => with(|n, cx| yaml::list(n, cx, "empty or null relabeling rule in remote write config"));
        /// Names the destination in metrics and on disk. Two destinations may not share one.
        pub name: String;
        pub send_exemplars: bool;
        /// Only asked where version 1.0 is spoken to a foreign parent: version 2.0 and a parent of our own always get them.
        pub send_native_histograms: bool;
        pub round_robin_dns: bool;
        pub protobuf_message: ProtobufMessage;
        pub http: HttpConfig = HttpConfig::without_http2() => inline;
        pub queue_config: QueueConfig;
        pub metadata_config: MetadataConfig;
        pub sigv4: Option<SigV4Config>;
        pub azuread: Option<AzureAdConfig>;
        pub google_iam: Option<GoogleIamConfig>;
    }
}

yaml::table! {
    /// How samples are gathered and sent.
    #[derive(Clone, Debug, PartialEq)]
    pub struct QueueConfig as "config.QueueConfig" {
        /// Samples that wait in one shard at most, but for those of one log record.
        pub capacity: u64 = 10_000;
        pub max_shards: u64 = 50;
        pub min_shards: u64 = 1;
        pub max_samples_per_send: u64 = 2_000;
        /// The longest that a sample waits for others to fill its request.
        pub batch_send_deadline: Millis = Millis::from_secs(5);
        pub min_backoff: Millis = Millis(30);
        pub max_backoff: Millis = Millis::from_secs(5);
        /// Taken and ignored: 429 is always retried.
        pub retry_on_http_429: bool;
        /// Older samples are dropped unsent. 0: none are.
        pub sample_age_limit: Millis;
    }
}

yaml::table! {
    /// Metadata of metric families, in version 1.0.
    #[derive(Clone, Debug, PartialEq)]
    pub struct MetadataConfig as "config.MetadataConfig" {
        pub send: bool = true => always;
        pub send_interval: Millis = Millis::from_mins(1) => always;
        pub max_samples_per_send: u64 = 2_000;
    }
}

yaml::table! {
    /// One server that answers queries about samples that are not here.
    #[derive(Clone, Debug, PartialEq)]
    pub struct RemoteReadConfig as "config.plain" check(RemoteReadConfig::check) {
        pub url: Url => required("url for remote_read is empty");
        pub remote_timeout: Millis = Millis::from_mins(1);
        pub chunked_read_limit: u64 = 50_000_000;
        pub headers: BTreeMap<String, String>;
        pub read_recent: bool;
        pub name: String;
        pub http: HttpConfig => inline;
        /// Asked only for selectors that have all of these equality matchers.
        pub required_matchers: BTreeMap<String, String>;
        pub filter_external_labels: bool = true;
    }
}

/// Which message is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtobufMessage {
    /// Nothing was said: version 1.0, and 2.0 where the parent turns out to be one of ours.
    #[default]
    Unsaid,
    V1,
    V2,
}

impl ProtobufMessage {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "prometheus.WriteRequest" => Ok(ProtobufMessage::V1),
            "io.prometheus.write.v2.Request" => Ok(ProtobufMessage::V2),
            other => Err(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {other}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
            )),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            ProtobufMessage::Unsaid | ProtobufMessage::V1 => "prometheus.WriteRequest",
            ProtobufMessage::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

yaml::text_type!(ProtobufMessage, "remote.WriteMessageType", ProtobufMessage::parse, |m: &ProtobufMessage| m.as_str().to_string());

/// Headers that the protocol itself sets.
const RESERVED_HEADERS: [&str; 16] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
    for name in headers.keys() {
        let lower = name.to_lowercase();
        if lower == "authorization" {
            return Err(
                "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter".to_string()
            );
        }
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            return Err(format!("{name} is a reserved header. It must not be changed"));
        }
    }
    Ok(())
}

impl RemoteWriteConfig {
    /// Checks the relabel rules against the name scheme of the whole configuration; call it when that is known.
    pub fn validate(&mut self, scheme: model::name::Scheme) -> Result<(), model::relabel::RelabelError> {
        self.write_relabel_configs.iter_mut().try_for_each(|r| r.validate(scheme))
    }

    fn check(&mut self) -> Result<(), String> {
        check_headers(&self.headers)?;
        self.queue_config.check()?;
        let auth: Vec<&str> = [
            ("basic_auth", self.http.basic_auth.is_some()),
            ("authorization", self.http.authorization.is_some()),
            ("oauth2", self.http.oauth2.is_some()),
            ("sigv4", self.sigv4.is_some()),
            ("azuread", self.azuread.is_some()),
            ("google_iam", self.google_iam.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect();
        if auth.len() > 1 {
            return Err(format!(
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{}]",
                auth.join(" ")
            ));
        }
        Ok(())
    }

    /// The key of an authentication that can be read but not done; None when all can be done.
    pub fn unsupported(&self) -> Option<&'static str> {
        match (&self.azuread, &self.google_iam) {
            (Some(a), _) if a.certificate.is_some() => Some("azuread.certificate"),
            (_, Some(_)) => Some("google_iam"),
            _ => None,
        }
    }
}

impl QueueConfig {
    fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("max_shards", self.max_shards),
            ("min_shards", self.min_shards),
            ("max_samples_per_send", self.max_samples_per_send),
            ("capacity", self.capacity),
        ] {
            if value == 0 {
                return Err(format!("remote write queue {name} must be positive"));
            }
        }
        if self.min_shards > self.max_shards {
            return Err("remote write queue min_shards must not be greater than max_shards".to_string());
        }
        if self.max_backoff < self.min_backoff {
            return Err("remote write queue max_backoff must not be less than min_backoff".to_string());
        }
        Ok(())
    }
}

impl RemoteReadConfig {
    fn check(&mut self) -> Result<(), String> {
        check_headers(&self.headers)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
