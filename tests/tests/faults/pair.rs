//! Two leaves scrape one target; one of them is in trouble. No interval may be missing that one of them stored, and none may be there twice.

use crate::system::{COUNTER, System, central_of, counter};
use crate::tools::{LARGEST_HOLE_MS, Points, SMALLEST_STEP_MS, sleep};
use narthex_tests::{CounterTarget, Kind, Link, Namespace, Server, now, vector};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    OneKilled,
    EachInTurn,
    CutFromTarget,
    CutFromCentral,
}

#[derive(Debug, Default)]
pub struct PairOutcome {
    pub series: usize,
    /// Holes in which a leaf holds a sample.
    pub holes: Vec<String>,
    pub doubled: Vec<String>,
    pub steps_back: usize,
    pub longest_hole_seconds: f64,
    points: Points,
}

impl PairOutcome {
    pub fn assert_one_series(&self) {
        assert_eq!(self.series, 1);
        assert!(self.holes.is_empty() && self.doubled.is_empty() && self.steps_back == 0, "{self:?}");
    }

    pub fn short(&self) -> String {
        if self.series > 1 {
            return format!("{} series", self.series);
        }
        format!("{} missing, {} doubled; longest distance {:.1} s", self.holes.len(), self.doubled.len() + self.steps_back, self.longest_hole_seconds)
    }
}

/// A leaf with a way of its own to the target and another one to the central, each of which can be cut.
struct Placed {
    leaf: Server,
    to_target: Option<Link>,
    to_central: Option<Link>,
    _namespace: Option<Namespace>,
}

fn place(system: &System, name: &str, cuttable: bool, target: &CounterTarget, central: &Server) -> Option<Placed> {
    let external = format!("__replica__: {name}");
    if !cuttable {
        let leaf = system.leaf(name, &external, &format!("127.0.0.1:{}", target.port()), &central.url(), &[])?;
        return Some(Placed { leaf, to_target: None, to_central: None, _namespace: None });
    }
    let namespace = Namespace::new()?;
    let (t, c) = (namespace.link(), namespace.link());
    let parent = format!("http://{}:{}", c.outside, central.port);
    // The same address of the target for both leaves is not to be had: its labels are made the same.
    let mut leaf = system.leaf(name, &external, &format!("{}:{}", t.outside, target.port()), &parent, &[])?;
    leaf.namespace = Some(namespace.name.clone());
    leaf.host.clone_from(&c.inside);
    leaf.listen = Some("0.0.0.0".to_string());
    Some(Placed { leaf, to_target: Some(t), to_central: Some(c), _namespace: Some(namespace) })
}

fn same_labels(leaf: &Server) {
    let path = leaf.path().join("prometheus.yml");
    let text = std::fs::read_to_string(&path).expect("reads the configuration");
    leaf.configure(&text.replace("    labels: {}", "    labels: {instance: target}"));
}

pub fn pair(trouble: Trouble, seconds: u64) -> Option<PairOutcome> {
    pair_of(&System::NARTHEX, trouble, seconds)
}

pub fn pair_of(system: &System, trouble: Trouble, seconds: u64) -> Option<PairOutcome> {
    let cuttable = matches!(trouble, Trouble::CutFromTarget | Trouble::CutFromCentral);
    let target = CounterTarget::start_on("0.0.0.0", 50);
    let mut central = central_of(system.central, "central", &[])?;
    central.listen = Some("0.0.0.0".to_string());
    central.start();
    let mut placed = Vec::new();
    for name in ["a", "b"] {
        let mut p = place(system, name, cuttable, &target, &central)?;
        same_labels(&p.leaf);
        p.leaf.start();
        placed.push(p);
    }
    let began = Instant::now();
    narthex_tests::wait_for("the first samples at the central", Duration::from_secs(60), || Some(()).filter(|()| counter(&central, 60).len() >= 10));
    let [a, b] = &mut placed[..] else { unreachable!("two were placed") };
    match trouble {
        Trouble::OneKilled => {
            a.leaf.kill();
            sleep(seconds);
            a.leaf.start();
        }
        Trouble::EachInTurn => {
            for p in [&mut *a, &mut *b] {
                p.leaf.kill();
                sleep(seconds);
                p.leaf.start();
                sleep(seconds);
            }
        }
        Trouble::CutFromTarget => {
            let link = a.to_target.as_ref().expect("placed in a namespace");
            link.cut();
            sleep(seconds);
            link.mend();
        }
        Trouble::CutFromCentral => {
            let link = a.to_central.as_ref().expect("placed in a namespace");
            link.cut();
            sleep(seconds);
            link.mend();
        }
    }
    sleep(6);
    Some(judge(system, &central, &[&a.leaf, &b.leaf], began, Duration::from_secs(seconds + 60)))
}

/// Waits until no hole is left, or until it is of no use; then judges.
pub fn judge(system: &System, central: &Server, leaves: &[&Server], began: Instant, at_most: Duration) -> PairOutcome {
    let end = Instant::now() + at_most;
    loop {
        let back = began.elapsed().as_secs() + 60;
        let held: Vec<Points> = if system.leaf == Kind::Vmagent { Vec::new() } else { leaves.iter().map(|l| counter(l, back)).collect() };
        let o = look(central, &held, back);
        let fresh = o.points.last().is_some_and(|p| now() * 1000.0 - p.0 as f64 <= 6000.0);
        if (fresh && o.holes.is_empty()) || o.series > 1 || Instant::now() > end {
            return o;
        }
        std::thread::sleep(Duration::from_millis(700));
    }
}

fn look(central: &Server, held: &[Points], back: u64) -> PairOutcome {
    let series = vector(&central.query(&format!("count by (__replica__) ({COUNTER})"))).len();
    look_at(counter(central, back), series, held)
}

/// Judges the points of a merged series by what the leaves hold.
pub fn look_at(points: Points, series: usize, held: &[Points]) -> PairOutcome {
    let mut o = PairOutcome { series, ..PairOutcome::default() };
    // What came in the last seconds may be waiting for a decision.
    let until = (now() * 1000.0) as i64 - 5000;
    for w in points.windows(2).filter(|w| w[1].0 <= until) {
        let distance = w[1].0 - w[0].0;
        o.longest_hole_seconds = o.longest_hole_seconds.max(distance as f64 / 1000.0);
        o.steps_back += usize::from(w[1].1 <= w[0].1);
        // A leaf whose machine stood still scrapes late, and then again in its own time.
        let of_one_leaf = held.iter().any(|h| h.contains(&w[0]) && h.contains(&w[1]));
        if distance < SMALLEST_STEP_MS && !of_one_leaf {
            o.doubled.push(format!("{:?} and {:?}", w[0], w[1]));
        }
        if distance > LARGEST_HOLE_MS {
            let unused: Vec<_> = held.iter().flatten().filter(|p| p.0 > w[0].0 && p.0 < w[1].0).collect();
            if !unused.is_empty() {
                o.holes.push(format!("between {:?} and {:?}, where leaves held {unused:?}", w[0], w[1]));
            }
        }
    }
    o.points = points;
    o
}
