//! Discoveries that the reference has and this server has not: their keys, so that a file is read strictly to its end before it is refused.

use client::HttpConfig;
use std::collections::HashSet;
use yaml::{Cx, Fields, FromYaml, Node};

pub(crate) struct Foreign {
    pub name: &'static str,
    /// Whether the keys of `http_config` stand among its own.
    http: bool,
    keys: &'static [&'static str],
}

const fn of(name: &'static str, http: bool, keys: &'static [&'static str]) -> Foreign {
    Foreign { name, http, keys }
}

pub(crate) const FOREIGN: [Foreign; 29] = [
    of(
        "aws",
        true,
        &[
            "role",
            "region",
            "endpoint",
            "access_key",
            "secret_key",
            "profile",
            "role_arn",
            "external_id",
            "refresh_interval",
            "port",
            "filters",
            "clusters",
        ],
    ),
    of(
        "azure",
        true,
        &[
            "environment",
            "port",
            "subscription_id",
            "tenant_id",
            "client_id",
            "client_secret",
            "refresh_interval",
            "authentication_method",
            "resource_group",
        ],
    ),
    of("digitalocean", true, &["refresh_interval", "port", "role"]),
    of("dockerswarm", true, &["host", "role", "port", "filters", "refresh_interval"]),
    of(
        "ecs",
        true,
        &[
            "region",
            "endpoint",
            "access_key",
            "secret_key",
            "profile",
            "role_arn",
            "external_id",
            "clusters",
            "port",
            "refresh_interval",
            "request_concurrency",
        ],
    ),
    of(
        "elasticache",
        true,
        &[
            "region",
            "endpoint",
            "access_key",
            "secret_key",
            "profile",
            "role_arn",
            "external_id",
            "clusters",
            "port",
            "refresh_interval",
            "request_concurrency",
        ],
    ),
    of("eureka", true, &["server", "refresh_interval"]),
    of("gce", false, &["project", "zone", "filter", "refresh_interval", "port", "tag_separator"]),
    of("hetzner", true, &["refresh_interval", "port", "role", "label_selector"]),
    of("ionos", true, &["datacenter_id", "refresh_interval", "port"]),
    of("kuma", true, &["server", "refresh_interval", "fetch_timeout", "client_id"]),
    of("lightsail", true, &["endpoint", "region", "access_key", "secret_key", "profile", "role_arn", "external_id", "refresh_interval", "port"]),
    of("linode", true, &["refresh_interval", "port", "tag_separator", "region"]),
    of("marathon", true, &["servers", "refresh_interval", "auth_token", "auth_token_file"]),
    of(
        "msk",
        true,
        &[
            "region",
            "endpoint",
            "access_key",
            "secret_key",
            "profile",
            "role_arn",
            "external_id",
            "clusters",
            "port",
            "refresh_interval",
            "request_concurrency",
        ],
    ),
    of("nerve", false, &["servers", "paths", "timeout"]),
    of("nomad", true, &["allow_stale", "namespace", "refresh_interval", "region", "server", "tag_separator"]),
    of(
        "oci",
        true,
        &[
            "auth",
            "tenancy",
            "user",
            "fingerprint",
            "key_file",
            "key_passphrase",
            "key_passphrase_file",
            "region",
            "compartments",
            "port",
            "refresh_interval",
        ],
    ),
    of(
        "openstack",
        false,
        &[
            "identity_endpoint",
            "username",
            "userid",
            "password",
            "project_name",
            "project_id",
            "domain_name",
            "domain_id",
            "application_credential_name",
            "application_credential_id",
            "application_credential_secret",
            "role",
            "region",
            "refresh_interval",
            "port",
            "all_tenants",
            "tls_config",
            "availability",
        ],
    ),
    of("outscale", true, &["endpoint", "region", "access_key", "secret_key", "secret_key_file", "refresh_interval", "port"]),
    of("ovhcloud", false, &["endpoint", "application_key", "application_secret", "consumer_key", "refresh_interval", "service"]),
    of("puppetdb", true, &["refresh_interval", "url", "query", "include_parameters", "port"]),
    of(
        "rds",
        true,
        &[
            "region",
            "endpoint",
            "access_key",
            "secret_key",
            "profile",
            "role_arn",
            "external_id",
            "clusters",
            "port",
            "refresh_interval",
            "filters",
            "request_concurrency",
        ],
    ),
    of(
        "scaleway",
        true,
        &[
            "project_id",
            "api_url",
            "zone",
            "access_key",
            "secret_key",
            "secret_key_file",
            "name_filter",
            "tags_filter",
            "refresh_interval",
            "port",
            "role",
        ],
    ),
    of("serverset", false, &["servers", "paths", "timeout"]),
    of(
        "stackit",
        true,
        &[
            "project",
            "refresh_interval",
            "port",
            "region",
            "endpoint",
            "service_account_key",
            "private_key",
            "service_account_key_path",
            "private_key_path",
            "credentials_file_path",
        ],
    ),
    of("triton", false, &["account", "role", "dns_suffix", "endpoint", "groups", "port", "refresh_interval", "tls_config", "version"]),
    of("uyuni", true, &["server", "username", "password", "entitlement", "separator", "refresh_interval"]),
    of("vultr", true, &["refresh_interval", "port"]),
];

impl Foreign {
    /// Names the keys that it does not have, and what is wrong with how it would connect.
    pub fn check(&self, node: &Node, cx: &mut Cx) {
        for item in node.items().unwrap_or_default() {
            let mut http = HttpConfig::default();
            let mut seen = HashSet::new();
            for (k, v) in item.entries().unwrap_or_default() {
                let Some(key) = String::from_yaml(k, cx) else { continue };
                let known = self.keys.contains(&key.as_str()) || self.http && http.set(&key, v, cx);
                if !known {
                    cx.mismatch::<()>(k, format!("field {key} not found in type {}.plain", self.name));
                } else if !seen.insert(key.clone()) {
                    cx.mismatch::<()>(k, format!("field {key} already set in type {}.plain", self.name));
                }
            }
            if self.http {
                http.finish(item, cx);
            }
        }
    }
}
