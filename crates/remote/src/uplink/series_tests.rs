use super::*;
use model::relabel::Action;
use std::sync::atomic::{AtomicU64, Ordering};

struct Asked(AtomicU64);

impl SeriesLookup for Asked {
    fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        self.0.fetch_add(1, Ordering::SeqCst);
        (series.0 < 10).then(|| Labels::from_pairs([("__name__", "m"), ("i", &series.0.to_string())]))
    }
}

#[test]
fn external_labels_do_not_overwrite_and_rules_see_them() {
    let mut drop_nine = RelabelRule { source_labels: vec!["i".into(), "zone".into()], action: Action::Drop, ..RelabelRule::default() };
    drop_nine.regex = model::regex::Regex::new("9;a").expect("pattern");
    let naming = Arc::new(Naming::new(&Labels::from_pairs([("zone", "a"), ("i", "outer")]), &[drop_nine]));
    let lookup = Arc::new(Asked(AtomicU64::new(0)));
    let mut cache = SeriesCache::new(naming, lookup.clone());
    let show = |k: Option<&Known>| match k {
        Some(Known::Send(s)) => s.labels.to_string(),
        Some(Known::Dropped) => "dropped".to_string(),
        None => "unknown".to_string(),
    };
    assert_eq!(show(cache.get(3)), r#"{__name__="m", i="3", zone="a"}"#);
    assert_eq!(show(cache.get(3)), r#"{__name__="m", i="3", zone="a"}"#);
    assert_eq!(show(cache.get(9)), "dropped");
    assert_eq!(show(cache.get(10)), "unknown");
    assert_eq!(lookup.0.load(Ordering::SeqCst), 3);
    cache.sweep();
    cache.get(3);
    cache.sweep();
    cache.get(9);
    assert_eq!(lookup.0.load(Ordering::SeqCst), 4, "3 was used and kept, 9 was not");
}
