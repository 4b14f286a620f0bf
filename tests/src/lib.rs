//! What the end-to-end tests are told with: the built binary and its real peers as processes, a target whose counter rises by one each scrape,
//! and a plain HTTP client. Everything listens on loopback, in ports of its own and in a directory that is removed at the end.

#![allow(clippy::disallowed_methods, reason = "tests live in real time, on the real disk, in a real environment")]

mod disk;
mod http;
mod netns;
mod peers;
mod server;
mod target;

pub use disk::Disk;
pub use http::{Answer, get, post_form, request};
pub use netns::{Link, Namespace};
pub use peers::{Require, node_exporter, peer, skip};
pub use server::{Kind, Server, free_port};
pub use target::CounterTarget;

use serde_json::Value;
use std::time::{Duration, Instant};

/// Asks again and again until something is there; panics with what it waited for.
pub fn wait_for<T>(what: &str, at_most: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + at_most;
    loop {
        if let Some(v) = ask() {
            return v;
        }
        assert!(Instant::now() < end, "waited {at_most:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Result of an instant query as (labels, value) in the order of the answer.
pub fn vector(answer: &Value) -> Vec<(Value, f64)> {
    let list = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("no result in {answer}"));
    list.iter().map(|s| (s["metric"].clone(), s["value"][1].as_str().unwrap_or("").parse().unwrap_or(f64::NAN))).collect()
}

/// Seconds since the Unix epoch.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}
