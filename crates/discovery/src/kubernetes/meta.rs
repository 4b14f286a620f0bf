//! Labels that all kinds share: name, labels and annotations of an object.

use super::objects::Meta;
use model::labels::{Labels, LabelsRef, push_pair};

pub(crate) const PREFIX: &str = "__meta_kubernetes_";

/// Labels in the making, faster than a builder for the hundred pairs of a pod: of equal names the last wins, empty values are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pairs: Vec<(String, String)>,
}

impl Set {
    /// A label by its whole name.
    pub fn whole(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((name.to_string(), value.to_string()));
        self
    }

    /// A label by what follows `__meta_kubernetes_`.
    pub fn add(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((format!("{PREFIX}{name}"), value.to_string()));
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

    /// Each key gives its value and, as values may be empty, a label that says it is there.
    fn map<'a>(&mut self, what: &str, role: &str, pairs: impl IntoIterator<Item = (&'a String, &'a String)>) {
        for (k, v) in pairs {
            let k = sanitize(k);
            self.pairs.push((format!("{PREFIX}{role}_{what}_{k}"), v.clone()));
            self.pairs.push((format!("{PREFIX}{role}_{what}present_{k}"), "true".to_string()));
        }
    }

    pub fn labels_and_annotations(&mut self, role: &str, meta: &Meta) -> &mut Self {
        self.map("label", role, &meta.labels);
        self.map("annotation", role, &meta.annotations);
        self
    }

    /// Name, labels and annotations.
    pub fn object(&mut self, role: &str, meta: &Meta) -> &mut Self {
        self.add(&format!("{role}_name"), &meta.name);
        self.labels_and_annotations(role, meta)
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
pub(crate) fn host_port(host: &str, port: u32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
