//! From `tls_config` to what rustls wants, made anew when one of the files behind it changes.

use crate::auth::Text;
use crate::config::{TlsConfig, TlsVersion};
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::roots::SystemRoots;
use crate::verify::{AnyServer, KnownServer};
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::sync::Arc;

pub(crate) struct Tls {
    config: TlsConfig,
    http2: bool,
    roots: Arc<SystemRoots>,
    ca: Option<Text>,
    cert: Option<Text>,
    key: Option<Text>,
    made: Mutex<Option<Made>>,
}

struct Made {
    parts: [Option<Arc<[u8]>>; 3],
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Refuses files that cannot be read and material that does not fit together.
    pub fn new(config: &TlsConfig, http2: bool, options: &Options) -> Result<Self, Error> {
        let text =
            |inline: &str, file: &yaml::FilePath, what| (!inline.is_empty() || !file.is_empty()).then(|| Text::new(inline, file, what, options));
        let tls = Tls {
            http2,
            roots: Arc::clone(&options.roots),
            ca: text(&config.ca, &config.ca_file, "CA"),
            cert: text(&config.cert, &config.cert_file, "client cert"),
            key: text(config.key.reveal(), &config.key_file, "client key"),
            config: config.clone(),
            made: Mutex::default(),
        };
        tls.versions()?;
        if !config.server_name.is_empty() {
            tls.server_name("")?;
        }
        if tls.ca.is_some() || tls.cert.is_some() {
            tls.client_config()?;
        }
        Ok(tls)
    }

    /// The name that the server must prove, and that is sent as SNI.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, Error> {
        let name = if self.config.server_name.is_empty() { host } else { &self.config.server_name };
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        ServerName::try_from(bare.to_string()).map_err(|_| Error::new(ErrorKind::Config, format!("{name:?} is not a server name")))
    }

    /// Whether material comes from files, so that it may change.
    pub fn may_change(&self) -> bool {
        [&self.ca, &self.cert, &self.key].into_iter().any(|t| matches!(t, Some(Text::File { .. })))
    }

    /// The configuration now. The same allocation as last time when no file changed.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        let read = |t: &Option<Text>| t.as_ref().map(Text::read).transpose();
        let parts = [read(&self.ca)?, read(&self.cert)?, read(&self.key)?];
        let mut made = self.made.lock();
        if let Some(m) = &*made {
            let same = m.parts.iter().zip(&parts).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            });
            if same {
                return Ok(Arc::clone(&m.config));
            }
        }
        let [ca, cert, key] = &parts;
        let config = Arc::new(self.build(ca.as_deref(), cert.as_deref().zip(key.as_deref()))?);
        *made = Some(Made { parts, config: Arc::clone(&config) });
        Ok(config)
    }

    fn build(&self, ca: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, Error> {
        let bad = |what: &str, file: &yaml::FilePath| {
            let place = if file.is_empty() { "in the config".to_string() } else { file.as_str().to_string() };
            Error::new(ErrorKind::Config, format!("unable to use specified {what} {place}"))
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions()?)
            .map_err(|e| Error::with(ErrorKind::Config, "unable to set tls versions", e))?;
        let mut known = Vec::new();
        let roots = match ca {
            _ if self.config.insecure_skip_verify => Arc::new(RootCertStore::empty()),
            None => self.roots.store(),
            Some(pem) => {
                known = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
                let mut store = RootCertStore::empty();
                let (good, _) = store.add_parsable_certificates(known.iter().cloned());
                if good == 0 {
                    return Err(bad("CA cert", &self.config.ca_file));
                }
                Arc::new(store)
            }
        };
        let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> = if self.config.insecure_skip_verify {
            Arc::new(AnyServer(provider))
        } else if roots.is_empty() {
            return Err(Error::new(ErrorKind::Config, "no certificate authorities are known: configure a ca_file"));
        } else {
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|e| Error::with(ErrorKind::Config, "unable to use certificate authorities", e))?;
            Arc::new(KnownServer { inner, known })
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain: Vec<_> = CertificateDer::pem_slice_iter(cert).filter_map(Result::ok).collect();
                if chain.is_empty() {
                    return Err(bad("client cert", &self.config.cert_file));
                }
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| bad("client key", &self.config.key_file))?;
                builder.with_client_auth_cert(chain, key).map_err(|e| Error::with(ErrorKind::Config, "unable to use client cert with its key", e))?
            }
        };
        config.alpn_protocols = if self.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(config)
    }

    /// rustls speaks 1.2 and 1.3; an older lower bound means 1.2.
    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
        let (min, max) = (self.config.min_version.unwrap_or(TlsVersion::Tls12), self.config.max_version.unwrap_or(TlsVersion::Tls13));
        let all = [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
        let within: Vec<_> = all.into_iter().filter(|(v, _)| (min..=max).contains(v)).map(|(_, s)| s).collect();
        if within.is_empty() {
            let text = format!("no supported tls version between {} and {}: there are TLS12 and TLS13", min.as_str(), max.as_str());
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(within)
    }
}
