//! Every key of `http_config`, and which of them may stand together. The texts are the reference's, as people search for them.

use std::collections::BTreeMap;
use yaml::{FilePath, Secret, Url};

yaml::table! {
    /// How requests of one section are made. Stands inline in jobs, receivers and discoveries.
    #[derive(Clone, Debug, PartialEq)]
    pub struct HttpConfig as "config.plain" check(HttpConfig::check) {
        pub basic_auth: Option<BasicAuth>;
        pub authorization: Option<Authorization>;
        pub oauth2: Option<OAuth2>;
        /// Old way to write `authorization`; moved there when the config is read.
        pub bearer_token: Secret;
        pub bearer_token_file: FilePath;
        pub tls_config: TlsConfig;
        pub follow_redirects: bool = true => always;
        pub enable_http2: bool = true => always;
        pub proxy: ProxyConfig => inline;
        /// Sent with each request, by name.
        pub http_headers: BTreeMap<String, Header>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct BasicAuth as "config.BasicAuth" {
        pub username: String;
        pub username_file: FilePath;
        pub password: Secret;
        pub password_file: FilePath;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Authorization as "config.Authorization" {
        /// `Bearer` when left out.
        pub kind as "type": String;
        pub credentials: Secret;
        pub credentials_file: FilePath;
    }
}

yaml::table! {
    /// Client credentials, exchanged for a token at `token_url`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct OAuth2 as "config.plain" {
        pub client_id: String;
        pub client_secret: Secret;
        pub client_secret_file: FilePath;
        pub client_certificate_key_id: String;
        pub client_certificate_key: Secret;
        pub client_certificate_key_file: FilePath;
        pub grant_type: String;
        pub signature_algorithm: String;
        pub iss: String;
        pub audience: String;
        pub claims: BTreeMap<String, yaml::Node>;
        pub scopes: Vec<String>;
        pub token_url: String;
        pub endpoint_params: BTreeMap<String, String>;
        pub tls_config: TlsConfig;
        pub proxy: ProxyConfig => inline;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct ProxyConfig as "config.ProxyConfig" check(ProxyConfig::check) {
        pub proxy_url: Url;
        /// Comma-separated hosts, domains, addresses and networks that are reached directly.
        pub no_proxy: String;
        pub proxy_from_environment: bool;
        /// Sent with CONNECT.
        pub proxy_connect_header: BTreeMap<String, Vec<Secret>>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct Header as "config.Header" {
        pub values: Vec<String>;
        pub secrets: Vec<Secret>;
        pub files: Vec<FilePath>;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct TlsConfig as "config.plain" check(TlsConfig::check) {
        pub ca: String;
        pub cert: String;
        pub key: Secret;
        pub ca_file: FilePath;
        pub cert_file: FilePath;
        pub key_file: FilePath;
        /// Expected name of the server, also sent as SNI; the host of the URL when empty.
        pub server_name: String;
        pub insecure_skip_verify: bool => always;
        pub min_version: Option<TlsVersion>;
        pub max_version: Option<TlsVersion>;
    }
}

yaml::choice! {
    pub enum TlsVersion = Tls12 {
        Tls10 = "TLS10",
        Tls11 = "TLS11",
        Tls12 = "TLS12",
        Tls13 = "TLS13",
    } unknown "unknown TLS version: {}"
}

/// Headers that the program sets itself.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

fn refuse(text: &str) -> Result<(), String> {
    Err(text.to_string())
}

impl HttpConfig {
    /// The defaults of remote write: no HTTP/2.
    pub fn without_http2() -> Self {
        HttpConfig { enable_http2: false, ..HttpConfig::default() }
    }

    /// Whether anything is said beyond the defaults.
    pub fn is_default(&self) -> bool {
        *self == HttpConfig::default()
    }

    fn check(&mut self) -> Result<(), String> {
        let (token, token_file) = (!self.bearer_token.is_empty(), !self.bearer_token_file.is_empty());
        if token && token_file {
            return refuse("at most one of bearer_token & bearer_token_file must be configured");
        }
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && (token || token_file) {
            return refuse("at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured");
        }
        if let Some(b) = &self.basic_auth {
            if !b.username.is_empty() && !b.username_file.is_empty() {
                return refuse("at most one of basic_auth username & username_file must be configured");
            }
            if !b.password.is_empty() && !b.password_file.is_empty() {
                return refuse("at most one of basic_auth password & password_file must be configured");
            }
        }
        match &mut self.authorization {
            Some(a) => {
                if token || token_file {
                    return refuse("authorization is not compatible with bearer_token & bearer_token_file");
                }
                if !a.credentials.is_empty() && !a.credentials_file.is_empty() {
                    return refuse("at most one of authorization credentials & credentials_file must be configured");
                }
                a.kind = a.kind.trim().to_string();
                if a.kind.is_empty() {
                    a.kind = "Bearer".into();
                }
                if a.kind.eq_ignore_ascii_case("basic") {
                    return refuse("authorization type cannot be set to \"basic\", use \"basic_auth\" instead");
                }
                if self.basic_auth.is_some() || self.oauth2.is_some() {
                    return refuse("at most one of basic_auth, oauth2 & authorization must be configured");
                }
            }
            None if token || token_file => {
                let credentials = std::mem::take(&mut self.bearer_token);
                let credentials_file = std::mem::take(&mut self.bearer_token_file);
                self.authorization = Some(Authorization { kind: "Bearer".into(), credentials, credentials_file });
            }
            None => {}
        }
        if let Some(o) = &self.oauth2 {
            if self.basic_auth.is_some() {
                return refuse("at most one of basic_auth, oauth2 & authorization must be configured");
            }
            o.check()?;
        }
        for name in self.http_headers.keys() {
            if let Some(reserved) = RESERVED_HEADERS.iter().find(|r| r.eq_ignore_ascii_case(name)) {
                return Err(format!("setting header \"{reserved}\" is not allowed"));
            }
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(format!("header name {name:?} is not valid"));
            }
        }
        Ok(())
    }
}

pub(crate) const GRANT_CLIENT_CREDENTIALS: &str = "client_credentials";
pub(crate) const GRANT_PASSWORD: &str = "password";
pub(crate) const GRANT_JWT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl OAuth2 {
    fn check(&self) -> Result<(), String> {
        if self.client_id.is_empty() {
            return refuse("oauth2 client_id must be configured");
        }
        if self.token_url.is_empty() {
            return refuse("oauth2 token_url must be configured");
        }
        if !self.client_secret.is_empty() && !self.client_secret_file.is_empty() {
            return refuse("at most one of oauth2 client_secret & client_secret_file must be configured using grant-type=client_credentials");
        }
        if !self.client_certificate_key.is_empty() && !self.client_certificate_key_file.is_empty() {
            return refuse(
                "at most one of oauth2 client_certificate_key & client_certificate_key_file must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
            );
        }
        match self.grant_type.as_str() {
            "" | GRANT_CLIENT_CREDENTIALS | GRANT_PASSWORD => Ok(()),
            GRANT_JWT => {
                if self.client_certificate_key.is_empty() && self.client_certificate_key_file.is_empty() {
                    return refuse("oauth2 client_certificate_key or client_certificate_key_file must be configured for a signed token");
                }
                if !matches!(self.signature_algorithm.as_str(), "" | "RS256" | "RS384" | "RS512") {
                    return refuse("valid signature algorithms are RS256, RS384 and RS512");
                }
                Ok(())
            }
            other => Err(format!("unsupported oauth2 grant_type {other:?}")),
        }
    }
}

impl ProxyConfig {
    fn check(&mut self) -> Result<(), String> {
        let by_url = !self.proxy_url.is_empty();
        if !self.proxy_connect_header.is_empty() && !self.proxy_from_environment && !by_url {
            return refuse("if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured");
        }
        if self.proxy_from_environment && by_url {
            return refuse("if proxy_from_environment is configured, proxy_url must not be configured");
        }
        if self.proxy_from_environment && !self.no_proxy.is_empty() {
            return refuse("if proxy_from_environment is configured, no_proxy must not be configured");
        }
        if !by_url && !self.no_proxy.is_empty() {
            return refuse("if no_proxy is configured, proxy_url must also be configured");
        }
        Ok(())
    }
}

impl TlsConfig {
    fn check(&mut self) -> Result<(), String> {
        if !self.ca.is_empty() && !self.ca_file.is_empty() {
            return refuse("at most one of ca and ca_file must be configured");
        }
        if !self.cert.is_empty() && !self.cert_file.is_empty() {
            return refuse("at most one of cert and cert_file must be configured");
        }
        if !self.key.is_empty() && !self.key_file.is_empty() {
            return refuse("at most one of key and key_file must be configured");
        }
        match (self.has_cert(), self.has_key()) {
            (true, false) => refuse("exactly one of key or key_file must be configured when a client certificate is configured"),
            (false, true) => refuse("exactly one of cert or cert_file must be configured when a client key is configured"),
            _ => Ok(()),
        }
    }

    pub(crate) fn has_cert(&self) -> bool {
        !self.cert.is_empty() || !self.cert_file.is_empty()
    }

    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty() || !self.key_file.is_empty()
    }
}
