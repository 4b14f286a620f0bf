use crate::config::{DEFAULT_BLOCK_MS, HeadOptions};
use crate::head::Head;
use crate::head::chunks_head::HeadChunks;
use crate::head::querier::HeadQueryable;
use crate::metrics::Metrics;
use model::{Labels, Matcher};
use std::sync::Arc;
use stdx::clock::{ManualClock, SharedClock};
use stdx::fs::RealFs;
use stdx::metrics::Registry;
use storage::{AppendOptions, Appender, Grouping, Queryable, SelectHints, Wait};

/// What is grouped by numbers is what is grouped by texts, whatever labels series have.
#[test]
fn groups_are_those_of_the_labels() {
    let dir = tempfile::tempdir().expect("dir");
    let clock: SharedClock = ManualClock::at_ms(1_700_000_000_000);
    let (full, _) = HeadChunks::open(RealFs::shared(), dir.path(), |_| {}).expect("open");
    let metrics = Metrics::new(&Registry::new(Arc::clone(&clock)));
    let head = Arc::new(Head::new(HeadOptions::default(), DEFAULT_BLOCK_MS, clock, metrics, full));
    let mut batch = Box::new(head.appender(AppendOptions::receive()));
    for i in 0..500u32 {
        let mut l = Labels::from_pairs([("__name__", "m".to_string()), ("i", i.to_string()), ("job", (i % 3).to_string())]);
        for (label, every) in [("a", 2), ("instance", 5), ("zone", 7)] {
            if i % every != 0 {
                l = l.with(label, &(i % 4).to_string());
            }
        }
        let s = batch.series(l.as_ref()).expect("series");
        batch.append(s, 1_700_000_000_000, 1.0).expect("append");
    }
    batch.commit(Wait::Written).expect("commit");
    let q = HeadQueryable(head).querier(0, i64::MAX).expect("querier");
    let found = q.select(true, &SelectHints::default(), &[Matcher::equal("__name__", "m")]).expect("select");
    let picked: Vec<usize> = (0..found.len()).filter(|i| i % 6 != 1).collect();
    for names in [&[][..], &["job"], &["a", "job"], &["zone", "a", "instance"], &["none"], &["__name__", "i"]] {
        for keep in [true, false] {
            let mut want = Grouping::new(names, keep);
            picked.iter().for_each(|i| want.add(found.labels(*i).as_ref()));
            assert_eq!(found.groups(&mut picked.iter().copied(), names, keep), want.groups, "{names:?} {keep}");
        }
        let mut got = Vec::new();
        found.labels_of(&mut picked.iter().copied(), names, &mut |l| got.push(l));
        assert_eq!(got, picked.iter().map(|i| found.labels(*i).without(names)).collect::<Vec<_>>());
    }
    assert!(found.may_have("zone") && !found.may_have("none"));
}
