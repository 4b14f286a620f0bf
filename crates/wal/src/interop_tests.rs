//! A real Prometheus beside us: we read the log it wrote, and it reads the log we wrote. Skipped, saying so, where there is none.

use crate::record::{self, HeldRef, RecordType, RefHistogram, RefSample};
use crate::replay::LogReader;
use crate::testing::{open_with, options};
use crate::{Compression, Records};
use model::histogram::Span;
use model::{Histogram, Labels};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use stdx::clock::Clock;
use stdx::clock::SystemClock;
use stdx::fs::RealFs;

fn find_prometheus() -> Option<PathBuf> {
    let path = option_env!("PATH").unwrap_or_default();
    let dirs = std::iter::once("/opt/peers/usr/bin").chain(path.split(':'));
    dirs.map(|d| Path::new(d).join("prometheus")).find(|p| p.exists())
}

struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    fn start(binary: &Path, data: &Path, scrape: bool) -> Prometheus {
        let port = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        let config = data.with_extension("yml");
        let jobs = match scrape {
            true => format!("scrape_configs: [{{job_name: self, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"),
            false => "scrape_configs: []".to_string(),
        };
        let mut f = stdx::fs::Fs::open(&RealFs, &config, stdx::fs::Open::Truncate).expect("config");
        f.append(jobs.as_bytes()).expect("config");
        let child = Command::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--enable-feature=native-histograms", "--log.level=warn"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start prometheus");
        Prometheus { child, port }
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut s = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        s.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(s, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut out = String::new();
        s.read_to_string(&mut out).ok()?;
        Some(out)
    }

    /// Asks until the answer contains `want`; the last answer otherwise.
    fn wait_for(&self, path: &str, want: &str) -> Result<String, String> {
        let mut last = String::new();
        for _ in 0..200 {
            last = self.get(path).unwrap_or_default();
            if last.contains(want) {
                return Ok(last);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(last)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says why it is skipped")]
fn we_read_what_prometheus_wrote() {
    let Some(binary) = find_prometheus() else { return eprintln!("skipped: no prometheus in /opt/peers/usr/bin or PATH") };
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    let p = Prometheus::start(&binary, &data, true);
    p.wait_for("/api/v1/query?query=count_over_time(up%5B1m%5D)%3E2", "\"metric\"").expect("three scrapes");
    drop(p);
    let mut reader = LogReader::open(RealFs::shared(), &data.join("wal"), 0, u64::MAX).expect("open");
    let (mut series, mut samples, mut scratch) = (HashMap::new(), Vec::new(), Vec::new());
    while let Some(r) = reader.next().expect("no damage") {
        match RecordType::of(r.bytes).expect("every type is known") {
            RecordType::Series => record::decode_series(r.bytes, &mut scratch, |id, l| drop(series.insert(id, l.to_labels()))).expect("series"),
            RecordType::Samples => record::decode_samples(r.bytes, &mut samples).expect("samples"),
            _ => {}
        }
    }
    let up: Vec<f64> = samples.iter().filter(|s| series[&s.series].metric_name() == "up").map(|s| s.v).collect();
    assert!(up.len() >= 3 && up.iter().all(|v| *v == 1.0), "{up:?}");
    assert!(series.len() > 300, "{} series", series.len());
    assert!(series.values().any(|l| l.to_string().contains(r#"job="self""#)));
}

#[test]
#[allow(clippy::print_stderr, reason = "says why it is skipped")]
fn prometheus_reads_what_we_wrote_and_skips_what_it_does_not_know() {
    let Some(binary) = find_prometheus() else { return eprintln!("skipped: no prometheus in /opt/peers/usr/bin or PATH") };
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = dir.path().join("data");
        let wal = open_with(RealFs::shared(), &data.join("wal"), options(compression)).expect("open");
        let now = SystemClock::new().now_ms();
        let names: Vec<Labels> = (0..2000).map(|i| Labels::from_pairs([("__name__", "made"), ("i", &i.to_string()), ("class", "6반")])).collect();
        let hist = Labels::from_pairs([("__name__", "made_histogram")]);
        let h = Histogram {
            schema: 1,
            count: 3,
            sum: 4.5,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_deltas: vec![1, 1],
            ..Histogram::default()
        };
        let mut r = Records::default();
        r.series(names.iter().enumerate().map(|(i, l)| (i as u64 + 1, l.as_ref())).chain([(5000, hist.as_ref())]));
        wal.log(&r).expect("log");
        for round in 0..20i64 {
            r.clear();
            let t_ms = now - 60_000 + round * 1000;
            r.samples((0..2000).map(|i| RefSample { series: i + 1, start_ms: 0, t_ms, v: round as f64 }));
            r.held("b", (0..50).map(|i| (i + 1, t_ms + 500, HeldRef::Float(1e9))));
            r.histograms([RefHistogram { series: 5000, start_ms: 0, t_ms, h: &h }]);
            wal.log(&r).expect("log");
        }
        wal.close().expect("close");
        assert!(compression != Compression::None || wal.end().segment > 1);
        let p = Prometheus::start(&binary, &data, false);
        let sum = "/api/v1/query?query=sum(count_over_time(made%7Bclass%3D%226%EB%B0%98%22%7D%5B5m%5D))";
        p.wait_for(sum, "\"40000\"").unwrap_or_else(|last| panic!("{compression:?}: {last}"));
        let max = p.get("/api/v1/query?query=max(max_over_time(made%5B5m%5D))").expect("answer");
        assert!(max.contains("\"19\""), "held samples are not part of the series: {max}");
        let count = p.get("/api/v1/query?query=histogram_count(made_histogram)").expect("answer");
        assert!(count.contains("\"3\""), "{count}");
    }
}
