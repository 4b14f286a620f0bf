//! `narthex tree`: a small tree on this machine, to look at. A central, a pair of leaves that scrape the same targets, and a leaf of another
//! class; each a process of its own with its own data. What `make run` starts.

use crate::{complain, say};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use stdx::fs::{Fs, Open, RealFs};

/// One server of the tree.
struct Member {
    name: &'static str,
    port: u16,
    /// External labels, as YAML.
    labels: &'static str,
    central: bool,
}

const MEMBERS: [Member; 4] = [
    Member { name: "central", port: 9090, labels: "site: central", central: true },
    Member { name: "leaf-a", port: 9091, labels: "class: 6반, grade: 1학년, __replica__: a", central: false },
    Member { name: "leaf-b", port: 9092, labels: "class: 6반, grade: 1학년, __replica__: b", central: false },
    Member { name: "leaf-c", port: 9093, labels: "class: 7반, grade: 2학년", central: false },
];

const NODE_EXPORTER: &str = "127.0.0.1:9100";

pub fn run(args: &[String]) -> ExitCode {
    let mut dir = PathBuf::from(".narthex");
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.strip_prefix("--dir") {
            Some("") => dir = it.next().map_or(dir, PathBuf::from),
            Some(v) if v.starts_with('=') => dir = PathBuf::from(&v[1..]),
            _ => {
                complain(&format!("narthex tree: unknown argument {a:?}; usage: narthex tree [--dir DIR]"));
                return ExitCode::from(2);
            }
        }
    }
    match start(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("narthex tree: {e}"));
            ExitCode::from(1)
        }
    }
}

fn config(m: &Member, node_exporter: bool) -> String {
    let mut c = format!("global:\n  scrape_interval: 5s\n  evaluation_interval: 5s\n  external_labels: {{{}}}\nscrape_configs:\n", m.labels);
    let of_tree: Vec<String> = if m.name == "leaf-c" {
        vec!["127.0.0.1:9093".to_string()]
    } else if m.central {
        vec!["127.0.0.1:9090".to_string()]
    } else {
        vec!["127.0.0.1:9091".to_string(), "127.0.0.1:9092".to_string()]
    };
    c.push_str(&format!(
        "- job_name: narthex\n  static_configs:\n  - targets: [{}]\n",
        of_tree.iter().map(|t| format!("'{t}'")).collect::<Vec<_>>().join(", ")
    ));
    if node_exporter && !m.central {
        c.push_str(&format!("- job_name: \"서버-1\"\n  static_configs:\n  - targets: ['{NODE_EXPORTER}']\n"));
    }
    if !m.central {
        c.push_str("remote_write:\n- url: http://127.0.0.1:9090/api/v1/write\n  queue_config: {batch_send_deadline: 1s}\n");
    }
    c
}

fn start(dir: &Path) -> Result<(), String> {
    if let Some(m) = MEMBERS.iter().find(|m| TcpStream::connect(("127.0.0.1", m.port)).is_ok()) {
        return Err(format!("something listens on port {} already; the tree needs ports 9090 to 9093", m.port));
    }
    let node_exporter = TcpStream::connect(NODE_EXPORTER).is_ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let mut members = Vec::new();
    for m in &MEMBERS {
        members.push((m, spawn(dir, m, node_exporter)?));
    }
    let outcome = runtime.block_on(look_after(dir, &mut members, node_exporter));
    say("stopping all of it ...");
    // Leaves first: what they still have goes up.
    for (_, child) in members.iter_mut().rev() {
        stop(child);
    }
    say("stopped; `make run` goes on with the data");
    outcome
}

fn spawn(dir: &Path, m: &Member, node_exporter: bool) -> Result<Child, String> {
    let own = dir.join(m.name);
    let context = |e: std::io::Error| format!("start {}: {e}", m.name);
    RealFs.create_dir_all(&own).map_err(context)?;
    let file = own.join("prometheus.yml");
    RealFs.open(&file, Open::Truncate).and_then(|mut f| f.append(config(m, node_exporter).as_bytes())).map_err(context)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(own.join("log")).map_err(context)?;
    let mut command = Command::new(std::env::current_exe().map_err(context)?);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", own.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{}", m.port))
        .arg("--web.enable-lifecycle")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    if m.central {
        command.args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"]);
    }
    // Ctrl-C reaches the whole group of the terminal; each server stops when this program says so.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(context)
}

async fn look_after(dir: &Path, members: &mut Vec<(&'static Member, Child)>, node_exporter: bool) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut int = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    for _ in 0..100 {
        let ready = MEMBERS.iter().all(|m| TcpStream::connect(("127.0.0.1", m.port)).is_ok());
        if ready {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        }
    }
    introduce(dir, members, node_exporter);
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        }
        for (m, child) in members.iter_mut() {
            if let Ok(Some(status)) = child.try_wait() {
                say(&format!("{} ended ({status}); starting it again in 10 s. See {}", m.name, dir.join(m.name).join("log").display()));
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(10)) => {}
                    _ = term.recv() => return Ok(()),
                    _ = int.recv() => return Ok(()),
                }
                *child = spawn(dir, m, node_exporter)?;
                say(&format!("{} runs again", m.name));
            }
        }
    }
}

fn introduce(dir: &Path, members: &[(&'static Member, Child)], node_exporter: bool) {
    let pid = members.iter().find(|(m, _)| m.name == "leaf-a").map_or(0, |(_, c)| c.id());
    let exporter = if node_exporter {
        format!("node_exporter on {NODE_EXPORTER} is scraped by the leaves.")
    } else {
        format!("No node_exporter listens on {NODE_EXPORTER}: the leaves scrape themselves only.")
    };
    say(&format!(
        "
A small tree runs on this machine (data and logs in {}):

  central   http://127.0.0.1:9090    has everything; its page lists senders at /tree
  leaf-a    http://127.0.0.1:9091    class 6반, one of a pair
  leaf-b    http://127.0.0.1:9092    class 6반, the other one: same targets, same labels, another __replica__
  leaf-c    http://127.0.0.1:9093    class 7반

{exporter}

Three queries to try at http://127.0.0.1:9090/query :
  count by (class, job) (up)
  sum by (class) (rate(prometheus_tsdb_head_samples_appended_total[1m]))
  changes(timestamp(up{{class=\"6반\",instance=\"127.0.0.1:9091\"}})[2m:1s])

Kill one of the pair and see that nothing is missing at the central:
  kill -9 {pid}
  curl -s 'http://127.0.0.1:9090/api/v1/gaps?match[]=\\{{class=\"6반\"\\}}'
It is started again after ten seconds. Ctrl-C stops all of it; the next start goes on with the data.
",
        dir.display()
    ));
}

fn stop(child: &mut Child) {
    let pid = child.id().to_string();
    let _ = Command::new("kill").args(["-TERM", &pid]).status();
    for _ in 0..300 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    let _ = child.wait();
}
