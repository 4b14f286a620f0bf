//! PromQL of the built binary, put beside the reference's list of features and beside a real Prometheus.

#![allow(clippy::disallowed_methods, reason = "tests live in real time, on the real disk, in a real environment")]

#[path = "../stack/expressions.rs"]
mod expressions;
mod features;
mod limits;
mod printed;

use narthex_tests::{Require, skip};
use std::path::{Path, PathBuf};

/// A file of the conformance data; None when it is not there (which has been said).
fn reference(name: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("NARTHEX_CONFORMANCE").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"), PathBuf::from);
    let path = root.join(name);
    if !path.exists() {
        skip(Require::Conformance, &format!("there is no {}", path.display()));
        return None;
    }
    Some(path)
}
