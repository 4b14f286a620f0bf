//! Scraping: targets from discovery, their pages at their times, the samples into the storage.
//!
//! ```text
//! discovery --groups--> ScrapeManager -> Pool (a job) -> Runner (a target): waits, fetches
//!                                                           | page
//!                                                           v
//!                              TargetCore: parse, relabel, append, mark ends, report   (a worker that may block)
//! ```
//!
//! The core ([`core`], [`page`], [`cache`]) is synchronous and is given pages and times; the shell around it (`runner`, `pool`, [`manager`])
//! is asynchronous.

mod buckets;
pub mod cache;
pub mod config;
pub mod core;
mod deps;
mod failure_log;
mod fetch;
pub mod labels;
pub mod manager;
pub mod metadata;
pub mod metrics;
pub mod page;
mod pool;
pub mod protocol;
mod runner;
pub mod settings;
pub mod target;
#[cfg(test)]
mod testing;
pub mod url;
pub mod view;

pub use config::{GlobalScrapeConfig, ScrapeConfig};
pub use deps::Deps;
pub use manager::{Error, ScrapeManager};
pub use protocol::ScrapeProtocol;
pub use settings::Features;
pub use target::{Health, LastScrape, Target};
pub use view::{DroppedView, TargetMetadata, TargetView};
