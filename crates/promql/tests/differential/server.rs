//! A real Prometheus on data of ours.

use super::answer::{Answer, Val};
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
    /// None when there is no such program here.
    pub fn start(features: &str) -> Option<Reference> {
        let prometheus = program("prometheus")?;
        let dir = tempfile::tempdir().unwrap();
        let (data, config) = (dir.path().join("data"), dir.path().join("p.yml"));
        std::fs::write(&config, "global: {}\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(prometheus)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--enable-feature={features}"))
            .args(["--storage.tsdb.retention.time=100y", "--web.enable-remote-write-receiver", "--log.level=error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus starts");
        let server = Reference { child, port, _dir: dir };
        for _ in 0..300 {
            if server.request("GET", "/-/ready", "", &[]).is_ok_and(|(status, _)| status == 200) {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("prometheus does not become ready");
    }

    pub fn feed(&self, bodies: &[Vec<u8>]) {
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        for b in bodies {
            let (status, text) = self.request("POST", "/api/v1/write", headers, b).expect("prometheus answers");
            assert_eq!(status, 204, "{text}");
        }
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let mut s = TcpStream::connect(("127.0.0.1", self.port))?;
        let head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        s.write_all(&[head.as_bytes(), body].concat())?;
        let mut text = String::new();
        s.read_to_string(&mut text)?;
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default()))
    }

    pub fn ask(&self, q: &Query) -> Result<Answer, String> {
        let query: String = q.text.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect();
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let (path, args) = match q.step_ms {
            0 => ("/api/v1/query", format!("query={query}&time={}", seconds(q.start_ms))),
            step => {
                let args = format!("query={query}&start={}&end={}&step={}", seconds(q.start_ms), seconds(q.end_ms), seconds(step));
                ("/api/v1/query_range", args)
            }
        };
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (_, body) = self.request("POST", path, form, args.as_bytes()).expect("prometheus answers");
        let json: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
        if json["status"] != "success" {
            return Err(json["error"].as_str().unwrap_or_default().trim_start_matches("invalid parameter \"query\": ").to_string());
        }
        let mut answer = Answer::new();
        let result = &json["data"]["result"];
        match json["data"]["resultType"].as_str().unwrap_or_default() {
            "scalar" => drop(answer.insert(String::new(), vec![float(result)])),
            "vector" | "matrix" => {
                for s in result.as_array().unwrap() {
                    let of_labels = s["metric"].as_object().unwrap().iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_string()));
                    let list = |name: &str| s.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                    let one = |name: &str| s.get(name).cloned();
                    let floats = list("values").iter().chain(&one("value")).map(float).collect::<Vec<_>>();
                    let histograms = list("histograms").iter().chain(&one("histogram")).map(histogram).collect::<Vec<_>>();
                    let mut all = [floats, histograms].concat();
                    all.sort_by_key(|(t, _)| *t);
                    answer.insert(model::Labels::from_pairs(of_labels).to_string(), all);
                }
            }
            _ => {}
        }
        Ok(answer)
    }
}

fn text_number(v: &Value) -> f64 {
    v.as_str().unwrap().parse().unwrap()
}

fn time_ms(v: &Value) -> i64 {
    (v.as_f64().unwrap() * 1000.0).round() as i64
}

fn float(p: &Value) -> (i64, Val) {
    (time_ms(&p[0]), Val::Float(text_number(&p[1])))
}

fn histogram(p: &Value) -> (i64, Val) {
    let h = &p[1];
    let bucket = |b: &Value| (b[0].as_u64().unwrap() as u8, text_number(&b[1]), text_number(&b[2]), text_number(&b[3]));
    let buckets = h["buckets"].as_array().map(|all| all.iter().map(bucket).collect()).unwrap_or_default();
    (time_ms(&p[0]), Val::Histogram(text_number(&h["count"]), text_number(&h["sum"]), buckets))
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
