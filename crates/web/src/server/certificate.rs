//! The names in a client's certificate: what `client_allowed_sans` and named clients are compared with.
//!
//! Reads just enough DER to find the subject's alternative names. Whether the certificate is to be believed is rustls' affair.

use std::net::{Ipv4Addr, Ipv6Addr};

/// DNS names, e-mail addresses, IP addresses and URIs of a certificate; empty when it has none or is damaged.
pub fn alternative_names(der: &[u8]) -> Vec<String> {
    extension(der).and_then(names).unwrap_or_default()
}

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
/// `[3]` of a certificate's body: its extensions.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Splits the first element off: its tag, its content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

fn of_tag(der: &[u8], tag: u8) -> Option<&[u8]> {
    element(der).filter(|(t, ..)| *t == tag).map(|(_, content, _)| content)
}

/// Content of the alternative names' extension.
fn extension(der: &[u8]) -> Option<&[u8]> {
    let mut body = of_tag(of_tag(der, SEQUENCE)?, SEQUENCE)?;
    let mut extensions = loop {
        let (tag, content, rest) = element(body)?;
        if tag == EXTENSIONS {
            break of_tag(content, SEQUENCE)?;
        }
        body = rest;
    };
    while !extensions.is_empty() {
        let (tag, entry, rest) = element(extensions)?;
        extensions = rest;
        let (id_tag, id, mut value) = element(entry)?;
        if tag != SEQUENCE || id_tag != OBJECT_ID || id != SUBJECT_ALT_NAME {
            continue;
        }
        // An optional "critical" may stand before the value.
        loop {
            let (tag, content, rest) = element(value)?;
            if tag == OCTETS {
                return of_tag(content, SEQUENCE);
            }
            value = rest;
        }
    }
    None
}

fn names(mut list: &[u8]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    while !list.is_empty() {
        let (tag, content, rest) = element(list)?;
        list = rest;
        match tag {
            // rfc822Name, dNSName, uniformResourceIdentifier
            0x81 | 0x82 | 0x86 => out.extend(std::str::from_utf8(content).ok().map(str::to_string)),
            // iPAddress
            0x87 => {
                if let Ok(v4) = <[u8; 4]>::try_from(content) {
                    out.push(Ipv4Addr::from(v4).to_string());
                } else if let Ok(v6) = <[u8; 16]>::try_from(content) {
                    out.push(Ipv6Addr::from(v6).to_string());
                }
            }
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
