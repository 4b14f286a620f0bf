//! A sample that points to a trace.

use crate::labels::Labels;

#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub value: f64,
    /// Milliseconds since the Unix epoch; None when the exporter gave no time.
    pub t_ms: Option<i64>,
}
