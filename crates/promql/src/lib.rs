//! PromQL: text to tree ([`parse`]), and what evaluates it.

pub mod parse;
