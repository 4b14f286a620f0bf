//! Records of the log, of every type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wal::record::*;

fuzz_target!(|data: &[u8]| {
    let mut scratch = Vec::new();
    let _ = decode_series(data, &mut scratch, |_, l| assert!(l.iter().count() <= data.len()));
    let _ = decode_samples(data, &mut Vec::new());
    let _ = decode_histograms(data, |_| {});
    let _ = decode_float_histograms(data, |_| {});
    let _ = decode_tombstones(data, |_| {});
    let _ = decode_exemplars(data, &mut scratch, |_| {});
    let _ = decode_metadata(data, |_| {});
    let _ = decode_mmap_markers(data, |_| {});
    let _ = decode_held(data, |_, _, _, _| {});
    let _ = time_range(data, &mut Vec::new());
});
