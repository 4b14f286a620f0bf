//! A client that speaks TLS as a test likes: which versions, which suites, with which certificate.

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surface/testdata").join(name)
}

fn chain(name: &str) -> Vec<CertificateDer<'static>> {
    let pem = std::fs::read(file(name)).expect("test data");
    CertificateDer::pem_slice_iter(&pem).map(|c| c.expect("a certificate")).collect()
}

pub fn certificate(name: &str) -> CertificateDer<'static> {
    chain(name).remove(0)
}

pub struct Client {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Of the test data; "" for none.
    pub certificate: &'static str,
    pub alpn: Vec<&'static str>,
}

impl Default for Client {
    fn default() -> Self {
        Client { versions: vec![&rustls::version::TLS12, &rustls::version::TLS13], certificate: "", alpn: Vec::new() }
    }
}

pub struct Done {
    pub status: u16,
    pub suite: String,
    pub group: String,
    pub alpn: Option<String>,
    pub server: CertificateDer<'static>,
}

impl Client {
    /// One request; an error when the handshake or the request came to nothing.
    pub fn get(&self, port: u16, path: &str, headers: &[(&str, &str)]) -> std::io::Result<Done> {
        let head: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        self.send(port, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n").as_bytes())
    }

    pub fn send(&self, port: u16, request: &[u8]) -> std::io::Result<Done> {
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).expect("a CA");
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().expect("a verifier");
        let config =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&self.versions).expect("versions").with_webpki_verifier(verifier);
        let mut config = if self.certificate.is_empty() {
            config.with_no_client_auth()
        } else {
            let key = PrivateKeyDer::from_pem_slice(&std::fs::read(file(self.certificate)).expect("test data")).expect("a key");
            config.with_client_auth_cert(chain(self.certificate), key).expect("a client certificate")
        };
        config.alpn_protocols = self.alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        let tcp = TcpStream::connect(("127.0.0.1", port))?;
        tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut s = StreamOwned::new(ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?, tcp);
        s.conn.complete_io(&mut s.sock)?;
        let alpn = s.conn.alpn_protocol().map(|a| String::from_utf8_lossy(a).into_owned());
        let suite = s.conn.negotiated_cipher_suite().and_then(|c| c.suite().as_str()).unwrap_or("").to_string();
        let group = s.conn.negotiated_key_exchange_group().map_or(String::new(), |g| format!("{:?}", g.name()));
        let server = s.conn.peer_certificates().expect("the server has a certificate")[0].clone().into_owned();
        let mut text = String::new();
        if alpn.as_deref() != Some("h2") {
            s.write_all(request)?;
            s.flush()?;
            let mut raw = Vec::new();
            if let Err(e) = s.read_to_end(&mut raw)
                && (raw.is_empty() || e.kind() != std::io::ErrorKind::UnexpectedEof)
            {
                return Err(e);
            }
            text = String::from_utf8_lossy(&raw).into_owned();
        }
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Ok(Done { status, suite, group, alpn, server })
    }
}
