//! Targets from the Kubernetes API: endpoints, endpoint slices, pods, services, nodes and ingresses, with all that the reference says
//! about them in `__meta_kubernetes_*`.
//!
//! One [`watch`] per resource lists and then follows changes; [`state`] joins what they bring and builds the groups that a change touches.
//! Objects are kept with the few fields that become labels. The API is spoken over the client room, without a Kubernetes library.

mod access;
mod config;
mod endpoints;
mod ingress;
mod meta;
mod node;
mod objects;
mod pod;
mod service;
mod state;
mod watch;

pub use config::{AttachMetadata, KubernetesConfig, Namespaces, Role, Selector};

use crate::error::Error;
use crate::provider::{Context, Updates};
use objects::{EndpointSlice, Endpoints, Ingress, Job, Namespace, Node, Pod, ReplicaSet, Service};
use state::State;
use std::future::Future;
use tokio::sync::mpsc;
use watch::Watch;

/// Changes that wait to be worked off; a watch waits when there are more.
const QUEUE: usize = 256;

pub(crate) fn run(config: KubernetesConfig, cx: Context, updates: Updates) -> Result<impl Future<Output = ()> + Send, Error> {
    let access = access::Access::new(&config, &cx)?;
    Ok(async move {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut watches = tokio::task::JoinSet::new();
        let attach = &config.attach_metadata;
        let selector = |role: Role| config.selectors.iter().find(|s| s.role == Some(role)).cloned().unwrap_or_default();
        let mut count = 0;
        macro_rules! follow {
            ($kind:ty, $namespace:expr, $selector:expr) => {{
                watches.spawn(Watch::new(&access, $namespace, $selector, count, sender.clone(), &cx).run::<$kind>());
                count += 1;
            }};
        }
        for namespace in access.namespaces(&config.namespaces) {
            let ns = Some(namespace).filter(|n| !n.is_empty());
            match config.role {
                Some(Role::Endpoints) | Some(Role::EndpointSlice) => {
                    if config.role == Some(Role::Endpoints) {
                        follow!(Endpoints, ns.clone(), selector(Role::Endpoints));
                    } else {
                        follow!(EndpointSlice, ns.clone(), selector(Role::EndpointSlice));
                    }
                    follow!(Service, ns.clone(), selector(Role::Service));
                    follow!(Pod, ns.clone(), selector(Role::Pod));
                }
                Some(Role::Pod) => follow!(Pod, ns.clone(), selector(Role::Pod)),
                Some(Role::Service) => follow!(Service, ns.clone(), selector(Role::Service)),
                Some(Role::Ingress) => follow!(Ingress, ns.clone(), selector(Role::Ingress)),
                Some(Role::Node) | None => {}
            }
            if config.role.is_some_and(Role::has_pods) {
                if attach.deployment {
                    follow!(ReplicaSet, ns.clone(), Selector::default());
                }
                if attach.job || attach.cronjob {
                    follow!(Job, ns, Selector::default());
                }
            }
        }
        // What belongs to no namespace is followed once.
        if config.role == Some(Role::Node) || (attach.node && config.role.is_some_and(Role::has_pods)) {
            follow!(Node, None, selector(Role::Node));
        }
        if attach.namespace && config.role != Some(Role::Node) {
            follow!(Namespace, None, Selector::default());
        }
        drop(sender);
        State::new(&config, count, &cx).run(receiver, updates).await;
    })
}

#[cfg(test)]
mod tests;
