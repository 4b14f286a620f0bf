//! What stands at both ends, and how what arrived is judged.

use crate::tools::{Points, RECEIVER, config, job};
use narthex_tests::{CounterTarget, Kind, Server, get, now};
use std::time::{Duration, Instant};

/// Log lines that are to be expected when processes are killed and links are cut.
const EXPECTED: [&str; 8] = [
    "failed to send batch, retrying",
    "a lock file from a previous execution was replaced",
    "the log was cut before it was sent",
    "the log no longer holds what was not sent",
    "log is over its budget",
    "flush deadline reached",
    "damaged place in the log",
    "part of the log cannot be read",
];

/// A leaf and a central of one make.
#[derive(Clone, Copy, Debug)]
pub struct System {
    pub name: &'static str,
    pub leaf: Kind,
    pub central: Kind,
    /// The leaf is forward-only.
    pub agent: bool,
}

impl System {
    pub const NARTHEX: System = System { name: "Narthex", leaf: Kind::Narthex, central: Kind::Narthex, agent: false };
    pub const AGENT: System = System { name: "Narthex, forward-only leaf", leaf: Kind::Narthex, central: Kind::Narthex, agent: true };
    pub const PROMETHEUS: System = System { name: "Prometheus", leaf: Kind::Prometheus, central: Kind::Prometheus, agent: false };
    pub const VICTORIA: System = System { name: "vmagent, VictoriaMetrics", leaf: Kind::Vmagent, central: Kind::VictoriaMetrics, agent: false };

    pub fn central(&self) -> Option<Server> {
        central_of(self.central, "central", &[])
    }

    /// Can the leaf be asked what it stored?
    fn leaf_stores(&self) -> bool {
        !self.agent && self.leaf != Kind::Vmagent
    }

    /// A leaf that scrapes the target as job `node` and writes to the parent.
    pub fn leaf(&self, name: &str, external: &str, target: &str, parent_url: &str, more: &[&str]) -> Option<Server> {
        let url = format!("{parent_url}/api/v1/write");
        let uplink = format!("- url: {url}\n  queue_config: {{batch_send_deadline: 200ms, max_backoff: 1s, capacity: 1000, max_shards: 4}}\n");
        let uplinks = if self.leaf == Kind::Vmagent { Vec::new() } else { vec![uplink] };
        // vmagent knows no evaluation interval.
        let text = config(external, &[job("node", target, "")], &uplinks).replace("  evaluation_interval: 1s\n", "");
        let to = format!("-remoteWrite.url={url}");
        let mut args = more.to_vec();
        if self.leaf == Kind::Vmagent {
            args.push(&to);
        }
        if self.agent {
            args.push("--agent");
        }
        let mut leaf = Server::new(self.leaf, name, &text, &args)?;
        leaf.expect_log(&EXPECTED);
        Some(leaf)
    }
}

pub fn central_of(kind: Kind, name: &str, more: &[&str]) -> Option<Server> {
    let mut args = more.to_vec();
    match kind {
        Kind::VictoriaMetrics => args.push("-search.latencyOffset=0s"),
        _ => args.push(RECEIVER),
    }
    let mut central = Server::new(kind, name, &config("", &[], &[]), &args)?;
    central.expect_log(&EXPECTED);
    Some(central)
}

/// What became of the scrapes of one counter.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Scrapes between the first and the last at the central that it has not.
    pub scraped_missing: u64,
    /// Of what the leaf stored; None when it cannot be asked.
    pub stored_missing: Option<u64>,
    pub stored: u64,
    pub doubled: u64,
    /// Places at which scrapes are missing.
    pub holes: u64,
    pub longest_hole_seconds: f64,
    /// More to say of it.
    pub note: String,
    detail: String,
}

impl Outcome {
    pub fn assert_nothing_missing(&self) {
        assert_eq!((self.scraped_missing, self.stored_missing.unwrap_or(0), self.doubled), (0, 0, 0), "{}", self.detail);
    }

    /// Each kill may cost the scrape that was under way: the target has counted it, the leaf has not stored it.
    pub fn assert_only_under_way(&self, kills: u64) {
        assert_eq!((self.stored_missing.unwrap_or(0), self.doubled), (0, 0), "{}", self.detail);
        assert!(self.scraped_missing <= kills, "{}", self.detail);
    }

    /// After a power cut the leaf has lost what it had not synced, which the central may have: nothing that the leaf has now may be missing, and each cut is one hole.
    pub fn assert_goes_on_after(&self, cuts: u64) {
        assert_eq!((self.stored_missing.unwrap_or(0), self.doubled), (0, 0), "{}", self.detail);
        assert!(self.holes <= cuts, "{} holes in {}", self.holes, self.detail);
    }

    pub fn short(&self) -> String {
        let mut out = match self.stored_missing {
            Some(n) => format!("{n} of {} stored", self.stored),
            None => format!("{} scraped", self.scraped_missing),
        };
        if self.stored_missing.is_some() && self.scraped_missing > 0 {
            out.push_str(&format!(" ({} scraped)", self.scraped_missing));
        }
        if self.doubled > 0 {
            out.push_str(&format!(", {} doubled", self.doubled));
        }
        if !self.note.is_empty() {
            out.push_str(&format!("; {}", self.note));
        }
        out
    }
}

pub const COUNTER: &str = "scrapes_total{job=\"node\"}";

/// Points of the counter. VictoriaMetrics shows what it has in memory only when asked to.
pub fn counter(server: &Server, seconds: u64) -> Points {
    if server.kind == Kind::VictoriaMetrics {
        let _ = get(&format!("{}/internal/force_flush", server.url()));
    }
    let mut all: Points = server.samples(COUNTER, seconds).into_iter().flat_map(|s| s.1).collect();
    all.sort_by_key(|p| p.0);
    all
}

/// Waits until the central is up to date and lacks nothing, or until it is of no use to wait any longer; then judges.
pub fn judge(system: &System, leaf: &Server, central: &Server, began: Instant, at_most: Duration) -> Outcome {
    let end = Instant::now() + at_most;
    loop {
        let seconds = began.elapsed().as_secs() + 60;
        let there = counter(central, seconds);
        let held = if system.leaf_stores() { Some(counter(leaf, seconds)) } else { None };
        let fresh = there.last().is_some_and(|p| now() * 1000.0 - p.0 as f64 <= 4000.0);
        let o = compare(&there, held.as_ref());
        let done = fresh && o.stored_missing.unwrap_or(o.scraped_missing) == 0;
        if done || Instant::now() > end {
            return o;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

pub fn compare(there: &Points, held: Option<&Points>) -> Outcome {
    let mut o = Outcome { detail: format!("at the central: {there:?}\nat the leaf: {held:?}"), ..Outcome::default() };
    for w in there.windows(2) {
        let step = w[1].1 - w[0].1;
        o.scraped_missing += (step - 1.0).max(0.0) as u64;
        o.holes += u64::from(step > 1.0);
        o.doubled += u64::from(step < 1.0);
        o.longest_hole_seconds = o.longest_hole_seconds.max((w[1].0 - w[0].0) as f64 / 1000.0);
    }
    if let (Some(held), Some(first)) = (held, there.first()) {
        // The newest may still be on its way.
        let until = (now() * 1000.0) as i64 - 3000;
        let due: Vec<_> = held.iter().filter(|p| p.0 >= first.0 && p.0 <= until).collect();
        o.stored = due.len() as u64;
        o.stored_missing = Some(due.iter().filter(|p| !there.contains(p)).count() as u64);
    }
    o
}

/// Both ends at work.
pub struct Two {
    /// Lives as long as it is scraped.
    _target: CounterTarget,
    pub central: Server,
    pub leaf: Server,
    pub began: Instant,
}

impl Two {
    /// Started, and something has arrived. None when a peer is missing (which has been said).
    pub fn start(system: &System, series: usize, leaf_args: &[&str]) -> Option<Two> {
        let target = CounterTarget::start(series);
        let mut central = system.central()?;
        central.start();
        let mut leaf = system.leaf("leaf", "site: \"x\"", &target.address, &central.url(), leaf_args)?;
        leaf.start();
        let began = Instant::now();
        narthex_tests::wait_for("the first samples at the central", Duration::from_secs(60), || {
            Some(()).filter(|()| counter(&central, 120).len() >= 5)
        });
        Some(Two { _target: target, central, leaf, began })
    }

    pub fn judge(&self, system: &System, at_most: u64) -> Outcome {
        judge(system, &self.leaf, &self.central, self.began, Duration::from_secs(at_most))
    }
}
