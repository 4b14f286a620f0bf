//! What std lacks, and what a simulation must own: time, chance, the disk, the end of a process. No word of the field in it.
//!
//! Everything here is passed in, never reached for: a room that needs the time takes a [`clock::SharedClock`], one that writes takes a
//! [`fs::SharedFs`]. The real ones are built once, in the binary.

pub mod backoff;
pub mod clock;
pub mod crc;
pub mod fs;
pub mod metrics;
pub mod rand;
pub mod shutdown;
pub mod varint;
