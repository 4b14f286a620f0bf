//! Sections that belong to no other room: storage, runtime, tracing, remote_read, otlp.

use model::labels::quote;
use model::name::Scheme;
use std::collections::BTreeMap;
use yaml::{Cx, Millis, Node, Size};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct RuntimeConfig as "config.plain" {
        /// Of Go's garbage collector: accepted, does nothing here.
        pub gogc: i64 = 75;
    }
}

pub(super) fn runtime(node: &Node, cx: &mut Cx) -> Option<RuntimeConfig> {
    if node.entries().is_some_and(<[_]>::is_empty) { Some(RuntimeConfig::default()) } else { yaml::FromYaml::from_yaml(node, cx) }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct StorageConfig as "config.plain" {
        pub tsdb: Option<TsdbConfig>;
        pub exemplars: Option<ExemplarsConfig>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct TsdbConfig as "config.plain" check(TsdbConfig::check) {
        /// The window in milliseconds: Prometheus writes it back under its Go name, so it may come in with that too; the next key says it.
        pub window_ms as "outofordertimewindow": i64 => always;
        /// How old samples may be that jobs and rules add behind newer ones. Samples that come by remote write may always be.
        pub out_of_order_time_window: Millis;
        pub stale_series_compaction_threshold: f64;
        pub chunk_encoding: ChunkEncodingConfig;
        pub retention: Option<RetentionConfig>;
    }
}

impl TsdbConfig {
    fn check(&mut self) -> Result<(), String> {
        self.window_ms = self.out_of_order_time_window.0;
        Ok(())
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct ChunkEncodingConfig as "config.plain" check(ChunkEncodingConfig::check) {
        pub floats: String;
    }
}

impl ChunkEncodingConfig {
    fn check(&mut self) -> Result<(), String> {
        match self.floats.as_str() {
            "" | "xor" | "xor2" => Ok(()),
            other => Err(format!(
                "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {}",
                quote(other)
            )),
        }
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct RetentionConfig as "config.plain" check(RetentionConfig::check) {
        pub time: Millis;
        pub size: Size => with(retention_size);
        /// Of the disk, 0 to 100; 0 for no limit.
        pub percentage: f64;
    }
}

fn retention_size(node: &Node, cx: &mut Cx) -> Option<Size> {
    match node.text() {
        Some(t) if t.starts_with('-') => cx.invalid(node, format!("'storage.tsdb.retention.size' must be greater than or equal to 0, got {t}")),
        _ => yaml::FromYaml::from_yaml(node, cx),
    }
}

impl RetentionConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.percentage < 0.0 || self.percentage > 100.0 || self.percentage.is_nan() {
            return Err(format!("'storage.tsdb.retention.percentage' must be in the range [0, 100], got {}", self.percentage));
        }
        Ok(())
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct ExemplarsConfig as "config.plain" {
        pub max_exemplars: i64 = 100_000;
    }
}

yaml::choice! {
    pub enum TracingClient = Grpc {
        Grpc = "grpc",
        Http = "http",
    } unknown "expected tracing client type to be one of http, grpc, but got {}"
}

yaml::table! {
    /// Read and checked; no traces are sent yet.
    #[derive(Clone, Debug, PartialEq)]
    pub struct TracingConfig as "config.plain" check(TracingConfig::check) {
        pub client_type: TracingClient => always;
        pub endpoint: String;
        pub sampling_fraction: f64;
        pub insecure: bool;
        pub tls_config: client::TlsConfig;
        pub headers: BTreeMap<String, String>;
        pub compression: String;
        pub timeout: Millis;
    }
}

/// Headers that requests set themselves.
const RESERVED_HEADERS: &[&str] = &[
    "authorization",
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
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

impl TracingConfig {
    fn check(&mut self) -> Result<(), String> {
        for name in self.headers.keys() {
            let lower = name.to_ascii_lowercase();
            if lower == "authorization" {
                return Err("authorization header configuration is not yet supported".to_string());
            }
            if RESERVED_HEADERS.contains(&lower.as_str()) {
                return Err(format!("{name} is a reserved header. It must not be changed"));
            }
        }
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_string());
        }
        if !matches!(self.compression.as_str(), "" | "gzip") {
            return Err(format!("invalid compression type {} provided, valid options: gzip", self.compression));
        }
        Ok(())
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct OtlpConfig as "config.plain" check(OtlpConfig::check) {
        pub promote_all_resource_attributes: bool;
        pub promote_resource_attributes: Vec<String>;
        pub ignore_resource_attributes: Vec<String>;
        pub translation_strategy: String = "UnderscoreEscapingWithSuffixes".to_string();
        pub keep_identifying_resource_attributes: bool;
        pub convert_histograms_to_nhcb: bool;
        pub promote_scope_metadata: bool;
        pub label_name_underscore_sanitization: bool = true;
        pub label_name_preserve_multiple_underscores: bool = true;
    }
}

impl OtlpConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.promote_all_resource_attributes {
            if !self.promote_resource_attributes.is_empty() {
                return Err("'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously".to_string());
            }
            return clean(&mut self.ignore_resource_attributes, "ignored").map_err(|e| format!("invalid 'ignore_resource_attributes': {e}"));
        }
        if !self.ignore_resource_attributes.is_empty() {
            return Err("'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true".to_string());
        }
        clean(&mut self.promote_resource_attributes, "promoted").map_err(|e| format!("invalid 'promote_resource_attributes': {e}"))
    }

    pub(super) fn check_names(&self, scheme: Scheme) -> Result<(), String> {
        let strategy = &self.translation_strategy;
        match strategy.as_str() {
            "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => Ok(()),
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" if scheme == Scheme::Legacy => {
                Err(format!("OTLP translation strategy {} is not allowed when UTF8 is disabled", quote(strategy)))
            }
            "NoTranslation" | "NoUTF8EscapingWithSuffixes" => Ok(()),
            _ => Err(format!("unsupported OTLP translation strategy {}", quote(strategy))),
        }
    }
}

/// Trims names; empty and doubled ones are refused.
fn clean(names: &mut [String], what: &str) -> Result<(), String> {
    for i in 0..names.len() {
        names[i] = names[i].trim().to_string();
        if names[i].is_empty() {
            return Err(format!("empty {what} OTel resource attribute"));
        }
        if names[..i].contains(&names[i]) {
            return Err(format!("duplicated {what} OTel resource attribute {}", quote(&names[i])));
        }
    }
    Ok(())
}
