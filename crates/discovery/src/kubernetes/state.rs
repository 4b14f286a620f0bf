//! All objects of a provider, and which groups hang on which of them.
//!
//! While a group is built, a [`View`] notes every object that was looked for, found or not. A change of such an object builds the group
//! again; so no role needs to know who depends on whom.

use super::config::{AttachMetadata, KubernetesConfig, Role};
use super::meta::{AboutObjects, set};
use super::objects::{Kind, Meta, Node, Object, Pod, Service};
use super::watch::{Change, What};
use super::{endpoints, ingress, node, pod, service};
use crate::group::TargetGroup;
use crate::metrics::ProviderMetrics;
use crate::provider::{Context, Updates};
use crate::set::Set;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::mpsc;

type Key = (Kind, String);

/// Changes that are worked off together.
const BATCH: usize = 256;

pub(crate) struct State {
    primary: Kind,
    attach: AttachMetadata,
    objects: HashMap<Kind, HashMap<String, Object>>,
    /// What each watch has shown, to know after a new list what has gone.
    shown: Vec<Option<HashSet<String>>>,
    /// Groups by the objects they were built from.
    dependents: HashMap<Key, HashSet<String>>,
    dependencies: HashMap<String, Vec<Key>>,
    dirty: HashSet<String>,
    metrics: Arc<ProviderMetrics>,
}

/// Objects as a group sees them.
pub(crate) struct View<'a> {
    objects: &'a HashMap<Kind, HashMap<String, Object>>,
    pub attach: &'a AttachMetadata,
    seen: RefCell<Vec<Key>>,
}

impl State {
    pub fn new(config: &KubernetesConfig, watches: usize, cx: &Context) -> Self {
        let primary = match config.role.unwrap_or_default() {
            Role::Node => Kind::Node,
            Role::Pod => Kind::Pod,
            Role::Service => Kind::Service,
            Role::Endpoints => Kind::Endpoints,
            Role::EndpointSlice => Kind::EndpointSlice,
            Role::Ingress => Kind::Ingress,
        };
        State {
            primary,
            attach: config.attach_metadata.clone(),
            objects: HashMap::new(),
            shown: vec![None; watches],
            dependents: HashMap::new(),
            dependencies: HashMap::new(),
            dirty: HashSet::new(),
            metrics: Arc::clone(&cx.metrics),
        }
    }

    /// Until all watches have ended. Says nothing before each of them has listed once.
    pub async fn run(mut self, mut changes: mpsc::Receiver<Change>, updates: Updates) {
        let mut batch = Vec::with_capacity(BATCH);
        while changes.recv_many(&mut batch, BATCH).await > 0 {
            batch.drain(..).for_each(|c| self.take(c));
            if self.shown.iter().all(Option::is_some) {
                let groups = self.build();
                updates.update(groups);
            }
        }
    }

    pub(crate) fn take(&mut self, change: Change) {
        let kind = change.kind;
        match change.what {
            What::All(list) => {
                let now: HashSet<String> = list.iter().map(|(k, _)| k.clone()).collect();
                let before = self.shown.get_mut(change.watch).and_then(|s| s.replace(now.clone())).unwrap_or_default();
                before.difference(&now).for_each(|key| self.remove(kind, key));
                list.into_iter().for_each(|(key, o)| self.put(kind, key, o));
            }
            What::Put(key, o) => {
                if let Some(Some(shown)) = self.shown.get_mut(change.watch) {
                    shown.insert(key.clone());
                }
                self.put(kind, key, o);
            }
            What::Gone(key) => {
                if let Some(Some(shown)) = self.shown.get_mut(change.watch) {
                    shown.remove(&key);
                }
                self.remove(kind, &key);
            }
        }
    }

    fn count(&self, kind: Kind, event: &str) {
        if let Some(role) = kind.role() {
            self.metrics.kubernetes_events.with(&[role, event]).inc();
        }
    }

    fn put(&mut self, kind: Kind, key: String, object: Object) {
        match self.objects.entry(kind).or_default().insert(key.clone(), object) {
            None => self.count(kind, "add"),
            Some(old) => {
                self.count(kind, "update");
                // Nodes say every few seconds that they live; nothing that we keep changes by that.
                if self.objects.get(&kind).and_then(|m| m.get(&key)).is_some_and(|new| same(new, &old)) {
                    return;
                }
            }
        }
        self.touch(kind, key);
    }

    fn remove(&mut self, kind: Kind, key: &str) {
        self.objects.entry(kind).or_default().remove(key);
        self.count(kind, "delete");
        self.touch(kind, key.to_string());
    }

    fn touch(&mut self, kind: Kind, key: String) {
        let at = (kind, key);
        if let Some(groups) = self.dependents.get(&at) {
            self.dirty.extend(groups.iter().cloned());
        }
        if kind == self.primary {
            self.dirty.insert(at.1);
        }
    }

    /// The groups that changes have touched; one whose object has gone is empty.
    pub(crate) fn build(&mut self) -> Vec<TargetGroup> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|key| self.build_one(key)).collect()
    }

    fn build_one(&mut self, key: String) -> TargetGroup {
        for d in self.dependencies.remove(&key).unwrap_or_default() {
            if let Some(groups) = self.dependents.get_mut(&d) {
                groups.remove(&key);
                if groups.is_empty() {
                    self.dependents.remove(&d);
                }
            }
        }
        let Some(object) = self.objects.get(&self.primary).and_then(|m| m.get(&key)) else {
            return TargetGroup::new(source(self.primary, &key), Vec::new(), model::Labels::empty());
        };
        let view = View { objects: &self.objects, attach: &self.attach, seen: RefCell::default() };
        let (targets, labels) = match object {
            Object::Endpoints(o) => endpoints::of_endpoints(o, &view),
            Object::EndpointSlice(o) => endpoints::of_slice(o, &view),
            Object::Pod(o) => pod::build(o, &view),
            Object::Service(o) => service::build(o, &view),
            Object::Node(o) => node::build(o),
            Object::Ingress(o) => ingress::build(o, &view),
            Object::Meta(_) => (Vec::new(), set()),
        };
        let group = TargetGroup::new(source(self.primary, &key), targets.into_iter().map(Set::build).collect(), labels.build());
        let seen = view.seen.into_inner();
        for d in &seen {
            self.dependents.entry(d.clone()).or_default().insert(key.clone());
        }
        self.dependencies.insert(key, seen);
        group
    }
}

/// All but the version, which every write changes.
fn same(a: &Object, b: &Object) -> bool {
    let without_version = |o: &Object| {
        let mut o = o.clone();
        let meta = match &mut o {
            Object::Endpoints(o) => &mut o.metadata,
            Object::EndpointSlice(o) => &mut o.metadata,
            Object::Pod(o) => &mut o.metadata,
            Object::Service(o) => &mut o.metadata,
            Object::Node(o) => &mut o.metadata,
            Object::Ingress(o) => &mut o.metadata,
            Object::Meta(m) => m,
        };
        meta.resource_version.clear();
        o
    };
    without_version(a) == without_version(b)
}

fn source(kind: Kind, key: &str) -> String {
    let prefix = match kind {
        Kind::Service => "svc",
        other => other.role().unwrap_or("object"),
    };
    format!("{prefix}/{key}")
}

impl View<'_> {
    fn get(&self, kind: Kind, key: String) -> Option<&Object> {
        let found = self.objects.get(&kind).and_then(|m| m.get(&key));
        self.seen.borrow_mut().push((kind, key));
        found
    }

    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        match self.get(Kind::Pod, format!("{namespace}/{name}"))? {
            Object::Pod(p) => Some(p),
            _ => None,
        }
    }

    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        match self.get(Kind::Service, format!("{namespace}/{name}"))? {
            Object::Service(s) => Some(s),
            _ => None,
        }
    }

    pub fn node(&self, name: &str) -> Option<&Node> {
        match self.get(Kind::Node, name.to_string())? {
            Object::Node(n) => Some(n),
            _ => None,
        }
    }

    /// What is said about a namespace, replica set or job.
    pub fn meta(&self, kind: Kind, key: String) -> Option<&Meta> {
        match self.get(kind, key)? {
            Object::Meta(m) => Some(m),
            _ => None,
        }
    }

    /// Adds the labels of a node, when they are wanted.
    pub fn add_node(&self, to: &mut Set, name: Option<&str>) {
        if let Some(n) = name.filter(|_| self.attach.node).and_then(|n| self.node(n)) {
            to.object("node", &n.metadata);
        }
    }

    /// Adds the labels of a namespace, when they are wanted.
    pub fn add_namespace(&self, to: &mut Set, name: &str) {
        if self.attach.namespace
            && let Some(m) = self.meta(Kind::Namespace, name.to_string())
        {
            to.labels_and_annotations("namespace", m);
        }
    }
}
