//! A file of tombstones, with a checksum that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use stdx::clock::ManualClock;
use stdx::crc::crc32c;
use stdx::fs::{Disk, Fs, Open};
use tsdb::tombstones::Tombstones;

fuzz_target!(|data: &[u8]| {
    let mut file = 0x0130_ba30_u32.to_be_bytes().to_vec();
    file.push(1);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc32c(data).to_be_bytes());
    let fs = Arc::new(Disk::default()).mount(ManualClock::at_ms(0));
    let dir = Path::new("/b");
    fs.create_dir_all(dir).expect("a directory");
    fs.open(&dir.join("tombstones"), Open::CreateNew).expect("a file").append(&file).expect("room");
    if let Ok(t) = Tombstones::read(fs.as_ref(), dir) {
        t.write(fs.as_ref(), dir).expect("room");
        // An entry whose end lies before its beginning is read as nothing, and not written.
        assert_eq!(Tombstones::read(fs.as_ref(), dir).expect("own bytes").to_bytes(), t.to_bytes());
    }
});
