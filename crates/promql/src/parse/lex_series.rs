//! The lexer's modes for the values of a series description: `1+2x3 _x2 stale {{schema:1 buckets:[1 2]}}x5`. White space separates
//! values here, so it is a word of its own.

use super::ast::BinaryOp;
use super::lex::{AfterHistogram, Lexed, Lexer, Mode, is_space, is_word_start};
use super::lex_text::quote_char;
use super::number::scan_number;
use super::token::{Kind, histogram_key, keyword, reset_hint};

impl Lexer<'_> {
    pub(super) fn values(&mut self) -> Lexed {
        let Some(c) = self.next() else {
            self.mode = Mode::Statements;
            return Some(Kind::Eof);
        };
        Some(match c {
            '{' if self.eat('{') => {
                self.histogram = AfterHistogram::Inside;
                self.mode = Mode::Histogram;
                Kind::OpenHistogram
            }
            ' ' | '\t' | '\n' | '\r' => self.space(),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            'x' => Kind::Times,
            '_' => Kind::Blank,
            _ if self.at_number(c) => return self.number(),
            _ if is_word_start(c) => {
                self.pos = self.start;
                return self.keyword_or_identifier();
            }
            _ => return self.fail(format!("unexpected character in series sequence: {}", quote_char(c))),
        })
    }

    pub(super) fn histogram(&mut self) -> Lexed {
        if let AfterHistogram::Operator(kind) = self.histogram {
            self.next();
            self.histogram = AfterHistogram::No;
            self.mode = Mode::Values;
            return Some(kind);
        }
        if self.bracket_open {
            return self.buckets();
        }
        let c = self.next();
        Some(match c {
            Some(' ' | '\t' | '\n' | '\r') => self.space(),
            Some(':') => Kind::Colon,
            Some('-') => Kind::Op(BinaryOp::Sub),
            Some('[') => {
                self.bracket_open = true;
                self.mode = Mode::Buckets;
                Kind::LeftBracket
            }
            Some('}') if self.eat('}') => {
                let operator = match self.peek() {
                    Some('x') => Some(Kind::Times),
                    Some('+') => Some(Kind::Op(BinaryOp::Add)),
                    Some('-') => Some(Kind::Op(BinaryOp::Sub)),
                    _ => None,
                };
                (self.histogram, self.mode) = match operator {
                    Some(kind) => (AfterHistogram::Operator(kind), Mode::Histogram),
                    None => (AfterHistogram::No, Mode::Values),
                };
                Kind::CloseHistogram
            }
            Some(c) if is_word_start(c) => return self.histogram_word(),
            Some(c) if c.is_ascii_digit() => return self.number(),
            _ => {
                let shown = quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER));
                return self.fail(format!("histogram description incomplete unexpected: {shown}"));
            }
        })
    }

    fn histogram_word(&mut self) -> Lexed {
        self.eat_while(|b| b == b'_' || b.is_ascii_alphabetic());
        let word = &self.text[self.start..self.pos];
        if let Some(key) = histogram_key(word) {
            if self.peek() != Some(':') {
                return self.fail("missing `:` for histogram descriptor");
            }
            return Some(Kind::HistogramKey(key));
        }
        if keyword(word) == Some(Kind::Number) {
            return Some(Kind::Number);
        }
        match reset_hint(word) {
            Some(hint) => Some(Kind::ResetHint(hint)),
            None => {
                let shown = model::labels::quote(word);
                self.fail(format!("bad histogram descriptor found: {shown}"))
            }
        }
    }

    pub(super) fn buckets(&mut self) -> Lexed {
        let c = self.next();
        Some(match c {
            Some(' ' | '\t' | '\n' | '\r') => self.space(),
            Some('-') => Kind::Op(BinaryOp::Sub),
            Some(']') => {
                self.bracket_open = false;
                self.mode = Mode::Histogram;
                Kind::RightBracket
            }
            Some(c) if c.is_ascii_digit() => return self.number(),
            Some(c) if is_word_start(c) => {
                self.eat_while(|b| b.is_ascii_alphabetic());
                if keyword(&self.text[self.start..self.pos]) == Some(Kind::Number) {
                    return Some(Kind::Number);
                }
                return self.fail(format!("invalid character in buckets description: {}", quote_char(c)));
            }
            _ => {
                let shown = quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER));
                return self.fail(format!("invalid character in buckets description: {shown}"));
            }
        })
    }

    /// A run of white space is one word.
    fn space(&mut self) -> Kind {
        self.eat_while(is_space);
        Kind::Space
    }

    fn number(&mut self) -> Lexed {
        let (end, good) = scan_number(self.text.as_bytes(), self.start, true);
        self.pos = end;
        if good {
            return Some(Kind::Number);
        }
        let read = model::labels::quote(&self.text[self.start..self.pos]);
        self.fail(format!("bad number syntax: {read}"))
    }
}
