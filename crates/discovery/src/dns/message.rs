//! DNS messages (RFC 1035, 2782, 3596, 6891): a question out, the answer section in. Everything else of a message is skipped.

use crate::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    A = 1,
    Ns = 2,
    Mx = 15,
    Aaaa = 28,
    Srv = 33,
}

impl RecordType {
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "MX" => RecordType::Mx,
            "NS" => RecordType::Ns,
            "SRV" => RecordType::Srv,
            _ => return None,
        })
    }
}

/// One record of the answer. Names end with a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv {
        target: String,
        port: u16,
    },
    Mx(String),
    Ns(String),
    /// A CNAME on the way, or what nobody asked for.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub id: u16,
    pub truncated: bool,
    /// 0 is success, 3 is "no such name".
    pub code: u8,
    pub records: Vec<Data>,
}

const CLASS_IN: u16 = 1;
const TYPE_OPT: u16 = 41;
/// What we take over UDP.
pub(crate) const UDP_SIZE: u16 = 4096;

/// A question for one name, which must end with a dot.
pub(crate) fn question(id: u16, name: &str, record: RecordType, edns: bool) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question; one additional record when EDNS is used.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    let bad = || Error::invalid(format!("{name:?} is not a domain name"));
    for label in name.strip_suffix('.').unwrap_or(name).split('.').filter(|_| name != ".") {
        let len = u8::try_from(label.len()).ok().filter(|l| (1..=63).contains(l)).ok_or_else(bad)?;
        out.push(len);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    if out.len() - 12 > 255 {
        return Err(bad());
    }
    out.extend_from_slice(&(record as u16).to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    if edns {
        out.push(0);
        out.extend_from_slice(&TYPE_OPT.to_be_bytes());
        out.extend_from_slice(&UDP_SIZE.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    }
    Ok(out)
}

/// Reads an answer. None when it is no DNS message.
pub(crate) fn answer(m: &[u8]) -> Option<Answer> {
    let (id, flags) = (u16_at(m, 0)?, u16_at(m, 2)?);
    let (questions, answers) = (u16_at(m, 4)?, u16_at(m, 6)?);
    if flags & 0x8000 == 0 {
        return None;
    }
    let truncated = flags & 0x0200 != 0;
    let mut at = 12;
    for _ in 0..questions {
        at = name(m, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..answers {
        match record(m, &mut at) {
            Some(r) => records.push(r),
            // A truncated message may end anywhere.
            None if truncated => break,
            None => return None,
        }
    }
    Some(Answer { id, truncated, code: (flags & 0xf) as u8, records })
}

fn record(m: &[u8], at: &mut usize) -> Option<Data> {
    let start = name(m, *at)?.1;
    let (kind, class, len) = (u16_at(m, start)?, u16_at(m, start + 2)?, usize::from(u16_at(m, start + 8)?));
    let body = start + 10;
    let data = m.get(body..body + len)?;
    *at = body + len;
    if class != CLASS_IN {
        return Some(Data::Other);
    }
    Some(match kind {
        1 => Data::A(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
        28 => Data::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
        2 => Data::Ns(name(m, body)?.0),
        15 => Data::Mx(name(m, body + 2)?.0),
        33 => Data::Srv { port: u16_at(m, body + 4)?, target: name(m, body + 6)?.0 },
        _ => Data::Other,
    })
}

fn u16_at(m: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(m.get(at..at + 2)?.try_into().ok()?))
}

/// A name, which may point backwards into the message, and where it ends.
fn name(m: &[u8], start: usize) -> Option<(String, usize)> {
    let mut out = String::new();
    let (mut at, mut end) = (start, None);
    // A name has at most 255 bytes, so more jumps than that are a circle.
    for _ in 0..256 {
        match *m.get(at)? {
            0 => {
                if out.is_empty() {
                    out.push('.');
                }
                return Some((out, end.unwrap_or(at + 1)));
            }
            len @ 1..=63 => {
                let label = m.get(at + 1..at + 1 + usize::from(len))?;
                for b in label {
                    match b {
                        b'.' | b'\\' => out.extend(['\\', *b as char]),
                        b'!'..=b'~' => out.push(*b as char),
                        other => out.push_str(&format!("\\{other:03}")),
                    }
                }
                out.push('.');
                at += 1 + usize::from(len);
            }
            len if len & 0xc0 == 0xc0 => {
                end.get_or_insert(at + 2);
                at = usize::from(u16_at(m, at)? & 0x3fff);
            }
            _ => return None,
        }
    }
    None
}
