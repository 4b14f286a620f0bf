//! Arguments of API calls: times, durations, limits, selectors, with Prometheus' error texts.

use super::envelope::ApiError;
use crate::server::{Params, Req};
use model::Matcher;

/// The earliest and latest time that stand for "no bound".
pub const MIN_TIME_MS: i64 = i64::MIN / 1000 * 1000 + 62_135_596_801_000;
pub const MAX_TIME_MS: i64 = i64::MAX / 1000 * 1000 - 62_135_596_801_000 + 999;

/// How Go writes those two; clients send them back.
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "+292277025-08-18T07:12:54.999999999Z";

/// RFC 3339 or seconds since the epoch.
pub fn parse_time_ms(s: &str) -> Result<i64, String> {
    if let Some(t) = parse_float(s) {
        if t.is_nan() {
            return Err(format!("cannot parse {s:?} to a valid timestamp"));
        }
        // Beyond the range of milliseconds a bound is as good as no bound.
        let whole = t.trunc();
        let ms = ((t - whole) * 1000.0).round();
        return Ok(((whole * 1000.0 + ms) as i64).clamp(MIN_TIME_MS, MAX_TIME_MS));
    }
    match s {
        MIN_TIME_TEXT => Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => Ok(MAX_TIME_MS),
        _ => model::time::parse_rfc3339_ms(s).ok_or_else(|| format!("cannot parse {s:?} to a valid timestamp")),
    }
}

/// Seconds as a number, or `5m`. Milliseconds.
pub fn parse_duration_ms(s: &str) -> Result<i64, String> {
    if let Some(d) = parse_float(s) {
        let ns = d * 1e9;
        if ns.is_nan() || ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(format!("cannot parse {s:?} to a valid duration. It overflows int64"));
        }
        return Ok((ns / 1e6) as i64);
    }
    model::duration::parse_ms(s).map_err(|_| format!("cannot parse {s:?} to a valid duration"))
}

/// As Go's ParseFloat: Rust's grammar plus hexadecimal is close enough, but no surrounding spaces and no bare words but inf and nan.
fn parse_float(s: &str) -> Option<f64> {
    if s.is_empty() || s.starts_with(char::is_whitespace) { None } else { s.parse().ok() }
}

pub fn time_or(p: &Params, name: &str, default_ms: i64) -> Result<i64, ApiError> {
    match p.get(name) {
        "" => Ok(default_ms),
        s => parse_time_ms(s).map_err(|e| ApiError::param(name, format!("invalid time value for '{name}': {e}"))),
    }
}

/// 0 for no limit.
pub fn limit(p: &Params) -> Result<usize, ApiError> {
    match p.get("limit") {
        "" => Ok(0),
        s => match s.parse::<i64>() {
            Ok(n) if n < 0 => Err(ApiError::param("limit", "limit must be non-negative")),
            Ok(n) => Ok(n as usize),
            Err(_) => Err(ApiError::param("limit", format!("strconv.Atoi: parsing {s:?}: invalid syntax"))),
        },
    }
}

/// One more than the limit, so that it is seen whether something was cut off.
pub fn hint(limit: usize) -> usize {
    if limit == 0 { 0 } else { limit.saturating_add(1) }
}

/// The selectors of `match[]`, each with at least one matcher that does not match "".
pub fn matcher_sets(req: &Req) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut sets = Vec::new();
    for s in req.params.all("match[]") {
        let set = promql::parse::parse_metric_selector(s).map_err(|e| ApiError::bad_data(e.to_string()))?;
        if set.iter().all(Matcher::matches_empty) {
            return Err(ApiError::bad_data("match[] must contain at least one non-empty matcher"));
        }
        sets.push(set);
    }
    Ok(sets)
}

/// Optional, as Go's `strconv.ParseBool` reads it.
pub fn parse_bool(s: &str) -> Result<bool, String> {
    match s {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {s:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        for (s, ms) in [
            ("0", 0),
            ("1435781451.781", 1_435_781_451_781),
            ("-1.5", -1500),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("1e3", 1_000_000),
            ("1790000000000000", 1_790_000_000_000_000_000),
        ] {
            assert_eq!(parse_time_ms(s), Ok(ms), "{s}");
        }
        assert_eq!(parse_time_ms("now"), Err(r#"cannot parse "now" to a valid timestamp"#.to_string()));
        assert_eq!(parse_time_ms(MAX_TIME_TEXT), Ok(MAX_TIME_MS));
        assert_eq!(parse_duration_ms("0.5"), Ok(500));
        assert_eq!(parse_duration_ms("1m30s"), Ok(90_000));
        assert!(parse_duration_ms("1e99").is_err() && parse_duration_ms("x").is_err());
    }
}
