//! Remote write and remote read: the wire, the receiver with its pair merge, the ledger of what is missing, and the uplink.
//!
//! - [`wire`]: bytes of remote write 1.0 and 2.0 and of remote read, in and out. No I/O.
//! - [`receive`]: one request in, one answer out; merges the members of a pair as they arrive.
//! - [`ledger`]: who sends, who is behind, what is missing.
//! - [`otlp`]: the same for metrics of OpenTelemetry.
//! - [`read`]: answers remote read requests.
//!
//! No HTTP server in here: the web room mounts what this room answers.

mod azure;
mod cloud;
pub mod config;
pub mod ledger;
pub mod otlp;
pub mod read;
pub mod receive;
pub mod uplink;
pub mod wire;
