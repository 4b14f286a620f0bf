//! Rules and what comes of them: groups of recording and alerting rules, their templates, and the notifier.
//!
//! - [`file`]: what a rule file may say.
//! - [`Manager`]: runs the [`Group`]s of all files; each evaluates its [`Rule`]s at its interval and writes what they give.
//! - [`alerting`]: pending, firing, resolved.
//! - [`template`]: the text of labels and annotations.
//! - [`notifier`]: tells Alertmanager.

pub mod alerting;
pub mod eval;
pub mod file;
mod group;
mod manager;
mod metrics;
pub mod notifier;
mod rule;
pub mod template;

pub use alerting::{Alert, AlertState, Alerting};
pub use eval::{EngineEvaluate, Env, Evaluate, Notify};
pub use group::Group;
pub use manager::{Manager, ManagerConfig, groups, load};
pub use metrics::Metrics;
pub use notifier::Notifier;
pub use rule::{Health, Kind, Rule};
