//! reload: a new job and new labels by SIGHUP and over HTTP, without a lost scrape of the old ones; a broken file is refused and changes nothing.

use crate::tools::{LARGEST_HOLE_MS, assert_every_scrape, config, data, job, own_metric, points, seconds, sleep, wait_for_points};
use narthex_tests::{CounterTarget, Server, post_form, wait_for};

fn reload(server: &Server) -> narthex_tests::Answer {
    post_form(&format!("{}/-/reload", server.url()), &[]).expect("answers")
}

fn config_in_force(server: &Server) -> String {
    data(&server.api("status/config", &[]))["yaml"].as_str().expect("text").to_string()
}

#[test]
fn a_new_job_and_new_labels() {
    let (old, new) = (CounterTarget::start(10), CounterTarget::start(10));
    let first = job("서버-1", &old.address, "class: \"6반\"");
    let mut server = Server::narthex("server", &config("", std::slice::from_ref(&first), &[]), &["--web.enable-lifecycle"]);
    server.expect_log(&["Error reloading config"]);
    server.start();
    wait_for_points(&server, "scrapes_total", 3);

    // SIGHUP: a job more.
    server.configure(&config("", &[first.clone(), job("서버-2", &new.address, "class: \"7반\"")], &[]));
    server.hang_up();
    wait_for_points(&server, r#"scrapes_total{class="7반"}"#, 3);
    // HTTP: other labels for its target.
    let changed = config("", &[first.clone(), job("서버-2", &new.address, "class: \"7반\", grade: \"2학년\"")], &[]);
    server.configure(&changed);
    let answer = reload(&server);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    wait_for_points(&server, r#"scrapes_total{class="7반",grade="2학년"}"#, 3);
    let in_force = config_in_force(&server);
    assert!(in_force.contains("grade: 2학년"), "{in_force}");
    // The series with the old labels has ended: a staleness marker stands at its end.
    wait_for("the old series to end", seconds(10), || (server.value(r#"count(scrapes_total{class="7반",grade=""})"#).is_none()).then_some(()));

    // Broken in three manners; each refused with its place, and the old one stays.
    for (broken, place) in [
        ("global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n", "line 5"),
        ("scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [\"x\n", "line "),
        ("scrape_configs:\n- job_name: a\n- job_name: a\n", "found multiple scrape configs with job name \"a\""),
    ] {
        server.configure(broken);
        let answer = reload(&server);
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert!(answer.text().starts_with("failed to reload config: "), "{}", answer.text());
        assert!(answer.text().contains(place) && answer.text().contains("prometheus.yml"), "{place}: {}", answer.text());
        assert_eq!(config_in_force(&server), in_force);
        assert_eq!(own_metric(&server, "prometheus_config_last_reload_successful"), 0.0);
    }
    let before = server.log().matches("Error reloading config").count();
    server.hang_up();
    wait_for("SIGHUP to be refused", seconds(10), || (server.log().matches("Error reloading config").count() > before).then_some(()));
    assert_eq!(config_in_force(&server), in_force);
    let now_held = points(&server, r#"scrapes_total{grade="2학년"}"#).len();
    wait_for_points(&server, r#"scrapes_total{grade="2학년"}"#, now_held + 2);
    server.configure(&changed);
    assert_eq!(reload(&server).status, 200);
    assert_eq!(own_metric(&server, "prometheus_config_last_reload_successful"), 1.0);
    sleep(2);

    // Through all of it the old job lost nothing and scraped nothing twice.
    let kept = points(&server, r#"scrapes_total{class="6반"}"#);
    assert_every_scrape(&kept);
    assert!(kept.windows(2).all(|w| w[1].0 - w[0].0 <= LARGEST_HOLE_MS), "a scrape came late: {kept:?}");
    assert!(old.scrapes() as f64 - kept.last().expect("samples").1 <= 1.0);
    server.stop();
}

#[test]
fn over_http_only_when_allowed() {
    let mut server = Server::narthex("server", &config("", &[], &[]), &[]);
    server.start();
    let answer = reload(&server);
    assert_eq!((answer.status, answer.text().as_str()), (403, "Lifecycle API is not enabled."));
    server.stop();
}
