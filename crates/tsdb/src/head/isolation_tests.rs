use super::super::Head;
use super::super::chunks_head::HeadChunks;
use super::super::querier::HeadQueryable;
use crate::config::HeadOptions;
use crate::metrics::Metrics;
use model::{Labels, Matcher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use stdx::clock::{ManualClock, SharedClock};
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use storage::{AppendOptions, Appender, Queryable, SelectHints, Selection, SeriesData, Wait};

const NOW: i64 = 1_700_000_000_000;
const SERIES: usize = 40;

fn head() -> (Arc<Head>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let clock: SharedClock = ManualClock::at_ms(NOW);
    let (full, _) = HeadChunks::open(RealFs::shared(), dir.path(), |_| {}).expect("open");
    let metrics = Metrics::new(&Registry::new(Arc::clone(&clock)));
    (Arc::new(Head::new(HeadOptions::default(), crate::config::DEFAULT_BLOCK_MS, clock, metrics, full)), dir)
}

/// One sample at the same time for each series.
fn gather(head: &Head, t_ms: i64, v: f64) -> Box<dyn Appender + '_> {
    let mut a = Box::new(head.appender(AppendOptions::receive()));
    for i in 0..SERIES {
        let s = a.series(Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())]).as_ref()).expect("series");
        a.append(s, t_ms, v).expect("append");
    }
    a
}

fn batch(head: &Head, t_ms: i64, v: f64) {
    gather(head, t_ms, v).commit(Wait::Durable).expect("commit");
}

fn select(head: &Arc<Head>) -> Arc<dyn Selection> {
    let q = HeadQueryable(Arc::clone(head)).querier(i64::MIN / 2, i64::MAX / 2).expect("querier");
    q.select(true, &SelectHints::default(), &[Matcher::equal("__name__", "m")]).expect("select")
}

fn times(found: &dyn Selection, i: usize) -> Vec<i64> {
    let mut d = SeriesData::default();
    found.read(i, i64::MIN, i64::MAX, &mut d).expect("read");
    d.t_ms
}

#[test]
fn a_reader_sees_what_was_there_when_it_began() {
    let (head, _dir) = head();
    batch(&head, NOW, 1.0);
    batch(&head, NOW - 50, 1.0);
    let first = select(&head);
    batch(&head, NOW + 10, 2.0);
    let second = select(&head);
    batch(&head, NOW + 20, 3.0);
    batch(&head, NOW - 30, 3.0);
    batch(&head, NOW + 30, 4.0);
    let third = select(&head);
    let all = [NOW - 50, NOW - 30, NOW, NOW + 10, NOW + 20, NOW + 30];
    for i in 0..SERIES {
        assert_eq!(times(&*first, i), [NOW - 50, NOW]);
        assert_eq!(times(&*second, i), [NOW - 50, NOW, NOW + 10]);
        assert_eq!(times(&*third, i), all);
        // As chunks too.
        let mut d = SeriesData::default();
        let mut chunks = Vec::new();
        first.chunks(i, i64::MIN, i64::MAX, &mut |c| chunks.push(c)).expect("chunks");
        chunks.iter().for_each(|c| crate::chunkenc::decode(c.encoding, &c.bytes, i64::MIN, i64::MAX, &mut d).expect("decode"));
        assert_eq!(d.t_ms, [NOW - 50, NOW]);
    }
    // Each series: noted once per epoch, and the late sample.
    assert_eq!(head.isolation.kept(), SERIES * 3);
    drop(first);
    head.isolation.tidy();
    assert_eq!(head.isolation.kept(), SERIES * 2);
    assert_eq!(times(&*second, 0), [NOW - 50, NOW, NOW + 10]);
    drop((second, third));
    assert_eq!(head.isolation.kept(), 0);
    batch(&head, NOW + 40, 5.0);
    assert_eq!(head.isolation.kept(), 0, "nothing is noted while nobody reads");
}

#[test]
fn a_reader_waits_for_a_batch_that_is_half_in_memory() {
    let (head, _dir) = head();
    batch(&head, NOW, 1.0);
    let slot = head.index.read().all().iter().nth(SERIES / 2).expect("a slot");
    let gathered = Barrier::new(2);
    std::thread::scope(|s| {
        let (head, gathered) = (&head, &gathered);
        s.spawn(move || {
            let a = gather(head, NOW + 10, 2.0);
            gathered.wait();
            gathered.wait();
            a.commit(Wait::Durable).expect("commit");
        });
        gathered.wait();
        // It stops at this series on its way into memory.
        let held = head.slot(slot).lock();
        gathered.wait();
        let pause = || std::thread::sleep(Duration::from_millis(30));
        pause();
        let reader = s.spawn(move || {
            let found = select(head);
            (0..SERIES).map(|i| times(&*found, i)).collect::<Vec<_>>()
        });
        pause();
        assert!(!reader.is_finished());
        drop(held);
        assert_eq!(reader.join().expect("reads"), vec![vec![NOW, NOW + 10]; SERIES]);
    });
}

/// Batches come from two sides, in order and late, and readers look all the time: all series of a selection always have the same samples.
#[test]
fn no_batch_is_ever_seen_in_half() {
    let (head, _dir) = head();
    batch(&head, NOW, 0.0);
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        let (head, done) = (&head, &done);
        for _ in 0..2 {
            s.spawn(move || {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) || seen == 0 {
                    let found = select(head);
                    let all: Vec<Vec<i64>> = (0..found.len()).map(|i| times(&*found, i)).collect();
                    assert_eq!(all.len(), SERIES);
                    for t in &all {
                        assert_eq!(*t, all[0], "a batch is seen in half");
                    }
                    seen += 1;
                }
            });
        }
        for n in 1..400 {
            batch(head, NOW + n * 10, n as f64);
            if n % 5 == 0 {
                batch(head, NOW + n * 10 - 15, -1.0);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
