//! Labels that all kinds share: name, labels and annotations of an object.

use super::objects::Meta;
use crate::set::{Set, sanitize};

pub(crate) const PREFIX: &str = "__meta_kubernetes_";

pub(crate) fn set() -> Set {
    Set::new(PREFIX)
}

/// What is said of every object.
pub(crate) trait AboutObjects {
    /// Name, labels and annotations.
    fn object(&mut self, role: &str, meta: &Meta) -> &mut Self;
    fn labels_and_annotations(&mut self, role: &str, meta: &Meta) -> &mut Self;
}

impl AboutObjects for Set {
    fn object(&mut self, role: &str, meta: &Meta) -> &mut Self {
        self.add(&format!("{role}_name"), &meta.name);
        self.labels_and_annotations(role, meta)
    }

    fn labels_and_annotations(&mut self, role: &str, meta: &Meta) -> &mut Self {
        for (what, pairs) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
            for (k, v) in pairs {
                let k = sanitize(k);
                self.add(&format!("{role}_{what}_{k}"), v);
                // As values may be empty, which is no label, another one says that the key is there.
                self.add(&format!("{role}_{what}present_{k}"), "true");
            }
        }
        self
    }
}
