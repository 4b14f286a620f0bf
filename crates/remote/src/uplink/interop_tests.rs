//! A real Prometheus as the parent. Skipped, saying so, where there is none.

use super::testing::*;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
    fn start(binary: &Path, dir: &Path) -> Prometheus {
        let port = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        let config = dir.join("prometheus.yml");
        stdx::fs::RealFs::shared().open(&config, stdx::fs::Open::Truncate).expect("config").append(b"scrape_configs: []\n").expect("config");
        let child = Command::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-remote-write-receiver", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start prometheus");
        let p = Prometheus { child, port };
        wait_until("prometheus is ready", || p.get("/-/ready").contains("200 OK"));
        p
    }

    fn get(&self, path: &str) -> String {
        let mut out = String::new();
        if let Ok(mut s) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = write!(s, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            let _ = s.read_to_string(&mut out);
        }
        out
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
fn a_real_prometheus_gets_everything_in_both_versions_and_again_after_a_kill() {
    let Some(binary) = find_prometheus() else { return eprintln!("skipped: no prometheus in /opt/peers/usr/bin or PATH") };
    for text in ["protobuf_message: prometheus.WriteRequest\n", "protobuf_message: io.prometheus.write.v2.Request\n"] {
        let (dir, copy, unused) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"), TestParent::new(Manner::ours()));
        let parent = Prometheus::start(&binary, dir.path());
        let c = RemoteWriteConfig {
            url: yaml::Url::parse(&format!("http://127.0.0.1:{}/api/v1/write", parent.port)).expect("url"),
            ..config(&format!("{SMALL}{text}"))
        };
        let http = || http_connect(client::Options::new(stdx::clock::SystemClock::shared(), stdx::fs::RealFs::shared()), "");
        let leaf_dir = dir.path().join("leaf");
        let mut leaf = Leaf::open(&leaf_dir, &unused);
        leaf.connect(http());
        let t0 = stdx::clock::SystemClock::shared().now_ms() - 60_000;
        leaf.begin_at(&c, t0 - 1);
        leaf.uplinks.apply(std::slice::from_ref(&c), &Labels::empty()).expect("apply");
        for i in 0..50 {
            leaf.scrape(20, t0 + i * 100);
        }
        copy_as_after_a_kill(&leaf_dir, copy.path());
        for i in 50..60 {
            leaf.scrape(20, t0 + i * 100);
        }
        wait_until("all is acknowledged", || leaf.uplinks.status()[0].acked_ms == t0 + 5_900);
        leaf.uplinks.stop();
        // The copy knows less than the parent has: it sends again, and what is new besides.
        let mut again = Leaf::open(copy.path(), &unused);
        again.knows_what(&leaf.names);
        again.connect(http());
        again.uplinks.apply(&[c], &Labels::empty()).expect("apply");
        for i in 60..70 {
            again.scrape(20, t0 + i * 100);
        }
        wait_until("all is acknowledged", || again.uplinks.status()[0].acked_ms == t0 + 6_900);
        again.uplinks.stop();
        let got = parent.get("/api/v1/query?query=sum(count_over_time(m%5B10m%5D))");
        assert!(got.contains("\"1400\""), "{text}: {got}");
    }
}
