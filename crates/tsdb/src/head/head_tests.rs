use super::*;
use chunks_head::HeadChunks;
use model::{LabelsRef, MatchOp, Matcher};
use proptest::prelude::*;
use querier::HeadQueryable;
use std::collections::BTreeMap;
use stdx::clock::{ManualClock, SharedClock};
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use storage::{AppendError, AppendOptions, Appender, Queryable, SelectHints, SeriesData, Wait};

const NOW: i64 = 1_700_000_000_000;

fn head_with(options: HeadOptions) -> (Arc<Head>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let clock: SharedClock = ManualClock::at_ms(NOW);
    let (full, _) = HeadChunks::open(RealFs::shared(), dir.path(), |_| {}).expect("open");
    let metrics = Metrics::new(&Registry::new(Arc::clone(&clock)));
    (Arc::new(Head::new(options, crate::config::DEFAULT_BLOCK_MS, clock, metrics, full)), dir)
}

fn head() -> (Arc<Head>, tempfile::TempDir) {
    head_with(HeadOptions::default())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn put(head: &Head, options: AppendOptions, l: &Labels, samples: &[(i64, f64)]) -> Vec<Result<(), AppendError>> {
    let mut a = Box::new(head.appender(options));
    let s = a.series(l.as_ref()).expect("series");
    let results = samples.iter().map(|(t, v)| a.append(s, *t, *v)).collect();
    a.commit(Wait::Durable).expect("commit");
    results
}

fn read(head: &Arc<Head>, matchers: &[Matcher], a: i64, b: i64) -> Vec<(Labels, SeriesData)> {
    let q = HeadQueryable(Arc::clone(head)).querier(a, b).expect("querier");
    let sel = q.select(true, &SelectHints::default(), matchers).expect("select");
    (0..sel.len())
        .map(|i| {
            let mut d = SeriesData::default();
            sel.read(i, a, b, &mut d).expect("read");
            (sel.labels(i), d)
        })
        .collect()
}

#[test]
fn samples_are_checked_as_prometheus_checks_them() {
    let (head, _dir) = head();
    let l = labels(&[("__name__", "up")]);
    let scrape = |samples: &[(i64, f64)]| put(&head, AppendOptions::scrape(), &l, samples);
    assert_eq!(scrape(&[(NOW, 1.0), (NOW + 1000, 2.0)]), vec![Ok(()), Ok(())]);
    assert_eq!(
        scrape(&[(NOW + 1000, 2.0), (NOW + 1000, 3.0), (NOW, 1.0), (NOW - 5, 1.0)]),
        vec![Ok(()), Err(AppendError::DuplicateTimestamp), Ok(()), Err(AppendError::OutOfOrder)]
    );
    let hour = 3_600_000;
    assert_eq!(scrape(&[(NOW - 2 * hour, 1.0), (NOW + hour, 1.0)]), vec![Err(AppendError::OutOfBounds), Err(AppendError::OutOfBounds)]);
    let receive = |samples: &[(i64, f64)]| put(&head, AppendOptions::receive(), &l, samples);
    head.set_retention_ms(24 * hour);
    assert_eq!(receive(&[(NOW - 2 * hour, 1.0), (NOW - 25 * hour, 1.0), (NOW - 5, 7.0)]), vec![Ok(()), Err(AppendError::TooOld), Ok(())]);
    assert_eq!(receive(&[(NOW - 2 * hour, 1.0), (NOW - 5, 8.0)]), vec![Ok(()), Err(AppendError::DuplicateTimestamp)]);
    let got = read(&head, &[Matcher::equal("__name__", "up")], 0, i64::MAX);
    assert_eq!(got[0].1.t_ms, vec![NOW - 2 * hour, NOW - 5, NOW, NOW + 1000]);
    assert_eq!(got[0].1.v, vec![1.0, 7.0, 1.0, 2.0]);
    assert_eq!(head.late_samples(), 2);
}

#[test]
fn a_batch_that_is_rolled_back_leaves_no_samples() {
    let (head, _dir) = head();
    let mut a = Box::new(head.appender(AppendOptions::scrape()));
    let s = a.series(labels(&[("a", "1")]).as_ref()).expect("series");
    a.append(s, NOW, 1.0).expect("append");
    a.rollback();
    let got = read(&head, &[Matcher::equal("a", "1")], 0, i64::MAX);
    assert!(got[0].1.is_empty());
    let slot = head.index.read().slot_of(s.0).expect("slot");
    assert_eq!(head.slot(slot).lock().pins, 0);
    let mut a = head.appender(AppendOptions::scrape());
    assert_eq!(a.append(SeriesRef(77), NOW, 1.0), Err(AppendError::UnknownSeries));
}

#[test]
fn limits_refuse_new_series_and_let_known_ones_go_on() {
    let (head, _dir) = head_with(HeadOptions { max_series: 3, max_series_per_job: 2, ..HeadOptions::default() });
    let mut a = head.appender(AppendOptions::scrape());
    let mut add = |job: &str, i: &str| a.series(labels(&[("i", i), ("job", job)]).as_ref()).map(|_| ());
    assert_eq!((add("a", "1"), add("a", "2")), (Ok(()), Ok(())));
    assert_eq!(add("a", "3"), Err(AppendError::SeriesLimit { limit: 2, scope: "job \"a\"".into() }));
    assert_eq!((add("a", "1"), add("b", "1")), (Ok(()), Ok(())));
    assert_eq!(add("c", "1"), Err(AppendError::SeriesLimit { limit: 3, scope: "head".into() }));
}

#[test]
fn matchers_see_absent_labels_as_empty() {
    let (head, _dir) = head();
    for (a, b) in [("1", ""), ("1", "x"), ("2", "y"), ("2", ""), ("", "z")] {
        put(&head, AppendOptions::scrape(), &Labels::from_pairs([("a", a), ("b", b), ("c", "c")]), &[(NOW, 1.0)]);
    }
    let check = |ms: &[(MatchOp, &str, &str)], want: &[&str]| {
        let ms: Vec<Matcher> = ms.iter().map(|(op, n, v)| Matcher::new(*op, *n, *v).expect("matcher")).collect();
        let got: Vec<String> = read(&head, &ms, 0, i64::MAX).iter().map(|(l, _)| format!("{}{}", l.value("a"), l.value("b"))).collect();
        assert_eq!(got, want, "{ms:?}");
    };
    use MatchOp::*;
    check(&[(Equal, "a", "1")], &["1x", "1"]);
    check(&[(Equal, "a", "")], &["z"]);
    check(&[(Equal, "a", "3")], &[]);
    check(&[(NotEqual, "a", "1")], &["2y", "2", "z"]);
    check(&[(NotEqual, "a", "")], &["1x", "1", "2y", "2"]);
    check(&[(Regex, "b", "x|y")], &["1x", "2y"]);
    check(&[(Regex, "b", "x|")], &["1x", "1", "2"]);
    check(&[(NotRegex, "b", "x|y")], &["1", "2", "z"]);
    check(&[(NotRegex, "b", "x|")], &["2y", "z"]);
    check(&[(Regex, "b", ".*")], &["1x", "1", "2y", "2", "z"]);
    check(&[(Regex, "b", ".+"), (Equal, "a", "2")], &["2y"]);
    check(&[(Equal, "nope", "")], &["1x", "1", "2y", "2", "z"]);
    check(&[(NotEqual, "nope", "")], &[]);
    let q = HeadQueryable(Arc::clone(&head)).querier(0, i64::MAX).expect("querier");
    let values = |ms: &[Matcher]| q.label_values("b", Default::default(), ms).expect("values").0;
    assert_eq!(values(&[]), ["x", "y", "z"]);
    assert_eq!(values(&[Matcher::equal("a", "2")]), ["y"]);
    assert_eq!(q.label_names(Default::default(), &[Matcher::equal("b", "z")]).expect("names").0, ["b", "c"]);
}

#[test]
fn many_values_are_looked_at_in_pieces() {
    let (head, _dir) = head();
    let mut a = Box::new(head.appender(AppendOptions::scrape()));
    for i in 0..10_000 {
        let s = a.series(labels(&[("i", &i.to_string()), ("odd", &(i % 2).to_string())]).as_ref()).expect("series");
        a.append(s, NOW, f64::from(i)).expect("append");
    }
    a.commit(Wait::Written).expect("commit");
    let re = Matcher::new(MatchOp::Regex, "i", "9..").expect("matcher");
    assert_eq!(read(&head, std::slice::from_ref(&re), 0, i64::MAX).len(), 100);
    assert_eq!(read(&head, &[re.clone(), Matcher::equal("odd", "1")], 0, i64::MAX).len(), 50);
    assert_eq!(read(&head, &[re.inverse()], 0, i64::MAX).len(), 9_900);
    let all = read(&head, &[Matcher::not_equal("i", "")], 0, i64::MAX);
    assert_eq!(all.len(), 10_000);
    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
}

/// Samples of any kind at any time, in batches: what is read is the first value of each time.
fn steps() -> impl Strategy<Value = Vec<Vec<(i64, u8)>>> {
    proptest::collection::vec(proptest::collection::vec((0i64..2000, 0u8..12), 1..60), 1..12)
}

fn histogram(n: u8) -> Histogram {
    let n = u64::from(n);
    Histogram {
        count: n + 1,
        sum: n as f64,
        zero_count: 1,
        positive_spans: vec![model::histogram::Span { offset: n as i32 % 3, length: 1 }],
        positive_deltas: vec![n as i64],
        ..Histogram::default()
    }
}

use model::Histogram;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_appended_is_read(batches in steps(), start in 0i64..2000, len in 0i64..2000) {
        let (head, _dir) = head();
        let l = labels(&[("a", "1")]);
        let mut want: BTreeMap<i64, u8> = BTreeMap::new();
        for batch in batches {
            let mut a = Box::new(head.appender(AppendOptions::receive()));
            let s = a.series(l.as_ref()).expect("series");
            for (t, n) in batch {
                let at = NOW - 3_000_000 + t * 1000;
                let result = match n % 4 {
                    0 => a.append_histogram(s, at, storage::HistogramSample::Int(&histogram(n))),
                    1 => a.append_histogram(s, at, storage::HistogramSample::Float(&histogram(n).to_float())),
                    _ => a.append(s, at, f64::from(n)),
                };
                // A conflict within the batch shows only at the end; the first in memory stays.
                if result.is_ok() { want.entry(at).or_insert(n); }
            }
            a.commit(Wait::Durable).expect("commit");
        }
        let (start, end) = (NOW - 3_000_000 + start * 1000, NOW - 3_000_000 + (start + len) * 1000);
        let got = read(&head, &[Matcher::equal("a", "1")], start, end).remove(0).1;
        let mut all: Vec<(i64, f64)> = got.t_ms.iter().copied().zip(got.v.iter().copied()).collect();
        all.extend(got.hist_t_ms.iter().copied().zip(got.hist.iter().map(|h| h.sum)));
        all.sort_by_key(|(t, _)| *t);
        let times: Vec<i64> = all.iter().map(|(t, _)| *t).collect();
        prop_assert_eq!(times, want.range(start..=end).map(|(t, _)| *t).collect::<Vec<_>>());
        for (t, v) in all {
            prop_assert_eq!(v, f64::from(want[&t]));
        }
        let _ = LabelsRef::from_encoded(&[]);
    }
}

/// A sender that repeats its series in the same order is taken by guesses and in runs; what comes of it is the same as without.
#[test]
fn guessed_series_and_runs_are_stored_as_any() {
    let (head, _dir) = head();
    let all: Vec<Labels> = (0..50).map(|i| labels(&[("__name__", "up"), ("i", &format!("{i:02}"))])).collect();
    let pairs = |l: &Labels| -> Vec<(Vec<u8>, Vec<u8>)> { l.as_ref().iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect() };
    let mut guessed = 0;
    for round in 0..4i64 {
        let mut a = Box::new(head.appender(AppendOptions::receive()));
        for (i, l) in all.iter().enumerate() {
            // In the last round every tenth is left out.
            if round == 3 && i % 10 == 9 {
                continue;
            }
            let owned = pairs(l);
            let borrowed: Vec<(&[u8], &[u8])> = owned.iter().map(|(n, v)| (&n[..], &v[..])).collect();
            let behind = a.series_behind(&borrowed);
            guessed += usize::from(behind.is_some());
            let s = behind.unwrap_or_else(|| a.series(l.as_ref()).expect("series"));
            assert_eq!(head.labels_of(s), Some(l.clone()));
            // The third does not rise any more, the fourth is too far ahead.
            let t = NOW - 60_000 + round * 10_000;
            let samples = [(t, 1.0), (t + 1000, 2.0), (t - 21_500, 3.0), (NOW + 3_600_000, 4.0)];
            let taken = a.append_run(s, &mut samples.iter().copied());
            assert_eq!(taken, if round == 0 { 3 } else { 2 });
            for (t, v) in &samples[taken..] {
                assert_eq!(a.append(s, *t, *v).is_ok(), *t < NOW);
            }
        }
        a.commit(Wait::Written).expect("commit");
    }
    // All but the first of each round, and those behind one that was left out.
    assert_eq!(guessed, 2 * 49 + 45 - 1 - 4);
    for (i, (l, d)) in read(&head, &[Matcher::equal("__name__", "up")], 0, i64::MAX).into_iter().enumerate() {
        let mut want = BTreeMap::new();
        for round in 0..if i % 10 == 9 { 3 } else { 4 } {
            let t = NOW - 60_000 + round * 10_000;
            for (t, v) in [(t, 1.0), (t + 1000, 2.0), (t - 21_500, 3.0)] {
                want.entry(t).or_insert(v);
            }
        }
        assert_eq!((l, d.t_ms), (all[i].clone(), want.keys().copied().collect::<Vec<_>>()));
        assert_eq!(d.v, want.into_values().collect::<Vec<_>>());
    }
    let alive: Vec<u32> = head.index.read().all().iter().collect();
    assert!(alive.iter().all(|slot| head.slot(*slot).lock().pins == 0));
}
