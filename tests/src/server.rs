//! A server under test as a process: Narthex, or a real peer in its place.

use crate::http::{encode, get, post_form};
use crate::peers::peer;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Narthex,
    Prometheus,
    /// A single server that receives and answers.
    VictoriaMetrics,
    /// Scrapes and forwards. Where to is an argument (`-remoteWrite.url`), not in its file.
    Vmagent,
}

impl Kind {
    fn peer_name(self) -> Option<&'static str> {
        match self {
            Kind::Narthex => None,
            Kind::Prometheus => Some("prometheus"),
            Kind::VictoriaMetrics => Some("victoria-metrics"),
            Kind::Vmagent => Some("vmagent"),
        }
    }

    fn ready_path(self) -> &'static str {
        match self {
            Kind::Narthex | Kind::Prometheus => "/-/ready",
            Kind::VictoriaMetrics | Kind::Vmagent => "/health",
        }
    }
}

/// A port that was free a moment ago and that no other test was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        if GIVEN.lock().expect("not poisoned").insert(port) {
            return port;
        }
    }
}

pub struct Server {
    pub kind: Kind,
    pub name: String,
    pub port: u16,
    /// Where it is reached.
    pub host: String,
    /// What it listens on, when that is another address.
    pub listen: Option<String>,
    /// The network namespace that it runs in.
    pub namespace: Option<String>,
    /// More of the environment.
    pub environment: Vec<(String, String)>,
    dir: tempfile::TempDir,
    args: Vec<String>,
    child: Option<Child>,
    /// Words of log lines with WARN or ERROR that are to be expected.
    expected: Vec<String>,
}

impl Server {
    /// Not started yet. None when the program is missing (which has been said).
    pub fn new(kind: Kind, name: &str, config: &str, args: &[&str]) -> Option<Server> {
        if let Some(name) = kind.peer_name() {
            peer(name)?;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let s = Server {
            kind,
            name: name.to_string(),
            port: free_port(),
            host: "127.0.0.1".to_string(),
            listen: None,
            namespace: None,
            environment: Vec::new(),
            dir,
            args: args.iter().map(|a| (*a).to_string()).collect(),
            child: None,
            expected: Vec::new(),
        };
        s.configure(config);
        Some(s)
    }

    pub fn narthex(name: &str, config: &str, args: &[&str]) -> Server {
        Self::new(Kind::Narthex, name, config, args).expect("our own binary")
    }

    pub fn configure(&self, config: &str) {
        fs::write(self.dir.path().join("prometheus.yml"), config).expect("writes the configuration");
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// More arguments for the next start.
    pub fn add_args(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|a| (*a).to_string()));
    }

    pub fn expect_log(&mut self, words: &[&str]) {
        self.expected.extend(words.iter().map(|w| (*w).to_string()));
    }

    pub fn program(kind: Kind) -> PathBuf {
        match kind {
            Kind::Prometheus | Kind::VictoriaMetrics | Kind::Vmagent => kind.peer_name().and_then(peer).expect("looked for when the server was made"),
            Kind::Narthex => {
                let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/narthex");
                let path = std::env::var("NARTHEX_BIN").map_or(built, PathBuf::from);
                assert!(path.is_file(), "{} is missing: build it with `make build`", path.display());
                path
            }
        }
    }

    pub fn command(&self) -> Command {
        let program = Self::program(self.kind);
        let mut c = match &self.namespace {
            None => Command::new(program),
            Some(name) => {
                let mut c = Command::new("ip");
                c.args(["netns", "exec", name]).arg(program);
                c
            }
        };
        let listen = format!("{}:{}", self.listen.as_deref().unwrap_or(&self.host), self.port);
        let (config, data) = (self.dir.path().join("prometheus.yml"), self.data());
        let (config, data) = (config.display(), data.display());
        match self.kind {
            Kind::Narthex | Kind::Prometheus => {
                let agent = self.args.iter().any(|a| a == "--agent" || a == "--enable-feature=agent");
                c.arg(format!("--config.file={config}"))
                    .arg(format!("--storage.{}.path={data}", if agent { "agent" } else { "tsdb" }))
                    .arg(format!("--web.listen-address={listen}"))
            }
            Kind::VictoriaMetrics => c.arg(format!("-storageDataPath={data}")).arg(format!("-httpListenAddr={listen}")).arg("-retentionPeriod=1y"),
            Kind::Vmagent => {
                c.arg(format!("-promscrape.config={config}")).arg(format!("-remoteWrite.tmpDataPath={data}")).arg(format!("-httpListenAddr={listen}"))
            }
        };
        c.args(&self.args).envs(self.environment.iter().map(|(k, v)| (k, v)));
        c
    }

    /// Starts and waits until it is ready.
    pub fn start(&mut self) -> &mut Self {
        self.spawn();
        self.wait_ready();
        self
    }

    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).expect("opens the log");
        let child = self.command().stdout(Stdio::null()).stderr(log).spawn().expect("the program starts");
        self.child = Some(child);
    }

    pub fn wait_ready(&mut self) {
        let url = format!("{}{}", self.url(), self.kind.ready_path());
        let name = format!("{} to be ready; its log:\n{}", self.name, self.log());
        crate::wait_for(&name, Duration::from_secs(60), || {
            if let Some(c) = &mut self.child
                && let Ok(Some(status)) = c.try_wait()
            {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            get(&url).ok().filter(|a| a.status == 200)
        });
    }

    /// CPU time of the process so far, of user and system, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let pid = self.child.as_ref().expect("running").id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process has a stat file");
        let after_name = stat.rsplit(')').next().unwrap_or("");
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        // Linux counts in hundredths, whatever its own clock does.
        ticks as f64 / 100.0
    }

    /// Resident memory in MB, and its peak.
    pub fn memory_mb(&self) -> (f64, f64) {
        let pid = self.child.as_ref().expect("running").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process has a status file");
        let of = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name)).unwrap_or("");
            line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut c) = self.child.take() {
            c.kill().expect("kills");
            let _ = c.wait();
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("running").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    /// SIGSTOP: it runs no more until it is killed.
    pub fn stand_still(&self) {
        self.signal("-STOP");
    }

    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Asks it to stop and waits for it; it must end well.
    pub fn stop(&mut self) {
        if self.child.is_none() {
            return;
        }
        self.signal("-TERM");
        let mut c = self.child.take().expect("running");
        let status = crate::wait_for(&format!("{} to stop", self.name), Duration::from_secs(60), || c.try_wait().ok().flatten());
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Instant query by POST; the whole answer.
    pub fn query(&self, query: &str) -> Value {
        post_form(&format!("{}/api/v1/query", self.url()), &[("query", query)]).expect("answers").json()
    }

    /// Value of a query that gives one sample; None when it gives none.
    pub fn value(&self, query: &str) -> Option<f64> {
        let a = post_form(&format!("{}/api/v1/query", self.url()), &[("query", query)]).ok()?;
        crate::vector(&a.json()).first().map(|(_, v)| *v)
    }

    pub fn api(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let query = encode(params);
        get(&format!("{}/api/v1/{path}?{query}", self.url())).expect("answers").json()
    }

    /// Raw samples of all series that a selector gives over the last seconds: (labels, [(time in ms, value)]).
    pub fn samples(&self, selector: &str, seconds: u64) -> Vec<(Value, Vec<(i64, f64)>)> {
        let a = self.query(&format!("{selector}[{seconds}s]"));
        let list = a["data"]["result"].as_array().unwrap_or_else(|| panic!("{selector}: {a}")).clone();
        list.into_iter()
            .map(|s| {
                let values = s["values"].as_array().cloned().unwrap_or_default();
                let points = values.iter().map(|p| {
                    let t = (p[0].as_f64().expect("a time") * 1000.0).round() as i64;
                    (t, p[1].as_str().expect("a value").parse().expect("a number"))
                });
                (s["metric"].clone(), points.collect())
            })
            .collect()
    }

    fn check_log(&self) {
        if self.kind != Kind::Narthex || std::thread::panicking() {
            return;
        }
        let log = self.log();
        let bad: Vec<&str> = log
            .lines()
            .filter(|l| l.contains("level=WARN") || l.contains("level=ERROR") || l.contains("panicked"))
            .filter(|l| !self.expected.iter().any(|w| l.contains(w.as_str())))
            .collect();
        assert!(bad.is_empty(), "unexpected log lines of {}:\n{}", self.name, bad.join("\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- log of {} (newest first)\n{}", self.name, tail.join("\n"));
        }
        self.check_log();
    }
}
