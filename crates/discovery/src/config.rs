//! Every `*_sd_configs` key and `static_configs`, inline in the section that uses them.

use crate::consul::ConsulConfig;
use crate::dns::DnsConfig;
use crate::docker::DockerConfig;
use crate::ec2::Ec2Config;
use crate::file::FileConfig;
use crate::foreign::FOREIGN;
use crate::group::TargetGroup;
use crate::http_sd::HttpSdConfig;
use crate::kubernetes::KubernetesConfig;
use yaml::{Cx, Fields, FromYaml, MapWriter, Node, ToYaml};

/// One discovery of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum SdConfig {
    /// All `static_configs` of a job together.
    Static(Vec<TargetGroup>),
    File(FileConfig),
    Http(Box<HttpSdConfig>),
    Dns(DnsConfig),
    Kubernetes(Box<KubernetesConfig>),
    Consul(Box<ConsulConfig>),
    Docker(Box<DockerConfig>),
    Ec2(Box<Ec2Config>),
}

/// The discoveries of one section. Put into a table as `pub sd: SdConfigs => inline;`, last, as its keys are written back last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SdConfigs {
    pub configs: Vec<SdConfig>,
}

/// What can be used, by the names of the reference's feature list.
pub const NAMES: [&str; 8] = ["consul", "dns", "docker", "ec2", "file", "http", "kubernetes", "static"];

impl SdConfigs {
    /// Of targets written down, without a source of their own.
    pub fn of_static(mut groups: Vec<TargetGroup>) -> Self {
        groups.iter_mut().enumerate().for_each(|(i, g)| g.source = i.to_string());
        SdConfigs { configs: vec![SdConfig::Static(groups)] }
    }

    pub fn is_empty(&self) -> bool {
        self.configs.is_empty()
    }

    /// The names of the mechanisms in use, sorted.
    pub fn mechanisms(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.configs.iter().map(SdConfig::mechanism).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn each<T: FromYaml>(&mut self, key: &str, node: &Node, cx: &mut Cx, wrap: fn(T) -> SdConfig) {
        if !node.is_null()
            && let Some(list) = yaml::list(node, cx, &format!("empty or null section in {key}"))
        {
            self.configs.extend(list.into_iter().map(wrap));
        }
    }

    fn statics(&mut self, node: &Node, cx: &mut Cx) {
        let Some(mut groups) = yaml::list::<TargetGroup>(node, cx, "empty or null section in static_configs") else { return };
        for (i, g) in groups.iter_mut().enumerate() {
            g.source = i.to_string();
        }
        if !groups.is_empty() {
            self.configs.push(SdConfig::Static(groups));
        }
    }

    /// Refuses URLs among static targets: a mistake, unless relabelling mends it. Whether it does is known to the section that holds this one.
    pub fn check_static_targets(&self) -> Result<(), String> {
        let groups = self.configs.iter().filter_map(|c| if let SdConfig::Static(groups) = c { Some(groups) } else { None }).flatten();
        match groups.flat_map(|g| g.addresses()).find(|a| a.contains('/')) {
            Some(bad) => Err(format!("{} is not a valid hostname", model::labels::quote(bad))),
            None => Ok(()),
        }
    }
}

impl SdConfig {
    pub fn mechanism(&self) -> &'static str {
        match self {
            SdConfig::Static(_) => "static",
            SdConfig::File(_) => "file",
            SdConfig::Http(_) => "http",
            SdConfig::Dns(_) => "dns",
            SdConfig::Kubernetes(_) => "kubernetes",
            SdConfig::Consul(_) => "consul",
            SdConfig::Docker(_) => "docker",
            SdConfig::Ec2(_) => "ec2",
        }
    }
}

impl Fields for SdConfigs {
    const TYPE: &'static str = "discovery.Configs";

    fn set(&mut self, key: &str, node: &Node, cx: &mut Cx) -> bool {
        match key {
            "static_configs" if !node.is_null() => self.statics(node, cx),
            "static_configs" => {}
            "file_sd_configs" => self.each(key, node, cx, SdConfig::File),
            "dns_sd_configs" => self.each(key, node, cx, SdConfig::Dns),
            "kubernetes_sd_configs" => self.each(key, node, cx, |c| SdConfig::Kubernetes(Box::new(c))),
            "consul_sd_configs" => self.each(key, node, cx, |c| SdConfig::Consul(Box::new(c))),
            "docker_sd_configs" => self.each(key, node, cx, |c| SdConfig::Docker(Box::new(c))),
            "ec2_sd_configs" => self.each(key, node, cx, |c| SdConfig::Ec2(Box::new(c))),
            "http_sd_configs" => self.each(key, node, cx, |c| SdConfig::Http(Box::new(c))),
            _ => {
                let Some(foreign) = key.strip_suffix("_sd_configs").and_then(|n| FOREIGN.iter().find(|f| f.name == n)) else { return false };
                foreign.check(node, cx);
                let name = foreign.name;
                let text = format!("{name} service discovery is not supported by this server, which has: {}", NAMES.join(", "));
                cx.invalid::<()>(node, text);
            }
        }
        true
    }

    fn finish(&mut self, _: &Node, _: &mut Cx) {}

    fn write(&self, out: &mut MapWriter) {
        fn all<'a, T: ToYaml + 'a>(out: &mut MapWriter, key: &str, items: impl Iterator<Item = &'a T>) {
            let list: Vec<_> = items.map(ToYaml::to_value).collect();
            if !list.is_empty() {
                out.push_value(key, yaml::Value::Seq(list));
            }
        }
        macro_rules! of {
            ($variant:ident) => {
                self.configs.iter().filter_map(|c| if let SdConfig::$variant(c) = c { Some(c) } else { None })
            };
        }
        all(out, "consul_sd_configs", of!(Consul).map(|c| &**c));
        all(out, "dns_sd_configs", of!(Dns));
        all(out, "docker_sd_configs", of!(Docker).map(|c| &**c));
        all(out, "ec2_sd_configs", of!(Ec2).map(|c| &**c));
        all(out, "file_sd_configs", of!(File));
        all(out, "http_sd_configs", of!(Http).map(|c| &**c));
        all(out, "kubernetes_sd_configs", of!(Kubernetes).map(|c| &**c));
        all(out, "static_configs", of!(Static).flatten());
    }

    fn all_empty(&self) -> bool {
        self.configs.is_empty()
    }
}

/// For its emptiness only: its keys stand among those of its section.
impl ToYaml for SdConfigs {
    fn to_value(&self) -> yaml::Value {
        MapWriter::table(self)
    }

    fn is_empty(&self) -> bool {
        self.configs.is_empty()
    }
}
