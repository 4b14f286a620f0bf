//! Names of blocks: 48 bits of milliseconds and 80 of chance, as 26 characters that sort by time (github.com/ulid/spec).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use stdx::rand::Rand;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LEN: usize = 26;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ulid(pub u128);

impl Ulid {
    pub fn new(now_ms: i64, rand: &mut Rand) -> Self {
        let chance = (u128::from(rand.next_u64()) << 64) | u128::from(rand.next_u64());
        Ulid((u128::from(now_ms.max(0) as u64) << 80) | (chance >> 48))
    }

    /// When it was made.
    pub fn time_ms(self) -> i64 {
        (self.0 >> 80) as i64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..LEN).rev().map(|i| char::from(DIGITS[((self.0 >> (5 * i)) & 31) as usize])).collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAUlid;

impl fmt::Display for NotAUlid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a ulid: 26 characters of Crockford's base 32 are needed")
    }
}

impl std::error::Error for NotAUlid {}

impl FromStr for Ulid {
    type Err = NotAUlid;

    fn from_str(s: &str) -> Result<Self, NotAUlid> {
        // 26 digits are 130 bits: the first one may only have three.
        if s.len() != LEN || s.as_bytes()[0] > b'7' {
            return Err(NotAUlid);
        }
        let mut v = 0u128;
        for c in s.bytes() {
            let digit = DIGITS.iter().position(|d| *d == c.to_ascii_uppercase()).ok_or(NotAUlid)?;
            v = (v << 5) | digit as u128;
        }
        Ok(Ulid(v))
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = String::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}
