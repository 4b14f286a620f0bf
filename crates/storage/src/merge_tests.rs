use super::*;
use crate::read::MemorySelection;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn floats(points: &BTreeMap<i64, i32>) -> SeriesData {
    SeriesData { t_ms: points.keys().copied().collect(), v: points.values().map(|v| f64::from(*v)).collect(), ..SeriesData::default() }
}

proptest! {
    #[test]
    fn merging_is_a_union_in_which_the_first_wins(a: BTreeMap<i64, i32>, b: BTreeMap<i64, i32>, c: BTreeMap<i64, i32>) {
        let mut out = SeriesData::default();
        merge_data(&[floats(&a), floats(&b), floats(&c)], &mut out);
        let mut want = c;
        want.extend(b);
        want.extend(a);
        prop_assert_eq!(out.t_ms, want.keys().copied().collect::<Vec<_>>());
        prop_assert_eq!(out.v, want.values().map(|v| f64::from(*v)).collect::<Vec<_>>());
    }
}

#[test]
fn equal_labels_become_one_series() {
    let series = |job: &str, points: &[(i64, i32)]| (Labels::from_pairs([("job", job)]), floats(&points.iter().copied().collect()));
    let part = |series: Vec<(Labels, SeriesData)>| Arc::new(MemorySelection { series, warnings: vec!["w".into()] }) as Arc<dyn Selection>;
    let m = MergeSelection::new(vec![part(vec![series("a", &[(1, 1)]), series("c", &[(1, 1)])]), part(vec![series("a", &[(1, 9), (2, 2)])])], vec![]);
    assert_eq!(m.len(), 2);
    let mut out = SeriesData::default();
    m.read(0, 0, 10, &mut out).expect("read");
    assert_eq!((out.t_ms, out.v), (vec![1, 2], vec![1.0, 2.0]));
    assert_eq!(m.warnings().len(), 2);
}
