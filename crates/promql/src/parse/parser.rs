//! Words to a tree: operators by binding power, everything else by descent. This file is the machine; the grammar is in `parser_*.rs`.
//!
//! A word is read only when it decides something, because its error must come after those of what stands before it. Messages follow
//! Prometheus' grammar: a word that does not fit is reported by the innermost construct that has a message of its own ([`Fail`]);
//! parsing stops there. After an error that is only about meaning parsing goes on, and types are checked only in a text without errors.

use super::ast::Span;
use super::error::{ParseError, ParseErrors};
use super::lex::Lexer;
use super::number::parse_number;
use super::quoted::{Unquoted, unquote};
use super::token::{Kind, Token};
use super::{MAX_NESTING, MAX_QUERY_BYTES, ParseOptions};
use model::labels::quote;

/// Why parsing cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    /// The word ahead does not fit; whoever has a message for that reports it.
    Unexpected,
    /// Already reported.
    Reported,
}

pub(super) type Parsed<T> = Result<T, Fail>;

pub(super) struct Parser<'a> {
    pub(super) query: &'a str,
    lex: Lexer<'a>,
    ahead: Option<Token>,
    /// The word read last, taken or not.
    last: Token,
    /// End of the last word taken.
    pub(super) taken_end: u32,
    /// End of the last word read that can close something.
    pub(super) last_closing: u32,
    pub(super) errors: Vec<ParseError>,
    pub(super) options: ParseOptions,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub fn new(query: &'a str, options: ParseOptions, series: bool) -> Parser<'a> {
        Parser {
            query,
            lex: Lexer::new(query, series),
            ahead: None,
            last: Token { kind: Kind::Eof, span: Span::default() },
            taken_end: 0,
            last_closing: 0,
            errors: Vec::new(),
            options,
            depth: 0,
        }
    }

    /// Runs one of the grammar's entry points over the whole text.
    pub fn run<T>(mut self, entry: impl FnOnce(&mut Self) -> Parsed<T>) -> Result<T, ParseErrors> {
        if self.query.len() > MAX_QUERY_BYTES {
            let message = format!("query is too long: {} bytes, at most {MAX_QUERY_BYTES} are allowed", self.query.len());
            self.error(Span::default(), message);
            return Err(ParseErrors(self.errors));
        }
        let parsed = entry(&mut self);
        let parsed = parsed.and_then(|t| self.expect(Kind::Eof).map(|_| t));
        match parsed {
            Ok(t) if self.errors.is_empty() => return Ok(t),
            Err(Fail::Unexpected) => self.unexpected("", ""),
            _ => {}
        }
        Err(ParseErrors(self.errors))
    }

    pub(super) fn peek(&mut self) -> Kind {
        if let Some(token) = self.ahead {
            return token.kind;
        }
        let token = self.lex.next_token();
        match token.kind {
            Kind::Error => {
                let message = self.lex.error_message().to_string();
                self.error(token.span, message);
            }
            Kind::RightBrace | Kind::RightParen | Kind::RightBracket | Kind::Duration | Kind::Number => {
                self.last_closing = token.span.end;
            }
            _ => {}
        }
        self.last = token;
        self.ahead = Some(token);
        token.kind
    }

    /// Takes the word ahead.
    pub(super) fn take(&mut self) -> Token {
        self.peek();
        if self.last.kind != Kind::Eof && self.last.kind != Kind::Error {
            self.ahead = None;
        }
        self.taken_end = self.last.span.end;
        self.last
    }

    pub(super) fn take_if(&mut self, kind: Kind) -> Option<Token> {
        (self.peek() == kind).then(|| self.take())
    }

    pub(super) fn expect(&mut self, kind: Kind) -> Parsed<Token> {
        self.take_if(kind).ok_or(Fail::Unexpected)
    }

    pub(super) fn text(&self, token: Token) -> &'a str {
        &self.query[token.span.start as usize..token.span.end as usize]
    }

    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(ParseError::new(self.query, span, message.into()));
    }

    /// Reports the word ahead. What the lexer could not read has been reported already.
    pub(super) fn unexpected(&mut self, context: &str, expected: &str) {
        if self.last.kind == Kind::Error {
            return;
        }
        let text = if self.last.kind == Kind::Eof { "" } else { self.text(self.last) };
        let mut message = format!("unexpected {}", self.last.describe(text));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(self.last.span, message);
    }

    /// Gives a failure inside a construct that construct's message.
    pub(super) fn in_context<T>(&mut self, parsed: Parsed<T>, context: &str, expected: &str) -> Parsed<T> {
        parsed.map_err(|fail| {
            if fail == Fail::Unexpected {
                self.unexpected(context, expected);
            }
            Fail::Reported
        })
    }

    /// One level deeper in the tree; refuses what would be too deep to walk.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_NESTING {
            self.too_deep();
            return Err(Fail::Reported);
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// The word read last.
    pub(super) fn last_span(&self) -> Span {
        self.last.span
    }

    pub(super) fn too_deep(&mut self) {
        self.error(self.last.span, format!("expression is nested too deeply, at most {MAX_NESTING} levels are allowed"));
    }

    /// The value of a number; 0 and an error when it has none.
    pub(super) fn number_value(&mut self, token: Token) -> f64 {
        parse_number(self.text(token)).unwrap_or_else(|e| {
            self.error(token.span, format!("error parsing number: {e}"));
            0.0
        })
    }

    /// Seconds of a duration; 0 and an error when it is malformed.
    pub(super) fn duration_value(&mut self, token: Token) -> f64 {
        match model::duration::parse_ms(self.text(token)) {
            // Whole seconds and the rest apart, so that the sum is rounded once.
            Ok(ms) => (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9,
            Err(e) => {
                self.error(token.span, e.to_string());
                0.0
            }
        }
    }

    pub(super) fn string_value(&mut self, token: Token) -> String {
        self.unquoted(token).value
    }

    pub(super) fn unquoted(&mut self, token: Token) -> Unquoted {
        unquote(self.text(token)).unwrap_or_else(|| {
            self.error(token.span, format!("error unquoting string {}: invalid syntax", quote(self.text(token))));
            Unquoted::from("")
        })
    }
}
