//! `printf`: the verbs of Go's fmt for the values that templates have.

use super::value::Value;

struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// No field is padded beyond this.
const MAX_WIDTH: usize = 1000;

pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut s = Spec { minus: false, plus: false, sharp: false, space: false, zero: false, width: None, precision: None };
        while let Some(f) = chars.peek() {
            match f {
                '-' => s.minus = true,
                '+' => s.plus = true,
                '#' => s.sharp = true,
                ' ' => s.space = true,
                '0' => s.zero = true,
                _ => break,
            }
            chars.next();
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, next: &mut usize| -> Option<usize> {
            if chars.peek() == Some(&'*') {
                chars.next();
                let v = match args.get(*next) {
                    Some(Value::Int(n)) => usize::try_from(*n).ok(),
                    _ => None,
                };
                *next += 1;
                return v.map(|v| v.min(MAX_WIDTH));
            }
            let mut n = None;
            while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
                n = Some((n.unwrap_or(0usize).saturating_mul(10) + d as usize).min(MAX_WIDTH));
                chars.next();
            }
            n
        };
        s.width = number(&mut chars, &mut next);
        if chars.peek() == Some(&'.') {
            chars.next();
            s.precision = Some(number(&mut chars, &mut next).unwrap_or(0));
        }
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(arg) = args.get(next) else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        next += 1;
        format_one(&mut out, &s, verb, arg);
    }
    if next < args.len() {
        out.push_str("%!(EXTRA ");
        for (i, a) in args[next..].iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            out.push_str(&format!("{}={}", a.type_name(), a.text()));
        }
        out.push(')');
    }
    out
}

fn format_one(out: &mut String, s: &Spec, verb: char, arg: &Value) {
    let body = match (verb, arg) {
        ('v', Value::Float(f)) => float(s, 'g', *f),
        ('v', Value::Str(t)) if s.sharp => model::labels::quote(t),
        ('v', v) => v.text(),
        ('T', v) => v.type_name().to_string(),
        ('t', Value::Bool(b)) => b.to_string(),
        ('d', Value::Int(n) | Value::Duration(n)) => signed(s, *n < 0, &n.unsigned_abs().to_string()),
        ('d', Value::Uint(n)) => signed(s, false, &n.to_string()),
        ('b', Value::Int(n)) => signed(s, *n < 0, &format!("{:b}", n.unsigned_abs())),
        ('o', Value::Int(n)) => signed(s, *n < 0, &format!("{}{:o}", if s.sharp { "0" } else { "" }, n.unsigned_abs())),
        ('x', Value::Int(n)) => signed(s, *n < 0, &format!("{}{:x}", if s.sharp { "0x" } else { "" }, n.unsigned_abs())),
        ('X', Value::Int(n)) => signed(s, *n < 0, &format!("{}{:X}", if s.sharp { "0X" } else { "" }, n.unsigned_abs())),
        ('c', Value::Int(n)) => u32::try_from(*n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string(),
        ('q', Value::Int(n)) => format!("'{}'", u32::try_from(*n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')),
        ('U', Value::Int(n)) => format!("U+{n:04X}"),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(f)) => float(s, verb, *f),
        ('s', Value::Str(t)) => cut(s, t),
        ('s', v @ (Value::Time(_) | Value::Duration(_) | Value::Histogram(_))) => v.text(),
        ('q', Value::Str(t)) => {
            if s.sharp && !t.contains('`') {
                format!("`{t}`")
            } else {
                model::labels::quote(&cut(s, t))
            }
        }
        ('x', Value::Str(t)) => t.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::Str(t)) => t.bytes().map(|b| format!("{b:02X}")).collect(),
        (v, Value::Nil) => format!("%!{v}(<nil>)"),
        (v, other) => format!("%!{v}({}={})", other.type_name(), other.text()),
    };
    let width = s.width.unwrap_or(0);
    let missing = width.saturating_sub(body.chars().count());
    let numeric = matches!(arg, Value::Int(_) | Value::Uint(_) | Value::Float(_)) && !body.contains("Inf") && !body.contains("NaN");
    if s.minus {
        out.push_str(&body);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if s.zero && (numeric || matches!(arg, Value::Str(_))) {
        let (sign, digits) = match body.strip_prefix(['-', '+']) {
            Some(rest) if numeric => body.split_at(body.len() - rest.len()),
            _ => ("", body.as_str()),
        };
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(&body);
    }
}

fn cut(s: &Spec, text: &str) -> String {
    match s.precision {
        Some(p) => text.chars().take(p).collect(),
        None => text.to_string(),
    }
}

fn signed(s: &Spec, negative: bool, digits: &str) -> String {
    let digits = match s.precision {
        Some(p) if p > digits.len() => format!("{digits:0>p$}"),
        _ => digits.to_string(),
    };
    let sign = if negative {
        "-"
    } else if s.plus {
        "+"
    } else if s.space {
        " "
    } else {
        ""
    };
    format!("{sign}{digits}")
}

fn float(s: &Spec, verb: char, v: f64) -> String {
    let mut text = float_text(verb, s.precision, v.abs(), s.sharp);
    if v.is_nan() {
        text = "NaN".to_string();
    }
    let negative = v.is_sign_negative() && !v.is_nan();
    let sign = if negative {
        "-"
    } else if s.plus || v == f64::INFINITY {
        "+"
    } else if s.space {
        " "
    } else {
        ""
    };
    format!("{sign}{text}")
}

/// `%.3g` and the like of a number that is not negative.
pub fn float_text(verb: char, precision: Option<usize>, v: f64, sharp: bool) -> String {
    if v.is_infinite() {
        return "Inf".to_string();
    }
    let text = match verb.to_ascii_lowercase() {
        'f' => format!("{v:.*}", precision.unwrap_or(6)),
        'e' => exponent(v, precision.unwrap_or(6)),
        _ => match precision {
            None => {
                let mut t = String::new();
                model::number::write_g(&mut t, v);
                t
            }
            Some(p) => general(v, p.max(1), sharp),
        },
    };
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

fn exponent(v: f64, precision: usize) -> String {
    let t = format!("{v:.precision$e}");
    let (mantissa, e) = t.split_once('e').unwrap_or((&t, "0"));
    let n: i32 = e.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if n < 0 { '-' } else { '+' }, n.abs())
}

/// `%.{digits}g`: so many significant digits, an exponent when it is below -4 or not below the number of digits.
fn general(v: f64, digits: usize, keep_zeros: bool) -> String {
    if v == 0.0 {
        return "0".to_string();
    }
    let e = exponent(v, digits - 1);
    let (mantissa, exp) = e.split_once('e').unwrap_or((&e, "0"));
    let exp: i32 = exp.parse().unwrap_or(0);
    let trim = |t: &str| if t.contains('.') && !keep_zeros { t.trim_end_matches('0').trim_end_matches('.').to_string() } else { t.to_string() };
    if exp < -4 || exp >= digits as i32 {
        let sign = if exp < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exp.abs())
    } else {
        trim(&format!("{v:.*}", (digits as i32 - 1 - exp).max(0) as usize))
    }
}
