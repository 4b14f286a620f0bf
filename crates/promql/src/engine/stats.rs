//! How long a query took and how much it read.

use std::time::Duration;

/// Where the time went; the API's `stats.timings`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    pub eval_total: Duration,
    pub result_sort: Duration,
    pub query_preparation: Duration,
    pub inner_eval: Duration,
    pub exec_queue: Duration,
    pub exec_total: Duration,
}

/// Samples looked at; the API's `stats.samples`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleStats {
    /// Each step counts its whole window.
    pub total_queryable: u64,
    /// Each sample counts once for each selector.
    pub read: u64,
    /// Most samples held in memory at once.
    pub peak: u64,
    /// Time in milliseconds and count, when asked for ([`super::QueryOptions::per_step_stats`]) and enabled.
    pub total_queryable_per_step: Option<Vec<(i64, u64)>>,
    pub read_per_step: Option<Vec<(i64, u64)>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    pub timings: Timings,
    pub samples: SampleStats,
}
