//! Targets from the instances of AWS EC2.

mod xml;

use crate::ADDRESS_LABEL;
use crate::error::Error;
use crate::group::TargetGroup;
use crate::provider::{Context, Updates};
use crate::refresh;
use crate::set::{Set, host_port, percent_encode};
use client::{HttpClient, HttpConfig, Request, SigV4, SigV4Config};
use model::Labels;
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use xml::Element;
use yaml::{Millis, Secret};

const VERSION: &str = "2016-11-15";
const MAX_BODY_BYTES: usize = 64 << 20;
const MAX_PAGES: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(60);
const PREFIX: &str = "__meta_ec2_";

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Ec2Config as "aws.plain" check(Ec2Config::check) {
        /// AWS's own when empty.
        pub endpoint: String => always;
        pub region: String => always;
        pub access_key: String;
        pub secret_key: Secret;
        pub profile: String;
        pub role_arn: String;
        pub external_id: String;
        pub refresh_interval: Millis = Millis::from_secs(60);
        pub port: u16 = 80 => always;
        pub filters: Vec<Ec2Filter> => always;
        pub http: HttpConfig => inline;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Ec2Filter as "aws.Filter" {
        pub name: String => always;
        pub values: Vec<String> => always;
    }
}

impl Ec2Config {
    fn check(&mut self) -> Result<(), String> {
        if self.filters.iter().any(|f| f.values.is_empty()) {
            return Err("EC2 SD configuration filter values cannot be empty".into());
        }
        Ok(())
    }
}

struct Ec2 {
    config: Ec2Config,
    client: HttpClient,
    signer: SigV4,
    /// The zones' names that are the same for every account, by the account's own; asked for once.
    zones: Option<HashMap<String, String>>,
}

pub(crate) fn run(config: Ec2Config, cx: Context, updates: Updates) -> Result<impl Future<Output = ()> + Send, Error> {
    let both = !config.access_key.is_empty() && !config.secret_key.is_empty();
    let keys = SigV4Config {
        region: config.region.clone(),
        access_key: if both { config.access_key.clone() } else { String::new() },
        secret_key: if both { config.secret_key.clone() } else { Secret::default() },
        profile: config.profile.clone(),
        role_arn: config.role_arn.clone(),
        external_id: config.external_id.clone(),
        use_fips_sts_endpoint: false,
    };
    let signer = SigV4::new(&keys, "ec2", &cx.options.http)?;
    let client = cx.client(&config.http, "ec2")?;
    let interval = config.refresh_interval.duration();
    let mut ec2 = Ec2 { config, client, signer, zones: None };
    Ok(refresh::run("ec2", interval, cx, updates, async move || ec2.refresh().await))
}

impl Ec2 {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, Error> {
        let region = self.signer.region().await?;
        if self.zones.is_none() {
            match self.ask(&region, "DescribeAvailabilityZones", "").await {
                Ok(answer) => {
                    let zones = answer.items("availabilityZoneInfo").map(|z| (z.text("zoneName").to_string(), z.text("zoneId").to_string()));
                    self.zones = Some(zones.collect());
                }
                Err(e) => tracing::debug!(discovery = "ec2", err = %e, "unable to describe availability zones"),
            }
        }
        let mut query = String::new();
        for (i, f) in self.config.filters.iter().enumerate() {
            query.push_str(&format!("&Filter.{}.Name={}", i + 1, percent_encode(&f.name)));
            for (j, v) in f.values.iter().enumerate() {
                query.push_str(&format!("&Filter.{}.Value.{}={}", i + 1, j + 1, percent_encode(v)));
            }
        }
        let mut targets = Vec::new();
        let mut next = String::new();
        for _ in 0..MAX_PAGES {
            let page = if next.is_empty() { query.clone() } else { format!("{query}&NextToken={}", percent_encode(&next)) };
            let answer = self.ask(&region, "DescribeInstances", &page).await;
            let answer = answer.map_err(|e| Error::invalid(format!("could not describe instances: {e}")))?;
            for reservation in answer.items("reservationSet") {
                let owner = reservation.text("ownerId");
                targets.extend(reservation.items("instancesSet").filter_map(|i| self.target(i, owner, &region)));
            }
            next = answer.text("nextToken").to_string();
            if next.is_empty() {
                return Ok(vec![TargetGroup::new(region, targets, Labels::empty())]);
            }
        }
        Err(Error::invalid(format!("more than {MAX_PAGES} pages of instances")))
    }

    async fn ask(&self, region: &str, action: &str, more: &str) -> Result<Element, Error> {
        let tail = if region.starts_with("cn-") { ".cn" } else { "" };
        let url = match self.config.endpoint.as_str() {
            "" => format!("https://ec2.{region}.amazonaws.com{tail}/"),
            own if own.contains("://") => own.to_string(),
            own => format!("https://{own}"),
        };
        let form = format!("Action={action}&Version={VERSION}{more}");
        let mut request = Request::post(&url, "application/x-www-form-urlencoded; charset=utf-8", form)?.timeout(TIMEOUT);
        self.signer.sign(&mut request).await?;
        let answer = self.client.send(request).await?;
        let status = answer.status;
        let body = answer.bytes(MAX_BODY_BYTES).await?;
        let root = xml::parse(&String::from_utf8_lossy(&body));
        if status != 200 {
            let error = root.as_ref().and_then(|r| r.child("Errors")?.child("Error"));
            let why = error.map(|e| format!("{}: {}", e.text("Code"), e.text("Message"))).unwrap_or_default();
            return Err(Error::invalid(format!("server answered {status}: {why}")));
        }
        root.ok_or_else(|| Error::invalid("answer is not XML"))
    }

    fn target(&self, i: &Element, owner: &str, region: &str) -> Option<Labels> {
        let v6 = Ipv6::of(i);
        let private = i.text("privateIpAddress");
        let host = if private.is_empty() { v6.first()? } else { private };
        let zone = i.child("placement").map_or("", |p| p.text("availabilityZone"));
        let zone_id = self.zones.as_ref().and_then(|z| z.get(zone)).map_or("", String::as_str);
        let mut t = Set::new(PREFIX);
        t.whole(ADDRESS_LABEL, &host_port(host, self.config.port))
            .add("instance_id", i.text("instanceId"))
            .add("region", region)
            .add("owner_id", owner)
            .add("private_ip", private)
            .add_some("default_ipv6_address", v6.first())
            .add("private_dns_name", i.text("privateDnsName"))
            .add("platform", i.text("platform"))
            .add("ami", i.text("imageId"))
            .add("availability_zone", zone)
            .add("availability_zone_id", zone_id)
            .add("instance_state", i.child("instanceState").map_or("", |s| s.text("name")))
            .add("instance_type", i.text("instanceType"))
            .add("instance_lifecycle", i.text("instanceLifecycle"))
            .add("architecture", i.text("architecture"));
        let public = i.text("ipAddress");
        if !public.is_empty() {
            t.add("public_ip", public).add("public_dns_name", i.text("dnsName"));
        }
        let list = |items: &[&str]| format!(",{},", items.join(","));
        if !v6.primary.is_empty() {
            t.add("primary_ipv6_addresses", &list(&v6.primary));
        }
        if !v6.all.is_empty() {
            t.add("ipv6_addresses", &list(&v6.all));
        }
        if !i.text("vpcId").is_empty() {
            let mut subnets: Vec<&str> = Vec::new();
            for s in i.items("networkInterfaceSet").map(|n| n.text("subnetId")).filter(|s| !s.is_empty()) {
                if !subnets.contains(&s) {
                    subnets.push(s);
                }
            }
            t.add("vpc_id", i.text("vpcId")).add("primary_subnet_id", i.text("subnetId")).add("subnet_id", &list(&subnets));
        }
        for tag in i.items("tagSet") {
            t.add(&format!("tag_{}", crate::set::sanitize(tag.text("key"))), tag.text("value"));
        }
        Some(t.build())
    }
}

/// A machine has at most this many network interfaces.
const MAX_INTERFACES: usize = 64;

/// The IPv6 addresses of an instance in a VPC.
#[derive(Default)]
struct Ipv6<'a> {
    /// By the number of the interface; "" where it has none.
    primary: Vec<&'a str>,
    all: Vec<&'a str>,
}

impl<'a> Ipv6<'a> {
    fn of(i: &'a Element) -> Self {
        let mut out = Ipv6::default();
        if i.text("vpcId").is_empty() {
            return out;
        }
        for n in i.items("networkInterfaceSet").filter(|n| !n.text("subnetId").is_empty()) {
            let index = n.child("attachment").and_then(|a| a.text("deviceIndex").parse::<usize>().ok()).unwrap_or(0).min(MAX_INTERFACES);
            for a in n.items("ipv6AddressesSet") {
                out.all.push(a.text("ipv6Address"));
                if a.text("isPrimaryIpv6") == "true" {
                    if out.primary.len() <= index {
                        out.primary.resize(index + 1, "");
                    }
                    out.primary[index] = a.text("ipv6Address");
                }
            }
        }
        out
    }

    fn first(&self) -> Option<&'a str> {
        self.primary.iter().chain(&self.all).find(|a| !a.is_empty()).copied()
    }
}

#[cfg(test)]
mod tests;
