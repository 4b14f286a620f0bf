//! Three levels: a pair, a single leaf and a forward-only leaf below a relay below a central. Any process is killed at any time and comes back a little later.

use crate::pair;
use crate::relay::relay_of;
use crate::system::{Outcome, System, central_of, compare};
use narthex_tests::{CounterTarget, Server, now};
use std::time::{Duration, Instant};

/// Chance from a seed, so that a run can be told again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Debug)]
pub struct TreeOutcome {
    pub kills: u64,
    pub kills_of_agent: u64,
    pub pair: pair::PairOutcome,
    pub single: Outcome,
    pub agent: Outcome,
}

impl TreeOutcome {
    pub fn assert_nothing_missing(&self) {
        self.pair.assert_one_series();
        assert_eq!((self.single.stored_missing, self.single.doubled), (Some(0), 0), "{:?}", self.single);
        self.agent.assert_only_under_way(self.kills_of_agent);
    }

    pub fn short(&self) -> String {
        let s = &self.single;
        format!(
            "{} kills. Pair: {}. Single leaf: {} of {} stored. Forward-only leaf: {} scraped, killed {} times",
            self.kills,
            self.pair.short(),
            s.stored_missing.unwrap_or(0),
            s.stored,
            self.agent.scraped_missing,
            self.kills_of_agent
        )
    }
}

pub fn killed_at_random(seconds: u64, seed: u64) -> TreeOutcome {
    let (n, agent) = (System::NARTHEX, System::AGENT);
    let here = "our own binary";
    let targets: Vec<CounterTarget> = (0..3).map(|_| CounterTarget::start(30)).collect();
    let mut central = central_of(n.central, "central", &[]).expect(here);
    central.start();
    let mut relay = relay_of(&n, &central.url()).expect(here);
    relay.start();
    let leaf = |of: &System, name: &str, external: &str, target: usize| {
        let mut l = of.leaf(name, external, &targets[target].address, &relay.url(), &[]).expect(here);
        l.start();
        l
    };
    let a = leaf(&n, "a", "__replica__: a, which: pair", 0);
    let b = leaf(&n, "b", "__replica__: b, which: pair", 0);
    let c = leaf(&n, "c", "which: single", 1);
    let d = leaf(&agent, "d", "which: agent", 2);
    let began = Instant::now();
    let mut all: Vec<Server> = vec![central, relay, a, b, c, d];
    narthex_tests::wait_for("all leaves at the central", Duration::from_secs(60), || {
        Some(()).filter(|()| all[0].value("count(scrapes_total)") == Some(3.0) && all[0].value("min(scrapes_total)").is_some_and(|v| v >= 8.0))
    });
    let mut chance = Chance(seed | 1);
    let (mut kills, mut kills_of_agent) = (0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let at = chance.below(all.len() as u64) as usize;
        // Both of a pair at once is a hole of their own.
        let server = &mut all[at];
        server.kill();
        kills += 1;
        kills_of_agent += u64::from(at == 5);
        std::thread::sleep(Duration::from_millis(chance.below(4000)));
        server.start();
        std::thread::sleep(Duration::from_millis(500 + chance.below(6000)));
    }
    std::thread::sleep(Duration::from_secs(5));
    judge(&all, began, Duration::from_secs(90), kills, kills_of_agent)
}

fn of(server: &Server, which: &str, back: u64) -> Vec<(i64, f64)> {
    // A leaf's own series have no external labels.
    let selector = if server.name.len() == 1 { "scrapes_total".to_string() } else { format!("scrapes_total{{which=\"{which}\"}}") };
    let mut all: Vec<(i64, f64)> = server.samples(&selector, back).into_iter().flat_map(|s| s.1).collect();
    all.sort_by_key(|p| p.0);
    all
}

fn judge(all: &[Server], began: Instant, at_most: Duration, kills: u64, kills_of_agent: u64) -> TreeOutcome {
    let end = Instant::now() + at_most;
    let [central, _, a, b, c, _] = all else { unreachable!("six servers") };
    loop {
        let back = began.elapsed().as_secs() + 60;
        let single = compare(&of(central, "single", back), Some(&of(c, "single", back)));
        let agent = compare(&of(central, "agent", back), None);
        let held = [of(a, "pair", back), of(b, "pair", back)];
        let pair = pair::look_at(of(central, "pair", back), 1, &held);
        let o = TreeOutcome { kills, kills_of_agent, pair, single, agent };
        let newest = central.value("min(timestamp(scrapes_total))").unwrap_or(0.0);
        let complete = o.single.stored_missing == Some(0) && o.pair.holes.is_empty() && o.agent.scraped_missing <= kills_of_agent;
        if (complete && now() - newest < 6.0) || Instant::now() > end {
            return o;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
