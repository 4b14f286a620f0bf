//! LEB128 as Go's encoding/binary writes it: unsigned, and signed in zig-zag.

/// The longest encoding of a 64-bit value.
pub const MAX_LEN: usize = 10;

#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push((v as u8) | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

#[inline]
pub fn put_varint(out: &mut Vec<u8>, v: i64) {
    put_uvarint(out, ((v << 1) ^ (v >> 63)) as u64);
}

#[inline]
pub fn uvarint_len(v: u64) -> usize {
    (64 - (v | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes a value at a place of a buffer that has room for it ([`MAX_LEN`]); returns the place behind it.
#[inline]
pub fn write_uvarint(out: &mut [u8], mut at: usize, mut v: u64) -> usize {
    while v >= 0x80 {
        out[at] = (v as u8) | 0x80;
        at += 1;
        v >>= 7;
    }
    out[at] = v as u8;
    at + 1
}

#[inline]
pub fn write_varint(out: &mut [u8], at: usize, v: i64) -> usize {
    write_uvarint(out, at, ((v << 1) ^ (v >> 63)) as u64)
}

/// Reads a value from the front; returns it and the number of bytes it took. None when cut short or longer than 64 bits.
#[inline(always)]
pub fn uvarint(b: &[u8]) -> Option<(u64, usize)> {
    match *b {
        [a @ 0..=0x7f, ..] => Some((u64::from(a), 1)),
        [a, b @ 0..=0x7f, ..] => Some((u64::from(a & 0x7f) | u64::from(b) << 7, 2)),
        _ => long_uvarint(b),
    }
}

fn long_uvarint(b: &[u8]) -> Option<(u64, usize)> {
    let mut v = 0;
    for (i, &byte) in b.iter().enumerate().take(MAX_LEN) {
        if i == 9 && byte > 1 {
            return None;
        }
        v |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((v, i + 1));
        }
    }
    None
}

#[inline(always)]
pub fn varint(b: &[u8]) -> Option<(i64, usize)> {
    let (u, n) = uvarint(b)?;
    Some((((u >> 1) as i64) ^ -((u & 1) as i64), n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(u: u64, i: i64) {
            let mut b = Vec::new();
            put_uvarint(&mut b, u);
            prop_assert_eq!(uvarint_len(u), b.len());
            prop_assert_eq!(uvarint(&b), Some((u, b.len())));
            let mut fixed = [0; 2 * MAX_LEN];
            let middle = write_uvarint(&mut fixed, 0, u);
            let end = write_varint(&mut fixed, middle, i);
            prop_assert_eq!(&fixed[..middle], &b[..]);
            prop_assert_eq!(varint(&fixed[middle..end]), Some((i, end - middle)));
            b.clear();
            put_varint(&mut b, i);
            prop_assert_eq!(varint(&b), Some((i, b.len())));
        }

        #[test]
        fn arbitrary_bytes_never_panic(b: Vec<u8>) {
            let _ = (uvarint(&b), varint(&b));
        }
    }
}
