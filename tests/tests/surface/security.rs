//! `--web.config.file` from outside: TLS in all its settings, authentication, who may do what.

use crate::tls::{Client, certificate, file};
use crate::wire::{self, Series};
use narthex_tests::{Answer, CounterTarget, Server, now, request, wait_for};
use std::time::Duration;

/// A server with a web configuration file; `{DIR}` in it is the folder of the test's certificates.
fn server(web: &str, config: &str, args: &[&str]) -> Server {
    let dir = file("");
    // The file must be there before the server knows where it lies.
    let mut s = Server::narthex("secured", config, args);
    std::fs::write(s.path().join("web.yml"), web.replace("{DIR}", dir.to_str().expect("UTF-8").trim_end_matches('/'))).expect("writes");
    s.add_args(&[&format!("--web.config.file={}", s.path().join("web.yml").display())]);
    s.spawn();
    s
}

fn started_plain(web: &str, config: &str, args: &[&str]) -> Server {
    let s = server(web, config, args);
    wait_for("the server to answer", Duration::from_secs(30), || get(&s, "/-/ready", &[]).ok().filter(|a| a.status != 503));
    s
}

fn started_tls(web: &str) -> Server {
    let s = server(web, "", &[]);
    wait_for("the server to listen", Duration::from_secs(30), || std::net::TcpStream::connect(("127.0.0.1", s.port)).ok());
    s
}

fn get(s: &Server, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Answer> {
    request("GET", &format!("{}{path}", s.url()), headers, b"")
}

const TLS: &str = "tls_server_config:\n  cert_file: {DIR}/server.pem\n  key_file: {DIR}/server.pem\n";

#[test]
fn client_certificates_by_kind_of_authentication() {
    let ca = "  client_ca_file: {DIR}/ca.pem\n";
    for (kind, ca, none, known, stranger) in [
        ("NoClientCert", "", true, true, true),
        ("RequestClientCert", "", true, true, true),
        ("RequireAnyClientCert", "", false, true, true),
        ("VerifyClientCertIfGiven", ca, true, true, false),
        ("RequireAndVerifyClientCert", ca, false, true, false),
    ] {
        let s = started_tls(&format!("{TLS}  client_auth_type: {kind}\n{ca}"));
        for (certificate, expected) in [("", none), ("client-a.pem", known), ("stranger.pem", stranger)] {
            let got = wait_ready(&Client { certificate, ..Client::default() }, &s, expected);
            assert_eq!(got, expected, "{kind} with {certificate:?}");
        }
    }
}

/// Whether a request comes through; asks until the server is ready when it should.
fn wait_ready(c: &Client, s: &Server, expected: bool) -> bool {
    if !expected {
        return c.get(s.port, "/-/healthy", &[]).is_ok_and(|d| d.status == 200);
    }
    for _ in 0..50 {
        if c.get(s.port, "/-/healthy", &[]).is_ok_and(|d| d.status == 200) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

#[test]
fn allowed_names_of_clients() {
    let s = started_tls(&format!(
        "{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: {{DIR}}/ca.pem\n  client_allowed_sans: ['spiffe://tree/leaf-a', other.example]\n"
    ));
    let with = |certificate| Client { certificate, ..Client::default() };
    assert!(wait_ready(&with("client-a.pem"), &s, true));
    assert!(wait_ready(&with(""), &s, true), "no certificate, no names to check");
    assert!(!wait_ready(&with("client-b.pem"), &s, false));
}

#[test]
fn versions_suites_curves_and_http2() {
    let s = started_tls(&format!(
        "{TLS}  min_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  curve_preferences: [CurveP384]\n"
    ));
    let old = Client { versions: vec![&rustls::version::TLS12], alpn: vec!["h2", "http/1.1"], ..Client::default() };
    assert!(wait_ready(&Client::default(), &s, true));
    let done = old.get(s.port, "/-/healthy", &[]).expect("TLS 1.2");
    assert_eq!(
        (done.suite.as_str(), done.group.as_str(), done.alpn.as_deref()),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "secp384r1", Some("h2"))
    );
    let s = started_tls(&format!("{TLS}  min_version: TLS13\nhttp_server_config: {{http2: false}}\n"));
    assert!(wait_ready(&Client::default(), &s, true));
    assert!(old.get(s.port, "/-/healthy", &[]).is_err(), "TLS 1.2 is below the minimum");
    let new = Client { alpn: vec!["h2", "http/1.1"], ..Client::default() };
    assert_eq!(new.get(s.port, "/-/healthy", &[]).expect("TLS 1.3").alpn.as_deref(), Some("http/1.1"));
}

#[test]
fn a_changed_certificate_is_shown_without_a_restart() {
    let s = server("tls_server_config: {cert_file: cert.pem, key_file: cert.pem}\n", "", &[]);
    let copy = |name: &str| std::fs::copy(file(name), s.path().join("cert.pem")).expect("copies");
    // It did not start without its certificate: now there is one.
    copy("server.pem");
    let mut s = s;
    s.expect_log(&["cert.pem", "web configuration"]);
    s.kill();
    s.spawn();
    let shown = |s: &Server| Client::default().get(s.port, "/-/healthy", &[]).ok().map(|d| d.server);
    wait_for("the first certificate", Duration::from_secs(20), || shown(&s).filter(|c| *c == certificate("server.pem")));
    std::fs::copy(file("server2.pem"), s.path().join("cert.pem")).expect("copies");
    wait_for("the second certificate", Duration::from_secs(20), || shown(&s).filter(|c| *c == certificate("server2.pem")));
    // What is wrong is said and leaves the old one in place.
    std::fs::write(s.path().join("cert.pem"), "nonsense").expect("writes");
    wait_for("the error in the log", Duration::from_secs(20), || s.log().contains("the old one stays").then_some(()));
    assert_eq!(shown(&s), Some(certificate("server2.pem")));
}

fn basic(user: &str, password: &str) -> String {
    const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = "Basic ".to_string();
    for chunk in format!("{user}:{password}").as_bytes().chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            out.push(if i <= chunk.len() { CHARS[(n >> (18 - 6 * i) & 63) as usize] as char } else { '=' });
        }
    }
    out
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).expect("hashes")
}

#[test]
fn users_passwords_headers_and_guesses() {
    let web = format!(
        "basic_auth_users: {{alice: '{}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny, Strict-Transport-Security: max-age=1}}}}\n",
        hash("sesame-7반")
    );
    let s = started_plain(&web, "", &[]);
    let right = basic("alice", "sesame-7반");
    let ask = |path: &str, auth: &str| {
        let headers: &[(&str, &str)] = if auth.is_empty() { &[] } else { &[("Authorization", auth)] };
        get(&s, path, headers).expect("answers")
    };
    for path in ["/api/v1/query?query=1", "/metrics", "/-/healthy", "/-/ready", "/query", "/federate", "/none"] {
        let a = ask(path, "");
        assert_eq!((a.status, a.header("www-authenticate")), (401, Some("Basic")), "{path}");
        assert_eq!(a.header("x-frame-options"), Some("deny"), "{path}");
    }
    let a = ask("/api/v1/query?query=1", &right);
    assert_eq!((a.status, a.header("strict-transport-security")), (200, Some("max-age=1")));
    for wrong in [basic("alice", "sesame"), basic("bob", "sesame-7반"), "Basic ???".to_string(), "Bearer x".to_string(), "Basic".to_string()] {
        assert_eq!(ask("/metrics", &wrong).status, 401, "{wrong}");
    }
    // Whoever guesses is told to wait; whoever is known is not concerned.
    let answers: Vec<u16> = (0..40).map(|i| ask("/metrics", &basic("alice", &format!("guess{i}"))).status).collect();
    assert!(answers.contains(&429), "{answers:?}");
    assert_eq!(ask("/metrics", &right).status, 200);
    assert!(!s.log().contains("guess"), "credentials are not logged");

    let s = started_plain(&format!("{web}open_health_endpoints: true\n"), "", &[]);
    assert_eq!(get(&s, "/-/healthy", &[]).expect("answers").status, 200);
    assert_eq!(get(&s, "/-/ready", &[]).expect("answers").status, 200);
    assert_eq!(get(&s, "/metrics", &[]).expect("answers").status, 401);
}

#[test]
fn requests_beyond_the_rate_limit_are_told_to_wait() {
    let s = started_plain("rate_limit: {burst: 5, interval: 1m}\n", "", &[]);
    let answers: Vec<u16> = (0..20).map(|_| get(&s, "/-/healthy", &[]).expect("answers").status).collect();
    assert_eq!(answers.last(), Some(&429), "{answers:?}");
}

fn clients(dir: &std::path::Path) -> String {
    let token = |name: &str| {
        let path = dir.join(format!("{name}.token"));
        std::fs::write(&path, format!("token-of-the-{name}\n")).expect("writes");
        path.display().to_string()
    };
    format!(
        "clients:\n- {{name: writer, token_file: '{}', may: [write]}}\n- {{name: reader, token_file: '{}', may: [read]}}\n\
         - {{name: admin, token_file: '{}', may: [read, write, admin]}}\n\
         - {{name: class-6, token_file: '{}', may: [read, write], only_labels: {{class: 6반}}}}\n",
        token("writer"),
        token("reader"),
        token("admin"),
        token("class-6")
    )
}

fn bearer(name: &str) -> String {
    format!("Bearer token-of-the-{name}")
}

fn push_as(s: &Server, name: &str, series: &[Series<'_>]) -> Answer {
    let auth = bearer(name);
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ("Authorization", auth.as_str()),
    ];
    request("POST", &format!("{}/api/v1/write", s.url()), &headers, &wire::snappy(&wire::write_request(series))).expect("answers")
}

#[test]
fn clients_may_do_what_they_may_and_a_leaf_writes_as_itself_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--web.enable-lifecycle", "--web.enable-otlp-receiver"];
    let mut s = server(&clients(dir.path()), "", &args);
    s.expect_log(&["may only write series with", "refused samples"]);
    wait_for("the server", Duration::from_secs(30), || get(&s, "/-/ready", &[("Authorization", &bearer("reader"))]).ok().filter(|a| a.status == 200));
    let ask = |name: &str, method: &str, path: &str| {
        let auth = bearer(name);
        let headers: &[(&str, &str)] = if name.is_empty() { &[] } else { &[("Authorization", &auth)] };
        request(method, &format!("{}{path}", s.url()), headers, b"").expect("answers").status
    };
    for (name, method, path, status) in [
        ("", "GET", "/api/v1/query?query=1", 401),
        ("nobody", "GET", "/api/v1/query?query=1", 401),
        ("", "GET", "/-/healthy", 401),
        ("writer", "GET", "/-/healthy", 200),
        ("writer", "GET", "/api/v1/query?query=1", 403),
        ("writer", "GET", "/metrics", 403),
        ("writer", "POST", "/-/quit", 403),
        ("reader", "GET", "/api/v1/query?query=1", 200),
        ("reader", "GET", "/federate?match[]=up", 200),
        ("reader", "POST", "/api/v1/write", 403),
        ("reader", "POST", "/api/v1/otlp/v1/metrics", 403),
        ("reader", "POST", "/-/reload", 403),
        ("reader", "POST", "/api/v1/admin/tsdb/clean_tombstones", 403),
        ("admin", "POST", "/-/reload", 200),
        ("admin", "POST", "/api/v1/admin/tsdb/clean_tombstones", 204),
        ("class-6", "GET", "/api/v1/targets", 403),
        ("class-6", "GET", "/api/v1/status/config", 403),
        ("class-6", "POST", "/api/v1/otlp/v1/metrics", 403),
        ("class-6", "POST", "/api/v1/read", 403),
    ] {
        assert_eq!(ask(name, method, path), status, "{name} {method} {path}");
    }
    let t = (now() * 1000.0) as i64 - 5000;
    let samples = [(t, 1.0), (t + 1000, 2.0)];
    let (six, seven) = ([("__name__", "x"), ("class", "6반")], [("__name__", "x"), ("class", "7반")]);
    let none = [("__name__", "x")];
    assert_eq!(push_as(&s, "reader", &[Series { labels: &six, samples: &samples }]).status, 403);
    assert_eq!(push_as(&s, "writer", &[Series { labels: &seven, samples: &samples }]).status, 204);
    let a = push_as(&s, "class-6", &[Series { labels: &six, samples: &samples }, Series { labels: &none, samples: &samples }]);
    assert!(a.status == 400 && a.text().contains("class=\"6반\"") && !a.text().contains("7반"), "{} {}", a.status, a.text());
    let later = [(t + 2000, 3.0)];
    let a = push_as(&s, "class-6", &[Series { labels: &seven, samples: &later }]);
    assert_eq!(a.status, 400, "{}", a.text());
    // What it may write was written, what it may not was not, and it sees only its own.
    let count = |name: &str, query: &str| {
        let auth = bearer(name);
        let form = format!("query={query}");
        let headers = [("Authorization", auth.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        let a = request("POST", &format!("{}/api/v1/query", s.url()), &headers, form.as_bytes()).expect("answers").json();
        narthex_tests::vector(&a).first().map(|(_, v)| *v)
    };
    assert_eq!(count("reader", "sum(count_over_time(x[1m]))"), Some(4.0));
    assert_eq!(count("class-6", "sum(count_over_time(x[1m]))"), Some(2.0));
    assert_eq!(count("class-6", "x{class=\"7반\"}"), None);
    let seen = |path: &str| {
        request("GET", &format!("{}{path}", s.url()), &[("Authorization", &bearer("class-6"))], b"").expect("answers").json()["data"].clone()
    };
    assert_eq!(seen("/api/v1/label/class/values"), serde_json::json!(["6반"]));
    assert_eq!(seen("/api/v1/series?match[]=x").as_array().map(Vec::len), Some(1));
    let log = s.log();
    assert!(!log.contains("token-of-the"), "tokens are not logged");
}

#[test]
fn a_leaf_with_a_token_pushes_what_is_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let central = server(&clients(dir.path()), "", &["--web.enable-remote-write-receiver"]);
    let auth = bearer("reader");
    wait_for("the central", Duration::from_secs(30), || get(&central, "/-/ready", &[("Authorization", &auth)]).ok().filter(|a| a.status == 200));
    let target = CounterTarget::start(0);
    let leaf = |class: &str| {
        let config = format!(
            "global: {{scrape_interval: 1s, external_labels: {{class: {class}}}}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n\
             remote_write:\n- url: {}/api/v1/write\n  queue_config: {{batch_send_deadline: 200ms}}\n  authorization: {{credentials_file: '{}/class-6.token'}}\n",
            target.address,
            central.url(),
            dir.path().display()
        );
        let mut s = Server::narthex("leaf", &config, &[]);
        s.expect_log(&["may only write"]);
        s.start();
        s
    };
    let _own = leaf("6반");
    let mut foreign = leaf("7반");
    foreign.expect_log(&["400", "refused", "emote"]);
    let value = |query: &str| {
        let headers = [("Authorization", auth.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        let a = request("POST", &format!("{}/api/v1/query", central.url()), &headers, format!("query={query}").as_bytes()).ok()?.json();
        narthex_tests::vector(&a).first().map(|(_, v)| *v)
    };
    wait_for("what the leaf pushed", Duration::from_secs(30), || value("scrapes_total{class=\"6반\"}"));
    wait_for("that the other was refused", Duration::from_secs(30), || {
        foreign
            .value("sum(prometheus_remote_storage_samples_failed_total)")
            .or_else(|| central.log().contains("may only write series").then_some(1.0))
    });
    assert_eq!(value("scrapes_total{class=\"7반\"}"), None);
    let mut central = central;
    central.expect_log(&["may only write series"]);
}

#[test]
fn a_client_is_known_by_its_certificate() {
    let s = started_tls(&format!(
        "{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: {{DIR}}/ca.pem\n\
         clients:\n- {{name: leaf-a, certificate_san: leaf-a.example, may: [read]}}\n- {{name: leaf-b, certificate_san: leaf-b.example, may: [write]}}\n"
    ));
    let status =
        |certificate: &'static str, path: &str| Client { certificate, ..Client::default() }.get(s.port, path, &[]).map(|d| d.status).unwrap_or(0);
    wait_for("the server", Duration::from_secs(30), || (status("client-a.pem", "/-/ready") == 200).then_some(()));
    assert_eq!(status("client-a.pem", "/api/v1/query?query=1"), 200);
    assert_eq!(status("client-b.pem", "/api/v1/query?query=1"), 403);
    assert_eq!(status("", "/api/v1/query?query=1"), 401);
    assert_eq!(status("stranger.pem", "/api/v1/query?query=1"), 0, "its certificate has the right name, but nobody signed it");
}

/// Every place of a configuration where a secret may stand.
const SECRETS: &str = "scrape_configs:\n\
- job_name: basic\n  basic_auth: {username: u, password: SECRET-1}\n  static_configs: [{targets: ['127.0.0.1:1']}]\n\
- job_name: bearer\n  authorization: {credentials: SECRET-2}\n  static_configs: [{targets: ['127.0.0.1:1']}]\n\
- job_name: oauth\n  oauth2: {client_id: c, client_secret: SECRET-3, token_url: 'http://127.0.0.1:1/'}\n  static_configs: [{targets: ['127.0.0.1:1']}]\n\
- job_name: headers\n  http_headers: {X-Key: {secrets: [SECRET-4]}}\n  static_configs: [{targets: ['127.0.0.1:1']}]\n\
- job_name: proxy\n  proxy_url: http://u:SECRET-5@127.0.0.1:1\n  static_configs: [{targets: ['127.0.0.1:1']}]\n\
- job_name: consul\n  consul_sd_configs: [{server: '127.0.0.1:1', token: SECRET-6}]\n\
- job_name: ec2\n  ec2_sd_configs: [{region: x, endpoint: 'http://127.0.0.1:1', access_key: a, secret_key: SECRET-7}]\n\
- job_name: http\n  http_sd_configs: [{url: 'http://u:SECRET-8@127.0.0.1:1/'}]\n\
remote_write:\n\
- {url: 'http://u:SECRET-9@127.0.0.1:1/', name: w, basic_auth: {username: u, password: SECRET-10}}\n\
- {url: 'http://127.0.0.1:1/a', sigv4: {region: x, access_key: a, secret_key: SECRET-11}}\n\
- {url: 'http://127.0.0.1:1/b', headers: {X-Scope: tenant}, http_headers: {X-Key: {secrets: [SECRET-12]}}}\n\
alerting:\n  alertmanagers:\n  - {basic_auth: {username: u, password: SECRET-13}, static_configs: [{targets: ['127.0.0.1:1']}]}\n";

#[test]
fn secrets_are_nowhere_to_be_read() {
    let config = format!("global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n{SECRETS}");
    let web = format!("basic_auth_users: {{u: '{}'}}\n", hash("SECRET-14"));
    let mut s = server(&web, &config, &["--log.level=debug", "--web.enable-lifecycle"]);
    s.expect_log(&["level="]);
    std::fs::write(s.path().join("rules.yml"), "groups:\n- name: g\n  rules:\n  - {alert: X, expr: vector(1)}\n").expect("writes");
    let auth = basic("u", "SECRET-14");
    let ask = |path: &str| request("GET", &format!("{}{path}", s.url()), &[("Authorization", &auth)], b"").map(|a| a.text()).unwrap_or_default();
    wait_for("failed scrapes", Duration::from_secs(60), || (ask("/api/v1/targets").matches("\"health\":\"down\"").count() >= 5).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    // A reload of something wrong, too.
    std::fs::write(s.path().join("prometheus.yml"), format!("{config}  no_such_key: SECRET-15\n")).expect("writes");
    let refused = request("POST", &format!("{}/-/reload", s.url()), &[("Authorization", &auth)], b"").expect("answers");
    assert_eq!(refused.status, 500);
    let paths = [
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/targets",
        "/api/v1/alertmanagers",
        "/api/v1/rules",
        "/api/v1/notifications",
        "/api/v1/tree",
        "/metrics",
        "/api/v1/status/runtimeinfo",
    ];
    let mut told: Vec<(String, String)> = paths.iter().map(|p| ((*p).to_string(), ask(p))).collect();
    assert!(told.iter().all(|(p, t)| t.len() > 2 || p.is_empty()), "every path answers: {told:?}");
    assert!(told[0].1.contains("<secret>"), "{}", told[0].1);
    told.push(("the log".to_string(), s.log()));
    told.push(("the refused reload".to_string(), refused.text()));
    for (place, text) in &told {
        let leaked = text.split("SECRET-").skip(1).map(|t| t.chars().take(2).collect::<String>()).collect::<Vec<_>>();
        assert!(leaked.is_empty(), "{place} has SECRET-{leaked:?}: {}", text.lines().find(|l| l.contains("SECRET-")).unwrap_or(""));
    }
}
