//! Remote write 1.0 and 2.0: the body before and after it is unpacked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote::wire::body::{ContentEncoding, decompress};
use remote::wire::decode::WriteDecoder;
use remote::wire::{Version, WireError};

fn drain(version: Version, body: &[u8]) -> Result<(), WireError> {
    let replica = ["__replica__".to_string()];
    let mut d = WriteDecoder::new(version, body, &replica)?;
    while let Some(s) = d.next_series()? {
        s.histograms().for_each(drop);
        s.exemplars().for_each(drop);
        let _ = (s.metadata(), s.describe(), s.labels.map(|l| l.to_string()));
    }
    d.metadata().map(drop)
}

fuzz_target!(|data: &[u8]| {
    let _ = (drain(Version::V1, data), drain(Version::V2, data));
    for encoding in [ContentEncoding::Snappy, ContentEncoding::Zstd] {
        let mut buffer = Vec::new();
        if let Ok(body) = decompress(encoding, data, 1 << 20, &mut buffer) {
            assert!(body.len() <= 1 << 20);
        }
    }
});
