//! Own metrics: every name that kube-prometheus-stack's rules and dashboards ask a server for is there, on a leaf and on the central; and the page
//! has what a real Prometheus in the same role has: name, type and label names.

use crate::stage::reference;
use narthex_tests::{CounterTarget, Kind, Server, get, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Families by name: type, and the sets of label names of their series.
type Families = BTreeMap<String, (String, BTreeSet<Vec<String>>)>;

fn families(s: &Server) -> Families {
    let text = get(&format!("{}/metrics", s.url())).expect("answers").text();
    let mut out = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            current = name.to_string();
            out.insert(current.clone(), (kind.to_string(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').and_then(|(_, l)| l.rsplit_once('}')).map_or("", |(l, _)| l);
            let names = labels.split("\",").filter_map(|p| p.split_once("=\"")).map(|(n, _)| n.to_string());
            let names: BTreeSet<String> = names.filter(|n| n != "le" && n != "quantile").collect();
            out.get_mut(&current).expect("a type before its series").1.insert(names.into_iter().collect());
        }
    }
    out
}

fn config(target: &str, parent: &str) -> String {
    let mut c = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{site: a}}}}\nrule_files: [rules.yml]\n\
         alerting:\n  alertmanagers:\n  - static_configs: [{{targets: ['127.0.0.1:1']}}]\n\
         scrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{target}']}}]\n\
         - job_name: files\n  file_sd_configs: [{{files: ['none*.json']}}]\n\
         - job_name: http\n  http_sd_configs: [{{url: 'http://127.0.0.1:1/'}}]\n\
         - job_name: dns\n  dns_sd_configs: [{{names: [localhost], type: A, port: 1}}]\n\
         - job_name: kubernetes\n  kubernetes_sd_configs: [{{role: pod, api_server: 'http://127.0.0.1:1'}}]\n"
    );
    if !parent.is_empty() {
        c.push_str(&format!("remote_write:\n- url: {parent}/api/v1/write\n  queue_config: {{batch_send_deadline: 200ms}}\n"));
    }
    c
}

const RULES: &str = "groups:\n- name: g\n  rules:\n  - {record: 'a:b', expr: up}\n  - {alert: X, expr: up == 1}\n";
const ARGS: &[&str] = &["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"];

fn start(kind: Kind, target: &str, parent: &str) -> Option<Server> {
    let mut s = Server::new(kind, if parent.is_empty() { "central" } else { "leaf" }, &config(target, parent), ARGS)?;
    s.expect_log(&["127.0.0.1:1", "discovery", "refresh", "localhost", "lert"]);
    std::fs::write(s.path().join("rules.yml"), RULES).expect("writes rules");
    s.start();
    wait_for("a scrape, a rule and an alert", Duration::from_secs(60), || s.value("a:b").and(s.value("ALERTS")));
    s.query("up");
    Some(s)
}

/// Names of the stack that no server exports: of the operator, or of versions that no dashboard here asks any more.
fn is_of_others(name: &str) -> bool {
    name.starts_with("prometheus_operator_")
        // Asked with `or` beside the newer names.
        || matches!(name, "prometheus_remote_storage_failed_samples_total" | "prometheus_remote_storage_succeeded_samples_total")
}

/// Names in the text of rules and dashboards that a server says of itself.
fn asked_for(dir: &std::path::Path, out: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            asked_for(&entry, out);
            continue;
        }
        if entry.file_name().is_some_and(|n| n == "prometheus-resource.yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&entry).expect("text");
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            if ["prometheus_", "net_conntrack_", "go_", "process_"].iter().any(|p| word.strip_prefix(p).is_some_and(|rest| !rest.is_empty())) {
                out.insert(word.to_string());
            }
        }
    }
}

/// Label names of the text that begin like metrics.
const LABELS: &[&str] = &["prometheus_replica", "go_version"];

#[test]
fn what_rules_and_dashboards_ask_for_is_there() {
    let Some(dir) = reference("kube-prometheus-stack") else { return };
    let mut asked = BTreeSet::new();
    asked_for(&dir, &mut asked);
    let target = CounterTarget::start(1);
    let central = start(Kind::Narthex, &target.address, "").expect("our own binary");
    let leaf = start(Kind::Narthex, &target.address, &central.url()).expect("our own binary");
    wait_for("pushed samples", Duration::from_secs(30), || central.value("scrapes_total{site=\"a\"}"));
    let mut missing = Vec::new();
    for s in [&central, &leaf] {
        let have = families(s);
        for name in asked.iter().filter(|n| !is_of_others(n) && !LABELS.contains(&n.as_str())) {
            // Only who sends has an uplink.
            if name.starts_with("prometheus_remote_storage_") && s.name == "central" {
                continue;
            }
            let stem = |suffix: &str| name.strip_suffix(suffix).is_some_and(|n| have.contains_key(n));
            if !have.contains_key(name) && !stem("_count") && !stem("_sum") && !stem("_bucket") {
                missing.push(format!("{}: {name}", s.name));
            }
        }
    }
    assert!(asked.len() > 50, "only {} names were found in {}", asked.len(), dir.display());
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Families of Prometheus 3.5 that Narthex has not, or has otherwise, by name or by the start of one that ends in `*`.
const DIFFERENT: &[(&str, &str)] = &include!("metrics_absent.in");

#[test]
fn the_page_has_what_prometheus_has_in_the_same_role() {
    let target = CounterTarget::start(1);
    let Some(their_central) = start(Kind::Prometheus, &target.address, "") else { return };
    let central = start(Kind::Narthex, &target.address, "").expect("our own binary");
    let theirs = start(Kind::Prometheus, &target.address, &their_central.url()).expect("it is there");
    let ours = start(Kind::Narthex, &target.address, &central.url()).expect("our own binary");
    for c in [&central, &their_central] {
        wait_for("pushed samples", Duration::from_secs(30), || c.value("scrapes_total{site=\"a\"}"));
    }
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (a, b) in [(&ours, &theirs), (&central, &their_central)] {
        let (have, want) = (families(a), families(b));
        for (name, (kind, labels)) in &want {
            let fault = match have.get(name) {
                None => format!("{}: {name}: absent ({kind} {labels:?})", a.name),
                Some((own, _)) if own != kind => format!("{}: {name}: {own} instead of {kind}", a.name),
                Some((_, own)) if !labels.is_subset(own) => format!("{}: {name}: labels {own:?} instead of {labels:?}", a.name),
                Some(_) => continue,
            };
            let listed = DIFFERENT.iter().find(|(n, _)| n.strip_suffix('*').map_or(n == name, |start| name.starts_with(start)));
            match listed {
                Some((n, _)) => drop(used.insert(*n)),
                None => wrong.push(fault),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unused: Vec<_> = DIFFERENT.iter().filter(|(n, _)| !used.contains(n)).collect();
    assert!(unused.is_empty(), "these do not differ any more: {unused:#?}");
}
