use super::*;
use proptest::prelude::*;
use stdx::fs::RealFs;

proptest! {
    #[test]
    fn intervals_are_a_set_of_times(ranges in prop::collection::vec((-30i64..30, 0i64..8), 0..12)) {
        let mut intervals = Intervals::default();
        for (from, len) in &ranges {
            intervals.add(Interval { mint_ms: *from, maxt_ms: from + len });
        }
        for t in -40..50 {
            let want = ranges.iter().any(|(from, len)| (*from..=from + len).contains(&t));
            prop_assert_eq!(intervals.contains(t), want, "{} in {:?}", t, intervals);
            prop_assert_eq!(intervals.overlaps(t, t + 2), (t..=t + 2).any(|t| intervals.contains(t)));
            prop_assert_eq!(intervals.covers(t, t + 2), (t..=t + 2).all(|t| intervals.contains(t)));
        }
        prop_assert!(intervals.as_slice().windows(2).all(|w| w[0].maxt_ms + 1 < w[1].mint_ms));
    }
}

#[test]
fn the_file_reads_back_and_damage_is_noticed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    assert!(Tombstones::read(&RealFs, dir.path()).expect("no file").is_empty());
    let mut t = Tombstones::default();
    t.add(1, Interval { mint_ms: i64::MIN, maxt_ms: -3 });
    t.add(900, Interval { mint_ms: 5, maxt_ms: i64::MAX });
    t.write(&RealFs, dir.path()).expect("write");
    assert_eq!(Tombstones::read(&RealFs, dir.path()).expect("read"), t);
    let bytes = t.to_bytes();
    for i in 0..bytes.len() {
        let mut b = bytes.clone();
        b[i] ^= 1;
        assert!(Tombstones::from_bytes(&b).is_err(), "byte {i}");
    }
    assert_eq!(Tombstones::default().to_bytes(), [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
}
