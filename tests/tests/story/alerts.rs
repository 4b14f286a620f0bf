//! Alerts on their way to a real Alertmanager: in batches, relabelled, counted, again after it was away; and what is left of them after a restart.

use crate::tools::{RECEIVER, data, own_metric, seconds};
use crate::wire::{Series, post, snappy, write_request};
use narthex_tests::{Server, free_port, get, now, peer, wait_for};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ALERTS: usize = 600;

struct Alertmanager {
    port: u16,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Alertmanager {
    fn new() -> Option<Alertmanager> {
        peer("prometheus-alertmanager")?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").expect("writes");
        Some(Alertmanager { port: free_port(), dir, child: None })
    }

    /// The packaged one looks for its templates below /usr/share; where they lie beside the program they are put there, for it alone.
    fn command() -> Command {
        let program = peer("prometheus-alertmanager").expect("found before");
        let share = program.with_file_name("../share/prometheus");
        if Path::new("/usr/share/prometheus/alertmanager").exists() || !share.exists() {
            return Command::new(program);
        }
        let mut c = Command::new("unshare");
        let script = "mount -t tmpfs none /usr/share && ln -s \"$0\" /usr/share/prometheus && exec \"$@\"";
        c.args(["-m", "sh", "-c", script]).arg(share).arg(program);
        c
    }

    fn start(&mut self) {
        let dir = self.dir.path().display();
        let child = Alertmanager::command()
            .args([format!("--config.file={dir}/am.yml"), format!("--storage.path={dir}/data")])
            .args([format!("--web.listen-address=127.0.0.1:{}", self.port), "--cluster.listen-address=".to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("alertmanager starts");
        self.child = Some(child);
        wait_for("alertmanager", seconds(20), || get(&format!("http://127.0.0.1:{}/-/ready", self.port)).ok().filter(|a| a.status == 200));
    }

    fn kill(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }

    fn alerts(&self, name: &str) -> Vec<Value> {
        let answer = get(&format!("http://127.0.0.1:{}/api/v2/alerts?filter=alertname%3D{name}", self.port));
        answer.ok().filter(|a| a.status == 200).and_then(|a| a.json().as_array().cloned()).unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.kill();
    }
}

const RULES: &str = r#"
groups:
- name: g
  rules:
  - {alert: Many, expr: m > 0, labels: {severity: page, secret: x}, annotations: {summary: "{{ $labels.i }} is {{ $value }} at {{ $externalLabels.site }}"}}
  - {alert: Dropped, expr: vector(1)}
  - {alert: Held, expr: held > 0, for: 4s, keep_firing_for: 1h}
"#;

fn config(am: &Alertmanager, rules: &Path) -> String {
    format!(
        "global:\n  evaluation_interval: 1s\n  external_labels: {{site: 광주, replica: a}}\nrule_files: [{}]\nalerting:\n  alert_relabel_configs:\n  - {{regex: replica|secret, action: labeldrop}}\n  - {{source_labels: [alertname], regex: Dropped, action: drop}}\n  alertmanagers:\n  - static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        rules.display(),
        am.port
    )
}

fn write(server: &Server) {
    let t = (now() * 1000.0) as i64;
    let names: Vec<String> = (0..ALERTS).map(|i| i.to_string()).collect();
    let labels: Vec<[(&str, &str); 2]> = names.iter().map(|n| [("__name__", "m"), ("i", n.as_str())]).collect();
    let samples = [(t, 1.5)];
    let mut all: Vec<Series<'_>> = labels.iter().map(|l| Series { labels: l, samples: &samples }).collect();
    all.push(Series { labels: &[("__name__", "held")], samples: &samples });
    let answer = post(server, &snappy(&write_request(&all)));
    assert_eq!(answer.status / 100, 2, "{}", answer.text());
}

fn held(server: &Server) -> Option<(String, String)> {
    let answer = server.api("alerts", &[]);
    let all = data(&answer)["alerts"].as_array().cloned().unwrap_or_default();
    let text = |a: &Value, key: &str| a[key].as_str().unwrap_or_default().to_string();
    all.iter().find(|a| a["labels"]["alertname"] == "Held").map(|a| (text(a, "state"), text(a, "activeAt")))
}

#[test]
fn to_alertmanager_and_over_a_restart() {
    let Some(mut am) = Alertmanager::new() else { return };
    am.start();
    let rules = am.dir.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("writes");
    let args = [RECEIVER, "--rules.alert.resend-delay=1s", "--rules.alert.for-grace-period=1s"];
    let mut server = Server::narthex("server", &config(&am, &rules), &args);
    server.expect_log(&["Error sending alerts", "a lock file from a previous execution was replaced"]);
    server.start();
    write(&server);

    // All of them arrive, relabelled and with their text.
    wait_for("600 alerts at Alertmanager", seconds(20), || (am.alerts("Many").len() == ALERTS).then_some(()));
    let many = am.alerts("Many");
    let one = many.iter().find(|a| a["labels"]["i"] == "7").expect("alert 7");
    assert_eq!(one["labels"], serde_json::json!({"alertname": "Many", "i": "7", "severity": "page", "site": "광주"}));
    assert_eq!(one["annotations"]["summary"], "7 is 1.5 at 광주");
    let url = one["generatorURL"].as_str().unwrap_or_default();
    assert!(url.ends_with("/graph?g0.expr=m+%3E+0&g0.tab=1"), "{url}");
    assert!(am.alerts("Dropped").is_empty());
    let of = |name: &str| own_metric(&server, &format!("prometheus_notifications_{name}"));
    assert_eq!((of("alertmanagers_discovered"), of("errors_total"), of("dropped_total{alertmanager=\"http")), (1.0, 0.0, 0.0));
    assert!(of("sent_total") >= ALERTS as f64, "{}", of("sent_total"));
    // At most 256 in a request: three for all.
    assert!(of("latency_seconds_count") >= 3.0);

    // It is away: errors and lost alerts are counted; when it is back they come again.
    am.kill();
    wait_for("errors to be counted", seconds(20), || (of("errors_total") > 0.0 && of("dropped_total") > 0.0).then_some(()));
    std::fs::remove_dir_all(am.dir.path().join("data")).expect("its memory goes");
    am.start();
    wait_for("600 alerts again", seconds(20), || (am.alerts("Many").len() == ALERTS).then_some(()));

    // What fires when the server dies fires on when it is back, without waiting for `for` again.
    let before = wait_for("Held to fire", seconds(20), || held(&server).filter(|h| h.0 == "firing"));
    server.kill();
    server.start();
    write(&server);
    let at = std::time::Instant::now();
    wait_for("Held to fire again", seconds(20), || held(&server).filter(|h| h.0 == "firing"));
    // Whole seconds: the state series has no more.
    let after = held(&server).expect("the alert");
    assert_eq!(after.1[..19], before.1[..19], "it has begun when it had begun, {:?} after the restart", at.elapsed());
}
