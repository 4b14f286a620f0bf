//! Targets from DNS records: SRV names host and port; A, AAAA, MX and NS take the port from the config.
//!
//! A name that cannot be resolved keeps the targets it had; a name that does not exist has none.

mod message;
mod resolver;

use crate::ADDRESS_LABEL;
use crate::group::TargetGroup;
use crate::provider::{Context, Updates};
use crate::refresh;
use message::{Data, RecordType};
use model::labels::Labels;
use resolver::Resolver;
use std::collections::BTreeMap;
use std::sync::Arc;
use yaml::Millis;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct DnsConfig as "dns.plain" check(DnsConfig::check) {
        pub names: Vec<String> => always;
        pub refresh_interval: Millis = Millis::from_secs(30);
        pub record as "type": String = "SRV".to_string() => always;
        /// Ignored for SRV.
        pub port: u16 => always;
    }
}

impl DnsConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.names.is_empty() {
            return Err("DNS-SD config must contain at least one SRV record name".into());
        }
        match RecordType::parse(&self.record) {
            None => Err(format!("invalid DNS-SD records type {}", self.record)),
            Some(t) if t != RecordType::Srv && self.port == 0 => Err("a port is required in DNS-SD configs for all record types except SRV".into()),
            Some(_) => Ok(()),
        }
    }
}

pub(crate) async fn run(config: DnsConfig, cx: Context, updates: Updates) {
    let resolver = Arc::new(Resolver::new(&cx.options));
    let record = RecordType::parse(&config.record).unwrap_or(RecordType::Srv);
    let (metrics, job) = (Arc::clone(&cx.metrics), cx.job.clone());
    let mut known: BTreeMap<String, TargetGroup> = BTreeMap::new();
    refresh::run("dns", config.refresh_interval.duration(), cx, updates, async move || {
        let mut lookups = tokio::task::JoinSet::new();
        for name in config.names.iter().cloned() {
            let resolver = Arc::clone(&resolver);
            lookups.spawn(async move { (resolver.lookup(&name, record).await, name) });
        }
        while let Some(done) = lookups.join_next().await {
            let Ok((result, name)) = done else { continue };
            metrics.dns_lookups.inc();
            match result {
                Ok(records) => {
                    let targets = records.iter().filter_map(|r| target(&name, r, config.port)).collect();
                    known.insert(name.clone(), TargetGroup::new(name, targets, Labels::empty()));
                }
                Err(e) => {
                    metrics.dns_failures.inc();
                    tracing::error!(discovery = "dns", config = job, name, err = %e, "error refreshing DNS targets");
                }
            }
        }
        Ok(known.values().cloned().collect())
    })
    .await;
}

fn target(name: &str, data: &Data, port: u16) -> Option<Labels> {
    const SRV_TARGET: &str = "__meta_dns_srv_record_target";
    const SRV_PORT: &str = "__meta_dns_srv_record_port";
    let bare = |host: &str| host.trim_end_matches('.').to_string();
    let (address, extra) = match data {
        Data::A(ip) => (format!("{ip}:{port}"), vec![]),
        Data::Aaaa(ip) => (format!("[{ip}]:{port}"), vec![]),
        Data::Srv { target, port } => (format!("{}:{port}", bare(target)), vec![(SRV_TARGET, target.clone()), (SRV_PORT, port.to_string())]),
        Data::Mx(host) => (format!("{}:{port}", bare(host)), vec![("__meta_dns_mx_record_target", host.clone())]),
        Data::Ns(host) => (format!("{}:{port}", bare(host)), vec![("__meta_dns_ns_record_target", host.clone())]),
        Data::Other => return None,
    };
    let pairs = [(ADDRESS_LABEL, address), ("__meta_dns_name", name.to_string())];
    Some(Labels::from_pairs(pairs.into_iter().chain(extra)))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::reply;
