//! Labels in the making, faster than a builder for the hundred pairs of a pod; and what discovery does to names from elsewhere.

use model::labels::{Labels, LabelsRef, push_pair};

/// Of equal names the last wins, empty values are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    prefix: &'static str,
    pairs: Vec<(String, String)>,
}

impl Set {
    /// `prefix` begins the names of [`Set::add`]: `__meta_kubernetes_`.
    pub fn new(prefix: &'static str) -> Self {
        Set { prefix, pairs: Vec::new() }
    }

    /// A label by its whole name.
    pub fn whole(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((name.to_string(), value.to_string()));
        self
    }

    /// A label by what follows the prefix.
    pub fn add(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((format!("{}{name}", self.prefix), value.to_string()));
        self
    }

    pub fn add_some(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(v) => self.add(name, v),
            None => self,
        }
    }

    pub fn merge(&mut self, other: &Set) -> &mut Self {
        self.pairs.extend(other.pairs.iter().cloned());
        self
    }

    /// A label for each key, made of `name` and what of the key may stand in a label name.
    pub fn each<'a>(&mut self, name: &str, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> &mut Self {
        for (k, v) in pairs {
            let k = sanitize(k);
            self.add(&format!("{name}{k}"), v);
        }
        self
    }

    pub fn build(mut self) -> Labels {
        self.pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out = Vec::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (i, (n, v)) in self.pairs.iter().enumerate() {
            let last = self.pairs.get(i + 1).is_none_or(|(next, _)| next != n);
            if last && !v.is_empty() {
                push_pair(&mut out, n, v);
            }
        }
        LabelsRef::from_encoded(&out).to_labels()
    }
}

/// What may stand in a label name of the old scheme; anything else becomes an underscore.
pub(crate) fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// With brackets around an IPv6 address.
pub(crate) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// For a query: everything but letters, digits and `-_.~` is escaped.
pub(crate) fn percent_encode(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
