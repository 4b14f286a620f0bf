//! Text to tokens: what is between `{{` and `}}`, with trim markers and comments resolved.

use super::TemplateError;
use super::ast::Pos;

#[derive(Debug, Clone, PartialEq)]
pub enum Tok {
    Text(String),
    Open,
    Close,
    Space,
    /// Word: a function or a keyword.
    Ident(String),
    /// `.name`
    Field(String),
    /// `$` or `$name`
    Variable(String),
    Dot,
    Str(String, String),
    /// The text as written and its value.
    Char(String, i64),
    Number(String),
    Pipe,
    LeftParen,
    RightParen,
    Assign,
    Declare,
    Comma,
    Eof,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub tok: Tok,
    pub pos: Pos,
}

pub fn line_of(text: &str, pos: Pos) -> usize {
    text.as_bytes()[..pos.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

fn error(name: &str, text: &str, pos: Pos, message: impl std::fmt::Display) -> TemplateError {
    TemplateError(format!("template: {name}:{}: {message}", line_of(text, pos)))
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

pub fn lex(name: &str, text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let open = text[at..].find("{{").map(|i| at + i);
        let mut chunk = &text[at..open.unwrap_or(text.len())];
        let chunk_at = at;
        if trim_next {
            chunk = chunk.trim_start_matches([' ', '\t', '\r', '\n']);
        }
        let Some(open) = open else {
            if !chunk.is_empty() {
                out.push(Token { tok: Tok::Text(chunk.to_string()), pos: chunk_at });
            }
            out.push(Token { tok: Tok::Eof, pos: text.len() });
            return Ok(out);
        };
        let b = text.as_bytes();
        let mut i = open + 2;
        if b.get(i) == Some(&b'-') && b.get(i + 1).copied().is_some_and(is_space) {
            chunk = chunk.trim_end_matches([' ', '\t', '\r', '\n']);
            i += 2;
        }
        if !chunk.is_empty() {
            out.push(Token { tok: Tok::Text(chunk.to_string()), pos: chunk_at });
        }
        if text[i..].starts_with("/*") {
            let end = text[i..].find("*/").ok_or_else(|| error(name, text, i, "unclosed comment"))? + i + 2;
            let (rest, trim) = if text[end..].starts_with(" -}}") { (end + 4, true) } else { (end, false) };
            if trim {
                at = rest;
            } else if text[end..].starts_with("}}") {
                at = end + 2;
            } else {
                return Err(error(name, text, end, "comment ends before closing delimiter"));
            }
            trim_next = trim;
            continue;
        }
        out.push(Token { tok: Tok::Open, pos: open });
        (at, trim_next) = lex_action(name, text, i, &mut out)?;
    }
}

/// Lexes from behind `{{` to behind `}}`; says where it ended and whether what follows is to be trimmed.
fn lex_action(name: &str, text: &str, from: Pos, out: &mut Vec<Token>) -> Result<(Pos, bool), TemplateError> {
    let b = text.as_bytes();
    let mut i = from;
    let mut depth = 0i32;
    loop {
        let rest = &text[i..];
        let start = i;
        let mut push = |tok: Tok| out.push(Token { tok, pos: start });
        if rest.starts_with("}}") {
            if depth > 0 {
                return Err(error(name, text, i, "unclosed left paren"));
            }
            push(Tok::Close);
            return Ok((i + 2, false));
        }
        if rest.len() >= 4 && is_space(b[i]) && rest[1..].starts_with("-}}") {
            if depth > 0 {
                return Err(error(name, text, i, "unclosed left paren"));
            }
            push(Tok::Close);
            return Ok((i + 4, true));
        }
        let Some(c) = rest.chars().next() else { return Err(error(name, text, i, "unclosed action")) };
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                while i < b.len() && is_space(b[i]) && !(text[i + 1..].starts_with("-}}")) {
                    i += 1;
                }
                push(Tok::Space);
            }
            ':' if rest.starts_with(":=") => {
                push(Tok::Declare);
                i += 2;
            }
            ':' => return Err(error(name, text, i, "expected :=")),
            '=' => {
                push(Tok::Assign);
                i += 1;
            }
            '|' => {
                push(Tok::Pipe);
                i += 1;
            }
            ',' => {
                push(Tok::Comma);
                i += 1;
            }
            '(' => {
                depth += 1;
                push(Tok::LeftParen);
                i += 1;
            }
            ')' => {
                depth -= 1;
                if depth < 0 {
                    return Err(error(name, text, i, "unexpected right paren"));
                }
                push(Tok::RightParen);
                i += 1;
            }
            '"' => {
                let end = quoted_end(rest, '"').ok_or_else(|| error(name, text, i, "unterminated quoted string"))?;
                let value = unquote(&rest[1..end]).ok_or_else(|| error(name, text, i, "invalid syntax"))?;
                push(Tok::Str(value, rest[..=end].to_string()));
                i += end + 1;
            }
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| error(name, text, i, "unterminated raw quoted string"))? + 1;
                push(Tok::Str(rest[1..end].replace('\r', ""), rest[..=end].to_string()));
                i += end + 1;
            }
            '\'' => {
                let end = quoted_end(rest, '\'').ok_or_else(|| error(name, text, i, "unterminated character constant"))?;
                let value = unquote(&rest[1..end]).ok_or_else(|| error(name, text, i, "malformed character constant"))?;
                let mut chars = value.chars();
                match (chars.next(), chars.next()) {
                    (Some(c), None) => push(Tok::Char(rest[..=end].to_string(), i64::from(c as u32))),
                    _ => return Err(error(name, text, i, format!("malformed character constant: {}", &rest[..=end]))),
                }
                i += end + 1;
            }
            '$' => {
                let n = word_len(&rest[1..]);
                push(Tok::Variable(rest[..=n].to_string()));
                i += n + 1;
            }
            '.' if !b.get(i + 1).is_some_and(u8::is_ascii_digit) => {
                let n = word_len(&rest[1..]);
                push(if n == 0 { Tok::Dot } else { Tok::Field(rest[1..=n].to_string()) });
                i += n + 1;
            }
            '.' | '+' | '-' | '0'..='9' => {
                let n = number_len(rest);
                push(Tok::Number(rest[..n].to_string()));
                i += n;
            }
            c if c.is_alphabetic() || c == '_' => {
                let n = word_len(rest);
                push(Tok::Ident(rest[..n].to_string()));
                i += n;
            }
            c => return Err(error(name, text, i, format!("unrecognized character in action: U+{:04X}{}", c as u32, quoted_char(c)))),
        }
    }
}

fn quoted_char(c: char) -> String {
    if c.is_control() || (c.is_whitespace() && c != ' ') { String::new() } else { format!(" '{c}'") }
}

/// Bytes of the letters, digits and underscores at the front.
fn word_len(s: &str) -> usize {
    s.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(s.len())
}

fn number_len(s: &str) -> usize {
    let b = s.as_bytes();
    let mut i = usize::from(matches!(b.first(), Some(b'+' | b'-')));
    let hex = s[i..].starts_with("0x") || s[i..].starts_with("0X");
    if hex {
        i += 2;
    }
    while let Some(c) = b.get(i) {
        let exponent_sign = matches!(c, b'+' | b'-') && matches!(b[i - 1], b'e' | b'E' | b'p' | b'P') && !(hex && matches!(b[i - 1], b'e' | b'E'));
        if c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_') || exponent_sign {
            i += 1;
        } else {
            break;
        }
    }
    i.max(1)
}

/// Index of the closing quote; None when a newline or the end comes first.
fn quoted_end(s: &str, quote: char) -> Option<usize> {
    let mut it = s.char_indices().skip(1);
    while let Some((i, c)) = it.next() {
        match c {
            '\\' => {
                it.next()?;
            }
            '\n' => return None,
            c if c == quote => return Some(i),
            _ => {}
        }
    }
    None
}

/// Resolves Go's escapes.
fn unquote(s: &str) -> Option<String> {
    let mut out = Vec::with_capacity(s.len());
    let mut chars = s.chars();
    let push = |out: &mut Vec<u8>, c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        let e = chars.next()?;
        let hex = |chars: &mut std::str::Chars<'_>, n: usize| {
            let digits: String = chars.by_ref().take(n).collect();
            (digits.len() == n).then(|| u32::from_str_radix(&digits, 16).ok()).flatten()
        };
        match e {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '\'' | '"' => push(&mut out, e),
            'x' => out.push(hex(&mut chars, 2)? as u8),
            'u' => push(&mut out, char::from_u32(hex(&mut chars, 4)?)?),
            'U' => push(&mut out, char::from_u32(hex(&mut chars, 8)?)?),
            '0'..='7' => {
                let digits: String = std::iter::once(e).chain(chars.by_ref().take(2)).collect();
                out.push(u8::from_str_radix(&digits, 8).ok()?);
            }
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}
