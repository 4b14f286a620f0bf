//! Just enough of protocol buffers: walking the fields of a message, and writing them. Knows no message.

use super::WireError;
use stdx::varint::{put_uvarint, uvarint, uvarint_len};

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Value::Bytes(b) => Ok(b),
            _ => Err(WireError::malformed("wrong wire type: bytes expected")),
        }
    }

    #[inline]
    pub fn varint(self) -> Result<u64, WireError> {
        match self {
            Value::Varint(v) => Ok(v),
            _ => Err(WireError::malformed("wrong wire type: varint expected")),
        }
    }

    #[inline]
    pub fn int64(self) -> Result<i64, WireError> {
        Ok(self.varint()? as i64)
    }

    #[inline]
    pub fn double(self) -> Result<f64, WireError> {
        match self {
            Value::Fixed64(v) => Ok(f64::from_bits(v)),
            _ => Err(WireError::malformed("wrong wire type: 64-bit value expected")),
        }
    }

    pub fn string(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::malformed("string is not valid UTF-8"))
    }
}

/// Undoes the zig-zag of sint32 and sint64.
#[inline]
pub fn unzigzag(u: u64) -> i64 {
    ((u >> 1) as i64) ^ -((u & 1) as i64)
}

#[inline]
pub fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

/// The fields of a message, in the order of the wire. A field number may come any number of times.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// What is not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, WireError> {
        let (v, n) = uvarint(self.rest).ok_or(WireError::malformed("varint is cut short or too long"))?;
        self.rest = &self.rest[n..];
        Ok(v)
    }

    #[inline]
    fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(WireError::malformed("field is longer than its message"))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next field's number and value; None at the end of the message.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::malformed("field number is too large"))?;
        if number == 0 {
            return Err(WireError::malformed("field number is 0"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes were taken"))),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError::malformed("field is longer than its message"))?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken"))),
            _ => return Err(WireError::malformed("unknown wire type")),
        };
        Ok(Some((number, value)))
    }
}

/// Calls `each` for every number of a repeated varint field, packed or not.
#[inline]
pub fn each_varint(value: Value<'_>, mut each: impl FnMut(u64)) -> Result<(), WireError> {
    match value {
        Value::Varint(v) => each(v),
        Value::Bytes(mut b) => {
            while !b.is_empty() {
                let (v, n) = uvarint(b).ok_or(WireError::malformed("packed varint is cut short or too long"))?;
                each(v);
                b = &b[n..];
            }
        }
        _ => return Err(WireError::malformed("wrong wire type: varints expected")),
    }
    Ok(())
}

/// Appends every number of a repeated double field, packed or not.
pub fn doubles(value: Value<'_>, out: &mut Vec<f64>) -> Result<(), WireError> {
    match value {
        Value::Fixed64(v) => out.push(f64::from_bits(v)),
        Value::Bytes(b) => {
            let (numbers, rest) = b.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(WireError::malformed("packed doubles are cut short"));
            }
            out.extend(numbers.iter().map(|n| f64::from_le_bytes(*n)));
        }
        _ => return Err(WireError::malformed("wrong wire type: doubles expected")),
    }
    Ok(())
}

// Writing. Field numbers below 16 take one byte of key, the others two: `key_len` counts them.

#[inline]
fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_uvarint(out, u64::from(number << 3 | wire_type));
}

#[inline]
fn key_len(number: u32) -> usize {
    if number < 16 { 1 } else { 2 }
}

/// As proto3 does, a zero is not written.
#[inline]
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, v: u64) {
    if v != 0 {
        put_key(out, number, 0);
        put_uvarint(out, v);
    }
}

#[inline]
pub fn varint_field_len(number: u32, v: u64) -> usize {
    if v == 0 { 0 } else { key_len(number) + uvarint_len(v) }
}

/// Positive zero is not written; negative zero is, as it has bits.
#[inline]
pub fn put_double_field(out: &mut Vec<u8>, number: u32, v: f64) {
    if v.to_bits() != 0 {
        put_key(out, number, 1);
        out.extend_from_slice(&v.to_bits().to_le_bytes());
    }
}

#[inline]
pub fn double_field_len(number: u32, v: f64) -> usize {
    if v.to_bits() == 0 { 0 } else { key_len(number) + 8 }
}

/// Key and length of a field whose `len` bytes the caller writes next.
#[inline]
pub fn put_len_key(out: &mut Vec<u8>, number: u32, len: usize) {
    put_key(out, number, 2);
    put_uvarint(out, len as u64);
}

/// Bytes that a length-delimited field of `len` bytes takes with its key.
#[inline]
pub fn len_field_len(number: u32, len: usize) -> usize {
    key_len(number) + uvarint_len(len as u64) + len
}

/// Written also when empty.
#[inline]
pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, b: &[u8]) {
    put_len_key(out, number, b.len());
    out.extend_from_slice(b);
}

/// As proto3 does, an empty string is not written.
pub fn put_str_field(out: &mut Vec<u8>, number: u32, s: &str) {
    if !s.is_empty() {
        put_bytes_field(out, number, s.as_bytes());
    }
}

pub fn str_field_len(number: u32, s: &str) -> usize {
    if s.is_empty() { 0 } else { len_field_len(number, s.len()) }
}

/// Writes a message of unknown length behind its key: the body is written first, then moved by the few bytes that its length takes. For what is
/// rare; hot messages count their length beforehand.
pub fn put_message_field(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, number, 2);
    let start = out.len();
    write(out);
    let len = out.len() - start;
    let mut prefix = Vec::with_capacity(5);
    put_uvarint(&mut prefix, len as u64);
    out.splice(start..start, prefix);
}
