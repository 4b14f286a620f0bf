//! What discovery counts, under the reference's names.

use stdx::metrics::{Counter, CounterVec, Gauge, GaugeVec, HistogramVec, Registry, Summary, SummaryVec};

/// Of one manager: `name` is `scrape` or `notify`.
#[derive(Clone)]
pub(crate) struct ManagerMetrics {
    name: String,
    pub failed_configs: Gauge,
    discovered_targets: GaugeVec,
    pub received_updates: Counter,
    pub delayed_updates: Counter,
    pub sent_updates: Counter,
    last_update: GaugeVec,
}

impl ManagerMetrics {
    pub fn new(registry: &Registry, name: &str) -> Self {
        let n = ["name"];
        ManagerMetrics {
            name: name.to_string(),
            failed_configs: registry
                .gauge_vec("prometheus_sd_failed_configs", "Current number of service discovery configurations that failed to load.", &n)
                .with(&[name]),
            discovered_targets: registry.gauge_vec("prometheus_sd_discovered_targets", "Current number of discovered targets.", &["name", "config"]),
            received_updates: registry
                .counter_vec("prometheus_sd_received_updates_total", "Total number of update events received from the SD providers.", &n)
                .with(&[name]),
            delayed_updates: registry
                .counter_vec("prometheus_sd_updates_delayed_total", "Total number of update events that couldn't be sent immediately.", &n)
                .with(&[name]),
            sent_updates: registry
                .counter_vec("prometheus_sd_updates_total", "Total number of update events sent to the SD consumers.", &n)
                .with(&[name]),
            last_update: registry.gauge_vec(
                "prometheus_sd_last_update_timestamp_seconds",
                "Timestamp of the last update sent to the SD consumers.",
                &["name", "config"],
            ),
        }
    }

    pub fn published(&self, job: &str, targets: usize, now_ms: i64) {
        self.discovered_targets.with(&[&self.name, job]).set(targets as f64);
        self.last_update.with(&[&self.name, job]).set(now_ms as f64 / 1000.0);
    }

    pub fn forget(&self, job: &str) {
        self.discovered_targets.remove(&[&self.name, job]);
        self.last_update.remove(&[&self.name, job]);
    }
}

/// Of the providers, shared by all managers.
#[derive(Clone)]
pub(crate) struct ProviderMetrics {
    pub refresh_failures: CounterVec,
    pub refresh_duration: SummaryVec,
    pub refresh_histogram: HistogramVec,
    pub file_read_errors: Counter,
    pub file_scan_duration: Summary,
    pub file_mtime: GaugeVec,
    pub http_failures: Counter,
    pub dns_lookups: Counter,
    pub dns_failures: Counter,
    pub kubernetes_events: CounterVec,
    pub kubernetes_failures: Counter,
    pub consul_failures: Counter,
    pub consul_duration: SummaryVec,
}

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

impl ProviderMetrics {
    pub fn new(r: &Registry) -> Self {
        // Always zero: files are polled, not watched. Declared because dashboards ask for it.
        r.counter("prometheus_sd_file_watcher_errors_total", "The number of File-SD errors caused by filesystem watch failures.");
        let m = ProviderMetrics {
            refresh_failures: r.counter_vec(
                "prometheus_sd_refresh_failures_total",
                "Number of refresh failures for the given SD mechanism.",
                &["mechanism", "config"],
            ),
            refresh_duration: r.summary_vec(
                "prometheus_sd_refresh_duration_seconds",
                "The duration of a refresh in seconds for the given SD mechanism.",
                &QUANTILES,
                &["mechanism", "config"],
            ),
            refresh_histogram: r.histogram_vec(
                "prometheus_sd_refresh_duration_histogram_seconds",
                "The duration of a refresh for the given SD mechanism.",
                &[0.01, 0.1, 1.0, 10.0],
                &["mechanism"],
            ),
            file_read_errors: r.counter("prometheus_sd_file_read_errors_total", "The number of File-SD read errors."),
            file_scan_duration: r.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                &[0.5, 0.9, 0.99],
            ),
            file_mtime: r.gauge_vec(
                "prometheus_sd_file_mtime_seconds",
                "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.",
                &["filename"],
            ),
            http_failures: r.counter("prometheus_sd_http_failures_total", "Number of HTTP service discovery refresh failures."),
            dns_lookups: r.counter("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups."),
            dns_failures: r.counter("prometheus_sd_dns_lookup_failures_total", "The number of DNS-SD lookup failures."),
            kubernetes_events: r.counter_vec("prometheus_sd_kubernetes_events_total", "The number of Kubernetes events handled.", &["role", "event"]),
            kubernetes_failures: r.counter("prometheus_sd_kubernetes_failures_total", "The number of failed WATCH/LIST requests."),
            consul_failures: r.counter("prometheus_sd_consul_rpc_failures_total", "The number of Consul RPC call failures."),
            consul_duration: r.summary_vec(
                "prometheus_sd_consul_rpc_duration_seconds",
                "The duration of a Consul RPC call in seconds.",
                &QUANTILES,
                &["endpoint", "call"],
            ),
        };
        for role in ["endpointslice", "endpoints", "node", "pod", "service", "ingress"] {
            for event in ["add", "delete", "update"] {
                m.kubernetes_events.with(&[role, event]);
            }
        }
        m
    }
}
