//! `tls_server_config`: which certificate is shown, which clients' are asked for, and with what the connection is encrypted.
//!
//! The words are Go's. What this server does not offer (TLS 1.0 and 1.1, CBC suites, P-521) is left out where something else remains, and refused
//! where nothing would.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, NamedGroup, ServerConfig, SignatureScheme};
use std::sync::Arc;
use stdx::fs::Fs;
use yaml::{FilePath, Secret};

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct TlsServerConfig as "web.TLSConfig" check(TlsServerConfig::check) {
        pub cert: String;
        pub cert_file: FilePath;
        pub key: Secret;
        pub key_file: FilePath;
        pub client_auth_type: String;
        pub client_ca: String;
        pub client_ca_file: FilePath;
        pub client_allowed_sans: Vec<String>;
        pub min_version: String;
        pub max_version: String;
        pub cipher_suites: Vec<String>;
        pub curve_preferences: Vec<String>;
        pub prefer_server_cipher_suites: bool = true;
    }
}

/// Go's names of suites that its servers accept in this file, and whether this server has them.
const SUITES: &[(&str, bool)] = &[
    ("TLS_AES_128_GCM_SHA256", true),
    ("TLS_AES_256_GCM_SHA384", true),
    ("TLS_CHACHA20_POLY1305_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", false),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", true),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", true),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", true),
];

const CURVES: &[(&str, Option<NamedGroup>)] = &[
    ("CurveP256", Some(NamedGroup::secp256r1)),
    ("CurveP384", Some(NamedGroup::secp384r1)),
    ("CurveP521", None),
    ("X25519", Some(NamedGroup::X25519)),
    ("X25519MLKEM768", None),
];

/// What is done about clients' certificates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

impl TlsServerConfig {
    fn check(&mut self) -> Result<(), String> {
        for c in &self.cipher_suites {
            if !SUITES.iter().any(|(n, _)| n == c) {
                return Err(format!("unknown cipher: {c}"));
            }
        }
        for c in &self.curve_preferences {
            if !CURVES.iter().any(|(n, _)| n == c) {
                return Err(format!("unknown curve: {c}"));
            }
        }
        for v in [&self.min_version, &self.max_version] {
            if !matches!(v.as_str(), "" | "TLS10" | "TLS11" | "TLS12" | "TLS13") {
                return Err(format!("unknown TLS version: {v}"));
            }
        }
        Ok(())
    }

    /// An empty section asks for nothing.
    pub fn is_enabled(&self) -> bool {
        let texts = [&self.cert, &self.client_ca, &self.client_auth_type];
        let files = [&self.cert_file, &self.key_file, &self.client_ca_file];
        texts.iter().any(|t| !t.is_empty()) || files.iter().any(|f| !f.is_empty()) || !self.key.reveal().is_empty()
    }

    /// Whether a client's certificate, where there is one, was verified.
    pub fn verifies_clients(&self) -> bool {
        matches!(self.client_auth(), Ok(ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify))
    }

    fn client_auth(&self) -> Result<ClientAuth, String> {
        let has_ca = !self.client_ca.is_empty() || !self.client_ca_file.is_empty();
        match self.client_auth_type.as_str() {
            "" | "NoClientCert" if has_ca => Err("client CA's have been configured without a Client Auth Policy".to_string()),
            "" | "NoClientCert" => Ok(ClientAuth::None),
            "RequestClientCert" => Ok(ClientAuth::Request),
            "RequireAnyClientCert" | "RequireClientCert" => Ok(ClientAuth::RequireAny),
            "VerifyClientCertIfGiven" => Ok(ClientAuth::VerifyIfGiven),
            "RequireAndVerifyClientCert" => Ok(ClientAuth::RequireAndVerify),
            other => Err(format!("invalid ClientAuth: {other}")),
        }
    }

    fn versions(&self) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, String> {
        // What is older than 1.2 is never offered: as a lower bound it means 1.2, as an upper bound it leaves nothing.
        let number = |v: &str, default: u8| match v {
            "" => default,
            "TLS13" => 13,
            "TLS12" => 12,
            _ => 11,
        };
        let (min, max) = (number(&self.min_version, 12), number(&self.max_version, 13));
        let all = [(12, &rustls::version::TLS12), (13, &rustls::version::TLS13)];
        let kept: Vec<_> = all.into_iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, v)| v).collect();
        if kept.is_empty() {
            return Err(format!(
                "no TLS version from {} to {} is offered by this server; TLS12 is the lowest",
                or(&self.min_version, "TLS12"),
                or(&self.max_version, "TLS13")
            ));
        }
        Ok(kept)
    }

    /// The algorithms that are offered. Suites of TLS 1.3 cannot be left out, as in Go.
    fn provider(&self) -> Result<CryptoProvider, String> {
        let mut provider = rustls::crypto::ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let go_name = |s: &rustls::SupportedCipherSuite| s.suite().as_str().unwrap_or("").replace("TLS13_", "TLS_");
            provider.cipher_suites.retain(|s| s.tls13().is_some() || self.cipher_suites.contains(&go_name(s)));
            let only_12 = self.versions()?.iter().all(|v| v.version == rustls::ProtocolVersion::TLSv1_2);
            if only_12 && !provider.cipher_suites.iter().any(|s| s.tls13().is_none()) {
                return Err("none of cipher_suites is offered by this server".to_string());
            }
        }
        if !self.curve_preferences.is_empty() {
            let wanted: Vec<NamedGroup> = self.curve_preferences.iter().filter_map(|c| CURVES.iter().find(|(n, _)| n == c)?.1).collect();
            provider.kx_groups = wanted.iter().filter_map(|w| provider.kx_groups.iter().find(|g| g.name() == *w).copied()).collect();
            if provider.kx_groups.is_empty() {
                return Err("none of curve_preferences is offered by this server".to_string());
            }
        }
        Ok(provider)
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

fn pem(fs: &dyn Fs, text: &str, file: &FilePath, what: &str) -> Result<Vec<u8>, String> {
    match (text.is_empty(), file.is_empty()) {
        (_, false) => fs.read(file.path()).map_err(|e| format!("failed to read {what}_file ({}): {e}", file.as_str())),
        (false, true) => Ok(text.as_bytes().to_vec()),
        (true, true) => Err(format!("missing one of {what} or {what}_file")),
    }
}

pub fn server_config(fs: &dyn Fs, c: &TlsServerConfig, http2: bool) -> Result<ServerConfig, String> {
    let cert = pem(fs, &c.cert, &c.cert_file, "cert")?;
    let key = pem(fs, c.key.reveal(), &c.key_file, "key")?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&cert).collect::<Result<_, _>>().map_err(|e| format!("parse cert: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("parse key: {e}"))?;
    let provider = Arc::new(c.provider()?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&c.versions()?).map_err(|e| e.to_string())?;
    let auth = c.client_auth()?;
    let builder = match auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Request | ClientAuth::RequireAny => {
            builder.with_client_cert_verifier(Arc::new(AnyClient { provider: Arc::clone(&provider), required: auth == ClientAuth::RequireAny }))
        }
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
            let b = WebPkiClientVerifier::builder_with_provider(roots(fs, c)?, Arc::clone(&provider));
            let b = if auth == ClientAuth::VerifyIfGiven { b.allow_unauthenticated() } else { b };
            builder.with_client_cert_verifier(b.build().map_err(|e| e.to_string())?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| format!("use certificate: {e}"))?;
    config.ignore_client_order = c.prefer_server_cipher_suites;
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(config)
}

fn roots(fs: &dyn Fs, c: &TlsServerConfig) -> Result<Arc<rustls::RootCertStore>, String> {
    let mut store = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&pem(fs, &c.client_ca, &c.client_ca_file, "client_ca")?) {
        store.add(cert.map_err(|e| format!("parse client_ca: {e}"))?).map_err(|e| format!("client_ca: {e}"))?;
    }
    Ok(Arc::new(store))
}

/// Takes any certificate of which the client shows that it has the key. Who signed it is not asked.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
    required: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
