//! The shell with real sockets: a small page server of the test, and a node exporter where there is one.

use super::*;
use crate::config::GlobalScrapeConfig;
use crate::settings::Features;
use crate::target::Health;
use crate::testing::MemoryStorage;
use discovery::{Groups, TargetGroup};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stdx::clock::SystemClock;
use stdx::fs::RealFs;
use stdx::metrics::{Registry, Value};

/// Serves a page with a counter that rises by one with each scrape. Remembers the last request's head.
struct PageServer {
    address: String,
    served: Arc<AtomicU64>,
    head: Arc<Mutex<String>>,
}

fn page_server() -> PageServer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (served, head): (Arc<AtomicU64>, Arc<Mutex<String>>) = Default::default();
    let (counter, last) = (Arc::clone(&served), Arc::clone(&head));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (counter, last) = (Arc::clone(&counter), Arc::clone(&last));
            std::thread::spawn(move || {
                let mut buf = vec![0u8; 8192];
                while let Ok(n @ 1..) = stream.read(&mut buf) {
                    *last.lock() = String::from_utf8_lossy(&buf[..n]).into_owned();
                    let n = counter.fetch_add(1, Ordering::SeqCst) + 1;
                    let body = format!("# TYPE scrapes_total counter\nscrapes_total {n}\n");
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
                    if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    PageServer { address, served, head }
}

struct Bench {
    storage: Arc<MemoryStorage>,
    manager: ScrapeManager,
    registry: Registry,
    targets: watch::Sender<Snapshot>,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<()>,
}

fn bench() -> Bench {
    let clock = SystemClock::shared();
    let registry = Registry::new(Arc::clone(&clock));
    let storage = Arc::new(MemoryStorage::default());
    let manager = ScrapeManager::new(Deps {
        storage: Arc::clone(&storage) as Arc<dyn storage::Appendable>,
        client: client::Options::new(Arc::clone(&clock), Arc::new(RealFs)),
        fs: Arc::new(RealFs),
        registry: registry.clone(),
        clock,
        features: Features::default(),
        hostname: "test".into(),
        runtime: tokio::runtime::Handle::current(),
        workers: 2,
    });
    let (targets, receiver) = watch::channel(Snapshot::default());
    let shutdown = Shutdown::new();
    let (m, s) = (manager.clone(), shutdown.clone());
    let running = tokio::spawn(async move { m.run(receiver, s).await });
    Bench { storage, manager, registry, targets, shutdown, running }
}

impl Bench {
    fn apply(&self, jobs: &str) {
        let mut jobs: Vec<ScrapeConfig> = yaml::from_str(jobs, &yaml::Options::default()).expect("good jobs");
        let global = GlobalScrapeConfig { scrape_interval: yaml::Millis(200), scrape_timeout: yaml::Millis(200), ..GlobalScrapeConfig::default() };
        jobs.iter_mut().for_each(|j| j.resolve(&global, false).expect("a good job"));
        let jobs: Vec<_> = jobs.into_iter().map(Arc::new).collect();
        self.manager.apply(&jobs, &Labels::empty()).expect("applied");
    }

    fn discover(&self, job: &str, addresses: &[&str]) {
        let group = Arc::new(TargetGroup::of_addresses("static/0", addresses, Labels::empty()));
        let groups: Groups = Arc::new(vec![group]);
        self.targets.send(Arc::new(BTreeMap::from([(job.to_string(), groups)]))).expect("the manager listens");
    }

    async fn until(&self, what: &str, mut done: impl FnMut(&Bench) -> bool) {
        for _ in 0..1000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain: {what}; stored: {:#?}; targets: {:#?}", self.storage.dump(0), self.manager.targets(None));
    }

    async fn stop(self) {
        self.shutdown.request();
        self.running.await.expect("it ends");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn scrapes_reloads_and_ends() {
    runtime().block_on(async {
        let server = page_server();
        let b = bench();
        b.apply("[{job_name: j}]");
        b.discover("j", &[&server.address]);
        b.until("five scrapes", |b| b.storage.floats("scrapes_total").len() >= 5).await;
        let head = server.head.lock().to_lowercase();
        for line in [
            "accept-encoding: gzip",
            "x-prometheus-scrape-timeout-seconds: 0.2",
            "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
        ] {
            assert!(head.contains(line), "{head}");
        }
        // A reload that changes the job: the runner goes on, and not one page is lost or stored twice.
        b.apply("[{job_name: j, sample_limit: 10}]");
        b.until("five more", |b| b.storage.floats("scrapes_total").len() >= 10).await;
        let floats = b.storage.floats("scrapes_total");
        assert!(floats.iter().enumerate().all(|(i, v)| *v == (i + 1) as f64), "{floats:?}");
        let view = &b.manager.targets(Some("j"))[0];
        assert_eq!((view.last.health, view.last.error.as_str(), view.interval.as_str()), (Health::Up, "", "200ms"));
        assert_eq!(view.scrape_url, format!("http://{}/metrics", server.address));
        assert_eq!(b.manager.family_metadata()["scrapes_total"].len(), 1);
        // The target goes away: its series end.
        b.discover("j", &[]);
        b.until("the end", |b| b.storage.floats("up").last().is_some_and(|v| model::sample::is_stale_nan(*v))).await;
        assert!(model::sample::is_stale_nan(*b.storage.floats("scrapes_total").last().expect("stored")));
        assert!(b.manager.targets(None).is_empty());
        let served = server.served.load(Ordering::SeqCst);
        b.stop().await;
        assert_eq!(server.served.load(Ordering::SeqCst), served);
    });
}

#[test]
fn tells_what_is_wrong() {
    runtime().block_on(async {
        let b = bench();
        let nobody = { TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string() };
        b.apply("[{job_name: j, target_limit: 1, relabel_configs: [{source_labels: [__address__], regex: 'dropped:.*', action: drop}]}]");
        b.discover("j", &[&nobody, "dropped:1", "bad/address"]);
        b.until("a failure", |b| b.storage.floats("up").first() == Some(&0.0)).await;
        let view = b.manager.targets(None).remove(0);
        assert_eq!(view.last.health, Health::Down);
        assert!(view.last.error.starts_with(&format!("Get \"http://{nobody}/metrics\": ")), "{}", view.last.error);
        assert_eq!(b.manager.dropped(None)[0].discovered_labels.value("__address__"), "dropped:1");
        assert_eq!(b.manager.dropped_counts()["j"], 1);
        let failed = b.registry.gather().into_iter().find(|f| f.name == "prometheus_target_sync_failed_total").expect("counted");
        assert_eq!(failed.metrics[0].value, Value::Counter(1.0));
        b.discover("j", &[&nobody, "127.0.0.1:1"]);
        b.until("the limit", |b| b.manager.targets(None).iter().all(|t| t.last.error == "target_limit exceeded (number of targets: 2, limit: 1)"))
            .await;
        b.stop().await;
    });
}

#[test]
fn pages_that_are_too_large_fail() {
    runtime().block_on(async {
        let server = page_server();
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("failures.log");
        let b = bench();
        b.apply(&format!("[{{job_name: j, body_size_limit: 10B, extra_scrape_metrics: true, scrape_failure_log_file: '{}'}}]", log.display()));
        b.discover("j", &[&server.address]);
        b.until("a failure", |b| b.storage.floats("up").first() == Some(&0.0)).await;
        assert_eq!(b.manager.targets(None)[0].last.error, "body size limit exceeded");
        assert_eq!(b.storage.floats("scrape_body_size_bytes")[0], -1.0);
        let line = std::fs::read_to_string(&log).expect("the log");
        assert!(line.contains("\"msg\":\"body size limit exceeded\",\"job_name\":\"j\",\"target\":\"http://127.0.0.1"), "{line}");
        b.stop().await;
    });
}

const NODE_EXPORTER: &str = "/opt/peers/usr/bin/prometheus-node-exporter";

/// Ends the process with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_real_node_exporter() {
    if !std::path::Path::new(NODE_EXPORTER).exists() {
        eprintln!("skipped: no {NODE_EXPORTER}");
        return;
    }
    let address = { TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string() };
    let child = std::process::Command::new(NODE_EXPORTER)
        .arg(format!("--web.listen-address={address}"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let _child = Child(child);
    runtime().block_on(async {
        let b = bench();
        b.apply("[{job_name: node}]");
        b.discover("node", &[&address]);
        b.until("three good scrapes", |b| b.storage.floats("up").iter().filter(|v| **v == 1.0).count() >= 3).await;
        assert!(b.storage.series_count() > 100, "{}", b.storage.series_count());
        assert!(!b.storage.floats("node_cpu_seconds_total").is_empty());
        let scraped = b.storage.floats("scrape_samples_scraped");
        assert_eq!(b.storage.floats("scrape_samples_post_metric_relabeling"), scraped);
        assert!(b.manager.metadata()[0].families.iter().any(|(n, m)| n == "node_cpu_seconds_total" && !m.help.is_empty()));
        b.stop().await;
    });
}
