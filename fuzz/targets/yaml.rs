//! YAML documents.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match yaml::parse(text) {
        Ok(node) => {
            let _ = (node.is_null(), node.resolved(), node.describe());
        }
        Err(e) => drop(e.to_string()),
    }
});
