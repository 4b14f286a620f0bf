//! Floats as Go's strconv writes and reads them, for the API, the text formats, PromQL's printer and templates.

/// `strconv.FormatFloat(v, 'f', -1, 64)`: shortest digits that read back, never an exponent. `NaN`, `+Inf`, `-Inf`.
pub fn write_f(out: &mut String, v: f64) {
    if let Some(s) = special(v) {
        out.push_str(s);
    } else if v == v.trunc() && v.abs() < 1e15 && !(v == 0.0 && v.is_sign_negative()) {
        out.push_str(itoa::Buffer::new().format(v as i64));
    } else if WITHOUT_EXPONENT.contains(&v.abs()) {
        let mut buf = zmij::Buffer::new();
        let s = buf.format_finite(v);
        out.push_str(s.strip_suffix(".0").unwrap_or(s));
    } else {
        let (neg, digits, exp) = shortest(v);
        if neg {
            out.push('-');
        }
        push_plain(out, &digits, exp);
    }
}

/// As Prometheus' API writes values of samples: plain, with an exponent below 1e-6 and from 1e21 on.
pub fn write_api(out: &mut String, v: f64) {
    let abs = v.abs();
    if abs == 0.0 || !v.is_finite() || (1e-6..1e21).contains(&abs) {
        return write_f(out, v);
    }
    let (neg, digits, exp) = shortest(v);
    if neg {
        out.push('-');
    }
    push_exponent(out, &digits, exp - 1);
}

/// [`write_f`] into bytes: what answers are written with.
#[inline]
pub fn push_f(out: &mut Vec<u8>, v: f64) {
    push_usual(out, v).unwrap_or_else(|| out.extend_from_slice(format_f(v).as_bytes()));
}

/// [`write_api`] into bytes.
#[inline]
pub fn push_api(out: &mut Vec<u8>, v: f64) {
    push_usual(out, v).unwrap_or_else(|| {
        let mut text = String::with_capacity(32);
        write_api(&mut text, v);
        out.extend_from_slice(text.as_bytes());
    });
}

/// Numbers that all ways of writing write alike; None for others.
#[inline]
fn push_usual(out: &mut Vec<u8>, v: f64) -> Option<()> {
    let whole = v as i64;
    if whole as f64 == v && v.abs() < 1e15 && !(v == 0.0 && v.is_sign_negative()) {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else if WITHOUT_EXPONENT.contains(&v.abs()) {
        let mut buf = zmij::Buffer::new();
        let s = buf.format_finite(v).as_bytes();
        out.extend_from_slice(s.strip_suffix(b".0").unwrap_or(s));
    } else {
        return None;
    }
    Some(())
}

/// Where the shortest digits come without an exponent.
const WITHOUT_EXPONENT: std::ops::Range<f64> = 1e-5..1e16;

/// `strconv.FormatFloat(v, 'g', -1, 64)`, which is also `%v`: an exponent below 1e-4 and from 1e6 on.
pub fn write_g(out: &mut String, v: f64) {
    if let Some(s) = special(v) {
        out.push_str(s);
        return;
    }
    let (neg, digits, exp) = shortest(v);
    if neg {
        out.push('-');
    }
    let x = exp - 1;
    if !(-4..6).contains(&x) {
        push_exponent(out, &digits, x);
    } else {
        push_plain(out, &digits, exp);
    }
}

pub fn format_f(v: f64) -> String {
    let mut s = String::with_capacity(24);
    write_f(&mut s, v);
    s
}

pub fn format_g(v: f64) -> String {
    let mut s = String::with_capacity(24);
    write_g(&mut s, v);
    s
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v == f64::INFINITY {
        Some("+Inf")
    } else if v == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

fn push_exponent(out: &mut String, digits: &str, x: i32) {
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    out.push('e');
    out.push(if x < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}", x.unsigned_abs()));
}

/// Sign, shortest decimal digits without leading or trailing zeros, and the place of the point: 0.DIGITS x 10^exp.
fn shortest(v: f64) -> (bool, String, i32) {
    let neg = v.is_sign_negative();
    if v == 0.0 {
        return (neg, "0".to_string(), 1);
    }
    let mut buf = zmij::Buffer::new();
    let s = buf.format_finite(v.abs());
    let (mantissa, e) = s.split_once('e').map_or((s, 0), |(m, e)| (m, e.parse::<i32>().unwrap_or(0)));
    let (int, frac) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: String = format!("{int}{frac}");
    let mut exp = int.len() as i32 + e;
    let lead = digits.bytes().take_while(|b| *b == b'0').count();
    digits.drain(..lead);
    exp -= lead as i32;
    digits.truncate(digits.trim_end_matches('0').len());
    (neg, digits, exp)
}

fn push_plain(out: &mut String, digits: &str, exp: i32) {
    if exp <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exp) as usize));
        out.push_str(digits);
    } else if digits.len() <= exp as usize {
        out.push_str(digits);
        out.extend(std::iter::repeat_n('0', exp as usize - digits.len()));
    } else {
        out.push_str(&digits[..exp as usize]);
        out.push('.');
        out.push_str(&digits[exp as usize..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        for (v, f, g) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (1.5, "1.5", "1.5"),
            (-123.25, "-123.25", "-123.25"),
            (1e21, "1000000000000000000000", "1e+21"),
            (1.234567e6, "1234567", "1.234567e+06"),
            (1e20, "100000000000000000000", "1e+20"),
            (123_456.0, "123456", "123456"),
            (1e-5, "0.00001", "1e-05"),
            (0.0001, "0.0001", "0.0001"),
            (1.0 / 3.0, "0.3333333333333333", "0.3333333333333333"),
            (1.5e-5, "0.000015", "1.5e-05"),
            (-9.999_999e-6, "-0.000009999999", "-9.999999e-06"),
            (9_007_199_254_740_993.0, "9007199254740992", "9.007199254740992e+15"),
            (9_999_999_999_999_998.0, "9999999999999998", "9.999999999999998e+15"),
            (-1e16, "-10000000000000000", "-1e+16"),
            (1.797_693_134_862_315_7e308, &format!("17976931348623157{}", "0".repeat(292)), "1.7976931348623157e+308"),
            (5e-324, &format!("0.{}5", "0".repeat(323)), "5e-324"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(format_f(v), f);
            let mut bytes = Vec::new();
            push_f(&mut bytes, v);
            assert_eq!(String::from_utf8_lossy(&bytes), f);
            let (mut bytes, mut text) = (Vec::new(), String::new());
            push_api(&mut bytes, v);
            write_api(&mut text, v);
            assert_eq!(String::from_utf8_lossy(&bytes), text);
            assert_eq!(format_g(v), g, "{v}");
        }
    }
}
