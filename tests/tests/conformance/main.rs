//! The reference's own configuration and rule files, given to `narthex check`: what it takes is taken, what it refuses is refused for the same
//! reason. The files are read where they lie; without them every test says so and ends.

#![allow(clippy::disallowed_methods, reason = "tests read the real disk and the real environment")]

mod expected;
mod flags;
mod promtool;
mod status_config;
mod templates;
#[path = "../story/wire.rs"]
mod wire;

use expected::{AGENT, CONFIG_DISCOVERY, OPERATOR_DISCOVERY, OPERATOR_REFUSED, REFUSED, RULES_REFUSED, TOOL};
use narthex_tests::{Kind, Require, Server, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

const RECEIVER: &str = "--web.enable-remote-write-receiver";
const DISCOVERIES: &str = "which has: consul, dns, docker, ec2, file, http, kubernetes, static";

/// The folder `name` of the data.
fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("NARTHEX_CONFORMANCE").map(PathBuf::from);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // A relative path is meant from the top of the repository, where the tests are started.
    let dir = repository.join(root.unwrap_or_else(|| PathBuf::from("../shared/conformance"))).join(name);
    if !dir.is_dir() {
        skip(Require::Conformance, &format!("{} is not there", dir.display()));
        return None;
    }
    Some(dir)
}

/// All files below `dir`, as paths from there, sorted.
fn files(dir: &Path, suffixes: &[&str]) -> Vec<String> {
    fn walk(dir: &Path, from: &Path, suffixes: &[&str], out: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("a folder of the data").map(|e| e.expect("an entry").path()) {
            let name = entry.strip_prefix(from).expect("it lies below").to_str().expect("names are UTF-8").to_string();
            match entry.is_dir() {
                true => walk(&entry, from, suffixes, out),
                false if suffixes.iter().any(|s| name.ends_with(s)) => out.push(name),
                false => {}
            }
        }
    }
    let mut out = Vec::new();
    walk(dir, dir, suffixes, &mut out);
    out.sort();
    out
}

fn find<'a>(table: &'a [(&str, &str)], file: &str) -> Option<&'a str> {
    table.iter().find(|(f, _)| *f == file).map(|(_, text)| *text)
}

/// What is said of a file: all is well, or a part of why not.
#[derive(Debug)]
enum Verdict {
    Loads,
    Refused(String),
}

/// Runs `narthex check WORDS FILE` in `dir`. None when it is as expected, else what was said.
fn check(words: &[&str], dir: &Path, file: &str, success: &str, expected: &Verdict) -> Option<String> {
    let ran = Command::new(Server::program(Kind::Narthex)).arg("check").args(words).arg(file).current_dir(dir).output().expect("our own binary runs");
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let right = match (expected, ran.status.code()) {
        (Verdict::Loads, Some(0)) => said.contains(success),
        (Verdict::Refused(why), Some(1)) => said.contains("FAILED:") && said.contains(why),
        _ => false,
    };
    (!right).then(|| format!("{file}: expected {expected:?}, exit {:?}:\n{said}", ran.status.code()))
}

/// Every name of a table is a file that was looked at: a table does not outlive its files.
fn all_used(files: &[String], tables: &[&[(&str, &str)]]) {
    for (name, _) in tables.iter().copied().flatten() {
        assert!(files.iter().any(|f| f == name), "{name} is expected to be there");
    }
}

fn report(what: &str, total: usize, wrong: &[String]) {
    eprintln!("{what}: {}/{total}", total - wrong.len());
    assert!(total > 0, "{what}: no files");
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

fn by_reason(reason: Option<&str>) -> Verdict {
    match reason {
        None | Some("") => Verdict::Loads,
        Some(why) => Verdict::Refused(why.to_string()),
    }
}

fn unsupported(mechanism: &str) -> Verdict {
    Verdict::Refused(format!("{mechanism} service discovery is not supported by this server, {DISCOVERIES}"))
}

const CONFIG_SUCCESS: &str = "is valid prometheus config file syntax";

#[test]
fn conformance_config() {
    let Some(dir) = data("config") else { return };
    // Files in folders are parts of others.
    let files: Vec<String> = files(&dir, &[".yml"]).into_iter().filter(|f| !f.contains('/')).collect();
    all_used(&files, &[REFUSED, CONFIG_DISCOVERY, AGENT]);
    let mut wrong = Vec::new();
    for f in &files {
        let expected = match find(CONFIG_DISCOVERY, f) {
            Some(mechanism) => unsupported(mechanism),
            None => by_reason(find(REFUSED, f)),
        };
        assert!(!f.contains(".bad.") || matches!(expected, Verdict::Refused(_)), "{f} is bad, but no reason is expected");
        wrong.extend(check(&["config"], &dir, f, CONFIG_SUCCESS, &expected));
    }
    for (f, why) in AGENT {
        wrong.extend(check(&["config", "--agent"], &dir, f, CONFIG_SUCCESS, &by_reason(Some(why))));
    }
    report("config", files.len() + AGENT.len(), &wrong);
}

#[test]
fn conformance_config_of_the_tool() {
    let Some(dir) = data("promtool") else { return };
    let wrong: Vec<String> = TOOL.iter().filter_map(|(f, why)| check(&["config"], &dir, f, CONFIG_SUCCESS, &by_reason(Some(why)))).collect();
    report("tool", TOOL.len(), &wrong);
}

#[test]
fn conformance_operator() {
    let Some(dir) = data("operator") else { return };
    let files = files(&dir, &[".golden"]);
    all_used(&files, &[OPERATOR_DISCOVERY, OPERATOR_REFUSED]);
    let mut wrong = Vec::new();
    for f in &files {
        let expected = match find(OPERATOR_DISCOVERY, f) {
            Some(mechanism) => unsupported(mechanism),
            None => by_reason(find(OPERATOR_REFUSED, f)),
        };
        // The certificates and passwords that they name are not there.
        wrong.extend(check(&["config", "--syntax-only"], &dir, f, CONFIG_SUCCESS, &expected));
    }
    report("operator", files.len(), &wrong);
}

#[test]
fn conformance_rules() {
    let Some(dir) = data("rules") else { return };
    let own = files(&dir, &[".yaml"]);
    all_used(&own, &[RULES_REFUSED]);
    let mut wrong: Vec<String> =
        own.iter().filter_map(|f| check(&["rules", "--lint=none"], &dir, f, " rules found", &by_reason(find(RULES_REFUSED, f)))).collect();
    let Some(stack) = data("kube-prometheus-stack") else { return };
    let charts: Vec<String> = files(&stack, &["rules.yaml"]);
    assert!(!charts.is_empty(), "no rule files in {}", stack.display());
    wrong.extend(charts.iter().filter_map(|f| check(&["rules", "--lint=none"], &stack, f, " rules found", &Verdict::Loads)));
    report("rules", own.len() + charts.len(), &wrong);
}

/// The kinds of web-config files, written here: the data has none.
#[test]
fn web_config() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (text, why) in [
        ("basic_auth_users:\n  alice: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n", ""),
        ("http_server_config:\n  http2: false\n", ""),
        ("basic_auth: {}\n", "field basic_auth not found"),
        ("tls_server_config:\n  cert_file: missing.crt\n  key_file: missing.key\n", "missing.crt"),
    ] {
        std::fs::write(dir.path().join("web.yml"), text).expect("writes");
        let wrong = check(&["web-config"], dir.path(), "web.yml", "web.yml SUCCESS", &by_reason(Some(why)));
        assert_eq!(wrong, None, "{text}");
    }
}
