//! A target for each path of each host of an ingress.

use super::meta::{AboutObjects, set};
use super::objects::Ingress;
use super::state::View;
use crate::ADDRESS_LABEL;
use crate::set::Set;

pub(crate) fn build(ingress: &Ingress, view: &View<'_>) -> (Vec<Set>, Set) {
    let meta = &ingress.metadata;
    let mut labels = set();
    labels.add("namespace", &meta.namespace).add_some("ingress_class_name", ingress.spec.ingress_class_name.as_deref());
    labels.object("ingress", meta);
    view.add_namespace(&mut labels, &meta.namespace);
    let mut targets = Vec::new();
    for rule in &ingress.spec.rules {
        let secure = ingress.spec.tls.iter().flat_map(|t| &t.hosts).any(|pattern| matches(pattern, &rule.host));
        let paths: Vec<&str> = match &rule.http {
            None => vec!["/"],
            Some(http) => http.paths.iter().map(|p| if p.path.is_empty() { "/" } else { p.path.as_str() }).collect(),
        };
        for path in paths {
            let mut t = set();
            t.whole(ADDRESS_LABEL, &rule.host)
                .add("ingress_scheme", if secure { "https" } else { "http" })
                .add("ingress_host", &rule.host)
                .add("ingress_path", path);
            targets.push(t);
        }
    }
    (targets, labels)
}

/// The host itself, or with `*` for its first label.
fn matches(pattern: &str, host: &str) -> bool {
    pattern == host
        || match (pattern.strip_prefix("*."), host.split_once('.')) {
            (Some(p), Some((_, h))) => p == h,
            _ => false,
        }
}
