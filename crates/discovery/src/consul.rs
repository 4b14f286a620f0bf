//! Targets from Consul: a watch of the catalog tells which services there are, a watch of each service which instances it has. Both are
//! blocking queries, asked again when they end, not more often than the refresh interval.

use crate::ADDRESS_LABEL;
use crate::error::Error;
use crate::group::TargetGroup;
use crate::provider::{Context, Updates};
use crate::set::{Set, host_port, percent_encode};
use client::{HttpClient, HttpConfig, Request};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use yaml::{Millis, Secret};

const WATCH: Duration = Duration::from_secs(120);
/// How long the server may be late beyond the watch.
const GRACE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(15);
const MAX_BODY_BYTES: usize = 256 << 20;
const PREFIX: &str = "__meta_consul_";

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct ConsulConfig as "consul.plain" check(ConsulConfig::check) {
        pub server: String = "localhost:8500".to_string();
        pub path_prefix: String;
        pub token: Secret;
        pub datacenter: String;
        pub namespace: String;
        pub partition: String;
        pub tag_separator: String = ",".to_string();
        pub scheme: String = "http".to_string();
        pub username: String;
        pub password: Secret;
        /// Answers from any server of the cluster, which are much cheaper.
        pub allow_stale: bool = true => always;
        pub refresh_interval: Millis = Millis::from_secs(30);
        /// All when empty.
        pub services: Vec<String>;
        /// Instances must have all of these.
        pub tags: Vec<String>;
        pub node_meta: BTreeMap<String, String>;
        pub filter: String;
        pub health_filter: String;
        pub http: HttpConfig => inline;
    }
}

impl ConsulConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.server.trim().is_empty() {
            return Err("consul SD configuration requires a server address".into());
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            if self.http.basic_auth.is_some() {
                return Err("at most one of consul SD configuration username and password and basic auth can be configured".into());
            }
            self.http.basic_auth =
                Some(client::BasicAuth { username: self.username.clone(), password: self.password.clone(), ..client::BasicAuth::default() });
        }
        if !self.token.is_empty() && (self.http.authorization.is_some() || self.http.oauth2.is_some()) {
            return Err("at most one of consul SD token, authorization, or oauth2 can be configured".into());
        }
        Ok(())
    }
}

struct Consul {
    config: ConsulConfig,
    client: HttpClient,
    base: String,
    cx: Context,
    updates: Updates,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    node: EntryNode,
    service: EntryService,
    checks: Option<Vec<Check>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct EntryNode {
    node: String,
    address: String,
    meta: Option<BTreeMap<String, String>>,
    tagged_addresses: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct EntryService {
    #[serde(rename = "ID")]
    id: String,
    address: String,
    port: u32,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    namespace: String,
    partition: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    status: String,
}

pub(crate) fn run(config: ConsulConfig, cx: Context, updates: Updates) -> Result<impl Future<Output = ()> + Send, Error> {
    let client = cx.client(&config.http, "consul")?;
    let server = config.server.trim();
    let server = if server.contains("://") { server.to_string() } else { format!("{}://{server}", config.scheme) };
    let base = format!("{server}/{}", config.path_prefix.trim_matches('/')).trim_end_matches('/').to_string();
    Request::get(&base)?;
    let consul = Arc::new(Consul { config, client, base, cx, updates });
    Ok(async move { consul.run().await })
}

impl Consul {
    async fn run(self: Arc<Self>) {
        let datacenter = self.datacenter().await;
        let c = &self.config;
        let mut watches: JoinSet<()> = JoinSet::new();
        if !c.services.is_empty() && c.tags.is_empty() && c.filter.is_empty() {
            for name in &c.services {
                watches.spawn(Arc::clone(&self).follow(name.clone(), datacenter.clone()));
            }
            while watches.join_next().await.is_some() {}
            return;
        }
        let mut followed: HashMap<String, AbortHandle> = HashMap::new();
        let mut index = 0;
        loop {
            let start = tokio::time::Instant::now();
            match self.query::<BTreeMap<String, Vec<String>>>("/v1/catalog/services", "services", &c.filter, &[], &mut index).await {
                Err(e) => self.failed(&e, "error refreshing service list").await,
                Ok(None) => {}
                Ok(Some(all)) => {
                    let wanted = |name: &String, tags: &[String]| {
                        (c.services.is_empty() || c.services.contains(name)) && c.tags.iter().all(|t| tags.contains(t))
                    };
                    for (name, _) in all.iter().filter(|(name, tags)| wanted(name, tags)) {
                        followed.entry(name.clone()).or_insert_with(|| watches.spawn(Arc::clone(&self).follow(name.clone(), datacenter.clone())));
                    }
                    let gone: Vec<String> = followed.keys().filter(|name| !all.contains_key(*name)).cloned().collect();
                    for name in &gone {
                        if let Some(watch) = followed.remove(name) {
                            watch.abort();
                        }
                    }
                    if !gone.is_empty() || followed.is_empty() {
                        self.updates.update(gone.into_iter().map(|name| TargetGroup { source: name, ..TargetGroup::default() }));
                    }
                }
            }
            tokio::time::sleep_until(start + c.refresh_interval.duration()).await;
        }
    }

    /// The one of the config, or that of the agent we ask.
    async fn datacenter(&self) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Agent {
            config: AgentConfig,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct AgentConfig {
            datacenter: String,
        }
        if !self.config.datacenter.is_empty() {
            return self.config.datacenter.clone();
        }
        loop {
            match self.ask::<Agent>("/v1/agent/self").await {
                Ok((agent, _)) => return agent.config.datacenter,
                Err(e) => self.failed(&e, "error retrieving datacenter name").await,
            }
        }
    }

    async fn failed(&self, e: &Error, what: &str) {
        self.cx.metrics.consul_failures.inc();
        tracing::error!(discovery = "consul", config = self.cx.job, err = %e, "{what}");
        tokio::time::sleep(RETRY).await;
    }

    async fn follow(self: Arc<Self>, name: String, datacenter: String) {
        let path = format!("/v1/health/service/{}", percent_encode(&name));
        let tags: Vec<(&str, &str)> = self.config.tags.iter().map(|t| ("tag", t.as_str())).collect();
        let mut index = 0;
        loop {
            let start = tokio::time::Instant::now();
            match self.query::<Vec<Entry>>(&path, "service", &self.config.health_filter, &tags, &mut index).await {
                Err(e) => self.failed(&e, "error refreshing service").await,
                Ok(None) => {}
                Ok(Some(entries)) => {
                    let mut labels = Set::new(PREFIX);
                    labels.add("service", &name).add("dc", &datacenter);
                    let targets = entries.iter().map(|e| target(e, &self.config.tag_separator).build()).collect();
                    self.updates.update([TargetGroup::new(name.clone(), targets, labels.build())]);
                }
            }
            tokio::time::sleep_until(start + self.config.refresh_interval.duration()).await;
        }
    }

    /// A blocking query; None when it ended without news.
    async fn query<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        call: &str,
        filter: &str,
        more: &[(&str, &str)],
        index: &mut u64,
    ) -> Result<Option<T>, Error> {
        let c = &self.config;
        let (wait, at) = (format!("{}ms", WATCH.as_millis()), index.to_string());
        let meta: Vec<String> = c.node_meta.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        let mut pairs = vec![("index", at.as_str()), ("wait", &wait), ("dc", &c.datacenter), ("ns", &c.namespace), ("partition", &c.partition)];
        pairs.push(("filter", filter));
        pairs.extend(meta.iter().map(|m| ("node-meta", m.as_str())));
        pairs.extend_from_slice(more);
        let mut url: Vec<String> = pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={}", percent_encode(v))).collect();
        if c.allow_stale {
            url.push("stale".into());
        }
        let clock = &self.cx.options.http.clock;
        let start = clock.monotonic();
        let result = self.ask::<T>(&format!("{path}?{}", url.join("&"))).await;
        let took = clock.monotonic().saturating_sub(start).as_secs_f64();
        self.cx.metrics.consul_duration.with(&[if call == "service" { "health" } else { "catalog" }, call]).observe(took);
        let (answer, now) = result?;
        if now != 0 && now == *index {
            return Ok(None);
        }
        // An index that has gone back belongs to another time of the cluster: start over.
        *index = if now < *index { 0 } else { now };
        Ok(Some(answer))
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<(T, u64), Error> {
        let mut request = Request::get(&format!("{}{path}", self.base))?.timeout(WATCH + GRACE);
        if !self.config.token.is_empty() {
            let mut token = client::HeaderValue::from_str(self.config.token.reveal()).map_err(|_| Error::invalid("token is not a header value"))?;
            token.set_sensitive(true);
            request.headers.insert("x-consul-token", token);
        }
        let answer = self.client.send(request).await?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(Error::invalid(format!("unexpected response code: {} ({})", status.as_u16(), answer.first_line().await)));
        }
        let index = answer.headers.get("x-consul-index").and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
        let body = answer.bytes(MAX_BODY_BYTES).await?;
        Ok((serde_json::from_slice(&body).map_err(|e| Error::invalid(e.to_string()))?, index))
    }
}

fn target(e: &Entry, separator: &str) -> Set {
    let host = if e.service.address.is_empty() { &e.node.address } else { &e.service.address };
    let tags = e.service.tags.as_deref().unwrap_or_default().join(separator);
    let mut t = Set::new(PREFIX);
    t.whole(ADDRESS_LABEL, &host_port(host, e.service.port))
        .add("address", &e.node.address)
        .add("node", &e.node.node)
        .add("namespace", &e.service.namespace)
        .add("partition", &e.service.partition)
        // Separators on both ends too, so that rules need not care where a tag stands.
        .add("tags", &format!("{separator}{tags}{separator}"))
        .add("service_address", &e.service.address)
        .add("service_port", &e.service.port.to_string())
        .add("service_id", &e.service.id)
        .add("health", health(e.checks.as_deref().unwrap_or_default()))
        .each("metadata_", e.node.meta.iter().flatten())
        .each("service_metadata_", e.service.meta.iter().flatten())
        .each("tagged_address_", e.node.tagged_addresses.iter().flatten());
    t
}

/// The worst of all checks.
fn health(checks: &[Check]) -> &'static str {
    let any = |status: &str| checks.iter().any(|c| c.status == status);
    if checks.iter().any(|c| c.check_id == "_node_maintenance" || c.check_id.starts_with("_service_maintenance")) {
        "maintenance"
    } else if any("critical") {
        "critical"
    } else if any("warning") {
        "warning"
    } else {
        "passing"
    }
}

#[cfg(test)]
#[path = "consul_tests.rs"]
mod tests;
