//! Which proxy a request goes through.
//!
//! `proxy_url` alone stands for every host; with `no_proxy`, or from the environment, hosts may be excepted, and the machine itself always is.

use crate::auth::{basic, secret_header};
use crate::config::ProxyConfig;
use crate::error::{Error, ErrorKind};
use crate::options::Environment;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use std::net::IpAddr;

/// A proxy and how to greet it.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub host: String,
    pub port: u16,
    pub https: bool,
    /// From the user and password in its URL.
    pub authorization: Option<HeaderValue>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Option<Vec<Exception>>,
    /// Extra headers of CONNECT.
    pub connect_headers: HeaderMap,
}

#[derive(Clone, Debug, PartialEq)]
enum Exception {
    All,
    /// The host itself (unless it began with a dot) and everything below it; with a port when one was written.
    Domain {
        name: String,
        only_below: bool,
        port: Option<u16>,
    },
    Address {
        ip: IpAddr,
        port: Option<u16>,
    },
    Network {
        ip: IpAddr,
        bits: u8,
    },
}

impl Proxies {
    pub fn new(config: &ProxyConfig, environment: &Environment) -> Result<Self, Error> {
        let mut connect_headers = HeaderMap::new();
        for (name, values) in &config.proxy_connect_header {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::new(ErrorKind::Config, format!("header name {name:?} is not valid")))?;
            for v in values {
                connect_headers.append(name.clone(), secret_header(v.reveal().as_bytes())?);
            }
        }
        if config.proxy_from_environment {
            let one = |url: &str| if url.is_empty() { Ok(None) } else { parse(url).map(Some) };
            return Ok(Proxies {
                http: one(&environment.http_proxy)?,
                https: one(&environment.https_proxy)?,
                exceptions: Some(exceptions(&environment.no_proxy)),
                connect_headers,
            });
        }
        if config.proxy_url.is_empty() {
            return Ok(Proxies::default());
        }
        let proxy = Some(parse(config.proxy_url.as_str())?);
        let exceptions = (!config.no_proxy.is_empty()).then(|| exceptions(&config.no_proxy));
        Ok(Proxies { http: proxy.clone(), https: proxy, exceptions, connect_headers })
    }

    pub fn for_uri(&self, uri: &Uri) -> Option<&Proxy> {
        let proxy = if uri.scheme() == Some(&Scheme::HTTPS) { self.https.as_ref()? } else { self.http.as_ref()? };
        match (&self.exceptions, uri.host()) {
            (Some(list), Some(host)) if direct(list, host, port_of(uri)) => None,
            _ => Some(proxy),
        }
    }
}

pub(crate) fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 })
}

pub(crate) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

fn parse(text: &str) -> Result<Proxy, Error> {
    let bad = |why: &str| Error::new(ErrorKind::Config, format!("unable to use proxy url: {why}"));
    let full = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let url = yaml::Url::parse(&full).map_err(|e| bad(&e))?;
    let https = match url.scheme().as_str() {
        "http" => false,
        "https" => true,
        other => return Err(bad(&format!("scheme {other:?} is not supported, use http or https"))),
    };
    let authority: http::uri::Authority = url.host().parse().map_err(|_| bad("host is not valid"))?;
    if authority.host().is_empty() {
        return Err(bad("host is missing"));
    }
    let authorization = url.user_info().map(|(u, p)| secret_header(&basic(u.as_bytes(), p.unwrap_or_default().as_bytes()))).transpose()?;
    let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
    Ok(Proxy { host: bare_host(authority.host()).to_string(), port, https, authorization })
}

fn exceptions(list: &str) -> Vec<Exception> {
    list.split(',').map(str::trim).filter(|s| !s.is_empty()).filter_map(exception).collect()
}

fn exception(text: &str) -> Option<Exception> {
    if text == "*" {
        return Some(Exception::All);
    }
    if let Some((ip, bits)) = text.split_once('/') {
        return Some(Exception::Network { ip: ip.parse().ok()?, bits: bits.parse().ok()? });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((h, p)) if !h.contains(':') || h.ends_with(']') => (h, p.parse().ok()),
        _ => (text, None),
    };
    let host = bare_host(host).to_ascii_lowercase();
    if let Ok(ip) = host.parse() {
        return Some(Exception::Address { ip, port });
    }
    let name = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
    Some(Exception::Domain { only_below: name.is_some(), name: name.unwrap_or(&host).to_string(), port })
}

fn direct(list: &[Exception], host: &str, port: u16) -> bool {
    let host = bare_host(host).to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    let port_ok = |p: &Option<u16>| p.is_none_or(|p| p == port);
    list.iter().any(|e| match e {
        Exception::All => true,
        Exception::Domain { name, only_below, port } => {
            let below = host.strip_suffix(name.as_str()).is_some_and(|h| h.ends_with('.'));
            port_ok(port) && (below || (!only_below && host == *name))
        }
        Exception::Address { ip: want, port } => ip == Some(*want) && port_ok(port),
        Exception::Network { ip: net, bits } => ip.is_some_and(|ip| in_network(ip, *net, *bits)),
    })
}

fn in_network(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (ip, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => (u32::from(a) ^ u32::from(n)).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => (u128::from(a) ^ u128::from(n)).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_hosts_domains_addresses_and_networks() {
        let list = exceptions("example.com, .below.net,10.0.0.0/8,192.168.1.1, port.org:8080,[::2]:80");
        for (host, port, expect) in [
            ("example.com", 80, true),
            ("A.Example.com", 443, true),
            ("notexample.com", 80, false),
            ("below.net", 80, false),
            ("x.below.net", 80, true),
            ("10.200.0.1", 80, true),
            ("11.0.0.1", 80, false),
            ("192.168.1.1", 9, true),
            ("192.168.1.2", 9, false),
            ("port.org", 8080, true),
            ("port.org", 80, false),
            ("[::2]", 80, true),
            ("localhost", 80, true),
            ("127.0.0.2", 80, true),
            ("[::1]", 80, true),
        ] {
            assert_eq!(direct(&list, host, port), expect, "{host}:{port}");
        }
        assert!(direct(&exceptions("*"), "any", 1));
        assert!(in_network("1.2.3.4".parse().expect("ip"), "9.9.9.9".parse().expect("ip"), 0));
    }
}
