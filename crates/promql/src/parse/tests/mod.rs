//! The parser against tables: what is accepted and how it is printed, what is refused with which words, limits, and random text.

mod accepts;
mod limits;
mod prints;
mod random;
mod refuses;
mod series;

use super::{Expr, ParseOptions, parse_expr};

fn parse(query: &str) -> Expr {
    parse_expr(query, &ParseOptions::ALL).unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// The first error, as users see it.
fn refusal(query: &str) -> String {
    match parse_expr(query, &ParseOptions::ALL) {
        Ok(e) => panic!("{query}: accepted as {e}"),
        Err(e) => e.to_string(),
    }
}
