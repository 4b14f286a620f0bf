//! Protobuf's wire format, read field by field from borrowed bytes.

use stdx::varint::uvarint;

#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Value<'a> {
    pub fn u64(self) -> Option<u64> {
        match self {
            Value::Varint(v) => Some(v),
            _ => None,
        }
    }

    pub fn i64(self) -> Option<i64> {
        self.u64().map(|v| v as i64)
    }

    /// Zig-zag.
    pub fn sint(self) -> Option<i64> {
        self.u64().map(unzigzag)
    }

    pub fn double(self) -> Option<f64> {
        match self {
            Value::Fixed64(v) => Some(f64::from_bits(v)),
            _ => None,
        }
    }

    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(b) => Some(b),
            _ => None,
        }
    }

    pub fn str(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

pub fn unzigzag(v: u64) -> i64 {
    ((v >> 1) as i64) ^ -((v & 1) as i64)
}

/// The next field of a message: its number and value; the rest stays in `b`. None when the bytes are no field.
pub fn field<'a>(b: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let (key, n) = uvarint(b)?;
    let mut rest = &b[n..];
    let number = u32::try_from(key >> 3).ok().filter(|n| *n > 0)?;
    let value = match key & 7 {
        0 => {
            let (v, n) = uvarint(rest)?;
            rest = &rest[n..];
            Value::Varint(v)
        }
        1 => {
            let (v, r) = rest.split_first_chunk::<8>()?;
            rest = r;
            Value::Fixed64(u64::from_le_bytes(*v))
        }
        2 => {
            let (len, n) = uvarint(rest)?;
            let (v, r) = rest[n..].split_at_checked(usize::try_from(len).ok()?)?;
            rest = r;
            Value::Bytes(v)
        }
        5 => {
            rest = rest.split_first_chunk::<4>()?.1;
            Value::Fixed32
        }
        _ => return None,
    };
    *b = rest;
    Some((number, value))
}

/// A field of a repeated number: one, or packed many.
pub fn repeated_sint(v: Value<'_>, out: &mut Vec<i64>) -> Option<()> {
    match v {
        Value::Varint(v) => out.push(unzigzag(v)),
        Value::Bytes(mut b) => {
            while !b.is_empty() {
                let (v, n) = uvarint(b)?;
                out.push(unzigzag(v));
                b = &b[n..];
            }
        }
        _ => return None,
    }
    Some(())
}

pub fn repeated_double(v: Value<'_>, out: &mut Vec<f64>) -> Option<()> {
    match v {
        Value::Fixed64(v) => out.push(f64::from_bits(v)),
        Value::Bytes(b) => {
            let (chunks, rest) = b.as_chunks::<8>();
            if !rest.is_empty() {
                return None;
            }
            out.extend(chunks.iter().map(|c| f64::from_bits(u64::from_le_bytes(*c))));
        }
        _ => return None,
    }
    Some(())
}
