//! Series of several sorted selections as one sorted selection.
//!
//! Selecting walks all parts side by side and keeps the labels of each distinct series once, in one buffer, and where each part has it.
//! Reading appends the parts in their order; only samples that overlap in time are merged, and then the earlier part wins.

use crate::block::BlockSelection;
use crate::block::selection::{Lens, append_run};
use model::{Labels, LabelsRef};
use std::cmp::Ordering;
use std::sync::Arc;
use storage::{EncodedChunk, Grouping, Groups, ReadError, Selection, SeriesData, Warnings};

/// One of the merged selections; sorted by labels.
pub enum Part {
    Block(Arc<BlockSelection>),
    Other(Arc<dyn Selection>),
}

impl Part {
    fn selection(&self) -> &dyn Selection {
        match self {
            Part::Block(s) => &**s,
            Part::Other(s) => &**s,
        }
    }

    /// Puts the labels of the first series from `i` on whose labels can be read into `out`; returns its number.
    fn labels_from(&self, mut i: usize, out: &mut Vec<u8>) -> usize {
        match self {
            Part::Block(s) => {
                while i < s.len() && !s.labels_into(i, out) {
                    i += 1;
                }
            }
            Part::Other(s) if i < s.len() => {
                out.clear();
                out.extend_from_slice(s.labels(i).as_ref().encoded());
            }
            Part::Other(_) => {}
        }
        i
    }
}

pub struct MergedSelection {
    parts: Vec<Part>,
    /// Labels of all series, one after the other.
    labels: Vec<u8>,
    /// End of each series' labels.
    ends: Vec<usize>,
    /// (part, number) of all series, one after the other, in order of the parts.
    places: Vec<(u32, u32)>,
    /// End of each series' places.
    place_ends: Vec<usize>,
    warnings: Warnings,
}

/// The part's current series.
struct Head {
    at: usize,
    len: usize,
    labels: Vec<u8>,
}

impl MergedSelection {
    /// `parts` come in order of their time, as far as they have one; `limit` 0 means all series.
    pub fn new(parts: Vec<Part>, warnings: Warnings, limit: usize) -> Self {
        let mut out = MergedSelection { labels: Vec::new(), ends: Vec::new(), places: Vec::new(), place_ends: Vec::new(), warnings, parts };
        let mut heads: Vec<Head> = Vec::with_capacity(out.parts.len());
        for p in &out.parts {
            let mut h = Head { at: 0, len: p.selection().len(), labels: Vec::new() };
            h.at = p.labels_from(0, &mut h.labels);
            heads.push(h);
        }
        let mut least: Vec<usize> = Vec::with_capacity(heads.len());
        while limit == 0 || out.ends.len() < limit {
            least.clear();
            for (i, h) in heads.iter().enumerate().filter(|(_, h)| h.at < h.len) {
                let order = least.first().map_or(Ordering::Less, |l| {
                    // Equal bytes are by far the most common case.
                    if h.labels == heads[*l].labels {
                        Ordering::Equal
                    } else {
                        LabelsRef::from_encoded(&h.labels).cmp(&LabelsRef::from_encoded(&heads[*l].labels))
                    }
                });
                match order {
                    Ordering::Less => {
                        least.clear();
                        least.push(i);
                    }
                    Ordering::Equal => least.push(i),
                    Ordering::Greater => {}
                }
            }
            let Some(first) = least.first() else { break };
            out.labels.extend_from_slice(&heads[*first].labels);
            out.ends.push(out.labels.len());
            for i in &least {
                let h = &mut heads[*i];
                out.places.push((*i as u32, h.at as u32));
                h.at = out.parts[*i].labels_from(h.at + 1, &mut h.labels);
            }
            out.place_ends.push(out.places.len());
        }
        out
    }

    fn labels_ref(&self, i: usize) -> LabelsRef<'_> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        LabelsRef::from_encoded(&self.labels[start..self.ends[i]])
    }

    fn places(&self, i: usize) -> &[(u32, u32)] {
        let start = if i == 0 { 0 } else { self.place_ends[i - 1] };
        &self.places[start..self.place_ends[i]]
    }
}

impl Selection for MergedSelection {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.labels_ref(i).to_labels()
    }

    fn groups(&self, numbers: &mut dyn Iterator<Item = usize>, names: &[&str], keep: bool) -> Groups {
        let mut grouping = Grouping::new(names, keep);
        numbers.for_each(|i| grouping.add(self.labels_ref(i)));
        grouping.groups
    }

    fn read(&self, i: usize, start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ReadError> {
        let base = Lens::of(out);
        for (part, n) in self.places(i) {
            let s = self.parts[*part as usize].selection();
            append_run(base, out, |out| s.read(*n as usize, start_ms, end_ms, out))?;
        }
        Ok(())
    }

    fn chunks(&self, i: usize, start_ms: i64, end_ms: i64, each: &mut dyn FnMut(EncodedChunk)) -> Result<(), ReadError> {
        let mut all = Vec::new();
        for (part, n) in self.places(i) {
            self.parts[*part as usize].selection().chunks(*n as usize, start_ms, end_ms, &mut |c| all.push(c))?;
        }
        all.sort_by_key(|c| c.mint_ms);
        all.into_iter().for_each(each);
        Ok(())
    }

    fn warnings(&self) -> Warnings {
        let mut out = self.warnings.clone();
        for p in &self.parts {
            out.extend(p.selection().warnings());
        }
        out
    }
}
