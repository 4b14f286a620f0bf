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

/// What programs in Go say of their runtime, as far as this one has the like: tasks for goroutines, and threads.
pub fn register_tasks(r: &Registry, handle: &tokio::runtime::Handle) {
    r.gauge_vec("go_info", "Information about the Go environment.", &["version"]).with(&[&crate::server::build_info().go_version]).set(1.0);
    r.gauge("go_sched_gomaxprocs_threads", "The number of threads that work at the same time.")
        .set(std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64));
    let (tasks, handle) = (r.gauge("go_goroutines", "Number of goroutines that currently exist: tasks here."), handle.clone());
    r.collector(move |_| tasks.set(handle.metrics().num_alive_tasks() as f64));
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
    let limit = |name: &str| limits.lines().find(|l| l.starts_with(name)).and_then(|l| l[name.len()..].split_whitespace().next()).map(str::to_string);
    let max_virtual = limit("Max address space").and_then(|v| v.parse::<f64>().ok()).unwrap_or(u64::MAX as f64);
    let net = read("/proc/self/net/netstat");
    let octets = |name: &str| {
        let mut lines = net.lines().filter(|l| l.starts_with("IpExt:"));
        let at = lines.next()?.split_whitespace().position(|w| w == name)?;
        lines.next()?.split_whitespace().nth(at)?.parse::<f64>().ok()
    };
    let files = fs.list(std::path::Path::new("/proc/self/fd")).map_or(0, |l| l.len());
    vec![
        one("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", Kind::Counter, cpu),
        one("process_resident_memory_bytes", "Resident memory size in bytes.", Kind::Gauge, resident_pages * 4096.0),
        one("process_virtual_memory_bytes", "Virtual memory size in bytes.", Kind::Gauge, virtual_bytes),
        one("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", Kind::Gauge, max_virtual),
        one(
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            Kind::Counter,
            octets("InOctets").unwrap_or(0.0),
        ),
        one(
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            Kind::Counter,
            octets("OutOctets").unwrap_or(0.0),
        ),
        one("process_open_fds", "Number of open file descriptors.", Kind::Gauge, files as f64),
        one("process_max_fds", "Maximum number of open file descriptors.", Kind::Gauge, max_files.unwrap_or(0.0)),
        one("process_threads", "Number of threads of the process.", Kind::Gauge, threads),
        one("go_threads", "Number of OS threads created.", Kind::Gauge, threads),
    ]
}
