//! Bit streams, most significant bit first, and the variable-length integers that histogram chunks are made of.
//!
//! The writer collects up to 64 bits in a register and starts from a half-filled last byte; the reader loads eight bytes at a time. Reading
//! past the end gives zeros: whoever reads asks [`BitReader::overrun`] before it believes what it read.

use super::ChunkError;

/// Appends bits to a byte buffer. [`BitWriter::finish`] must be called last; it returns how many bits of the last byte are free.
pub struct BitWriter<'a> {
    buf: &'a mut Vec<u8>,
    /// Bits that are not in the buffer yet, left-aligned.
    acc: u64,
    /// How many; always below 64.
    used: u32,
}

impl<'a> BitWriter<'a> {
    /// `free` is how many low bits of the buffer's last byte are not written yet, as `finish` told; 0 on a byte boundary.
    #[inline]
    pub fn new(buf: &'a mut Vec<u8>, free: u8) -> Self {
        if free == 0 {
            return BitWriter { buf, acc: 0, used: 0 };
        }
        let last = buf.pop().unwrap_or(0);
        BitWriter { buf, acc: u64::from(last) << 56, used: 8 - u32::from(free) }
    }

    /// Writes the low `n` bits of `v`; `n` is 1 to 64.
    #[inline]
    pub fn put(&mut self, v: u64, n: u32) {
        let v = v & (u64::MAX >> (64 - n));
        let room = 64 - self.used;
        if n < room {
            self.acc |= v << (room - n);
            self.used += n;
            return;
        }
        let rest = n - room;
        grow(self.buf, 8);
        self.buf.extend_from_slice(&(self.acc | (v >> rest)).to_be_bytes());
        self.acc = if rest == 0 { 0 } else { v << (64 - rest) };
        self.used = rest;
    }

    #[inline]
    pub fn finish(self) -> u8 {
        let bytes = self.used.div_ceil(8) as usize;
        let len = self.buf.len() + bytes;
        if self.buf.capacity() - self.buf.len() >= 8 {
            // A copy of fixed length is much cheaper.
            self.buf.extend_from_slice(&self.acc.to_be_bytes());
            self.buf.truncate(len);
        } else {
            grow(self.buf, bytes);
            self.buf.extend_from_slice(&self.acc.to_be_bytes()[..bytes]);
        }
        (bytes as u32 * 8 - self.used) as u8
    }

    pub fn put_uvarint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.put((v & 0x7f) | 0x80, 8);
            v >>= 7;
        }
        self.put(v, 8);
    }

    pub fn put_varint(&mut self, v: i64) {
        self.put_uvarint(((v << 1) ^ (v >> 63)) as u64);
    }

    /// A signed integer in one of nine widths, small ones first.
    #[inline]
    pub fn put_varbit(&mut self, v: i64) {
        if v == 0 {
            return self.put(0, 1);
        }
        let class = VARBIT_WIDTHS[1..8].iter().position(|w| fits(v, *w)).map_or(8, |i| i + 1);
        self.put_class(v as u64, class);
    }

    /// The same for unsigned integers.
    #[inline]
    pub fn put_varbit_u(&mut self, v: u64) {
        if v == 0 {
            return self.put(0, 1);
        }
        let significant = 64 - v.leading_zeros();
        let class = VARBIT_WIDTHS[1..8].iter().position(|w| significant <= *w).map_or(8, |i| i + 1);
        self.put_class(v, class);
    }

    /// `class` ones, a zero unless it is the last class, then the bits of the class.
    fn put_class(&mut self, v: u64, class: usize) {
        match class {
            8 => self.put(0xff, 8),
            _ => self.put((1 << (class + 1)) - 2, class as u32 + 1),
        }
        self.put(v, VARBIT_WIDTHS[class]);
    }
}

const VARBIT_WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Is `v` within `-(2^(n-1) - 1) ..= 2^(n-1)`? So is the range cut: the upper end belongs to it, the lower does not.
#[inline]
pub fn fits(v: i64, n: u32) -> bool {
    let half = 1i64 << (n - 1);
    -(half - 1) <= v && v <= half
}

/// Undoes the cut to `n` bits of a number that [`fits`].
#[inline]
pub fn sign_extend(bits: u64, n: u32) -> i64 {
    if bits > 1 << (n - 1) { bits.wrapping_sub(1 << n) as i64 } else { bits as i64 }
}

/// Makes room for `n` more bytes, no more than the allocator would round up to anyway.
#[inline]
pub fn grow(buf: &mut Vec<u8>, n: usize) {
    if buf.capacity() - buf.len() < n {
        grow_slow(buf, n);
    }
}

#[cold]
fn grow_slow(buf: &mut Vec<u8>, n: usize) {
    let need = buf.len() + n;
    let step = if need <= 128 { 16 } else { (need.next_power_of_two() / 8).min(256) };
    buf.reserve_exact(need.next_multiple_of(step) - buf.len());
}

/// Reads bits from the front.
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    pos: usize,
}

impl<'a> BitReader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, pos: 0 }
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// In bits.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The next bits, left-aligned; at least 57 are valid.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        peek(self.bytes, self.pos)
    }

    #[inline(always)]
    pub fn skip(&mut self, n: u32) {
        self.pos += n as usize;
    }

    /// Reads `n` bits; 1 to 64.
    #[inline(always)]
    pub fn read(&mut self, n: u32) -> u64 {
        if n <= 57 {
            let v = self.peek() >> (64 - n);
            self.skip(n);
            return v;
        }
        let high = self.peek() >> 32;
        self.skip(32);
        let low = self.peek() >> (96 - n);
        self.skip(n - 32);
        (high << (n - 32)) | low
    }

    /// Has more been read than there is?
    #[inline(always)]
    pub fn overrun(&self) -> bool {
        self.pos > self.bytes.len() * 8
    }

    pub fn check(&self) -> Result<(), ChunkError> {
        if self.overrun() { Err(ChunkError::Truncated) } else { Ok(()) }
    }

    /// Unread bits of the byte that was read last: what a [`BitWriter`] needs to go on here.
    pub fn free_bits(&self) -> u8 {
        ((8 - (self.pos & 7)) & 7) as u8
    }

    /// How many bytes have been touched.
    pub fn bytes_read(&self) -> usize {
        self.pos.div_ceil(8)
    }

    pub fn bits_left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.pos)
    }

    pub fn uvarint(&mut self) -> Result<u64, ChunkError> {
        let mut v = 0u64;
        for i in 0..10 {
            let b = self.read(8);
            v |= (b & 0x7f) << (7 * i);
            if b < 0x80 {
                return if i == 9 && b > 1 { Err(ChunkError::Invalid("varint is longer than 64 bits")) } else { self.check().map(|()| v) };
            }
        }
        Err(ChunkError::Invalid("varint is longer than 64 bits"))
    }

    pub fn varint(&mut self) -> Result<i64, ChunkError> {
        let u = self.uvarint()?;
        Ok(((u >> 1) as i64) ^ -((u & 1) as i64))
    }

    #[inline]
    fn class(&mut self) -> usize {
        let ones = (!self.peek()).leading_zeros().min(8);
        self.skip((ones + 1).min(8));
        ones as usize
    }

    /// Reads what [`BitWriter::put_varbit`] wrote.
    #[inline]
    pub fn varbit(&mut self) -> i64 {
        match self.class() {
            0 => 0,
            8 => self.read(64) as i64,
            class => {
                let n = VARBIT_WIDTHS[class];
                sign_extend(self.read(n), n)
            }
        }
    }

    /// Reads what [`BitWriter::put_varbit_u`] wrote.
    #[inline]
    pub fn varbit_u(&mut self) -> u64 {
        match self.class() {
            0 => 0,
            class => self.read(VARBIT_WIDTHS[class]),
        }
    }
}

/// The bits from a position on, left-aligned; at least 57 are valid. Behind the end there are zeros.
#[inline(always)]
pub fn peek(bytes: &[u8], pos: usize) -> u64 {
    let at = pos >> 3;
    let word = match bytes.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
        Some(b) => u64::from_be_bytes(b),
        None => tail(bytes, at),
    };
    word << (pos & 7)
}

#[cold]
#[inline(never)]
fn tail(bytes: &[u8], at: usize) -> u64 {
    let mut b = [0; 8];
    if let Some(rest) = bytes.get(at..) {
        let n = rest.len().min(8);
        b[..n].copy_from_slice(&rest[..n]);
    }
    u64::from_be_bytes(b)
}

/// `n` bits from a position on, where `n` is more than [`peek`] gives.
#[cold]
#[inline(never)]
pub fn peek_wide(bytes: &[u8], pos: usize, n: u32) -> u64 {
    let high = peek(bytes, pos) >> 32;
    let low = peek(bytes, pos + 32) >> (96 - n);
    (high << (n - 32)) | low
}

/// The bits of a float as the difference to the one before: the window of bits that differed last time is kept as long as the difference fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XorValue {
    pub bits: u64,
    /// Leading zeros of the window; [`NO_WINDOW`] before the first one.
    pub leading: u8,
    pub trailing: u8,
}

pub const NO_WINDOW: u8 = 0xff;

impl XorValue {
    pub fn new(v: f64) -> Self {
        XorValue { bits: v.to_bits(), leading: NO_WINDOW, trailing: 0 }
    }

    pub fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    #[inline]
    pub fn write(&mut self, w: &mut BitWriter<'_>, v: f64) {
        let delta = v.to_bits() ^ self.bits;
        self.bits = v.to_bits();
        if delta == 0 {
            return w.put(0, 1);
        }
        if let Some((bits, n)) = self.in_window(delta) {
            w.put(0b10, 2);
            return w.put(bits, n);
        }
        w.put(0b11, 2);
        self.write_window(w, delta);
    }

    /// The bits of the window if the difference fits into it.
    #[inline]
    pub fn in_window(&self, delta: u64) -> Option<(u64, u32)> {
        let fits = self.leading != NO_WINDOW
            && delta.leading_zeros().min(31) >= u32::from(self.leading)
            && delta.trailing_zeros() >= u32::from(self.trailing);
        fits.then(|| (delta >> self.trailing, 64 - u32::from(self.leading) - u32::from(self.trailing)))
    }

    /// Opens a new window: 5 bits of leading zeros (at most 31), 6 bits of length (0 means 64), then its bits.
    #[inline]
    pub fn write_window(&mut self, w: &mut BitWriter<'_>, delta: u64) {
        let leading = delta.leading_zeros().min(31);
        let trailing = delta.trailing_zeros();
        let len = 64 - leading - trailing;
        self.leading = leading as u8;
        self.trailing = trailing as u8;
        w.put((u64::from(leading) << 6) | u64::from(len & 63), 11);
        w.put(delta >> trailing, len);
    }

    #[inline]
    pub fn read(&mut self, r: &mut BitReader<'_>) -> Result<(), ChunkError> {
        let w = r.peek();
        if w >> 63 == 0 {
            r.skip(1);
            return Ok(());
        }
        if w >> 62 == 0b10 {
            r.skip(2);
            self.read_in_window(r);
            return Ok(());
        }
        r.skip(2);
        self.read_window(r)
    }

    #[inline]
    pub fn read_in_window(&mut self, r: &mut BitReader<'_>) {
        let leading = if self.leading == NO_WINDOW { 0 } else { self.leading };
        let n = 64 - u32::from(leading) - u32::from(self.trailing);
        self.bits ^= r.read(n) << self.trailing;
    }

    #[inline]
    pub fn read_window(&mut self, r: &mut BitReader<'_>) -> Result<(), ChunkError> {
        let head = r.read(11);
        let leading = (head >> 6) as u32;
        let len = match (head & 63) as u32 {
            0 => 64,
            n => n,
        };
        if leading + len > 64 {
            return Err(ChunkError::Invalid("value window is wider than 64 bits"));
        }
        self.leading = leading as u8;
        self.trailing = (64 - leading - len) as u8;
        self.bits ^= r.read(len) << self.trailing;
        Ok(())
    }
}
