use super::*;
use stdx::clock::ManualClock;
use stdx::fs::RealFs;
use storage::Wait;
use wal::{CursorBudget, RecordType, TailEvent, record};

struct Leaf {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Leaf {
    fn new() -> Leaf {
        Leaf { dir: tempfile::tempdir().expect("a directory"), clock: ManualClock::at_ms(1_700_000_000_000) }
    }

    fn open(&self) -> Arc<AgentDb> {
        AgentDb::open(AgentOptions {
            dir: self.dir.path().to_path_buf(),
            fs: RealFs::shared(),
            clock: self.clock.clone(),
            registry: Registry::new(self.clock.clone()),
            wal: WalOptions { cursor_budget: CursorBudget { max_bytes: 1 << 30, max_age: Duration::from_secs(1 << 30) }, ..WalOptions::default() },
            lock_file: true,
            truncate_every: Duration::from_secs(7200),
            min_time: Duration::from_secs(300),
            max_series: 0,
            background: false,
        })
        .expect("opens")
    }
}

fn labels(n: u64) -> Labels {
    Labels::from_pairs([("__name__", "m".to_string()), ("n", n.to_string())])
}

/// One sample of each series; its reference in order.
fn scrape(db: &AgentDb, t_ms: i64, series: std::ops::Range<u64>) -> Vec<SeriesRef> {
    let mut a = db.appender(AppendOptions::scrape());
    let refs = series
        .map(|n| {
            let s = a.series(labels(n).as_ref()).expect("a series");
            a.append(s, t_ms, n as f64).expect("a sample");
            s
        })
        .collect();
    a.commit(Wait::Written).expect("commits");
    refs
}

/// Every sample that a reader from `from` on finds, by the labels that it finds or that the store knows.
fn sent(db: &Arc<AgentDb>, from: wal::LogPosition) -> Vec<(String, i64, f64)> {
    let mut tail = db.wal().tail(from);
    let (mut out, stop) = (Vec::new(), Shutdown::new());
    while let TailEvent::Record(r) = tail.next(Duration::ZERO, &stop).expect("reads") {
        if RecordType::of(r.bytes) == Some(RecordType::Samples) {
            let mut samples = Vec::new();
            record::decode_samples(r.bytes, &mut samples).expect("decodes");
            out.extend(samples.iter().map(|s| (db.labels_of(SeriesRef(s.series)).expect("labels are known").to_string(), s.t_ms, s.v)));
        }
    }
    out
}

#[test]
fn what_is_appended_is_in_the_log_and_references_outlive_a_restart() {
    let leaf = Leaf::new();
    let t = 1_700_000_000_000;
    let db = leaf.open();
    let start = db.wal().end();
    let refs = scrape(&db, t, 0..3);
    assert_eq!(scrape(&db, t + 1000, 0..3), refs);
    assert_eq!(sent(&db, start).len(), 6);
    db.close().expect("closes");
    drop(db);
    let db = leaf.open();
    assert_eq!(db.series_count(), 3);
    let mut a = db.appender(AppendOptions::scrape());
    let s = a.series(labels(1).as_ref()).expect("known");
    assert_eq!(s, refs[1]);
    assert_eq!(a.append(s, t + 1000, 9.0), Err(AppendError::OutOfOrder), "the newest time is known too");
    assert_eq!(a.append(s, t + 2000, 9.0), Ok(()));
    assert_eq!(a.append(SeriesRef(77), t, 1.0), Err(AppendError::UnknownSeries));
    a.rollback();
    assert_eq!(scrape(&db, t + 3000, 3..4), [SeriesRef(refs[2].0 + 1)]);
    let mut late = db.appender(AppendOptions::receive());
    let s = late.series(labels(1).as_ref()).expect("known");
    assert_eq!(late.append(s, t - 86_400_000, 1.0), Ok(()), "what a peer sends may be of any age");
    late.commit(Wait::Durable).expect("commits");
    assert!(db.querier(0, 1).is_err());
}

#[test]
fn a_series_that_is_gone_is_known_as_long_as_the_log_speaks_of_it() {
    let leaf = Leaf::new();
    let db = leaf.open();
    let t = 1_700_000_000_000;
    let start = db.wal().end();
    let hold = db.wal().register_cursor("up", start);
    scrape(&db, t, 0..100);
    leaf.clock.set_ms(t + 3_600_000);
    scrape(&db, t + 3_600_000, 50..100);
    db.truncate().expect("truncates");
    assert_eq!(db.series_count(), 50);
    // The uplink has read nothing yet: all of it is there, with its labels, also after a restart.
    assert_eq!(sent(&db, start).len(), 150);
    drop(hold);
    db.close().expect("closes");
    drop(db);
    let db = leaf.open();
    let hold = db.wal().register_cursor("up", start);
    assert_eq!(sent(&db, start).len(), 150);
    leaf.clock.set_ms(t + 7_200_000);
    let refs = scrape(&db, t + 7_200_000, 50..100);
    for _ in 0..2 {
        hold.advance(db.wal().end());
        db.truncate().expect("truncates");
    }
    // All of it was read: the old segments are gone, and what is left is known from the checkpoint.
    assert!(db.wal().segments().expect("segments").0 > start.segment);
    assert_eq!((db.series_count(), db.labels_of(SeriesRef(1))), (50, None));
    drop(hold);
    db.close().expect("closes");
    drop(db);
    let db = leaf.open();
    assert_eq!(db.series_count(), 50);
    assert_eq!(db.labels_of(refs[0]), Some(labels(50)));
    assert_eq!(scrape(&db, t + 7_201_000, 50..51), refs[..1]);
}

#[test]
fn a_series_in_a_batch_is_not_forgotten() {
    let leaf = Leaf::new();
    let db = leaf.open();
    let t = 1_700_000_000_000;
    let refs = scrape(&db, t, 0..2);
    leaf.clock.set_ms(t + 3_600_000);
    let mut a = db.appender(AppendOptions::scrape());
    a.append(refs[0], t + 3_600_000, 1.0).expect("a sample");
    db.truncate().expect("truncates");
    assert_eq!(a.append(refs[1], t + 3_600_000, 1.0), Err(AppendError::UnknownSeries));
    a.commit(Wait::Written).expect("commits");
    assert_eq!(db.series_count(), 1);
    assert_eq!(db.labels_of(refs[0]), Some(labels(0)));
}

#[test]
fn an_exemplar_that_is_repeated_is_written_once() {
    let leaf = Leaf::new();
    let db = leaf.open();
    let s = scrape(&db, 1_700_000_000_000, 0..1)[0];
    let exemplar = |v: f64, t_ms| model::Exemplar { labels: Labels::from_pairs([("trace_id", "x")]), value: v, t_ms: Some(t_ms) };
    let mut a = db.appender(AppendOptions::scrape());
    for (v, t) in [(1.0, 10), (1.0, 10), (2.0, 20), (1.0, 10)] {
        a.append_exemplar(s, &exemplar(v, t)).expect("an exemplar");
    }
    assert_eq!(a.commit(Wait::Written).expect("commits").exemplars, 2);
}
