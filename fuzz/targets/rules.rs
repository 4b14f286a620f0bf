//! Rule files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::name::Scheme;
use promql::parse::ParseOptions;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = rules::file::parse(text, Scheme::Utf8, &ParseOptions::ALL, false);
    let _ = rules::file::parse(text, Scheme::Legacy, &ParseOptions::default(), true);
});
