use super::gaps::{GapKind, gaps, holes};
use super::tree::tree;
use super::*;
use model::{Labels, Matcher, sample::stale_nan};
use std::sync::Arc;
use stdx::clock::ManualClock;
use storage::{LabelHints, MemorySelection, Querier, Queryable, ReadError, SelectHints, Selection, SeriesData, Warnings};

/// A storage of a few series.
#[derive(Clone, Default)]
struct Few(Vec<(Labels, SeriesData)>);

impl Few {
    fn with(mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        let data =
            SeriesData { t_ms: samples.iter().map(|s| s.0 * 1000).collect(), v: samples.iter().map(|s| s.1).collect(), ..SeriesData::default() };
        self.0.push((Labels::from_pairs(labels.iter().copied()), data));
        self
    }
}

impl Queryable for Few {
    fn querier(&self, _mint_ms: i64, _maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Few {
    fn select(&self, _sorted: bool, _hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        let series = self.0.iter().filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(&m.name)))).cloned().collect();
        Ok(Arc::new(MemorySelection { series, warnings: Warnings::new() }))
    }

    fn label_values(&self, _name: &str, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }

    fn label_names(&self, _hints: LabelHints, _matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        Ok(Default::default())
    }
}

fn check_holes(seconds: &[i64], end: i64, expect: &[(i64, i64, u64)]) {
    let v: Vec<f64> = seconds.iter().map(|s| if *s < 0 { stale_nan() } else { 1.0 }).collect();
    let t: Vec<i64> = seconds.iter().map(|s| s.abs()).collect();
    let got: Vec<(i64, i64, u64)> = holes(&t, &v, end).1.iter().map(|g| (g.start_ms, g.end_ms, g.missing_scrapes)).collect();
    assert_eq!(got, expect, "{seconds:?}");
}

#[test]
fn holes_are_where_scrapes_are_missing() {
    check_holes(&[], 100, &[]);
    check_holes(&[10], 100, &[]);
    check_holes(&[0, 10, 20, 30], 40, &[]);
    check_holes(&[0, 10, 20, 50, 60], 60, &[(20, 50, 2)]);
    check_holes(&[0, 10, 20], 70, &[(20, 70, 5)]);
    // A marker (written as a negative time) says that the target is gone: what follows is no hole.
    check_holes(&[0, 10, -20], 70, &[]);
    check_holes(&[0, 10, -20, 100, 110], 110, &[]);
    check_holes(&[0, 14, 22, 30, 40, 75], 80, &[(40, 75, 3)]);
}

#[test]
fn a_gap_is_soft_as_long_as_an_uplink_may_still_send_it() {
    let up = |f: Few| f.with(&[("__name__", "up"), ("job", "a")], &[(0, 1.0), (10, 1.0), (20, 1.0), (60, 1.0), (70, 1.0)]);
    let check = |store: Few, expect: GapKind| {
        let report = gaps(&store, 0, 75_000, 75_000, &[Matcher::equal("job", "a")]).expect("gaps");
        assert_eq!((report.targets_seen, report.missing_scrapes, report.targets[0].interval_ms), (1, 3, 10_000));
        assert_eq!(report.targets[0].labels.to_string(), r#"{job="a"}"#);
        assert_eq!(report.targets[0].gaps.iter().map(|g| (g.start_ms, g.end_ms, g.kind)).collect::<Vec<_>>(), vec![(20_000, 60_000, expect)]);
    };
    let behind = |f: Few, seconds: f64| f.with(&[("__name__", "narthex_uplink_backlog_seconds"), ("instance", "l")], &[(70, seconds)]);
    check(up(Few::default()), GapKind::Unknown);
    check(behind(up(Few::default()), 0.0), GapKind::Hard);
    check(behind(up(Few::default()), 5.0), GapKind::Hard);
    check(behind(up(Few::default()), 40.0), GapKind::Soft);
    let missing = behind(up(Few::default()), 0.0).with(&[("__name__", "narthex_uplink_missing_seconds"), ("instance", "l")], &[(70, 30.0)]);
    check(missing, GapKind::Soft);
    // Its last word is older than what is missing: it was cut off, and has it.
    let cut_off = up(Few::default()).with(&[("__name__", "narthex_uplink_backlog_seconds"), ("instance", "l")], &[(25, 0.0)]);
    check(cut_off, GapKind::Soft);
}

#[test]
fn the_tree_lists_uplinks_by_their_last_word() {
    let store = Few::default()
        .with(&[("__name__", "narthex_uplink_acked_timestamp_seconds"), ("instance", "l"), ("remote_name", "c")], &[(50, 40.0), (60, 55.5)])
        .with(&[("__name__", "narthex_uplink_backlog_bytes"), ("instance", "l"), ("remote_name", "c")], &[(60, 4096.0)])
        .with(&[("__name__", "narthex_uplink_acked_timestamp_seconds"), ("instance", "gone")], &[(60, stale_nan())]);
    let t = tree(None, &store, 70_000).expect("tree");
    assert_eq!(t.uplinks.len(), 1);
    let u = &t.uplinks[0];
    assert_eq!((u.labels.to_string().as_str(), u.told_ms, u.acked_ms), (r#"{instance="l", remote_name="c"}"#, 60_000, Some(55_500)));
    assert_eq!((u.backlog_bytes, u.hard_gap_seconds), (Some(4096.0), None));
}

#[test]
fn senders_beyond_the_limit_are_one() {
    let clock = ManualClock::at_ms(0);
    let registry = Registry::new(clock.clone());
    let ledger = Ledger::new(&registry, clock);
    let arrival = |now_ms| Arrival {
        now_ms,
        newest_ms: Some(now_ms),
        samples: 10,
        duplicates: 1,
        covered: 0,
        filled: 0,
        refused: 0,
        late: 0,
        bytes: 5,
        replicas: &[],
    };
    for i in 0..MAX_SENDERS + 5 {
        ledger.note(&format!("s{i:05}"), &arrival(1000));
    }
    let senders = ledger.senders();
    assert_eq!(senders.len(), MAX_SENDERS + 1);
    assert_eq!(senders.iter().find(|s| s.name == OTHER_SENDERS).map(|s| s.samples), Some(50));
    ledger.tick(10_000);
    ledger.note("s00000", &arrival(FORGET_AFTER_MS));
    ledger.tick(FORGET_AFTER_MS + 2000);
    assert_eq!(ledger.senders().len(), 1, "those who are gone are forgotten");
    let families = registry.gather();
    let samples = families.iter().find(|f| f.name == "narthex_receive_sender_samples_total").expect("exported");
    assert_eq!(samples.metrics[0].value, Value::Counter(20.0));
}
