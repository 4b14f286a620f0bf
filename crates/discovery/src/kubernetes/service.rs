//! A target for each port of a service, by its name in the cluster's DNS.

use super::meta::{AboutObjects, set};
use super::objects::Service;
use super::state::View;
use crate::ADDRESS_LABEL;
use crate::set::Set;

pub(crate) fn build(s: &Service, view: &View<'_>) -> (Vec<Set>, Set) {
    let meta = &s.metadata;
    let mut labels = service_labels(s);
    view.add_namespace(&mut labels, &meta.namespace);
    let target = |port: &super::objects::ServicePort| {
        let mut t = set();
        t.whole(ADDRESS_LABEL, &format!("{}.{}.svc:{}", meta.name, meta.namespace, port.port))
            .add("service_port_name", &port.name)
            .add("service_port_number", &port.port.to_string())
            .add("service_port_protocol", &port.protocol.0)
            .add("service_type", &s.spec.kind);
        if s.spec.kind == "ExternalName" {
            t.add("service_external_name", &s.spec.external_name);
        } else {
            t.add("service_cluster_ip", &s.spec.cluster_ip);
        }
        if s.spec.kind == "LoadBalancer" {
            t.add("service_loadbalancer_ip", &s.spec.load_balancer_ip);
        }
        t
    };
    (s.spec.ports.iter().map(target).collect(), labels)
}

pub(crate) fn service_labels(s: &Service) -> Set {
    let mut t = set();
    t.add("namespace", &s.metadata.namespace).object("service", &s.metadata);
    t
}
