//! All six roles of kubernetes discovery against an API server that behaves: lists with resource versions, watches with bookmarks, 410 when a
//! version is too old, tokens that change.

use super::{compare, discovered, wait_for_label};
use crate::fake::{Asked, Fake, Said};
use narthex_tests::{Server, wait_for};
use serde_json::{Value, json};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The objects of a cluster, and what happened to them.
#[derive(Default)]
struct Cluster {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Plural name of the kind, object.
    objects: Vec<(&'static str, Value)>,
    /// (version, kind, type of event, object)
    events: Vec<(u64, &'static str, &'static str, Value)>,
    /// Watches from before this version are answered with 410.
    oldest: u64,
    /// Ends the watches that run.
    epoch: u64,
    token: String,
    lists: u64,
    gone: u64,
    bookmarks: bool,
    refused: u64,
}

const KINDS: &[(&str, &str, &str)] = &[
    ("pods", "/api/v1", "Pod"),
    ("services", "/api/v1", "Service"),
    ("endpoints", "/api/v1", "Endpoints"),
    ("nodes", "/api/v1", "Node"),
    ("namespaces", "/api/v1", "Namespace"),
    ("endpointslices", "/apis/discovery.k8s.io/v1", "EndpointSlice"),
    ("ingresses", "/apis/networking.k8s.io/v1", "Ingress"),
];

impl Cluster {
    fn change(&self, kind: &'static str, event: &'static str, mut object: Value) {
        let mut s = self.state.lock().expect("not poisoned");
        s.version += 1;
        let v = s.version;
        object["metadata"]["resourceVersion"] = json!(v.to_string());
        let same = |o: &Value| o["metadata"]["name"] == object["metadata"]["name"] && o["metadata"]["namespace"] == object["metadata"]["namespace"];
        s.objects.retain(|(k, o)| *k != kind || !same(o));
        if event != "DELETED" {
            s.objects.push((kind, object.clone()));
        }
        s.events.push((v, kind, event, object));
        drop(s);
        self.news.notify_all();
    }

    /// All that happened is forgotten: whoever watches from before must list again.
    fn compact(&self) {
        let mut s = self.state.lock().expect("not poisoned");
        s.version += 10;
        s.oldest = s.version;
        s.epoch += 1;
        s.events.clear();
        drop(s);
        self.news.notify_all();
    }

    fn answer(self: &Arc<Self>, a: &Asked) -> Said {
        let mut s = self.state.lock().expect("not poisoned");
        if !s.token.is_empty() && a.header("authorization") != format!("Bearer {}", s.token) {
            s.refused += 1;
            return Said::status(401);
        }
        let Some((kind, group, word)) = KINDS.iter().find(|(k, ..)| a.path.ends_with(&format!("/{k}"))) else { return Said::status(404) };
        if !a.path.starts_with(group) {
            return Said::status(404);
        }
        let namespace = a.path.split_once("/namespaces/").and_then(|(_, r)| r.split_once('/')).map(|(n, _)| n.to_string());
        let selector = a.param("labelSelector").map(decode).unwrap_or_default();
        let wanted = move |o: &Value| {
            let labels = &o["metadata"]["labels"];
            let selected = selector.split_once('=').is_none_or(|(k, v)| labels[k] == v.trim_start_matches('='));
            namespace.as_ref().is_none_or(|n| o["metadata"]["namespace"] == **n) && selected
        };
        if matches!(a.param("watch"), Some("1" | "true")) {
            if a.param("sendInitialEvents").is_some() {
                return Said::Whole {
                    status: 422,
                    headers: vec![("Content-Type", "application/json".into())],
                    body: status(422, "Invalid").to_string().into(),
                };
            }
            let from: u64 = a.param("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
            if from < s.oldest {
                s.gone += 1;
                let event = json!({"type": "ERROR", "object": status(410, "Expired")});
                return Said::Stream(Box::new(move |c| c.send(format!("{event}\n").as_bytes())));
            }
            s.bookmarks |= a.param("allowWatchBookmarks") == Some("true");
            let (me, kind, epoch) = (Arc::clone(self), *kind, s.epoch);
            let about = (group.trim_start_matches("/apis/").trim_start_matches("/api/").to_string(), (*word).to_string());
            return Said::Stream(Box::new(move |c| me.watch(c, kind, from, epoch, &about, &wanted)));
        }
        s.lists += 1;
        let items: Vec<&Value> = s.objects.iter().filter(|(k, o)| k == kind && wanted(o)).map(|(_, o)| o).collect();
        let version = group.trim_start_matches("/apis/").trim_start_matches("/api/");
        Said::json(
            json!({"kind": format!("{word}List"), "apiVersion": version, "metadata": {"resourceVersion": s.version.to_string()}, "items": items})
                .to_string(),
        )
    }

    fn watch(
        &self,
        c: &mut crate::fake::Chunks<'_>,
        kind: &str,
        mut from: u64,
        epoch: u64,
        about: &(String, String),
        wanted: &dyn Fn(&Value) -> bool,
    ) -> std::io::Result<()> {
        for _ in 0..600 {
            let s = self.state.lock().expect("not poisoned");
            if s.epoch != epoch {
                return Ok(());
            }
            let news: Vec<(&str, Value)> =
                s.events.iter().filter(|(v, k, ..)| *v > from && *k == kind).map(|(_, _, e, o)| (*e, o.clone())).filter(|(_, o)| wanted(o)).collect();
            from = s.version;
            for (event, mut object) in news {
                object["kind"] = json!(about.1);
                object["apiVersion"] = json!(about.0);
                c.send(format!("{}\n", json!({"type": event, "object": object})).as_bytes())?;
            }
            let (s, waited) = self.news.wait_timeout(s, Duration::from_millis(700)).expect("not poisoned");
            if waited.timed_out() {
                let object = json!({"kind": about.1, "apiVersion": about.0, "metadata": {"resourceVersion": s.version.to_string()}});
                drop(s);
                c.send(format!("{}\n", json!({"type": "BOOKMARK", "object": object})).as_bytes())?;
            }
        }
        Ok(())
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "too old resource version", "reason": reason, "code": code})
}

fn decode(s: &str) -> String {
    s.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/")
}

fn meta(name: &str, namespace: &str, labels: Value) -> Value {
    let mut m = json!({"name": name, "uid": format!("uid-{name}"), "labels": labels, "annotations": {"note/a.b": "메모", "empty": ""}, "creationTimestamp": "2026-01-01T00:00:00Z"});
    if !namespace.is_empty() {
        m["namespace"] = json!(namespace);
    }
    m
}

fn pod(name: &str, namespace: &str, ip: &str) -> Value {
    let mut metadata = meta(name, namespace, json!({"app": "web", "pod-template.hash": "1", "empty": ""}));
    metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": true}]);
    json!({"metadata": metadata,
        "spec": {"nodeName": "node-1",
            "containers": [
                {"name": "main", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
                {"name": "noports", "image": "side:2"}],
            "initContainers": [{"name": "init", "image": "init:3", "ports": [{"containerPort": 9999, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "hostIP": "192.168.0.1", "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}],
            "containerStatuses": [{"name": "main", "containerID": "docker://abc", "image": "web:1", "imageID": "", "ready": true, "restartCount": 0}],
            "initContainerStatuses": [{"name": "init", "containerID": "docker://def", "image": "init:3", "imageID": "", "ready": true, "restartCount": 0}]}})
}

fn cluster() -> Arc<Cluster> {
    let c = Arc::new(Cluster::default());
    let add = |kind, object| c.change(kind, "ADDED", object);
    for ns in ["default", "other"] {
        add("namespaces", json!({"metadata": meta(ns, "", json!({"team": "6반"})), "spec": {}, "status": {}}));
    }
    add(
        "nodes",
        json!({"metadata": meta("node-1", "", json!({"zone.io/name": "a"})), "spec": {"providerID": "aws:///a/i-1"},
            "status": {"addresses": [{"type": "Hostname", "address": "node-1.local"}, {"type": "InternalIP", "address": "192.168.0.1"},
                {"type": "InternalIP", "address": "fd00::1"}, {"type": "ExternalIP", "address": "1.2.3.4"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}),
    );
    add("pods", pod("web-1-a", "default", "10.0.0.1"));
    add("pods", pod("web-1-b", "other", "fd00::9"));
    add("pods", pod("pending", "default", ""));
    for (name, kind, more) in [
        ("web", "ClusterIP", json!({"clusterIP": "10.96.0.1"})),
        ("lb", "LoadBalancer", json!({"clusterIP": "10.96.0.2", "loadBalancerIP": "5.6.7.8"})),
        ("ext", "ExternalName", json!({"externalName": "db.example"})),
    ] {
        let mut spec = json!({"type": kind, "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]});
        spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        add(
            "services",
            json!({"metadata": meta(name, "default", json!({"app": "web", "svc.kind/x": kind})), "spec": spec, "status": {"loadBalancer": {}}}),
        );
    }
    let target = |name: &str| json!({"kind": "Pod", "name": name, "namespace": "default", "uid": "u"});
    add(
        "endpoints",
        json!({"metadata": meta("web", "default", json!({"app": "web"})), "subsets": [
            {"addresses": [{"ip": "10.0.0.1", "nodeName": "node-1", "hostname": "h1", "targetRef": target("web-1-a")}],
             "notReadyAddresses": [{"ip": "10.0.0.7"}, {"ip": "10.0.0.8", "targetRef": {"kind": "Node", "name": "node-1"}}],
             "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "metrics", "port": 9090, "protocol": "TCP"}]}]}),
    );
    add(
        "endpointslices",
        json!({"metadata": meta("web-abc", "default", json!({"kubernetes.io/service-name": "web"})), "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false}, "hostname": "h1",
                "nodeName": "node-1", "zone": "a", "targetRef": target("web-1-a"), "deprecatedTopology": {"topology.io/region": "r"}},
                {"addresses": ["10.0.0.7"], "conditions": {"ready": false}}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"}]}),
    );
    add(
        "ingresses",
        json!({"metadata": meta("site", "default", json!({"app": "web"})),
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.example", "exact.test"]}],
                "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {}}, {"path": "/x", "pathType": "Prefix", "backend": {}}]}},
                    {"host": "plain.test", "http": {"paths": [{"pathType": "Prefix", "backend": {}}]}}, {"host": "exact.test"}]},
            "status": {"loadBalancer": {}}}),
    );
    c
}

fn serve(c: &Arc<Cluster>) -> Fake {
    let c = Arc::clone(c);
    Fake::start(move |a| c.answer(a))
}

fn sd(fake: &Fake, role: &str, more: &str) -> String {
    format!("  kubernetes_sd_configs:\n  - {{role: {role}, api_server: '{}'{more}}}\n", fake.url())
}

#[test]
fn all_roles_as_prometheus_discovers_them() {
    let fake = serve(&cluster());
    for (role, more, count) in [
        ("node", "", 1),
        ("service", "", 3),
        ("pod", "", 8),
        ("endpoints", "", 8),
        ("endpointslice", "", 4),
        ("ingress", "", 4),
        ("pod", ", namespaces: {names: [other]}", 4),
        ("pod", ", attach_metadata: {node: true}", 8),
        ("endpoints", ", attach_metadata: {node: true}", 8),
        ("service", ", selectors: [{role: service, label: 'svc.kind/x=LoadBalancer'}]", 1),
    ] {
        compare(&format!("{role}{more}"), &sd(&fake, role, more), count);
    }
}

#[test]
fn changes_bookmarks_expired_versions_and_new_tokens() {
    let c = cluster();
    c.state.lock().expect("not poisoned").token = "first".to_string();
    let fake = serve(&c);
    let mut s = Server::narthex("narthex", "", &[]);
    let token = s.path().join("token");
    std::fs::write(&token, "first\n").expect("writes");
    s.configure(&format!(
        "global: {{scrape_interval: 1h}}\nscrape_configs:\n- job_name: found\n{}  relabel_configs:\n  - {{source_labels: [__address__], regex: '.*', action: drop}}\n",
        sd(&fake, "pod", &format!(", authorization: {{credentials_file: '{}'}}", token.display()))
    ));
    s.expect_log(&["kubernetes", "401", "410"]);
    let s = s.start();
    wait_for_label(s, "__address__", "10.0.0.1:8080", true);
    // Added, changed, deleted: each comes by the watch.
    c.change("pods", "ADDED", pod("late", "default", "10.0.0.5"));
    wait_for_label(s, "__meta_kubernetes_pod_name", "late", true);
    let mut changed = pod("late", "default", "10.0.0.6");
    changed["metadata"]["labels"]["app"] = json!("changed");
    c.change("pods", "MODIFIED", changed.clone());
    wait_for_label(s, "__meta_kubernetes_pod_label_app", "changed", true);
    wait_for_label(s, "__address__", "10.0.0.5:8080", false);
    c.change("pods", "DELETED", changed);
    wait_for_label(s, "__meta_kubernetes_pod_name", "late", false);
    let lists = c.state.lock().expect("not poisoned").lists;
    // The version that is known has expired: it is listed anew, and nothing is lost meanwhile.
    c.compact();
    c.change("pods", "ADDED", pod("after", "default", "10.0.0.8"));
    wait_for_label(s, "__meta_kubernetes_pod_name", "after", true);
    wait_for_label(s, "__meta_kubernetes_pod_name", "web-1-a", true);
    {
        let state = c.state.lock().expect("not poisoned");
        assert!(state.bookmarks, "bookmarks are asked for");
        assert!(state.lists > lists || state.gone == 0, "after a 410 it is listed again");
    }
    // The token is another one now, and the file too: it is read again.
    {
        let mut state = c.state.lock().expect("not poisoned");
        state.token = "second".to_string();
        state.epoch += 1;
    }
    c.news.notify_all();
    wait_for("a refused request", Duration::from_secs(30), || (c.state.lock().expect("not poisoned").refused > 0).then_some(()));
    assert!(!discovered(s).is_empty(), "what was found stays while the API server refuses");
    std::fs::write(&token, "second\n").expect("writes");
    c.change("pods", "ADDED", pod("with-new-token", "default", "10.0.0.9"));
    wait_for_label(s, "__meta_kubernetes_pod_name", "with-new-token", true);
}
