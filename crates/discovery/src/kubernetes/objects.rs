//! The objects of the API, with no more fields than become labels.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

pub(crate) type Map = BTreeMap<String, String>;

/// Go writes empty lists and maps as null.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

macro_rules! object {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $($(#[$fmeta])* #[serde(deserialize_with = "nullable")] pub $field: $ty,)*
        }
    };
}

object!(Meta { name: String, namespace: String, uid: String, labels: Map, annotations: Map, owner_references: Vec<Owner>, resource_version: String });
object!(Owner { kind: String, name: String, controller: bool });

impl Meta {
    /// `namespace/name`, or the name of what has no namespace.
    pub fn key(&self) -> String {
        if self.namespace.is_empty() { self.name.clone() } else { format!("{}/{}", self.namespace, self.name) }
    }

    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|o| o.controller)
    }
}

object!(Pod { metadata: Meta, spec: PodSpec, status: PodStatus });
object!(PodSpec { node_name: String, containers: Vec<Container>, init_containers: Vec<Container> });
object!(Container { name: String, image: String, ports: Vec<ContainerPort> });
object!(ContainerPort { name: String, container_port: u32, protocol: Protocol });
object!(PodStatus {
    #[serde(rename = "podIP")] pod_ip: String,
    #[serde(rename = "hostIP")] host_ip: String,
    phase: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
});
object!(Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
});
object!(ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: String,
});

object!(Service { metadata: Meta, spec: ServiceSpec });
object!(ServiceSpec {
    #[serde(rename = "type")] kind: String,
    #[serde(rename = "clusterIP")] cluster_ip: String,
    #[serde(rename = "loadBalancerIP")] load_balancer_ip: String,
    external_name: String,
    ports: Vec<ServicePort>,
    ip_family_policy: String,
    ip_families: Vec<String>,
});
object!(ServicePort { name: String, port: u32, protocol: Protocol });

object!(Endpoints { metadata: Meta, subsets: Vec<Subset> });
object!(Subset { addresses: Vec<Address>, not_ready_addresses: Vec<Address>, ports: Vec<EndpointPort> });
object!(Address { ip: String, hostname: String, node_name: Option<String>, target_ref: Option<Reference> });
object!(Reference { kind: String, name: String, namespace: String });
object!(EndpointPort { name: Option<String>, port: Option<u32>, protocol: Option<String>, app_protocol: Option<String> });

object!(EndpointSlice { metadata: Meta, address_type: String, endpoints: Vec<SliceEndpoint>, ports: Vec<EndpointPort> });
object!(SliceEndpoint {
    addresses: Vec<String>,
    conditions: SliceConditions,
    hostname: Option<String>,
    target_ref: Option<Reference>,
    node_name: Option<String>,
    zone: Option<String>,
    deprecated_topology: Map,
});
object!(SliceConditions { ready: Option<bool>, serving: Option<bool>, terminating: Option<bool> });

object!(Node { metadata: Meta, spec: NodeSpec, status: NodeStatus });
object!(NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: String,
});
object!(NodeStatus { conditions: Vec<Condition>, addresses: Vec<NodeAddress>, daemon_endpoints: DaemonEndpoints });
object!(NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
});
object!(DaemonEndpoints { kubelet_endpoint: DaemonEndpoint });
object!(DaemonEndpoint {
    #[serde(rename = "Port")]
    port: u32,
});

object!(Ingress { metadata: Meta, spec: IngressSpec });
object!(IngressSpec { ingress_class_name: Option<String>, tls: Vec<IngressTls>, rules: Vec<IngressRule> });
object!(IngressTls { hosts: Vec<String> });
object!(IngressRule { host: String, http: Option<IngressHttp> });
object!(IngressHttp { paths: Vec<IngressPath> });
object!(IngressPath { path: String });

object!(Namespace { metadata: Meta });
object!(ReplicaSet { metadata: Meta });
object!(Job { metadata: Meta });

/// TCP when nothing is said.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(transparent)]
pub(crate) struct Protocol(pub String);

impl Default for Protocol {
    fn default() -> Self {
        Protocol("TCP".into())
    }
}

/// What kind an object is, in the order in which they are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Endpoints,
    EndpointSlice,
    Pod,
    Service,
    Node,
    Ingress,
    Namespace,
    ReplicaSet,
    Job,
}

impl Kind {
    /// The `role` label of the event counter; None for what is not counted.
    pub fn role(self) -> Option<&'static str> {
        Some(match self {
            Kind::Endpoints => "endpoints",
            Kind::EndpointSlice => "endpointslice",
            Kind::Pod => "pod",
            Kind::Service => "service",
            Kind::Node => "node",
            Kind::Ingress => "ingress",
            Kind::Namespace | Kind::ReplicaSet | Kind::Job => return None,
        })
    }
}

/// An object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
    Pod(Box<Pod>),
    Service(Box<Service>),
    Node(Box<Node>),
    Ingress(Box<Ingress>),
    /// Namespace, replica set, job: only what is said about them.
    Meta(Box<Meta>),
}

/// A kind that can be listed and watched.
pub(crate) trait Resource: serde::de::DeserializeOwned + Send + 'static {
    const KIND: Kind;
    /// `/api/v1` or `/apis/GROUP/VERSION`
    const API: &'static str;
    const PLURAL: &'static str;

    fn meta(&self) -> &Meta;
    fn object(self) -> Object;
}

macro_rules! resource {
    ($name:ident, $api:literal, $plural:literal, |$o:ident| $object:expr) => {
        impl Resource for $name {
            const KIND: Kind = Kind::$name;
            const API: &'static str = $api;
            const PLURAL: &'static str = $plural;

            fn meta(&self) -> &Meta {
                &self.metadata
            }

            fn object(self) -> Object {
                let $o = self;
                $object
            }
        }
    };
}

resource!(Endpoints, "/api/v1", "endpoints", |o| Object::Endpoints(Box::new(o)));
resource!(EndpointSlice, "/apis/discovery.k8s.io/v1", "endpointslices", |o| Object::EndpointSlice(Box::new(o)));
resource!(Pod, "/api/v1", "pods", |o| Object::Pod(Box::new(o)));
resource!(Service, "/api/v1", "services", |o| Object::Service(Box::new(o)));
resource!(Node, "/api/v1", "nodes", |o| Object::Node(Box::new(o)));
resource!(Ingress, "/apis/networking.k8s.io/v1", "ingresses", |o| Object::Ingress(Box::new(o)));
resource!(Namespace, "/api/v1", "namespaces", |o| Object::Meta(Box::new(o.metadata)));
resource!(ReplicaSet, "/apis/apps/v1", "replicasets", |o| Object::Meta(Box::new(o.metadata)));
resource!(Job, "/apis/batch/v1", "jobs", |o| Object::Meta(Box::new(o.metadata)));
