//! What the notifier counts of itself.

use stdx::metrics::{Counter, CounterVec, DEFAULT_BUCKETS, Gauge, GaugeVec, HistogramVec, Registry, SummaryVec};

#[derive(Clone)]
pub struct Metrics {
    pub latency: SummaryVec,
    pub latency_histogram: HistogramVec,
    pub errors: CounterVec,
    pub sent: CounterVec,
    pub dropped: CounterVec,
    pub queue_length: GaugeVec,
    pub queue_capacity: Gauge,
    pub discovered: Gauge,
    pub dropped_by_relabelling: Counter,
}

const AM: &[&str] = &["alertmanager"];

impl Metrics {
    pub fn new(r: &Registry, capacity: usize) -> Self {
        let m = Metrics {
            latency: r.summary_vec(
                "prometheus_notifications_latency_seconds",
                "Latency quantiles for sending alert notifications.",
                &[0.5, 0.9, 0.99],
                AM,
            ),
            latency_histogram: r.histogram_vec(
                "prometheus_notifications_latency_histogram_seconds",
                "Latency histogram for sending alert notifications.",
                &DEFAULT_BUCKETS,
                AM,
            ),
            errors: r.counter_vec("prometheus_notifications_errors_total", "Total number of sent alerts affected by errors.", AM),
            sent: r.counter_vec("prometheus_notifications_sent_total", "Total number of alerts sent.", AM),
            dropped: r.counter_vec(
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to alert manager missing in configuration or queue overflow.",
                AM,
            ),
            queue_length: r.gauge_vec("prometheus_notifications_queue_length", "The number of alert notifications in the queue.", AM),
            queue_capacity: r.gauge("prometheus_notifications_queue_capacity", "The capacity of the alert notifications queue."),
            discovered: r.gauge("prometheus_notifications_alertmanagers_discovered", "The number of alertmanagers discovered and active."),
            dropped_by_relabelling: r.counter("narthex_notifications_dropped_by_relabelling_total", "Alerts that alert_relabel_configs dropped."),
        };
        m.queue_capacity.set(capacity as f64);
        m
    }

    pub(super) fn remove(&self, url: &str) {
        let am = &[url];
        self.latency.remove(am);
        self.latency_histogram.remove(am);
        [&self.errors, &self.sent, &self.dropped].iter().for_each(|c| c.remove(am));
        self.queue_length.remove(am);
    }
}
