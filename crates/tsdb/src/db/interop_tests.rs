//! The same directory under Prometheus and under us, there and back, each killed without a word. Needs a Prometheus binary; says so where there is none.

use super::tests::{T0, labels, open, put};
use super::*;
use crate::config::HOUR_MS;
use model::Matcher;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use storage::{HistogramSample, Queryable, SelectHints, SeriesData, Wait};

const BINARY: &str = "/opt/peers/usr/bin/prometheus";

struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    fn start(dir: &Path, config_dir: &Path) -> Option<Prometheus> {
        if !Path::new(BINARY).exists() {
            eprintln_skip();
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let config = config_dir.join("prometheus.yml");
        let text = "storage:\n  tsdb:\n    out_of_order_time_window: 100h\n";
        stdx::fs::write_atomic(&stdx::fs::RealFs, &config, text.as_bytes()).expect("write config");
        let child = Command::new(BINARY)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args([
                "--storage.tsdb.retention.time=10000d",
                "--web.enable-remote-write-receiver",
                "--enable-feature=native-histograms",
                "--log.level=warn",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start prometheus");
        let p = Prometheus { child, port };
        for _ in 0..300 {
            if p.request("GET", "/-/ready", &[], &[]).is_ok_and(|(code, _)| code == 200) {
                return Some(p);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("prometheus did not become ready");
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let mut s = TcpStream::connect(("127.0.0.1", self.port))?;
        s.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut head = format!("{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(n, v)| head.push_str(&format!("{n}: {v}\r\n")));
        head.push_str("\r\n");
        s.write_all(head.as_bytes())?;
        s.write_all(body)?;
        let mut all = Vec::new();
        s.read_to_end(&mut all)?;
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
        let code = std::str::from_utf8(&all[..end]).ok().and_then(|h| h.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        Ok((code, all[(end + 4).min(all.len())..].to_vec()))
    }

    /// Times and values of a series; histograms with their sum.
    fn samples(&self, i: usize) -> Vec<(i64, f64)> {
        let at = (T0 + 1000 * HOUR_MS) / 1000;
        let path = format!("/api/v1/query?query=m%7Bi%3D%22{i}%22%7D%5B3000h%5D&time={at}");
        let (code, body) = self.request("GET", &path, &[], &[]).expect("query");
        assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
        let v: serde_json::Value = serde_json::from_slice(&body).expect("json");
        let Some(series) = v["data"]["result"].get(0) else { return Vec::new() };
        let time = |t: &serde_json::Value| (t.as_f64().expect("time") * 1000.0).round() as i64;
        let number = |s: &serde_json::Value| s.as_str().expect("text").parse::<f64>().expect("number");
        let mut out: Vec<(i64, f64)> = series["values"].as_array().into_iter().flatten().map(|s| (time(&s[0]), number(&s[1]))).collect();
        out.extend(series["histograms"].as_array().into_iter().flatten().map(|s| (time(&s[0]), number(&s[1]["sum"]))));
        out.sort_by_key(|(t, _)| *t);
        out
    }

    fn write(&self, i: usize, samples: &[(i64, f64)]) {
        let body = snappy_literal(&write_request(i, samples));
        let headers = [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf"), ("X-Prometheus-Remote-Write-Version", "0.1.0")];
        let (code, body) = self.request("POST", "/api/v1/write", &headers, &body).expect("write");
        assert_eq!(code, 204, "{}", String::from_utf8_lossy(&body));
    }

    fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::print_stderr, reason = "a skipped test says why")]
fn eprintln_skip() {
    eprintln!("skipped: no {BINARY}");
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    stdx::varint::put_uvarint(out, number << 3 | 2);
    stdx::varint::put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A remote write 1.0 request with one series.
fn write_request(i: usize, samples: &[(i64, f64)]) -> Vec<u8> {
    let mut series = Vec::new();
    for (n, v) in labels(i).iter() {
        let mut pair = Vec::new();
        field(&mut pair, 1, n.as_bytes());
        field(&mut pair, 2, v.as_bytes());
        field(&mut series, 1, &pair);
    }
    for (t, v) in samples {
        let mut s = vec![1 << 3 | 1];
        s.extend_from_slice(&v.to_le_bytes());
        s.push(2 << 3);
        stdx::varint::put_uvarint(&mut s, *t as u64);
        field(&mut series, 2, &s);
    }
    let mut out = Vec::new();
    field(&mut out, 1, &series);
    out
}

/// Snappy's block format without compressing anything.
fn snappy_literal(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    stdx::varint::put_uvarint(&mut out, bytes.len() as u64);
    for part in bytes.chunks(1 << 16) {
        let [a, b] = ((part.len() - 1) as u16).to_le_bytes();
        out.extend_from_slice(&[61 << 2, a, b]);
        out.extend_from_slice(part);
    }
    out
}

fn histogram(n: u64) -> model::Histogram {
    model::Histogram {
        count: n + 3,
        sum: n as f64,
        zero_count: 1,
        zero_threshold: 0.001,
        positive_spans: vec![model::histogram::Span { offset: 0, length: 2 }],
        positive_deltas: vec![1, n as i64],
        ..model::Histogram::default()
    }
}

/// What we answer, in the same form.
fn ours(db: &Db, i: usize) -> Vec<(i64, f64)> {
    let q = db.querier(i64::MIN / 2, i64::MAX / 2).expect("querier");
    let found = q.select(true, &SelectHints::default(), &[Matcher::equal("i", i.to_string())]).expect("select");
    let mut d = SeriesData::default();
    for n in 0..found.len() {
        found.read(n, i64::MIN, i64::MAX, &mut d).expect("read");
    }
    let mut out: Vec<(i64, f64)> = d.t_ms.into_iter().zip(d.v).filter(|(_, v)| !v.is_nan()).collect();
    out.extend(d.hist_t_ms.into_iter().zip(d.hist.iter().map(|h| h.sum)));
    out.sort_by_key(|(t, _)| *t);
    out
}

/// Floats every half minute, some late, histograms, and a staleness marker.
fn fill(db: &Db, from: i64, n: i64) {
    let at = |k: i64| from + k * 30_000;
    let mut a = db.appender(AppendOptions::scrape());
    let [one, two, ints, floats] = [1, 2, 3, 4].map(|i| a.series(labels(i).as_ref()).expect("series"));
    for k in 0..n {
        a.append(one, at(k), (k * k) as f64).expect("append");
        if k % 2 == 0 {
            a.append(two, at(k), 0.5).expect("append");
        }
        a.append_histogram(ints, at(k), HistogramSample::Int(&histogram(k as u64))).expect("histogram");
        a.append_histogram(floats, at(k), HistogramSample::Float(&histogram(k as u64).to_float())).expect("histogram");
    }
    let stale = a.series(labels(5).as_ref()).expect("series");
    a.append(stale, at(0), 1.0).expect("append");
    a.append(stale, at(1), model::sample::stale_nan()).expect("append");
    a.commit(Wait::Durable).expect("commit");
    put(db, AppendOptions::receive(), 2, &(0..n / 2).filter(|k| k % 2 == 1).map(|k| (at(k), 1.5)).collect::<Vec<_>>());
}

fn compare(p: &Prometheus, want: &[Vec<(i64, f64)>], when: &str) {
    for (i, want) in want.iter().enumerate() {
        assert_eq!(p.samples(i), *want, "series {i} {when}");
    }
}

#[test]
fn prometheus_opens_what_we_leave_and_we_open_what_it_leaves() {
    let (dir, config) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    if !Path::new(BINARY).exists() {
        return eprintln_skip();
    }
    let start = || Prometheus::start(dir.path(), config.path()).expect("the binary is there");
    let all = |db: &Db| (0..7).map(|i| ours(db, i)).collect::<Vec<_>>();

    // Ours, killed before any block was made.
    let db = open(dir.path());
    fill(&db, T0, 500);
    let want = all(&db);
    assert_eq!((want[1].len(), want[2].len(), want[3].len()), (500, 375, 500));
    drop(db);
    let p = start();
    compare(&p, &want, "after our first turn");
    // Prometheus goes on, in order and late, and is killed.
    let more: Vec<(i64, f64)> = (500..900).map(|k| (T0 + k * 30_000, k as f64)).collect();
    p.write(1, &more);
    p.write(6, &more.iter().map(|(t, v)| (*t, v + 0.25)).collect::<Vec<_>>());
    p.write(2, &(0..500).filter(|k| k % 2 == 1 && *k >= 250).map(|k| (T0 + k * 30_000, 2.5)).collect::<Vec<_>>());
    let want: Vec<_> = (0..7).map(|i| p.samples(i)).collect();
    assert_eq!((want[1].len(), want[2].len(), want[6].len()), (900, 500, 400));
    p.kill();

    let db = open(dir.path());
    assert_eq!(all(&db), want, "after Prometheus' first turn");
    // Blocks, a checkpoint and late samples older than the head.
    fill(&db, T0 + 900 * 30_000, 700);
    put(&db, AppendOptions::receive(), 1, &[(T0 - 5 * HOUR_MS, 3.0), (T0 + 7, 4.0)]);
    for _ in 0..4 {
        db.wal().next_segment().expect("segment");
    }
    db.maintain().expect("maintain");
    assert!(!db.blocks().is_empty());
    put(&db, AppendOptions::receive(), 1, &[(T0 - 4 * HOUR_MS, 5.0), (T0 + 8, 6.0)]);
    let want = all(&db);
    drop(db);
    let p = start();
    compare(&p, &want, "after our second turn");
    p.write(6, &[(T0 + 1700 * 30_000, 9.0), (T0 + 9, 9.0)]);
    let want: Vec<_> = (0..7).map(|i| p.samples(i)).collect();
    p.kill();
    assert_eq!(all(&open(dir.path())), want, "after Prometheus' second turn");
}
