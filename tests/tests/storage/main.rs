//! The data directory from outside: starts, kills, full disks and limits of the built binary, and the same directory under a real Prometheus.

#![allow(clippy::disallowed_methods, reason = "what happens to files of a process that is killed")]

#[path = "../story/wire.rs"]
#[allow(dead_code, reason = "the story uses all of it")]
mod wire;

mod contents;
mod disk_full;
mod kill_loop;
mod limits;
mod load;
mod on_disk;
mod there_and_back;
mod while_replaying;

const RECEIVER: &str = "--web.enable-remote-write-receiver";

fn now_ms() -> i64 {
    (narthex_tests::now() * 1000.0) as i64
}

/// One job with one static target, every second.
fn config(target: Option<&str>) -> String {
    let mut c = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n".to_string();
    if let Some(t) = target {
        c.push_str(&format!("scrape_configs:\n- job_name: counted\n  static_configs: [{{targets: ['{t}']}}]\n"));
    }
    c
}
