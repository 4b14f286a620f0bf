//! The lexer inside quotes, and how its messages show characters.

use super::lex::{END_SHOWN, Lexed, Lexer};
use super::token::Kind;

impl Lexer<'_> {
    pub(super) fn string(&mut self, quote: char) -> Lexed {
        loop {
            match self.next() {
                Some('\\') => self.escape(quote)?,
                Some(END_SHOWN) => return self.fail("invalid UTF-8 rune"),
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some(c) if c == quote => return Some(Kind::Str),
                Some(_) => {}
            }
        }
    }

    pub(super) fn raw_string(&mut self) -> Lexed {
        loop {
            match self.next() {
                Some('`') => return Some(Kind::Str),
                Some(END_SHOWN) => return self.fail("invalid UTF-8 rune"),
                None => return self.fail("unterminated raw string"),
                Some(_) => {}
            }
        }
    }

    /// Checks what follows a backslash; [`unquote`](super::quoted::unquote) reads it.
    fn escape(&mut self, quote: char) -> Option<()> {
        let (digits, base, max) = match self.next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Some(()),
            Some(c) if c == quote => return Some(()),
            Some('0'..='7') => {
                self.pos -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, char::MAX as u32),
            Some('U') => (8, 16, char::MAX as u32),
            None => return self.fail("escape sequence not terminated").map(|_| ()),
            Some(c) => return self.fail(format!("unknown escape sequence {}", code_point(c))).map(|_| ()),
        };
        let mut value = 0u32;
        for _ in 0..digits {
            match self.next() {
                Some(c) if c.is_digit(base) => value = value.wrapping_mul(base) + c.to_digit(base).unwrap_or(0),
                Some(c) => return self.fail(format!("illegal character {} in escape sequence", code_point(c))).map(|_| ()),
                None => return self.fail("escape sequence not terminated").map(|_| ()),
            }
        }
        if value > max || (0xD800..0xE000).contains(&value) {
            return self.fail("escape sequence is an invalid Unicode code point").map(|_| ());
        }
        Some(())
    }
}

/// A character as Go's `%q` writes it.
pub(super) fn quote_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_string(),
        '"' => "'\"'".to_string(),
        _ => {
            let quoted = model::labels::quote(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// A character as Go's `%#U` writes it.
fn code_point(c: char) -> String {
    if quote_char(c).starts_with("'\\") && c != '\\' && c != '\'' { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}
