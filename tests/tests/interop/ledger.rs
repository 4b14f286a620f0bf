//! What the central knows of what it lacks: a soft gap while somebody below still holds it, none when it has come, a hard one when nobody holds it; and the alert rules for it.

use crate::tools::{RECEIVER, config, job, seconds, sleep, uplink, wait_for_points};
use narthex_tests::{CounterTarget, Server, get, peer, wait_for};
use std::path::{Path, PathBuf};
use std::process::Command;

fn kinds(central: &Server) -> Vec<String> {
    let answer = central.api("gaps", &[("match[]", "up{job=\"node\"}")]);
    let targets = answer["data"]["targets"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
    let gaps = targets.iter().flat_map(|t| t["gaps"].as_array().cloned().unwrap_or_default());
    gaps.map(|g| g["kind"].as_str().expect("a kind").to_string()).collect()
}

/// The leaf tells of its uplink to the central by itself and by way of a relay that keeps running when the leaf's own way is cut: so the central hears that it is behind.
#[test]
fn soft_then_filled_then_hard() {
    let target = CounterTarget::start(3);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let mut leaf = Server::narthex("leaf", "", &[]);
    let own = job("narthex", &leaf.address(), "");
    let text = |entry: &str| config("site: \"하나\"", &[job("node", &target.address, ""), own.clone()], &[entry.to_string()]);
    leaf.configure(&text(&uplink(&central)));
    leaf.expect_log(&["failed to send batch, retrying", "a lock file from a previous execution was replaced"]);
    leaf.start();
    wait_for_points(&central, "scrapes_total", 8);

    // Nothing is missing, and the tree shows who sends and how far it is.
    let tree = wait_for("the leaf's uplink in the tree", seconds(20), || {
        let t = central.api("tree", &[])["data"].clone();
        t["uplinks"].as_array().is_some_and(|u| u.len() == 1 && u[0]["acked"].is_number()).then_some(t)
    });
    assert_eq!(tree["senders"].as_array().map(Vec::len), Some(1), "{tree}");
    assert!(tree["senders"][0]["samples"].as_u64() > Some(50) && tree["senders"][0]["newestSample"].is_number(), "{tree}");
    assert_eq!(tree["uplinks"][0]["labels"]["site"], "하나", "{tree}");
    assert!(kinds(&central).is_empty());

    // The central is away: when it is back it gets the newest first, and until the rest has come it says that it lacks something that somebody has.
    central.stop();
    sleep(40);
    leaf.kill();
    sleep(8);
    leaf.start();
    central.start();
    let mut seen: Vec<String> = Vec::new();
    wait_for("the backlog to be through", seconds(60), || {
        let now = kinds(&central);
        let filled = now.len() <= 1 && central.value("count_over_time(scrapes_total[2m])").is_some_and(|n| n >= 45.0);
        seen.extend(now);
        filled.then_some(())
    });
    assert!(seen.iter().all(|k| ["soft", "hard", "unknown"].contains(&k.as_str())), "{seen:?}");
    // The eight seconds that the leaf was dead are nobody's.
    let last = wait_for("the gap that remains to be called hard", seconds(40), || Some(kinds(&central)).filter(|k| k == &["hard"]));
    assert_eq!(last, ["hard"]);
    let page = get(&format!("{}/tree", central.url())).expect("answers");
    assert!(page.status == 200 && page.text().contains("async tree()"));
    leaf.stop();
    central.stop();
}

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// By the real promtool; and every series that the rules ask for is one that a server has.
#[test]
fn the_alert_rules_say_what_they_are_to_say() {
    let run = |program: &Path, args: &[&str]| {
        let out = Command::new(program).args(args).current_dir(dashboards()).output().expect("runs");
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success() && said.contains("SUCCESS"), "{} {args:?}: {said}", program.display());
    };
    run(&Server::program(narthex_tests::Kind::Narthex), &["check", "rules", "narthex-alerts.yml"]);
    if let Some(promtool) = peer("promtool") {
        run(&promtool, &["test", "rules", "narthex-alerts_test.yml"]);
    }
    let mut server = Server::narthex("central", &config("", &[], &["- url: http://127.0.0.1:1/api/v1/write\n".to_string()]), &[RECEIVER]);
    server.expect_log(&["failed to send batch, retrying"]);
    server.start();
    // Of senders is told when there is one.
    let labels = [("__name__", "sent_total")];
    let answer = crate::wire::push(&server, &[crate::wire::Series { labels: &labels, samples: &[(narthex_tests::now() as i64 * 1000, 1.0)] }]);
    assert_eq!(answer.status, 204, "{}", answer.text());
    let page = get(&format!("{}/metrics", server.url())).expect("answers").text();
    let rules = std::fs::read_to_string(dashboards().join("narthex-alerts.yml")).expect("rules");
    let mut asked = 0;
    for word in rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| w.starts_with("narthex_")) {
        // What is counted by reason is there when something was: see `a_refused_series_does_not_stop_the_others`.
        let there = page.contains(&format!("# TYPE {word} ")) || word == "narthex_uplink_refused_samples_total";
        assert!(there, "the rules ask for {word}, which no server has");
        asked += 1;
    }
    assert!(asked >= 7, "{asked}");
    server.stop();
}
