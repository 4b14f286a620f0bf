//! Series brought together by some of their labels, as aggregations and joins need them: a number for each series, labels for each group only.

use model::{Labels, LabelsRef};
use std::collections::HashMap;

/// Series brought together by some of their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// The group of each series. Groups are numbered as they first appear.
    pub of: Vec<u32>,
    /// The labels that a group has in common.
    pub labels: Vec<Labels>,
}

/// Builds [`Groups`] out of labels.
pub struct Grouping<'a> {
    names: &'a [&'a str],
    keep: bool,
    numbers: HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>,
    key: Vec<u8>,
    pub groups: Groups,
}

impl<'a> Grouping<'a> {
    pub fn new(names: &'a [&'a str], keep: bool) -> Self {
        Grouping { names, keep, numbers: HashMap::default(), key: Vec::new(), groups: Groups::default() }
    }

    pub fn add(&mut self, labels: LabelsRef<'_>) {
        self.key.clear();
        for (name, pair) in labels.encoded_pairs() {
            if self.names.iter().any(|x| x.as_bytes() == name) == self.keep {
                self.key.extend_from_slice(pair);
            }
        }
        let number = match self.numbers.get(self.key.as_slice()) {
            Some(n) => *n,
            None => {
                let n = self.groups.labels.len() as u32;
                self.numbers.insert(self.key.as_slice().into(), n);
                self.groups.labels.push(LabelsRef::from_encoded(&self.key).to_labels());
                n
            }
        };
        self.groups.of.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_as_they_appear() {
        let series = [("b", "1"), ("a", "2"), ("b", "3")].map(|(job, i)| Labels::from_pairs([("job", job), ("i", i)]));
        let group = |names: &[&str], keep| {
            let mut g = Grouping::new(names, keep);
            series.iter().for_each(|l| g.add(l.as_ref()));
            (g.groups.of, g.groups.labels.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let by_job = (vec![0, 1, 0], vec![r#"{job="b"}"#.to_string(), r#"{job="a"}"#.to_string()]);
        assert_eq!(group(&["job"], true), by_job);
        assert_eq!(group(&["i", "none"], false), by_job);
        assert_eq!(group(&[], true), (vec![0, 0, 0], vec!["{}".to_string()]));
    }
}
