//! leaf -> relay -> central. The relay is away for a while; when it is back and the leaf catches up, it is killed.

use crate::system::{Outcome, System, central_of, compare, counter};
use crate::tools::{config, sleep};
use narthex_tests::{CounterTarget, Kind, Server, now};
use std::time::{Duration, Instant};

const EXPECTED: [&str; 3] = ["failed to send batch, retrying", "a lock file from a previous execution was replaced", "flush deadline reached"];

/// A relay that writes to the parent. VictoriaMetrics' relay is vmagent, which receives as well.
pub fn relay_of(system: &System, parent_url: &str) -> Option<Server> {
    let url = format!("{parent_url}/api/v1/write");
    if system.leaf == Kind::Vmagent {
        let to = format!("-remoteWrite.url={url}");
        return Server::new(Kind::Vmagent, "relay", "scrape_configs: []\n", &[&to]);
    }
    let uplink = format!("- url: {url}\n  queue_config: {{batch_send_deadline: 200ms, max_backoff: 1s}}\n");
    let mut relay = central_of(system.central, "relay", &[])?;
    relay.configure(&config("", &[], &[uplink]));
    relay.expect_log(&EXPECTED);
    Some(relay)
}

pub fn killed_during_catch_up(system: &System, down: u64) -> Option<Outcome> {
    let target = CounterTarget::start(200);
    let mut central = central_of(system.central, "central", &[])?;
    central.start();
    let mut relay = relay_of(system, &central.url())?;
    relay.start();
    let mut leaf = system.leaf("leaf", "site: \"x\"", &target.address, &relay.url(), &[])?;
    leaf.start();
    let began = Instant::now();
    narthex_tests::wait_for("the first samples at the central", Duration::from_secs(60), || Some(()).filter(|()| counter(&central, 60).len() >= 5));
    // The central is away too, so that the relay has something to lose when it is killed.
    central.stop();
    relay.stop();
    sleep(down);
    relay.start();
    sleep(3);
    relay.kill();
    relay.start();
    sleep(2);
    central.start();
    let end = Instant::now() + Duration::from_secs(50);
    loop {
        let back = began.elapsed().as_secs() + 60;
        let held = (system.leaf != Kind::Vmagent).then(|| counter(&leaf, back));
        let there = counter(&central, back);
        let o = compare(&there, held.as_ref());
        let fresh = there.last().is_some_and(|p| now() * 1000.0 - p.0 as f64 <= 4000.0);
        if (fresh && o.stored_missing.unwrap_or(o.scraped_missing) == 0) || Instant::now() > end {
            return Some(o);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
