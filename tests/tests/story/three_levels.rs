//! three levels: leaf -> relay -> central; the relay receives, scrapes for itself and forwards both.

use crate::tools::{RECEIVER, assert_all_arrives, assert_every_scrape, config, job, points, uplink, wait_for_points};
use narthex_tests::{CounterTarget, Server};
use serde_json::json;

#[test]
fn a_relay_receives_and_forwards() {
    let (below, beside) = (CounterTarget::start(20), CounterTarget::start(0));
    let mut central = Server::narthex("central", &config("", &[], &[]), &[RECEIVER]);
    central.start();
    let own = job("중계", &beside.address, "");
    let mut relay = Server::narthex("relay", &config("region: \"서울\", class: \"중계\"", &[own], &[uplink(&central)]), &[RECEIVER]);
    relay.start();
    let of_leaf = job("서버-1", &below.address, "grade: \"1학년\"");
    let mut leaf = Server::narthex("leaf", &config("class: \"6반\"", &[of_leaf], &[uplink(&relay)]), &[]);
    leaf.start();
    wait_for_points(&central, r#"scrapes_total{job="서버-1"}"#, 8);

    assert_all_arrives(&leaf, &relay, r#"{job="서버-1"}"#, &json!({"class": "6반"}));
    assert_all_arrives(&leaf, &central, r#"{job="서버-1"}"#, &json!({"class": "6반", "region": "서울"}));
    assert_all_arrives(&relay, &central, r#"{job="중계"}"#, &json!({"class": "중계", "region": "서울"}));
    assert_every_scrape(&points(&central, r#"scrapes_total{class="6반"}"#));
    assert_every_scrape(&points(&central, r#"scrapes_total{class="중계"}"#));
    leaf.stop();
    relay.stop();
    central.stop();
}
