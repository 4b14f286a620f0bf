//! meta.json of a block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use stdx::clock::ManualClock;
use stdx::fs::{Disk, Fs, Open};
use tsdb::meta::BlockMeta;

fuzz_target!(|data: &[u8]| {
    let fs = Arc::new(Disk::default()).mount(ManualClock::at_ms(0));
    let dir = Path::new("/b");
    fs.create_dir_all(dir).expect("a directory");
    fs.open(&dir.join("meta.json"), Open::CreateNew).expect("a file").append(data).expect("room");
    if let Ok(m) = BlockMeta::read(fs.as_ref(), dir) {
        m.write(fs.as_ref(), dir).expect("room");
        let again = BlockMeta::read(fs.as_ref(), dir).expect("own bytes");
        assert_eq!(again.to_json(), m.to_json());
    }
});
