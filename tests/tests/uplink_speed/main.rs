//! How fast and at what cost an uplink carries samples, measured between two processes: `make bench-uplink`. Not run by `cargo test`: a test must not judge by time.
//!
//! The leaf receives samples while its central is away; then the central starts, and what both sides spend until all is there is read from /proc. The same is done with two
//! real Prometheus servers.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../interop/page.rs"]
mod page;
#[path = "../story/tools.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod tools;
#[path = "../story/wire.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod wire;

use narthex_tests::{CounterTarget, Kind, Server, now, wait_for};
use page::PageTarget;
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
    // Prometheus does not send what is older than its start.
    let step_ms = 100;
    std::thread::sleep(Duration::from_millis(1000 + steps as u64 * step_ms));
    fill(&leaf, series, steps, step_ms as i64);
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

/// Memory and CPU of a forward-only leaf beside a Prometheus agent that scrapes the same targets and writes to the same parent.
#[test]
#[ignore = "measures: make bench-uplink"]
fn forward_only_leaf() {
    let (targets, series, run_s) =
        (number("NARTHEX_BENCH_TARGETS", 50), number("NARTHEX_BENCH_TARGET_SERIES", 1000) as usize, number("NARTHEX_BENCH_AGENT_SECONDS", 150));
    let page = |target: u64| {
        let line = |n: u64| {
            let l = labels(target * series as u64 + n);
            let inside: Vec<String> =
                l.iter().filter(|(n, _)| !["__name__", "instance", "job"].contains(n)).map(|(n, v)| format!("{n}=\"{v}\"")).collect();
            format!("{}{{{}}} {n}\n", l[0].1, inside.join(","))
        };
        (0..series as u64).map(line).collect::<String>()
    };
    let all: Vec<PageTarget> = (0..targets).map(|t| PageTarget::start("text/plain; version=0.0.4", page(t).leak())).collect();
    let list: Vec<String> = all.iter().map(|t| format!("'{}'", t.address)).collect();
    let text = |name: &str, parent: &Server| {
        let job = format!("- job_name: node\n  static_configs:\n  - targets: [{}]\n", list.join(", "));
        config(&format!("agent: {name}"), &[job], &[format!("- url: {}/api/v1/write\n", parent.url())])
            .replace("scrape_interval: 1s", "scrape_interval: 5s")
    };
    println!(
        "| forward-only leaf, {targets} targets of {series} series each 5 s, after {run_s} s | resident MB | peak MB | CPU s |\n|---|---|---|---|"
    );
    for (name, kind) in [("Narthex", Kind::Narthex), ("Prometheus", Kind::Prometheus)] {
        let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
        central.start();
        let Some(mut leaf) = Server::new(kind, name, &text(name, &central), &["--agent"]) else { continue };
        leaf.expect_log(&EXPECTED);
        leaf.start();
        std::thread::sleep(Duration::from_secs(run_s));
        let (resident, peak) = leaf.memory_mb();
        let arrived = central.value("count({mode!=\"\"})").unwrap_or(0.0);
        assert!(arrived >= (targets as usize * series) as f64, "{arrived} series arrived");
        println!("| {name} | {resident:.0} | {peak:.0} | {:.1} |", leaf.cpu_seconds());
        leaf.stop();
        central.stop();
    }
}

/// What a sample costs the central that is one of a pair's, beside one that is stored as it comes: the same samples in the same requests, once with a replica label and once with
/// another one.
#[test]
#[ignore = "measures: make bench-uplink"]
fn merging_a_pair() {
    let (series, steps) = (number("NARTHEX_BENCH_PAIR_SERIES", 20_000), number("NARTHEX_BENCH_PAIR_STEPS", 60) as i64);
    let end_ms = (now() * 1000.0) as i64;
    let cost = |label: &'static str| {
        let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
        central.start();
        let of = |replica: &str| -> Vec<Vec<(&str, String)>> {
            (0..series).map(|n| labels(n).into_iter().chain([(label, replica.to_string())]).collect()).collect()
        };
        let replicas = [of("a"), of("b")];
        let sorted: Vec<Vec<Vec<(&str, &str)>>> = replicas
            .iter()
            .map(|all| {
                let one = |l: &Vec<(&'static str, String)>| {
                    let mut l: Vec<(&str, &str)> = l.iter().map(|(n, v)| (*n, v.as_str())).collect();
                    l.sort_unstable();
                    // The test's lifetimes are simpler when the strings live for ever.
                    l.into_iter().map(|(n, v)| (&*n.to_string().leak(), &*v.to_string().leak())).collect()
                };
                all.iter().map(one).collect()
            })
            .collect();
        let mut spent = 0.0;
        let mut first = true;
        for step in 0..steps {
            // The replicas scrape at their own offsets: b is 4 s after a.
            let mut bodies = Vec::new();
            for (r, all) in sorted.iter().enumerate() {
                let t = end_ms - (steps - 1 - step) * 10_000 - 4_000 + r as i64 * 4_000;
                for part in all.chunks(2000) {
                    let samples = [(t, step as f64)];
                    let request: Vec<Series<'_>> = part.iter().map(|l| Series { labels: l, samples: &samples }).collect();
                    bodies.push(wire::snappy(&wire::write_request(&request)));
                }
            }
            let before = central.cpu_seconds();
            for body in &bodies {
                let a = wire::post(&central, body);
                assert_eq!(a.status, 204, "{}", a.text());
            }
            // What new series cost is not the question.
            if !first {
                spent += central.cpu_seconds() - before;
            }
            first = false;
        }
        let stored = own_metric(&central, "prometheus_tsdb_head_samples_appended_total");
        central.stop();
        (spent * 1e6 / (2.0 * series as f64 * (steps - 1) as f64), stored)
    };
    let (plain, all) = cost("replica");
    let (merged, half) = cost("__replica__");
    println!(
        "| pair merge, 2 x {series} series x {steps} | CPU s per M samples | stored |\n|---|---|---|\n| plain | {plain:.2} | {all:.0} |\n| merged | {merged:.2} | {half:.0} |\nratio {:.2}",
        merged / plain
    );
}
