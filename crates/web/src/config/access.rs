//! `clients`: who may write, read or administer, known by a bearer token or a verified client certificate. Not in Prometheus.
//!
//! As soon as one client is named, every request needs a credential: a client's, or a user's of `basic_auth_users`, who may do everything.

use super::TlsServerConfig;
use crate::server::{Identity, Rights, Sha256, sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use stdx::fs::Fs;
use yaml::FilePath;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct ClientConfig as "web.ClientConfig" {
        /// For logs and `/api/v1/tree`.
        pub name: String => required("a client needs a name");
        /// Holds the bearer token; white space around it does not count.
        pub token_file: FilePath;
        /// SHA-256 of the bearer token, 64 hexadecimal digits: what `printf %s TOKEN | sha256sum` prints.
        pub token_sha256: String;
        /// One of the names in the client's certificate: DNS, IP, URI or e-mail.
        pub certificate_san: String;
        /// `read`, `write`, `admin`.
        pub may: Vec<String> => required("a client needs at least one of read, write, admin in may");
        /// Every series that this client writes or reads must have these labels.
        pub only_labels: BTreeMap<String, String>;
    }
}

/// A token that is shorter could be guessed.
const MIN_TOKEN_BYTES: usize = 16;

impl ClientConfig {
    fn rights(&self) -> Result<Rights, String> {
        let mut r = Rights::default();
        for word in &self.may {
            match word.as_str() {
                "read" => r.read = true,
                "write" => r.write = true,
                "admin" => r.admin = true,
                other => return Err(format!("may: {other:?} is none of read, write, admin")),
            }
        }
        Ok(r)
    }

    fn identity(&self) -> Result<Arc<Identity>, String> {
        let only_labels = self.only_labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        Ok(Arc::new(Identity { name: self.name.clone(), rights: self.rights()?, only_labels }))
    }

    fn check(&self, tls: Option<&TlsServerConfig>) -> Result<(), String> {
        let rights = self.rights()?;
        let given = [!self.token_file.is_empty(), !self.token_sha256.is_empty(), !self.certificate_san.is_empty()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err("exactly one of token_file, token_sha256 and certificate_san is needed".to_string());
        }
        if !self.token_sha256.is_empty() && from_hex(&self.token_sha256).is_none() {
            return Err("token_sha256 is not of 64 hexadecimal digits".to_string());
        }
        if !self.certificate_san.is_empty() && !tls.is_some_and(TlsServerConfig::verifies_clients) {
            return Err("certificate_san needs client_auth_type VerifyClientCertIfGiven or RequireAndVerifyClientCert".to_string());
        }
        for (n, v) in &self.only_labels {
            if n.is_empty() || v.is_empty() || n == model::name::METRIC_NAME {
                return Err(format!("only_labels: {n:?}: {v:?} is not a label that series can be asked for"));
            }
        }
        if rights.admin && !self.only_labels.is_empty() {
            return Err("admin may not be given together with only_labels".to_string());
        }
        Ok(())
    }
}

pub(super) fn check(clients: &[ClientConfig], tls: Option<&TlsServerConfig>) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for c in clients {
        c.check(tls).map_err(|e| format!("clients: {:?}: {e}", c.name))?;
        if !names.insert(&c.name) {
            return Err(format!("clients: {:?} is named twice", c.name));
        }
    }
    Ok(())
}

pub(super) type Tables = (HashMap<Sha256, Arc<Identity>>, HashMap<String, Arc<Identity>>);

/// Clients by the hash of their token, and by the name in their certificate.
pub(super) fn tables(fs: &dyn Fs, clients: &[ClientConfig]) -> Result<Tables, String> {
    let (mut tokens, mut certificates) = Tables::default();
    for c in clients {
        let at = |e: String| format!("clients: {:?}: {e}", c.name);
        let identity = c.identity().map_err(at)?;
        let before = if !c.certificate_san.is_empty() {
            certificates.insert(c.certificate_san.clone(), identity)
        } else if let Some(hash) = from_hex(&c.token_sha256) {
            tokens.insert(hash, identity)
        } else {
            tokens.insert(sha256(&[&token(fs, &c.token_file).map_err(at)?]), identity)
        };
        if let Some(other) = before {
            return Err(at(format!("has the same credential as {:?}", other.name)));
        }
    }
    Ok((tokens, certificates))
}

fn token(fs: &dyn Fs, file: &FilePath) -> Result<String, String> {
    let text = fs.read(file.path()).map_err(|e| format!("failed to read token_file ({}): {e}", file.as_str()))?;
    let text = std::str::from_utf8(&text).map_err(|_| format!("token_file ({}) is not valid UTF-8", file.as_str()))?.trim();
    if text.len() < MIN_TOKEN_BYTES {
        return Err(format!("the token in token_file ({}) is shorter than {MIN_TOKEN_BYTES} bytes", file.as_str()));
    }
    Ok(text.to_string())
}

fn from_hex(text: &str) -> Option<Sha256> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, b) in out.iter_mut().enumerate() {
        *b = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}
