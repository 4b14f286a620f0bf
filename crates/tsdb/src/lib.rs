//! The store: a head in memory in front of a log, blocks on the disk behind it, in Prometheus' directory and formats.
//!
//! No HTTP, no PromQL, no uplink: it implements the traits of `storage` and knows nobody above. Read [`db`] first ([`agent`] is the small one of a forward-only leaf), then [`head`], then
//! [`block`] and [`compact`]; [`chunkenc`] and [`index`] are the formats underneath.

pub mod agent;
pub mod block;
pub mod blockquery;
pub mod chunkenc;
pub mod compact;
pub mod config;
pub mod db;
pub mod head;
pub mod index;
pub mod meta;
pub mod metrics;
pub mod tombstones;
pub mod tools;
