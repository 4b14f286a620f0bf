//! Pages and fragments: how a record lies in a segment.
//!
//! A segment is a run of 32 KiB pages. A record is one fragment or several, each within one page:
//! `kind and compression (1 byte) | length (2, big endian) | CRC-32C of the data (4, big endian) | data`. A page that has less than a header's room
//! left, or whose writer went on to the next segment, ends in zeros.

use crate::compress::Compression;
use stdx::crc::crc32c;

pub(crate) const PAGE: u64 = 32 * 1024;
pub(crate) const HEADER: usize = 7;

pub(crate) const END_OF_PAGE: u8 = 0;
pub(crate) const FULL: u8 = 1;
pub(crate) const FIRST: u8 = 2;
pub(crate) const MIDDLE: u8 = 3;
pub(crate) const LAST: u8 = 4;

pub(crate) const KIND_MASK: u8 = 0b111;
pub(crate) const SNAPPY_FLAG: u8 = 1 << 3;
pub(crate) const ZSTD_FLAG: u8 = 1 << 4;

/// Bytes left in the page that holds `offset`; never 0.
pub(crate) fn left_in_page(offset: u64) -> usize {
    (PAGE - offset % PAGE) as usize
}

/// An upper bound of the bytes that a record of `len` bytes takes, wherever it begins.
pub(crate) fn framed_bound(len: usize) -> u64 {
    let fragments = len / (PAGE as usize - HEADER) + 2;
    (len + fragments * HEADER + HEADER) as u64
}

/// Appends one fragment with its header.
pub(crate) fn put_fragment(out: &mut Vec<u8>, kind_and_flags: u8, data: &[u8]) {
    debug_assert!(data.len() <= PAGE as usize - HEADER);
    out.push(kind_and_flags);
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(&crc32c(data).to_be_bytes());
    out.extend_from_slice(data);
}

/// What was appended, for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framed {
    pub fragments: u64,
    pub bytes: u64,
    pub pages_completed: u64,
}

/// Appends a record as it lies in a segment when `out` begins at `base`.
pub(crate) fn put_record(out: &mut Vec<u8>, base: u64, payload: &[u8], compression: Compression, framed: &mut Framed) {
    let flag = match compression {
        Compression::None => 0,
        Compression::Snappy => SNAPPY_FLAG,
        Compression::Zstd => ZSTD_FLAG,
    };
    let mut rest = payload;
    let mut first = true;
    loop {
        let left = left_in_page(base + out.len() as u64);
        if left < HEADER {
            out.resize(out.len() + left, 0);
            continue;
        }
        let n = rest.len().min(left - HEADER);
        let last = n == rest.len();
        let kind = match (first, last) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        put_fragment(out, kind | flag, &rest[..n]);
        framed.fragments += 1;
        framed.bytes += (HEADER + n) as u64;
        if left - HEADER - n < HEADER {
            out.resize(out.len() + left - HEADER - n, 0);
            framed.pages_completed += 1;
        }
        rest = &rest[n..];
        first = false;
        if last {
            return;
        }
    }
}
