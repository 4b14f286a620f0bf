//! How to reach the API: as a pod of the cluster, by a kubeconfig file, or at a URL with the section's own HTTP settings.

use super::config::{KubernetesConfig, Namespaces};
use crate::error::Error;
use crate::provider::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Authorization, BasicAuth, HttpClient, HttpConfig, TlsConfig};
use std::path::Path;
use yaml::{FilePath, Node, Secret, Url};

pub(crate) struct Access {
    /// Without a slash at the end.
    pub base: String,
    pub client: HttpClient,
    own_namespace: Option<String>,
}

impl Access {
    pub fn new(config: &KubernetesConfig, cx: &Context) -> Result<Self, Error> {
        let (base, http) = if let Some(path) = config.kubeconfig_file.get() {
            from_kubeconfig(path, cx)?
        } else if config.api_server.is_empty() {
            in_cluster(cx)?
        } else {
            (config.api_server.as_str().to_string(), config.http.clone())
        };
        let own_namespace = if config.namespaces.own_namespace {
            let path = cx.options.service_account.join("namespace");
            let name = read(&path, cx).map_err(|e| Error::invalid(format!("could not determine the pod's namespace: {e}")))?;
            Some(name.trim().to_string())
        } else {
            None
        };
        let client = cx.client(&http, "kubernetes")?;
        Ok(Access { base: base.trim_end_matches('/').to_string(), client, own_namespace })
    }

    /// The namespaces to look at; one empty name stands for all.
    pub fn namespaces(&self, config: &Namespaces) -> Vec<String> {
        let mut names = config.names.clone();
        names.extend(self.own_namespace.clone());
        names.sort();
        names.dedup();
        if names.is_empty() {
            names.push(String::new());
        }
        names
    }
}

fn read(path: &Path, cx: &Context) -> Result<String, Error> {
    let bytes = cx.options.http.fs.read(path).map_err(|source| Error::Io { path: path.display().to_string(), source })?;
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{} is not UTF-8", path.display())))
}

/// The token is read again by the client whenever the kubelet renews it.
fn in_cluster(cx: &Context) -> Result<(String, HttpConfig), Error> {
    let var = |name: &str| (cx.options.environment)(name).filter(|v| !v.is_empty());
    let (Some(host), Some(port)) = (var("KUBERNETES_SERVICE_HOST"), var("KUBERNETES_SERVICE_PORT")) else {
        return Err(Error::invalid("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let file = |name: &str| FilePath(cx.options.service_account.join(name).to_string_lossy().into_owned());
    let http = HttpConfig {
        authorization: Some(Authorization { kind: "Bearer".into(), credentials_file: file("token"), ..Authorization::default() }),
        tls_config: TlsConfig { ca_file: file("ca.crt"), ..TlsConfig::default() },
        ..HttpConfig::default()
    };
    tracing::info!(config = cx.job, "using pod service account via in-cluster config");
    Ok((format!("https://{host}:{port}"), http))
}

fn from_kubeconfig(path: &Path, cx: &Context) -> Result<(String, HttpConfig), Error> {
    let bad = |what: &str| Error::invalid(format!("kubeconfig {}: {what}", path.display()));
    let root = yaml::parse(&read(path, cx)?).map_err(|e| bad(&e.to_string()))?;
    let text = |n: Option<&Node>, key: &str| n.and_then(|n| n.get(key)).and_then(Node::text).unwrap_or_default().to_string();
    let named = |list: &str, name: &str, part: &str| {
        let items = root.get(list).and_then(Node::items).unwrap_or_default();
        items.iter().find(|i| i.get("name").and_then(Node::text) == Some(name)).and_then(|i| i.get(part)).cloned()
    };
    let context_name = text(Some(&root), "current-context");
    let context = named("contexts", &context_name, "context").ok_or_else(|| bad("current-context is not among contexts"))?;
    let cluster_name = text(Some(&context), "cluster");
    let cluster = named("clusters", &cluster_name, "cluster").ok_or_else(|| bad("cluster of the context is missing"))?;
    let user = named("users", &text(Some(&context), "user"), "user");
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = |n: Option<&Node>, key: &str| FilePath(yaml::join_dir(dir, &text(n, key)));
    let data = |n: Option<&Node>, key: &str| {
        let bytes = STANDARD.decode(text(n, key)).map_err(|_| bad(&format!("{key} is not base64")))?;
        String::from_utf8(bytes).map_err(|_| bad(&format!("{key} is not PEM")))
    };
    let (c, u) = (Some(&cluster), user.as_ref());
    if u.is_some_and(|u| u.get("exec").is_some() || u.get("auth-provider").is_some()) {
        return Err(bad("users with exec or auth-provider are not supported, use a token or a certificate"));
    }
    // Inline data wins over a file.
    let either = |n: Option<&Node>, key: &str| {
        let inline = data(n, &format!("{key}-data"))?;
        let file = if inline.is_empty() { file(n, key) } else { FilePath::default() };
        Ok::<_, Error>((inline, file))
    };
    let (ca, ca_file) = either(c, "certificate-authority")?;
    let (cert, cert_file) = either(u, "client-certificate")?;
    let (key, key_file) = either(u, "client-key")?;
    let (token, token_file) = (text(u, "token"), file(u, "tokenFile"));
    let mut http = HttpConfig {
        tls_config: TlsConfig {
            ca,
            ca_file,
            cert,
            cert_file,
            key: Secret::new(key),
            key_file,
            server_name: text(c, "tls-server-name"),
            insecure_skip_verify: text(c, "insecure-skip-tls-verify") == "true",
            ..TlsConfig::default()
        },
        ..HttpConfig::default()
    };
    if !token_file.is_empty() || !token.is_empty() {
        let credentials = if token_file.is_empty() { Secret::new(token) } else { Secret::default() };
        http.authorization = Some(Authorization { kind: "Bearer".into(), credentials, credentials_file: token_file });
    } else if !text(u, "username").is_empty() {
        http.basic_auth = Some(BasicAuth { username: text(u, "username"), password: Secret::new(text(u, "password")), ..BasicAuth::default() });
    }
    http.proxy.proxy_url = Url::parse(&text(c, "proxy-url")).map_err(|e| bad(&e))?;
    let server = text(c, "server");
    if server.is_empty() {
        return Err(bad("server of the cluster is missing"));
    }
    Ok((server, http))
}
