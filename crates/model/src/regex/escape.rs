//! Single characters of a pattern as they may be written: themselves, `\n`, `\x41`, `\x{1F600}`, `\101`, `\.`.

use super::RegexError;
use super::parse::{INVALID_ESCAPE, error};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// One character of a class, as a code point: surrogates may be written, though they match nothing.
pub(super) fn class_char<'t>(text: &'t str, whole: &str) -> Result<(u32, &'t str), RegexError> {
    let Some(c) = text.chars().next() else { return Err(error("missing closing ]", whole)) };
    if c == '\\' {
        return code_point_escape(text);
    }
    Ok((c as u32, &text[c.len_utf8()..]))
}

/// The characters from `low` to `high`, both included.
pub(super) fn code_points(low: u32, high: u32) -> ClassUnicode {
    const LAST_BEFORE_SURROGATES: u32 = 0xD7FF;
    const FIRST_BEHIND_SURROGATES: u32 = 0xE000;
    let mut class = ClassUnicode::empty();
    for (a, b) in [(low, high.min(LAST_BEFORE_SURROGATES)), (low.max(FIRST_BEHIND_SURROGATES), high)] {
        if let (Some(a), Some(b), true) = (char::from_u32(a), char::from_u32(b), a <= b) {
            class.push(ClassUnicodeRange::new(a, b));
        }
    }
    class
}

/// The character an escape stands for; None for a surrogate.
pub(super) fn char_escape(text: &str) -> Result<(Option<char>, &str), RegexError> {
    code_point_escape(text).map(|(c, after)| (char::from_u32(c), after))
}

fn code_point_escape(text: &str) -> Result<(u32, &str), RegexError> {
    let mut chars = text[1..].chars();
    let Some(c) = chars.next() else { return Err(error("trailing backslash at end of expression", "")) };
    let simple = match c {
        'a' => 7,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        'x' => return hex_escape(text, chars.as_str()),
        '0'..='7' => {
            let digits = chars.as_str().bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
            // One digit would be a back reference, which there is not.
            if c == '0' || digits > 0 {
                let value = u32::from_str_radix(&text[1..2 + digits], 8).unwrap_or(0);
                return Ok((value, &text[2 + digits..]));
            }
            return Err(error(INVALID_ESCAPE, &text[..2]));
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c as u32,
        _ => return Err(error(INVALID_ESCAPE, &text[..1 + c.len_utf8()])),
    };
    Ok((simple, chars.as_str()))
}

/// `after` is what follows `\x`: two digits, or any number in braces.
fn hex_escape<'t>(text: &'t str, after: &'t str) -> Result<(u32, &'t str), RegexError> {
    let mut chars = after.chars();
    let mut value = 0;
    let mut digits = 0;
    let braced = after.starts_with('{');
    if braced {
        chars.next();
    }
    loop {
        if !braced && digits == 2 {
            return Ok((value, chars.as_str()));
        }
        match chars.next() {
            Some('}') if braced && digits > 0 => return Ok((value, chars.as_str())),
            Some(c) if c.is_ascii_hexdigit() => value = value * 16 + c.to_digit(16).unwrap_or(0),
            other => {
                // Of two digits both are read before either is looked at.
                if !braced && digits == 0 && other.is_some() {
                    chars.next();
                }
                break;
            }
        }
        digits += 1;
        if value > char::MAX as u32 {
            break;
        }
    }
    Err(error(INVALID_ESCAPE, &text[..text.len() - chars.as_str().len()]))
}
