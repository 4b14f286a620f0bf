//! A job of `scrape_configs`, and those keys of `global` that jobs inherit.
//!
//! As read, a job holds only what was written; [`ScrapeConfig::resolve`] fills in the rest from the global section and checks the whole. The rest
//! of this crate sees resolved jobs only. Error texts are Prometheus'.

use crate::protocol::{DEFAULT_PROTOCOLS, PROTOBUF_FIRST_PROTOCOLS, ScrapeProtocol};
use client::HttpConfig;
use discovery::SdConfigs;
use exposition::write::Escaping;
use model::labels::quote;
use model::name::Scheme;
use model::relabel::RelabelRule;
use std::collections::BTreeMap;
use yaml::{FilePath, Millis, Size};

yaml::choice! {
    pub enum NameValidation = Utf8 {
        Utf8 = "utf8",
        Legacy = "legacy",
    } unknown "unrecognized ValidationScheme: {}"
}

impl From<NameValidation> for Scheme {
    fn from(v: NameValidation) -> Self {
        match v {
            NameValidation::Utf8 => Scheme::Utf8,
            NameValidation::Legacy => Scheme::Legacy,
        }
    }
}

yaml::table! {
    /// The keys of `global` that concern scraping; stands inline in the global section.
    #[derive(Clone, Debug, PartialEq)]
    pub struct GlobalScrapeConfig as "config.GlobalConfig" check(GlobalScrapeConfig::check) {
        pub scrape_interval: Millis = Millis::from_mins(1);
        pub scrape_timeout: Millis = Millis::ZERO;
        pub scrape_protocols: Option<Vec<ScrapeProtocol>>;
        pub scrape_failure_log_file: FilePath;
        pub body_size_limit: Size;
        pub sample_limit: u64;
        pub target_limit: u64;
        pub label_limit: u64;
        pub label_name_length_limit: u64;
        pub label_value_length_limit: u64;
        pub keep_dropped_targets: u64;
        pub metric_name_validation_scheme: Option<NameValidation>;
        pub metric_name_escaping_scheme: String;
        pub scrape_native_histograms: Option<bool>;
        pub convert_classic_histograms_to_nhcb: bool;
        pub always_scrape_classic_histograms: bool;
        pub extra_scrape_metrics: Option<bool>;
    }
}

yaml::table! {
    /// One job.
    #[derive(Clone, Debug, PartialEq)]
    pub struct ScrapeConfig as "config.plain" check(ScrapeConfig::check_static_targets) {
        pub job_name: String => required("job_name is empty");
        pub honor_labels: bool;
        pub honor_timestamps: bool = true => always;
        pub track_timestamps_staleness: bool => always;
        pub params: BTreeMap<String, Vec<String>>;
        pub scrape_interval: Millis;
        pub scrape_timeout: Millis;
        pub scrape_protocols: Option<Vec<ScrapeProtocol>>;
        pub fallback_scrape_protocol: Option<ScrapeProtocol> => with(fallback_protocol);
        pub scrape_native_histograms: Option<bool>;
        pub always_scrape_classic_histograms: Option<bool>;
        pub convert_classic_histograms_to_nhcb: Option<bool>;
        pub scrape_failure_log_file: FilePath;
        pub metrics_path: String = "/metrics".into();
        pub scheme: String = "http".into();
        pub enable_compression: bool = true => always;
        /// Uncompressed; 0 for the built-in limit.
        pub body_size_limit: Size;
        pub sample_limit: u64;
        pub target_limit: u64;
        pub label_limit: u64;
        pub label_name_length_limit: u64;
        pub label_value_length_limit: u64;
        pub native_histogram_bucket_limit: u64;
        pub native_histogram_min_bucket_factor: f64;
        pub keep_dropped_targets: u64;
        pub metric_name_validation_scheme: Option<NameValidation>;
        pub metric_name_escaping_scheme: String;
        pub extra_scrape_metrics: Option<bool>;
        pub http: HttpConfig => inline;
        pub relabel_configs: Vec<RelabelRule> => with(|n, cx| yaml::list(n, cx, "empty or null target relabeling rule in scrape config"));
        pub metric_relabel_configs: Vec<RelabelRule> => with(|n, cx| yaml::list(n, cx, "empty or null metric relabeling rule in scrape config"));
        pub discovery: SdConfigs => inline;
    }
}

/// An empty word is none.
fn fallback_protocol(node: &yaml::Node, cx: &mut yaml::Cx) -> Option<Option<ScrapeProtocol>> {
    if node.text() == Some("") { Some(None) } else { yaml::FromYaml::from_yaml(node, cx).map(Some) }
}

fn check_protocols(protocols: &[ScrapeProtocol]) -> Result<(), String> {
    if protocols.is_empty() {
        return Err("scrape_protocols cannot be empty".to_string());
    }
    if protocols.iter().enumerate().any(|(i, p)| protocols[..i].contains(p)) {
        let all: Vec<&str> = protocols.iter().map(|p| p.as_str()).collect();
        return Err(format!("duplicated protocol in scrape_protocols, got [{}]", all.join(" ")));
    }
    Ok(())
}

const DEFAULT_TIMEOUT: Millis = Millis::from_secs(10);

impl GlobalScrapeConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.scrape_interval.is_zero() {
            self.scrape_interval = Millis::from_mins(1);
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err("global scrape timeout greater than scrape interval".to_string());
        }
        if self.scrape_timeout.is_zero() {
            self.scrape_timeout = DEFAULT_TIMEOUT.min(self.scrape_interval);
        }
        match &self.scrape_protocols {
            Some(p) => check_protocols(p).map_err(|e| format!("{e} for global config")),
            None => Ok(()),
        }
    }
}

fn inherit<T: PartialEq + Default + Clone>(own: &mut T, global: &T) {
    if *own == T::default() {
        *own = global.clone();
    }
}

impl ScrapeConfig {
    /// Fills in what the job inherits and checks it. `protobuf_first`: a feature asks for protobuf wherever no order is written.
    pub fn resolve(&mut self, global: &GlobalScrapeConfig, protobuf_first: bool) -> Result<(), String> {
        let job = quote(&self.job_name);
        if self.scrape_interval.is_zero() {
            self.scrape_interval = global.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            return Err(format!("scrape timeout greater than scrape interval for scrape config with job name {job}"));
        }
        if self.scrape_timeout.is_zero() {
            let timeout = if global.scrape_timeout.is_zero() { DEFAULT_TIMEOUT } else { global.scrape_timeout };
            self.scrape_timeout = timeout.min(self.scrape_interval);
        }
        if self.body_size_limit == Size::ZERO {
            self.body_size_limit = global.body_size_limit;
        }
        inherit(&mut self.sample_limit, &global.sample_limit);
        inherit(&mut self.target_limit, &global.target_limit);
        inherit(&mut self.label_limit, &global.label_limit);
        inherit(&mut self.label_name_length_limit, &global.label_name_length_limit);
        inherit(&mut self.label_value_length_limit, &global.label_value_length_limit);
        inherit(&mut self.keep_dropped_targets, &global.keep_dropped_targets);
        if self.scrape_failure_log_file.is_empty() {
            self.scrape_failure_log_file = global.scrape_failure_log_file.clone();
        }
        self.scrape_native_histograms.get_or_insert(global.scrape_native_histograms.unwrap_or(false));
        self.extra_scrape_metrics.get_or_insert(global.extra_scrape_metrics.unwrap_or(false));
        self.convert_classic_histograms_to_nhcb.get_or_insert(global.convert_classic_histograms_to_nhcb);
        self.always_scrape_classic_histograms.get_or_insert(global.always_scrape_classic_histograms);
        if self.scrape_protocols.is_none() {
            let first = protobuf_first || self.native_histograms();
            let default = if first { PROTOBUF_FIRST_PROTOCOLS.to_vec() } else { DEFAULT_PROTOCOLS.to_vec() };
            self.scrape_protocols = Some(global.scrape_protocols.clone().unwrap_or(default));
        }
        check_protocols(self.protocols()).map_err(|e| format!("{e} for scrape config with job name {job}"))?;
        self.resolve_schemes(global)?;
        let scheme = self.name_scheme();
        for rule in self.relabel_configs.iter_mut().chain(&mut self.metric_relabel_configs) {
            rule.validate(scheme).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn resolve_schemes(&mut self, global: &GlobalScrapeConfig) -> Result<(), String> {
        const ONE_OF: &str = "must be one of 'allow-utf-8', 'underscores', 'dots', or 'values'";
        let fitting = |v: NameValidation| if v == NameValidation::Legacy { Escaping::Underscores } else { Escaping::AllowUtf8 };
        let global_validation = global.metric_name_validation_scheme.unwrap_or_default();
        let global_escaping = match global.metric_name_escaping_scheme.as_str() {
            "" => fitting(global_validation),
            word => Escaping::parse(word).ok_or_else(|| format!("unknown global name escaping method specified, {ONE_OF}, got {}", quote(word)))?,
        };
        let own = self.metric_name_validation_scheme;
        let validation = *self.metric_name_validation_scheme.get_or_insert(global_validation);
        let escaping = match (self.metric_name_escaping_scheme.as_str(), own) {
            ("", None) => global_escaping,
            ("", Some(v)) => fitting(v),
            (word, _) => {
                Escaping::parse(word).ok_or_else(|| format!("unknown scrape config name escaping method specified, {ONE_OF}, got {}", quote(word)))?
            }
        };
        if escaping == Escaping::AllowUtf8 && validation != NameValidation::Utf8 {
            return Err("utf8 metric names requested but validation scheme is not set to UTF8".to_string());
        }
        self.metric_name_escaping_scheme = escaping.as_str().to_string();
        Ok(())
    }

    /// A URL among static targets is a mistake, unless relabelling mends it.
    fn check_static_targets(&mut self) -> Result<(), String> {
        if self.relabel_configs.is_empty() { self.discovery.check_static_targets() } else { Ok(()) }
    }

    pub fn protocols(&self) -> &[ScrapeProtocol] {
        self.scrape_protocols.as_deref().unwrap_or(&DEFAULT_PROTOCOLS)
    }

    pub fn native_histograms(&self) -> bool {
        self.scrape_native_histograms.unwrap_or(false)
    }

    pub fn classic_histograms(&self) -> bool {
        self.always_scrape_classic_histograms.unwrap_or(false)
    }

    pub fn convert_histograms(&self) -> bool {
        self.convert_classic_histograms_to_nhcb.unwrap_or(false)
    }

    pub fn extra_metrics(&self) -> bool {
        self.extra_scrape_metrics.unwrap_or(false)
    }

    pub fn name_scheme(&self) -> Scheme {
        self.metric_name_validation_scheme.unwrap_or_default().into()
    }

    pub fn escaping(&self) -> Escaping {
        Escaping::parse(&self.metric_name_escaping_scheme).unwrap_or(Escaping::AllowUtf8)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
