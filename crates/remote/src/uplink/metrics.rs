//! What an uplink counts: Prometheus' names for a remote write queue, and ours for what it has no word for.

use super::batch::Counts;
use stdx::metrics::{Counter, CounterVec, DEFAULT_BUCKETS, FloatCounter, FloatCounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry};

const LABELS: [&str; 2] = ["remote_name", "url"];
const WITH_REASON: [&str; 3] = ["remote_name", "url", "reason"];

/// All families; one for the server.
#[derive(Clone)]
pub(super) struct Metrics {
    by_link: Vec<CounterVec>,
    gauges: Vec<GaugeVec>,
    dropped: Vec<CounterVec>,
    refused: CounterVec,
    hard_gap: FloatCounterVec,
    batch_seconds: HistogramVec,
    records_read: CounterVec,
    decode_failures: CounterVec,
    current_segment: GaugeVec,
    pub samples_in: Counter,
    pub highest_timestamp: Gauge,
}

const COUNTERS: [(&str, &str); 15] = [
    ("samples_total", "Total number of samples sent to remote storage."),
    ("exemplars_total", "Total number of exemplars sent to remote storage."),
    ("histograms_total", "Total number of histograms sent to remote storage."),
    ("metadata_total", "Total number of metadata entries sent to remote storage."),
    ("samples_failed_total", "Total number of samples which failed on send to remote storage, non-recoverable errors."),
    ("exemplars_failed_total", "Total number of exemplars which failed on send to remote storage, non-recoverable errors."),
    ("histograms_failed_total", "Total number of histograms which failed on send to remote storage, non-recoverable errors."),
    ("metadata_failed_total", "Total number of metadata entries which failed on send to remote storage, non-recoverable errors."),
    (
        "samples_retried_total",
        "Total number of samples which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    (
        "exemplars_retried_total",
        "Total number of exemplars which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    (
        "histograms_retried_total",
        "Total number of histograms which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    (
        "metadata_retried_total",
        "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable.",
    ),
    ("enqueue_retries_total", "Total number of times enqueue has failed because a shards queue was full."),
    ("bytes_total", "The total number of bytes of data (not metadata) sent by the queue after compression."),
    ("metadata_bytes_total", "The total number of bytes of metadata sent by the queue after compression."),
];

const GAUGES: [(&str, &str); 14] = [
    (
        "prometheus_remote_storage_queue_highest_timestamp_seconds",
        "Highest timestamp that was enqueued, in seconds since epoch. Initialized to 0 when no data has been received yet.",
    ),
    (
        "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
        "Highest timestamp successfully sent by this queue, in seconds since epoch. Initialized to 0 when no data has been sent yet.",
    ),
    ("prometheus_remote_storage_samples_pending", "The number of samples pending in the queues shards to be sent to the remote storage."),
    ("prometheus_remote_storage_shard_capacity", "The capacity of each shard of the queue used for parallel sending to the remote storage."),
    ("prometheus_remote_storage_shards", "The number of shards used for parallel sending to the remote storage."),
    ("prometheus_remote_storage_shards_max", "The maximum number of shards that the queue is allowed to run."),
    ("prometheus_remote_storage_shards_min", "The minimum number of shards that the queue is allowed to run."),
    (
        "prometheus_remote_storage_shards_desired",
        "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
    ),
    ("prometheus_remote_storage_max_samples_per_send", "The maximum number of samples to be sent, in a single request, to the remote storage."),
    ("narthex_uplink_acked_timestamp_seconds", "Time of the newest sample that the parent has acknowledged."),
    ("narthex_uplink_backlog_seconds", "Age of the oldest sample that the parent has not acknowledged; 0 when it has all."),
    ("narthex_uplink_backlog_bytes", "Bytes of the log that the parent has not acknowledged."),
    ("narthex_uplink_missing_seconds", "Time ranges that have left the log unsent and are to be read back from blocks."),
    ("narthex_uplink_lanes", "2 while a backlog is sent beside the live data, else 1."),
];

impl Metrics {
    pub(super) fn new(r: &Registry) -> Self {
        let name = |n: &str| format!("prometheus_remote_storage_{n}");
        let dropped = |kind: &str| {
            let help = format!(
                "Total number of {kind} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID."
            );
            r.counter_vec(&name(&format!("{kind}_dropped_total")), &help, &WITH_REASON)
        };
        let bounds: Vec<f64> = DEFAULT_BUCKETS.iter().copied().chain([25.0, 60.0, 120.0, 300.0]).collect();
        Metrics {
            by_link: COUNTERS.iter().map(|(n, help)| r.counter_vec(&name(n), help, &LABELS)).collect(),
            gauges: GAUGES.iter().map(|(n, help)| r.gauge_vec(n, help, &LABELS)).collect(),
            dropped: ["samples", "exemplars", "histograms"].map(dropped).to_vec(),
            refused: r.counter_vec("narthex_uplink_refused_samples_total", "Samples that the parent refused for good, by its reason.", &WITH_REASON),
            hard_gap: r.float_counter_vec(
                "narthex_uplink_hard_gap_seconds_total",
                "Time ranges that retention deleted before the parent had them.",
                &LABELS,
            ),
            batch_seconds: r.histogram_vec(&name("sent_batch_duration_seconds"), "Duration of send calls to the remote storage.", &bounds, &LABELS),
            records_read: r.counter_vec("prometheus_wal_watcher_records_read_total", "Number of records read by the WAL watcher from the WAL.", &["consumer", "type"]),
            decode_failures: r.counter_vec(
                "prometheus_wal_watcher_record_decode_failures_total",
                "Number of records read by the WAL watcher that resulted in an error when decoding.",
                &["consumer"],
            ),
            current_segment: r.gauge_vec("prometheus_wal_watcher_current_segment", "Current segment the WAL watcher is reading records from.", &["consumer"]),
            samples_in: r.counter(&name("samples_in_total"), "Samples in to remote storage, compare to samples out for queue managers."),
            highest_timestamp: r.gauge(
                &name("highest_timestamp_in_seconds"),
                "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet.",
            ),
        }
    }

    pub(super) fn link(&self, name: &str, url: &str) -> LinkMetrics {
        let l = [name, url];
        let c = |i: usize| self.by_link[i].with(&l);
        let g = |i: usize| self.gauges[i].with(&l);
        let kinds = |i: usize| Kinds { samples: c(i), exemplars: c(i + 1), histograms: c(i + 2) };
        LinkMetrics {
            all: self.clone(),
            name: name.to_string(),
            url: url.to_string(),
            sent: kinds(0),
            metadata_sent: c(3),
            failed: kinds(4),
            metadata_failed: c(7),
            retried: kinds(8),
            metadata_retried: c(11),
            enqueue_retries: c(12),
            bytes: c(13),
            metadata_bytes: c(14),
            highest_timestamp: g(0),
            highest_sent: g(1),
            pending: g(2),
            shard_capacity: g(3),
            shards: g(4),
            shards_max: g(5),
            shards_min: g(6),
            shards_desired: g(7),
            max_samples_per_send: g(8),
            acked: g(9),
            backlog_seconds: g(10),
            backlog_bytes: g(11),
            missing_seconds: g(12),
            lanes: g(13),
            hard_gap: self.hard_gap.with(&l),
            batch_seconds: self.batch_seconds.with(&l),
            decode_failures: self.decode_failures.with(&[name]),
            current_segment: self.current_segment.with(&[name]),
        }
    }
}

pub(super) struct Kinds {
    samples: Counter,
    exemplars: Counter,
    histograms: Counter,
}

impl Kinds {
    pub(super) fn add(&self, c: Counts) {
        self.samples.add(c.samples);
        self.exemplars.add(c.exemplars);
        self.histograms.add(c.histograms);
    }
}

/// The metrics of one uplink. Its label sets go when it is forgotten.
pub(super) struct LinkMetrics {
    all: Metrics,
    name: String,
    url: String,
    pub sent: Kinds,
    pub metadata_sent: Counter,
    pub failed: Kinds,
    pub metadata_failed: Counter,
    pub retried: Kinds,
    pub metadata_retried: Counter,
    pub enqueue_retries: Counter,
    pub bytes: Counter,
    pub metadata_bytes: Counter,
    pub highest_timestamp: Gauge,
    pub highest_sent: Gauge,
    pub pending: Gauge,
    pub shard_capacity: Gauge,
    pub shards: Gauge,
    pub shards_max: Gauge,
    pub shards_min: Gauge,
    pub shards_desired: Gauge,
    pub max_samples_per_send: Gauge,
    pub acked: Gauge,
    pub backlog_seconds: Gauge,
    pub backlog_bytes: Gauge,
    pub missing_seconds: Gauge,
    pub lanes: Gauge,
    pub hard_gap: FloatCounter,
    pub batch_seconds: Histogram,
    pub decode_failures: Counter,
    pub current_segment: Gauge,
}

impl LinkMetrics {
    pub(super) fn dropped(&self, reason: &str, c: Counts) {
        for (family, n) in self.all.dropped.iter().zip([c.samples, c.exemplars, c.histograms]) {
            if n > 0 {
                family.with(&[&self.name, &self.url, reason]).add(n);
            }
        }
    }

    pub(super) fn refused(&self, reason: &str, n: u64) {
        self.all.refused.with(&[&self.name, &self.url, reason]).add(n);
    }

    pub(super) fn record_read(&self, kind: &str) {
        self.all.records_read.with(&[&self.name, kind]).inc();
    }

    pub(super) fn samples_in(&self, n: u64) {
        self.all.samples_in.add(n);
    }

    pub(super) fn highest_in(&self, t_ms: i64) {
        let s = t_ms as f64 / 1000.0;
        raise(&self.highest_timestamp, s);
        raise(&self.all.highest_timestamp, s);
    }

    /// Forgets the label sets of an uplink that is no more.
    pub(super) fn forget(&self) {
        let l = [self.name.as_str(), self.url.as_str()];
        self.all.by_link.iter().for_each(|f| f.remove(&l));
        self.all.gauges.iter().for_each(|f| f.remove(&l));
        self.all.batch_seconds.remove(&l);
        self.all.current_segment.remove(&[&self.name]);
    }
}

pub(super) fn raise(g: &Gauge, to: f64) {
    if to > g.get() {
        g.set(to);
    }
}
