//! A file of the head's full chunks: the header is right, the rest is anything; each chunk gets the checksum it should have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use stdx::clock::ManualClock;
use stdx::crc::crc32c;
use stdx::fs::{Disk, Fs, Open};
use tsdb::head::chunks_head::HeadChunks;

/// Series reference, two times, encoding; then the length.
const BEFORE_LEN: usize = 8 + 8 + 8 + 1;

fuzz_target!(|data: &[u8]| {
    let mut file = 0x0130_bc91_u32.to_be_bytes().to_vec();
    file.extend_from_slice(&[1, 0, 0, 0]);
    let mut rest = data.to_vec();
    let mut at = 0;
    // Lengths below 128 are one byte.
    while at + BEFORE_LEN < rest.len() {
        let end = at + BEFORE_LEN + 1 + usize::from(rest[at + BEFORE_LEN]);
        if rest[at + BEFORE_LEN] > 127 || end + 4 > rest.len() {
            break;
        }
        let crc = crc32c(&rest[at..end]).to_be_bytes();
        rest[end..end + 4].copy_from_slice(&crc);
        at = end + 4;
    }
    file.extend_from_slice(&rest);
    let fs = Arc::new(Disk::default()).mount(ManualClock::at_ms(0));
    let dir = Path::new("/chunks_head");
    fs.create_dir_all(dir).expect("a directory");
    fs.open(&dir.join("000001"), Open::CreateNew).expect("a file").append(&file).expect("room");
    let mut found = Vec::new();
    let (chunks, _) = HeadChunks::open(fs, dir, |f| found.push(f.at)).expect("opens whatever is there");
    for at in found {
        let _ = chunks.read(at).map(|b| b.bytes().len());
    }
});
