use super::*;
use stdx::clock::ManualClock;

fn totals() -> Totals {
    Totals::new(&Registry::new(ManualClock::at_ms(0)))
}

fn number(t_ms: i64, value: f64) -> Point<'static> {
    Point { t_ms, value, start_ms: 1, ..Point::default() }
}

#[test]
fn numbers_add_up_and_what_is_old_is_left_out() {
    let (totals, key) = (totals(), (1, 2));
    let mut now = 1000;
    let mut give = |t_ms: i64, v: f64| {
        now += 10;
        let mut p = number(t_ms, v);
        totals.add(key, &mut p, now).then_some((p.t_ms, p.value, p.start_ms))
    };
    assert_eq!(give(10, 5.0), Some((10, 5.0, 1)));
    assert_eq!(give(20, 2.0), Some((20, 7.0, 1)));
    assert_eq!(give(15, 100.0), None, "out of order");
    assert_eq!(give(20, 2.0), Some((20, 7.0, 1)), "a repeat is answered with the total and not added");
    assert_eq!(give(30, 1.0), Some((30, 8.0, 1)));
    // Forgotten after five minutes.
    let mut p = number(400_000, 3.0);
    assert!(totals.add((7, 7), &mut number(1, 1.0), 400_000));
    assert!(totals.add(key, &mut p, 400_001));
    assert_eq!(p.value, 3.0);
    assert_eq!(totals.dropped.with(&["out_of_order"]).get(), 1);
}

#[test]
fn a_point_without_a_value_adds_nothing() {
    let totals = totals();
    assert!(totals.add((1, 1), &mut number(10, 5.0), 0));
    let mut none = Point { t_ms: 20, no_value: true, ..Point::default() };
    assert!(totals.add((1, 1), &mut none, 1));
    assert!(none.no_value);
    let mut p = number(30, 1.0);
    assert!(totals.add((1, 1), &mut p, 2));
    assert_eq!((p.value, p.no_value), (6.0, false));
}

#[test]
fn explicit_buckets_add_up_until_they_change() {
    let totals = totals();
    let h = |t_ms, bounds: &[f64], counts: &[u64]| Point {
        t_ms,
        count: counts.iter().sum(),
        sum: Some(1.5),
        bounds: bounds.to_vec(),
        bucket_counts: counts.to_vec(),
        ..Point::default()
    };
    let mut p = h(1, &[1.0, 2.0], &[1, 0, 2]);
    assert!(totals.add((1, 1), &mut p, 0));
    let mut p = h(2, &[1.0, 2.0], &[0, 5, 1]);
    assert!(totals.add((1, 1), &mut p, 0));
    assert_eq!((p.bucket_counts.as_slice(), p.count, p.sum), (&[1, 5, 3][..], 9, Some(3.0)));
    let mut p = h(3, &[1.0], &[4, 4]);
    assert!(totals.add((1, 1), &mut p, 0));
    assert_eq!((p.bucket_counts.as_slice(), p.count), (&[4, 4][..], 8), "other bounds begin anew");
}

fn exponential(t_ms: i64, scale: i32, offset: i32, counts: &[u64]) -> Point<'static> {
    let positive = Buckets { offset, counts: counts.to_vec() };
    Point { t_ms, scale, count: counts.iter().sum(), sum: Some(1.0), positive, ..Point::default() }
}

#[test]
fn exponential_buckets_add_up_at_the_coarser_scale() {
    let totals = totals();
    let mut p = exponential(1, 1, -2, &[1, 2, 3, 4]);
    assert!(totals.add((1, 1), &mut p, 0));
    // Indexes -2..1 of scale 1 are -1, -1, 0, 0 of scale 0.
    let mut p = exponential(2, 0, 0, &[10, 20]);
    assert!(totals.add((1, 1), &mut p, 0));
    assert_eq!((p.scale, &p.positive), (0, &Buckets { offset: -1, counts: vec![3, 17, 20] }));
    assert_eq!((p.count, p.sum), (40, Some(2.0)));
    // Far apart: so coarse that 160 buckets are enough. 2^3 * 160 > 1000.
    let mut p = exponential(3, 0, 1000, &[1]);
    assert!(totals.add((1, 1), &mut p, 0));
    assert_eq!(p.scale, -3);
    assert_eq!(p.positive.counts.iter().sum::<u64>(), 41);
    assert!(p.positive.counts.len() <= MAX_BUCKETS, "{}", p.positive.counts.len());
}

#[test]
fn the_wider_zero_takes_in_what_lies_below_it() {
    let totals = totals();
    // Buckets (1/4, 1/2], (1/2, 1], (1, 2] of scale 0.
    let mut p = exponential(1, 0, -2, &[1, 2, 4]);
    assert!(totals.add((1, 1), &mut p, 0));
    let mut p = Point { zero_threshold: 1.0, zero_count: 10, ..exponential(2, 0, 0, &[8]) };
    p.count = 18;
    assert!(totals.add((1, 1), &mut p, 0));
    assert_eq!((p.zero_count, p.zero_threshold), (13, 1.0));
    assert_eq!(p.positive, Buckets { offset: 0, counts: vec![12] });
    assert_eq!(p.count, 25);
}

#[test]
fn streams_are_told_apart_by_all_that_names_them() {
    let attributes = |v: &str| vec![("a".to_string(), v.to_string())];
    let scope = |name: &str| Scope { name: name.to_string(), ..Scope::default() };
    let base = key(&origin(&attributes("r"), &scope("s")), "m", "u", DataKind::Sum, &attributes("p"));
    assert_eq!(base, key(&origin(&attributes("r"), &scope("s")), "m", "u", DataKind::Sum, &attributes("p")));
    for other in [
        key(&origin(&attributes("x"), &scope("s")), "m", "u", DataKind::Sum, &attributes("p")),
        key(&origin(&attributes("r"), &scope("x")), "m", "u", DataKind::Sum, &attributes("p")),
        key(&origin(&attributes("r"), &scope("s")), "x", "u", DataKind::Sum, &attributes("p")),
        key(&origin(&attributes("r"), &scope("s")), "m", "x", DataKind::Sum, &attributes("p")),
        key(&origin(&attributes("r"), &scope("s")), "m", "u", DataKind::Histogram, &attributes("p")),
        key(&origin(&attributes("r"), &scope("s")), "m", "u", DataKind::Sum, &attributes("x")),
    ] {
        assert!(other.0 != base.0 && other.1 != base.1);
    }
}
