use super::*;
use crate::config::HOUR_MS;
use model::Matcher;
use proptest::prelude::*;
use std::collections::BTreeMap;
use stdx::clock::{ManualClock, SharedClock};
use stdx::fs::{Fs, RealFs};
use stdx::metrics::Registry;
use storage::{AppendError, Queryable, SelectHints, SeriesData, Wait};

/// A multiple of two hours.
pub(super) const T0: i64 = 1_699_999_200_000 / (2 * HOUR_MS) * (2 * HOUR_MS);

pub(super) fn options(dir: &std::path::Path) -> DbOptions {
    let clock: SharedClock = ManualClock::at_ms(T0 + 24 * HOUR_MS);
    let registry = Registry::new(Arc::clone(&clock));
    DbOptions { background: false, ..DbOptions::new(dir, RealFs::shared(), clock, registry) }
}

pub(super) fn open(dir: &std::path::Path) -> Arc<Db> {
    // A process that another test starts holds the lock between its fork and its exec.
    for _ in 0..100 {
        match Db::open(options(dir)) {
            Err(DbError::Locked(_)) => std::thread::sleep(std::time::Duration::from_millis(20)),
            other => return other.expect("open"),
        }
    }
    panic!("the directory stays locked")
}

pub(super) fn labels(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_string()), ("i", i.to_string())])
}

pub(super) fn put(db: &Db, options: AppendOptions, i: usize, samples: &[(i64, f64)]) -> Vec<Result<(), AppendError>> {
    let mut a = db.appender(options);
    let s = a.series(labels(i).as_ref()).expect("series");
    let out = samples.iter().map(|(t, v)| a.append(s, *t, *v)).collect();
    a.commit(Wait::Durable).expect("commit");
    out
}

pub(super) fn read_all(db: &Db, i: usize) -> Vec<(i64, f64)> {
    let q = db.querier(i64::MIN / 2, i64::MAX / 2).expect("querier");
    let found = q.select(true, &SelectHints::default(), &[Matcher::equal("i", i.to_string())]).expect("select");
    let mut d = SeriesData::default();
    for n in 0..found.len() {
        found.read(n, i64::MIN, i64::MAX, &mut d).expect("read");
    }
    d.t_ms.into_iter().zip(d.v).collect()
}

#[test]
fn what_was_committed_is_there_after_reopening_without_closing() {
    let dir = tempfile::tempdir().expect("dir");
    let samples: Vec<(i64, f64)> = (0..500).map(|n| (T0 + n * 15_000, n as f64)).collect();
    {
        let db = open(dir.path());
        put(&db, AppendOptions::scrape(), 1, &samples);
        put(&db, AppendOptions::receive(), 1, &[(T0 - 9 * HOUR_MS, 7.0), (T0 + 1, 8.0)]);
        assert!(matches!(Db::open(options(dir.path())), Err(DbError::Locked(_))));
    }
    let db = open(dir.path());
    let mut want = samples.clone();
    want.extend([(T0 - 9 * HOUR_MS, 7.0), (T0 + 1, 8.0)]);
    want.sort_by_key(|(t, _)| *t);
    assert_eq!(read_all(&db, 1), want);
    // References go on where they were.
    let mut a = db.appender(AppendOptions::scrape());
    assert_eq!(a.series(labels(1).as_ref()), Ok(SeriesRef(1)));
    assert_eq!(a.series(labels(2).as_ref()), Ok(SeriesRef(2)));
}

#[test]
fn old_samples_move_to_blocks_and_the_log_is_cut() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    let mut want = Vec::new();
    for step in 0..24 * 60 {
        let t = T0 + step * 60_000;
        want.push((t, step as f64));
        put(&db, AppendOptions::scrape(), 1, &[(t, step as f64)]);
        if step == 5 {
            put(&db, AppendOptions::scrape(), 2, &[(t, 1.0)]);
        }
        if step % 60 == 59 {
            db.wal().next_segment().expect("segment");
            db.maintain().expect("maintain");
        }
    }
    assert!(db.blocks().len() >= 3, "{}", db.blocks().len());
    assert_eq!(read_all(&db, 1), want);
    assert_eq!(read_all(&db, 2).len(), 1);
    assert_eq!(db.head().series_count(), 1, "the short series left the head");
    assert!(db.wal().segments().expect("segments").0 > 0);
    assert!(db.head().min_ms().expect("min") >= T0 + 20 * HOUR_MS);
    drop(db);
    let db = open(dir.path());
    assert_eq!(read_all(&db, 1), want);
    let mut times = Vec::new();
    db.times(SeriesRef(1), T0 + HOUR_MS, T0 + 23 * HOUR_MS, &mut times).expect("times");
    assert_eq!(times.len(), 22 * 60 + 1);
}

/// A power cut can take the name of a series and leave late samples of it: whoever comes next must not find them as its own.
#[test]
fn a_reference_whose_series_is_lost_is_not_given_out_again() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    put(&db, AppendOptions::receive(), 1, &[(T0, 1.0)]);
    put(&db, AppendOptions::receive(), 1, &[(T0 - HOUR_MS, 2.0), (T0 - 2 * HOUR_MS, 3.0)]);
    drop(db);
    RealFs.remove_dir_all(&dir.path().join("wal")).expect("remove");
    for live in [false, true] {
        let db = Db::open(DbOptions { replay_behind: live, ..options(dir.path()) }).expect("open");
        db.wait_ready().expect("ready");
        put(&db, AppendOptions::receive(), 2, &[(T0 + i64::from(live), 7.0)]);
    }
    assert_eq!(read_all(&open(dir.path()), 2), vec![(T0, 7.0), (T0 + 1, 7.0)]);
}

#[test]
fn compaction_waits_for_the_uploader() {
    let dir = tempfile::tempdir().expect("dir");
    let uploads = dir.path().join("uploads.json");
    let tell = |ulids: &[String]| {
        let text = serde_json::json!({"version": 1, "uploaded": ulids}).to_string();
        stdx::fs::write_atomic(&RealFs, &uploads, text.as_bytes()).expect("write");
    };
    tell(&[]);
    let db = Db::open(DbOptions { delay_compact_file: Some(uploads.clone()), ..options(dir.path()) }).expect("open");
    for step in 0..20 * 12 {
        put(&db, AppendOptions::scrape(), 1, &[(T0 + step * 300_000, step as f64)]);
    }
    db.maintain().expect("maintain");
    let levels = |db: &Db| db.block_metas().iter().map(|m| m.compaction.level).collect::<Vec<_>>();
    let before = levels(&db);
    assert!(before.len() > 6 && before.iter().all(|l| *l == 1), "{before:?}");
    let all: Vec<String> = db.blocks().iter().map(|b| b.ulid().to_string()).collect();
    // All but the oldest are there: what has it in it still waits.
    tell(&all[1..]);
    db.maintain().expect("maintain");
    assert_eq!(db.blocks()[0].ulid().to_string(), all[0]);
    tell(&all);
    db.maintain().expect("maintain");
    assert!(levels(&db)[0] > 1, "{:?}", levels(&db));
}

#[test]
fn late_samples_are_read_at_once_and_merged_into_blocks() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    let minute = |n: i64| T0 + n * 60_000;
    let mut want: BTreeMap<i64, f64> = BTreeMap::new();
    for n in (0..600).filter(|n| n % 3 != 0) {
        put(&db, AppendOptions::scrape(), 1, &[(minute(n), n as f64)]);
        want.insert(minute(n), n as f64);
    }
    db.maintain().expect("maintain");
    assert!(!db.blocks().is_empty());
    let late: Vec<(i64, f64)> = (0..600).filter(|n| n % 3 == 0).map(|n| (minute(n), n as f64)).collect();
    assert!(put(&db, AppendOptions::receive(), 1, &late).iter().all(Result::is_ok));
    want.extend(late.iter().copied());
    let all: Vec<(i64, f64)> = want.iter().map(|(t, v)| (*t, *v)).collect();
    assert_eq!(read_all(&db, 1), all);
    {
        let _one = db.change.lock();
        db.compact_late().expect("compact late");
        assert_eq!(db.head().late_samples(), 0);
        assert_eq!(read_all(&db, 1), all);
    }
    db.maintain().expect("maintain");
    assert_eq!(read_all(&db, 1), all);
    let metas = db.block_metas();
    assert!(metas.windows(2).all(|w| w[0].max_time_ms <= w[1].min_time_ms), "blocks do not overlap any more: {metas:?}");
    drop(db);
    assert_eq!(read_all(&open(dir.path()), 1), all);
}

#[test]
fn deleted_samples_are_gone_from_head_and_blocks_for_good() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    for n in 0..300 {
        put(&db, AppendOptions::scrape(), 1, &[(T0 + n * 60_000, n as f64)]);
        put(&db, AppendOptions::scrape(), 2, &[(T0 + n * 60_000, n as f64)]);
    }
    db.maintain().expect("maintain");
    assert_eq!(db.blocks().len(), 1);
    let all = read_all(&db, 2);
    let (from, to) = (T0 + 60 * 60_000, T0 + 250 * 60_000);
    db.delete_series(from, to, &[Matcher::equal("i", "1")]).expect("delete");
    let want: Vec<(i64, f64)> = all.iter().copied().filter(|(t, _)| *t < from || *t > to).collect();
    assert_eq!((read_all(&db, 1), read_all(&db, 2)), (want.clone(), all.clone()));
    let copy = tempfile::tempdir().expect("dir");
    db.snapshot(copy.path(), false).expect("snapshot");
    drop(db);
    let db = open(dir.path());
    assert_eq!((read_all(&db, 1), read_all(&db, 2)), (want.clone(), all.clone()));
    db.clean_tombstones().expect("clean");
    db.flush_head().expect("flush");
    assert_eq!((read_all(&db, 1), read_all(&db, 2)), (want.clone(), all.clone()));
    assert_eq!(db.head().deleted_count(), 0);
    let db = open(copy.path());
    assert_eq!((read_all(&db, 1), read_all(&db, 2)), (want, all));
}

#[test]
fn labels_of_series_that_left_are_known_while_the_log_speaks_of_them() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    put(&db, AppendOptions::scrape(), 7, &[(T0, 1.0)]);
    let cursor = db.wal().register_cursor("up", db.wal().end());
    for step in 0..12 * 60 {
        put(&db, AppendOptions::scrape(), 1, &[(T0 + step * 60_000, 1.0)]);
        if step % 30 == 0 {
            db.wal().next_segment().expect("segment");
        }
    }
    db.maintain().expect("maintain");
    assert_eq!(db.head().series_count(), 1);
    assert_eq!(db.labels_of(SeriesRef(1)), Some(labels(7)));
    drop(cursor);
    let s = db.cardinality(10, None);
    assert_eq!(s.series_by_metric, vec![("m".to_string(), 1)]);
}

#[test]
fn late_blocks_beside_the_head_do_not_hide_what_is_only_in_the_log() {
    // A merged block of late samples once claimed that the head had come as far as it: the log before its end was then passed over.
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    let minute = |n: i64| T0 + n * 60_000;
    let mut want: BTreeMap<i64, f64> = (0..170).map(|n| (minute(n), 1.0)).collect();
    put(&db, AppendOptions::scrape(), 1, &want.iter().map(|(t, v)| (*t, *v)).collect::<Vec<_>>());
    let late: Vec<(i64, f64)> = (-1200..160).map(|n| (minute(n) + 30_000, 2.0)).collect();
    assert!(put(&db, AppendOptions::receive(), 1, &late).iter().all(Result::is_ok));
    want.extend(late);
    {
        let _one = db.change.lock();
        db.compact_late().expect("late");
    }
    db.maintain().expect("maintain");
    let want: Vec<(i64, f64)> = want.into_iter().collect();
    assert_eq!(read_all(&db, 1), want);
    drop(db);
    assert_eq!(read_all(&open(dir.path()), 1), want);
}

#[test]
fn both_kinds_of_float_chunks_live_side_by_side() {
    let dir = tempfile::tempdir().expect("dir");
    let part = |from: i64| (from..from + 700).map(|n| (T0 + n * 15_000, (n % 9) as f64 / 3.0)).collect::<Vec<_>>();
    let xor2 = |on: bool| {
        let o = options(dir.path());
        Db::open(DbOptions { head: crate::config::HeadOptions { xor2: on, ..o.head }, ..o }).expect("open")
    };
    let mut want = part(0);
    put(&xor2(false), AppendOptions::scrape(), 1, &part(0));
    put(&xor2(true), AppendOptions::scrape(), 1, &part(700));
    want.extend(part(700));
    let db = xor2(false);
    put(&db, AppendOptions::scrape(), 1, &part(1400));
    want.extend(part(1400));
    assert_eq!(read_all(&db, 1), want);
    db.flush_head().expect("flush");
    assert_eq!(read_all(&db, 1), want);
}

#[test]
fn a_damaged_chunk_of_the_head_costs_itself() {
    let dir = tempfile::tempdir().expect("dir");
    let db = open(dir.path());
    let samples: Vec<(i64, f64)> = (0..600).map(|n| (T0 + n * 15_000, n as f64)).collect();
    put(&db, AppendOptions::scrape(), 1, &samples);
    db.head().full.flush().expect("flush");
    let path = dir.path().join(open::CHUNKS_HEAD_DIR).join("000001");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[60] ^= 0xff;
    db.options.fs.open(&path, stdx::fs::Open::Truncate).and_then(|mut f| f.append(&bytes)).expect("write");
    let q = db.querier(T0, i64::MAX).expect("querier");
    let found = q.select(true, &SelectHints::default(), &[Matcher::equal("i", "1")]).expect("select");
    let mut d = SeriesData::default();
    found.read(0, T0, i64::MAX, &mut d).expect("read");
    assert_eq!(d.t_ms.len(), 480);
    assert!(found.warnings()[0].contains("checksum"), "{:?}", found.warnings());
    drop((q, found, db));
    // The log has it all.
    assert_eq!(read_all(&open(dir.path()), 1), samples);
}

#[test]
fn batches_that_come_while_the_log_is_replayed_wait_for_the_head() {
    let dir = tempfile::tempdir().expect("dir");
    let samples: Vec<(i64, f64)> = (0..3000).map(|n| (T0 + n * 1000, n as f64)).collect();
    put(&open(dir.path()), AppendOptions::scrape(), 1, &samples);
    let db = Db::open(DbOptions { replay_behind: true, ..options(dir.path()) }).expect("open");
    let mut a: Box<dyn Appender> = Box::new(waiting::WaitingAppender::new(&db, AppendOptions::scrape()));
    let s = a.series(labels(1).as_ref()).expect("series");
    assert_eq!(a.series(labels(1).as_ref()), Ok(s));
    a.append(s, T0 + 4_000_000, 9.0).expect("append");
    a.append(s, T0 + 1, 9.0).expect("gathered, refused later");
    let stats = a.commit(Wait::Durable).expect("commit");
    assert_eq!((stats.samples, stats.dropped), (1, 1));
    assert!(db.is_ready());
    assert_eq!(db.waiting_bytes.load(Ordering::Relaxed), 0);
    let mut a = db.appender(AppendOptions::scrape());
    assert_eq!(a.append(s, T0 + 4_000_001, 9.0), Err(AppendError::UnknownSeries));
    drop(a);
    let mut want = samples;
    want.push((T0 + 4_000_000, 9.0));
    assert_eq!(read_all(&db, 1), want);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Batches at any time with reopening, compaction and flushing in between: what is read is what was taken.
    #[test]
    fn nothing_is_lost_or_doubled(steps in proptest::collection::vec((0u8..10, 0i64..700, 1i64..40), 1..30)) {
        let dir = tempfile::tempdir().expect("dir");
        let mut db = open(dir.path());
        let mut want: [BTreeMap<i64, f64>; 2] = Default::default();
        for (n, (what, at, len)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    drop(db);
                    db = open(dir.path());
                }
                1 => db.maintain().expect("maintain"),
                2 => {
                    let _one = db.change.lock();
                    db.compact_late().expect("late");
                }
                3 => {
                    db.wal().next_segment().expect("segment");
                    db.flush_head().expect("flush");
                }
                _ => {
                    let i = usize::from(what % 2);
                    let samples: Vec<(i64, f64)> = (at..at + len).map(|m| (T0 + m * 60_000, (n as i64 * 1000 + m) as f64)).collect();
                    let results = put(&db, AppendOptions::receive(), i, &samples);
                    for ((t, v), r) in samples.iter().zip(results) {
                        if r.is_ok() { want[i].entry(*t).or_insert(*v); }
                    }
                }
            }
        }
        for (i, want) in want.iter().enumerate() {
            let got = read_all(&db, i);
            prop_assert_eq!(got.iter().map(|(t, _)| *t).collect::<Vec<_>>(), want.keys().copied().collect::<Vec<_>>());
        }
    }
}
