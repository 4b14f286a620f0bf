//! bad input: from the configuration, from senders, from targets and from the disk. A clear error each time, and nothing corrupted.

use crate::tools::{RECEIVER, assert_rises, config, data, job, points, seconds, wait_for_points};
use crate::wire::{self, Series, snappy, write_request};
use narthex_tests::{CounterTarget, Server, now, wait_for};
use std::path::PathBuf;
use std::process::Command;

fn now_ms() -> i64 {
    (now() * 1000.0) as i64
}

#[test]
fn an_unknown_key_is_refused_by_line() {
    let cases = [
        ("global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n", "line 5: field scrape_intervall not found"),
        ("global:\n  scrape_interval: soon\n", "line 2"),
        ("scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: {a: b}\n", "line 4"),
        ("remote_write:\n- remote_timeout: 5s\n", "url for remote_write is empty"),
        ("scrape_configs: [\n", "line "),
    ];
    for (text, place) in cases {
        let server = Server::narthex("refused", text, &[]);
        let out = server.command().output().expect("runs");
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{text}: {log}");
        assert!(log.contains("prometheus.yml") && log.contains(place), "{place}: {log}");
        assert!(!server.data().join("wal").exists(), "nothing is touched before the configuration is known to be good");
    }
    let server = Server::narthex("refused", "", &["--web.enable-lifecicle"]);
    let out = server.command().output().expect("runs");
    let log = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && log.contains("web.enable-lifecicle"), "{log}");
    let gone = Server::narthex("refused", "", &[]);
    std::fs::remove_file(gone.path().join("prometheus.yml")).expect("removes");
    let out = gone.command().output().expect("runs");
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("prometheus.yml"));
}

#[test]
fn a_malformed_write_is_named_and_its_neighbours_are_kept() {
    let mut server = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    server.expect_log(&["refused samples of a remote write request"]);
    server.start();
    let t = now_ms();

    // Bodies that are none: nothing of them is taken, and each says what is wrong with it.
    let good = write_request(&[Series { labels: &[("__name__", "whole")], samples: &[(t, 1.0)] }]);
    let mut torn = good.clone();
    torn.truncate(good.len() - 3);
    for (body, word) in [
        (b"not snappy at all".to_vec(), "decompress body"),
        (good, "decompress body"),
        (snappy(&torn), "decode"),
        (snappy(b"\x0a\xff\xff\xff\xff\x7f"), "decode"),
    ] {
        let answer = wire::post(&server, &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().to_lowercase().contains(word), "{word}: {}", answer.text());
    }
    assert_eq!(server.value(r#"count({__name__!=""})"#), None);

    // One good series around each bad one: the bad one is named, the good ones are stored.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)], &'a [&'a str]);
    let bad: [Case<'_>; 5] = [
        (&[("class", "6반")], &[(t, 1.0)], &["6반", "metric name"]),
        (&[("__name__", "twice"), ("class", "6반"), ("class", "7반")], &[(t, 1.0)], &["twice", "class"]),
        (&[("__name__", "empty"), ("", "6반")], &[(t, 1.0)], &["empty", "label"]),
        (&[("__name__", "ahead")], &[(t + 86_400_000, 1.0)], &["ahead", "future"]),
        (&[("__name__", "ancient")], &[(1000, 1.0)], &["ancient", "old"]),
    ];
    for (n, (labels, samples, words)) in bad.into_iter().enumerate() {
        let (before, after) = (format!("before_{n}"), format!("after_{n}"));
        let answer = wire::push(
            &server,
            &[
                Series { labels: &[("__name__", &before)], samples: &[(t, 1.0)] },
                Series { labels, samples },
                Series { labels: &[("__name__", &after), ("class", "6반")], samples: &[(t, 2.0)] },
            ],
        );
        assert_eq!(answer.status, 400, "{words:?}: {}", answer.text());
        assert!(words.iter().all(|w| answer.text().to_lowercase().contains(w)), "{words:?}: {}", answer.text());
        assert_eq!((server.value(&before), server.value(&after)), (Some(1.0), Some(2.0)), "{words:?}");
    }
    assert_eq!(server.value(r#"count({__name__!="",__name__!~"before_.*|after_.*"})"#), None, "nothing else is stored");
    // A repeat is a success; another value for the same time is no error of the sender, and the first one stays.
    assert_eq!(wire::push(&server, &[Series { labels: &[("__name__", "before_0")], samples: &[(t, 1.0)] }]).status, 204);
    assert_eq!(wire::push(&server, &[Series { labels: &[("__name__", "before_0")], samples: &[(t, 9.0)] }]).status, 204);
    assert_eq!(server.value("before_0"), Some(1.0));
    server.stop();
}

#[test]
fn a_target_that_talks_nonsense() {
    let target = CounterTarget::start(3);
    let mut server = Server::narthex("server", &config("", &[job("서버-1", &target.address, "class: \"6반\"")], &[]), &[]);
    server.start();
    wait_for_points(&server, "scrapes_total", 3);
    target.talk_nonsense(true);
    let error = wait_for("the target to be down", seconds(10), || {
        let found = data(&server.api("targets", &[]))["activeTargets"][0].clone();
        (found["health"] == "down").then(|| found["lastError"].as_str().expect("text").to_string())
    });
    assert!(error.contains("line 2"), "where in the body: {error}");
    wait_for("up to be 0", seconds(10), || server.value("up").filter(|v| *v == 0.0));
    assert_eq!(server.value("count(fine_metric)"), None, "half a page is no page");
    wait_for("the series to end", seconds(10), || server.value("count(scrapes_total)").is_none().then_some(()));
    target.talk_nonsense(false);
    wait_for("the target to be up again", seconds(10), || server.value("up").filter(|v| *v == 1.0));
    wait_for("the series to go on", seconds(10), || server.value("scrapes_total"));
    assert_rises(&points(&server, "scrapes_total"));
    server.stop();
}

/// A small file system of its own under a server's data directory.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// None, with the reason said, where mounting is not allowed.
    fn mount(path: PathBuf, options: &str) -> Option<Disk> {
        std::fs::create_dir_all(&path).expect("makes a directory");
        let out = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output();
        match out {
            Ok(o) if o.status.success() => Some(Disk { path }),
            Ok(o) => {
                eprintln!("skipped: no file system can be mounted here: {}", String::from_utf8_lossy(&o.stderr).trim());
                None
            }
            Err(e) => {
                eprintln!("skipped: mount does not run: {e}");
                None
            }
        }
    }

    fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.path).status().expect("mount runs").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn one(n: i64, t: i64) -> wire::Series<'static> {
    let samples: &'static [(i64, f64)] = Box::leak(Box::new([(t + n, n as f64)]));
    Series { labels: &[("__name__", "acknowledged"), ("class", "6반")], samples }
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let mut server = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    let Some(disk) = Disk::mount(server.data(), "size=3m") else { return };
    server.expect_log(&["remote write request could not be committed"]);
    server.start();
    let t = now_ms() - 100_000;
    // Fillers are of no matter; what was said yes to is.
    let mut said = Vec::new();
    let mut refused = None;
    for n in 0..2000 {
        let names: Vec<(String, String)> = (0..200).map(|i| (format!("filler_{n}_{i}"), format!("{:x}", (n * 200 + i) * 0x9e37_79b9))).collect();
        let labels: Vec<[(&str, &str); 2]> = names.iter().map(|(name, v)| [("__name__", name.as_str()), ("v", v.as_str())]).collect();
        let samples = [(t + n, 1.0)];
        let mut all: Vec<Series<'_>> = labels.iter().map(|l| Series { labels: l, samples: &samples }).collect();
        all.push(one(n, t));
        let answer = wire::push(&server, &all);
        if answer.status == 204 {
            said.push((t + n, n as f64));
        } else {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("3 MB are full at some time");
    assert!(refused.status >= 500, "{} {}", refused.status, refused.text());
    assert!(refused.text().to_lowercase().contains("no space left"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some(), "the sender is to come again");
    assert!(said.len() >= 5, "{}", said.len());
    // What is there can be asked for.
    assert_eq!(points(&server, "acknowledged"), said);

    // With room again the same server goes on, and after a kill all of it is there.
    disk.change("size=64m");
    wait_for("the storage to take samples again", seconds(10), || (wire::push(&server, &[one(4000, t)]).status == 204).then_some(()));
    server.kill();
    server.expect_log(&["a lock file from a previous execution was replaced"]);
    server.start();
    let there = points(&server, "acknowledged");
    assert_eq!(there[..said.len()], said);
    assert!(there.len() <= said.len() + 2, "the one that was refused may have come through, no other: {there:?}");
    assert_eq!(there.last(), Some(&(t + 4000, 4000.0)));
    server.stop();
    drop(disk);
}

#[test]
fn a_read_only_directory() {
    let mut server = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    let Some(disk) = Disk::mount(server.data(), "size=32m") else { return };
    server.start();
    let t = now_ms() - 10_000;
    assert_eq!(wire::push(&server, &[one(1, t)]).status, 204);
    server.stop();
    disk.change("ro");
    let out = server.command().output().expect("runs");
    let log = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{log}");
    let fatal = log.lines().find(|l| l.contains("level=ERROR")).unwrap_or_else(|| panic!("no error: {log}"));
    assert!(fatal.to_lowercase().contains("read-only file system") && fatal.contains("data"), "{fatal}");
    disk.change("rw");
    server.start();
    assert_eq!(points(&server, "acknowledged"), [(t + 1, 1.0)]);
    server.stop();
    drop(disk);
}
