//! What the engine counts, under Prometheus' names.

use stdx::metrics::{Counter, Gauge, Histogram, Registry, Summary};

#[derive(Clone)]
pub(crate) struct EngineMetrics {
    pub queries: Gauge,
    pub query_log_enabled: Gauge,
    pub query_log_failures: Counter,
    pub samples: Counter,
    pub samples_read: Counter,
    pub memory_bytes: Gauge,
    pub queue: Slice,
    pub prepare: Slice,
    pub inner_eval: Slice,
    pub result_sort: Slice,
}

/// One part of a query's time.
#[derive(Clone)]
pub(crate) struct Slice {
    summary: Summary,
    histogram: Histogram,
}

impl Slice {
    pub fn observe(&self, took: std::time::Duration) {
        self.summary.observe(took.as_secs_f64());
        self.histogram.observe(took.as_secs_f64());
    }
}

impl EngineMetrics {
    pub fn new(r: &Registry, max_concurrency: usize) -> Self {
        let summary = r.summary_vec("prometheus_engine_query_duration_seconds", "Query timings", &[0.5, 0.9, 0.99], &["slice"]);
        let histogram = r.histogram_vec(
            "prometheus_engine_query_duration_histogram_seconds",
            "The duration of various parts of PromQL query execution.",
            &[0.01, 0.1, 1.0, 10.0],
            &["slice"],
        );
        let slice = |name: &str| Slice { summary: summary.with(&[name]), histogram: histogram.with(&[name]) };
        r.gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries.").set(max_concurrency as f64);
        EngineMetrics {
            queries: r.gauge("prometheus_engine_queries", "The current number of queries being executed or waiting."),
            query_log_enabled: r.gauge("prometheus_engine_query_log_enabled", "State of the query log."),
            query_log_failures: r.counter("prometheus_engine_query_log_failures_total", "The number of query log failures."),
            samples: r.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries (full window per step for range-vector).",
            ),
            samples_read: r.counter(
                "prometheus_engine_query_samples_read_total",
                "The total number of samples read by all queries (only new points per step for range-vector).",
            ),
            memory_bytes: r.gauge("narthex_engine_query_memory_bytes", "Memory that running queries hold for their results."),
            queue: slice("queue_time"),
            prepare: slice("prepare_time"),
            inner_eval: slice("inner_eval"),
            result_sort: slice("result_sort"),
        }
    }
}
