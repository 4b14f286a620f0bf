//! A URL in the file, kept as it was written. Its parts are found by text, as laxly as Go does; what may be missing is for the room to say.

#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url(String);

impl Url {
    pub fn parse(text: &str) -> Result<Self, String> {
        let quoted = || model::labels::quote(text);
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(format!("parse {}: net/url: invalid control character in URL", quoted()));
        }
        if text.starts_with(':') {
            return Err(format!("parse {}: missing protocol scheme", quoted()));
        }
        let url = Url(text.to_string());
        let port = url.host().rsplit_once(':').map(|(_, p)| p).filter(|p| !p.contains(']'));
        if let Some(port) = port.filter(|p| !p.bytes().all(|b| b.is_ascii_digit())) {
            return Err(format!("parse {}: invalid port {} after host", quoted(), model::labels::quote(&format!(":{port}"))));
        }
        if url.host().contains(' ') {
            return Err(format!("parse {}: invalid character \" \" in host name", quoted()));
        }
        Ok(url)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In lower case; "" when there is none.
    pub fn scheme(&self) -> String {
        match self.0.split_once(':') {
            Some((s, _))
                if s.starts_with(|c: char| c.is_ascii_alphabetic())
                    && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) =>
            {
                s.to_ascii_lowercase()
            }
            _ => String::new(),
        }
    }

    fn authority(&self) -> &str {
        let rest = &self.0[self.scheme().len()..];
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        match rest.strip_prefix("//") {
            Some(rest) => &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())],
            None => "",
        }
    }

    /// Host and port; "" when there is none.
    pub fn host(&self) -> &str {
        let a = self.authority();
        a.rsplit_once('@').map_or(a, |(_, h)| h)
    }

    /// User and password, percent-decoded.
    pub fn user_info(&self) -> Option<(String, Option<String>)> {
        let (info, _) = self.authority().rsplit_once('@')?;
        Some(match info.split_once(':') {
            Some((u, p)) => (percent_decode(u), Some(percent_decode(p))),
            None => (percent_decode(info), None),
        })
    }

    /// The path with what follows it; "" when there is none.
    pub fn path_and_query(&self) -> &str {
        match self.0.find("//") {
            Some(i) => {
                let after = i + 2 + self.authority().len();
                &self.0[after..]
            }
            None => &self.0,
        }
    }

    /// As shown: the password is replaced by `xxxxx`.
    pub fn redacted(&self) -> String {
        match self.authority().rsplit_once('@').and_then(|(info, _)| info.split_once(':')) {
            Some((user, password)) => self.0.replacen(&format!("//{user}:{password}@"), &format!("//{user}:xxxxx@"), 1),
            None => self.0.clone(),
        }
    }
}

fn percent_decode(s: &str) -> String {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let [b, after @ ..] = rest {
        let hex = |b: u8| (b as char).to_digit(16);
        rest = match (b, after) {
            (b'%', [h, l, after @ ..]) if hex(*h).is_some() && hex(*l).is_some() => {
                out.push((hex(*h).unwrap_or(0) * 16 + hex(*l).unwrap_or(0)) as u8);
                after
            }
            _ => {
                out.push(*b);
                after
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl crate::FromYaml for Url {
    fn from_yaml(node: &crate::Node, cx: &mut crate::Cx) -> Option<Self> {
        let text = String::from_yaml(node, cx)?;
        match Url::parse(&text) {
            Ok(url) => Some(url),
            Err(e) => cx.invalid(node, e),
        }
    }

    fn null() -> Option<Self> {
        Some(Url::default())
    }

    fn type_name() -> String {
        "string".into()
    }
}

impl crate::ToYaml for Url {
    fn to_value(&self) -> crate::Value {
        crate::Value::Str(self.redacted())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
