//! PromQL: text to tree ([`parse`]), tree to plan ([`plan`]), plan to columns ([`exec`]), and what runs queries ([`engine`]).
//!
//! A query is planned once for all its steps. Operators work on one series at a time and on all steps of it: a column of floats, a set of
//! valid steps, and the few native histograms. Labels are looked at once per series, never per step; a series is decoded once, in bulk, by
//! [`storage::Selection::read`]; selections are shared out to threads. What Prometheus answers is the measure, to the last bit where
//! arithmetic allows.

pub mod annotations;
pub mod engine;
mod exec;
mod metrics;
pub mod parse;
mod plan;
pub mod testkit;
pub mod value;

pub use annotations::Notes;
pub use engine::{
    ActiveQueries, Cancel, Cost, Engine, EngineOptions, ErrorKind, Explained, Operator, Place, QueryError, QueryLog, QueryLogEntry, QueryOptions,
    QueryResult, QueryStats, SampleStats, Timings,
};
pub use value::{MatrixValue, SampleValue, SeriesView, Steps, Value, VectorSample, VectorValue};
