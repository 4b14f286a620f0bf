//! Pages in the protobuf format.
#![no_main]

mod page;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| page::walk(data, exposition::Format::Protobuf));
