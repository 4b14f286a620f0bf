//! Float chunks with joint control bits and optional start timestamps, encoding 4 ("XOR2").
//!
//! ```text
//! | samples u16 | st u8 | t varint | v 64 bits | [st varint] | dt uvarint | value | [st] | { control | value | [st] } ...
//! control: 0 -> on time, same value    10 -> on time, value    11111 -> on time, stale
//!          110 -> 13-bit dod, value    1110 -> 20-bit dod, value    11110 -> 64-bit dod, value
//! value:   0 -> same    10 -> in the window    110 -> new window    111 -> stale
//!          (after control 10: 0 -> in the window, 1 -> new window)
//! st byte: 0x80 the first sample has a start timestamp; low 7 bits: number of the sample from which on each carries the change of
//!          (previous time - start timestamp), 0 when none does
//! ```
//!
//! A stale marker does not become the value that the next one is compared with.

use super::bits::{BitReader, BitWriter, NO_WINDOW, XorValue, grow};
use super::layout::{StDecoder, StEncoder};
use super::{ChunkError, MAX_SAMPLES, pad_st};
use model::sample::{STALE_NAN_BITS, is_stale_nan};
use storage::SeriesData;

pub const HEADER_LEN: usize = 3;
const ST_AT: usize = 2;

/// An open chunk.
#[derive(Clone, Debug)]
pub struct Xor2Appender {
    bytes: Vec<u8>,
    t_ms: i64,
    t_delta: u64,
    /// Last value that is not stale, and its window.
    v: XorValue,
    last_v_bits: u64,
    st: StEncoder,
    free: u8,
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    pub fn new() -> Self {
        Xor2Appender { bytes: Vec::new(), t_ms: 0, t_delta: 0, v: XorValue::new(0.0), last_v_bits: 0, st: StEncoder::default(), free: 0 }
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
        let len = if r.total == 0 { 0 } else { HEADER_LEN + r.bits.bytes_read() };
        let mut a = Xor2Appender {
            bytes: Vec::new(),
            t_ms: r.t_ms,
            t_delta: r.t_delta,
            v: r.v,
            last_v_bits: r.shown,
            st: r.st.to_encoder(),
            free: r.bits.free_bits(),
        };
        bytes.truncate(len);
        a.bytes = bytes;
        Ok(a)
    }

    /// Adds a sample. `st_ms` is its start timestamp, 0 when unknown. The caller cuts before [`MAX_SAMPLES`] and gives rising times.
    pub fn append(&mut self, st_ms: i64, t_ms: i64, v: f64) {
        let n = self.len();
        assert!(n < MAX_SAMPLES, "a chunk is cut before its count overflows");
        if n == 0 {
            self.bytes.clear();
            grow(&mut self.bytes, 24);
            self.bytes.extend_from_slice(&[0; HEADER_LEN]);
            self.v = XorValue { bits: 0, leading: NO_WINDOW, trailing: 0 };
            self.st = StEncoder::default();
            self.t_delta = 0;
            self.free = 0;
        }
        let prev_t_ms = self.t_ms;
        let mut w = BitWriter::new(&mut self.bytes, self.free);
        match n {
            0 => {
                w.put_varint(t_ms);
                w.put(v.to_bits(), 64);
            }
            1 => {
                self.t_delta = t_ms.wrapping_sub(prev_t_ms) as u64;
                w.put_uvarint(self.t_delta);
                write_value(&mut self.v, &mut w, v);
            }
            _ => {
                let delta = t_ms.wrapping_sub(prev_t_ms) as u64;
                let dod = delta.wrapping_sub(self.t_delta) as i64;
                self.t_delta = delta;
                write_joint(&mut self.v, &mut w, dod, v);
            }
        }
        if !is_stale_nan(v) {
            self.v.bits = v.to_bits();
        }
        let st_byte = self.st.encode(&mut w, n + 1, t_ms, prev_t_ms, st_ms);
        self.free = w.finish();
        self.t_ms = t_ms;
        self.last_v_bits = v.to_bits();
        let [a, b] = (n + 1).to_be_bytes();
        self.bytes[0] = a;
        self.bytes[1] = b;
        self.bytes[ST_AT] = st_byte;
    }

    pub fn len(&self) -> u16 {
        match self.bytes.as_slice() {
            &[a, b, ..] => u16::from_be_bytes([a, b]),
            _ => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn last_t_ms(&self) -> i64 {
        self.t_ms
    }

    pub fn last_v(&self) -> f64 {
        f64::from_bits(self.last_v_bits)
    }

    /// The finished chunk. The appender is empty afterwards and may begin a new one.
    pub fn take(&mut self) -> Vec<u8> {
        self.free = 0;
        std::mem::take(&mut self.bytes)
    }
}

fn write_joint(x: &mut XorValue, w: &mut BitWriter<'_>, dod: i64, v: f64) {
    if dod == 0 {
        let delta = v.to_bits() ^ x.bits;
        if is_stale_nan(v) {
            w.put(0b11111, 5);
        } else if delta == 0 {
            w.put(0, 1);
        } else if let Some((bits, n)) = x.in_window(delta) {
            w.put(0b100, 3);
            w.put(bits, n);
        } else {
            w.put(0b101, 3);
            x.write_window(w, delta);
        }
        return;
    }
    if (-(1 << 12)..1 << 12).contains(&dod) {
        w.put((0b110 << 13) | (dod as u64 & 0x1fff), 16);
    } else if (-(1 << 19)..1 << 19).contains(&dod) {
        w.put((0b1110 << 20) | (dod as u64 & 0xf_ffff), 24);
    } else {
        w.put(0b11110, 5);
        w.put(dod as u64, 64);
    }
    write_value(x, w, v);
}

fn write_value(x: &mut XorValue, w: &mut BitWriter<'_>, v: f64) {
    let delta = v.to_bits() ^ x.bits;
    if is_stale_nan(v) {
        w.put(0b111, 3);
    } else if delta == 0 {
        w.put(0, 1);
    } else if let Some((bits, n)) = x.in_window(delta) {
        w.put(0b10, 2);
        w.put(bits, n);
    } else {
        w.put(0b110, 3);
        x.write_window(w, delta);
    }
}

struct Reader<'a> {
    bits: BitReader<'a>,
    total: u16,
    left: u16,
    t_ms: i64,
    t_delta: u64,
    v: XorValue,
    /// Bits of the value as it is shown: the last one, or the stale marker.
    shown: u64,
    st: StDecoder,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let &[a, b, st, ref rest @ ..] = bytes else { return Err(ChunkError::Truncated) };
        let total = u16::from_be_bytes([a, b]);
        let v = XorValue { bits: 0, leading: NO_WINDOW, trailing: 0 };
        Ok(Reader { bits: BitReader::new(rest), total, left: total, t_ms: 0, t_delta: 0, v, shown: 0, st: StDecoder::new(st) })
    }

    #[inline(always)]
    fn next(&mut self) -> Result<(), ChunkError> {
        let number = self.total - self.left + 1;
        self.left -= 1;
        let prev_t_ms = self.t_ms;
        if number > 2 {
            self.joint()?;
        } else if number == 1 {
            self.t_ms = self.bits.varint()?;
            self.shown = self.bits.read(64);
            if self.shown != STALE_NAN_BITS {
                self.v.bits = self.shown;
            }
        } else {
            self.t_delta = self.bits.uvarint()?;
            self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
            self.value()?;
        }
        if self.st.any() {
            self.st.decode(&mut self.bits, number, self.t_ms, prev_t_ms)?;
        }
        self.bits.check()
    }

    #[inline(always)]
    fn joint(&mut self) -> Result<(), ChunkError> {
        let w = self.bits.peek();
        let ones = (!w).leading_zeros();
        match ones {
            0 => {
                self.bits.skip(1);
                self.shown = self.v.bits;
            }
            1 => {
                self.bits.skip(3);
                if w & (1 << 61) == 0 {
                    self.v.read_in_window(&mut self.bits);
                } else {
                    self.v.read_window(&mut self.bits)?;
                }
                self.shown = self.v.bits;
            }
            2 => {
                self.bits.skip(16);
                self.dod(((w << 3) as i64) >> 51);
                self.value_after_dod()?;
                return Ok(());
            }
            3 => {
                self.bits.skip(24);
                self.dod(((w << 4) as i64) >> 44);
                self.value_after_dod()?;
                return Ok(());
            }
            4 => {
                self.bits.skip(5);
                let dod = self.bits.read(64) as i64;
                self.dod(dod);
                self.value_after_dod()?;
                return Ok(());
            }
            _ => {
                self.bits.skip(5);
                self.shown = STALE_NAN_BITS;
            }
        }
        self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
        Ok(())
    }

    #[inline(always)]
    fn dod(&mut self, dod: i64) {
        self.t_delta = self.t_delta.wrapping_add(dod as u64);
    }

    #[inline(always)]
    fn value_after_dod(&mut self) -> Result<(), ChunkError> {
        self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
        self.value()
    }

    #[inline(always)]
    fn value(&mut self) -> Result<(), ChunkError> {
        let w = self.bits.peek();
        match (!w).leading_zeros() {
            0 => self.bits.skip(1),
            1 => {
                self.bits.skip(2);
                self.v.read_in_window(&mut self.bits);
            }
            2 => {
                self.bits.skip(3);
                self.v.read_window(&mut self.bits)?;
            }
            _ => {
                self.bits.skip(3);
                self.shown = STALE_NAN_BITS;
                return Ok(());
            }
        }
        self.shown = self.v.bits;
        Ok(())
    }
}

/// Appends the samples with `start_ms <= t <= end_ms` to `out`, with their start timestamps if the chunk has any.
pub fn decode(bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    let mut r = Reader::new(bytes)?;
    let room = usize::from(r.left).min(bytes.len() * 8);
    out.t_ms.reserve(room);
    out.v.reserve(room);
    let with_st = r.st.any();
    if with_st {
        out.st_ms.resize(out.t_ms.len(), 0);
    }
    while r.left > 0 {
        r.next()?;
        if r.t_ms > end_ms {
            break;
        }
        if r.t_ms >= start_ms {
            out.t_ms.push(r.t_ms);
            out.v.push(f64::from_bits(r.shown));
            if with_st {
                out.st_ms.push(r.st.st_ms());
            }
        }
    }
    pad_st(&mut out.st_ms, out.t_ms.len());
    Ok(())
}
