//! Text to words. What a character means depends on where it stands: in the open, inside braces, inside brackets, or in the values of
//! a series description; so the lexer has modes, and a word is only read when the parser asks for it.
//!
//! After an error the lexer yields nothing but [`Kind::Error`].

use super::ast::{BinaryOp, Span};
use super::lex_text::quote_char;
use super::number::scan_number;
use super::token::{Keyword, Kind, Token, duration_keyword, keyword};

/// Stands for the end of the text where a message shows a character.
pub(super) const END_SHOWN: char = char::REPLACEMENT_CHARACTER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The open text; also what follows once something else has been read inside brackets.
    Statements,
    Braces,
    /// Behind `[`, up to the first number.
    Length,
    /// Series descriptions, in `lex_series.rs`.
    Values,
    Histogram,
    Buckets,
}

/// What the character behind a closed histogram means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterHistogram {
    No,
    Inside,
    Operator(Kind),
}

pub(super) struct Lexer<'a> {
    pub(super) text: &'a str,
    pub(super) pos: usize,
    pub(super) start: usize,
    pub(super) mode: Mode,
    pub(super) message: Option<String>,
    pub(super) series: bool,
    pub(super) histogram: AfterHistogram,
    pub(super) bracket_open: bool,
    paren_depth: usize,
    brace_open: bool,
    got_colon: bool,
    got_length: bool,
}

/// A word, or an error whose message has been noted.
pub(super) type Lexed = Option<Kind>;

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str, series: bool) -> Lexer<'a> {
        Lexer {
            text,
            pos: 0,
            start: 0,
            mode: Mode::Statements,
            message: None,
            series,
            histogram: AfterHistogram::No,
            bracket_open: false,
            paren_depth: 0,
            brace_open: false,
            got_colon: false,
            got_length: false,
        }
    }

    /// The next word. An error spans from where it was found to the end of the text.
    pub fn next_token(&mut self) -> Token {
        if self.message.is_none() {
            self.start = self.pos;
            if let Some(kind) = self.lex() {
                return Token { kind, span: Span::new(self.start, self.pos) };
            }
        }
        Token { kind: Kind::Error, span: Span::new(self.start, self.text.len()) }
    }

    pub fn error_message(&self) -> &str {
        self.message.as_deref().unwrap_or("")
    }

    fn lex(&mut self) -> Lexed {
        // Whatever has been read, an open brace or histogram decides how to go on.
        if self.mode == Mode::Statements && self.histogram != AfterHistogram::No {
            self.mode = Mode::Histogram;
        } else if self.mode == Mode::Statements && self.brace_open {
            self.mode = Mode::Braces;
        }
        match self.mode {
            Mode::Statements => self.statements(),
            Mode::Braces => self.braces(),
            Mode::Length => self.length(),
            Mode::Values => self.values(),
            Mode::Histogram => self.histogram(),
            Mode::Buckets => self.buckets(),
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        let byte = *self.text.as_bytes().get(self.pos)?;
        if byte < 0x80 { Some(byte as char) } else { self.text[self.pos..].chars().next() }
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.pos += c.len_utf8();
        }
        found
    }

    pub(super) fn eat_while(&mut self, accept: impl Fn(u8) -> bool) {
        self.pos += self.text.as_bytes()[self.pos..].iter().take_while(|b| accept(**b)).count();
    }

    /// Leaves out white space and, where `comments` may stand, these too.
    pub(super) fn skip(&mut self, comments: bool) {
        loop {
            self.eat_while(is_space);
            if !comments || self.peek() != Some('#') {
                break;
            }
            self.eat_while(|b| b != b'\n' && b != b'\r');
        }
        self.start = self.pos;
    }

    pub(super) fn fail(&mut self, message: impl Into<String>) -> Lexed {
        self.message = Some(message.into());
        None
    }

    fn fail_at(&mut self, what: &str, c: Option<char>) -> Lexed {
        self.fail(format!("{what}: {}", quote_char(c.unwrap_or(END_SHOWN))))
    }

    /// An error behind a word that is already read.
    fn fail_behind(&mut self, message: impl Into<String>) -> Lexed {
        self.start = self.pos;
        self.fail(message)
    }

    fn statements(&mut self) -> Lexed {
        self.skip(true);
        let Some(c) = self.next() else {
            return match (self.paren_depth, self.bracket_open) {
                (0, false) => Some(Kind::Eof),
                (0, true) => self.fail("unclosed left bracket"),
                _ => self.fail("unclosed left parenthesis"),
            };
        };
        Some(match c {
            ',' => Kind::Comma,
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '^' => Kind::Op(BinaryOp::Pow),
            '@' => Kind::At,
            '=' if self.eat('=') => Kind::Op(BinaryOp::Eql),
            '=' if self.peek() == Some('~') => return self.fail("unexpected character after '=': '~'"),
            '=' => Kind::Assign,
            '!' if self.eat('=') => Kind::Op(BinaryOp::Neq),
            '!' => return self.fail_at("unexpected character after '!'", self.peek()),
            '<' if self.eat('=') => Kind::Op(BinaryOp::Lte),
            '<' if self.eat('/') => Kind::Op(BinaryOp::TrimUpper),
            '<' => Kind::Op(BinaryOp::Lss),
            '>' if self.eat('=') => Kind::Op(BinaryOp::Gte),
            '>' if self.eat('/') => Kind::Op(BinaryOp::TrimLower),
            '>' => Kind::Op(BinaryOp::Gtr),
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '(' => {
                self.paren_depth += 1;
                Kind::LeftParen
            }
            ')' => return self.right_paren(),
            '{' => {
                self.brace_open = true;
                self.mode = Mode::Braces;
                Kind::LeftBrace
            }
            '[' if self.bracket_open => return self.fail("unexpected left bracket '['"),
            '[' => {
                self.bracket_open = true;
                self.got_colon = false;
                self.mode = Mode::Length;
                Kind::LeftBracket
            }
            ']' if !self.bracket_open => return self.fail("unexpected right bracket ']'"),
            ']' => {
                self.bracket_open = false;
                Kind::RightBracket
            }
            _ if self.at_number(c) => return self.number_or_duration(),
            _ if is_word_start(c) || c == ':' => return self.word(c),
            _ => return self.fail_at("unexpected character", Some(c)),
        })
    }

    fn right_paren(&mut self) -> Lexed {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Some(Kind::RightParen)
            }
            None => self.fail_behind("unexpected right parenthesis ')'"),
        }
    }

    /// Did the character just read start a number?
    pub(super) fn at_number(&self, c: char) -> bool {
        c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit()))
    }

    /// A word in the open; inside brackets only those of duration expressions, and the colon of a subquery.
    fn word(&mut self, first: char) -> Lexed {
        if !self.bracket_open {
            self.pos = self.start;
            return self.keyword_or_identifier();
        }
        if first == ':' {
            if self.got_colon {
                return self.fail("unexpected colon ':'");
            }
            self.got_colon = true;
            return Some(Kind::Colon);
        }
        if let Some(kind) = self.length_keyword(first) {
            return Some(kind);
        }
        self.fail(format!("unexpected character: {}, expected ':'", quote_char(first)))
    }

    fn length_keyword(&mut self, first: char) -> Lexed {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.eat_while(|b| b.is_ascii_alphabetic() || b == b'_');
        duration_keyword(&self.text[self.start..self.pos])
    }

    pub(super) fn keyword_or_identifier(&mut self) -> Lexed {
        self.eat_while(|b| is_word(b) || b == b':');
        let word = &self.text[self.start..self.pos];
        let kind = match keyword(word) {
            // Also names of metrics: modifiers only in front of a parenthesis.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) if !self.before_paren() => Kind::Identifier,
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.mode = if self.series && self.peek() != Some('{') { Mode::Values } else { Mode::Statements };
        Some(kind)
    }

    fn before_paren(&self) -> bool {
        self.text.as_bytes()[self.pos..].iter().find(|b| !is_space(**b)) == Some(&b'(')
    }

    fn braces(&mut self) -> Lexed {
        self.skip(true);
        let Some(c) = self.next() else { return self.fail("unexpected end of input inside braces") };
        Some(match c {
            ',' => Kind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.eat('~') => Kind::EqlRegex,
            '=' => Kind::Assign,
            '!' if self.eat('~') => Kind::NeqRegex,
            '!' if self.eat('=') => Kind::Op(BinaryOp::Neq),
            '!' => return self.fail_at("unexpected character after '!' inside braces", self.peek()),
            '{' => return self.fail("unexpected left brace '{'"),
            '}' => {
                self.brace_open = false;
                self.mode = if self.series { Mode::Values } else { Mode::Statements };
                Kind::RightBrace
            }
            _ if is_word_start(c) => {
                self.eat_while(is_word);
                Kind::Identifier
            }
            _ => return self.fail_at("unexpected character inside braces", Some(c)),
        })
    }

    /// Inside brackets, before the first number.
    fn length(&mut self) -> Lexed {
        self.skip(false);
        let Some(c) = self.next() else { return self.fail("unexpected end of input in duration expression") };
        Some(match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.mode = Mode::Statements;
                Kind::RightBracket
            }
            ':' if !self.got_length => return self.fail_behind("unexpected colon before duration in duration expression"),
            ':' if self.got_colon => return self.fail_behind("unexpected repeated colon in duration expression"),
            ':' => {
                self.got_colon = true;
                Kind::Colon
            }
            '(' => {
                self.paren_depth += 1;
                Kind::LeftParen
            }
            ')' => return self.right_paren(),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            ',' => Kind::Comma,
            _ if self.at_number(c) => {
                self.got_length = true;
                self.mode = Mode::Statements;
                return self.number_or_duration();
            }
            _ => match self.length_keyword(c) {
                Some(kind) => kind,
                None => return self.fail_at("unexpected character in duration expression", Some(c)),
            },
        })
    }

    fn number_or_duration(&mut self) -> Lexed {
        let (end, good) = scan_number(self.text.as_bytes(), self.start, self.series);
        self.pos = end;
        if good {
            return Some(Kind::Number);
        }
        if self.rest_of_duration() {
            return Some(Kind::Duration);
        }
        let read = model::labels::quote(&self.text[self.start..self.pos]);
        self.fail(format!("bad number or duration syntax: {read}"))
    }

    /// The digits have been read; units and more digits follow. On failure everything looked at counts as read.
    fn rest_of_duration(&mut self) -> bool {
        const UNITS: &[u8] = b"smhdwy";
        let mut units = UNITS;
        loop {
            if !self.eat_one(units) {
                return false;
            }
            self.eat_one(b"s");
            if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
                break;
            }
            self.eat_while(|b| b.is_ascii_digit());
            units = &UNITS[..5];
        }
        if self.peek().is_some_and(|c| c.is_ascii() && is_word(c as u8)) {
            self.pos += 1;
            return false;
        }
        true
    }

    fn eat_one(&mut self, set: &[u8]) -> bool {
        let found = self.text.as_bytes().get(self.pos).is_some_and(|b| set.contains(b));
        self.pos += usize::from(found);
        found
    }
}

pub(super) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

pub(super) fn is_word_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

pub(super) fn is_word(b: u8) -> bool {
    b == b'_' || b.is_ascii_alphanumeric()
}
