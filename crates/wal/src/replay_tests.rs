use crate::repair::repair;
use crate::testing::{log, numbered, open, read_all};
use crate::{segment, testing};
use proptest::prelude::*;
use std::path::Path;
use stdx::fs::{Fs, Open, RealFs};

fn flip(dir: &Path, segment: u64, at: u64, bit: u8) {
    let mut f = RealFs.open(&segment::path(dir, segment), Open::Update).expect("open");
    let mut b = [0];
    f.read_at(at, &mut b).expect("read");
    f.write_at(at, &[b[0] ^ (1 << bit)]).expect("write");
}

/// The records of `all` without those in `got`.
fn missing(all: &[Vec<u8>], got: &[Vec<u8>]) -> usize {
    assert!(got.iter().all(|r| all.contains(r)), "nothing is made up");
    all.iter().filter(|r| !got.contains(r)).count()
}

#[test]
fn a_flipped_bit_in_a_records_data_costs_that_record_and_repair_keeps_the_rest() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let records = numbered(0, 40, 5_000);
    log(&open(dir.path()), &records);
    flip(dir.path(), 0, 5_007 + 100, 3);
    let (got, damage, _) = read_all(dir.path());
    assert_eq!(damage.len(), 1);
    assert_eq!((damage[0].segment, damage[0].from, damage[0].to), (0, 5_007, 2 * 5_007));
    assert!(damage[0].to_string().contains("00000000 at 5007: unexpected checksum"), "{}", damage[0]);
    assert_eq!(missing(&records, &got), 1);
    assert!(!got.contains(&records[1]));

    repair(&RealFs::shared(), &damage[0]).expect("repair");
    let (again, damage, _) = read_all(dir.path());
    assert!(damage.is_empty(), "{damage:?}");
    let known: Vec<_> = again.into_iter().filter(|r| r[0] == b'Z').collect();
    assert!(known == got);
}

#[test]
fn a_flipped_length_costs_the_record_it_belongs_to() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let records = numbered(0, 40, 5_000);
    log(&open(dir.path()), &records);
    flip(dir.path(), 0, 5_007 + 2, 6);
    let (got, damage, _) = read_all(dir.path());
    assert_eq!(damage.len(), 1);
    assert!(got[0] == records[0] && got[1..] == records[2..]);
}

#[test]
fn damage_in_the_middle_of_a_long_record_passes_over_all_of_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut records = numbered(0, 1, 100);
    records.extend(numbered(1, 2, 100_000));
    records.extend(numbered(2, 5, 100));
    log(&open(dir.path()), &records);
    flip(dir.path(), 0, 40_000, 0);
    let (got, damage, _) = read_all(dir.path());
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].from, 107);
    assert!(got[0] == records[0] && got[1..] == records[2..]);
    repair(&RealFs::shared(), &damage[0]).expect("repair");
    let (again, damage, _) = read_all(dir.path());
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!(again.iter().filter(|r| r.first() == Some(&b'Z')).count(), 4);
}

#[test]
fn damage_in_one_segment_does_not_touch_the_next() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let records = numbered(0, 60, 5_000);
    log(&open(dir.path()), &records);
    let last_page = RealFs.len(&segment::path(dir.path(), 0)).expect("length") - 32 * 1024;
    for at in (last_page..last_page + 32 * 1024).step_by(100) {
        flip(dir.path(), 0, at, 1);
    }
    let (got, damage, _) = read_all(dir.path());
    assert!(!damage.is_empty());
    assert!(missing(&records, &got) <= 8);
    assert!(got.ends_with(&records[30..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_flipped_bit_costs_at_most_one_record_and_repair_heals(at in 0u64..200_000, bit in 0u8..8, len in 50usize..9_000) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let records = numbered(0, 200_000 / len, len);
        log(&testing::open(dir.path()), &records);
        let (segment, at) = (at / 100_000, at % 100_000);
        prop_assume!(RealFs.len(&segment::path(dir.path(), segment)).is_ok_and(|l| at < l));
        flip(dir.path(), segment, at, bit);
        let (got, damage, _) = read_all(dir.path());
        let lost = missing(&records, &got);
        prop_assert!(lost <= 1, "lost {lost}");
        prop_assert!(lost == 0 || !damage.is_empty() || read_all(dir.path()).2);
        for d in &damage {
            repair(&RealFs::shared(), d).expect("repair");
        }
        let (again, damage, _) = read_all(dir.path());
        prop_assert!(damage.is_empty(), "{:?}", damage);
        prop_assert!(again.into_iter().filter(|r| r.first() == Some(&b'Z')).eq(got));
    }
}
