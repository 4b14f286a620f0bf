use super::*;
use crate::testing::{open_with, options};
use crate::{Compression, Records, WalOptions};
use stdx::fs::RealFs;

fn with_segments(dir: &std::path::Path, budget: CursorBudget) -> Wal {
    let o = WalOptions { cursor_budget: budget, ..options(Compression::None) };
    let wal = open_with(RealFs::shared(), dir, o).expect("open");
    for i in 0..5i64 {
        let mut r = Records::default();
        r.samples([crate::record::RefSample { series: 1, start_ms: 0, t_ms: i * 1000, v: 1.0 }]);
        wal.log(&r).expect("log");
        wal.next_segment().expect("switch");
    }
    wal
}

const FOREVER: Duration = Duration::from_secs(1 << 40);

#[test]
fn segments_stay_as_long_as_a_cursor_needs_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = with_segments(dir.path(), CursorBudget { max_bytes: u64::MAX, max_age: FOREVER });
    let hold = wal.register_cursor("up", LogPosition { segment: 2, offset: 5 });
    let t = wal.truncate(4).expect("truncate");
    assert_eq!((t.removed_segments, t.passed.len()), (2, 0));
    assert!(t.held_bytes > 0);
    assert_eq!((wal.segments().expect("segments"), wal.lowest_cursor_segment()), ((2, 5), Some(2)));
    hold.advance(LogPosition { segment: 3, offset: 0 });
    assert_eq!(wal.truncate(4).expect("truncate").removed_segments, 1);
    drop(hold);
    assert_eq!(wal.truncate(4).expect("truncate").removed_segments, 1);
    assert_eq!(wal.truncate(99).expect("truncate").removed_segments, 1, "the one being written stays");
}

#[test]
fn over_the_budget_the_oldest_go_and_the_cursor_learns_which_times_it_lost() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = with_segments(dir.path(), CursorBudget { max_bytes: 2 * 32 * 1024, max_age: FOREVER });
    let slow = wal.register_cursor("slow", LogPosition { segment: 0, offset: 0 });
    let quick = wal.register_cursor("quick", LogPosition { segment: 4, offset: 0 });
    let t = wal.truncate(5).expect("truncate");
    assert_eq!((t.removed_segments, t.held_bytes), (3, 2 * 32 * 1024));
    let to = LogPosition { segment: 3, offset: 0 };
    let want = Passed { cursor: "slow".into(), from: LogPosition { segment: 0, offset: 0 }, to, times_ms: Some((0, 2000)) };
    assert_eq!(t.passed, vec![want.clone()]);
    assert_eq!((slow.take_passed(), slow.take_passed(), slow.position()), (vec![want], vec![], to));
    assert_eq!(quick.take_passed(), vec![]);
}

#[test]
fn old_age_counts_too() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let o = WalOptions { cursor_budget: CursorBudget { max_bytes: u64::MAX, max_age: Duration::from_secs(60) }, ..options(Compression::None) };
    let clock = stdx::clock::ManualClock::at_ms(i64::MAX / 2_000_000);
    let registry = stdx::metrics::Registry::new(clock.clone());
    let wal = Wal::open(RealFs::shared(), dir.path(), o, &registry, clock).expect("open");
    wal.log_records([b"Zx".as_slice()]).expect("log");
    wal.next_segment().expect("switch");
    let hold = wal.register_cursor("up", LogPosition::default());
    assert_eq!(wal.truncate(1).expect("truncate").passed[0].times_ms, None);
    assert_eq!(hold.position().segment, 1);
}
