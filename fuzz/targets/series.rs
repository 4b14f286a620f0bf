//! Series descriptions of test scripts and rule tests, and start times.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::parse::{parse_series, parse_start_times};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_series(text).map_err(|e| e.to_string());
    let _ = parse_series(&format!("a {text}"));
    let _ = parse_series(&format!("a {{{{{text}}}}}"));
    let _ = parse_start_times(text);
});
