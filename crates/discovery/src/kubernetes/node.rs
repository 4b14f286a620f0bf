//! One target for each node: its kubelet.

use super::meta::{AboutObjects, set};
use super::objects::Node;
use crate::ADDRESS_LABEL;
use crate::set::{Set, host_port, sanitize};

/// The kinds of addresses, best first.
const BEST_FIRST: [&str; 6] = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

pub(crate) fn build(node: &Node) -> (Vec<Set>, Set) {
    let mut labels = set();
    labels.add("node_provider_id", &node.spec.provider_id);
    for c in &node.status.conditions {
        labels.add(&format!("node_condition_{}", sanitize(&c.kind.to_lowercase())), &c.status.to_lowercase());
    }
    labels.object("node", &node.metadata);
    let addresses = &node.status.addresses;
    let Some(best) = BEST_FIRST.iter().find_map(|kind| addresses.iter().find(|a| a.kind == *kind)) else {
        tracing::warn!(discovery = "kubernetes", node = node.metadata.name, "no node address found");
        return (Vec::new(), labels);
    };
    let mut t = set();
    t.whole(ADDRESS_LABEL, &host_port(&best.address, node.status.daemon_endpoints.kubelet_endpoint.port))
        .whole(model::name::INSTANCE, &node.metadata.name);
    // The first of a kind; later ones win in a set, so they go in backwards.
    for a in addresses.iter().rev() {
        t.add(&format!("node_address_{}", sanitize(&a.kind)), &a.address);
    }
    (vec![t], labels)
}
