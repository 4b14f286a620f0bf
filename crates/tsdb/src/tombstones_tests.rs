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

/// The bytes of the picture in a page of docs/formats: what stands as pairs of hex digits at the beginning of its lines.
pub(crate) fn picture(page: &str) -> Vec<u8> {
    let path = format!("{}/../../docs/formats/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = String::from_utf8(RealFs.read(Path::new(&path)).expect("a page")).expect("text");
    let (_, rest) = text.split_once("```hex\n").expect("a picture");
    let (picture, _) = rest.split_once("```").expect("its end");
    let byte = |token: &str| u8::from_str_radix(token, 16).ok().filter(|_| token.len() == 2);
    picture.lines().flat_map(|line| line.split_whitespace().map_while(byte)).collect()
}

#[test]
fn the_file_is_as_pictured() {
    let mut t = Tombstones::default();
    t.add(5, Interval { mint_ms: 1000, maxt_ms: 2000 });
    assert_eq!(t.to_bytes(), picture("tombstones.md"));
    assert_eq!(Tombstones::from_bytes(&picture("tombstones.md")), Ok(t));
}
