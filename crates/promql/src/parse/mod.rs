//! PromQL as text: from a query to a checked tree and back.
//!
//! [`parse_expr`] gives the tree of [`ast`]; it has been type-checked, so whoever reads it may rely on argument counts and types.

pub mod ast;
mod chain;
mod check;
mod error;
pub mod functions;
mod json;
mod lex;
mod lex_series;
mod lex_text;
mod number;
mod operators;
mod parser;
mod parser_duration;
mod parser_expr;
mod parser_modifier;
mod parser_selector;
mod parser_series;
mod pretty;
mod print;
mod quoted;
mod series;
mod start_times;
mod token;
mod walk;

pub use ast::{Expr, Span, ValueType};
pub use error::{ParseError, ParseErrors};
pub use json::to_json;
pub use pretty::{MAX_PRETTY_BYTES, prettify, prettify_within};
pub use series::{MAX_SEQUENCE_VALUES, SequenceItem, SeriesDescription};
pub use start_times::parse_start_times;

use model::{Labels, Matcher};
use parser::Parser;

/// How deep parentheses, calls, signs and the like may nest. A chain of operators of the same strength does not count.
pub const MAX_NESTING: usize = 200;

/// Which parts of the language beyond the stable one are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// `--enable-feature=promql-experimental-functions`
    pub experimental_functions: bool,
    /// Duration expressions; stable since 3.14.
    pub duration_expr: bool,
    /// `anchored` and `smoothed`: `--enable-feature=promql-extended-range-selectors`
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`: `--enable-feature=promql-binop-fill-modifiers`
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        ParseOptions { experimental_functions: false, duration_expr: true, extended_range_selectors: false, fill_modifiers: false }
    }
}

impl ParseOptions {
    pub const ALL: ParseOptions =
        ParseOptions { experimental_functions: true, duration_expr: true, extended_range_selectors: true, fill_modifiers: true };
}

/// Longest text the parser takes.
pub const MAX_QUERY_BYTES: usize = 10 << 20;

/// Parses and checks a query.
pub fn parse_expr(query: &str, options: &ParseOptions) -> Result<Expr, ParseErrors> {
    let mut expr = Parser::new(query, *options, false).run(Parser::query_expr)?;
    let errors = check::check(query, &mut expr);
    if errors.is_empty() { Ok(expr) } else { Err(ParseErrors(errors)) }
}

/// Parses a selector alone, as in `match[]`: its matchers, that of the name in front of the braces last. They may all match the empty
/// string; whether that is allowed is for the caller to say.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseErrors> {
    Parser::new(text, ParseOptions::default(), false).run(Parser::metric_selector).map(|selector| selector.matchers)
}

/// Parses the labels of one series: `name{a="b"}`, `{"a name", a="b"}`.
pub fn parse_metric(text: &str) -> Result<Labels, ParseErrors> {
    Parser::new(text, ParseOptions::default(), false).run(Parser::metric)
}

/// Parses a series of a test script with its values: `name{a="b"} 0+1x3 _ stale {{schema:0 buckets:[1 2]}}`.
pub fn parse_series(text: &str) -> Result<SeriesDescription, ParseErrors> {
    Parser::new(text, ParseOptions::default(), true).run(Parser::series_description)
}

#[cfg(test)]
mod tests;
