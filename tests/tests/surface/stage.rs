//! What the tests of the surface share: where the reference's data lies, and a server with a little of everything in it.

use narthex_tests::{CounterTarget, Kind, Require, Server, skip, wait_for};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file or folder of the reference's data.
pub fn reference(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("NARTHEX_CONFORMANCE").map_or_else(|| PathBuf::from("../shared/conformance"), PathBuf::from);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(root).join(name);
    if !path.exists() {
        skip(Require::Conformance, &format!("{} is not there", path.display()));
        return None;
    }
    Some(path)
}

/// `a=1&b=2` with everything odd escaped.
pub fn encode(form: &[(&str, &str)]) -> String {
    let escape = |s: &str| {
        s.bytes()
            .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { (b as char).to_string() } else { format!("%{b:02X}") })
            .collect::<String>()
    };
    form.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect::<Vec<_>>().join("&")
}

const RULES: &str = "groups:\n- name: 학교\n  interval: 1s\n  rules:\n  - record: class:scrapes:sum\n    expr: sum by (job) (scrapes_total)\n    labels: {grade: 1학년}\n\
  \x20 - alert: 많음\n    expr: scrapes_total > 0\n    labels: {severity: page}\n    annotations: {summary: '{{ $labels.instance }} {{ $value }}'}\n\
  \x20 - alert: 곧\n    expr: scrapes_total > 0\n    for: 1h\n- name: second\n  rules:\n  - record: one\n    expr: vector(1)\n";

/// A server that scrapes, evaluates rules with firing and pending alerts, and knows an Alertmanager.
pub struct Stage {
    pub server: Server,
    /// Scraped as long as it lives.
    _target: CounterTarget,
}

pub fn stage(kind: Kind, args: &[&str]) -> Option<Stage> {
    let target = CounterTarget::start(3);
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{site: 서울}}}}\nrule_files: [rules.yml]\n\
         alerting:\n  alertmanagers:\n  - static_configs: [{{targets: ['127.0.0.1:1']}}]\n\
         scrape_configs:\n- job_name: 서버-1\n  static_configs:\n  - {{targets: ['{a}'], labels: {{class: 6반}}}}\n\
         - job_name: dropped\n  static_configs: [{{targets: ['{a}']}}]\n  relabel_configs:\n  - {{source_labels: [job], regex: dropped, action: drop}}\n",
        a = target.address
    );
    let mut server = Server::new(kind, "stage", &config, args)?;
    server.expect_log(&["127.0.0.1:1", "alert", "Alertmanager"]);
    std::fs::write(server.path().join("rules.yml"), RULES).expect("writes rules");
    server.start();
    wait_for("alerts and recorded series", Duration::from_secs(60), || {
        let alerts = server.api("alerts", &[]);
        let states: Vec<&str> = alerts["data"]["alerts"].as_array()?.iter().filter_map(|a| a["state"].as_str()).collect();
        (states.contains(&"firing") && states.contains(&"pending") && server.value("class:scrapes:sum").is_some()).then_some(())
    });
    Some(Stage { server, _target: target })
}
