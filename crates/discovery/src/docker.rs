//! Targets from the containers of a Docker daemon, over its socket or HTTP.

use crate::ADDRESS_LABEL;
use crate::error::Error;
use crate::group::TargetGroup;
use crate::provider::{Context, Updates};
use crate::refresh;
use crate::set::{Set, host_port, percent_encode};
use client::{HttpClient, HttpConfig, Request};
use model::Labels;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Duration;
use yaml::Millis;

const MAX_BODY_BYTES: usize = 64 << 20;
const PREFIX: &str = "__meta_docker_";

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct DockerConfig as "moby.plain" check(DockerConfig::check) {
        pub http: HttpConfig => inline;
        /// `unix:///var/run/docker.sock`, `tcp://host:port`, `http://...`
        pub host: String => always;
        /// Of containers that show none.
        pub port: u16 = 80 => always;
        pub filters: Vec<DockerFilter> => always;
        pub host_networking_host: String = "localhost".to_string() => always;
        pub refresh_interval: Millis = Millis::from_secs(60) => always;
        /// One target for a container in several networks.
        pub match_first_network: bool = true => always;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct DockerFilter as "moby.Filter" {
        pub name: String => always;
        pub values: Vec<String> => always;
    }
}

impl DockerConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.host.is_empty() {
            return Err("host missing".into());
        }
        yaml::Url::parse(&self.host).map(|_| ())
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    id: String,
    names: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    host_config: HostConfig,
    network_settings: Option<NetworkSettings>,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "IPAddress")]
    ip: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    #[serde(rename = "Type")]
    kind: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: Option<BTreeMap<String, String>>,
}

pub(crate) fn run(config: DockerConfig, cx: Context, updates: Updates) -> Result<impl Future<Output = ()> + Send, Error> {
    let (base, client) = match config.host.split_once("://") {
        Some(("unix", path)) => {
            let mut options = cx.options.http.clone();
            options.unix_socket = Some(path.into());
            ("http://docker".to_string(), HttpClient::new(&HttpConfig::default(), "docker_sd", &options)?)
        }
        Some(("tcp", host)) => (format!("http://{host}"), cx.client(&config.http, "docker")?),
        Some(("http" | "https", _)) => (config.host.trim_end_matches('/').to_string(), cx.client(&config.http, "docker")?),
        _ => return Err(Error::invalid(format!("unable to parse docker host {:?}", config.host))),
    };
    let mut filters: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for f in &config.filters {
        filters.entry(&f.name).or_default().extend(f.values.iter().map(|v| (v.as_str(), true)));
    }
    let query = if filters.is_empty() {
        String::new()
    } else {
        let text = serde_json::to_string(&filters).map_err(|e| Error::invalid(e.to_string()))?;
        format!("?filters={}", percent_encode(&text))
    };
    let (containers, networks) = (format!("{base}/containers/json{query}"), format!("{base}/networks"));
    let interval = config.refresh_interval.duration();
    Ok(refresh::run("docker", interval, cx, updates, async move || {
        let all: Vec<Container> = ask(&client, &containers, interval).await?;
        let networks: Vec<Network> = ask(&client, &networks, interval).await?;
        let networks: HashMap<&str, Set> = networks.iter().map(|n| (n.id.as_str(), about(n))).collect();
        let by_id: HashMap<&str, &Container> = all.iter().map(|c| (c.id.as_str(), c)).collect();
        let targets = all.iter().flat_map(|c| targets(c, &by_id, &networks, &config)).map(Set::build).collect();
        Ok(vec![TargetGroup::new("Docker", targets, Labels::empty())])
    }))
}

async fn ask<T: serde::de::DeserializeOwned>(client: &HttpClient, url: &str, timeout: Duration) -> Result<T, Error> {
    let answer = client.send(Request::get(url)?.timeout(timeout)).await?;
    let status = answer.status;
    let body = answer.bytes(MAX_BODY_BYTES).await?;
    if status != 200 {
        return Err(Error::invalid(format!("docker answered {status}: {}", String::from_utf8_lossy(&body).lines().next().unwrap_or_default())));
    }
    serde_json::from_slice(&body).map_err(|e| Error::invalid(format!("docker's answer: {e}")))
}

fn about(n: &Network) -> Set {
    let text = |b: bool| if b { "true" } else { "false" };
    let mut t = Set::new(PREFIX);
    t.add("network_id", &n.id)
        .add("network_name", &n.name)
        .add("network_scope", &n.scope)
        .add("network_internal", text(n.internal))
        .add("network_ingress", text(n.ingress))
        .each("network_label_", n.labels.iter().flatten());
    t
}

fn networks_of(c: &Container) -> Vec<&Endpoint> {
    let all = c.network_settings.iter().filter_map(|s| s.networks.as_ref()).flatten();
    all.filter_map(|(_, e)| e.as_ref()).collect()
}

fn targets(c: &Container, by_id: &HashMap<&str, &Container>, networks: &HashMap<&str, Set>, config: &DockerConfig) -> Vec<Set> {
    let Some(name) = c.names.as_ref().and_then(|n| n.first()) else { return Vec::new() };
    let mut common = Set::new(PREFIX);
    common
        .add("container_id", &c.id)
        .add("container_name", name)
        .add("container_network_mode", &c.host_config.network_mode)
        .each("container_label_", c.labels.iter().flatten());
    // A container may live in the network of another one, which may do so too; a circle ends after all of them.
    let mut place = c;
    let mut found = networks_of(c);
    for _ in 0..by_id.len() {
        let next = place.host_config.network_mode.strip_prefix("container:").and_then(|id| by_id.get(id));
        match next {
            Some(next) if found.is_empty() => (place, found) = (next, networks_of(next)),
            _ => break,
        }
    }
    if config.match_first_network {
        found.truncate(1);
    }
    let mut out = Vec::new();
    for n in found {
        let ip = if n.ip.is_empty() { &n.ipv6 } else { &n.ip };
        let start = |address: &str| {
            let mut t = Set::new(PREFIX);
            t.whole(ADDRESS_LABEL, address).add("network_ip", ip).merge(&common);
            if let Some(about) = networks.get(n.network_id.as_str()) {
                t.merge(about);
            }
            t
        };
        let before = out.len();
        for p in c.ports.iter().flatten().filter(|p| p.kind == "tcp") {
            let mut t = start(&host_port(ip, p.private_port));
            t.add("port_private", &p.private_port.to_string());
            if p.public_port > 0 {
                t.add("port_public", &p.public_port.to_string()).add("port_public_ip", &p.ip);
            }
            out.push(t);
        }
        if out.len() == before {
            let on_host = c.host_config.network_mode == "host";
            out.push(start(&if on_host { config.host_networking_host.clone() } else { host_port(ip, config.port) }));
        }
    }
    out
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
