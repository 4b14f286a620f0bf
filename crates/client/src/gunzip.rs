//! Gzip to plain bytes, never more than a limit.
//!
//! What is short, as scraped pages are, is gathered and unpacked in one go into memory of the size that its end tells: half the time of doing it
//! piece by piece (a gzipped page of 1,000 series: 73 instead of 158 us). Whatever does not fit that picture goes piece by piece.

use crate::error::{Error, ErrorKind};
use std::io::Write;

/// So many packed bytes are gathered at most.
const MAX_GATHERED: usize = 4 << 20;
/// A body that says it unpacks to more times its length is not believed.
const MAX_RATIO: usize = 64;
/// What a gzip member begins with.
const MAGIC: &[u8] = &[0x1f, 0x8b, 8];
/// Header and trailer of a member.
const OVERHEAD: usize = 18;

pub struct Gunzip {
    out: Vec<u8>,
    limit: usize,
    gathered: Vec<u8>,
    pieces: Option<Pieces>,
}

impl Gunzip {
    /// Appends to `out`, at most `limit` bytes.
    pub fn new(out: Vec<u8>, limit: usize) -> Self {
        Gunzip { out, limit, gathered: Vec::new(), pieces: None }
    }

    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if let Some(p) = &mut self.pieces {
            return p.push(chunk);
        }
        self.gathered.extend_from_slice(chunk);
        if self.gathered.len() > MAX_GATHERED { self.by_pieces() } else { Ok(()) }
    }

    fn by_pieces(&mut self) -> Result<(), Error> {
        let pieces = Pieces::new(std::mem::take(&mut self.out), self.limit);
        self.pieces.insert(pieces).push(&std::mem::take(&mut self.gathered))
    }

    /// Gives back what [`Gunzip::new`] took, with what was decoded, whether or not all went well.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.pieces.is_none() {
            if self.whole() {
                *out = self.out;
                return Ok(());
            }
            let pushed = self.by_pieces();
            let finished = self.finish_pieces(out);
            return pushed.and(finished);
        }
        self.finish_pieces(out)
    }

    fn finish_pieces(self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.pieces {
            Some(p) => p.finish(out),
            None => Ok(()),
        }
    }

    /// Unpacks what is gathered when it is one sound member. False, and nothing is done, when it is not.
    fn whole(&mut self) -> bool {
        let packed = self.gathered.as_slice();
        // The library would stop behind a first member and not say so.
        if packed.len() < OVERHEAD || memchr::memmem::find(&packed[1..], MAGIC).is_some() {
            return false;
        }
        let Some(size) = packed.last_chunk::<4>().map(|b| u32::from_le_bytes(*b) as usize) else { return false };
        if size > self.limit || size / MAX_RATIO > packed.len() {
            return false;
        }
        let start = self.out.len();
        self.out.resize(start + size, 0);
        let done = libdeflater::Decompressor::new().gzip_decompress(packed, &mut self.out[start..]);
        let sound = done.is_ok_and(|n| n == size);
        if !sound {
            self.out.truncate(start);
        }
        sound
    }
}

struct Pieces {
    inner: flate2::write::MultiGzDecoder<Bounded>,
}

struct Bounded {
    out: Vec<u8>,
    /// Length of `out` that must not be passed.
    end: usize,
    limit: usize,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        if self.out.len() + buf.len() > self.end {
            self.full = true;
            return Err(std::io::Error::other("limit"));
        }
        self.out.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Pieces {
    fn new(out: Vec<u8>, limit: usize) -> Self {
        let end = out.len().saturating_add(limit);
        Pieces { inner: flate2::write::MultiGzDecoder::new(Bounded { out, end, limit, full: false }) }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let done = self.inner.write_all(chunk);
        self.check(done)
    }

    fn check(&self, done: std::io::Result<()>) -> Result<(), Error> {
        done.map_err(|e| {
            let b = self.inner.get_ref();
            if b.full { Error::too_large(b.limit) } else { Error::with(ErrorKind::Decode, "gzip", e) }
        })
    }

    fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let done = self.inner.try_finish();
        let result = self.check(done);
        *out = std::mem::take(&mut self.inner.get_mut().out);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(plain: &[u8]) -> Vec<u8> {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        w.write_all(plain).and_then(|()| w.finish()).expect("memory")
    }

    fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let mut g = Gunzip::new(b"kept".to_vec(), limit);
        let pushed = packed.chunks(1000).try_for_each(|c| g.push(c));
        let mut out = Vec::new();
        pushed.and(g.finish(&mut out)).map(|()| out)
    }

    #[test]
    fn members_are_all_unpacked_and_damage_is_told() {
        let plain: Vec<u8> = (0..20_000u32).flat_map(|i| (i * i % 251).to_string().into_bytes()).collect();
        let one = pack(&plain);
        let kept = |parts: &[&[u8]]| [&[&b"kept"[..]], parts].concat().concat();
        assert_eq!(unpack(&one, plain.len()).expect("fits"), kept(&[&plain]));
        // Two members of the same content: the size at the end is that of either.
        assert_eq!(unpack(&[one.clone(), one.clone()].concat(), 1 << 20).expect("fits"), kept(&[&plain, &plain]));
        assert_eq!(unpack(&pack(&[0; 300_000]), 1 << 20).expect("fits").len(), 300_004);
        assert_eq!(unpack(&one, plain.len() - 1).expect_err("one too many").kind(), ErrorKind::TooLarge);
        for at in [2, 20, one.len() / 2, one.len() - 5, one.len() - 1] {
            let mut damaged = one.clone();
            damaged[at] ^= 0x55;
            assert_eq!(unpack(&damaged, 1 << 20).expect_err("damaged").kind(), ErrorKind::Decode, "byte {at}");
        }
        assert_eq!(unpack(&one[..one.len() - 1], 1 << 20).expect_err("cut short").kind(), ErrorKind::Decode);
    }
}
