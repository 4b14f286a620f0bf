//! Float chunks: delta-of-delta times and XORed values (Gorilla), encoding 1.
//!
//! ```text
//! | samples u16 | t varint | v 64 bits | dt uvarint | xor | { dod | xor } ... | zeros to the byte |
//! dod: 0 -> 0   10 -> 14 bits   110 -> 17 bits   1110 -> 20 bits   1111 -> 64 bits
//! ```

use super::bits::{BitReader, BitWriter, NO_WINDOW, XorValue, fits, grow, sign_extend};
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

    /// Fills the columns until a sample is later than `end_ms`; returns how many it put there. Everything that changes from sample to sample is in
    /// local variables, and one load of bits serves a whole sample unless its value has many.
    fn decode_into(&mut self, end_ms: i64, t_out: &mut [i64], v_out: &mut [f64]) -> (usize, Result<(), ChunkError>) {
        let room = t_out.len();
        let mut slots = t_out.iter_mut().zip(v_out);
        while self.left > 0 && self.total - self.left < 2 {
            if let Err(e) = self.next() {
                return (room - slots.len(), Err(e));
            }
            if self.t_ms > end_ms {
                return (room - slots.len(), Ok(()));
            }
            let Some((t, v)) = slots.next() else { break };
            *t = self.t_ms;
            *v = self.v.value();
        }
        let Reader { bits: r, left, t_ms, t_delta, v, .. } = self;
        let (mut left, mut t, mut delta, mut v) = (u32::from(*left), *t_ms, *t_delta as i64, *v);
        while left > 0 {
            let mut w = r.peek();
            // Two zero bits are a sample on time with the same value: all that are in sight at once.
            let same = (w.leading_zeros() / 2).min(28).min(left);
            if same > 0 {
                r.skip(2 * same);
                if r.overrun() {
                    return (room - slots.len(), Err(ChunkError::Truncated));
                }
                left -= same;
                let value = v.value();
                for _ in 0..same {
                    t = t.wrapping_add(delta);
                    if t > end_ms {
                        return (room - slots.len(), Ok(()));
                    }
                    let Some((t_slot, v_slot)) = slots.next() else { break };
                    *t_slot = t;
                    *v_slot = value;
                }
                continue;
            }
            let mut valid = 57;
            if w >> 63 == 0 {
                w <<= 1;
                valid -= 1;
                r.skip(1);
            } else {
                let (prefix, n) = match (!w).leading_zeros() {
                    1 => (2, 14),
                    2 => (3, 17),
                    3 => (4, 20),
                    _ => (4, 64),
                };
                if n == 64 {
                    r.skip(4);
                    delta = delta.wrapping_add(r.read(64) as i64);
                    w = r.peek();
                } else {
                    delta = delta.wrapping_add(sign_extend((w << prefix) >> (64 - n), n));
                    r.skip(prefix + n);
                    w <<= prefix + n;
                    valid -= prefix + n;
                }
            }
            t = t.wrapping_add(delta);
            if w >> 63 == 0 {
                r.skip(1);
            } else {
                let head = if w >> 62 == 0b10 {
                    2
                } else {
                    let leading = ((w << 2) >> 59) as u32;
                    let len = match ((w << 7) >> 58) as u32 {
                        0 => 64,
                        n => n,
                    };
                    if leading + len > 64 {
                        return (room - slots.len(), Err(ChunkError::Invalid("value window is wider than 64 bits")));
                    }
                    v.leading = leading as u8;
                    v.trailing = (64 - leading - len) as u8;
                    13
                };
                let leading = if v.leading == NO_WINDOW { 0 } else { v.leading };
                let n = 64 - u32::from(leading) - u32::from(v.trailing);
                let value = if head + n <= valid {
                    r.skip(head + n);
                    (w << head) >> (64 - n)
                } else {
                    r.skip(head);
                    r.read(n)
                };
                v.bits ^= value << v.trailing;
            }
            left -= 1;
            if r.overrun() {
                return (room - slots.len(), Err(ChunkError::Truncated));
            }
            if t > end_ms {
                break;
            }
            let Some((t_slot, v_slot)) = slots.next() else { break };
            *t_slot = t;
            *v_slot = v.value();
        }
        (room - slots.len(), Ok(()))
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

/// Appends the samples with `start_ms <= t <= end_ms` to `out`.
pub fn decode(bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    let mut r = Reader::new(bytes)?;
    // No sample takes less than two bits: a damaged count cannot ask for more room than there are bytes.
    let room = usize::from(r.left).min(bytes.len() * 4);
    let base = out.t_ms.len();
    out.t_ms.resize(base + room, 0);
    out.v.resize(base + room, 0.0);
    let (n, result) = r.decode_into(end_ms, &mut out.t_ms[base..], &mut out.v[base..]);
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
