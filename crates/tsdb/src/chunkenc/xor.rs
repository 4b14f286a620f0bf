//! Float chunks: delta-of-delta times and XORed values (Gorilla), encoding 1.
//!
//! ```text
//! | samples u16 | t varint | v 64 bits | dt uvarint | xor | { dod | xor } ... | zeros to the byte |
//! dod: 0 -> 0   10 -> 14 bits   110 -> 17 bits   1110 -> 20 bits   1111 -> 64 bits
//! ```

use super::bits::{self, BitReader, BitWriter, NO_WINDOW, XorValue, fits, grow, sign_extend};
use super::{ChunkError, MAX_SAMPLES, pad_st};
use storage::SeriesData;

pub const HEADER_LEN: usize = 2;

/// An open chunk: its bytes, and 27 bytes of what must be known to append to them.
#[derive(Clone, Debug)]
pub struct XorAppender {
    bytes: Vec<u8>,
    /// Time of the last sample.
    t_ms: i64,
    t_delta: u64,
    v_bits: u64,
    /// The window of the last value, as in [`XorValue`].
    leading: u8,
    trailing: u8,
    /// Free low bits of the last byte.
    free: u8,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    pub fn new() -> Self {
        XorAppender { bytes: Vec::new(), t_ms: 0, t_delta: 0, v_bits: 0, leading: NO_WINDOW, trailing: 0, free: 0 }
    }

    /// Goes on with a chunk of which only the bytes are known.
    pub fn resume(mut bytes: Vec<u8>) -> Result<Self, ChunkError> {
        if bytes.is_empty() {
            return Ok(Self::new());
        }
        let mut r = Reader::new(&bytes)?;
        while r.left > 0 {
            r.next()?;
        }
        let (t_ms, t_delta, v, free) = (r.t_ms, r.t_delta, r.v, r.bits.free_bits());
        let len = if r.total == 0 { 0 } else { HEADER_LEN + r.bits.bytes_read() };
        bytes.truncate(len);
        Ok(XorAppender { bytes, t_ms, t_delta, v_bits: v.bits, leading: v.leading, trailing: v.trailing, free })
    }

    /// Adds a sample. The caller cuts before [`MAX_SAMPLES`] and gives rising times.
    #[inline]
    pub fn append(&mut self, t_ms: i64, v: f64) {
        let n = self.len();
        assert!(n < MAX_SAMPLES, "a chunk is cut before its count overflows");
        match n {
            0 => self.first(t_ms, v),
            1 => {
                self.t_delta = t_ms.wrapping_sub(self.t_ms) as u64;
                let mut w = BitWriter::new(&mut self.bytes, self.free);
                w.put_uvarint(self.t_delta);
                let mut x = XorValue { bits: self.v_bits, leading: self.leading, trailing: self.trailing };
                x.write(&mut w, v);
                self.free = w.finish();
                self.keep(x);
            }
            _ => self.next(t_ms, v),
        }
        self.t_ms = t_ms;
        let [a, b] = (n + 1).to_be_bytes();
        self.bytes[0] = a;
        self.bytes[1] = b;
    }

    fn first(&mut self, t_ms: i64, v: f64) {
        self.bytes.clear();
        grow(&mut self.bytes, 24);
        self.bytes.extend_from_slice(&[0, 0]);
        let mut w = BitWriter::new(&mut self.bytes, 0);
        w.put_varint(t_ms);
        w.put(v.to_bits(), 64);
        self.free = w.finish();
        self.t_delta = 0;
        self.v_bits = v.to_bits();
        self.leading = NO_WINDOW;
        self.trailing = 0;
    }

    #[inline]
    fn next(&mut self, t_ms: i64, v: f64) {
        let delta = t_ms.wrapping_sub(self.t_ms) as u64;
        let dod = delta.wrapping_sub(self.t_delta) as i64;
        if dod == 0 && self.free >= 2 && v.to_bits() == self.v_bits {
            self.free -= 2;
            return;
        }
        let (mut head, mut n) = if dod == 0 {
            (0, 1)
        } else if fits(dod, 14) {
            ((0b10 << 14) | (dod as u64 & 0x3fff), 16)
        } else if fits(dod, 17) {
            ((0b110 << 17) | (dod as u64 & 0x1_ffff), 20)
        } else {
            ((0b1110 << 20) | (dod as u64 & 0xf_ffff), 24)
        };
        let mut w = BitWriter::new(&mut self.bytes, self.free);
        if !fits(dod, 20) {
            w.put(0b1111, 4);
            w.put(dod as u64, 64);
            n = 0;
        }
        // What comes before the value's own bits goes out in one piece.
        let mut x = XorValue { bits: self.v_bits, leading: self.leading, trailing: self.trailing };
        let delta_v = v.to_bits() ^ x.bits;
        x.bits = v.to_bits();
        if delta_v == 0 {
            w.put(head << 1, n + 1);
        } else if let Some((bits, len)) = x.in_window(delta_v) {
            head = (head << 2) | 0b10;
            n += 2;
            if n + len <= 64 {
                w.put((head << len) | bits, n + len);
            } else {
                w.put(head, n);
                w.put(bits, len);
            }
        } else {
            let leading = delta_v.leading_zeros().min(31);
            let trailing = delta_v.trailing_zeros();
            let len = 64 - leading - trailing;
            x.leading = leading as u8;
            x.trailing = trailing as u8;
            head = (head << 13) | (0b11 << 11) | u64::from(leading << 6) | u64::from(len & 63);
            w.put(head, n + 13);
            w.put(delta_v >> trailing, len);
        }
        self.free = w.finish();
        self.keep(x);
        self.t_delta = delta;
    }

    #[inline]
    fn keep(&mut self, x: XorValue) {
        self.v_bits = x.bits;
        self.leading = x.leading;
        self.trailing = x.trailing;
    }

    /// How many samples it holds.
    #[inline]
    pub fn len(&self) -> u16 {
        match self.bytes.as_slice() {
            &[a, b, ..] => u16::from_be_bytes([a, b]),
            _ => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The chunk so far; complete after every append.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of memory that its buffer holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn last_t_ms(&self) -> i64 {
        self.t_ms
    }

    pub fn last_v(&self) -> f64 {
        f64::from_bits(self.v_bits)
    }

    /// The finished chunk. The appender is empty afterwards and may begin a new one.
    pub fn take(&mut self) -> Vec<u8> {
        self.free = 0;
        std::mem::take(&mut self.bytes)
    }
}

struct Reader<'a> {
    bits: BitReader<'a>,
    total: u16,
    left: u16,
    t_ms: i64,
    t_delta: u64,
    v: XorValue,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let &[a, b, ref rest @ ..] = bytes else { return Err(ChunkError::Truncated) };
        let total = u16::from_be_bytes([a, b]);
        Ok(Reader { bits: BitReader::new(rest), total, left: total, t_ms: 0, t_delta: 0, v: XorValue { bits: 0, leading: NO_WINDOW, trailing: 0 } })
    }

    /// Reads one more sample into `t_ms` and `v`.
    #[inline(always)]
    fn next(&mut self) -> Result<(), ChunkError> {
        let index = self.total - self.left;
        self.left -= 1;
        if index >= 2 {
            let w = self.bits.peek();
            if w >> 63 == 0 {
                self.bits.skip(1);
            } else {
                self.t_delta = self.t_delta.wrapping_add(self.dod(w) as u64);
            }
            self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
            self.v.read(&mut self.bits)?;
        } else {
            self.begin(index)?;
        }
        self.bits.check()
    }

    #[inline(always)]
    fn dod(&mut self, w: u64) -> i64 {
        let (prefix, n) = match (!w).leading_zeros() {
            1 => (2, 14),
            2 => (3, 17),
            3 => (4, 20),
            _ => {
                self.bits.skip(4);
                return self.bits.read(64) as i64;
            }
        };
        self.bits.skip(prefix + n);
        sign_extend((w << prefix) >> (64 - n), n)
    }

    /// Reads the first two samples, which have forms of their own; gives what the others follow from.
    fn start(&mut self, t_out: &mut [i64], v_out: &mut [f64]) -> Result<Walk<'a>, ChunkError> {
        let mut at = 0;
        while self.left > 0 && at < 2.min(t_out.len()) {
            self.next()?;
            (t_out[at], v_out[at]) = (self.t_ms, self.v.value());
            at += 1;
        }
        // Before the first window it is all 64 bits.
        let (leading, len) = match self.v.leading {
            NO_WINDOW => (0, 64),
            leading => (u32::from(leading), 64 - u32::from(leading) - u32::from(self.v.trailing)),
        };
        let (bytes, pos) = (self.bits.bytes(), self.bits.position());
        Ok(Walk {
            bytes,
            pos,
            t: self.t_ms,
            delta: self.t_delta as i64,
            value: self.v.bits,
            leading,
            len,
            at,
            left: t_out.len() - at,
            too_wide: false,
        })
    }

    #[cold]
    fn begin(&mut self, index: u16) -> Result<(), ChunkError> {
        if index == 0 {
            self.t_ms = self.bits.varint()?;
            self.v.bits = self.bits.read(64);
            return Ok(());
        }
        self.t_delta = self.bits.uvarint()?;
        self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
        self.v.read(&mut self.bits)
    }
}

/// Samples between two looks whether the end of the range is passed.
const LOOK_AFTER: usize = 16;

/// What the third and every later sample follows from. Which of its usual forms a sample has is chance: the times are computed with, not
/// branched on. Whether the bytes were good is looked at when all is read ([`Walk::check`]); behind their end there are zeros.
#[derive(Clone, Copy)]
struct Walk<'a> {
    bytes: &'a [u8],
    /// In bits.
    pos: usize,
    t: i64,
    delta: i64,
    /// Bits of the last value.
    value: u64,
    /// Leading zeros and length of the window.
    leading: u32,
    len: u32,
    /// Samples in the columns.
    at: usize,
    /// Samples that are still to be read.
    left: usize,
    too_wide: bool,
}

impl Walk<'_> {
    /// Fills the columns with what may be in the range; begins some samples before `start_ms` and stops some behind `end_ms`.
    fn fill(mut self, start_ms: i64, end_ms: i64, t_out: &mut [i64], v_out: &mut [f64]) -> Self {
        let room = t_out.len().min(v_out.len());
        let (t_out, v_out) = (&mut t_out[..room], &mut v_out[..room]);
        while self.left > 0 && self.t <= end_ms {
            // What lies before the range is written over.
            if self.t < start_ms {
                self.at = 0;
            }
            let stop = self.at + self.left.min(LOOK_AFTER);
            let from = self.at;
            while self.at < stop && self.at < room {
                let w = bits::peek(self.bytes, self.pos);
                if w >> 56 == 0 {
                    self.same(w, stop, t_out, v_out);
                } else {
                    self.step(w, t_out, v_out);
                }
            }
            self.left -= self.at - from;
        }
        self
    }

    /// Two zero bits are a sample on time with the same value: all that are in sight at once.
    #[inline(always)]
    fn same(&mut self, w: u64, stop: usize, t_out: &mut [i64], v_out: &mut [f64]) {
        let n = ((w.leading_zeros() / 2) as usize).min(28).min(stop - self.at);
        let value = f64::from_bits(self.value);
        for (t, v) in t_out[self.at..self.at + n].iter_mut().zip(&mut v_out[self.at..self.at + n]) {
            self.t = self.t.wrapping_add(self.delta);
            (*t, *v) = (self.t, value);
        }
        self.pos += 2 * n;
        self.at += n;
    }

    #[inline(always)]
    fn step(&mut self, mut w: u64, t_out: &mut [i64], v_out: &mut [f64]) {
        if w >> 62 == 0b11 {
            let (dod, used) = long_dod(self.bytes, self.pos);
            self.delta = self.delta.wrapping_add(dod);
            self.pos += used;
            w = bits::peek(self.bytes, self.pos);
        } else {
            // A zero, or "10" and 14 bits.
            let moved = (w as i64) >> 63;
            let dod = sign_extend((w << 2) >> 50, 14);
            self.delta = self.delta.wrapping_add(dod & moved);
            let used = 1 + (15 & moved as usize);
            self.pos += used;
            w <<= used;
        }
        self.t = self.t.wrapping_add(self.delta);
        // A zero: the same value. "10": a difference in the window of before. "11": 11 bits of a new window, then the difference.
        let (changed, new) = ((w as i64) >> 63, w >> 62 == 0b11);
        let head = ((w << 2) >> 53) as u32;
        let (new_leading, new_len) = (head >> 6, ((head & 63).wrapping_sub(1) & 63) + 1);
        self.leading = if new { new_leading } else { self.leading };
        self.len = if new { new_len } else { self.len };
        self.too_wide |= self.leading + self.len > 64;
        self.pos += if new { 13 } else { 1 + (changed & 1) as usize };
        let n = self.len & changed as u32;
        let difference = if n > 57 { bits::peek_wide(self.bytes, self.pos, n) } else { (bits::peek(self.bytes, self.pos) >> 1) >> (63 - n) };
        self.pos += n as usize;
        self.value ^= difference << (64u32.wrapping_sub(self.leading + self.len) & 63);
        (t_out[self.at], v_out[self.at]) = (self.t, f64::from_bits(self.value));
        self.at += 1;
    }

    fn is_good(&self) -> bool {
        !self.too_wide && self.pos <= self.bytes.len() * 8
    }
}

/// A delta of delta in one of the forms that begin with "11", and how many bits it has.
#[cold]
#[inline(never)]
fn long_dod(bytes: &[u8], pos: usize) -> (i64, usize) {
    let w = bits::peek(bytes, pos);
    let (prefix, n) = match (!w).leading_zeros() {
        2 => (3, 17),
        3 => (4, 20),
        _ => return (bits::peek_wide(bytes, pos + 4, 64) as i64, 68),
    };
    (sign_extend((w << prefix) >> (64 - n), n), (prefix + n) as usize)
}

/// Appends the samples with `start_ms <= t <= end_ms` to `out`.
pub fn decode(bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    let mut r = Reader::new(bytes)?;
    // No sample takes less than two bits: a damaged count cannot ask for more room than there are bytes.
    let room = usize::from(r.left).min(bytes.len() * 4);
    let base = out.t_ms.len();
    out.t_ms.resize(base + room, 0);
    out.v.resize(base + room, 0.0);
    let (t_out, v_out) = (&mut out.t_ms[base..], &mut out.v[base..]);
    let walk = r.start(t_out, v_out).map(|w| w.fill(start_ms, end_ms, t_out, v_out));
    let (mut n, result) = match walk {
        Ok(w) if w.is_good() => (w.at, Ok(())),
        _ => carefully(bytes, t_out, v_out),
    };
    while n > 0 && t_out[n - 1] > end_ms {
        n -= 1;
    }
    out.t_ms.truncate(base + n);
    out.v.truncate(base + n);
    let early = out.t_ms[base..].partition_point(|t| *t < start_ms);
    if early > 0 {
        out.t_ms.drain(base..base + early);
        out.v.drain(base..base + early);
    }
    pad_st(&mut out.st_ms, out.t_ms.len());
    result
}

/// Reads a damaged chunk sample by sample, up to the damage.
#[cold]
fn carefully(bytes: &[u8], t_out: &mut [i64], v_out: &mut [f64]) -> (usize, Result<(), ChunkError>) {
    let mut at = 0;
    let mut read = || -> Result<(), ChunkError> {
        let mut r = Reader::new(bytes)?;
        while r.left > 0 && at < t_out.len() {
            r.next()?;
            (t_out[at], v_out[at]) = (r.t_ms, r.v.value());
            at += 1;
        }
        Ok(())
    };
    let result = read();
    (at, result)
}
