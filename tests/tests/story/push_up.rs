//! push up: a leaf writes to a central, which takes it only when told to.

use crate::tools::{RECEIVER, assert_all_arrives, assert_every_scrape, config, job, points, uplink, wait_for_points};
use crate::wire::{self, Series};
use narthex_tests::{CounterTarget, Kind, Server, now, vector};
use serde_json::json;

#[test]
fn a_leaf_pushes_to_a_central() {
    let (with_class, without) = (CounterTarget::start(20), CounterTarget::start(20));
    let mut central = Server::narthex("central", &config("site: \"본사\"", &[], &[]), &[RECEIVER]);
    central.start();
    let jobs = [job("서버-1", &with_class.address, "class: \"6반\""), job("서버-2", &without.address, "")];
    let mut leaf = Server::narthex("leaf", &config("class: \"9반\", school: \"학교\"", &jobs, &[uplink(&central)]), &[]);
    leaf.start();
    wait_for_points(&central, r#"scrapes_total{job="서버-1"}"#, 8);

    // All of it arrives, with the leaf's labels where the series has none of its own, and only on the way.
    let added = json!({"class": "9반", "school": "학교"});
    assert_all_arrives(&leaf, &central, r#"{job=~"서버-.*"}"#, &added);
    assert_every_scrape(&points(&central, r#"scrapes_total{class="6반",school="학교"}"#));
    assert_every_scrape(&points(&central, r#"scrapes_total{class="9반",school="학교"}"#));
    assert_eq!(vector(&leaf.query(r#"{school!=""}"#)).len(), 0, "external labels are for the way up");
    // The central's own external labels are for its own way up.
    assert_eq!(vector(&central.query(r#"{site!=""}"#)).len(), 0);
    leaf.stop();
    central.stop();
}

/// The answer of a server that was not told to receive.
fn refuses(kind: Kind) -> Option<(u16, String)> {
    let mut server = Server::new(kind, "closed", &config("", &[], &[]), &[])?;
    server.start();
    let answer = wire::push(&server, &[Series { labels: &[("__name__", "m")], samples: &[((now() * 1000.0) as i64, 1.0)] }]);
    assert_eq!(vector(&server.query("m")).len(), 0);
    server.stop();
    Some((answer.status, answer.text()))
}

#[test]
fn without_the_flag_nothing_is_taken() {
    let ours = refuses(Kind::Narthex).expect("our own binary");
    assert_eq!(ours.0, 404);
    assert!(ours.1.contains(RECEIVER), "{}", ours.1);
    let Some(theirs) = refuses(Kind::Prometheus) else { return };
    assert_eq!(ours, theirs);
}
