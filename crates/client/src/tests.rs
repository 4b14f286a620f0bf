//! Against servers on loopback in this process.

use super::*;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stdx::clock::{ManualClock, SystemClock};
use stdx::fs::RealFs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Reply = http::Response<Full<Bytes>>;
/// Head and body of a request.
type Asked = http::Request<Bytes>;

async fn listen() -> (TcpListener, SocketAddr) {
    let l = TcpListener::bind("127.0.0.1:0").await.expect("bind loopback");
    let at = l.local_addr().expect("bound");
    (l, at)
}

async fn serve_on<S>(stream: S, answer: Arc<dyn Fn(Asked) -> Reply + Send + Sync>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |r: http::Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (head, body) = r.into_parts();
            let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            Ok::<_, Infallible>(answer(http::Request::from_parts(head, body)))
        }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// A server; also how many connections it took.
async fn serve(answer: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let (listener, at) = listen().await;
    let answer: Arc<dyn Fn(Asked) -> Reply + Send + Sync> = Arc::new(answer);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve_on(stream, Arc::clone(&answer)));
        }
    });
    (format!("http://{at}"), connections)
}

async fn serve_tls(cert: &'static str, key: &'static str, client_ca: Option<&'static str>) -> String {
    let (listener, at) = listen().await;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert.as_bytes()).map(|c| c.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca.as_bytes()).filter_map(Result::ok));
            let v = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
            builder.with_client_cert_verifier(v)
        }
    };
    let mut config = builder.with_single_cert(chain, key).expect("they fit");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_on(stream, Arc::new(|r: Asked| text(format!("{:?}", r.version())))).await;
                }
            });
        }
    });
    format!("https://localhost:{}", at.port())
}

fn text(s: impl Into<Bytes>) -> Reply {
    http::Response::new(Full::new(s.into()))
}

fn status(code: u16) -> Reply {
    let mut r = text("");
    *r.status_mut() = StatusCode::from_u16(code).expect("a status");
    r
}

fn echo_header(r: &Asked, name: &str) -> Reply {
    text(r.headers().get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect::<Vec<_>>().join("|"))
}

fn options() -> Options {
    Options::new(SystemClock::shared(), Arc::new(RealFs))
}

fn config(yaml: &str) -> HttpConfig {
    yaml::from_str(yaml, &yaml::Options::default()).expect(yaml)
}

fn client(yaml: &str) -> HttpClient {
    HttpClient::new(&config(yaml), "test", &options()).expect("the config works")
}

async fn get(client: &HttpClient, url: &str) -> Result<String, Error> {
    let answer = client.send(Request::get(url)?.timeout(Duration::from_secs(20))).await?;
    Ok(String::from_utf8_lossy(&answer.bytes(1 << 20).await?).into_owned())
}

#[test]
fn configs_that_contradict_themselves_are_refused() {
    for (text, expect) in [
        ("bearer_token: a\nbearer_token_file: b", "at most one of bearer_token & bearer_token_file must be configured"),
        ("bearer_token: a\nbasic_auth: {username: u}", "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"),
        ("authorization: {}\nbasic_auth: {username: u}", "at most one of basic_auth, oauth2 & authorization must be configured"),
        ("authorization: {}\nbearer_token: x", "authorization is not compatible with bearer_token & bearer_token_file"),
        ("authorization: {type: Basic}", "authorization type cannot be set to \"basic\", use \"basic_auth\" instead"),
        ("oauth2: {token_url: x}", "oauth2 client_id must be configured"),
        ("oauth2: {client_id: x}", "oauth2 token_url must be configured"),
        ("no_proxy: a", "if no_proxy is configured, proxy_url must also be configured"),
        ("proxy_from_environment: true\nproxy_url: http://a", "if proxy_from_environment is configured, proxy_url must not be configured"),
        ("tls_config: {cert_file: a}", "exactly one of key or key_file must be configured when a client certificate is configured"),
        ("tls_config: {min_version: TLS9}", "unknown TLS version: \"TLS9\""),
        ("http_headers: {authorization: {values: [a]}}", "setting header \"Authorization\" is not allowed"),
        ("tls_config: {ca_fil: a}", "field ca_fil not found in type config.plain"),
    ] {
        let e = yaml::from_str::<HttpConfig>(text, &yaml::Options::default()).expect_err(text).to_string();
        assert!(e.ends_with(expect), "{text}: {e}");
    }
    let c = config("bearer_token: secret");
    assert_eq!(yaml::to_string(&c), "authorization:\n  type: Bearer\n  credentials: <secret>\nfollow_redirects: true\nenable_http2: true\n");
}

#[tokio::test]
async fn connections_are_kept() {
    let (url, connections) = serve(|r| echo_header(&r, "user-agent")).await;
    let c = client("");
    for _ in 0..5 {
        assert!(get(&c, &url).await.expect("an answer").starts_with("Narthex/"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn credentials_are_sent_and_read_again() {
    let (url, _) = serve(|r| echo_header(&r, "authorization")).await;
    let check = async |yaml: &str, expect: &str| assert_eq!(get(&client(yaml), &url).await.expect("an answer"), expect, "{yaml}");
    check("", "").await;
    check("basic_auth: {username: u, password: p}", "Basic dTpw").await;
    check("authorization: {credentials: abc}", "Bearer abc").await;
    check("authorization: {type: Token, credentials: abc}", "Token abc").await;
    let with_user = url.replace("http://", "http://u:p@");
    assert_eq!(get(&client(""), &with_user).await.expect("an answer"), "Basic dTpw");

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("token");
    let write = |s: &str| stdx::fs::write_atomic(&RealFs, &path, s.as_bytes()).expect("written");
    let c = client(&format!("authorization: {{credentials_file: {}}}", path.display()));
    let missing = get(&c, &url).await.expect_err("no such file").to_string();
    assert!(missing.starts_with("unable to read authorization credentials file "), "{missing}");
    for token in ["one", "two"] {
        write(&format!("{token}\n"));
        assert_eq!(get(&c, &url).await.expect("an answer"), format!("Bearer {token}"));
    }
}

#[tokio::test]
async fn custom_headers_are_sent() {
    let (url, _) = serve(|r| echo_header(&r, "x-a")).await;
    assert_eq!(get(&client("http_headers: {X-A: {values: [a, b], secrets: [c]}}"), &url).await.expect("an answer"), "a|b|c");
}

#[tokio::test]
async fn redirects_are_followed_without_giving_credentials_away() {
    let (other, _) = serve(|r| echo_header(&r, "authorization")).await;
    let other = other.replace("127.0.0.1", "localhost");
    let (url, _) = serve(move |r| match r.uri().path() {
        "/away" => {
            let mut answer = status(302);
            answer.headers_mut().insert("location", other.parse().expect("a value"));
            answer
        }
        "/loop" => {
            let mut answer = status(307);
            answer.headers_mut().insert("location", HeaderValue::from_static("/loop"));
            answer
        }
        "/post" => {
            let mut answer = status(if r.method() == Method::POST { 308 } else { 200 });
            answer.headers_mut().insert("location", HeaderValue::from_static("here"));
            answer
        }
        _ => text(format!("{} {:?} {}", r.method(), r.body(), r.headers().contains_key("authorization"))),
    })
    .await;
    let c = client("authorization: {credentials: abc}");
    assert_eq!(get(&c, &format!("{url}/away")).await.expect("an answer"), "");
    assert_eq!(get(&c, &format!("{url}/loop")).await.expect_err("no end").to_string(), "stopped after 10 redirects");
    let post = Request::post(&format!("{url}/post"), "text/plain", "hello").expect("a request");
    let answer = c.send(post.clone()).await.expect("an answer").bytes(100).await.expect("a body");
    assert_eq!(String::from_utf8_lossy(&answer), "POST b\"hello\" true");
    let still = client("follow_redirects: false").send(post).await.expect("an answer");
    assert_eq!(still.status, 308);
}

#[tokio::test]
async fn bodies_are_decoded_and_bounded() {
    let plain = "x".repeat(100_000);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(plain.as_bytes()).expect("memory");
    let packed = gz.finish().expect("memory");
    let (url, _) = serve(move |r| {
        let cut = if r.uri().path() == "/cut" { packed.len() / 2 } else { packed.len() };
        let mut answer = text(packed[..cut].to_vec());
        answer.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
        answer
    })
    .await;
    let c = client("");
    let read = async |path: &str, limit: usize| {
        let mut out = b"kept".to_vec();
        let answer = c.send(Request::get(&format!("{url}{path}")).expect("a url")).await.expect("an answer");
        answer.read(&mut out, limit).await.map(|()| out)
    };
    assert_eq!(read("/", 100_000).await.expect("fits").len(), 100_004);
    assert_eq!(read("/", 99_999).await.expect_err("one too many").kind(), ErrorKind::TooLarge);
    assert_eq!(read("/cut", 1 << 20).await.expect_err("half").kind(), ErrorKind::Decode);
}

#[tokio::test]
async fn what_goes_wrong_is_named() {
    let (listener, at) = listen().await;
    let c = client("");
    let slow = Request::get(&format!("http://{at}")).expect("a url").timeout(Duration::from_millis(30));
    let e = c.send(slow).await.expect_err("nobody answers");
    assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Timeout, "context deadline exceeded"));
    drop(listener);
    let e = get(&c, &format!("http://{at}")).await.expect_err("nobody listens");
    assert_eq!(e.to_string(), format!("dial tcp {at}: connect: connection refused"));
    let e = Request::get("ftp://x").expect_err("a scheme").to_string();
    assert_eq!(e, "parse \"ftp://x\": unsupported protocol scheme \"ftp\"");
    assert!(Request::get("http://x/a b{}").is_ok(), "what needs escapes gets them");
}

const CA: &str = include_str!("testdata/ca.pem");
const SERVER: (&str, &str) = (include_str!("testdata/server.pem"), include_str!("testdata/server.key"));
const SELF: (&str, &str) = (include_str!("testdata/self.pem"), include_str!("testdata/self.key"));

fn block(key: &str, pem: &str) -> String {
    format!("  {key}: |\n{}", pem.lines().map(|l| format!("    {l}\n")).collect::<String>())
}

#[tokio::test]
async fn tls_knows_whom_to_trust() {
    let url = serve_tls(SERVER.0, SERVER.1, None).await;
    let ca = format!("tls_config:\n{}", block("ca", CA));
    assert_eq!(get(&client(&ca), &url).await.expect("trusted"), "HTTP/2.0");
    assert_eq!(get(&client(&format!("{ca}enable_http2: false\n")), &url).await.expect("trusted"), "HTTP/1.1");
    assert_eq!(get(&client("tls_config: {insecure_skip_verify: true}"), &url).await.expect("anyone"), "HTTP/2.0");
    let e = get(&client(&format!("{ca}  server_name: other\n")), &url).await.expect_err("another name");
    assert_eq!(e.kind(), ErrorKind::Connect, "{e}");
    let own = serve_tls(SELF.0, SELF.1, None).await;
    assert!(get(&client(&ca), &own).await.is_err(), "signed by nobody we know");
    assert_eq!(get(&client(&format!("tls_config:\n{}", block("ca", SELF.0))), &own).await.expect("known as such"), "HTTP/2.0");
}

#[tokio::test]
async fn tls_shows_who_we_are_and_follows_its_files() {
    let url = serve_tls(SERVER.0, SERVER.1, Some(CA)).await;
    let ca = format!("tls_config:\n{}", block("ca", CA));
    assert!(get(&client(&ca), &url).await.is_err(), "the server wants a certificate");
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, s: &str| {
        let path = dir.path().join(name);
        stdx::fs::write_atomic(&RealFs, &path, s.as_bytes()).expect("written");
        path.display().to_string()
    };
    let (cert, key) = (write("cert", SELF.0), write("key", SELF.1));
    let c = client(&format!("{ca}  cert_file: {cert}\n  key_file: {key}\n"));
    assert!(get(&c, &url).await.is_err(), "not one that the server knows");
    write("cert", SERVER.0);
    write("key", SERVER.1);
    assert_eq!(get(&c, &url).await.expect("the new one"), "HTTP/2.0");
    let refused = |text: &str| HttpClient::new(&config(text), "t", &options()).expect_err(text).to_string();
    assert_eq!(refused("tls_config: {ca: nonsense}"), "unable to use specified CA cert in the config");
    assert!(refused("tls_config: {ca_file: /no/such}").starts_with("unable to read CA file /no/such: "));
    assert!(refused("tls_config: {max_version: TLS11}").starts_with("no supported tls version"));
}

#[tokio::test]
async fn proxies_forward_and_tunnel() {
    let (listener, at) = listen().await;
    // A proxy that notes the first line and the credentials, answers plain requests itself and connects the others.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a head"));
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let first = head.lines().next().unwrap_or_default().to_string();
                if let Some(target) = first.strip_prefix("connect ").and_then(|r| r.split(' ').next()) {
                    let ok = head.contains("x-extra: yes");
                    let answer = if ok { "HTTP/1.1 200 fine\r\n\r\n" } else { "HTTP/1.1 407 who are you\r\n\r\n" };
                    stream.write_all(answer.as_bytes()).await.expect("sent");
                    if ok && let Ok(mut to) = TcpStream::connect(target).await {
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
                    }
                } else {
                    let body = format!("{first} {}", head.contains("proxy-authorization: basic dtpw"));
                    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
                }
            });
        }
    });
    let plain = client(&format!("proxy_url: http://u:p@{at}"));
    assert_eq!(get(&plain, "http://no.such.host/x").await.expect("forwarded"), "get http://no.such.host/x http/1.1 true");
    let url = serve_tls(SERVER.0, SERVER.1, None).await;
    let ca = block("ca", CA);
    let with = client(&format!("proxy_url: http://{at}\nproxy_connect_header: {{X-Extra: [yes]}}\ntls_config:\n{ca}"));
    assert_eq!(get(&with, &url).await.expect("tunnelled"), "HTTP/2.0");
    let e = get(&client(&format!("proxy_url: http://{at}\ntls_config:\n{ca}")), &url).await.expect_err("refused");
    assert_eq!(e.to_string(), "proxy refused to connect: HTTP/1.1 407 who are you");
    let direct = client(&format!("proxy_url: http://{at}\nno_proxy: example.com\ntls_config:\n{ca}"));
    assert_eq!(get(&direct, &url).await.expect("the machine itself needs no proxy"), "HTTP/2.0");
}

#[tokio::test]
async fn tokens_are_fetched_kept_and_renewed() {
    let issued = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&issued);
    let (tokens, _) = serve(move |r| {
        let body = String::from_utf8_lossy(r.body()).into_owned();
        if body != "grant_type=client_credentials&scope=a+b&x=y&client_id=id&client_secret=s%26t" {
            return status(401);
        }
        let n = count.fetch_add(1, Ordering::SeqCst);
        text(format!("{{\"access_token\":\"t{n}\",\"token_type\":\"bearer\",\"expires_in\":60}}"))
    })
    .await;
    let (url, _) = serve(|r| echo_header(&r, "authorization")).await;
    let clock = ManualClock::at_ms(1_000_000);
    let oauth = format!("oauth2: {{client_id: id, client_secret: s&t, scopes: [a, b], endpoint_params: {{x: y}}, token_url: \"{tokens}/token\"}}");
    let c = HttpClient::new(&config(&oauth), "test", &Options::new(clock.clone(), Arc::new(RealFs))).expect("the config works");
    for (after_s, expect) in [(0, "Bearer t0"), (49, "Bearer t0"), (2, "Bearer t1")] {
        clock.advance(Duration::from_secs(after_s));
        assert_eq!(get(&c, &url).await.expect("an answer"), expect);
    }
    assert_eq!(issued.load(Ordering::SeqCst), 2);
}
