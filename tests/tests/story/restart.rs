//! restart: kill -9 of a central under load. What it acknowledged is there after the second start.

use crate::tools::{RECEIVER, assert_all_arrives, assert_every_scrape, config, job, own_metric, points, sleep, uplink, wait_for_points};
use crate::wire::{self, Series};
use narthex_tests::{CounterTarget, Server, now};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn a_central_dies_under_load() {
    let target = CounterTarget::start(400);
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.expect_log(&["a lock file from a previous execution was replaced"]);
    central.start();
    let text = config("class: \"6반\"", &[job("서버-1", &target.address, "")], &[uplink(&central)]);
    let mut leaf = Server::narthex("leaf", &text, &[]);
    leaf.expect_log(&["failed to send batch, retrying"]);
    leaf.start();
    wait_for_points(&central, "scrapes_total", 5);

    for _ in 0..2 {
        // A sender that keeps nothing: what it was told 2xx about must be there.
        let acknowledged: Arc<Mutex<Vec<(i64, f64)>>> = Arc::default();
        let dead = AtomicBool::new(false);
        let url = central.url();
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut n = 0.0;
                while !dead.load(Ordering::Acquire) {
                    n += 1.0;
                    let sample = ((now() * 1000.0) as i64, n);
                    let one = [Series { labels: &[("__name__", "said_yes_to")], samples: &[sample] }];
                    let body = wire::snappy(&wire::write_request(&one));
                    if wire::try_post(&url, &body).is_ok_and(|a| a.status == 204) {
                        acknowledged.lock().expect("not poisoned").push(sample);
                    }
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            });
            sleep(3);
            central.kill();
            dead.store(true, Ordering::Release);
        });
        sleep(2);
        central.start();
        assert!(own_metric(&central, "prometheus_tsdb_data_replay_duration_seconds") > 0.0, "the second start replays");
        let said = acknowledged.lock().expect("not poisoned");
        assert!(said.len() > 50, "{} requests in 3 s are no load", said.len());
        let there = points(&central, "said_yes_to");
        let lost: Vec<_> = said.iter().filter(|p| !there.contains(p)).collect();
        assert!(lost.is_empty(), "{} of {} acknowledged samples are gone: {lost:?}", lost.len(), said.len());
        let counter = points(&central, "scrapes_total").len();
        wait_for_points(&central, "scrapes_total", counter + 5);
    }

    let there = assert_all_arrives(&leaf, &central, r#"{job="서버-1"}"#, &json!({"class": "6반"}));
    assert_eq!(there.len(), 1 + 400 + 5);
    assert_every_scrape(&points(&central, "scrapes_total"));
    leaf.stop();
    central.stop();
    central.start();
    assert_every_scrape(&points(&central, "scrapes_total"));
    central.stop();
}
