//! Numbers as text: what the lexer takes for one, and its value by Go's rules (`0x1F`, `0755`, `1_000`, `5e-3`, `Inf`).

/// Reads a number from `start`: where reading stopped and whether it is one. What is read may still have no value ([`parse_number`]).
/// In series descriptions there are no hexadecimal numbers, since `x` repeats.
pub(super) fn scan_number(text: &[u8], start: usize, series: bool) -> (usize, bool) {
    let mut s = Scan { text, at: start };
    let mut hex = false;
    if !series && s.eat(|b| b == b'0') && s.eat(|b| b == b'x' || b == b'X') {
        s.eat(|b| b == b'_');
        hex = true;
    }
    let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    s.eat(|b| b == b'.');
    s.eat(is_digit);
    let (mut dot, mut exponent) = (false, false);
    while let Some(b) = s.peek() {
        match b {
            b'.' => {
                s.at += 1;
                if dot || s.eat(|b| b == b'_' || b == b'.') || hex {
                    return (s.at, false);
                }
                dot = true;
            }
            b'e' | b'E' => {
                s.at += 1;
                if exponent {
                    return (s.at, false);
                }
                exponent = true;
                s.eat(|b| b == b'+' || b == b'-');
                if s.eat(ends_badly) || s.peek().is_none() {
                    return (s.at, false);
                }
            }
            b'_' => {
                s.at += 1;
                if s.eat(ends_badly) || s.peek().is_none() {
                    return (s.at, false);
                }
            }
            _ if is_digit(b) => s.at += 1,
            _ => break,
        }
    }
    let good = s.at > start
        && match s.peek() {
            Some(b'x') if series => true,
            Some(b) => !super::lex::is_word(b),
            None => true,
        };
    (s.at, good)
}

/// What may follow neither an exponent nor an underscore.
fn ends_badly(b: u8) -> bool {
    matches!(b, b'.' | b'_' | b'e' | b'E')
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, accept: impl Fn(u8) -> bool) -> bool {
        let found = self.peek().is_some_and(accept);
        self.at += usize::from(found);
        found
    }
}

/// The value of a number: a whole one in any base, else a float. The error is worded as Go's strconv does.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(n) = parse_whole(text) {
        return Ok(n as f64);
    }
    let invalid = || format!("strconv.ParseFloat: parsing {}: invalid syntax", model::labels::quote(text));
    let plain;
    let digits = if text.contains('_') {
        if !underscores_ok(text) {
            return Err(invalid());
        }
        plain = text.replace('_', "");
        plain.as_str()
    } else {
        text
    };
    let value: f64 = digits.parse().map_err(|_| invalid())?;
    if value.is_infinite() && digits.bytes().any(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.ParseFloat: parsing {}: value out of range", model::labels::quote(text)));
    }
    Ok(value)
}

/// An integer of 63 bits as Go's `ParseInt` with base 0 reads it; a leading zero alone means octal.
fn parse_whole(text: &str) -> Option<i64> {
    if text.contains('_') && !underscores_ok(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase().replace('_', "");
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, base).ok()
}

/// Underscores stand between digits, or between the prefix of a base and a digit.
fn underscores_ok(text: &str) -> bool {
    let b = text.as_bytes();
    let prefixed = b.len() >= 2 && b[0] == b'0' && matches!(b[1].to_ascii_lowercase(), b'x' | b'o' | b'b');
    let hex = prefixed && b[1].eq_ignore_ascii_case(&b'x');
    let digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    b.iter().enumerate().filter(|(_, c)| **c == b'_').all(|(i, _)| {
        let before = i > 0 && (digit(b[i - 1]) || (prefixed && i == 2));
        before && b.get(i + 1).is_some_and(|c| digit(*c))
    })
}
