//! Stories of pairs, told in seconds: a letter is a replica, a number the time of its sample (which is also its value, as of a counter that rises
//! by one each second), `!` behind it a staleness marker, `0` an `up` of 0.

use super::super::memory_store::MemoryStore;
use super::super::{Answer, ReceiveOptions, Receiver, Request};
use crate::wire::body::{Compressor, ContentEncoding};
use crate::wire::{FloatSample, HistogramAt, SeriesOut, write1};
use model::{Histogram, Labels};
use proptest::prelude::*;
use std::sync::Arc;
use stdx::clock::ManualClock;
use stdx::metrics::Registry;
use stdx::rand::Rand;
use storage::HistogramSample;

struct Central {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    receiver: Receiver,
}

impl Central {
    fn new() -> Self {
        let (store, clock) = (MemoryStore::shared(), ManualClock::at_ms(1_000_000_000));
        Central { receiver: Self::receiver(&store, &clock), store, clock }
    }

    fn receiver(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>) -> Receiver {
        Receiver::new(Arc::clone(store) as _, ReceiveOptions::default(), &Registry::new(clock.clone()), clock.clone())
    }

    fn restart(&mut self) {
        self.receiver = Self::receiver(&self.store, &self.clock);
    }

    fn post(&self, body: &[u8]) -> Answer {
        let mut packed = Vec::new();
        Compressor::new().compress(ContentEncoding::Snappy, body, &mut packed).expect("compress");
        self.receiver.handle(&Request { content_type: "", content_encoding: "", sender: "t", only_labels: &[], body: &packed })
    }

    fn send(&self, metric: &str, replica: &str, samples: &[FloatSample]) -> Answer {
        let mut body = Vec::new();
        let labels = Labels::from_pairs([("__name__", metric), ("__replica__", replica)]);
        write1::put_series(&mut body, &SeriesOut { labels: labels.as_ref(), samples, histograms: &[], exemplars: &[], metadata: None });
        self.post(&body)
    }

    /// Nobody is heard of for a long while.
    fn flush(&self) {
        let now_ms = stdx::clock::Clock::now_ms(self.clock.as_ref()) + 3_600_000;
        self.receiver.tick(now_ms);
    }

    fn stored(&self, metric: &str) -> Vec<(i64, f64)> {
        self.store.samples(&format!("{{__name__=\"{metric}\"}}"))
    }
}

/// Plays words like `a15` (a sends its sample of second 15), `b22!`, `a30z` (`up` is 0), `restart`, `fail` / `heal` (of the storage), `flush`.
fn play(metric: &str, story: &str) -> String {
    let mut c = Central::new();
    for word in story.split_whitespace() {
        match word {
            "restart" => c.restart(),
            "fail" => c.store.fail_commits(true),
            "heal" => c.store.fail_commits(false),
            "flush" => c.flush(),
            _ => {
                let (replica, rest) = word.split_at(1);
                let digits = rest.trim_end_matches(['!', 'z']);
                let seconds: f64 = digits.parse().expect("a time");
                let v = match &rest[digits.len()..] {
                    "!" => model::sample::stale_nan(),
                    "z" => 0.0,
                    _ => seconds,
                };
                c.send(metric, replica, &[FloatSample { t_ms: (seconds * 1000.0) as i64, v, start_ms: 0 }]);
            }
        }
    }
    let shown: Vec<String> = c
        .stored(metric)
        .iter()
        .map(|(t, v)| {
            let mark = if model::sample::is_stale_nan(*v) {
                "!"
            } else if *v == 0.0 && *t != 0 {
                "z"
            } else {
                ""
            };
            format!("{}{mark}", *t as f64 / 1000.0)
        })
        .collect();
    shown.join(" ")
}

fn check(story: &str, stored: &str) {
    assert_eq!(play("m", story), stored, "{story}");
}

#[test]
fn the_first_replica_owns_and_the_other_is_covered() {
    check("a0 b7 a15 b22 a30 b37 a45", "0 15 30 45");
    check("a0 a15 b7 a30 b22 a45 b37", "0 15 30 45");
    // The very first samples: no interval is known, so nothing near is taken twice.
    check("a10 b3", "10");
    check("a110 b3 a95", "3 95 110");
}

#[test]
fn a_missed_scrape_is_filled_with_what_was_held() {
    check("a0 a15 b22 a30 b37 b52 a60", "0 15 30 52 60");
    check("a0 a15 b24 a30 b39 b54 a60", "0 15 30 39 54");
    check("a0 a15 a30 b37 b52 b67 a90", "0 15 30 52 67 90");
}

#[test]
fn ownership_moves_when_the_owner_is_silent_in_the_datas_time() {
    check("a0 a15 b22 a30 b37 b52", "0 15 30");
    check("a0 a15 b22 a30 b37 b52 b67", "0 15 30 52 67");
    check("a0 a15 b22 a30 b37 b52 b67 b82 a90 a105 b97", "0 15 30 52 67 82 90 105");
}

#[test]
fn the_owner_comes_back_and_is_the_standby_then() {
    check("a0 a15 b22 a30 b37 b52 b67 b82 a90 b97 a105 b112 a120 a135 a150", "0 15 30 52 67 82 97 112 120 135 150");
}

#[test]
fn late_samples_fill_holes_and_only_holes() {
    // Both were cut off; the newest came first, then both backlogs.
    check("a0 a15 a30 b37 a120 a135 b127 a45 a60 a75 a90 a105 b52 b67 b82", "0 15 30 45 60 75 90 105 120 135");
    check("a0 a15 a30 a120 a135 b52 b67 b82 b97 b112 a45 a60", "0 15 30 52 67 82 97 112 120 135");
    // One of them was down: its hole is filled by the other's backlog.
    check("a0 a15 a30 a75 a90 b7 b22 b37 b52 b67 b82", "0 15 30 52 67 75 90");
}

#[test]
fn a_first_distance_over_a_hole_is_no_interval() {
    // The newest came first, as after a cut, and the series was not known any more.
    check("a0 a30 a15 a45", "0 15 30 45");
    check("a0 a45 a15 a30 a60", "0 15 30 45 60");
}

#[test]
fn replicas_of_one_name_may_have_different_intervals() {
    let c = Central::new();
    let samples =
        |seconds: &[i64]| -> Vec<FloatSample> { seconds.iter().map(|s| FloatSample { t_ms: s * 1000, v: *s as f64, start_ms: 0 }).collect() };
    c.send("fast", "b", &samples(&[0, 5, 10]));
    c.send("fast", "a", &samples(&[2, 7]));
    for (replica, second) in [("a", 0), ("b", 9), ("a", 15), ("b", 24), ("a", 30), ("b", 39), ("a", 45)] {
        c.send("slow", replica, &samples(&[second]));
    }
    assert_eq!(c.stored("slow").iter().map(|(t, _)| t / 1000).collect::<Vec<_>>(), vec![0, 15, 30, 45]);
}

#[test]
fn a_marker_of_the_owner_ends_nothing_that_another_sees() {
    check("a0 b7 a15 b22 a30! b37 b52", "0 15 37 52");
    check("a0 b9 a15 b24 a30! b39 b54", "0 15 24 39 54");
    check("a0 b7 a15 b22 a30! b37!", "0 15 37!");
    check("a0 b7 a15 b22! a30 a45", "0 15 30 45");
    check("a0 a15 a30!", "0 15 30!");
    check("a0 a15 a30! b37 b52", "0 15 30! 37 52");
    // Nor does it bring a second sample into an interval, sent again or late (found by the simulation).
    check("a0 b4 a15 b19 a30! b19 b34", "0 15 34");
    check("a0 b4 a15 a30! b19 b34", "0 15 34");
    // The other is silent too, and the owner sees the target again (found by the simulation).
    check("a0 b7 a15 b22 a30 b37 a45! a60 a75", "0 15 30 45! 60 75");
    check("a0 b7 a15 b22 a30 b37 a45! a60 a75 a90! a105", "0 15 30 45! 60 75 90! 105");
}

#[test]
fn an_up_of_zero_is_no_sight_of_the_target() {
    assert_eq!(play("up", "a5 b12 a20 b27 a35z b42 a50z b57"), "5 20 42 57");
    // Nobody sees it: the zeros are true.
    assert_eq!(play("up", "a5 b12 a20 b27z a35z b42z a50z"), "5 20 35z 50z");
    assert_eq!(play("up", "a5 b12 a20 b27 a35z b42z a50z b57z b72z"), "5 20 42z 57z 72z");
}

#[test]
fn held_samples_survive_a_restart() {
    check("a0 a15 a30 b37 b52 restart b67 b82", "0 15 30 52 67 82");
    check("a0 a15 a30 b37 restart a45 b52 a60", "0 15 30 45 60");
    check("a0 a15 a30 restart b37 a45 a60", "0 15 30 45 60");
}

#[test]
fn held_samples_do_not_wait_for_ever() {
    check("a0 a15 a30 b37 b52 flush", "0 15 30 52");
    check("a0 a15 a30 b37 restart flush", "0 15 30");
    check("a0 a15 a30 b37! flush", "0 15 30");
}

#[test]
fn a_failed_commit_is_forgotten() {
    check("a0 a15 a30 b37 fail a45 b52 heal b52 b67 b82", "0 15 30 52 67 82");
    check("a0 a15 a30 b37 fail b52 b67 heal a45 a60", "0 15 30 45 60");
    check("a0 a15 fail a30 heal a30 a45", "0 15 30 45");
}

#[test]
fn an_interval_may_change() {
    check("a0 a15 a30 b37 a45 a50 a55 a60 b62 a65", "0 15 30 45 50 55 60 65");
    check("a0 a5 a10 a15 a30 a45 a60 a75 a90 b97 a105", "0 5 10 15 30 45 60 75 90 105");
}

#[test]
fn repeats_of_everything_change_nothing() {
    check("a0 a15 b22 a30 a0 a15 b22 b22 a30 b37 b37 a45 b37 a45", "0 15 30 45");
}

#[test]
fn histograms_merge_as_floats_do() {
    let c = Central::new();
    for (replica, second) in [("a", 0), ("a", 15), ("a", 30), ("b", 37), ("b", 52), ("b", 67)] {
        let labels = Labels::from_pairs([("__name__", "h"), ("__replica__", replica)]);
        let h = Histogram { count: 1, sum: second as f64, ..Histogram::default() };
        let at = HistogramAt { t_ms: second * 1000, start_ms: 0, h: HistogramSample::Int(&h) };
        let mut body = Vec::new();
        write1::put_series(&mut body, &SeriesOut { labels: labels.as_ref(), samples: &[], histograms: &[at], exemplars: &[], metadata: None });
        assert_eq!(c.post(&body).status, 204);
    }
    assert_eq!(c.stored("h").iter().map(|(t, _)| t / 1000).collect::<Vec<_>>(), vec![0, 15, 30, 52, 67]);
}

#[test]
fn a_backlog_that_covers_or_fills_is_looked_up_rarely() {
    let c = Central::new();
    let batch = |from: i64, to: i64, offset: i64| -> Vec<FloatSample> {
        (from..to).map(|n| FloatSample { t_ms: n * 15_000 + offset, v: n as f64, start_ms: 0 }).collect()
    };
    c.send("m", "a", &batch(0, 10, 0));
    c.send("m", "a", &batch(1000, 1010, 0));
    let before = c.store.looked();
    for n in (10..1000).step_by(10) {
        c.send("m", "a", &batch(n, n + 10, 0));
        c.send("m", "b", &batch(n, n + 10, 5000));
    }
    assert_eq!(c.stored("m").len(), 1010);
    let looked = c.store.looked() - before;
    assert!(looked < 50, "{looked} look-ups for 1980 samples");
}

/// One member of a pair: what it scraped, and what of it is still to be sent.
struct Leaf {
    name: &'static str,
    scraped: Vec<FloatSample>,
    /// Up to here everything was sent in order, or is on the backlog lane.
    live: usize,
    backlog: std::ops::Range<usize>,
}

/// A pair and a central with everything that goes wrong with them, from a seed. Returns what the leaves scraped and what the central stored.
fn simulate(seed: u64) -> (i64, Vec<(i64, &'static str)>, Vec<(i64, f64)>) {
    let mut r = Rand::seeded(seed);
    let mut c = Central::new();
    let interval = [1000i64, 5000, 15_000][r.below(3) as usize];
    let rounds = 30 + r.below(60) as i64;
    let calm = 5;
    let mut leaves: Vec<Leaf> = ["a", "b", "c"][..2 + r.below(2) as usize]
        .iter()
        .map(|name| {
            let offset = r.below(interval as u64) as i64;
            let skew = r.below(interval as u64 * 2 / 5) as i64;
            // Down for a while, once or twice.
            let down: Vec<(i64, i64)> = (0..r.below(3))
                .map(|_| {
                    let from = calm + r.below((rounds - calm) as u64) as i64;
                    (from, from + 1 + r.below(15) as i64)
                })
                .collect();
            let mut scraped = Vec::new();
            for n in 0..rounds {
                let true_ms = 100_000 + n * interval + offset + r.below(interval as u64 / 100) as i64;
                let missed = n >= calm && r.chance(0.03);
                if !missed && !down.iter().any(|(from, to)| (*from..*to).contains(&n)) {
                    scraped.push(FloatSample { t_ms: true_ms + skew, v: true_ms as f64, start_ms: 0 });
                }
            }
            Leaf { name, scraped, live: 0, backlog: 0..0 }
        })
        .collect();
    let end = 100_000 + (rounds + 2) * interval;
    let mut now = 100_000;
    let step = interval / 2 + 1;
    let mut cut_until = vec![0i64; leaves.len()];
    let mut lag: Vec<i64> = leaves.iter().map(|_| r.below(3 * interval as u64) as i64).collect();
    while now < end + 40 * interval {
        now += step;
        let calm_now = now < 100_000 + calm * interval;
        if !calm_now && r.chance(0.03) {
            c.restart();
        }
        for (i, leaf) in leaves.iter_mut().enumerate() {
            if !calm_now && now < end && now > cut_until[i] && r.chance(0.03) {
                cut_until[i] = now + r.below(20 * interval as u64) as i64;
                lag[i] = r.below(3 * interval as u64) as i64;
            }
            if now < cut_until[i] {
                continue;
            }
            let lag = if calm_now { 0 } else { lag[i] };
            let ready = leaf.scraped.partition_point(|s| s.t_ms + lag <= now);
            // After a long cut the newest goes first, what was missed beside it.
            if ready > leaf.live + 6 && leaf.backlog.is_empty() {
                leaf.backlog = leaf.live..ready - 2;
                leaf.live = ready - 2;
            }
            let live = leaf.live..ready;
            leaf.live = ready.max(leaf.live);
            let more = (leaf.backlog.start + 1 + r.below(10) as usize).min(leaf.backlog.end);
            let sent = [live, leaf.backlog.start..more];
            leaf.backlog.start = more;
            for range in sent {
                let repeats = if r.chance(0.05) { 2 } else { 1 };
                for _ in 0..repeats {
                    if !range.is_empty() {
                        assert_eq!(c.send("m", leaf.name, &leaf.scraped[range.clone()]).status, 204);
                    }
                }
            }
        }
    }
    assert!(leaves.iter().all(|l| l.live == l.scraped.len() && l.backlog.is_empty()), "everything was sent");
    c.flush();
    let mut scraped: Vec<(i64, &'static str)> = leaves.iter().flat_map(|l| l.scraped.iter().map(|s| (s.t_ms, l.name))).collect();
    scraped.sort_unstable();
    (interval, scraped, c.stored("m"))
}

fn verify(seed: u64) -> Result<(), String> {
    let (interval, scraped, stored) = simulate(seed);
    let tolerance = interval / 20;
    let who = |t: i64| scraped.iter().filter(|(s, _)| *s == t).map(|(_, w)| *w).collect::<String>();
    let calm_until = 100_000 + 6 * interval;
    if stored.len() < 5 {
        return Err(format!("only {} samples", stored.len()));
    }
    for w in stored.windows(2) {
        let ((p, v), (n, next_v)) = (w[0], w[1]);
        if who(p).is_empty() {
            return Err(format!("nobody scraped {p}"));
        }
        if next_v < v {
            return Err(format!("the counter steps back at {n}"));
        }
        // Nearly half an interval; less just after a restart, when the interval is guessed from what is stored.
        if p > calm_until && who(p) != who(n) && n - p < interval * 35 / 100 {
            return Err(format!("{p} ({}) and {n} ({}) are only {} of {interval} apart", who(p), who(n), n - p));
        }
        let fits = |t: i64| t - p >= interval / 2 + tolerance && n - t >= interval / 2 + tolerance;
        if n - p > interval * 3 / 2 + tolerance
            && let Some((t, w)) = scraped.iter().find(|(t, _)| fits(*t))
        {
            return Err(format!("hole of {} of {interval} from {p} ({}) to {n} ({}), though {w} has {t}", n - p, who(p), who(n)));
        }
    }
    let (first, last) = (stored[0].0, stored[stored.len() - 1].0);
    match scraped.iter().find(|(t, _)| *t < first - interval / 2 - tolerance || *t > last + interval / 2 + tolerance) {
        Some((t, w)) => Err(format!("{t} of {w} is missing outside of {first}..{last}")),
        None => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn no_hole_no_double_no_step_back(seed: u64) {
        prop_assert_eq!(verify(seed), Ok(()));
    }
}
