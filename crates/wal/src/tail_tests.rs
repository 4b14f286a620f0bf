use super::*;
use crate::testing::{log, numbered, open};
use stdx::fs::Fs;

const LONG: Duration = Duration::from_secs(20);

fn next(tail: &mut Tail) -> String {
    match tail.next(Duration::ZERO, &Shutdown::new()).expect("tail") {
        TailEvent::Record(r) => String::from_utf8_lossy(&r.bytes[..9]).into_owned(),
        TailEvent::Damaged(c) => format!("damaged {}", c.from),
        TailEvent::Skipped { from, to } => format!("skipped {from} {to}"),
        TailEvent::Idle => "idle".to_string(),
        TailEvent::Closed => "closed".to_string(),
    }
}

#[test]
fn follows_the_writer_through_segments_and_resumes_at_a_position() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = Arc::new(open(dir.path()));
    let mut tail = wal.tail(wal.end());
    assert_eq!(next(&mut tail), "idle");
    let records = numbered(0, 30, 20_000);
    let mut positions = Vec::new();
    for (i, r) in records.iter().enumerate() {
        wal.log_records([r.as_slice()]).expect("log");
        assert_eq!(next(&mut tail), format!("Z{i:08}"));
        assert_eq!(next(&mut tail), "idle");
        positions.push(tail.position());
    }
    assert!(wal.end().segment > 3);
    for (i, p) in positions.iter().enumerate().take(29) {
        assert_eq!(next(&mut wal.tail(*p)), format!("Z{:08}", i + 1), "from {p}");
    }
    wal.close().expect("close");
    assert_eq!(next(&mut tail), "closed");
    let wal = Arc::new(open(dir.path()));
    let mut tail = wal.tail(positions[27]);
    log(&wal, &numbered(30, 31, 10));
    assert_eq!([next(&mut tail), next(&mut tail), next(&mut tail), next(&mut tail)], ["Z00000028", "Z00000029", "Z00000030", "idle"]);
}

#[test]
fn waits_for_the_writer() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = Arc::new(
        crate::testing::open_with(stdx::fs::RealFs::shared(), dir.path(), crate::testing::options(crate::Compression::Snappy)).expect("open"),
    );
    let mut tail = wal.tail(wal.end());
    std::thread::scope(|s| {
        let got = s.spawn(move || matches!(tail.next(LONG, &Shutdown::new()), Ok(TailEvent::Record(r)) if r.bytes[0] == b'Z'));
        log(&wal, &numbered(0, 1, 100));
        assert!(got.join().expect("thread"));
    });
}

#[test]
fn a_shutdown_ends_the_wait() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = Arc::new(open(dir.path()));
    let shutdown = Shutdown::new();
    shutdown.request();
    assert!(matches!(wal.tail(wal.end()).next(LONG, &shutdown), Ok(TailEvent::Idle)));
}

#[test]
fn a_position_behind_the_end_is_moved_to_the_end_and_one_before_the_log_to_its_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = Arc::new(open(dir.path()));
    let mut tail = wal.tail(LogPosition { segment: 9, offset: 9 });
    log(&wal, &numbered(0, 20, 20_000));
    assert_eq!(next(&mut tail), "Z00000000");
    wal.truncate(2).expect("truncate");
    let mut tail = wal.tail(LogPosition { segment: 0, offset: 77 });
    assert_eq!(next(&mut tail), "skipped 00000000:77 00000002:0");
    assert!(next(&mut tail).starts_with('Z'));
}

#[test]
fn damage_is_told_and_passed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = Arc::new(open(dir.path()));
    log(&wal, &numbered(0, 3, 1_000));
    stdx::fs::RealFs.open(&segment::path(dir.path(), 0), stdx::fs::Open::Update).expect("open").write_at(1_100, b"xx").expect("write");
    let mut tail = wal.tail(LogPosition::default());
    assert_eq!([next(&mut tail), next(&mut tail), next(&mut tail), next(&mut tail)], ["Z00000000", "damaged 1007", "Z00000002", "idle"]);
}
