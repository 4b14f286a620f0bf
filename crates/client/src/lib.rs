//! The one HTTP client: scrapes, remote write, discovery and notifications all go through it.
//!
//! [`HttpConfig`] is what a config file says (every key of `http_config`), [`HttpClient`] what sends: HTTP/1.1 with kept connections, HTTP/2
//! where the server offers it, proxies, TLS whose files may change while it runs, credentials read again when their files change. Not a
//! general client: no cookies, no caching, no uploads that stream. A body that comes back is read with a limit, always.
//!
//! A client is built once per section of the config and cloned freely; connections are pooled per host.

mod auth;
mod aws;
mod client;
mod config;
mod connector;
mod conntrack;
mod error;
mod file;
mod gunzip;
mod oauth2;
mod options;
mod proxy;
mod request;
mod roots;
mod tls;
mod verify;

pub use aws::{SigV4, SigV4Config};
pub use client::HttpClient;
pub use config::{Authorization, BasicAuth, Header, HttpConfig, OAuth2, ProxyConfig, TlsConfig, TlsVersion};
pub use conntrack::Conntrack;
pub use error::{Error, ErrorKind};
pub use gunzip::Gunzip;
pub use options::{Environment, Options};
pub use request::{Request, Response};
pub use roots::SystemRoots;

pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

#[cfg(test)]
mod tests;
