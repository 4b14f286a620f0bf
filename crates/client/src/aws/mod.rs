//! Requests to AWS: signed by version 4 of its signature, with credentials from wherever a machine or a pod may find them.

mod credentials;
mod signature;
mod time;

use crate::client::HttpClient;
use crate::config::HttpConfig;
use crate::error::{Error, ErrorKind};
use crate::options::Options;
use crate::request::Request;
use credentials::Chain;
use parking_lot::Mutex;
use yaml::Secret;

yaml::table! {
    /// The `sigv4` section of remote write and of Alertmanagers.
    #[derive(Clone, Debug, PartialEq)]
    pub struct SigV4Config as "sigv4.plain" check(SigV4Config::check) {
        pub region: String;
        pub access_key: String;
        pub secret_key: Secret;
        pub profile: String;
        pub role_arn: String;
        pub external_id: String;
        pub use_fips_sts_endpoint: bool;
    }
}

impl SigV4Config {
    fn check(&mut self) -> Result<(), String> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err("must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config".into());
        }
        Ok(())
    }
}

/// Signs requests for one service, with credentials that are fetched when first needed and again before they end.
pub struct SigV4 {
    service: &'static str,
    chain: Chain,
    region: Mutex<Option<String>>,
    options: Options,
}

impl SigV4 {
    /// `service` as AWS names it: `aps`, `ec2`.
    pub fn new(config: &SigV4Config, service: &'static str, options: &Options) -> Result<Self, Error> {
        // Credentials are fetched apart from what they are for: no credentials on the way, no proxy to the machine's own addresses.
        let client = HttpClient::new(&HttpConfig { follow_redirects: false, ..HttpConfig::default() }, "aws credentials", options)?;
        Ok(SigV4 { service, chain: Chain::new(config.clone(), client, options.clone()), region: Mutex::default(), options: options.clone() })
    }

    /// From the config, the environment, the profile, or the machine.
    pub async fn region(&self) -> Result<String, Error> {
        if let Some(known) = self.region.lock().clone() {
            return Ok(known);
        }
        let found = self.chain.region().await?;
        Ok(self.region.lock().insert(found).clone())
    }

    /// Adds the headers that sign a request as it is now; it must not be changed after.
    pub async fn sign(&self, request: &mut Request) -> Result<(), Error> {
        let region = self.region().await?;
        let keys = self.chain.keys(&region).await?;
        signature::sign(request, &keys, &region, self.service, self.options.clock.now_ms())
    }
}

fn refused(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Auth, format!("aws: {}", text.into()))
}

#[cfg(test)]
mod tests;
