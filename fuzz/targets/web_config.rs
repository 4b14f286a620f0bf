//! The web configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use stdx::clock::ManualClock;
use stdx::fs::{Disk, Fs, Open};

fuzz_target!(|data: &[u8]| {
    let fs = Arc::new(Disk::default()).mount(ManualClock::at_ms(0));
    let path = Path::new("/web.yml");
    fs.open(path, Open::CreateNew).expect("a file").append(data).expect("room");
    let _ = web::config::check(fs.as_ref(), path);
});
