//! A small API server on loopback: lists and watches of a few kinds.

use super::objects::{EndpointSlice, Endpoints, Ingress, Kind, Node, Object, Pod, ReplicaSet, Resource, Service};
use super::state::State;
use super::watch::{Change, What};
use super::*;
use crate::metrics::ProviderMetrics;
use crate::options::Options;
use crate::tests::{Running, line};
use crate::testserver::{Say, serve};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::clock::SystemClock;
use stdx::fs::{RealFs, write_atomic};
use stdx::metrics::Registry;

fn state(yaml: &str) -> State {
    let config: KubernetesConfig = yaml::from_str(yaml, &yaml::Options::default()).expect(yaml);
    let clock = SystemClock::shared();
    let metrics = Arc::new(ProviderMetrics::new(&Registry::new(Arc::clone(&clock))));
    let options = Arc::new(Options::new(client::Options::new(clock, Arc::new(RealFs))));
    State::new(&config, 1, &Context { job: "j".into(), options, metrics })
}

fn put<T: Resource>(state: &mut State, object: Value) {
    let o: T = serde_json::from_value(object).expect("an object");
    state.take(Change { kind: T::KIND, watch: 0, what: What::Put(o.meta().key(), o.object()) });
}

/// Every target as a line, sorted; then the labels of the group.
fn built(state: &mut State) -> Vec<String> {
    let mut out = Vec::new();
    for g in state.build() {
        let mut targets: Vec<String> = g.targets.iter().map(short).collect();
        targets.sort();
        out.push(format!("{} {}", g.source, short(&g.labels)));
        out.extend(targets);
    }
    out
}

fn short(l: &model::Labels) -> String {
    l.to_string().replace(super::meta::PREFIX, "~")
}

fn a_pod() -> Value {
    json!({
        "metadata": {"name": "web-1", "namespace": "ns", "uid": "u1", "labels": {"app.kubernetes.io/name": "web"}, "annotations": {"a": ""},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-rs", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "main", "image": "i:1", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}]},
            {"name": "bare", "image": "i:2"}],
            "initContainers": [{"name": "init", "image": "i:3", "ports": null}]},
        "status": {"podIP": "10.0.0.1", "hostIP": "1.1.1.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "containerID": "docker://x"}]}
    })
}

const POD_LABELS: &str = r#"~pod_annotationpresent_a="true", ~pod_controller_kind="ReplicaSet", ~pod_controller_name="web-rs", ~pod_host_ip="1.1.1.1", ~pod_ip="10.0.0.1", ~pod_label_app_kubernetes_io_name="web", ~pod_labelpresent_app_kubernetes_io_name="true", ~pod_name="web-1", ~pod_node_name="n1", ~pod_phase="Running", ~pod_ready="true", ~pod_uid="u1""#;

#[test]
fn pods() {
    let mut s = state("role: pod");
    put::<Pod>(&mut s, a_pod());
    assert_eq!(
        built(&mut s),
        [
            format!("pod/ns/web-1 {{~namespace=\"ns\", {POD_LABELS}}}"),
            r#"{__address__="10.0.0.1", ~pod_container_image="i:2", ~pod_container_init="false", ~pod_container_name="bare"}"#.into(),
            r#"{__address__="10.0.0.1", ~pod_container_image="i:3", ~pod_container_init="true", ~pod_container_name="init"}"#.into(),
            r#"{__address__="10.0.0.1:80", ~pod_container_id="docker://x", ~pod_container_image="i:1", ~pod_container_init="false", ~pod_container_name="main", ~pod_container_port_name="http", ~pod_container_port_number="80", ~pod_container_port_protocol="TCP"}"#.into(),
            r#"{__address__="10.0.0.1:81", ~pod_container_id="docker://x", ~pod_container_image="i:1", ~pod_container_init="false", ~pod_container_name="main", ~pod_container_port_number="81", ~pod_container_port_protocol="TCP"}"#.into(),
        ]
    );
    s.take(Change { kind: Kind::Pod, watch: 0, what: What::Gone("ns/web-1".into()) });
    assert_eq!(built(&mut s), ["pod/ns/web-1 {}"]);
}

#[test]
fn pods_with_what_is_attached() {
    let mut s = state("role: pod\nattach_metadata: {node: true, deployment: true}");
    put::<Pod>(&mut s, a_pod());
    assert_eq!(built(&mut s), ["pod/ns/web-1 {}"], "its node is not known");
    put::<Node>(&mut s, json!({"metadata": {"name": "n1", "labels": {"zone": "z"}}}));
    put::<ReplicaSet>(
        &mut s,
        json!({"metadata": {"name": "web-rs", "namespace": "ns", "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}}),
    );
    let head = &built(&mut s)[0];
    for part in [r#"~node_label_zone="z""#, r#"~node_name="n1""#, r#"~pod_deployment_name="web""#] {
        assert!(head.contains(part), "{part} in {head}");
    }
    put::<Node>(&mut s, json!({"metadata": {"name": "n1", "labels": {"zone": "z"}, "resourceVersion": "77"}}));
    assert!(built(&mut s).is_empty(), "only the version has changed");
}

#[test]
fn endpoints_with_service_and_pod() {
    let mut s = state("role: endpoints");
    put::<Endpoints>(
        &mut s,
        json!({"metadata": {"name": "svc", "namespace": "ns"}, "subsets": [{
            "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
            "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "ns"}}],
            "notReadyAddresses": [{"ip": "fe80::1", "hostname": "h"}]}]}),
    );
    let bare =
        r#"{__address__="[fe80::1]:80", ~endpoint_hostname="h", ~endpoint_port_name="web", ~endpoint_port_protocol="TCP", ~endpoint_ready="false"}"#;
    assert_eq!(
        built(&mut s),
        [
            r#"endpoints/ns/svc {~endpoints_name="svc", ~namespace="ns"}"#,
            r#"{__address__="10.0.0.1:80", ~endpoint_address_target_kind="Pod", ~endpoint_address_target_name="web-1", ~endpoint_node_name="n1", ~endpoint_port_name="web", ~endpoint_port_protocol="TCP", ~endpoint_ready="true"}"#,
            bare,
        ]
    );
    put::<Service>(&mut s, json!({"metadata": {"name": "svc", "namespace": "ns", "labels": {"team": "a"}}}));
    put::<Pod>(&mut s, a_pod());
    let got = built(&mut s);
    assert_eq!(
        got[0],
        r#"endpoints/ns/svc {~endpoints_name="svc", ~namespace="ns", ~service_label_team="a", ~service_labelpresent_team="true", ~service_name="svc"}"#
    );
    assert!(got[1].contains(r#"~pod_container_name="main", ~pod_container_port_name="http", ~pod_container_port_number="80""#), "{}", got[1]);
    assert!(got[2].starts_with(r#"{__address__="10.0.0.1:81", ~pod_annotationpresent_a="true""#), "the port that no endpoint names: {}", got[2]);
    assert_eq!(got[3], bare);
    assert_eq!(got.len(), 4);
}

#[test]
fn endpoint_slices() {
    let mut s = state("role: endpointslice");
    put::<Service>(
        &mut s,
        json!({"metadata": {"name": "svc", "namespace": "ns"}, "spec": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}}),
    );
    let slice = |name: &str, kind: &str| {
        json!({"metadata": {"name": name, "namespace": "ns", "labels": {"kubernetes.io/service-name": "svc"}}, "addressType": kind,
            "ports": [{"name": "web", "port": 80, "protocol": "TCP", "appProtocol": "http"}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": null}, "zone": "z", "nodeName": "n1"}]})
    };
    put::<EndpointSlice>(&mut s, slice("svc-4", "IPv4"));
    assert_eq!(
        built(&mut s),
        [
            r#"endpointslice/ns/svc-4 {~endpointslice_address_type="IPv4", ~endpointslice_label_kubernetes_io_service_name="svc", ~endpointslice_labelpresent_kubernetes_io_service_name="true", ~endpointslice_name="svc-4", ~namespace="ns", ~service_name="svc"}"#,
            r#"{__address__="10.0.0.1:80", ~endpointslice_endpoint_conditions_ready="true", ~endpointslice_endpoint_node_name="n1", ~endpointslice_endpoint_zone="z", ~endpointslice_port="80", ~endpointslice_port_app_protocol="http", ~endpointslice_port_name="web", ~endpointslice_port_protocol="TCP"}"#,
        ]
    );
    put::<EndpointSlice>(&mut s, slice("svc-6", "IPv6"));
    assert_eq!(built(&mut s).len(), 1, "no targets twice");
}

#[test]
fn services_nodes_and_ingresses() {
    let mut s = state("role: service");
    put::<Service>(
        &mut s,
        json!({"metadata": {"name": "a", "namespace": "ns"}, "spec": {"type": "ExternalName", "externalName": "x.org", "ports": [{"port": 80, "protocol": "TCP"}]}}),
    );
    assert_eq!(
        built(&mut s)[1],
        r#"{__address__="a.ns.svc:80", ~service_external_name="x.org", ~service_port_number="80", ~service_port_protocol="TCP", ~service_type="ExternalName"}"#
    );

    let mut s = state("role: node");
    put::<Node>(
        &mut s,
        json!({"metadata": {"name": "n1"}, "spec": {"providerID": "p"}, "status": {
        "conditions": [{"type": "DiskPressure", "status": "False"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.9"}, {"type": "InternalIP", "address": "fe80::9"}]}}),
    );
    assert_eq!(
        built(&mut s),
        [
            r#"node/n1 {~node_condition_diskpressure="false", ~node_name="n1", ~node_provider_id="p"}"#,
            r#"{__address__="10.0.0.9:10250", ~node_address_Hostname="h", ~node_address_InternalIP="10.0.0.9", instance="n1"}"#,
        ]
    );

    let mut s = state("role: ingress");
    put::<Ingress>(
        &mut s,
        json!({"metadata": {"name": "i", "namespace": "ns"}, "spec": {"ingressClassName": "c", "tls": [{"hosts": ["*.x.org"]}],
        "rules": [{"host": "a.x.org", "http": {"paths": [{"path": "/p"}, {}]}}, {"host": "y.org"}]}}),
    );
    assert_eq!(
        built(&mut s),
        [
            r#"ingress/ns/i {~ingress_class_name="c", ~ingress_name="i", ~namespace="ns"}"#,
            r#"{__address__="a.x.org", ~ingress_host="a.x.org", ~ingress_path="/", ~ingress_scheme="https"}"#,
            r#"{__address__="a.x.org", ~ingress_host="a.x.org", ~ingress_path="/p", ~ingress_scheme="https"}"#,
            r#"{__address__="y.org", ~ingress_host="y.org", ~ingress_path="/", ~ingress_scheme="http"}"#,
        ]
    );
}

#[test]
fn a_new_list_drops_what_it_does_not_name() {
    let mut s = state("role: node");
    let node = |name: &str| {
        let n: Node =
            serde_json::from_value(json!({"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": "1.1.1.1"}]}}))
                .expect("a node");
        (name.to_string(), Object::Node(Box::new(n)))
    };
    s.take(Change { kind: Kind::Node, watch: 0, what: What::All(vec![node("a"), node("b")]) });
    assert_eq!(s.build().len(), 2);
    s.take(Change { kind: Kind::Node, watch: 0, what: What::All(vec![node("b")]) });
    let now = s.build();
    assert_eq!(now.iter().map(line).collect::<Vec<_>>(), ["node/a  {}"]);
}

#[tokio::test]
async fn lists_watches_and_lists_again() {
    type Streams = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<String>>>>;
    let streams: Streams = Arc::default();
    let lists = Arc::new(Mutex::new(0));
    let (s, l) = (Arc::clone(&streams), Arc::clone(&lists));
    let node = |name: &str, ip: &str, version: u32| json!({"metadata": {"name": name, "resourceVersion": version.to_string()}, "status": {"addresses": [{"type": "InternalIP", "address": ip}]}});
    let first = node("a", "10.0.0.1", 5);
    let url = serve(move |r| {
        if r.headers().get("authorization").is_none_or(|v| v.as_bytes() != b"Bearer secret") {
            return Say::Status(401, r#"{"message":"who are you"}"#.into());
        }
        let query = r.uri().query().unwrap_or_default().to_string();
        if query.contains("watch=true") {
            let (send, receive) = mpsc::unbounded_channel();
            s.lock().insert(query.split("resourceVersion=").nth(1).unwrap_or_default().to_string(), send);
            return Say::Stream(receive);
        }
        *l.lock() += 1;
        // In two pages the first time.
        let body = if query.contains("continue=more") {
            json!({"metadata": {"resourceVersion": "10"}, "items": null})
        } else if *l.lock() == 1 {
            json!({"metadata": {"resourceVersion": "10", "continue": "more"}, "items": [first]})
        } else {
            json!({"metadata": {"resourceVersion": "99"}, "items": []})
        };
        Say::Json(body.to_string())
    })
    .await;
    let dir = tempfile::tempdir().expect("a directory");
    let kubeconfig = dir.path().join("config");
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: {{server: \"{url}/\"}}}}]\n\
         users: [{{name: u, user: {{tokenFile: token}}}}]\n"
    );
    write_atomic(&RealFs, &kubeconfig, text.as_bytes()).expect("written");
    write_atomic(&RealFs, &dir.path().join("token"), b"secret\n").expect("written");
    let r = Running::new();
    r.apply(&[("k", &format!("kubernetes_sd_configs: [{{role: node, kubeconfig_file: {}}}]", kubeconfig.display()))]);
    let a = r#"node/a 10.0.0.1:0 {__meta_kubernetes_node_name="a"}"#;
    r.shows("k", &[a]).await;
    let say = async |version: &str, kind: &str, object: Value| {
        // The watch may not be there yet.
        loop {
            if let Some(stream) = streams.lock().get(version) {
                stream.send(json!({"type": kind, "object": object}).to_string() + "\n").expect("somebody watches");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    say("10", "ADDED", node("b", "10.0.0.2", 11)).await;
    r.shows("k", &[a, r#"node/b 10.0.0.2:0 {__meta_kubernetes_node_name="b"}"#]).await;
    say("10", "DELETED", node("a", "10.0.0.1", 12)).await;
    r.shows("k", &[r#"node/b 10.0.0.2:0 {__meta_kubernetes_node_name="b"}"#]).await;
    say("10", "BOOKMARK", json!({"metadata": {"resourceVersion": "20"}})).await;
    // The stream ends: the watch goes on from the bookmark, without a new list.
    streams.lock().remove("10");
    say("20", "MODIFIED", node("b", "10.0.0.3", 21)).await;
    r.shows("k", &[r#"node/b 10.0.0.3:0 {__meta_kubernetes_node_name="b"}"#]).await;
    assert_eq!(*lists.lock(), 2, "two pages, once");
    say("20", "ERROR", json!({"code": 410, "message": "too old resource version"})).await;
    r.shows("k", &[]).await;
    assert_eq!(*lists.lock(), 3);
    assert_eq!(r.counted("prometheus_sd_kubernetes_failures_total"), 0.0);
}

#[test]
fn in_cluster_access_needs_its_variables() {
    let clock = SystemClock::shared();
    let metrics = Arc::new(ProviderMetrics::new(&Registry::new(Arc::clone(&clock))));
    let options = Arc::new(Options::new(client::Options::new(clock, Arc::new(RealFs))));
    let config: KubernetesConfig = yaml::from_str("role: pod", &yaml::Options::default()).expect("well formed");
    let e = access::Access::new(&config, &Context { job: "j".into(), options, metrics }).err().expect("no cluster here");
    assert!(e.to_string().starts_with("unable to load in-cluster configuration"), "{e}");
}
