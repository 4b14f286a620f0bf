//! The field's words as values: labels, matchers, samples, histograms, durations, numbers as text, relabel rules.
//!
//! Pure: no input or output, no async, no clock. Everything above imports it; it imports only `stdx`.

pub mod duration;
pub mod exemplar;
pub mod gomath;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod name;
pub mod number;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod time;

pub use exemplar::Exemplar;
pub use histogram::{FloatHistogram, Histogram};
pub use labels::{Labels, LabelsBuilder, LabelsRef};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricType};
pub use sample::Sample;
