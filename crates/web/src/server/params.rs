//! Arguments of a request: repeated keys, in order, percent-decoded.

#[derive(Clone, Debug, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Adds `a=1&b=2` behind what is there.
    pub fn add_encoded(&mut self, encoded: &[u8]) {
        let decoded = decode(encoded);
        self.pairs.extend(decoded);
    }

    /// Adds a form's content before what is there: of a key in both places the form wins.
    pub fn prepend_encoded(&mut self, encoded: &[u8]) {
        let mut decoded = decode(encoded);
        decoded.append(&mut self.pairs);
        self.pairs = decoded;
    }

    /// The first value; "" when absent.
    pub fn get(&self, key: &str) -> &str {
        self.find(key).unwrap_or("")
    }

    pub fn find(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.pairs.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

fn decode(encoded: &[u8]) -> Vec<(String, String)> {
    encoded
        .split(|b| *b == b'&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let eq = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
            (percent_decode(&part[..eq], true), percent_decode(part.get(eq + 1..).unwrap_or(b""), true))
        })
        .collect()
}

/// Decodes `%41` and, in forms, `+`. A percent sign without two digits stays; bytes that are no UTF-8 become U+FFFD.
pub fn percent_decode(bytes: &[u8], plus_is_space: bool) -> String {
    let out = percent_decode_bytes(bytes, plus_is_space);
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The same without a look at what the bytes mean.
pub fn percent_decode_bytes(bytes: &[u8], plus_is_space: bool) -> Vec<u8> {
    let hex = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16)).map(|d| d as u8);
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => match (hex(bytes.get(i + 1)), hex(bytes.get(i + 2))) {
                (Some(a), Some(b)) => {
                    out.push(a << 4 | b);
                    i += 2;
                }
                _ => out.push(b'%'),
            },
            b'+' if plus_is_space => out.push(b' '),
            b => out.push(b),
        }
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_and_a_form_before_the_query() {
        let mut p = Params::default();
        p.add_encoded(b"match[]=up&match%5B%5D=%7Ba%3D%22b%22%7D&x=1+2&flag&class=6%EB%B0%98");
        p.prepend_encoded(b"x=form");
        assert_eq!(p.all("match[]").collect::<Vec<_>>(), ["up", r#"{a="b"}"#]);
        assert_eq!((p.get("x"), p.find("flag"), p.find("none"), p.get("class")), ("form", Some(""), None, "6반"));
        assert_eq!(percent_decode(b"%zz%4", false), "%zz%4");
    }
}
