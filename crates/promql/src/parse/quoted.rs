//! The text inside quotes, with Go's escapes read: `\n`, `\x41`, `\101`, `\u00e9`, `\U0001F600`. Backticks escape nothing.
//!
//! Go strings may hold any bytes, ours are UTF-8: bytes written as `\xff` that do not form a character become U+FFFD, each for itself, as they do
//! in Go's JSON. Printed they are escapes again.

use model::labels::quote;

/// The text inside quotes.
#[derive(Debug, PartialEq)]
pub(super) struct Unquoted {
    pub value: String,
    /// In quotes, where that does not follow from the value.
    pub printed: Option<String>,
}

impl From<&str> for Unquoted {
    fn from(s: &str) -> Self {
        Unquoted { value: s.to_string(), printed: None }
    }
}

/// `quoted` includes its quotes and has passed the lexer. None when it is malformed nevertheless.
pub(super) fn unquote(quoted: &str) -> Option<Unquoted> {
    let quote = *quoted.as_bytes().first()?;
    if quoted.len() < 2 || quoted.as_bytes().last() != Some(&quote) {
        return None;
    }
    let inner = &quoted[1..quoted.len() - 1];
    if quote == b'`' || !inner.contains('\\') {
        return Some(inner.into());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, escaped)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        rest = read_escape(escaped, quote, &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(match String::from_utf8(out) {
        Ok(value) => Unquoted { value, printed: None },
        Err(e) => with_stray_bytes(e.as_bytes()),
    })
}

fn with_stray_bytes(bytes: &[u8]) -> Unquoted {
    let (mut value, mut printed) = (String::new(), String::from("\""));
    for chunk in bytes.utf8_chunks() {
        value.push_str(chunk.valid());
        let quoted = quote(chunk.valid());
        printed.push_str(&quoted[1..quoted.len() - 1]);
        for b in chunk.invalid() {
            value.push(char::REPLACEMENT_CHARACTER);
            printed.push_str(&format!("\\x{b:02x}"));
        }
    }
    printed.push('"');
    Unquoted { value, printed: Some(printed) }
}

/// Reads what follows a backslash and returns what is left.
fn read_escape<'a>(text: &'a str, quote: u8, out: &mut Vec<u8>) -> Option<&'a str> {
    let first = text.chars().next()?;
    let after = &text[first.len_utf8()..];
    let simple = match first {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote as char => quote,
        '0'..='7' => {
            out.push(u8::from_str_radix(text.get(..3)?, 8).ok()?);
            return text.get(3..);
        }
        'x' => {
            out.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
            return after.get(2..);
        }
        'u' | 'U' => {
            let digits = if first == 'u' { 4 } else { 8 };
            let c = char::from_u32(u32::from_str_radix(after.get(..digits)?, 16).ok()?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return after.get(digits..);
        }
        _ => return None,
    };
    out.push(simple);
    Some(after)
}
