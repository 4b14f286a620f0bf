//! Every key of `remote_write`, each with something to be seen on the wire or in the metrics. The table of docs/uplink.md lists the same keys.
//!
//! One leaf has an entry for each row, so that all of it takes a few seconds.

use crate::page::PageTarget;
use crate::recorder::{Asked, Recorder};
use crate::tools::{RECEIVER, config, own_metric, seconds};
use narthex_tests::{Kind, Server, wait_for};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PAGE: &str = "# HELP seat Seats.\n# TYPE seat gauge\nseat{row=\"a\"} 1\nseat{row=\"b\"} 2\n# HELP jobs Jobs.\n# TYPE jobs counter\n\
jobs_total 17 # {trace_id=\"xyz\"} 1.0\n# HELP req Time.\n# TYPE req histogram\nreq_bucket{le=\"1.0\"} 5\nreq_bucket{le=\"+Inf\"} 6\nreq_count 6\nreq_sum 7.5\n# EOF\n";

/// What a row looks at.
struct Seen<'a> {
    name: &'a str,
    asked: Vec<Asked>,
    leaf: &'a Server,
}

impl Seen<'_> {
    fn pushes(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|a| a.header("x-prometheus-remote-write-version") != "")
    }

    fn any(&self, check: impl Fn(&Asked) -> bool) -> bool {
        self.pushes().any(check)
    }

    fn header(&self, name: &str, value: &str) -> bool {
        self.any(|a| a.header(name) == value)
    }

    fn metric(&self, metric: &str) -> f64 {
        own_metric(self.leaf, &format!("{metric}{{remote_name=\"{}\"", self.name))
    }
}

type Check = Box<dyn Fn(&Seen<'_>) -> bool>;

struct Row {
    keys: &'static [&'static str],
    /// Lines of the entry, or the inside of a map.
    yaml: String,
    to: Recorder,
    /// In place of the recorder's URL.
    url: Option<String>,
    check: Check,
}

fn row(keys: &'static [&'static str], yaml: &str, check: impl Fn(&Seen<'_>) -> bool + 'static) -> Row {
    Row { keys, yaml: yaml.to_string(), to: Recorder::taking(), url: None, check: Box::new(check) }
}

fn answering(answer: impl Fn(&Asked, usize) -> (&'static str, &'static str) + Send + Sync + 'static) -> Recorder {
    Recorder::start(move |a, n| {
        let (status, body) = answer(a, n);
        Some((status.to_string(), body.to_string()))
    })
}

const TOKEN: &str = "{\"access_token\":\"t0ken\",\"token_type\":\"Bearer\",\"expires_in\":3600}";
const JSON: &str = "200 OK\r\nContent-Type: application/json";
const ID: &str = "00000000-a12b-3cd4-e56f-000000000000";

fn secret(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surface/testdata").join(name)
}

/// Rows that a recorder can see.
fn rows(dir: &Path, tokens: &Recorder, proxy: &Recorder) -> Vec<Row> {
    let file = |name: &str, text: &str| secret(dir, name, text);
    let basic = |a: &Asked| a.header("authorization") == "Basic dTpw";
    let bearer = |s: &Seen<'_>, token: &str| s.header("authorization", &format!("Bearer {token}"));
    let mut out = vec![
        row(&["headers"], "headers: {X-Scope-OrgID: school}", |s| s.header("x-scope-orgid", "school")),
        row(&["http_headers"], "http_headers: {X-One: {values: [a, b]}}", |s| s.any(|a| a.headers.iter().filter(|(n, _)| n == "x-one").count() == 2)),
        row(&["basic_auth", "basic_auth.username", "basic_auth.password"], "basic_auth: {username: u, password: p}", move |s| s.any(basic)),
        row(
            &["basic_auth.username_file", "basic_auth.password_file"],
            &format!("basic_auth: {{username_file: '{}', password_file: '{}'}}", file("u", "u\n"), file("p", "p\n")),
            move |s| s.any(basic),
        ),
        row(&["authorization", "authorization.type", "authorization.credentials"], "authorization: {type: Token, credentials: c}", |s| {
            s.header("authorization", "Token c")
        }),
        row(&["authorization.credentials_file"], &format!("authorization: {{credentials_file: '{}'}}", file("c", "cf\n")), move |s| bearer(s, "cf")),
        row(&["bearer_token"], "bearer_token: b", move |s| bearer(s, "b")),
        row(&["bearer_token_file"], &format!("bearer_token_file: '{}'", file("bf", "bf")), move |s| bearer(s, "bf")),
        row(
            &["oauth2"],
            &format!(
                "oauth2: {{client_id: me, client_secret: s, token_url: 'http://{}/token', scopes: [a, b], endpoint_params: {{x: y}}}}",
                tokens.address
            ),
            move |s| bearer(s, "t0ken"),
        ),
        row(&["azuread"], &format!("azuread: {{oauth: {{client_id: {ID}, client_secret: s, tenant_id: ten}}}}"), move |s| bearer(s, "t0ken")),
        row(&["sigv4"], "sigv4: {region: eu-west-1, access_key: AKEY, secret_key: s}", |s| {
            s.any(|a| {
                a.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKEY/") && a.header("authorization").contains("/eu-west-1/aps/")
            })
        }),
        row(
            &["write_relabel_configs"],
            "write_relabel_configs: [{source_labels: [__name__], regex: 'seat', action: keep}, {target_label: hall, replacement: big}]",
            |s| {
                let pushes: Vec<_> = s.pushes().filter(|a| a.count(1) > 0).collect();
                !pushes.is_empty() && pushes.iter().all(|a| a.says("seat") && a.says("hall") && !a.says("jobs_total"))
            },
        ),
        row(&["protobuf_message"], "protobuf_message: io.prometheus.write.v2.Request", |s| {
            s.any(|a| {
                a.header("content-type").contains("proto=io.prometheus.write.v2.Request") && a.header("x-prometheus-remote-write-version") == "2.0.0"
            })
        }),
        row(&["send_exemplars"], "send_exemplars: true", |s| s.any(|a| a.says("trace_id"))),
        row(&["send_native_histograms"], "send_native_histograms: true", |s| s.metric("prometheus_remote_storage_histograms_total") >= 1.0),
        row(&["round_robin_dns"], "round_robin_dns: true", |s| s.pushes().count() > 0),
        row(&["enable_http2"], "enable_http2: false", |s| s.pushes().count() > 0),
        row(
            &["queue_config.capacity", "queue_config.min_shards", "queue_config.max_shards"],
            "queue_config: {capacity: 77, min_shards: 2, max_shards: 3, batch_send_deadline: 200ms}",
            |s| {
                s.metric("prometheus_remote_storage_shard_capacity") == 77.0
                    && s.metric("prometheus_remote_storage_shards_min") == 2.0
                    && s.metric("prometheus_remote_storage_shards_max") == 3.0
                    && s.pushes().count() > 0
            },
        ),
        row(&["queue_config.max_samples_per_send"], "queue_config: {max_samples_per_send: 3, batch_send_deadline: 200ms}", |s| {
            s.pushes().count() > 4 && s.pushes().all(|a| a.count(1) <= 3)
        }),
        row(&["queue_config.sample_age_limit"], "queue_config: {sample_age_limit: 1ms, batch_send_deadline: 1s}", |s| {
            s.metric("prometheus_remote_storage_samples_dropped_total") > 0.0
        }),
        row(
            &["metadata_config.send", "metadata_config.send_interval", "metadata_config.max_samples_per_send"],
            "metadata_config: {send: true, send_interval: 1s, max_samples_per_send: 2}",
            |s| s.any(|a| a.count(3) == 2) && s.pushes().all(|a| a.count(3) <= 2),
        ),
        row(&["remote_timeout"], "remote_timeout: 1s", |s| s.pushes().filter(|a| a.header("retry-attempt") != "").count() > 0),
        row(&["queue_config.retry_on_http_429"], "queue_config: {retry_on_http_429: true, batch_send_deadline: 200ms}", |s| {
            s.any(|a| a.header("retry-attempt") == "1")
        }),
        row(
            &["queue_config.min_backoff", "queue_config.max_backoff"],
            "queue_config: {min_backoff: 1s, max_backoff: 1s, min_shards: 1, max_shards: 1, batch_send_deadline: 200ms}",
            |s| {
                let all: Vec<_> = s.pushes().filter(|a| a.count(1) > 0).collect();
                // With jitter, and never at once.
                all.len() >= 3 && all.windows(2).all(|w| w[1].header("retry-attempt") == "" || w[1].at - w[0].at >= Duration::from_millis(300))
            },
        ),
        row(&["follow_redirects"], "follow_redirects: true", |s| s.any(|a| a.line.contains("/elsewhere"))),
        row(&["proxy_url", "no_proxy"], &format!("proxy_url: 'http://{}'\n  no_proxy: example.org", proxy.address), |_| true),
        row(&["proxy_from_environment"], "proxy_from_environment: true", |s| s.pushes().count() > 0),
    ];
    let named = |out: &mut Vec<Row>, key: &str, to: Recorder| out.iter_mut().find(|r| r.keys[0] == key).expect("there").to = to;
    named(&mut out, "remote_timeout", Recorder::start(|_, n| (n > 0).then(|| ("204 No Content".to_string(), String::new()))));
    named(&mut out, "queue_config.retry_on_http_429", answering(|_, n| if n == 0 { ("429 Too Many Requests", "") } else { ("204 No Content", "") }));
    named(&mut out, "queue_config.min_backoff", answering(|_, n| if n < 3 { ("500 Oh", "") } else { ("204 No Content", "") }));
    named(
        &mut out,
        "follow_redirects",
        answering(|a, _| if a.line.contains("/elsewhere") { ("204 No Content", "") } else { ("307 There\r\nLocation: /elsewhere", "") }),
    );
    // A parent that is asked for by a name, and one that only the proxy knows.
    let by_name = out.iter_mut().find(|r| r.keys[0] == "round_robin_dns").expect("there");
    by_name.url = Some(by_name.to.url().replace("127.0.0.1", "localhost"));
    let by_proxy = out.iter_mut().find(|r| r.keys[0] == "proxy_url").expect("there");
    by_proxy.url = Some("http://central.invalid/api/v1/write".to_string());
    out
}

/// Keys that the others stand on, and those that are seen elsewhere: see `tls_keys` and `keys_that_are_refused`.
const ELSEWHERE: [&str; 19] = [
    "url",
    "name",
    "queue_config",
    "metadata_config",
    "queue_config.batch_send_deadline",
    "tls_config",
    "tls_config.ca_file",
    "tls_config.ca",
    "tls_config.cert_file",
    "tls_config.cert",
    "tls_config.key_file",
    "tls_config.key",
    "tls_config.server_name",
    "tls_config.insecure_skip_verify",
    "tls_config.min_version",
    "tls_config.max_version",
    "proxy_connect_header",
    "google_iam",
    "azuread.certificate",
];

#[test]
fn every_key_does_what_it_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let tokens = answering(|_, _| (JSON, TOKEN));
    let proxy = Recorder::taking();
    let rows = rows(dir.path(), &tokens, &proxy);
    let target = PageTarget::start("application/openmetrics-text; version=1.0.0; charset=utf-8", PAGE);
    let job = format!(
        "- job_name: page\n  scrape_protocols: [OpenMetricsText1.0.0]\n  convert_classic_histograms_to_nhcb: true\n  static_configs:\n  - targets: ['{}']\n",
        target.address
    );
    let entries: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(n, r)| {
            let url = r.url.clone().unwrap_or_else(|| r.to.url());
            let deadline = if r.yaml.contains("queue_config") { "" } else { "  queue_config: {batch_send_deadline: 200ms}\n" };
            format!("- url: {url}\n  name: row-{n}\n  {}\n{deadline}", r.yaml)
        })
        .collect();
    let mut leaf = Server::narthex("leaf", &config("", &[job], &entries), &["--enable-feature=exemplar-storage,metadata-wal-records"]);
    leaf.environment.push(("AZURE_AUTHORITY_HOST".to_string(), format!("http://{}", tokens.address)));
    leaf.expect_log(&["failed to send batch, retrying", "flush deadline reached"]);
    leaf.start();
    for (n, r) in rows.iter().enumerate() {
        let name = format!("row-{n}");
        wait_for(&format!("{:?} to be seen: {}", r.keys, r.yaml), seconds(30), || {
            let seen = Seen { name: &name, asked: r.to.asked(), leaf: &leaf };
            (r.check)(&seen).then_some(())
        });
    }
    wait_for("a push through the proxy", seconds(20), || {
        proxy.asked().iter().any(|a| a.line.starts_with("POST http://central.invalid/api/v1/write") && a.count(1) > 0).then_some(())
    });
    let asked_for_tokens = tokens.asked();
    let form = |words: &[&str]| asked_for_tokens.iter().any(|a| words.iter().all(|w| String::from_utf8_lossy(&a.body).contains(w)));
    assert!(form(&["grant_type=client_credentials", "scope=a+b", "x=y"]) || form(&["grant_type=client_credentials", "scope=a%20b", "x=y"]));
    assert!(form(&[&format!("client_id={ID}")]) && asked_for_tokens.iter().any(|a| a.line.starts_with("POST /ten/oauth2/v2.0/token")));
    // Nobody else was sent what only one of them is to be sent.
    assert_eq!(rows.iter().filter(|r| r.to.asked().iter().any(|a| a.header("x-scope-orgid") != "")).count(), 1);
    leaf.kill();

    // The table of the docs lists these keys, each once, and no other.
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/uplink.md")).expect("docs");
    let table = docs.split("## Every key").nth(1).and_then(|t| t.split("\n## ").next()).expect("a table of every key");
    let mut listed: Vec<&str> =
        table.lines().filter(|l| l.starts_with("| `")).flat_map(|l| l.split('|').nth(1).unwrap_or("").split('`').skip(1).step_by(2)).collect();
    let mut known: Vec<&str> = rows.iter().flat_map(|r| r.keys.iter().copied()).chain(ELSEWHERE).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

/// A parent that refuses one series for good, and with it the whole request: the others arrive, and what was refused is counted by reason.
#[test]
fn a_refused_series_does_not_stop_the_others() {
    let to = answering(|a, _| if a.says("spoiled") { ("400 Bad Request", "label value of spoiled is too long") } else { ("204 No Content", "") });
    let target = PageTarget::start("text/plain; version=0.0.4", "good{n=\"1\"} 1\ngood{n=\"2\"} 2\nspoiled 3\ngood{n=\"3\"} 4\n");
    let entry = format!("- url: {}\n  name: up\n  queue_config: {{batch_send_deadline: 200ms}}\n", to.url());
    let mut leaf = Server::narthex("leaf", &config("", &[crate::tools::job("page", &target.address, "")], &[entry]), &[]);
    leaf.expect_log(&["parent refuses samples for good"]);
    leaf.start();
    let refused = || own_metric(&leaf, "narthex_uplink_refused_samples_total{remote_name=\"up\"");
    wait_for("refused samples to be counted", seconds(20), || (refused() >= 3.0).then_some(()));
    let taken: Vec<_> = to.asked().into_iter().filter(|a| a.count(1) > 0 && !a.says("spoiled")).collect();
    assert!(["good", "scrape_samples_scraped", "up"].iter().all(|name| taken.iter().filter(|a| a.says(name)).count() >= 2));
    // Nothing but the spoiled one: once for each scrape.
    let scrapes = taken.iter().filter(|a| a.says("scrape_duration_seconds")).count() as f64;
    assert!(refused() <= scrapes + 3.0, "{} of {scrapes} scrapes", refused());
    leaf.stop();
}

/// TLS: each way to say whom to trust and who one is; and what must not be trusted.
#[test]
fn tls_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let (server, ca, client) = (pem("server.pem"), pem("ca.pem"), pem("client-a.pem"));
    let web = dir.path().join("web.yml");
    let text = format!(
        "tls_server_config: {{cert_file: '{0}', key_file: '{0}', client_auth_type: RequireAndVerifyClientCert, client_ca_file: '{1}', min_version: TLS12}}\n",
        server.display(),
        ca.display()
    );
    std::fs::write(&web, text).expect("writes");
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER, &format!("--web.config.file={}", web.display())]);
    central.spawn();
    wait_for("the central to listen", seconds(30), || std::net::TcpStream::connect(central.address()).ok());
    let inline = |path: &Path, what: &str| {
        let text = std::fs::read_to_string(path).expect("test data");
        let begin = text.find(&format!("-----BEGIN {what}")).expect("there");
        let end = text[begin..].find("-----END").expect("ends") + begin;
        let end = text[end..].find('\n').map_or(text.len(), |n| end + n);
        text[begin..end].replace('\n', "\\n")
    };
    let (ca_text, cert_text) = (inline(&ca, "CERTIFICATE"), inline(&client, "CERTIFICATE"));
    let key_kind = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]
        .into_iter()
        .find(|k| std::fs::read_to_string(&client).expect("test data").contains(&format!("-----BEGIN {k}")))
        .expect("a key");
    let key_text = inline(&client, key_kind);
    let by_file = format!("cert_file: '{0}', key_file: '{0}'", client.display());
    let cases: [(&str, String, bool); 8] = [
        ("files", format!("ca_file: '{}', {by_file}", ca.display()), true),
        ("inline", format!("ca: \"{ca_text}\", cert: \"{cert_text}\", key: \"{key_text}\""), true),
        ("named", format!("ca_file: '{}', {by_file}, server_name: localhost", ca.display()), true),
        ("of-another-name", format!("ca_file: '{}', {by_file}, server_name: other.invalid", ca.display()), false),
        ("unverified", format!("insecure_skip_verify: true, {by_file}"), true),
        ("only-1.3", format!("ca_file: '{}', {by_file}, min_version: TLS13, max_version: TLS13", ca.display()), true),
        ("strange-ca", format!("ca_file: '{}', {by_file}", pem("stranger.pem").display()), false),
        ("without-certificate", format!("ca_file: '{}'", ca.display()), false),
    ];
    let proxy = Recorder::start(|_, _| Some(("502 No".to_string(), String::new())));
    let url = format!("https://localhost:{}/api/v1/write", central.port);
    let mut entries: Vec<String> = cases
        .iter()
        .map(|(name, tls, _)| {
            format!("- url: {url}\n  name: {name}\n  enable_http2: true\n  tls_config: {{{tls}}}\n  queue_config: {{batch_send_deadline: 200ms, max_backoff: 1s}}\n")
        })
        .collect();
    entries.push(format!("- url: {url}\n  name: tunnel\n  proxy_url: 'http://{}'\n  proxy_connect_header: {{X-Way: [through]}}\n", proxy.address));
    let target = PageTarget::start("application/openmetrics-text; version=1.0.0; charset=utf-8", PAGE);
    let mut leaf =
        Server::new(Kind::Narthex, "leaf", &config("", &[crate::tools::job("page", &target.address, "")], &entries), &[]).expect("our own");
    leaf.expect_log(&["failed to send batch, retrying", "flush deadline reached"]);
    leaf.start();
    let sent = |name: &str| own_metric(&leaf, &format!("narthex_uplink_acked_timestamp_seconds{{remote_name=\"{name}\""));
    let pushed = |name: &str| own_metric(&leaf, &format!("prometheus_remote_storage_samples_total{{remote_name=\"{name}\""));
    for (name, tls, good) in &cases {
        if *good {
            wait_for(&format!("{name} to be taken: {tls}"), seconds(30), || (pushed(name) > 0.0 && sent(name) > 0.0).then_some(()));
        } else {
            wait_for(&format!("{name} to be tried: {tls}"), seconds(30), || {
                (own_metric(&leaf, &format!("prometheus_remote_storage_samples_retried_total{{remote_name=\"{name}\"")) > 0.0).then_some(())
            });
            assert_eq!(pushed(name), 0.0, "{name}");
        }
    }
    wait_for("the tunnel to be asked for", seconds(20), || {
        proxy
            .asked()
            .iter()
            .any(|a| a.line.starts_with(&format!("CONNECT localhost:{}", central.port)) && a.header("x-way") == "through")
            .then_some(())
    });
    leaf.kill();
    central.kill();
}

/// What can be read but not done is named when a server would start with it.
#[test]
fn keys_that_are_refused() {
    let certificate = format!("azuread: {{certificate: {{client_id: {ID}, tenant_id: t, certificate_path: /x}}}}");
    for (yaml, words) in [
        (certificate.as_str(), "azuread.certificate"),
        ("google_iam: {credentials_file: /x}", "google_iam"),
        ("headers: {Content-Type: x}", "reserved header"),
        ("basic_auth: {username: a}\n  bearer_token: x", "at most one of"),
        ("sigv4: {}\n  azuread: {sdk: {}}", "at most one of"),
        ("queue_config: {max_shards: 0}", "max_shards must be positive"),
        ("queue_confg: {}", "queue_confg"),
        ("tls_config: {cert_file: a}", "key_file must be configured"),
    ] {
        let text = config("", &[], &[format!("- url: http://127.0.0.1:1/\n  {yaml}\n")]);
        let server = Server::narthex("refused", &text, &[]);
        let out = server.command().output().expect("runs");
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && log.contains(words), "{yaml}: {log}");
    }
}
