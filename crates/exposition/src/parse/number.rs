//! Numbers as pages write them.

/// A float as Go's `strconv.ParseFloat` reads it, without hexadecimal floats and underscores. NaN comes back as the ordinary NaN.
#[inline]
pub fn parse_float(b: &[u8]) -> Option<f64> {
    if let Some(n) = parse_small(b) {
        return Some(n);
    }
    parse_any(b)
}

/// Up to 15 digits: exact as an integer, and most of what counters send.
#[inline]
fn parse_small(b: &[u8]) -> Option<f64> {
    if b.is_empty() || b.len() > 15 {
        return None;
    }
    let mut n = 0u64;
    for c in b {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n * 10 + u64::from(d);
    }
    Some(n as f64)
}

fn parse_any(b: &[u8]) -> Option<f64> {
    let unsigned = match b.first()? {
        b'+' | b'-' => &b[1..],
        _ => b,
    };
    let first = *unsigned.first()?;
    if first.is_ascii_digit() || first == b'.' {
        let v: f64 = fast_float2::parse(unsigned).ok()?;
        // Digits that become infinity are out of range.
        let v = if b[0] == b'-' { -v } else { v };
        return v.is_finite().then_some(v);
    }
    let is = |word: &str| unsigned.eq_ignore_ascii_case(word.as_bytes());
    if is("inf") || is("infinity") {
        return Some(if b[0] == b'-' { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    (unsigned.len() == b.len() && is("nan")).then_some(f64::from_bits(model::sample::NORMAL_NAN_BITS))
}

/// A whole number of milliseconds: digits only.
#[inline]
pub(super) fn parse_millis(b: &[u8]) -> Option<i64> {
    if b.is_empty() || b.len() > 19 {
        return None;
    }
    let mut n = 0i64;
    for c in b {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(i64::from(d))?;
    }
    Some(n)
}

/// Seconds with a fraction as milliseconds, cut.
pub(super) fn parse_seconds(b: &[u8]) -> Option<i64> {
    parse_float(b).filter(|v| v.is_finite()).map(|v| (v * 1000.0) as i64)
}

/// A number as OpenMetrics wants it in `le` and `quantile`: with a point or an exponent.
pub fn format_openmetrics_float(v: f64) -> String {
    let mut s = model::number::format_g(v);
    if v.is_finite() && !s.contains(['e', '.']) {
        s.push_str(".0");
    }
    s
}

/// The value of an `le` or `quantile` label in that form; anything that is no number stays.
pub(super) fn normal_bound(value: &str) -> Option<String> {
    let s = format_openmetrics_float(parse_float(value.as_bytes())?);
    (s != value).then_some(s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, expect) in [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("+1.5", Some(1.5)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("1.234e-5", Some(1.234e-5)),
            ("12345678901234567890", Some(12345678901234567890.0)),
            ("Inf", Some(f64::INFINITY)),
            ("+Inf", Some(f64::INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("INFINITY", Some(f64::INFINITY)),
            ("1e999", None),
            ("0x1p4", None),
            ("1_000", None),
            ("", None),
            ("+", None),
            (".", None),
            ("1e", None),
            ("--1", None),
            ("+NaN", None),
            ("1 ", None),
        ] {
            assert_eq!(parse_float(text.as_bytes()).map(f64::to_bits), expect.map(f64::to_bits), "{text}");
        }
        assert_eq!(parse_float(b"nan").map(f64::to_bits), Some(model::sample::NORMAL_NAN_BITS));
        assert_eq!(parse_seconds(b"1520879607.789"), Some(1520879607789));
        assert_eq!(format_openmetrics_float(100.0), "100.0");
        assert_eq!(format_openmetrics_float(1e6), "1e+06");
        assert_eq!(format_openmetrics_float(f64::INFINITY), "+Inf");
    }

    proptest! {
        #[test]
        fn reads_back_every_float(v: f64) {
            prop_assume!(v.is_finite());
            prop_assert_eq!(parse_float(format!("{v:e}").as_bytes()).map(f64::to_bits), Some(v.to_bits()));
        }
    }
}
