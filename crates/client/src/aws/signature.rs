//! AWS signature version 4 for requests whose body is at hand.

use super::time;
use crate::error::{Error, ErrorKind};
use crate::request::Request;
use http::{HeaderName, HeaderValue, header};
use ring::{digest, hmac};
use std::fmt::Write;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub id: String,
    pub secret: String,
    /// Of temporary keys.
    pub token: String,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(crate) fn sign(request: &mut Request, keys: &Keys, region: &str, service: &str, now_ms: i64) -> Result<(), Error> {
    let stamp = time::basic(now_ms);
    let date = &stamp[..8];
    let host = request.uri.authority().map(|a| a.as_str().to_string()).unwrap_or_default();
    let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(&host).to_string();
    let mut set = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).map_err(|_| Error::new(ErrorKind::Config, "aws keys hold characters that no header may"))?;
        request.headers.insert(HeaderName::from_static(name), value);
        Ok::<_, Error>(())
    };
    set("x-amz-date", &stamp)?;
    if !keys.token.is_empty() {
        set("x-amz-security-token", &keys.token)?;
    }
    let mut headers = vec![("host", host.as_str()), ("x-amz-date", stamp.as_str())];
    if !keys.token.is_empty() {
        headers.push(("x-amz-security-token", &keys.token));
    }
    let names = headers.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(n, v)| format!("{n}:{}\n", v.trim())).collect();
    let path = if request.uri.path().is_empty() { "/" } else { request.uri.path() };
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method,
        encode(path, true),
        query(request.uri.query().unwrap_or_default()),
        sha256(&request.body)
    );
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = [date, region, service, "aws4_request"].iter().fold(format!("AWS4{}", keys.secret).into_bytes(), |k, part| mac(&k, part));
    let signature = hex(&mac(&key, &to_sign));
    let value = format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id);
    let mut value = HeaderValue::from_str(&value).map_err(|_| Error::new(ErrorKind::Config, "aws keys hold characters that no header may"))?;
    value.set_sensitive(true);
    request.headers.insert(header::AUTHORIZATION, value);
    Ok(())
}

pub(crate) fn encode(s: &str, keep_slash: bool) -> String {
    s.bytes().fold(String::with_capacity(s.len()), |mut out, b| {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            b'/' if keep_slash => out.push('/'),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
        out
    })
}

/// Already encoded pairs, in order.
fn query(text: &str) -> String {
    let mut pairs: Vec<String> =
        text.split('&').filter(|p| !p.is_empty()).map(|p| if p.contains('=') { p.into() } else { format!("{p}=") }).collect();
    pairs.sort();
    pairs.join("&")
}
