//! YAML as Prometheus' config files mean it: a tree with places, strict tables of fields, and the way back to text.
//!
//! Not a serde front end: serde can neither refuse unknown keys beside an inlined struct nor keep a default where a key is null. Text
//! becomes a [`Node`] tree ([`tree`]: anchors and merges resolved, every node knows its line), a type that is [`FromYaml`] takes what it
//! needs from a node and says to the [`Cx`] what is wrong with it, so that one load reports every fault. Scalars follow go-yaml v2, the
//! reference's library: `on` is a bool, `1_000` an integer, and an integer put into a string field keeps its text.
//!
//! A room's `config.rs` declares its section as a [`table!`]; reading, refusing unknown keys, defaults and writing back follow from it:
//!
//! ```
//! use yaml::{FilePath, Millis, Secret};
//!
//! yaml::table! {
//!     /// One receiver of samples.
//!     #[derive(Clone, Debug, PartialEq)]
//!     pub struct TargetConfig as "config.plain" check(TargetConfig::check) {
//!         /// Where to send.
//!         pub url: String => required("url for remote_write is empty");
//!         /// Written back even when it is the zero value; all other fields are left out then.
//!         pub honor_timestamps: bool = true => always;
//!         pub timeout: Millis = Millis::from_secs(30);
//!         pub kind as "type": Option<String>;
//!         pub password: Secret;
//!         /// Relative to the directory of the config file.
//!         pub ca_file: FilePath;
//!         pub names: Vec<String> => with(|n, cx| yaml::list(n, cx, "empty or null name"));
//!         pub queue: QueueConfig => inline;
//!     }
//! }
//! yaml::table! {
//!     #[derive(Clone, Debug, PartialEq)]
//!     pub struct QueueConfig as "config.plain" {
//!         pub capacity: u64 = 10_000;
//!     }
//! }
//! impl TargetConfig {
//!     /// Runs after the fields, when none of them was at fault.
//!     fn check(&mut self) -> Result<(), String> {
//!         if self.timeout == Millis::ZERO { Err("timeout must be positive".into()) } else { Ok(()) }
//!     }
//! }
//!
//! let t: TargetConfig = yaml::from_str("url: http://a\ncapacity: 5\n", &yaml::Options::default()).expect("it is well formed");
//! assert_eq!((t.queue.capacity, t.honor_timestamps), (5, true));
//! assert_eq!(yaml::to_string(&t), "url: http://a\nhonor_timestamps: true\ntimeout: 30s\ncapacity: 5\n");
//! let e = yaml::from_str::<TargetConfig>("url: x\nurls: y\n", &yaml::Options::default()).expect_err("urls is unknown");
//! assert_eq!(e.to_string(), "yaml: unmarshal errors:\n  line 2: field urls not found in type config.plain");
//! ```
//!
//! A type with its own grammar implements [`FromYaml`] and [`ToYaml`] by hand; [`text_type!`] does it for one that is parsed from and
//! printed as a string, [`choice!`] for a list of words.

mod decode;
mod emit;
mod error;
mod millis;
mod model;
mod node;
mod path;
mod scalar;
mod secret;
mod size;
mod table;
mod tree;
mod url;
mod write;

pub use decode::{Cx, FromYaml, Options, decode_map, from_node, from_str, list};
pub use error::{Error, Issue};
pub use millis::Millis;
pub use node::{Kind, Node, Scalar};
pub use path::{FilePath, join_dir};
pub use scalar::{Resolved, resolve};
pub use secret::Secret;
pub use size::Size;
pub use table::Fields;
#[doc(hidden)]
pub use table::{decode_table, finish_table};
pub use tree::{MAX_ALIASED_NODES, MAX_BYTES, MAX_DEPTH, parse};
pub use url::Url;
pub use write::{MapWriter, ToYaml, Value, to_string};

#[cfg(test)]
mod tests;
