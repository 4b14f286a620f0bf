//! Chunks of every encoding (the first byte says which): read, and gone on with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use storage::SeriesData;
use tsdb::chunkenc::float_histogram::FloatHistogramAppender;
use tsdb::chunkenc::histogram::HistogramAppender;
use tsdb::chunkenc::xor::XorAppender;
use tsdb::chunkenc::xor2::Xor2Appender;
use tsdb::chunkenc::{decode, encoding_from_byte, num_samples};

fuzz_target!(|data: &[u8]| {
    let Some((first, b)) = data.split_first() else { return };
    let encoding = encoding_from_byte(first % 6 + 1).expect("1 to 6");
    for (start, end) in [(i64::MIN, i64::MAX), (-5, 1000)] {
        let mut out = SeriesData::default();
        if decode(encoding, b, start, end, &mut out).is_ok() {
            assert!(out.len() <= usize::from(num_samples(encoding, b).expect("was read")));
        }
        assert!(out.len() <= usize::from(u16::MAX));
    }
    let _ = (XorAppender::resume(b.to_vec()), Xor2Appender::resume(b.to_vec()));
    let _ = (HistogramAppender::resume(b.to_vec()), FloatHistogramAppender::resume(b.to_vec()));
});
