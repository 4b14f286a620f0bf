//! `kubernetes_sd_configs`.

use client::HttpConfig;
use yaml::{FilePath, Url};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct KubernetesConfig as "kubernetes.plain" check(KubernetesConfig::check) {
        /// The cluster we run in when empty.
        pub api_server: Url;
        pub role: Option<Role>;
        pub kubeconfig_file: FilePath => always;
        pub http: HttpConfig => inline;
        pub namespaces: Namespaces;
        pub selectors: Vec<Selector>;
        pub attach_metadata: AttachMetadata;
    }
}

yaml::choice! {
    pub enum Role = Pod {
        Node = "node",
        Pod = "pod",
        Service = "service",
        Endpoints = "endpoints",
        EndpointSlice = "endpointslice",
        Ingress = "ingress",
    } unknown "unknown Kubernetes SD role {}"
}

yaml::table! {
    /// All namespaces when nothing is said.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Namespaces as "kubernetes.plain" {
        pub own_namespace: bool => always;
        pub names: Vec<String> => always;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Selector as "kubernetes.SelectorConfig" {
        pub role: Option<Role>;
        pub label: String;
        pub field: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct AttachMetadata as "kubernetes.AttachMetadataConfig" {
        pub node: bool => always;
        pub namespace: bool => always;
        pub deployment: bool => always;
        pub job: bool => always;
        pub cronjob: bool => always;
    }
}

impl Role {
    /// Which selectors the role understands.
    fn selectors(self) -> &'static [Role] {
        match self {
            Role::Pod => &[Role::Pod, Role::Node],
            Role::Service => &[Role::Service],
            Role::EndpointSlice => &[Role::Pod, Role::Service, Role::EndpointSlice],
            Role::Endpoints => &[Role::Pod, Role::Service, Role::Endpoints],
            Role::Node => &[Role::Node],
            Role::Ingress => &[Role::Ingress],
        }
    }

    pub(crate) fn has_pods(self) -> bool {
        matches!(self, Role::Pod | Role::Endpoints | Role::EndpointSlice)
    }
}

impl KubernetesConfig {
    fn check(&mut self) -> Result<(), String> {
        let refuse = |text: &str| Err(text.to_string());
        let Some(role) = self.role else {
            return refuse("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)");
        };
        let (api_server, kubeconfig) = (!self.api_server.is_empty(), !self.kubeconfig_file.is_empty());
        let custom_http = !self.http.is_default();
        if api_server && kubeconfig {
            return refuse("cannot use 'kubeconfig_file' and 'api_server' simultaneously");
        }
        if kubeconfig && custom_http {
            return refuse("cannot use a custom HTTP client configuration together with 'kubeconfig_file'");
        }
        if !api_server && custom_http {
            return refuse("to use custom HTTP client configuration please provide the 'api_server' URL explicitly");
        }
        if api_server && self.namespaces.own_namespace {
            return refuse("cannot use 'api_server' and 'namespaces.own_namespace' simultaneously");
        }
        if kubeconfig && self.namespaces.own_namespace {
            return refuse("cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously");
        }
        for (i, s) in self.selectors.iter().enumerate() {
            if self.selectors[..i].iter().any(|before| before.role == s.role) {
                return Err(format!("duplicated selector role: {}", s.role.map_or("", Role::as_str)));
            }
            if !s.role.is_some_and(|r| role.selectors().contains(&r)) {
                let allowed: Vec<_> = role.selectors().iter().map(|r| r.as_str()).collect();
                return Err(format!("{} role supports only {} selectors", role.as_str(), allowed.join(", ")));
            }
            check_fields(&s.field)?;
            check_labels(&s.label)?;
        }
        Ok(())
    }
}

/// `a=b,c!=d`
fn check_fields(selector: &str) -> Result<(), String> {
    match selector.split(',').find(|t| !t.is_empty() && !t.contains('=')) {
        Some(term) => Err(format!("invalid selector: '{selector}'; can't understand '{term}'")),
        None => Ok(()),
    }
}

/// `a, !b, c=d, e!=f, g in (x, y), h notin (z)`; the server looks closer.
fn check_labels(selector: &str) -> Result<(), String> {
    let mut depth = 0i32;
    for c in selector.chars() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if !(0..=1).contains(&depth) {
            return Err(format!("unable to parse label selector {selector:?}: parentheses do not match"));
        }
    }
    if depth != 0 { Err(format!("unable to parse label selector {selector:?}: parentheses do not match")) } else { Ok(()) }
}
