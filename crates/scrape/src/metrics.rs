//! What scraping counts, under Prometheus' names.

use stdx::metrics::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry, SummaryVec};

const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];
const LENGTH_BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

#[derive(Clone)]
pub struct Metrics {
    pub pools: Counter,
    pub pools_failed: Counter,
    pub reload_length: SummaryVec,
    pub reloads: Counter,
    pub reloads_failed: Counter,
    pub exceeded_target_limit: Counter,
    pub target_limit: GaugeVec,
    pub targets: GaugeVec,
    pub symbols: GaugeVec,
    pub syncs: CounterVec,
    pub sync_length: SummaryVec,
    pub sync_length_histogram: HistogramVec,
    pub sync_failed: CounterVec,
    pub exceeded_body_size: Counter,
    pub cache_flush_forced: Counter,
    pub interval_length: SummaryVec,
    pub interval_length_histogram: HistogramVec,
    pub exceeded_sample_limit: Counter,
    pub duplicate_timestamp: Counter,
    pub out_of_order: Counter,
    pub out_of_bounds: Counter,
    pub exceeded_label_limits: Counter,
    pub exceeded_bucket_limit: Counter,
    pub exemplar_out_of_order: Counter,
    pub scrape_duration: Histogram,
    /// Pages that wait for a worker.
    pub waiting: Gauge,
}

impl Metrics {
    pub fn new(r: &Registry) -> Self {
        let job = &["scrape_job"];
        let interval = &["interval"];
        Metrics {
            pools: r.counter("prometheus_target_scrape_pools_total", "Total number of scrape pool creation attempts."),
            pools_failed: r.counter("prometheus_target_scrape_pools_failed_total", "Total number of scrape pool creations that failed."),
            reload_length: r.summary_vec(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                &QUANTILES,
                interval,
            ),
            reloads: r.counter("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads."),
            reloads_failed: r.counter("prometheus_target_scrape_pool_reloads_failed_total", "Total number of failed scrape pool reloads."),
            exceeded_target_limit: r.counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            target_limit: r.gauge_vec("prometheus_target_scrape_pool_target_limit", "Maximum number of targets allowed in this scrape pool.", job),
            targets: r.gauge_vec("prometheus_target_scrape_pool_targets", "Current number of targets in this scrape pool.", job),
            symbols: r.gauge_vec(
                "prometheus_target_scrape_pool_symboltable_items",
                "Current number of symbols in table for this scrape pool. There is no such table here: always 0.",
                job,
            ),
            syncs: r.counter_vec("prometheus_target_scrape_pool_sync_total", "Total number of syncs that were executed on a scrape pool.", job),
            sync_length: r.summary_vec("prometheus_target_sync_length_seconds", "Actual interval to sync the scrape pool.", &QUANTILES, job),
            sync_length_histogram: r.histogram_vec(
                "prometheus_target_sync_length_histogram_seconds",
                "Actual interval to sync the scrape pool.",
                &LENGTH_BUCKETS,
                job,
            ),
            sync_failed: r.counter_vec("prometheus_target_sync_failed_total", "Total number of target sync failures.", job),
            exceeded_body_size: r
                .counter("prometheus_target_scrapes_exceeded_body_size_limit_total", "Total number of scrapes that hit the body size limit"),
            cache_flush_forced: r.counter(
                "prometheus_target_scrapes_cache_flush_forced_total",
                "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
            ),
            interval_length: r.summary_vec("prometheus_target_interval_length_seconds", "Actual intervals between scrapes.", &QUANTILES, interval),
            interval_length_histogram: r.histogram_vec(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes.",
                &LENGTH_BUCKETS,
                interval,
            ),
            exceeded_sample_limit: r.counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            duplicate_timestamp: r.counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: r.counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            out_of_bounds: r.counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            exceeded_label_limits: r.counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            exceeded_bucket_limit: r.counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            exemplar_out_of_order: r.counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
            scrape_duration: r.histogram(
                "prometheus_target_scrape_duration_seconds",
                "Total duration of the scrape from start to commit completion in seconds.",
                &stdx::metrics::DEFAULT_BUCKETS,
            ),
            waiting: r.gauge("narthex_scrape_pages_waiting", "Scraped pages that wait for a worker to store them."),
        }
    }

    /// Forgets a job that is gone.
    pub fn forget_job(&self, job: &str) {
        for g in [&self.target_limit, &self.targets, &self.symbols] {
            g.remove(&[job]);
        }
        self.syncs.remove(&[job]);
        self.sync_length.remove(&[job]);
        self.sync_length_histogram.remove(&[job]);
        self.sync_failed.remove(&[job]);
    }
}
