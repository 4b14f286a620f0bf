//! A real Prometheus on data of ours.

use super::Answer;
use super::generate::Query;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Reference {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

fn program(name: &str) -> Option<PathBuf> {
    let dirs = std::env::var("NARTHEX_PEERS").into_iter().chain(["/opt/peers/usr/bin".to_string()]);
    let path = std::env::var("PATH").unwrap_or_default();
    dirs.chain(path.split(':').map(str::to_string)).map(|d| PathBuf::from(d).join(name)).find(|p| p.is_file())
}

impl Reference {
    pub fn start(open_metrics: &str) -> Option<Reference> {
        let (prometheus, promtool) = (program("prometheus")?, program("promtool")?);
        let dir = tempfile::tempdir().unwrap();
        let (text, data, config) = (dir.path().join("in.om"), dir.path().join("data"), dir.path().join("p.yml"));
        std::fs::write(&text, open_metrics).unwrap();
        std::fs::write(&config, "global: {}\n").unwrap();
        let made = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&text, &data])
            .stdout(Stdio::null())
            .status()
            .expect("promtool runs");
        assert!(made.success(), "promtool makes blocks");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(prometheus)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--config.file={}", config.display()))
            .args(["--storage.tsdb.retention.time=100y", "--enable-feature=promql-experimental-functions", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts");
        let server = Reference { child, port, _dir: dir };
        for _ in 0..300 {
            if server.get("/-/ready").is_ok_and(|(status, _)| status == 200) {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("prometheus does not become ready");
    }

    fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut s = TcpStream::connect(("127.0.0.1", self.port))?;
        s.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        s.read_to_string(&mut text)?;
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default()))
    }

    pub fn ask(&self, q: &Query) -> Result<Answer, String> {
        let query: String = q.text.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect();
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let path = match q.step_ms {
            0 => format!("/api/v1/query?query={query}&time={}", seconds(q.start_ms)),
            step => format!("/api/v1/query_range?query={query}&start={}&end={}&step={}", seconds(q.start_ms), seconds(q.end_ms), seconds(step)),
        };
        let (_, body) = self.get(&path).expect("prometheus answers");
        let json: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        if json["status"] != "success" {
            return Err(json["error"].as_str().unwrap_or_default().trim_start_matches("invalid parameter \"query\": ").to_string());
        }
        let point = |p: &Value| ((p[0].as_f64().unwrap() * 1000.0).round() as i64, p[1].as_str().unwrap().parse::<f64>().unwrap());
        let mut answer = Answer::new();
        match json["data"]["resultType"].as_str().unwrap_or_default() {
            "scalar" => {
                answer.insert(String::new(), vec![point(&json["data"]["result"])]);
            }
            "vector" | "matrix" => {
                for s in json["data"]["result"].as_array().unwrap() {
                    let labels =
                        model::Labels::from_pairs(s["metric"].as_object().unwrap().iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_string())));
                    let points = match s.get("values") {
                        Some(v) => v.as_array().unwrap().iter().map(point).collect(),
                        None => vec![point(&s["value"])],
                    };
                    answer.insert(labels.to_string(), points);
                }
            }
            _ => {}
        }
        Ok(answer)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
