//! Durations as Prometheus writes them: `1d12h`, `90s`, `15m`, `0`. Milliseconds inside.

use std::fmt;

const UNITS: [(&str, i64); 7] =
    [("y", 365 * 24 * 3_600_000), ("w", 7 * 24 * 3_600_000), ("d", 24 * 3_600_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    Empty,
    Invalid(String),
    UnknownUnit { unit: String, text: String },
    OutOfRange,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Empty => f.write_str("empty duration string"),
            DurationError::Invalid(s) => write!(f, "not a valid duration string: \"{s}\""),
            DurationError::UnknownUnit { unit, text } => write!(f, "unknown unit \"{unit}\" in duration \"{text}\""),
            DurationError::OutOfRange => f.write_str("duration out of range"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Parses a duration: units y w d h m s ms in falling order, each at most once and a whole number; or a bare `0`. Returns milliseconds.
pub fn parse_ms(s: &str) -> Result<i64, DurationError> {
    match s {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(s.to_string());
    let mut rest = s;
    let mut next_unit = 0;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        if digits == 0 || letters == 0 {
            return Err(invalid());
        }
        let unit = &rest[digits..digits + letters];
        let unknown = || DurationError::UnknownUnit { unit: unit.to_string(), text: s.to_string() };
        let i = UNITS.iter().position(|(u, _)| *u == unit).ok_or_else(unknown)?;
        if i < next_unit {
            return Err(invalid());
        }
        next_unit = i + 1;
        let n: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let n = i64::try_from(n).map_err(|_| DurationError::OutOfRange)?;
        let ms = n.checked_mul(UNITS[i].1).ok_or(DurationError::OutOfRange)?;
        total = total.checked_add(ms).ok_or(DurationError::OutOfRange)?;
        // Prometheus counts in nanoseconds of 64 bits.
        if total > i64::MAX / 1_000_000 {
            return Err(DurationError::OutOfRange);
        }
        rest = &rest[digits + letters..];
    }
    Ok(total)
}

/// Like [`parse_ms`], with a leading minus allowed.
pub fn parse_signed_ms(s: &str) -> Result<i64, DurationError> {
    match s.strip_prefix('-') {
        Some(rest) => parse_ms(rest).map(|ms| -ms),
        None => parse_ms(s),
    }
}

/// The shortest form that parses back: years, weeks and days only where they divide the whole.
pub fn format_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    let mut rest = ms.unsigned_abs();
    if ms < 0 {
        out.push('-');
    }
    for (i, (unit, size)) in UNITS.iter().enumerate() {
        let size = *size as u64;
        let exact = i < 3; // y, w, d
        if exact && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, ms, back) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1d12h", 129_600_000, "36h"),
            ("3w", 1_814_400_000, "3w"),
            ("1y", 31_536_000_000, "1y"),
            ("4w1d", 2_505_600_000, "29d"),
            ("324ms", 324, "324ms"),
        ] {
            assert_eq!(parse_ms(text), Ok(ms), "{text}");
            assert_eq!(format_ms(ms), back);
        }
        for bad in ["", "1", "-1s", "1s1m", "1m1m", "abc", "1.5h", "1 h", "294y", "99999999999999999999s"] {
            assert!(parse_ms(bad).is_err(), "{bad}");
        }
        let text = |s| parse_ms(s).map_err(|e| e.to_string());
        assert_eq!(text("5y1hs"), Err("unknown unit \"hs\" in duration \"5y1hs\"".to_string()));
        assert_eq!(text("5m1h"), Err("not a valid duration string: \"5m1h\"".to_string()));
    }
}
