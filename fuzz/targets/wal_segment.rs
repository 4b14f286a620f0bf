//! A segment file of any bytes: replay ends, and nothing is read twice. Fragments get the checksum they should have where the first byte says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use stdx::clock::ManualClock;
use stdx::crc::crc32c;
use stdx::fs::{Disk, Fs, Open};
use wal::replay::LogReader;

const HEADER: usize = 7;
const PAGE: usize = 32 * 1024;

fn sound(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while at + HEADER <= bytes.len() {
        let len = usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        let end = at + HEADER + len;
        if bytes[at] == 0 || end > bytes.len() || at / PAGE != (end - 1) / PAGE {
            break;
        }
        let crc = crc32c(&bytes[at + HEADER..end]).to_be_bytes();
        bytes[at + 3..at + HEADER].copy_from_slice(&crc);
        at = end;
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let bytes = if first % 2 == 0 { sound(rest.to_vec()) } else { rest.to_vec() };
    let fs = std::sync::Arc::new(Disk::default()).mount(ManualClock::at_ms(0));
    let dir = Path::new("/wal");
    fs.create_dir_all(dir).expect("a directory");
    fs.open(&dir.join("00000000"), Open::CreateNew).expect("a file").append(&bytes).expect("room");
    let mut log = LogReader::open(fs, dir, 0, u64::MAX).expect("a segment");
    let mut last = 0;
    loop {
        match log.next() {
            Ok(None) => break,
            Ok(Some(r)) => {
                assert!(r.start.offset >= last && r.end.offset > r.start.offset);
                last = r.end.offset;
            }
            Err(wal::WalError::Corrupt(c)) => drop(c.to_string()),
            Err(e) => panic!("{e}"),
        }
    }
});
