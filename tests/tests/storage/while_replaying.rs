//! A server that starts answers, scrapes and receives while it replays its log.
//!
//! The log is stopped in the middle by a segment that is a pipe: replay opens it and waits until somebody opens the other end. So nothing here
//! depends on how fast replay is.

use crate::wire::{self, Series};
use crate::{RECEIVER, config, contents, now_ms};
use narthex_tests::{CounterTarget, Kind, Server, get, post_form, wait_for};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SERIES: usize = 500;

/// A pipe among the segments of a log.
struct Gate(PathBuf);

impl Gate {
    /// Puts it behind the first segment that has something in it; the others move up.
    fn put_into(wal: &Path) -> Gate {
        let mut numbers: Vec<u32> =
            std::fs::read_dir(wal).expect("a log").filter_map(|e| e.expect("an entry").file_name().to_str().and_then(|n| n.parse().ok())).collect();
        numbers.sort_unstable();
        let path = |n: u32| wal.join(format!("{n:08}"));
        let first = *numbers.iter().find(|n| path(**n).metadata().expect("a segment").len() > 0).expect("a segment with records");
        for n in numbers.iter().rev().filter(|n| **n > first) {
            std::fs::rename(path(*n), path(n + 1)).expect("renames");
        }
        let gate = path(first + 1);
        assert!(Command::new("mkfifo").arg(&gate).status().expect("mkfifo runs").success());
        assert!(first < *numbers.last().expect("segments"), "the log needs a segment behind the gate: {numbers:?}");
        Gate(gate)
    }

    /// Lets replay go on. Returns when it has come by.
    fn open(&self) {
        drop(std::fs::File::options().write(true).open(&self.0).expect("opens the pipe"));
    }

    /// An empty segment takes its place.
    fn remove(self) {
        std::fs::remove_file(&self.0).expect("removes the pipe");
        std::fs::write(&self.0, b"").expect("writes an empty segment");
    }
}

fn push(server: &Server, name: &str, t_ms: i64, value: f64) {
    let numbers: Vec<String> = (0..SERIES).map(|n| n.to_string()).collect();
    let labels: Vec<[(&str, &str); 2]> = numbers.iter().map(|n| [("__name__", name), ("n", n.as_str())]).collect();
    let samples = [(t_ms, value)];
    let all: Vec<Series<'_>> = labels.iter().map(|l| Series { labels: l, samples: &samples }).collect();
    let a = wire::push(server, &all);
    assert_eq!(a.status, 204, "{}", a.text());
}

fn is_ready(server: &Server) -> bool {
    get(&format!("{}/-/ready", server.url())).is_ok_and(|a| a.status == 200)
}

/// Starts it up to the gate: it answers and is not ready.
fn start_to_gate(server: &mut Server) {
    server.spawn();
    wait_for("an answer during replay", Duration::from_secs(30), || {
        let a = get(&format!("{}/api/v1/query?query=1", server.url())).ok()?;
        (a.status == 200).then_some(())
    });
    assert!(!is_ready(server));
}

#[test]
fn batches_and_scrapes_are_taken_and_answered_before_replay_ends() {
    let target = CounterTarget::start(3);
    let mut server = Server::narthex("server", &config(Some(&target.address)), &[RECEIVER, "--web.enable-admin-api"]);
    server.expect_log(&["a lock file from a previous execution was replaced", "could not be committed"]);
    let start = now_ms() - 3_600_000;
    let mut at = start;
    let mut next = || {
        at += 15_000;
        at
    };
    // Two lives, so that there are two segments with something in them.
    for life in 0..2 {
        server.start();
        for n in 0..20 {
            push(&server, "pushed", next(), f64::from(life * 100 + n));
        }
        wait_for("scrapes", Duration::from_secs(20), || server.value("scrapes_total"));
        server.kill();
    }
    let gate = Gate::put_into(&server.data().join("wal"));
    let held_back = contents_before_the_gate(&mut server, &mut next);
    wait_for("replay to be at the gate", Duration::from_secs(20), || (!is_ready(&server)).then_some(()));
    let live = contents::of(&server, "{__name__=~\"pushed|fresh\"}", 2);
    assert!(live.values().all(|s| !s.is_empty()) && live.len() == 2 * SERIES);
    // What cannot say that it is partial is refused meanwhile.
    assert_eq!(get(&format!("{}/federate?match[]=pushed", server.url())).expect("answers").status, 503);
    let deleted = post_form(&format!("{}/api/v1/admin/tsdb/delete_series", server.url()), &[("match[]", "pushed")]).expect("answers");
    assert!(deleted.status != 204 && deleted.text().contains("the log is being replayed"), "{}", deleted.text());
    let pair = [Series { labels: &[("__name__", "of_a_pair"), ("__replica__", "a")], samples: &[(now_ms(), 1.0)] }];
    assert_eq!(wire::push(&server, &pair).status, 503);
    // It dies there; what it took during replay is in the log like anything else.
    server.kill();
    server.spawn();
    start_answers(&server);
    push(&server, "fresh", next(), 7.0);
    gate.open();
    server.wait_ready();
    let whole = contents::of(&server, "{__name__=~\"pushed|fresh\"}", 2);
    let pushed = whole.iter().filter(|(l, _)| l.contains("pushed"));
    for (labels, samples) in pushed {
        assert_eq!(samples.len(), 40 + held_back, "{labels}: lost or doubled");
        assert!(samples.windows(2).all(|w| w[0].0 + 15_000 <= w[1].0), "{labels}: {samples:?}");
    }
    assert!(whole.iter().filter(|(l, _)| l.contains("fresh")).all(|(_, s)| s.len() == held_back + 1));
    let warnings = server.query("pushed")["warnings"].clone();
    assert!(warnings.is_null(), "{warnings}");
    gate.remove();

    // The same once more after a kill, after a clean stop, and as Prometheus sees it.
    let counter = contents::of(&server, "scrapes_total", 2);
    server.kill();
    server.start();
    let again = contents::of(&server, "{__name__=~\"pushed|fresh\"}", 2);
    contents::assert_equal(&again, &whole, "after a kill");
    assert!(contents::of(&server, "scrapes_total", 2).values().zip(counter.values()).all(|(a, b)| a.starts_with(b)));
    server.stop();
    let Some(mut prometheus) = Server::new(Kind::Prometheus, "prometheus", &config(None), &[]) else { return };
    std::fs::rename(server.data(), prometheus.data()).expect("moves the directory");
    prometheus.start();
    contents::assert_equal(&contents::of(&prometheus, "{__name__=~\"pushed|fresh\"}", 2), &whole, "under Prometheus");
}

fn start_answers(server: &Server) {
    wait_for("an answer during replay", Duration::from_secs(30), || {
        let a = get(&format!("{}/api/v1/query?query=1", server.url())).ok()?;
        (a.status == 200).then_some(())
    });
}

/// Starts up to the gate and sends: known series and new ones, which are answered at once, with a word about what may be missing. A scrape comes
/// in too. Returns how many batches that were.
fn contents_before_the_gate(server: &mut Server, next: &mut impl FnMut() -> i64) -> usize {
    start_to_gate(server);
    const BATCHES: usize = 5;
    for n in 0..BATCHES {
        let t = next();
        push(server, "pushed", t, 1000.0 + n as f64);
        push(server, "fresh", t, n as f64);
    }
    let now = format!("{:.3}", next() as f64 / 1000.0);
    let a = post_form(&format!("{}/api/v1/query", server.url()), &[("query", "count(fresh)"), ("time", &now)]).expect("answers").json();
    assert_eq!(a["data"]["result"][0]["value"][1], SERIES.to_string(), "{a}");
    assert!(a["warnings"][0].as_str().is_some_and(|w| w.contains("the log is being replayed")), "{a}");
    let before = server.value("scrapes_total").unwrap_or(0.0);
    wait_for("a scrape during replay", Duration::from_secs(20), || server.value("scrapes_total").filter(|v| *v > before));
    assert!(!is_ready(server), "replay waits at the gate");
    BATCHES
}
