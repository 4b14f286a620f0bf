//! YAML text in go-yaml v2's style: lists at the indent of their key, strings bare where they can be.

use crate::scalar::{Resolved, resolve};
use crate::write::Value;

pub(crate) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Map(m) if !m.is_empty() => map(&mut out, m, 0, false),
        Value::Seq(s) if !s.is_empty() => seq(&mut out, s, 0, false),
        other => {
            inline(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, by: usize) {
    out.extend(std::iter::repeat_n(' ', by));
}

/// `started`: the indent of the first line is already written (after "- ").
fn map(out: &mut String, entries: &[(String, Value)], at: usize, started: bool) {
    for (i, (key, value)) in entries.iter().enumerate() {
        if i > 0 || !started {
            indent(out, at);
        }
        string(out, key, at, true);
        out.push(':');
        match value {
            Value::Map(m) if !m.is_empty() => {
                out.push('\n');
                map(out, m, at + 2, false);
            }
            Value::Seq(s) if !s.is_empty() => {
                out.push('\n');
                seq(out, s, at, false);
            }
            other => {
                out.push(' ');
                inline(out, other, at);
                out.push('\n');
            }
        }
    }
}

fn seq(out: &mut String, items: &[Value], at: usize, started: bool) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 || !started {
            indent(out, at);
        }
        out.push_str("- ");
        match item {
            Value::Map(m) if !m.is_empty() => map(out, m, at + 2, true),
            Value::Seq(s) if !s.is_empty() => seq(out, s, at + 2, true),
            other => {
                inline(out, other, at);
                out.push('\n');
            }
        }
    }
}

fn inline(out: &mut String, value: &Value, at: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Plain(s) => out.push_str(s),
        Value::Str(s) => string(out, s, at, false),
        Value::Seq(items) if items.is_empty() => out.push_str("[]"),
        // Only what stands inside a flow list comes here with items.
        Value::Seq(items) | Value::Flow(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                match item {
                    Value::Str(s) if s.contains([',', '[', ']', '{', '}', '?', ':', '\n']) => double_quoted(out, s),
                    other => inline(out, other, at),
                }
            }
            out.push(']');
        }
        Value::Map(_) => out.push_str("{}"),
    }
}

fn string(out: &mut String, s: &str, at: usize, is_key: bool) {
    let a = Analysis::of(s);
    if s.contains('\n') && !is_key && a.literal_ok {
        literal(out, s, at);
    } else if resolve(s, None) != Resolved::Str || s == "<<" || is_base_60(s) || looks_like_date(s) || a.special {
        double_quoted(out, s);
    } else if a.plain_ok {
        out.push_str(s);
    } else if a.single_ok {
        out.push('\'');
        out.push_str(&s.replace('\'', "''"));
        out.push('\'');
    } else {
        double_quoted(out, s);
    }
}

struct Analysis {
    plain_ok: bool,
    single_ok: bool,
    literal_ok: bool,
    special: bool,
}

impl Analysis {
    fn of(s: &str) -> Self {
        let mut indicators = s.starts_with("---") || s.starts_with("...");
        let (mut special, mut line_break, mut space_break, mut break_space) = (false, false, false, false);
        let mut previous = '\n';
        let mut chars = s.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            let space_follows = chars.peek().is_none_or(|n| matches!(n, ' ' | '\t' | '\n' | '\r'));
            let blank_before = matches!(previous, ' ' | '\t' | '\n' | '\r');
            indicators |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => true,
                '?' | '-' if first => space_follows,
                ':' => space_follows,
                '#' => blank_before,
                _ => false,
            };
            line_break |= c == '\n';
            space_break |= c == '\n' && previous == ' ';
            break_space |= c == ' ' && previous == '\n' && !first;
            special |= (c.is_control() && c != '\n') || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}');
            (previous, first) = (c, false);
        }
        let edge_space = s.starts_with(' ') || s.ends_with(' ');
        Analysis {
            plain_ok: !(indicators || line_break || edge_space || special || s.is_empty()),
            single_ok: !(special || space_break || line_break),
            literal_ok: !(special || space_break || s.ends_with(' ') || s.starts_with([' ', '\n']) && break_space),
            special,
        }
    }
}

fn literal(out: &mut String, s: &str, at: usize) {
    let body = s.trim_end_matches('\n');
    let trailing = s.len() - body.len();
    out.push('|');
    if s.starts_with([' ', '\n']) {
        out.push('2');
    }
    match trailing {
        0 => out.push('-'),
        1 if !body.is_empty() => {}
        _ => out.push('+'),
    }
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, at + 2);
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', trailing.saturating_sub(1)));
}

fn double_quoted(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\x1b' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            '\u{feff}' => out.push_str("\\uFEFF"),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`, which older readers take for a number.
fn is_base_60(s: &str) -> bool {
    let s = s.strip_prefix(['-', '+']).unwrap_or(s);
    let mut parts = s.split(':');
    let head = parts.next().unwrap_or_default();
    if !head.starts_with(|c: char| c.is_ascii_digit()) || !head.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |p: &str| match p.as_bytes() {
        [d] => d.is_ascii_digit(),
        [t, d] => (b'0'..=b'5').contains(t) && d.is_ascii_digit(),
        _ => false,
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|p| sixty(p)) && sixty(last) && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// `2020-01-01...`, which go-yaml would take for a time.
fn looks_like_date(s: &str) -> bool {
    let b = s.as_bytes();
    b.len() >= 8 && b[..4].iter().all(u8::is_ascii_digit) && b[4] == b'-' && b[5].is_ascii_digit()
}
