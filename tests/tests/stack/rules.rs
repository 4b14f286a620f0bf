//! The rules of kube-prometheus-stack, evaluated by both tools over the same invented series: every recorded series and every firing alert,
//! with its labels and annotations, must be equal.
//!
//! Each group becomes a unit test that expects nothing, so that what comes is told in full: what one tool tells is compared with the other.

use crate::invent;
use narthex_tests::{Kind, Require, Server, peer, skip};
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// When alerts and recorded series are looked at.
const TIMES: [&str; 2] = ["14m", "38m"];

/// One group as a rule file of its own, with the names of its rules and its expressions.
struct Group {
    name: String,
    text: String,
    records: Vec<String>,
    alerts: Vec<String>,
    expressions: Vec<String>,
}

fn groups(file: &Path) -> Vec<Group> {
    let text = std::fs::read_to_string(file).expect("the rules");
    let root = yaml::parse(&text).expect("yaml");
    let nodes = root.get("groups").and_then(|g| g.items()).expect("groups");
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = nodes.iter().map(|n| n.line as usize - 1).chain([lines.len()]).collect();
    let value = |n: &yaml::Node, key: &str| n.get(key).and_then(|v| v.text()).map(|t| t.trim().to_string());
    nodes
        .iter()
        .zip(starts.windows(2))
        .map(|(node, range)| {
            let rules = node.get("rules").and_then(|r| r.items()).expect("rules");
            let all = |key: &str| {
                let mut names: Vec<String> = rules.iter().filter_map(|r| value(r, key)).collect();
                names.sort();
                names.dedup();
                names
            };
            Group {
                name: value(node, "name").expect("a name"),
                text: format!("groups:\n{}\n", lines[range[0]..range[1]].join("\n")),
                records: all("record"),
                alerts: all("alert"),
                expressions: all("expr"),
            }
        })
        .collect()
}

/// The unit test of a group.
fn unit_test(group: &Group) -> String {
    let mut out = String::from(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 30s\n  external_labels: {cluster: c}\n  external_url: http://x\n  input_series:\n",
    );
    let quoted = |s: &str| format!("'{}'", s.replace('\'', "''"));
    for s in invent::in_steps(&group.expressions) {
        let name = s.labels.iter().find(|(n, _)| n == "__name__").map_or("", |(_, v)| v);
        // What the group records comes from the group.
        if group.records.iter().any(|r| r == name) {
            continue;
        }
        let labels: Vec<String> = s.labels.iter().filter(|(n, _)| n != "__name__").map(|(n, v)| format!("{n}={}", model::labels::quote(v))).collect();
        let series = format!("{{__name__={}{}{}}}", model::labels::quote(name), if labels.is_empty() { "" } else { "," }, labels.join(","));
        writeln!(out, "  - series: {}\n    values: {}", quoted(&series), quoted(&s.values)).expect("a string");
    }
    out.push_str("  alert_rule_test:\n");
    for (name, time) in group.alerts.iter().flat_map(|a| TIMES.map(|t| (a, t))) {
        writeln!(out, "  - {{eval_time: {time}, alertname: {}}}", quoted(name)).expect("a string");
    }
    out.push_str("  promql_expr_test:\n");
    for (name, time) in group.records.iter().flat_map(|r| TIMES.map(|t| (r, t))) {
        writeln!(out, "  - {{eval_time: {time}, expr: {}}}", quoted(&format!("{{__name__={}}}", model::labels::quote(name)))).expect("a string");
    }
    for (name, time) in group.alerts.iter().flat_map(|a| TIMES.map(|t| (a, t))) {
        let expr = format!("{{__name__=~\"ALERTS|ALERTS_FOR_STATE\",alertname={}}}", model::labels::quote(name));
        writeln!(out, "  - {{eval_time: {time}, expr: {}}}", quoted(&expr)).expect("a string");
    }
    out
}

fn run(program: &Path, dir: &Path) -> (Option<i32>, String) {
    let done = Command::new(program).arg0("promtool").args(["test", "rules", "test.yml"]).current_dir(dir).output().expect("the tool runs");
    (done.status.code(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)))
}

#[test]
fn rules_give_what_they_give_there() {
    let root =
        std::env::var_os("NARTHEX_CONFORMANCE").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"), PathBuf::from);
    let stack = root.join("kube-prometheus-stack");
    let Ok(charts) = std::fs::read_dir(&stack) else { return skip(Require::Conformance, &format!("there is no {}", stack.display())) };
    let Some(real) = peer("promtool") else { return };
    let ours = Server::program(Kind::Narthex);
    let all: Vec<Group> = charts.map(|c| c.expect("an entry").path().join("rules.yaml")).flat_map(|f| groups(&f)).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Found::default());
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                while let Some(group) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let dir = tempfile::tempdir().expect("a temporary directory");
                    std::fs::write(dir.path().join("rules.yml"), &group.text).expect("writes");
                    std::fs::write(dir.path().join("test.yml"), unit_test(group)).expect("writes");
                    let (a, b) = (run(&ours, dir.path()), run(&real, dir.path()));
                    let mut f = found.lock().expect("not poisoned");
                    f.alerts += b.1.matches("Labels:{").count();
                    f.results += b.1.matches("expr: ").count();
                    f.failed += usize::from(b.1.contains(", err: "));
                    if a == b {
                        f.equal += 1;
                    } else {
                        let line = a.1.lines().zip(b.1.lines()).find(|(a, b)| a != b);
                        f.wrong.push(format!("{}: ours {:?}, theirs {:?}: {line:?}", group.name, a.0, b.0));
                    }
                }
            });
        }
    });
    let Found { equal, alerts, results, failed, wrong } = found.into_inner().expect("not poisoned");
    eprintln!(
        "stack: {equal} groups of rules equal; {alerts} firing alerts, {results} recorded or state series with a result, {failed} groups with an error in both"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(alerts > 100 && results > 100, "the invented data says too little");
}

#[derive(Default)]
struct Found {
    equal: usize,
    alerts: usize,
    results: usize,
    failed: usize,
    wrong: Vec<String>,
}
