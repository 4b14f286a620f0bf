//! What the process says of itself: `process_*`, `prometheus_build_info`, the state of the configuration.

use stdx::clock::Clock;
use stdx::fs::SharedFs;
use stdx::metrics::{Family, Gauge, Kind, Metric, Registry, Value};

/// State of the last configuration.
#[derive(Clone)]
pub struct ConfigMetrics {
    pub successful: Gauge,
    pub success_timestamp: Gauge,
}

impl ConfigMetrics {
    pub fn new(r: &Registry) -> Self {
        ConfigMetrics {
            successful: r.gauge("prometheus_config_last_reload_successful", "Whether the last configuration reload attempt was successful."),
            success_timestamp: r
                .gauge("prometheus_config_last_reload_success_timestamp_seconds", "Timestamp of the last successful configuration reload."),
        }
    }
}

/// Registers everything that is read from the system when asked for.
pub fn register(r: &Registry, fs: SharedFs, clock: &dyn Clock) {
    let build = r.gauge_vec(
        "prometheus_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which prometheus was built, and the goos and goarch for the build.",
        &["branch", "goarch", "goos", "goversion", "revision", "tags", "version"],
    );
    let b = crate::server::build_info();
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH };
    build.with(&[&b.branch, arch, std::env::consts::OS, &b.go_version, &b.revision, "", &b.version]).set(1.0);
    r.gauge_vec("narthex_build_info", "Version of this program.", &["version"]).with(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    r.gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.").set(clock.now_ms() as f64 / 1000.0);
    r.collector(move |out| out.extend(process(&*fs)));
}

fn process(fs: &dyn stdx::fs::Fs) -> Vec<Family> {
    let read = |path: &str| fs.read(std::path::Path::new(path)).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default();
    let one = |name: &str, help: &str, kind: Kind, v: f64| {
        let value = if kind == Kind::Counter { Value::Counter(v) } else { Value::Gauge(v) };
        Family { name: name.to_string(), help: help.to_string(), kind, metrics: vec![Metric { labels: Vec::new(), value }] }
    };
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    // In clock ticks of a hundredth of a second on every Linux of today.
    let cpu = (field(11) + field(12)) / 100.0;
    let (threads, virtual_bytes, resident_pages) = (field(17), field(20), field(21));
    let limits = read("/proc/self/limits");
    let max_files = limits.lines().find(|l| l.starts_with("Max open files")).and_then(|l| l.split_whitespace().nth(3)).and_then(|v| v.parse().ok());
    let files = fs.list(std::path::Path::new("/proc/self/fd")).map_or(0, |l| l.len());
    vec![
        one("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", Kind::Counter, cpu),
        one("process_resident_memory_bytes", "Resident memory size in bytes.", Kind::Gauge, resident_pages * 4096.0),
        one("process_virtual_memory_bytes", "Virtual memory size in bytes.", Kind::Gauge, virtual_bytes),
        one("process_open_fds", "Number of open file descriptors.", Kind::Gauge, files as f64),
        one("process_max_fds", "Maximum number of open file descriptors.", Kind::Gauge, max_files.unwrap_or(0.0)),
        one("process_threads", "Number of threads of the process.", Kind::Gauge, threads),
    ]
}
