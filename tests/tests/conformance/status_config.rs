//! `/api/v1/status/config` beside a real Prometheus: each of the reference's good files and of the operator's is reloaded by both, and what
//! they give back must be the same text.
//!
//! Narthex writes back what 3.14 does; what 3.14 writes and 3.5 does not is named here.

use super::{data, files};
use narthex_tests::{Kind, Server, get, post_form};
use std::path::Path;

/// Lines of ours that 3.5 has no key for.
const SINCE_3_5: [&str; 8] = [
    "scrape_native_histograms: false",
    "extra_scrape_metrics: false",
    "label_name_underscore_sanitization: true",
    "label_name_preserve_multiple_underscores: true",
    "namespace: false",
    "job: false",
    "deployment: false",
    "cronjob: false",
];

/// 3.5 writes it into the global section always, 3.14 only what was said.
const DEFAULT_PROTOCOLS: &str = "  scrape_protocols:\n  - OpenMetricsText1.0.0\n  - OpenMetricsText0.0.1\n  - PrometheusText1.0.0\n  - PrometheusText0.0.4\n  evaluation_interval";

/// Of an `otlp:` that says nothing 3.5 writes back nothing, Narthex the defaults that are in force.
const EMPTY: [&str; 2] = ["otlp_empty.yml", "otlp_sanitize_default_resource_attributes.good.yml"];

/// Taken by 3.5, refused here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("service discovery is not supported by this server", "a discovery that is not built"),
    ("missing protocol scheme", "a remote write URL without a scheme, to which nothing could ever be sent"),
    ("is not supported yet", "an authentication that is not built"),
];

fn reload(s: &Server) -> (u16, String) {
    let answer = post_form(&format!("{}/-/reload", s.url()), &[]).expect("answers");
    (answer.status, answer.text())
}

fn in_force(s: &Server) -> String {
    let answer = get(&format!("{}/api/v1/status/config", s.url())).expect("answers").json();
    let text = answer["data"]["yaml"].as_str().expect("text").to_string();
    text.replace(&s.path().display().to_string(), "DIR")
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder").map(|e| e.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

#[test]
fn gives_back_what_prometheus_gives_back() {
    let (Some(config), Some(operator)) = (data("config"), data("operator")) else { return };
    let Some(mut real) = Server::new(Kind::Prometheus, "real", "", &["--web.enable-lifecycle"]) else { return };
    let mut ours = Server::narthex("ours", "", &["--web.enable-lifecycle"]);
    // What the files name is mostly not there.
    ours.expect_log(&["level="]);
    for s in [&mut real, &mut ours] {
        copy(&config, s.path());
        s.start();
    }
    let good = files(&config, &[".yml"]).into_iter().filter(|f| !f.contains(".bad.") && !f.contains('/')).map(|f| config.join(f));
    let all: Vec<_> = good.chain(files(&operator, &[".golden"]).into_iter().map(|f| operator.join(f))).collect();
    let (mut equal, mut refused, mut wrong) = (0, 0, Vec::new());
    for path in all.iter().filter(|p| !EMPTY.iter().any(|e| p.ends_with(e))) {
        let text = std::fs::read_to_string(path).expect("the file");
        real.configure(&text);
        if reload(&real).0 != 200 {
            continue;
        }
        ours.configure(&text);
        let (status, why) = reload(&ours);
        if status != 200 {
            match REFUSED.iter().any(|(part, _)| why.contains(part)) {
                true => refused += 1,
                false => wrong.push(format!("{}: refused: {why}", path.display())),
            }
            continue;
        }
        let (theirs, mine) = (in_force(&real), in_force(&ours));
        // Where it was said in the global section both have it there.
        let global = |text: &str| text.split("\nruntime:").next().unwrap_or_default().contains("\n  scrape_protocols:\n");
        let theirs = if global(&mine) { theirs } else { theirs.replacen(DEFAULT_PROTOCOLS, "  evaluation_interval", 1) };
        // 3.14 fills in the scheme of names where the section says nothing about it.
        let scheme = "\n  metric_name_validation_scheme: utf8";
        let says = |text: &str| text.split("\nruntime:").next().unwrap_or_default().contains(scheme);
        let mine = if says(&mine) && !says(&theirs) { mine.replacen(scheme, "", 1) } else { mine };
        let lines = |text: &str| -> Vec<String> {
            let known = |l: &&str| !SINCE_3_5.contains(&l.trim_start());
            text.lines().filter(known).map(str::to_string).collect()
        };
        let (theirs, mine) = (lines(&theirs), lines(&mine));
        if theirs == mine {
            equal += 1;
        } else {
            let at = theirs.iter().zip(&mine).position(|(a, b)| a != b).unwrap_or(theirs.len().min(mine.len()));
            wrong.push(format!("{}: line {at}: theirs {:?}, ours {:?}", path.display(), theirs.get(at), mine.get(at)));
        }
    }
    eprintln!("status/config: {equal} equal, {refused} refused here for a reason that is listed");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(equal > 200, "only {equal} compared");
}
