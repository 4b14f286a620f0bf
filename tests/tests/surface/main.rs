//! The surface that others hold on to: the HTTP API, own metrics, security, scraping and discovery, each compared with the reference's own
//! documents or with a real Prometheus beside it. What differs is listed, by name and with its reason.

#![allow(clippy::disallowed_methods, reason = "what a user does with files, none of which has to survive the test")]

#[path = "../story/wire.rs"]
mod wire;

mod discovery;
mod fake;
mod live;
mod openapi;
mod own_metrics;
mod replay;
mod schema;
mod scraping;
mod security;
mod slow;
mod stage;
mod tls;
