use super::*;
use crate::histogram::trim::Keep;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn exponential(schema: i32, zero: (f64, f64), positive: &[(i32, f64)]) -> FloatHistogram {
    let mut built = SpanBuilder::default();
    positive.iter().for_each(|(i, _)| built.push(*i));
    let counts: Vec<f64> = positive.iter().map(|(_, c)| *c).collect();
    FloatHistogram {
        schema,
        zero_threshold: zero.0,
        zero_count: zero.1,
        count: zero.1 + counts.iter().sum::<f64>(),
        sum: 1.0,
        positive_spans: built.spans,
        positive_buckets: counts,
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: counts.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_buckets: counts.to_vec(),
        custom_values: bounds.to_vec(),
        ..FloatHistogram::default()
    }
}

#[test]
fn sums_reconcile_schema_zero_bucket_and_bounds() {
    let check = |mut a: FloatHistogram, b: FloatHistogram, want: &str| {
        a.add(&b).expect("compatible");
        assert_eq!(a.compact(0).to_string(), want);
    };
    check(
        exponential(0, (0.0, 0.0), &[(0, 1.0), (2, 3.0)]),
        exponential(0, (0.0, 0.0), &[(1, 5.0)]),
        "{count:9, sum:2, (0.5,1]:1, (1,2]:5, (2,4]:3}",
    );
    check(exponential(1, (0.0, 0.0), &[(1, 1.0), (2, 2.0)]), exponential(0, (0.0, 0.0), &[(1, 5.0)]), "{count:8, sum:2, (1,2]:8}");
    check(exponential(0, (0.001, 1.0), &[(1, 1.0)]), exponential(0, (1.5, 4.0), &[(5, 1.0)]), "{count:7, sum:2, [-2,2]:6, (16,32]:1}");
    check(
        custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]),
        custom(&[1.0, 4.0], &[10.0, 20.0, 30.0]),
        "{count:70, sum:2, [-Inf,1]:11, (1,4]:25, (4,+Inf]:34}",
    );
    assert_eq!(custom(&[1.0], &[1.0]).add(&exponential(0, (0.0, 0.0), &[])), Err(IncompatibleSchemas));
}

#[test]
fn resets_are_seen_in_any_bucket() {
    let before = exponential(1, (0.0, 0.0), &[(0, 1.0), (4, 2.0)]);
    assert!(!before.detect_reset(&before));
    assert!(exponential(1, (0.0, 0.0), &[(0, 9.0), (4, 1.0)]).detect_reset(&before));
    assert!(exponential(1, (0.0, 0.0), &[(0, 9.0)]).detect_reset(&before));
    assert!(exponential(2, (0.0, 0.0), &[(0, 9.0), (8, 9.0)]).detect_reset(&before));
    assert!(!exponential(0, (0.0, 0.0), &[(0, 9.0), (2, 2.0)]).detect_reset(&before));
    assert!(custom(&[1.0, 2.0], &[5.0, 0.0, 9.0]).detect_reset(&custom(&[2.0], &[6.0, 1.0])));
}

#[test]
fn bounds_are_those_of_the_reference_table() {
    use crate::histogram::bounds::exponential_bound;
    for (index, schema, want) in [
        (0, 0, 1.0),
        (3, -1, 64.0),
        (1, 1, std::f64::consts::FRAC_1_SQRT_2.next_down() * 2.0),
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (-1074, 0, 5e-324),
        (262_144, 8, f64::MAX),
    ] {
        assert_eq!(exponential_bound(index, schema), want, "{index} in schema {schema}");
    }
}

#[test]
fn trimming_keeps_one_side() {
    let mut h = exponential(0, (0.0, 0.0), &[(1, 2.0), (2, 4.0), (3, 6.0)]);
    h.trim(2.0, Keep::Below);
    assert_eq!(h.count, 2.0);
    assert_eq!(h.positive_buckets, vec![2.0]);
    let mut h = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
    h.trim(1.5, Keep::Above);
    assert_eq!(h.to_string(), "{count:4, sum:7.75, (1,2]:1, (2,+Inf]:3}");
}

proptest! {
    #[test]
    fn adding_sums_bucket_by_bucket(a: BTreeMap<i8, u16>, b: BTreeMap<i8, u16>) {
        let wide = |m: BTreeMap<i8, u16>| m.into_iter().map(|(i, c)| (i, u32::from(c))).collect::<BTreeMap<i8, u32>>();
        let make = |m: &BTreeMap<i8, u32>| exponential(0, (0.0, 0.0), &m.iter().map(|(i, c)| (i32::from(*i), f64::from(*c))).collect::<Vec<_>>());
        let (a, b) = (wide(a), wide(b));
        let (ha, hb) = (make(&a), make(&b));
        let mut want = a;
        b.iter().for_each(|(i, c)| *want.entry(*i).or_default() += c);
        let mut plain = ha.clone();
        plain.add(&hb).expect("compatible");
        let both = FloatHistogram { sum: 2.0, ..make(&want) };
        prop_assert!(plain.equals(&both), "{} is not {}", plain, both);
        let (mut kahan, mut c) = (ha.clone(), None);
        kahan.add_kahan(&hb, &mut c).expect("compatible");
        prop_assert!(kahan.equals(&plain));
        plain.sub(&hb).expect("compatible");
        let mut back = ha;
        prop_assert_eq!(plain.compact(0).positive_buckets.clone(), back.compact(0).positive_buckets.clone());
    }
}
