//! The certificates of the authorities that the system trusts: one bundle file, looked for where distributions put it, read when the first
//! HTTPS connection needs it. A machine without one speaks plain HTTP and, with a `ca_file`, HTTPS as well.

use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::SharedFs;

const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

#[derive(Debug)]
pub struct SystemRoots {
    fs: SharedFs,
    /// In place of the usual files.
    bundle: Option<PathBuf>,
    loaded: Mutex<Option<Arc<RootCertStore>>>,
}

impl SystemRoots {
    pub fn new(fs: SharedFs, bundle: Option<PathBuf>) -> Self {
        SystemRoots { fs, bundle, loaded: Mutex::default() }
    }

    /// The store; empty when there is no bundle, so that every server is unknown.
    pub(crate) fn store(&self) -> Arc<RootCertStore> {
        let mut loaded = self.loaded.lock();
        if let Some(store) = &*loaded {
            return Arc::clone(store);
        }
        let mut store = RootCertStore::empty();
        let usual = BUNDLES.iter().map(Path::new);
        let found = match &self.bundle {
            Some(path) => self.fs.read(path).ok(),
            None => usual.filter_map(|p| self.fs.read(p).ok()).next(),
        };
        match found {
            Some(pem) => {
                let certs = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
                let (good, bad) = store.add_parsable_certificates(certs);
                tracing::debug!(good, bad, "read system certificates");
            }
            None => tracing::warn!("no system certificates found, https needs a ca_file"),
        }
        let store = Arc::new(store);
        *loaded = Some(Arc::clone(&store));
        store
    }
}
