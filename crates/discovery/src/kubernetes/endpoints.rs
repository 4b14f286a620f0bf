//! Targets from the endpoints of services, by either of the two objects that list them. A pod behind an endpoint brings its own labels, and
//! its ports that no endpoint names become targets too.

use super::meta::{AboutObjects, set};
use super::objects::{Address, Container, ContainerPort, EndpointPort, EndpointSlice, Endpoints, Pod, Reference, Service, SliceEndpoint};
use super::pod::pod_labels;
use super::service::service_labels;
use super::state::View;
use crate::ADDRESS_LABEL;
use crate::set::{Set, host_port};
use std::collections::BTreeMap;

/// Pods met so far, by namespace and name, with the ports that endpoints cover.
type Pods<'a> = BTreeMap<(&'a str, &'a str), (&'a Pod, Vec<u32>)>;

pub(crate) fn of_endpoints(eps: &Endpoints, view: &View<'_>) -> (Vec<Set>, Set) {
    let meta = &eps.metadata;
    let mut labels = set();
    labels.add("namespace", &meta.namespace);
    if let Some(s) = view.service(&meta.namespace, &meta.name) {
        labels.merge(&service_labels(s));
    }
    labels.object("endpoints", meta);
    view.add_namespace(&mut labels, &meta.namespace);
    let (mut targets, mut pods) = (Vec::new(), Pods::new());
    for subset in &eps.subsets {
        for port in &subset.ports {
            for a in &subset.addresses {
                targets.push(of_address(a, port, "true", view, &mut pods));
            }
            for a in &subset.not_ready_addresses {
                targets.push(of_address(a, port, "false", view, &mut pods));
            }
        }
    }
    other_ports(&pods, view, &mut targets);
    (targets, labels)
}

fn of_address<'a>(a: &Address, port: &EndpointPort, ready: &str, view: &'a View<'_>, pods: &mut Pods<'a>) -> Set {
    let number = port.port.unwrap_or(0);
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let mut t = set();
    t.whole(ADDRESS_LABEL, &host_port(&a.ip, number))
        .add("endpoint_port_name", port.name.as_deref().unwrap_or_default())
        .add("endpoint_port_protocol", protocol)
        .add("endpoint_ready", ready)
        .add_some("endpoint_address_target_kind", a.target_ref.as_ref().map(|r| r.kind.as_str()))
        .add_some("endpoint_address_target_name", a.target_ref.as_ref().map(|r| r.name.as_str()))
        .add_some("endpoint_node_name", a.node_name.as_deref())
        .add("endpoint_hostname", &a.hostname);
    view.add_node(&mut t, a.node_name.as_deref().or_else(|| node_of(a.target_ref.as_ref())));
    if let Some(p) = pod_of(a.target_ref.as_ref(), view) {
        t.merge(&pod_labels(p, view));
        for (c, cp, init) in ports_of(p).filter(|(_, cp, _)| cp.container_port == number) {
            container_labels(&mut t, c, cp, protocol, init);
        }
        seen(pods, p).push(number);
    }
    t
}

pub(crate) fn of_slice(eps: &EndpointSlice, view: &View<'_>) -> (Vec<Set>, Set) {
    let meta = &eps.metadata;
    let mut labels = set();
    labels.add("namespace", &meta.namespace).add("endpointslice_address_type", &eps.address_type).object("endpointslice", meta);
    let service = meta.labels.get("kubernetes.io/service-name").and_then(|name| view.service(&meta.namespace, name));
    if let Some(s) = service {
        labels.merge(&service_labels(s));
    }
    view.add_namespace(&mut labels, &meta.namespace);
    let (mut targets, mut pods) = (Vec::new(), Pods::new());
    if service.is_some_and(|s| is_second_family(s, &eps.address_type)) {
        return (targets, labels);
    }
    for e in &eps.endpoints {
        for port in &eps.ports {
            for address in &e.addresses {
                targets.push(of_slice_endpoint(address, e, port, view, &mut pods));
            }
        }
    }
    other_ports(&pods, view, &mut targets);
    (targets, labels)
}

/// A service of two address families has slices for both; one of them is enough.
fn is_second_family(s: &Service, address_type: &str) -> bool {
    let dual = matches!(s.spec.ip_family_policy.as_str(), "PreferDualStack" | "RequireDualStack");
    dual && s.spec.ip_families.first().is_some_and(|first| first != address_type)
}

fn of_slice_endpoint<'a>(address: &str, e: &SliceEndpoint, port: &EndpointPort, view: &'a View<'_>, pods: &mut Pods<'a>) -> Set {
    let text = |b: Option<bool>| b.map(|b| if b { "true" } else { "false" });
    let number = port.port.map(|p| p.to_string());
    let mut t = set();
    t.whole(ADDRESS_LABEL, &port.port.map_or_else(|| address.to_string(), |p| host_port(address, p)))
        .add_some("endpointslice_port_name", port.name.as_deref())
        .add_some("endpointslice_port_protocol", port.protocol.as_deref())
        .add_some("endpointslice_port", number.as_deref())
        .add_some("endpointslice_port_app_protocol", port.app_protocol.as_deref())
        .add_some("endpointslice_endpoint_conditions_ready", text(e.conditions.ready))
        .add_some("endpointslice_endpoint_conditions_serving", text(e.conditions.serving))
        .add_some("endpointslice_endpoint_conditions_terminating", text(e.conditions.terminating))
        .add_some("endpointslice_endpoint_hostname", e.hostname.as_deref())
        .add_some("endpointslice_address_target_kind", e.target_ref.as_ref().map(|r| r.kind.as_str()))
        .add_some("endpointslice_address_target_name", e.target_ref.as_ref().map(|r| r.name.as_str()))
        .add_some("endpointslice_endpoint_node_name", e.node_name.as_deref())
        .add_some("endpointslice_endpoint_zone", e.zone.as_deref());
    for (k, v) in &e.deprecated_topology {
        let k = crate::set::sanitize(k);
        t.add(&format!("endpointslice_endpoint_topology_{k}"), v);
        t.add(&format!("endpointslice_endpoint_topology_present_{k}"), "true");
    }
    view.add_node(&mut t, node_of(e.target_ref.as_ref()).or(e.node_name.as_deref()));
    if let Some(p) = pod_of(e.target_ref.as_ref(), view) {
        t.merge(&pod_labels(p, view));
        for (c, cp, init) in ports_of(p).filter(|(_, cp, _)| port.port == Some(cp.container_port)) {
            container_labels(&mut t, c, cp, &cp.protocol.0, init);
        }
        seen(pods, p).extend(port.port);
    }
    t
}

fn node_of(r: Option<&Reference>) -> Option<&str> {
    r.filter(|r| r.kind == "Node").map(|r| r.name.as_str())
}

fn pod_of<'a>(r: Option<&Reference>, view: &'a View<'_>) -> Option<&'a Pod> {
    let r = r.filter(|r| r.kind == "Pod")?;
    view.pod(&r.namespace, &r.name)
}

fn seen<'p, 'a>(pods: &'p mut Pods<'a>, p: &'a Pod) -> &'p mut Vec<u32> {
    &mut pods.entry((&p.metadata.namespace, &p.metadata.name)).or_insert((p, Vec::new())).1
}

/// All container ports, with their container and whether it is an init container.
fn ports_of(p: &Pod) -> impl Iterator<Item = (&Container, &ContainerPort, bool)> {
    let of = |init: bool| move |c| (c, init);
    let all = p.spec.containers.iter().map(of(false)).chain(p.spec.init_containers.iter().map(of(true)));
    all.flat_map(|(c, init): (&Container, bool)| c.ports.iter().map(move |port| (c, port, init)))
}

fn container_labels(t: &mut Set, c: &Container, port: &ContainerPort, protocol: &str, init: bool) {
    t.add("pod_container_name", &c.name)
        .add("pod_container_image", &c.image)
        .add("pod_container_port_name", &port.name)
        .add("pod_container_port_number", &port.container_port.to_string())
        .add("pod_container_port_protocol", protocol)
        .add("pod_container_init", if init { "true" } else { "false" });
}

fn other_ports(pods: &Pods<'_>, view: &View<'_>, targets: &mut Vec<Set>) {
    for (pod, covered) in pods.values() {
        // A pod that starts, or was evicted, has no address.
        if pod.status.pod_ip.is_empty() {
            continue;
        }
        for (c, port, init) in ports_of(pod).filter(|(_, p, _)| !covered.contains(&p.container_port)) {
            let mut t = set();
            t.whole(ADDRESS_LABEL, &host_port(&pod.status.pod_ip, port.container_port));
            container_labels(&mut t, c, port, &port.protocol.0, init);
            t.merge(&pod_labels(pod, view));
            targets.push(t);
        }
    }
}
