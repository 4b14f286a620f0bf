use crate::testserver::{Say, serve};
use crate::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::SystemClock;
use stdx::fs::{RealFs, write_atomic};
use stdx::metrics::{Registry, Value};
use stdx::shutdown::Shutdown;
use tokio::runtime::Handle;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    struct Job as "config.ScrapeConfig" {
        job_name: String;
        http: ::client::HttpConfig => inline;
        sd: SdConfigs => inline;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    struct Config as "config.plain" {
        scrape_configs: Vec<Job>;
    }
}

pub(crate) fn sd(text: &str) -> SdConfigs {
    let job: Job = yaml::from_str(text, &yaml::Options::default()).expect(text);
    job.sd
}

/// A manager with short waits that runs for the length of a test.
pub(crate) struct Running {
    pub manager: Manager,
    pub registry: Registry,
    shutdown: Shutdown,
}

impl Running {
    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let clock = SystemClock::shared();
        let mut options = Options::new(client::Options::new(Arc::clone(&clock), Arc::new(RealFs)));
        options.update_interval = Duration::from_millis(20);
        change(&mut options);
        let registry = Registry::new(clock);
        let (manager, shutdown) = (Manager::new("scrape", options, &registry, Handle::current()), Shutdown::new());
        let (m, s) = (manager.clone(), shutdown.clone());
        tokio::spawn(async move { m.run(s).await });
        Running { manager, registry, shutdown }
    }

    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn apply(&self, jobs: &[(&str, &str)]) {
        self.manager.apply(jobs.iter().map(|(name, text)| (name.to_string(), sd(text))).collect());
    }

    /// Waits until the job shows these groups, one line for each: source, addresses, labels.
    pub async fn shows(&self, job: &str, expect: &[&str]) {
        let mut snapshots = self.manager.subscribe();
        let mut got = Vec::new();
        let wait = async {
            loop {
                got = snapshots.borrow_and_update().get(job).map(|g| g.iter().map(|g| line(g)).collect::<Vec<_>>()).unwrap_or_default();
                if got == expect {
                    return;
                }
                snapshots.changed().await.expect("the manager runs");
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), wait).await.is_err() {
            panic!("expected {expect:#?}, got {got:#?}");
        }
    }

    pub fn counted(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let values = families.iter().filter(|f| f.name == name).flat_map(|f| &f.metrics);
        values.map(|m| if let Value::Counter(v) | Value::Gauge(v) = m.value { v } else { 0.0 }).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

pub(crate) fn line(g: &TargetGroup) -> String {
    format!("{} {} {}", g.source, g.addresses().collect::<Vec<_>>().join(","), g.labels)
}

#[tokio::test]
async fn static_targets_come_at_once_and_reloads_change_them() {
    let r = Running::new();
    r.apply(&[("a", "static_configs: [{targets: [h:1, h:2], labels: {x: y}}, {targets: [h:3]}]"), ("b", "{}")]);
    r.shows("a", &[r#"0 h:1,h:2 {x="y"}"#, "1 h:3 {}"]).await;
    assert!(r.manager.snapshot()["b"].is_empty());
    assert_eq!(r.counted("prometheus_sd_discovered_targets"), 3.0);
    let before = r.manager.snapshot();
    r.apply(&[("a", "static_configs: [{targets: [h:1, h:2], labels: {x: y}}, {targets: [h:3]}]"), ("c", "static_configs: [{targets: [h:9]}]")]);
    r.shows("c", &["0 h:9 {}"]).await;
    let now = r.manager.snapshot();
    assert!(Arc::ptr_eq(&before["a"], &now["a"]), "what has not changed is the same allocation");
    assert!(!now.contains_key("b"));
}

#[tokio::test]
async fn files_are_followed_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| write_atomic(&RealFs, &dir.path().join(name), text.as_bytes()).expect("written");
    let d = dir.path().display().to_string();
    write("a.json", r#"[{"targets": ["h:1"], "labels": {"x": "y"}}, {"targets": ["h:2"]}]"#);
    write("b.yml", "- targets: [h:3]\n");
    let r = Running::new();
    r.apply(&[("f", &format!("file_sd_configs: [{{files: ['{d}/*.json', '{d}/b.yml'], refresh_interval: 100ms}}]"))]);
    let a0 = format!(r#"{d}/a.json:0 h:1 {{__meta_filepath="{d}/a.json", x="y"}}"#);
    let a1 = format!(r#"{d}/a.json:1 h:2 {{__meta_filepath="{d}/a.json"}}"#);
    let b = |host: &str| format!(r#"{d}/b.yml:0 {host} {{__meta_filepath="{d}/b.yml"}}"#);
    r.shows("f", &[&a0, &a1, &b("h:3")]).await;
    write("a.json", "[{");
    write("b.yml", "- targets: [h:4]\n");
    r.shows("f", &[&a0, &a1, &b("h:4")]).await;
    assert!(r.counted("prometheus_sd_file_read_errors_total") >= 1.0);
    write("a.json", "[]");
    r.shows("f", &[&b("h:4")]).await;
    std::fs::OpenOptions::new().write(true).open(dir.path().join("b.yml")).and_then(|f| f.set_len(0)).expect("emptied");
    r.shows("f", &[]).await;
}

#[tokio::test]
async fn http_answers_are_taken_and_failures_survived() {
    let say = Arc::new(Mutex::new(r#"[{"targets": ["h:1"]}, {"targets": ["h:2"], "labels": {"a": "b"}}]"#.to_string()));
    let said = Arc::clone(&say);
    let url = serve(move |r| {
        assert_eq!(r.headers().get("x-prometheus-refresh-interval-seconds").map(|v| v.as_bytes()), Some(&b"1"[..]));
        match said.lock().as_str() {
            "" => Say::Status(500, "no".into()),
            text => Say::Json(text.to_string()),
        }
    })
    .await;
    let r = Running::new();
    r.apply(&[
        ("a", &format!("http_sd_configs: [{{url: \"{url}\", refresh_interval: 1s}}]")),
        ("b", &format!("http_sd_configs: [{{url: \"{url}\", refresh_interval: 1s}}]")),
    ]);
    let first = format!(r#"{url}:0 h:1 {{__meta_url="{url}"}}"#);
    let second = format!(r#"{url}:1 h:2 {{__meta_url="{url}", a="b"}}"#);
    r.shows("a", &[&first, &second]).await;
    r.shows("b", &[&first, &second]).await;
    assert_eq!(
        r.registry.gather().iter().find(|f| f.name == "prometheus_sd_refresh_failures_total").map(|f| f.metrics.len()),
        Some(1),
        "one provider for both"
    );
    say.lock().clear();
    while r.counted("prometheus_sd_http_failures_total") < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    r.shows("a", &[&first, &second]).await;
    *say.lock() = r#"[{"targets": ["h:1"]}]"#.into();
    r.shows("a", &[&first]).await;
}

#[tokio::test]
async fn a_job_keeps_its_targets_until_its_new_discovery_has_reported() {
    let r = Running::new();
    r.apply(&[("a", "static_configs: [{targets: [h:1]}]")]);
    r.shows("a", &["0 h:1 {}"]).await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let url = serve(move |_| if *gate.borrow() { Say::Json("[{\"targets\": [\"h:2\"]}]".into()) } else { Say::Status(503, String::new()) }).await;
    r.apply(&[("a", &format!("http_sd_configs: [{{url: \"{url}\", refresh_interval: 1s}}]"))]);
    r.shows("a", &["0 h:1 {}"]).await;
    open.send(true).expect("the server listens");
    r.shows("a", &[&format!(r#"{url}:0 h:2 {{__meta_url="{url}"}}"#)]).await;
}

#[tokio::test]
async fn dns_is_asked_over_udp_and_tcp() {
    let dir = tempfile::tempdir().expect("a directory");
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bind loopback");
    let at: SocketAddr = udp.local_addr().expect("bound");
    let tcp = tokio::net::TcpListener::bind(at).await.expect("the same port");
    let conf = dir.path().join("resolv.conf");
    write_atomic(&RealFs, &conf, format!("nameserver {at}\nsearch example.org\n").as_bytes()).expect("written");
    tokio::spawn(async move {
        let mut buf = [0; 512];
        loop {
            let (n, from) = udp.recv_from(&mut buf).await.expect("a question");
            // Only the name with the search domain exists, and its answer does not fit.
            let exists = buf[..n].windows(7).any(|w| w == b"example");
            let reply = crate::dns::reply(&buf[..n], exists, if exists { 0 } else { 3 }, &[]);
            udp.send_to(&reply, from).await.expect("sent");
        }
    });
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut s, _)) = tcp.accept().await {
            let len = s.read_u16().await.expect("a length");
            let mut question = vec![0; usize::from(len)];
            s.read_exact(&mut question).await.expect("a question");
            let reply = crate::dns::reply(&question, false, 0, &[(1, vec![10, 0, 0, 1]), (1, vec![10, 0, 0, 2])]);
            s.write_u16(reply.len() as u16).await.expect("sent");
            s.write_all(&reply).await.expect("sent");
        }
    });
    let r = Running::with(|o| o.resolv_conf = conf);
    r.apply(&[("d", "dns_sd_configs: [{names: [db], type: A, port: 9100}]")]);
    r.shows("d", &["db 10.0.0.1:9100,10.0.0.2:9100 {}"]).await;
    assert_eq!(r.counted("prometheus_sd_dns_lookups_total"), 1.0);
}

#[test]
fn what_is_not_supported_is_named() {
    let e = yaml::from_str::<Job>("job_name: a\nazure_sd_configs: [{}]", &yaml::Options::default()).expect_err("azure").to_string();
    assert!(e.starts_with("line 2: azure service discovery is not supported by this server, which has: "), "{e}");
    let e = yaml::from_str::<Job>("consult_sd_configs: []", &yaml::Options::default()).expect_err("unknown").to_string();
    assert!(e.ends_with("field consult_sd_configs not found in type config.ScrapeConfig"), "{e}");
}

#[test]
fn configs_are_written_back() {
    let text = "job_name: j\nstatic_configs:\n- targets: [b]\nkubernetes_sd_configs:\n- role: pod\nfile_sd_configs:\n- files: [a.json]\n";
    let job: Job = yaml::from_str(text, &yaml::Options::in_dir("/c")).expect("well formed");
    assert_eq!(
        yaml::to_string(&job),
        "job_name: j\nfollow_redirects: true\nenable_http2: true\nfile_sd_configs:\n- files:\n  - /c/a.json\n  refresh_interval: 5m\n\
         kubernetes_sd_configs:\n- role: pod\n  kubeconfig_file: \"\"\n  follow_redirects: true\n  enable_http2: true\n\
         static_configs:\n- targets:\n  - b\n"
    );
}

/// The reference's own bad files: refused, and for the reason it names. Found as the other conformance tests find theirs.
#[test]
fn the_references_bad_files_are_refused() {
    let root = std::env::var_os("NARTHEX_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from)
        .join("config");
    let cases: BTreeMap<&str, &str> = BTreeMap::from([
        ("bearertoken", "at most one of bearer_token & bearer_token_file must be configured"),
        ("bearertoken_basicauth", "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"),
        ("kubernetes_http_config_without_api_server", "to use custom HTTP client configuration please provide the 'api_server' URL explicitly"),
        ("kubernetes_kubeconfig_with_own_namespace", "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously"),
        ("kubernetes_api_server_with_own_namespace", "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously"),
        ("kubernetes_kubeconfig_with_apiserver", "cannot use 'kubeconfig_file' and 'api_server' simultaneously"),
        ("kubernetes_kubeconfig_with_http_config", "cannot use a custom HTTP client configuration together with 'kubeconfig_file'"),
        ("kubernetes_bearertoken", "at most one of bearer_token & bearer_token_file must be configured"),
        ("kubernetes_role", "role"),
        ("kubernetes_selectors_endpoints", "endpoints role supports only pod, service, endpoints selectors"),
        ("kubernetes_selectors_ingress", "ingress role supports only ingress selectors"),
        ("kubernetes_selectors_node", "node role supports only node selectors"),
        ("kubernetes_selectors_pod", "pod role supports only pod, node selectors"),
        ("kubernetes_selectors_service", "service role supports only service selectors"),
        ("kubernetes_namespace_discovery", "field foo not found in type kubernetes.plain"),
        ("kubernetes_selectors_duplicated_role", "duplicated selector role: pod"),
        ("kubernetes_selectors_incorrect_selector", "invalid selector: 'metadata.status-Running'; can't understand 'metadata.status-Running'"),
        ("kubernetes_bearertoken_basicauth", "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"),
        ("kubernetes_authorization_basicauth", "at most one of basic_auth, oauth2 & authorization must be configured"),
        ("empty_static_config", "empty or null section in static_configs"),
        ("unknown_attr", "field consult_sd_configs not found in type"),
        ("http_url_no_scheme", "URL scheme must be 'http' or 'https'"),
        ("http_url_no_host", "host is missing in URL"),
        ("http_token_file", "at most one of bearer_token & bearer_token_file must be configured"),
        ("http_url_bad_scheme", "URL scheme must be 'http' or 'https'"),
        ("azure_client_id_missing", "azure service discovery is not supported"),
    ]);
    for (name, expect) in cases {
        let Ok(text) = std::fs::read_to_string(root.join(format!("{name}.bad.yml"))) else { continue };
        let e = yaml::from_str::<Config>(&text, &yaml::Options::default()).expect_err(name).to_string();
        assert!(e.contains(expect), "{name}: {e}");
    }
    for name in
        ["kubernetes_empty_apiserver", "kubernetes_kubeconfig_without_apiserver", "kubernetes_selectors_endpoints", "kubernetes_selectors_pod"]
    {
        let Ok(text) = std::fs::read_to_string(root.join(format!("{name}.good.yml"))) else { continue };
        if let Err(e) = yaml::from_str::<Config>(&text, &yaml::Options::default()) {
            panic!("{name}: {e}");
        }
    }
}
