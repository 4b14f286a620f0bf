//! What Go's libraries say of numbers, times and files: the tool's answers are read by scripts that know these words.

use std::io;

/// `strconv.ParseFloat`.
pub fn parse_float(s: &str) -> Result<f64, String> {
    let invalid = || format!("strconv.ParseFloat: parsing {}: invalid syntax", model::labels::quote(s));
    let lower = s.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let begins_well =
        s.len() - lower.len() <= 1 && (lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') || matches!(&*lower, "inf" | "infinity" | "nan"));
    if !begins_well {
        return Err(invalid());
    }
    s.parse::<f64>().map_err(|_| invalid())
}

/// A URL as Go's `url.Parse` takes it: also one without a scheme.
pub fn parse_url(s: &str) -> Result<yaml::Url, String> {
    let first = s.split('/').next().unwrap_or_default();
    let scheme_like = first.split(':').next().is_some_and(|c| c.starts_with(|c: char| c.is_ascii_alphabetic()));
    if first.contains(':') && !scheme_like && !first.starts_with(':') {
        return Err(format!("parse {}: first path segment in URL cannot contain colon", model::labels::quote(s)));
    }
    yaml::Url::parse(s)
}

/// An error of the system without Rust's number behind it, in lower case.
pub fn io_error(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_lowercase().chain(chars).collect())
}

/// The tool's points in time: seconds since the epoch with a fraction, or RFC 3339. Milliseconds.
pub fn parse_time_ms(s: &str) -> Result<i64, String> {
    if let Ok(t) = parse_float(s) {
        return Ok((t * 1000.0).trunc() as i64);
    }
    model::time::parse_rfc3339_ms(s).ok_or_else(|| format!("cannot parse {} to a valid timestamp", model::labels::quote(s)))
}

/// `strconv.FormatFloat(v, 'E', -1, 64)`.
pub fn format_e(v: f64) -> String {
    if !v.is_finite() {
        return model::number::format_f(v);
    }
    let text = format!("{v:E}");
    let (mantissa, exponent) = text.split_once('E').expect("the format has it");
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
    format!("{mantissa}E{sign}{digits:0>2}")
}

/// `time.Duration.String()`: `1h0m0s`, `1.5s`, `300ms`.
pub fn duration(ns: i64) -> String {
    let plus = |v: f64, unit: &str| format!("{}{unit}", model::number::format_f(v));
    let (sign, n) = if ns < 0 { ("-", ns.unsigned_abs()) } else { ("", ns as u64) };
    let text = match n {
        0 => "0s".to_string(),
        1..1_000 => format!("{n}ns"),
        1_000..1_000_000 => plus(n as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => plus(n as f64 / 1e6, "ms"),
        _ => {
            let (h, m) = (n / 3_600_000_000_000, n / 60_000_000_000 % 60);
            let s = plus((n % 60_000_000_000) as f64 / 1e9, "s");
            match (h, m) {
                (0, 0) => s,
                (0, m) => format!("{m}m{s}"),
                (h, m) => format!("{h}h{m}m{s}"),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_says_it() {
        for (v, text) in
            [(0.0, "0E+00"), (1.0, "1E+00"), (-12.5, "-1.25E+01"), (1e-7, "1E-07"), (1.5e300, "1.5E+300"), (f64::NAN, "NaN"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(format_e(v), text);
        }
        for (ns, text) in [(0, "0s"), (3_600_000_000_000, "1h0m0s"), (90_000_000_000, "1m30s"), (1_500_000_000, "1.5s"), (300_000_000, "300ms")] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!(parse_time_ms("1.5"), Ok(1500));
        assert_eq!(parse_time_ms("1970-01-01T00:00:02Z"), Ok(2000));
        assert_eq!(parse_time_ms("x"), Err("cannot parse \"x\" to a valid timestamp".to_string()));
        assert!(parse_float("1e6").is_ok() && parse_float("+Inf").is_ok() && parse_float("x").is_err() && parse_float("--1").is_err());
        assert!(parse_url("127.0.0.1:9090").is_err() && parse_url("http://x").is_ok());
    }
}
