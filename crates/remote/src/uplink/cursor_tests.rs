use super::*;
use stdx::fs::RealFs;

fn at(segment: u64, offset: u64) -> LogPosition {
    LogPosition { segment, offset }
}

#[test]
fn is_read_back_as_it_was_written_and_never_half() {
    let c = Cursor {
        live: at(7, 99),
        acked_ms: -5,
        backlog: vec![LogRange { from: at(1, 2), to: at(3, 4) }],
        missing: vec![TimeRange { start_ms: -10, end_ms: 20 }],
    };
    let text = c.encode();
    assert_eq!(Cursor::decode(&text), Some(c.clone()));
    for cut in 0..text.len() - 1 {
        assert_eq!(Cursor::decode(&text[..cut]), None, "{cut}");
    }
    assert_eq!(Cursor::decode(&text.replace("99", "98")), None);
    let dir = tempfile::tempdir().expect("temporary directory");
    let (fs, path) = (RealFs::shared(), dir.path().join("cursor"));
    assert_eq!(Cursor::load(&fs, &path).expect("load"), None);
    c.save(&fs, &path).expect("save");
    assert_eq!(Cursor::load(&fs, &path).expect("load"), Some(c));
    std::fs::File::options().write(true).open(&path).expect("open").set_len(10).expect("tear");
    assert!(Cursor::load(&fs, &path).is_err());
}

#[test]
fn after_a_restart_the_backlog_ends_where_the_live_lane_begins() {
    let mut c = Cursor::starting_at(at(5, 0));
    c.backlog = vec![LogRange { from: at(1, 0), to: at(2, 0) }, LogRange { from: at(4, 0), to: at(6, 0) }, LogRange { from: at(5, 1), to: at(6, 0) }];
    let back = Cursor::decode(&c.encode()).expect("decode");
    assert_eq!(back.backlog, vec![LogRange { from: at(1, 0), to: at(2, 0) }, LogRange { from: at(4, 0), to: at(5, 0) }]);
    assert_eq!(back.lowest(), at(1, 0));
}

#[test]
fn ranges_join_and_stay_few() {
    let mut c = Cursor::default();
    let range = |start_ms, end_ms| TimeRange { start_ms, end_ms };
    c.add_missing(range(1_000_000, 2_000_000));
    c.add_missing(range(0, 10));
    c.add_missing(range(1_500_000, 3_000_000));
    c.add_missing(range(5, 4));
    assert_eq!(c.missing, vec![range(0, 10), range(1_000_000, 3_000_000)]);
    for i in 0..500 {
        c.add_missing(range(i * 1_000_000, i * 1_000_000 + 1));
    }
    assert!(c.missing.len() <= MAX_RANGES);
    assert_eq!(c.missing.last().expect("one").end_ms, 499_000_001);
}

#[test]
fn what_a_power_cut_took_from_the_log_and_was_written_again_is_sent() {
    let mut c = Cursor::starting_at(at(5, 900));
    c.backlog = vec![LogRange { from: at(4, 10), to: at(5, 300) }, LogRange { from: at(5, 10), to: at(5, 20) }];
    c.pull_back_to(at(5, 0));
    assert_eq!((c.live, c.backlog.clone()), (at(5, 0), vec![LogRange { from: at(4, 10), to: at(5, 0) }]));
    c.pull_back_to(at(6, 0));
    assert_eq!(c.live, at(5, 0));
}
