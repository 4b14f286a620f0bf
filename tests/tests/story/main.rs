//! The story of docs/story.md, row by row: the built binary and its real peers as processes, configured as a user of Prometheus would do it.
//!
//! Not a test of details: those lie beside the code. Whatever is told here is seen from outside, over HTTP, in files and in logs.

#![allow(clippy::disallowed_methods, reason = "what a user does with files, none of which has to survive the test")]

mod tools;
mod wire;

mod admin;
mod agent;
mod alerts;
mod bad_input;
mod cut;
mod federate;
mod grafana;
mod limits;
mod mixed;
mod pair;
mod push_up;
mod query;
mod reload;
mod remote_read;
mod restart;
mod scrape;
mod three_levels;
