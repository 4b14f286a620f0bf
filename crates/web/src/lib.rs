//! Everything that speaks HTTP in: the API, the receiver's route, federation, own metrics, the page.
//!
//! [`server`] knows listeners, connections and bytes; [`site`] knows which path is what; [`api`] answers `/api/v1` from an [`api::App`].
//! Slow work (queries, storage) runs on blocking threads, never on the reactor.

pub mod api;
pub mod config;
mod escape;
mod federate;
mod ingest;
mod json;
mod metrics;
pub mod notifications;
mod page;
mod scope;
pub mod server;
mod site;

pub use api::App;
pub use site::{Front, Site};
