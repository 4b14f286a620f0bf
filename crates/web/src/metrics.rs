//! What the server counts of itself as an HTTP server.

use stdx::metrics::{Counter, CounterVec, Gauge, HistogramVec, Registry};

pub struct Metrics {
    requests: CounterVec,
    duration: HistogramVec,
    size: HistogramVec,
    pub ready: Gauge,
    pub federation_errors: Counter,
    pub federation_warnings: Counter,
    /// `/metrics` itself.
    pub pages: CounterVec,
    pub pages_in_flight: Gauge,
}

impl Metrics {
    pub fn new(r: &Registry) -> Self {
        let m = Self::registered(r);
        // There from the start, as in Prometheus.
        for code in ["200", "500", "503"] {
            m.pages.with(&[code]);
        }
        m
    }

    fn registered(r: &Registry) -> Self {
        Metrics {
            requests: r.counter_vec("prometheus_http_requests_total", "Counter of HTTP requests.", &["handler", "code"]),
            duration: r.histogram_vec(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0],
                &["handler"],
            ),
            size: r.histogram_vec(
                "prometheus_http_response_size_bytes",
                "Histogram of response size for HTTP requests.",
                &[100.0, 1000.0, 10_000.0, 100_000.0, 1e6, 1e7, 1e8, 1e9],
                &["handler"],
            ),
            ready: r.gauge("prometheus_ready", "Whether Prometheus startup was fully completed and the server is ready for normal operation."),
            pages: r.counter_vec("promhttp_metric_handler_requests_total", "Total number of scrapes by HTTP status code.", &["code"]),
            pages_in_flight: r.gauge("promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served."),
            federation_errors: r
                .counter("prometheus_web_federation_errors_total", "Total number of errors that occurred while sending federation responses."),
            federation_warnings: r
                .counter("prometheus_web_federation_warnings_total", "Total number of warnings that occurred while sending federation responses."),
        }
    }

    pub fn observe(&self, handler: &str, code: u16, seconds: f64, bytes: u64) {
        self.requests.with(&[handler, itoa::Buffer::new().format(code)]).inc();
        self.duration.with(&[handler]).observe(seconds);
        self.size.with(&[handler]).observe(bytes as f64);
    }
}
