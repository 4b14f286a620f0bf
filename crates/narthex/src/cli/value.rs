//! Whether a value is well formed, in the words of Go's libraries.

use super::Kind;
use crate::go;
use std::path::Path;

pub(super) fn check(kind: Kind, v: &str) -> Result<(), String> {
    match kind {
        Kind::Bool | Kind::Text | Kind::List => Ok(()),
        Kind::Int | Kind::Float => go::parse_float(v).map(drop),
        Kind::Int64 => v.parse::<i64>().map(drop).map_err(|_| format!("strconv.ParseInt: parsing {v:?}: invalid syntax")),
        Kind::Duration => model::duration::parse_ms(v).map(drop).map_err(|e| e.to_string()),
        Kind::GoDuration => parse_go_duration_ns(v).map(drop),
        Kind::Size if !v.starts_with(|c: char| c.is_ascii_digit() || c == '.') => Err(format!("units: invalid {v}")),
        Kind::Size => yaml::Size::parse(v).map(drop),
        Kind::OneOf(words) if !words.contains(&v) => Err(format!("enum value must be one of {}, got '{v}'", words.join(","))),
        Kind::Word(what, words) if !words.contains(&v) => Err(format!("unrecognized {what} {v}")),
        Kind::OneOf(_) | Kind::Word(..) => Ok(()),
        Kind::Map if !v.contains('=') => Err(format!("expected KEY=VALUE got '{v}'")),
        Kind::Map => Ok(()),
        Kind::Url => go::parse_url(v).map(drop).map_err(|e| format!("invalid URL: {e}")),
        Kind::File => file(v),
    }
}

fn file(v: &str) -> Result<(), String> {
    match std::fs::metadata(v) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(format!("path '{v}' does not exist")),
        Err(e) => Err(format!("stat {v}: {}", go::io_error(&e))),
        Ok(m) if m.is_dir() => Err(format!("'{}' is a directory", Path::new(v).file_name().map_or(v.into(), |n| n.to_string_lossy()))),
        Ok(_) => Ok(()),
    }
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub fn parse_go_duration_ns(s: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {s:?}");
    let (negative, mut rest) = match s.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, s.strip_prefix('+').unwrap_or(s)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
        let n: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = &rest[..rest.bytes().take_while(|c| !c.is_ascii_digit() && *c != b'.').count()];
        let ns = match unit {
            "" => return Err(format!("time: missing unit in duration {s:?}")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {s:?}")),
        };
        total += n * ns;
        rest = &rest[unit.len()..];
    }
    if total >= i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(if negative { -(total as i64) } else { total as i64 })
}
