use super::super::notice::Noticing;
use super::*;
use model::sample::stale_nan;
use stdx::clock::ManualClock;
use storage::{LabelHints, MemorySelection, Querier, Warnings};

/// A storage of a few series that may grow between two looks.
#[derive(Clone, Default)]
struct Growing(Arc<Mutex<Vec<(Labels, SeriesData)>>>);

impl Growing {
    /// Samples are (seconds, value); times need not rise.
    fn add(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let labels = Labels::from_pairs(labels.iter().copied());
        let mut all = self.0.lock();
        let at = all.iter().position(|(l, _)| *l == labels).unwrap_or_else(|| {
            all.push((labels, SeriesData::default()));
            all.len() - 1
        });
        let data = &mut all[at].1;
        let mut points: Vec<(i64, f64)> = data.t_ms.iter().copied().zip(data.v.iter().copied()).collect();
        points.extend(samples.iter().map(|(t, v)| (t * 1000, *v)));
        points.sort_by_key(|p| p.0);
        (data.t_ms, data.v) = points.into_iter().unzip();
    }
}

impl Queryable for Growing {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Growing {
    fn select(&self, _sorted: bool, _hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let series = self.0.lock().iter().filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(&m.name)))).cloned().collect();
        Ok(Arc::new(MemorySelection { series, warnings: Warnings::new() }))
    }

    fn label_values(&self, _name: &str, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }

    fn label_names(&self, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }
}

const UP_A: &[(&str, &str)] = &[("__name__", "up"), ("job", "a"), ("instance", "x"), ("site", "s")];
const DAY_S: i64 = 24 * 3600;

struct Case {
    store: Growing,
    clock: Arc<ManualClock>,
    known: Arc<KnownGaps>,
}

impl Case {
    fn new() -> Case {
        let (store, clock) = (Growing::default(), ManualClock::at_ms(0));
        let known = Arc::new(KnownGaps::new(Arc::new(store.clone()), &Registry::new(clock.clone()), clock.clone()));
        Case { store, clock, known }
    }

    fn look_at(&self, seconds: i64) {
        self.clock.set_ms(seconds * 1000);
        self.known.look(seconds * 1000).expect("looks");
    }

    /// Gaps in seconds.
    fn gaps(&self, start: i64, end: i64, matchers: &[Matcher]) -> Vec<(i64, i64, u64)> {
        let touched = self.known.touching(start * 1000, end * 1000, matchers);
        touched.iter().flat_map(|t| t.gaps.iter().map(|g| (g.start_ms / 1000, g.end_ms / 1000, g.missing_scrapes))).collect()
    }
}

/// A scrape each ten seconds.
fn scrapes(from: i64, to: i64) -> Vec<(i64, f64)> {
    (from..=to).step_by(10).map(|t| (t, 1.0)).collect()
}

#[test]
fn a_hole_is_known_until_it_is_filled() {
    let c = Case::new();
    c.store.add(UP_A, &scrapes(DAY_S, DAY_S + 300));
    c.look_at(DAY_S + 300);
    assert!(c.known.is_empty());
    c.store.add(UP_A, &scrapes(DAY_S + 400, DAY_S + 500));
    c.look_at(DAY_S + 500);
    let hole = (DAY_S + 300, DAY_S + 400, 9);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[]), [hole]);
    // Outside of the range, or of another target.
    assert_eq!(c.gaps(0, DAY_S + 300, &[]), []);
    assert_eq!(c.gaps(DAY_S + 400, 2 * DAY_S, &[]), []);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[Matcher::equal("job", "b")]), []);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[Matcher::equal("site", "s"), Matcher::equal("code", "500")]), [hole], "of `code` nothing is known");
    // Half of it comes late; then the rest.
    c.store.add(UP_A, &scrapes(DAY_S + 310, DAY_S + 350));
    c.look_at(DAY_S + 505);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[]), [(DAY_S + 350, DAY_S + 400, 4)]);
    c.store.add(UP_A, &scrapes(DAY_S + 360, DAY_S + 390));
    c.look_at(DAY_S + 506);
    assert!(c.known.is_empty());
}

#[test]
fn an_old_hole_is_looked_at_again() {
    let c = Case::new();
    c.store.add(UP_A, &scrapes(DAY_S, DAY_S + 100));
    c.store.add(UP_A, &scrapes(DAY_S + 7000, DAY_S + 9000));
    c.look_at(DAY_S + 9000);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[]), [(DAY_S + 100, DAY_S + 7000, 689)]);
    c.store.add(UP_A, &scrapes(DAY_S + 110, DAY_S + 6000));
    c.look_at(DAY_S + 9001);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[]), [(DAY_S + 6000, DAY_S + 7000, 99)]);
    c.store.add(UP_A, &scrapes(DAY_S + 6010, DAY_S + 6990));
    c.look_at(DAY_S + 9002);
    assert!(c.known.is_empty());
}

#[test]
fn silence_is_a_gap_unless_the_target_has_ended() {
    let c = Case::new();
    let ended: &[(&str, &str)] = &[("__name__", "up"), ("job", "b")];
    c.store.add(UP_A, &scrapes(DAY_S, DAY_S + 100));
    c.store.add(ended, &scrapes(DAY_S, DAY_S + 90));
    c.store.add(ended, &[(DAY_S + 100, stale_nan())]);
    c.look_at(DAY_S + 130);
    assert!(c.known.is_empty(), "a sample that is late is not missing yet");
    c.look_at(DAY_S + 200);
    assert_eq!(c.gaps(0, 2 * DAY_S, &[]), [(DAY_S + 100, DAY_S + 200, 10)]);
    // Hours later it is still silent, and comes back.
    c.look_at(DAY_S + 10_000);
    assert_eq!(c.gaps(DAY_S + 9000, 2 * DAY_S, &[]), [(DAY_S + 100, DAY_S + 10_000, 990)]);
    c.store.add(UP_A, &scrapes(DAY_S + 10_000, DAY_S + 10_200));
    c.look_at(DAY_S + 10_200);
    assert_eq!(c.gaps(DAY_S, 2 * DAY_S, &[]), [(DAY_S + 100, DAY_S + 10_000, 989)]);
}

#[test]
fn the_past_is_found_after_a_start_and_forgotten_in_the_end() {
    let c = Case::new();
    let now = 30 * DAY_S;
    // One hole is older than what is looked at, one crosses the border of two pieces, one is long.
    for (from, to) in [(-8 * DAY_S, -7 * DAY_S - 1000), (-7 * DAY_S - 900, -7200 - 50), (-7200 + 50, -4000), (-100, 0)] {
        c.store.add(UP_A, &scrapes(now + from, now + to));
    }
    c.look_at(now);
    // The clock stands still, so that one look has time for all pieces.
    let expect = [(now - 7250, now - 7150, 9), (now - 4000, now - 100, 389)];
    assert_eq!(c.gaps(0, now, &[]), expect);
    c.store.add(UP_A, &scrapes(now + 6 * DAY_S, now + 7 * DAY_S));
    c.look_at(now + 7 * DAY_S - 5000);
    assert_eq!(c.gaps(0, now + 5 * DAY_S, &[]).len(), 2, "one is forgotten, one is new");
}

#[test]
fn a_change_of_the_interval_is_no_hole() {
    let c = Case::new();
    c.store.add(UP_A, &scrapes(DAY_S, DAY_S + 600));
    c.look_at(DAY_S + 600);
    for t in (DAY_S + 660..=DAY_S + 1500).step_by(60) {
        c.store.add(UP_A, &[(t, 1.0)]);
        c.look_at(t);
    }
    assert!(c.known.is_empty(), "{:?}", c.gaps(0, 2 * DAY_S, &[]));
}

#[test]
fn a_query_is_told_what_it_touches() {
    let c = Case::new();
    c.store.add(UP_A, &scrapes(DAY_S, DAY_S + 300));
    c.store.add(UP_A, &scrapes(DAY_S + 400, DAY_S + 500));
    c.store.add(&[("__name__", "m"), ("job", "a"), ("instance", "x"), ("site", "s")], &scrapes(DAY_S, DAY_S + 500));
    c.store.add(&[("__name__", "m"), ("job", "b"), ("instance", "y")], &scrapes(DAY_S, DAY_S + 500));
    c.look_at(DAY_S + 500);
    let ask = |start: i64, end: i64, range_ms: i64, matchers: &[Matcher]| {
        let n = Noticing::new(Arc::new(c.store.clone()), Arc::clone(&c.known), 300_000);
        let (start_ms, end_ms) = (start * 1000, end * 1000);
        let hints = SelectHints { start_ms, end_ms, range_ms, ..SelectHints::default() };
        let all = n.querier(start_ms, end_ms).expect("opens").select(true, &hints, matchers).expect("selects");
        assert!(!all.is_empty() || matchers.iter().any(|m| m.value == "none"));
        n.infos()
    };
    let name = |n: &str| Matcher::equal(name::METRIC_NAME, n);
    let told = [
        r#"ledger: target {instance="x", job="a", site="s"} lacks 9 scrapes between 1970-01-02T00:05:00.000Z and 1970-01-02T00:06:40.000Z (unknown gap)"#,
    ];
    assert_eq!(ask(DAY_S, DAY_S + 500, 60_000, &[name("m")]), told);
    assert_eq!(ask(DAY_S, DAY_S + 500, 60_000, &[name("m"), Matcher::equal("job", "b")]), [""; 0], "another target");
    assert_eq!(ask(DAY_S, DAY_S + 500, 60_000, &[name("none")]), [""; 0], "the target has no such series");
    assert_eq!(ask(DAY_S + 410, DAY_S + 500, 60_000, &[name("m")]), [""; 0], "behind the hole");
    // An instant selector at 1:50 after the hole looks back over it and is answered by a sample behind it.
    assert_eq!(ask(DAY_S + 200, DAY_S + 500, 0, &[name("m")]), [""; 0]);
    assert_eq!(ask(DAY_S + 90, DAY_S + 395, 0, &[name("m")]), told);
}
