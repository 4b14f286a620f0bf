//! The command line of the server beside the real Prometheus: what is wrong is refused with the same words and exit code; and every flag that the
//! reference's inventory names is taken.

use super::data;
use narthex_tests::{Kind, Require, Server, peer, skip};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Exit code, and what was written to standard error.
fn said(program: &Path, args: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(program).arg0("prometheus").args(args).output().expect("the program runs");
    (done.status.code(), String::from_utf8_lossy(&done.stderr).trim_end().to_string())
}

#[test]
fn wrong_flags_are_refused_as_there() {
    let Some(real) = peer("prometheus") else { return };
    let ours = Server::program(Kind::Narthex);
    for line in [
        "--foo",
        "--no-foo",
        "--no-no-agent",
        "-x",
        "pos",
        "-- pos",
        "@/nowhere",
        "--config.fil=x",
        "--config.file",
        "--no-config.file",
        "--web.listen-address",
        "--config.file=a --config.file=b",
        "--web.enable-lifecycle=true",
        "--web.enable-lifecycle --web.enable-lifecycle --foo",
        "--query.timeout=5",
        "--query.timeout=",
        "--query.max-samples=x",
        "--log.level=loud",
        "--log.format=xml",
        "--storage.tsdb.wal-compression-type=gzip",
        "--storage.tsdb.retention.size=5",
        "--storage.tsdb.retention.time=bad",
        "--storage.tsdb.retention.time=1d --storage.tsdb.retention.size=x",
        "--auto-gomemlimit.ratio=x",
        "--auto-gomemlimit.ratio=2 --config.file=/dev/null",
        "--storage.agent.path=x --config.file=/dev/null",
        "--agent --storage.tsdb.path=x --query.timeout=1m",
        "--agent --rules.alert.resend-delay=1m --no-storage.tsdb.wal-compression --query.max-samples=1",
        "--scrape.timestamp-tolerance=5",
        "check",
        "tree",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        assert_eq!(said(&ours, &args), said(&real, &args), "{line}");
    }
}

/// `--a.b` and what stands for its neighbours: `.c` for `--a.b.c` or `--a.c`, `-d` for `--a.b-d`.
fn forms(base: &str, token: &str) -> Vec<String> {
    match token.strip_prefix('.') {
        _ if token.starts_with("--") => vec![token.to_string()],
        Some(last) => vec![format!("{base}.{last}"), base.rsplit_once('.').map_or(String::new(), |(front, _)| format!("{front}.{last}"))],
        None => vec![format!("{base}{token}"), format!("{base}.{token}")],
    }
}

#[test]
fn every_flag_of_the_inventory_is_taken() {
    let Some(dir) = data("promtool") else { return };
    let path = dir.join("../../reference/prometheus-3.14.md");
    let Ok(text) = std::fs::read_to_string(&path) else { return skip(Require::Conformance, &format!("{} is not there", path.display())) };
    let ours = Server::program(Kind::Narthex);
    let section = text.split("## 1. CLI flags").nth(1).and_then(|s| s.split("Agent mode:").next()).expect("the section of the flags");
    let mut taken = 0;
    for row in section.lines().filter(|l| l.starts_with("| `--")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let agent = cells[3] == "A";
        let mut base = String::new();
        for token in cells[1].split('`').skip(1).step_by(2) {
            let name = token.trim_end_matches('…').trim();
            let takes = |flag: &String| {
                let mut args: Vec<String> = vec!["--write-documentation".to_string()];
                args.extend(agent.then(|| "--agent".to_string()));
                // Without a value, and else with one that fits its kind.
                let values = ["", "=1", "=1h", "=1GB", "=snappy", "=info", "=json"];
                values.iter().any(|v| {
                    let given = [args.as_slice(), &[format!("{flag}{v}")]].concat();
                    Command::new(&ours).args(given).output().expect("runs").status.success()
                })
            };
            let name = forms(&base, name).into_iter().find(|f| !f.is_empty() && (f == "--write-documentation" || takes(f)));
            base = name.unwrap_or_else(|| panic!("{token} in {row} is not taken"));
            taken += 1;
        }
    }
    eprintln!("flags: {taken} of the inventory");
    assert!(taken >= 70, "only {taken} flags were found in the inventory");
}
