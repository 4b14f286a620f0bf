//! What the receiver counts.

use stdx::metrics::{Counter, CounterVec, Gauge, GaugeVec, Registry};

pub struct Metrics {
    /// Under Prometheus' names.
    pub invalid_labels_samples: Counter,
    pub without_metadata_samples: Counter,
    pub requests: CounterVec,
    pub samples: Counter,
    pub histograms: Counter,
    pub exemplars: Counter,
    pub late: Counter,
    pub duplicates: Counter,
    pub conflicts: Counter,
    pub refused: CounterVec,
    pub rejected: CounterVec,
    pub covered: Counter,
    pub held: Counter,
    pub held_waiting: Gauge,
    pub filled: Counter,
    pub takeovers: Counter,
    pub owned_series: GaugeVec,
    pub unowned_series: Gauge,
}

impl Metrics {
    pub fn new(r: &Registry) -> Self {
        Metrics {
            invalid_labels_samples: r.counter(
                "prometheus_api_remote_write_invalid_labels_samples_total",
                "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
            ),
            without_metadata_samples: r.counter(
                "prometheus_api_remote_write_without_metadata_appended_samples_total",
                "The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata.",
            ),
            requests: r.counter_vec("narthex_receive_requests_total", "Remote write requests by version and status code.", &["version", "code"]),
            samples: r.counter("narthex_receive_samples_total", "Float samples that were taken, repeats and covered ones included."),
            histograms: r.counter("narthex_receive_histograms_total", "Native histograms that were taken, repeats and covered ones included."),
            exemplars: r.counter("narthex_receive_exemplars_total", "Exemplars that were taken."),
            late: r.counter("narthex_receive_late_samples_total", "Samples that were stored behind their series' newest one."),
            duplicates: r.counter("narthex_receive_duplicate_samples_total", "Exact repeats of samples that were stored or held already."),
            conflicts: r.counter(
                "narthex_receive_conflicting_samples_total",
                "Samples with the time of a stored one and another value. The stored one stays; the sender is told nothing.",
            ),
            refused: r.counter_vec("narthex_receive_refused_samples_total", "Samples and histograms that were refused, by reason.", &["reason"]),
            rejected: r.counter_vec(
                "narthex_receive_rejected_requests_total",
                "Requests of which nothing was taken because they could not be read, by reason.",
                &["reason"],
            ),
            covered: r.counter(
                "narthex_receive_covered_samples_total",
                "Samples of a replica that were dropped because the interval around them is stored.",
            ),
            held: r.counter("narthex_receive_held_samples_total", "Samples of a standby that were written to the log to wait for a decision."),
            held_waiting: r.gauge("narthex_receive_held_samples", "Samples of standbys that wait for a decision."),
            filled: r.counter("narthex_receive_filled_samples_total", "Samples of replicas that were stored because they fill a hole."),
            takeovers: r.counter("narthex_receive_takeovers_total", "Times a series passed to another replica."),
            owned_series: r.gauge_vec("narthex_receive_owned_series", "Merged series that a replica owns.", &["replica"]),
            unowned_series: r
                .gauge("narthex_receive_unowned_series", "Merged series without an owner: ended ones, and ones met again after a restart."),
        }
    }
}
