//! Remote read: requests, sampled answers, streamed frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote::wire::{histogram, read};

fuzz_target!(|data: &[u8]| {
    if let Ok(r) = read::ReadRequest::decode(data) {
        let mut again = Vec::new();
        r.encode(&mut again);
        read::ReadRequest::decode(&again).expect("own bytes");
    }
    let _ = (read::results(data), read::decode_frame(data), histogram::decode(data));
    let mut rest = data;
    while let Ok(Some(frame)) = read::take_frame(&mut rest, 1 << 20) {
        let _ = read::decode_frame(frame);
    }
});
