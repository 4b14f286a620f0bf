//! Taking metric names off, and what groups and joins look at.

use hashbrown::HashSet;
use model::Labels;
use model::name::METRIC_NAME;

/// Labels that tell what kind of metric a series is; they go when a value no longer is of that metric.
pub const SCHEMA_LABELS: [&str; 3] = ["__name__", "__type__", "__unit__"];

pub fn is_schema_label(name: &str) -> bool {
    SCHEMA_LABELS.contains(&name)
}

pub fn without_schema(labels: &Labels) -> Labels {
    labels.filtered(|n| !is_schema_label(n))
}

/// What series are matched by: `on` keeps the named labels, `ignoring` drops them and the metric name.
pub fn match_labels(labels: &Labels, names: &[String], on: bool) -> Labels {
    if on { labels.filtered(|n| names.iter().any(|x| x == n)) } else { labels.filtered(|n| n != METRIC_NAME && !names.iter().any(|x| x == n)) }
}

/// The labels of an aggregation's group.
pub fn group_labels(labels: &Labels, grouping: &[String], without: bool) -> Labels {
    if without {
        labels.filtered(|n| n != METRIC_NAME && !grouping.iter().any(|x| x == n))
    } else if grouping.is_empty() {
        Labels::empty()
    } else {
        labels.filtered(|n| grouping.iter().any(|x| x == n))
    }
}

/// Has every series labels of its own?
pub fn all_different<'a>(labels: impl ExactSizeIterator<Item = &'a Labels>) -> bool {
    let mut seen: HashSet<&[u8], foldhash::fast::RandomState> = HashSet::with_capacity_and_hasher(labels.len(), Default::default());
    labels.into_iter().all(|l| seen.insert(l.as_ref().encoded()))
}
