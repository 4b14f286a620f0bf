//! What a forward-only leaf counts, under the names of Prometheus' agent.

use stdx::metrics::{Counter, CounterVec, Gauge, Registry, Summary};

pub struct Metrics {
    pub active_series: Gauge,
    pub deleted_series: Gauge,
    pub samples: CounterVec,
    pub exemplars: Counter,
    pub out_of_order: Counter,
    pub replay_seconds: Gauge,
    pub truncate_seconds: Summary,
    pub corruptions: Counter,
    pub clean_start: Gauge,
}

impl Metrics {
    pub fn new(r: &Registry) -> Self {
        Metrics {
            active_series: r.gauge("prometheus_agent_active_series", "Number of active series being tracked by the WAL storage"),
            deleted_series: r.gauge("prometheus_agent_deleted_series", "Number of series pending deletion from the WAL"),
            samples: r.counter_vec("prometheus_agent_samples_appended_total", "Total number of samples appended to the storage", &["type"]),
            exemplars: r.counter("prometheus_agent_exemplars_appended_total", "Total number of exemplars appended to the storage"),
            out_of_order: r.counter("prometheus_agent_out_of_order_samples_total", "Total number of out of order samples ingestion failed attempts."),
            replay_seconds: r.gauge("prometheus_agent_data_replay_duration_seconds", "Time taken to replay the data on disk."),
            truncate_seconds: r.summary("prometheus_agent_truncate_duration_seconds", "Duration of WAL truncation.", &[]),
            corruptions: r.counter("prometheus_agent_corruptions_total", "Total number of WAL corruptions."),
            clean_start: r.gauge(
                "prometheus_agent_clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            ),
        }
    }
}
