//! Reads numbers and strings from the front of borrowed bytes; None when they end too early.

use stdx::varint;

#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    /// Starts at an offset; at the end when it lies behind.
    #[inline]
    pub fn at(bytes: &'a [u8], offset: usize) -> Self {
        Cursor { bytes, at: offset.min(bytes.len()) }
    }

    #[inline]
    pub fn pos(&self) -> usize {
        self.at
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let out = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(out)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub fn be32(&mut self) -> Option<u32> {
        self.take(4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes)
    }

    pub fn be64(&mut self) -> Option<u64> {
        self.take(8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)
    }

    #[inline]
    pub fn uvarint(&mut self) -> Option<u64> {
        let (v, n) = varint::uvarint(&self.bytes[self.at..])?;
        self.at += n;
        Some(v)
    }

    #[inline]
    pub fn varint(&mut self) -> Option<i64> {
        let (v, n) = varint::varint(&self.bytes[self.at..])?;
        self.at += n;
        Some(v)
    }

    /// A length and that many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.uvarint()?).ok()?;
        self.take(n)
    }

    #[inline]
    pub fn str(&mut self) -> Option<&'a str> {
        self.bytes().and_then(|b| std::str::from_utf8(b).ok())
    }

    /// A section: 4-byte length, content, checksum of the content. None when it is cut short or the checksum is wrong.
    pub fn section(bytes: &'a [u8], offset: u64) -> Option<&'a [u8]> {
        let mut c = Cursor::at(bytes, usize::try_from(offset).ok()?);
        let n = c.be32()? as usize;
        let content = c.take(n)?;
        (c.be32()? == stdx::crc::crc32c(content)).then_some(content)
    }
}
