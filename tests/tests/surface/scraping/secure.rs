//! Scrapes over TLS and through proxies, beside a real Prometheus: who gets through, who does not, and what the proxy was asked.

use super::{Fake, Said, TEXT, errors, pages, scraped};
use crate::tls::file;
use narthex_tests::{Kind, Server, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Name of a job, its scheme, further keys, whether its target is up.
const JOBS: &[(&str, &str, &str, bool)] = &[
    ("good", "https", "tls_config: {ca_file: CA, cert_file: A, key_file: A}", true),
    ("inline", "https", "tls_config: {ca: INLINE_CA, cert: INLINE_CERT, key: INLINE_KEY}", true),
    ("no-certificate", "https", "tls_config: {ca_file: CA}", false),
    ("stranger", "https", "tls_config: {ca_file: CA, cert_file: STRANGER, key_file: STRANGER}", false),
    ("unknown-ca", "https", "tls_config: {cert_file: A, key_file: A}", false),
    ("not-verified", "https", "tls_config: {insecure_skip_verify: true, cert_file: A, key_file: A}", true),
    ("other-name", "https", "tls_config: {ca_file: CA, cert_file: A, key_file: A, server_name: elsewhere.example}", false),
    ("own-name", "https", "tls_config: {ca_file: CA, cert_file: A, key_file: A, server_name: localhost}", true),
    ("http1", "https", "enable_http2: false\ntls_config: {ca_file: CA, cert_file: A, key_file: A}", true),
    ("tls13", "https", "tls_config: {ca_file: CA, cert_file: A, key_file: A, min_version: TLS13}", true),
    ("tls12", "https", "tls_config: {ca_file: CA, cert_file: A, key_file: A, max_version: TLS12}", true),
    ("plain-to-tls", "http", "", false),
    ("tunnel", "https", "proxy_url: 'http://me:secret@TUNNEL'\ntls_config: {ca_file: CA, cert_file: A, key_file: A}", true),
    (
        "tunnel-header",
        "https",
        "proxy_url: 'http://TUNNEL'\nproxy_connect_header: {X-Site: [6반]}\ntls_config: {ca_file: CA, cert_file: A, key_file: A}",
        true,
    ),
    ("not-through", "https", "proxy_url: 'http://127.0.0.1:1'\nno_proxy: '127.0.0.1'\ntls_config: {ca_file: CA, cert_file: A, key_file: A}", true),
    ("dead-proxy", "https", "proxy_url: 'http://127.0.0.1:1'\ntls_config: {ca_file: CA, cert_file: A, key_file: A}", false),
    ("forwarded", "http", "proxy_url: 'http://me:secret@FORWARD'\nparams: {a: [b]}", true),
];

type Seen = Arc<Mutex<BTreeSet<String>>>;

/// Takes CONNECT and passes bytes both ways.
fn tunnel(seen: Seen) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for c in listener.incoming().flatten() {
            let seen = seen.clone();
            std::thread::spawn(move || drop(pass(c, &seen)));
        }
    });
    address
}

fn pass(mut c: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut b = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
        c.read_exact(&mut b)?;
        head.push(b[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let of = |name: &str| head.lines().find(|l| l.to_ascii_lowercase().starts_with(name)).and_then(|l| l.split_once(": ")).map(|(_, v)| v);
    let first = head.lines().next().unwrap_or("").to_string();
    seen.lock().expect("not poisoned").insert(format!("{first} | {:?} | {:?}", of("proxy-authorization"), of("x-site")));
    let there = TcpStream::connect(first.split(' ').nth(1).unwrap_or(""))?;
    c.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut back, mut client) = (there.try_clone()?, c.try_clone()?);
    std::thread::spawn(move || drop((std::io::copy(&mut back, &mut client), client.shutdown(std::net::Shutdown::Both))));
    let mut there = there;
    let done = std::io::copy(&mut c, &mut there).map(drop);
    there.shutdown(std::net::Shutdown::Both)?;
    done
}

fn config(target: u16, tunnel: &str, forward: &str) -> String {
    let path = |name: &str| file(name).display().to_string();
    let pem = std::fs::read_to_string(file("client-a.pem")).expect("test data");
    let at = pem.find("-----BEGIN CERTIFICATE").expect("a certificate");
    let quoted = |s: &str| serde_json::to_string(s).expect("a string");
    let (key, certificate) = if at == 0 { pem.split_at(pem.find("-----BEGIN EC").expect("a key")) } else { pem.split_at(at) };
    let (key, certificate) = if at == 0 { (certificate, key) } else { (key, certificate) };
    let ca = std::fs::read_to_string(file("ca.pem")).expect("test data");
    let mut c = "global: {scrape_interval: 1s, scrape_timeout: 900ms}\nscrape_configs:\n".to_string();
    for (name, scheme, more, _) in JOBS {
        c.push_str(&format!("- job_name: {name}\n  scheme: {scheme}\n  static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"));
        let more = more.replace("INLINE_CA", &quoted(&ca)).replace("INLINE_CERT", &quoted(certificate)).replace("INLINE_KEY", &quoted(key));
        let more = more.replace(": CA", &format!(": {}", path("ca.pem"))).replace(": A", &format!(": {}", path("client-a.pem")));
        let more = more.replace(": STRANGER", &format!(": {}", path("stranger.pem"))).replace("TUNNEL", tunnel).replace("FORWARD", forward);
        for line in more.lines() {
            c.push_str(&format!("  {line}\n"));
        }
    }
    c
}

struct Side {
    server: Server,
    up: BTreeMap<String, f64>,
    seen: BTreeSet<String>,
}

fn side(kind: Kind, target: u16) -> Option<Side> {
    let seen = Seen::default();
    let forwarded = seen.clone();
    let forward = Fake::start(move |a| {
        let line = format!("{} {}?{} | {:?}", a.method, a.path, a.query, a.header("proxy-authorization"));
        forwarded.lock().expect("not poisoned").insert(line);
        Said::text(TEXT, pages::TEXT)
    });
    let tunnel = tunnel(seen.clone());
    let name = if kind == Kind::Narthex { "narthex" } else { "prometheus" };
    let mut server = Server::new(kind, name, &config(target, &tunnel, &forward.address), &[])?;
    server.expect_log(&["scrape", "target"]);
    server.start();
    let jobs: Vec<(&str, &str, &str)> = JOBS.iter().map(|(n, ..)| (*n, "", "")).collect();
    scraped(&server, &jobs);
    let up = JOBS.iter().map(|(n, ..)| (n.to_string(), server.value(&format!("max_over_time(up{{job=\"{n}\"}}[3s])")).expect("scraped"))).collect();
    let seen =
        seen.lock().expect("not poisoned").iter().map(|l| l.replace(&forward.address, "FORWARD").replace(&target.to_string(), "TARGET")).collect();
    Some(Side { server, up, seen })
}

#[test]
fn over_tls_and_through_proxies() {
    let Some(mut target) = Server::new(Kind::Prometheus, "target", "", &[]) else { return };
    let dir = file("").display().to_string();
    let web = format!(
        "tls_server_config: {{cert_file: {d}/server.pem, key_file: {d}/server.pem, client_auth_type: RequireAndVerifyClientCert, client_ca_file: {d}/ca.pem}}\n",
        d = dir.trim_end_matches('/')
    );
    let path = target.path().join("web.yml");
    std::fs::write(&path, web).expect("writes");
    target.add_args(&[&format!("--web.config.file={}", path.display())]);
    target.spawn();
    wait_for("the target to listen", Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", target.port)).ok());
    let theirs = side(Kind::Prometheus, target.port).expect("the target is one too");
    let ours = side(Kind::Narthex, target.port).expect("our own binary");
    let wanted: BTreeMap<String, f64> = JOBS.iter().map(|(n, _, _, up)| (n.to_string(), f64::from(u8::from(*up)))).collect();
    assert_eq!(theirs.up, wanted, "the table is not of Prometheus: {:#?}", errors(&theirs.server));
    assert_eq!(ours.up, wanted, "{:#?}", errors(&ours.server));
    for (job, _, _, up) in JOBS {
        let said = errors(&ours.server)[*job].clone();
        assert!(*up == said.is_empty(), "{job}: {said:?}");
        assert!(!said.contains("secret"), "{job}: {said}");
    }
    assert_eq!(ours.seen, theirs.seen, "what the proxies were asked");
}
