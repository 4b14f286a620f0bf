//! The grammar of names in lists: selectors with their matchers, and grouping labels.

use super::ast::*;
use super::parser::{Fail, Parsed, Parser};
use super::token::{Keyword, Kind, Token};
use model::labels::quote;
use model::name::METRIC_NAME;
use model::{MatchOp, Matcher};

impl Parser<'_> {
    /// A selector whose name, if it has one, is already taken.
    pub(super) fn vector_selector(&mut self, name: Option<Token>) -> Parsed<VectorSelector> {
        let (mut matchers, braces) = match self.peek() {
            Kind::LeftBrace => self.matchers()?,
            _ => (Vec::new(), Span::default()),
        };
        let (text, span) = match name {
            Some(token) => (self.text(token).to_string(), Span { start: token.span.start, end: token.span.end.max(braces.end) }),
            None => (String::new(), braces),
        };
        if !text.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, text.clone()));
        }
        Ok(VectorSelector {
            name: text,
            matchers,
            offset: Offset::default(),
            at: None,
            anchored: false,
            smoothed: false,
            bypass_empty_matcher_check: false,
            span,
        })
    }

    /// `{a="b", "name", ...}`
    fn matchers(&mut self) -> Parsed<(Vec<Matcher>, Span)> {
        let open = self.expect(Kind::LeftBrace)?;
        let mut matchers = Vec::new();
        if let Some(close) = self.take_if(Kind::RightBrace) {
            return Ok((matchers, open.span.to(close.span)));
        }
        loop {
            let matcher = self.matcher();
            matchers.extend(self.in_context(matcher, "label matching", "identifier or \"}\"")?);
            if let Some(close) = self.take_if(Kind::RightBrace) {
                return Ok((matchers, open.span.to(close.span)));
            }
            let comma = self.expect(Kind::Comma);
            self.in_context(comma, "label matching", "\",\" or \"}\"")?;
            if let Some(close) = self.take_if(Kind::RightBrace) {
                return Ok((matchers, open.span.to(close.span)));
            }
        }
    }

    /// One condition; None after an error in its pattern.
    fn matcher(&mut self) -> Parsed<Option<Matcher>> {
        let quoted = match self.peek() {
            Kind::Identifier => false,
            Kind::Str => true,
            _ => return Err(Fail::Unexpected),
        };
        let label = self.take();
        let name = if quoted { self.string_value(label) } else { self.text(label).to_string() };
        let op = match self.peek() {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::Neq) => MatchOp::NotEqual,
            Kind::EqlRegex => MatchOp::Regex,
            Kind::NeqRegex => MatchOp::NotRegex,
            // A quoted name alone is the metric's.
            _ if quoted => return Ok(Some(Matcher::equal(METRIC_NAME, name))),
            _ => return self.in_context(Err(Fail::Unexpected), "label matching", "label matching operator"),
        };
        self.take();
        let value = self.expect(Kind::Str);
        let value = self.in_context(value, "label matching", "string")?;
        let text = self.string_value(value);
        match Matcher::new(op, name, text) {
            Ok(m) => Ok(Some(m)),
            Err(e) => {
                self.error(label.span.to(value.span), e.to_string());
                Ok(None)
            }
        }
    }

    /// `(a, "b", c)`, a comma at the end allowed.
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        let open = self.expect(Kind::LeftParen);
        self.in_context(open, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while self.take_if(Kind::RightParen).is_none() {
            let label = self.grouping_label();
            labels.push(self.in_context(label, "grouping opts", "label")?);
            if self.peek() != Kind::RightParen {
                let comma = self.expect(Kind::Comma);
                self.in_context(comma, "grouping opts", "\",\" or \")\"")?;
            }
        }
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let name = match self.peek() {
            Kind::Str => {
                let token = self.take();
                self.string_value(token)
            }
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) | Kind::Preprocessor(_) => self.take_text(),
            Kind::Keyword(k) if k != Keyword::Without => self.take_text(),
            Kind::Op(op) if op.is_set() || op == BinaryOp::Atan2 => self.take_text(),
            _ => return Err(Fail::Unexpected),
        };
        if name.is_empty() {
            self.error(self.last_span(), format!("invalid label name for grouping: {}", quote(&name)));
        }
        Ok(name)
    }

    fn take_text(&mut self) -> String {
        let token = self.take();
        self.text(token).to_string()
    }
}
