//! `alerting`: relabelling of alerts and the Alertmanagers they go to.

use client::{HttpConfig, SigV4Config};
use discovery::SdConfigs;
use model::relabel::RelabelRule;
use yaml::Millis;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct AlertingConfig as "config.plain" {
        pub alert_relabel_configs: Vec<RelabelRule> => with(|n, cx| yaml::list(n, cx, "empty or null alert relabeling rule"));
        pub alertmanagers: Vec<AlertmanagerConfig>;
    }
}

yaml::table! {
    /// One set of Alertmanagers.
    #[derive(Clone, Debug, PartialEq)]
    pub struct AlertmanagerConfig as "config.plain" check(AlertmanagerConfig::check) {
        pub http: HttpConfig => inline;
        pub sigv4: Option<SigV4Config>;
        pub scheme: String = "http".to_string();
        pub path_prefix: String;
        pub timeout: Millis = Millis::from_secs(10);
        pub api_version: String = "v2".to_string();
        pub relabel_configs: Vec<RelabelRule> => with(|n, cx| yaml::list(n, cx, "empty or null Alertmanager target relabeling rule"));
        pub alert_relabel_configs: Vec<RelabelRule> => with(|n, cx| yaml::list(n, cx, "empty or null Alertmanager alert relabeling rule"));
        pub discovery: SdConfigs => inline;
    }
}

impl AlertmanagerConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.sigv4.is_some() && (self.http.basic_auth.is_some() || self.http.authorization.is_some() || self.http.oauth2.is_some()) {
            return Err("at most one of basic_auth, authorization, oauth2, & sigv4 must be configured".to_string());
        }
        if self.relabel_configs.is_empty() {
            self.discovery.check_static_targets()?;
        }
        match self.api_version.as_str() {
            "v2" => Ok(()),
            other => Err(format!("expected Alertmanager api version to be one of [v2] but got {other}")),
        }
    }
}
