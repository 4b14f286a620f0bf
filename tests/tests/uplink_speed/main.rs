//! How fast and at what cost an uplink carries samples, measured between two processes: `make bench-uplink`. Not run by `cargo test`: a test must not judge by time.
//!
//! The leaf receives samples while its central is away; then the central starts, and what both sides spend until all is there is read from /proc. The same is done with two
//! real Prometheus servers.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../story/tools.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod tools;
#[path = "../story/wire.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod wire;

use narthex_tests::{CounterTarget, Kind, Server, now, wait_for};
use std::time::{Duration, Instant};
use tools::{RECEIVER, config, job, own_metric};
use wire::Series;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

const EXPECTED: [&str; 2] = ["failed to send batch, retrying", "flush deadline reached"];

fn pair_of_servers(kind: Kind, target: &CounterTarget, queue: &str, central_args: &[&str]) -> Option<(Server, Server)> {
    let mut args = vec![RECEIVER];
    args.extend_from_slice(central_args);
    let mut central = Server::new(kind, "central", &config("", &[], &[]), &args)?;
    central.expect_log(&EXPECTED);
    let uplink = format!("- url: {}/api/v1/write\n  queue_config: {{{queue}}}\n", central.url());
    let jobs = [job("live", &target.address, "")];
    let mut leaf = Server::new(kind, "leaf", &config("site: \"x\", region: \"y\"", &jobs, &[uplink]), &[RECEIVER])?;
    leaf.expect_log(&EXPECTED);
    Some((leaf, central))
}

/// Labels as a node_exporter behind a scrape has them.
fn labels(n: u64) -> Vec<(&'static str, String)> {
    vec![
        ("__name__", format!("node_metric_{:03}_total", n % 300)),
        ("cpu", format!("{}", n % 8)),
        ("device", format!("eth{}", n / 300 % 4)),
        ("instance", format!("host-{:04}.example.org:9100", n / 1000)),
        ("job", "node".to_string()),
        ("mode", format!("mode-{}", n / 2400 % 5)),
        ("n", format!("{n}")),
    ]
}

/// Writes `steps` samples of each series, `step_ms` apart and ending now; one sample of each series in a request, as scrapes do it.
fn fill(leaf: &Server, series: u64, steps: i64, step_ms: i64) {
    let all: Vec<Vec<(&str, String)>> = (0..series).map(labels).collect();
    let all: Vec<Vec<(&str, &str)>> = all.iter().map(|l| l.iter().map(|(n, v)| (*n, v.as_str())).collect()).collect();
    let end_ms = (now() * 1000.0) as i64;
    for step in 0..steps {
        let t = end_ms - (steps - 1 - step) * step_ms;
        for part in all.chunks(5000) {
            let samples = [(t, step as f64)];
            let request: Vec<Series<'_>> = part.iter().map(|l| Series { labels: l, samples: &samples }).collect();
            let a = wire::post(leaf, &wire::snappy(&wire::write_request(&request)));
            assert!((200..300).contains(&a.status), "{}: {}", a.status, a.text());
        }
    }
}

fn received(central: &Server) -> f64 {
    match central.kind {
        Kind::Narthex => own_metric(central, "narthex_receive_samples_total"),
        _ => own_metric(central, "prometheus_tsdb_head_samples_appended_total"),
    }
}

/// What one carrying cost.
struct Carried {
    samples: f64,
    seconds: f64,
    leaf_cpu: f64,
    central_cpu: f64,
}

fn carry(kind: Kind, series: u64, steps: i64) -> Option<Carried> {
    let target = CounterTarget::start(1);
    let (mut leaf, mut central) = pair_of_servers(kind, &target, "batch_send_deadline: 1s, max_backoff: 1s", &[])?;
    leaf.start();
    fill(&leaf, series, steps, 10_000);
    std::thread::sleep(Duration::from_secs(5));
    let samples = series as f64 * steps as f64;
    let leaf_before = leaf.cpu_seconds();
    let began = Instant::now();
    central.start();
    wait_for("all samples at the central", Duration::from_secs(600), || (received(&central) >= samples * 0.9999).then_some(()));
    let out =
        Carried { samples, seconds: began.elapsed().as_secs_f64(), leaf_cpu: leaf.cpu_seconds() - leaf_before, central_cpu: central.cpu_seconds() };
    leaf.stop();
    central.stop();
    Some(out)
}

#[test]
#[ignore = "measures: make bench-uplink"]
fn one_uplink() {
    let (series, steps) = (number("NARTHEX_BENCH_SERIES", 100_000), number("NARTHEX_BENCH_STEPS", 60) as i64);
    println!("| one uplink, {series} series x {steps} | samples/s | leaf CPU s per M | central CPU s per M |\n|---|---|---|---|");
    for (name, kind) in [("Narthex", Kind::Narthex), ("Prometheus", Kind::Prometheus)] {
        let Some(c) = carry(kind, series, steps) else { continue };
        let per_m = |cpu: f64| cpu * 1e6 / c.samples;
        println!("| {name} | {:.0} | {:.2} | {:.2} |", c.samples / c.seconds, per_m(c.leaf_cpu), per_m(c.central_cpu));
    }
}

/// A leaf of 100k series was cut off for an hour, at a sample each 15 s. How long until the central has all, and how old is its newest sample meanwhile?
#[test]
#[ignore = "measures: make bench-uplink"]
fn catch_up_after_an_hour() {
    let (series, steps) = (number("NARTHEX_BENCH_SERIES", 100_000), number("NARTHEX_BENCH_HOUR_STEPS", 240) as i64);
    let target = CounterTarget::start(1);
    let (mut leaf, mut central) = pair_of_servers(Kind::Narthex, &target, "batch_send_deadline: 1s, max_backoff: 1s", &[]).expect("our own binary");
    leaf.start();
    fill(&leaf, series, steps, 15_000);
    // The live lane goes ahead of what is older than this.
    std::thread::sleep(Duration::from_secs(35));
    let samples = series as f64 * steps as f64;
    central.start();
    let began = Instant::now();
    let mut oldest: f64 = 0.0;
    let mut first_live = None;
    while received(&central) < samples * 0.9999 {
        let newest = central.value("timestamp(scrapes_total)");
        match (newest, first_live) {
            (Some(t), None) if now() - t < 5.0 => first_live = Some(began.elapsed().as_secs_f64()),
            (Some(t), Some(_)) => oldest = oldest.max(now() - t),
            _ => {}
        }
        assert!(began.elapsed() < Duration::from_secs(900), "not through after 15 minutes");
        std::thread::sleep(Duration::from_millis(500));
    }
    println!(
        "catch-up of {samples:.0} samples ({} minutes of {series} series): {:.1} s; live after {:.1} s, then never older than {oldest:.1} s",
        steps * 15 / 60,
        began.elapsed().as_secs_f64(),
        first_live.unwrap_or(f64::NAN)
    );
    leaf.stop();
    central.stop();
}
