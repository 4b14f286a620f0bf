use super::*;
use stdx::clock::ManualClock;

fn at(offset: u64) -> LogPosition {
    LogPosition { segment: 0, offset }
}

#[test]
fn the_position_moves_only_when_everything_before_it_is_acknowledged() {
    let t = Tracker::new(at(0), 0, ManualClock::at_ms(0));
    t.push(0, at(5), 0);
    assert_eq!(t.acked(), (at(5), 0), "a record without samples");
    assert_eq!(t.next(), 0);
    t.push(2, at(10), 100);
    t.push(1, at(20), 90);
    t.push(0, at(30), 0);
    assert_eq!((t.next(), t.pending()), (2, 3));
    t.done(&[(1, 1)]);
    assert_eq!(t.acked(), (at(5), 0), "the first is not done");
    t.done(&[(0, 1)]);
    assert_eq!(t.acked(), (at(5), 0));
    t.done(&[(0, 1)]);
    assert_eq!(t.acked(), (at(30), 100));
    assert!(t.is_empty());
    t.push_beside(3, 500);
    t.done(&[(2, 3)]);
    assert_eq!(t.acked(), (at(30), 500));
}
