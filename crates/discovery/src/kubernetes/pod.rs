//! A target for each port of each container of a pod; one without a port for a container that has none.

use super::meta::{AboutObjects, set};
use super::objects::{ContainerStatus, Kind, Pod};
use super::state::View;
use crate::ADDRESS_LABEL;
use crate::set::{Set, host_port};

pub(crate) fn build(pod: &Pod, view: &View<'_>) -> (Vec<Set>, Set) {
    let mut targets = Vec::new();
    let ip = &pod.status.pod_ip;
    // A pod that starts, or was evicted, has no address. One on a node that we were told not to look at is left out.
    if ip.is_empty() || (view.attach.node && view.node(&pod.spec.node_name).is_none()) {
        return (targets, set());
    }
    let mut labels = pod_labels(pod, view);
    labels.add("namespace", &pod.metadata.namespace);
    view.add_node(&mut labels, Some(&pod.spec.node_name));
    view.add_namespace(&mut labels, &pod.metadata.namespace);
    let main = pod.spec.containers.iter().map(|c| (c, false));
    for (c, init) in main.chain(pod.spec.init_containers.iter().map(|c| (c, true))) {
        let statuses = if init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
        let id = id_of(statuses, &c.name);
        let common = |t: &mut Set| {
            t.add("pod_container_name", &c.name)
                .add("pod_container_id", id)
                .add("pod_container_image", &c.image)
                .add("pod_container_init", if init { "true" } else { "false" });
        };
        if c.ports.is_empty() {
            let mut t = set();
            t.whole(ADDRESS_LABEL, ip);
            common(&mut t);
            targets.push(t);
        }
        for port in &c.ports {
            let mut t = set();
            t.whole(ADDRESS_LABEL, &host_port(ip, port.container_port))
                .add("pod_container_port_number", &port.container_port.to_string())
                .add("pod_container_port_name", &port.name)
                .add("pod_container_port_protocol", &port.protocol.0);
            common(&mut t);
            targets.push(t);
        }
    }
    (targets, labels)
}

fn id_of<'a>(statuses: &'a [ContainerStatus], name: &str) -> &'a str {
    statuses.iter().find(|s| s.name == name).map_or("", |s| &s.container_id)
}

/// What is said about a pod wherever it appears.
pub(crate) fn pod_labels(pod: &Pod, view: &View<'_>) -> Set {
    let status = &pod.status;
    let ready = status.conditions.iter().find(|c| c.kind == "Ready").map_or("unknown".to_string(), |c| c.status.to_lowercase());
    let mut t = set();
    t.add("pod_ip", &status.pod_ip)
        .add("pod_ready", &ready)
        .add("pod_phase", &status.phase)
        .add("pod_node_name", &pod.spec.node_name)
        .add("pod_host_ip", &status.host_ip)
        .add("pod_uid", &pod.metadata.uid)
        .object("pod", &pod.metadata);
    let Some(controller) = pod.metadata.controller() else { return t };
    t.add("pod_controller_kind", &controller.kind).add("pod_controller_name", &controller.name);
    // A deployment owns replica sets, a cron job owns jobs: one step further up.
    let owner = |kind: Kind, wanted: &str| {
        let above = view.meta(kind, format!("{}/{}", pod.metadata.namespace, controller.name))?.controller()?;
        (above.kind == wanted).then_some(above.name.as_str())
    };
    match controller.kind.as_str() {
        "ReplicaSet" if view.attach.deployment => {
            t.add_some("pod_deployment_name", owner(Kind::ReplicaSet, "Deployment"));
        }
        "Job" => {
            if view.attach.job {
                t.add("pod_job_name", &controller.name);
            }
            if view.attach.cronjob {
                t.add_some("pod_cronjob_name", owner(Kind::Job, "CronJob"));
            }
        }
        _ => {}
    }
    t
}
