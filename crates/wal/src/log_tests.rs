use super::*;
use crate::testing::{TightFs, log, numbered, open, open_with, options, read_all};
use proptest::prelude::*;
use std::sync::atomic::Ordering;
use stdx::fs::{Fs, RealFs};

#[test]
fn what_is_logged_is_read_in_every_compression_and_size() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let wal = open_with(RealFs::shared(), dir.path(), options(compression)).expect("open");
        let mut want = Vec::new();
        for len in [9, 100, 32 * 1024 - 7, 32 * 1024 - 14, 32 * 1024, 70_000, 300_000, 10] {
            want.extend(numbered(want.len(), want.len() + 3, len));
        }
        want.push(Vec::new());
        log(&wal, &want);
        wal.close().expect("close");
        let (got, damage, torn) = read_all(dir.path());
        assert!(damage.is_empty() && !torn, "{damage:?}");
        assert!(got == want, "{compression:?}");
        assert!(compression != Compression::None || wal.segments().expect("segments").1 > 2, "several segments were needed");
    }
}

#[test]
fn a_commit_stays_in_one_segment() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = open(dir.path());
    log(&wal, &numbered(0, 1, 100_000));
    let big = numbered(1, 5, 20_000);
    let end = wal.log_records(big.iter().map(Vec::as_slice)).expect("log");
    assert_eq!(end.segment, 1);
    assert!(end.offset > 80_000, "all four are in the second segment: {end}");
}

#[test]
fn a_full_disk_refuses_and_forgets_and_works_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = TightFs::with_room(1000);
    let wal = open_with(fs.clone(), dir.path(), options(Compression::None)).expect("open");
    let records = numbered(0, 3, 400);
    log(&wal, &records[..2]);
    let end = wal.end();
    let refused = wal.log_records([records[2].as_slice()]);
    assert!(matches!(refused, Err(WalError::NoSpace(_))), "{refused:?}");
    assert_eq!(wal.end(), end);
    assert_eq!(read_all(dir.path()).0, records[..2]);
    fs.room.store(1_000_000, Ordering::SeqCst);
    wal.wait_durable(end).expect("sync still works");
    log(&wal, &records[2..]);
    wal.wait_durable(wal.end()).expect("sync");
    assert_eq!(read_all(dir.path()).0, records);
}

#[test]
fn after_a_failed_sync_nothing_is_written_any_more() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = TightFs::with_room(u64::MAX);
    let wal = open_with(fs.clone(), dir.path(), options(Compression::None)).expect("open");
    log(&wal, &numbered(0, 1, 100));
    fs.sync_fails.store(true, Ordering::SeqCst);
    assert!(matches!(wal.wait_durable(wal.end()), Err(WalError::Broken(_))));
    fs.sync_fails.store(false, Ordering::SeqCst);
    assert!(matches!(wal.wait_durable(wal.end()), Err(WalError::Broken(_))));
    assert!(matches!(wal.log_records([b"Zx".as_slice()]), Err(WalError::Broken(_))));
    assert!(matches!(wal.sync_if_due(), Err(WalError::Broken(_))));
}

#[test]
fn many_threads_share_a_sync() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = TightFs::with_room(u64::MAX);
    let wal = open_with(fs.clone(), dir.path(), options(Compression::None)).expect("open");
    std::thread::scope(|s| {
        for t in 0..8 {
            let wal = &wal;
            s.spawn(move || {
                for r in numbered(t * 100, t * 100 + 50, 500) {
                    let at = wal.log_records([r.as_slice()]).expect("log");
                    wal.wait_durable(at).expect("durable");
                }
            });
        }
    });
    let (got, damage, _) = read_all(dir.path());
    assert_eq!((got.len(), damage.len()), (400, 0));
    assert!(fs.syncs.load(Ordering::SeqCst) < 400, "{} syncs for 400 commits", fs.syncs.load(Ordering::SeqCst));
}

#[test]
fn an_interval_policy_syncs_only_when_it_is_time() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let fs = TightFs::with_room(u64::MAX);
    let clock = stdx::clock::ManualClock::at_ms(0);
    let o = WalOptions { sync: SyncPolicy::Interval(Duration::from_secs(1)), ..options(Compression::None) };
    let wal = Wal::open(fs.clone(), dir.path(), o, &Registry::new(clock.clone()), clock.clone()).expect("open");
    let syncs = || fs.syncs.load(Ordering::SeqCst);
    log(&wal, &numbered(0, 1, 100));
    wal.wait_durable(wal.end()).expect("no wait");
    wal.sync_if_due().expect("not due");
    assert_eq!(syncs(), 0);
    clock.advance(Duration::from_secs(2));
    wal.sync_if_due().expect("due");
    assert_eq!(syncs(), 1);
    clock.advance(Duration::from_secs(2));
    wal.sync_if_due().expect("nothing new");
    assert_eq!(syncs(), 1);
}

#[test]
fn opening_cuts_a_torn_tail_and_goes_on_in_a_new_segment() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let records = numbered(0, 4, 50_000);
    log(&open(dir.path()), &records[..2]);
    let path = segment::path(dir.path(), 0);
    let len = RealFs.len(&path).expect("length");
    RealFs.open(&path, stdx::fs::Open::Update).expect("open").set_len(len - 10).expect("tear");
    assert!(read_all(dir.path()).2, "torn");
    let wal = open(dir.path());
    log(&wal, &records[2..]);
    let (got, damage, torn) = read_all(dir.path());
    assert_eq!(got, vec![records[0].clone(), records[2].clone(), records[3].clone()]);
    assert!(damage.is_empty() && !torn);
    assert_eq!(wal.segments().expect("segments"), (0, 1));
}

#[test]
fn empty_segments_take_the_place_of_those_that_a_crash_took() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let records = numbered(0, 3, 50_000);
    records.iter().for_each(|r| log(&open(dir.path()), std::slice::from_ref(r)));
    RealFs.remove_file(&segment::path(dir.path(), 1)).expect("remove");
    let wal = open(dir.path());
    assert_eq!(wal.segments().expect("a sequence"), (0, 3));
    assert_eq!(read_all(dir.path()).0, vec![records[0].clone(), records[2].clone()]);
    drop(wal);
    // Behind a checkpoint the next segment must be there too.
    RealFs.create_dir_all(&dir.path().join("checkpoint.00000001")).expect("create");
    for n in 0..=2 {
        RealFs.remove_file(&segment::path(dir.path(), n)).expect("remove");
    }
    assert_eq!(open(dir.path()).segments().expect("a sequence"), (2, 4));
}

#[test]
fn a_gap_that_no_crash_leaves_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    drop(open(dir.path()));
    RealFs.open(&segment::path(dir.path(), 5000), stdx::fs::Open::CreateNew).expect("create");
    let refused = open_with(RealFs::shared(), dir.path(), options(Compression::None)).map(|_| ());
    assert!(matches!(refused, Err(WalError::Gap(_))), "{refused:?}");
}

#[test]
fn every_segment_begins_with_the_opening_record() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = open(dir.path());
    let opening = |n: u64| {
        let mut r = Vec::new();
        crate::record::encode_references(&mut r, n);
        r
    };
    let of = |last: u64| crate::replay::opening_of(&RealFs, dir.path(), last).expect("read");
    assert_eq!(of(9), None);
    wal.set_opening(&opening(7)).expect("set");
    let records = numbered(0, 4, 50_000);
    log(&wal, &records[..3]);
    assert_eq!(wal.segments().expect("segments"), (0, 1), "50,000 bytes thrice are more than a segment");
    assert_eq!((of(0), of(1)), (Some(opening(7)), Some(opening(7))));
    wal.set_opening(&opening(9)).expect("set");
    assert_eq!(of(9), Some(opening(7)), "a segment without records says nothing");
    log(&wal, &records[3..]);
    assert_eq!((of(9), of(1)), (Some(opening(9)), Some(opening(7))));
    let kept: Vec<_> = read_all(dir.path()).0.into_iter().filter(|r| r[0] == b'Z').collect();
    assert_eq!(kept, records);
    assert_eq!(crate::record::decode_references(&opening(9)).expect("decode"), 9);
    // Somebody else goes on: what the log began with says nothing about what comes after.
    log(&open(dir.path()), &records[..1]);
    assert_ne!(of(9), Some(opening(9)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_batches_read_back(batches in proptest::collection::vec(proptest::collection::vec((0usize..40_000, any::<u8>()), 0..4), 1..6)) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let wal = open_with(RealFs::shared(), dir.path(), options(Compression::Snappy)).expect("open");
        let mut want = Vec::new();
        for batch in &batches {
            let records: Vec<Vec<u8>> = batch.iter().map(|(len, b)| vec![*b; *len]).collect();
            wal.log_records(records.iter().map(Vec::as_slice)).expect("log");
            want.extend(records);
        }
        let (got, damage, torn) = read_all(dir.path());
        prop_assert!(damage.is_empty() && !torn);
        prop_assert!(got == want);
    }
}

/// docs/formats/wal.md has this segment as a picture.
#[test]
fn a_segment_is_as_pictured() {
    let page = format!("{}/../../docs/formats/wal.md", env!("CARGO_MANIFEST_DIR"));
    let page = String::from_utf8(RealFs.read(Path::new(&page)).expect("a page")).expect("text");
    let (_, rest) = page.split_once("```hex\n").expect("a picture");
    let (picture, _) = rest.split_once("```").expect("its end");
    let byte = |token: &str| u8::from_str_radix(token, 16).ok().filter(|_| token.len() == 2);
    let want: Vec<u8> = picture.lines().flat_map(|line| line.split_whitespace().map_while(byte)).collect();
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = open_with(RealFs::shared(), dir.path(), options(Compression::None)).expect("open");
    let mut records = Records::default();
    records.series([(1, model::Labels::from_pairs([("__name__", "a")]).as_ref())]);
    records.samples([crate::record::RefSample { series: 1, start_ms: 0, t_ms: 1000, v: 1.0 }]);
    wal.log(&records).expect("log");
    assert_eq!(RealFs.read(&dir.path().join("00000000")).expect("read"), want);
}

#[test]
fn what_a_killed_process_did_not_sync_is_synced_by_the_next() {
    for seed in 0..20 {
        let disk: std::sync::Arc<stdx::fs::Disk> = Default::default();
        let clock: SharedClock = stdx::clock::ManualClock::at_ms(0);
        let dir = Path::new("/data");
        let start = || {
            let mount = disk.mount(std::sync::Arc::clone(&clock));
            let registry = Registry::new(std::sync::Arc::clone(&clock));
            let wal = Wal::open(mount.clone(), dir, options(Compression::None), &registry, std::sync::Arc::clone(&clock)).expect("open");
            (mount, wal)
        };
        let (killed, wal) = start();
        killed.sync_dir(Path::new("/")).expect("the directory is there");
        let records = numbered(0, 50, 2_000);
        log(&wal, &records);
        killed.cut_off();
        let (mount, _wal) = start();
        mount.cut_off();
        disk.power_cut(&mut stdx::rand::Rand::seeded(seed));
        let mount: SharedFs = disk.mount(std::sync::Arc::clone(&clock));
        let mut reader = crate::replay::LogReader::open(mount, dir, 0, u64::MAX).expect("open");
        for want in &records {
            assert_eq!(reader.next().expect("read").map(|r| r.bytes.to_vec()).as_ref(), Some(want), "seed {seed}");
        }
    }
}
