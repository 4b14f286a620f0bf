//! Which series of a source a stream has, and what they are called: as late as possible. Most queries look at the labels of groups only, and
//! the storage brings series together without building a label text for each.

use super::names;
use super::rows::Meta;
use model::Labels;
use model::name::METRIC_NAME;
use std::sync::Arc;
use storage::{Grouping, Groups, Selection};

/// The series of a stream, by number.
pub struct Series {
    /// Numbers in the source, rising; None when it is all of them.
    picked: Option<Vec<u32>>,
    len: usize,
    names: Names,
    /// Labels still have the metric name that they no longer should have: taken off when somebody looks, as most only look at others.
    name_pending: bool,
}

enum Names {
    Known(Vec<Meta>),
    /// Nobody has asked yet.
    Stored {
        selection: Arc<dyn Selection>,
        /// The metric name is known to be the same for all, and nothing else tells metrics apart.
        one_name: bool,
        drop_name: bool,
    },
}

impl Series {
    pub fn known(metas: Vec<Meta>) -> Self {
        Series { picked: None, len: metas.len(), names: Names::Known(metas), name_pending: false }
    }

    /// All series of a selection. `one_name`: its condition asks for one metric name.
    pub fn stored(selection: Arc<dyn Selection>, one_name: bool) -> Self {
        let one_name = one_name && !selection.may_have("__type__") && !selection.may_have("__unit__");
        Series { picked: None, len: selection.len(), names: Names::Stored { selection, one_name, drop_name: false }, name_pending: false }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of the `i`th series in the source.
    #[inline]
    pub fn src(&self, i: usize) -> usize {
        self.picked.as_ref().map_or(i, |p| p[i] as usize)
    }

    /// Are these all series of the source?
    pub fn is_whole(&self) -> bool {
        self.picked.is_none()
    }

    /// Numbers that [`Series::src`] can give are below this.
    pub fn sources(&self) -> usize {
        self.picked.as_ref().map_or(self.len, |p| p.last().map_or(0, |last| *last as usize + 1))
    }

    fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).map(|i| self.src(i))
    }

    /// Names all series as they should be called.
    pub fn named(&mut self) -> &mut Vec<Meta> {
        let pending = std::mem::take(&mut self.name_pending);
        if let Names::Stored { selection, drop_name, .. } = &self.names {
            let leave_out = if pending { &names::SCHEMA_LABELS[..] } else { &[] };
            let mut metas = Vec::with_capacity(self.len);
            selection.labels_of(&mut self.numbers(), leave_out, &mut |labels| metas.push(Meta { labels, drop_name: *drop_name }));
            self.names = Names::Known(metas);
        } else if let (Names::Known(metas), true) = (&mut self.names, pending) {
            metas.iter_mut().for_each(|m| m.labels = names::without_schema(&m.labels));
        }
        match &mut self.names {
            Names::Known(metas) => metas,
            Names::Stored { .. } => unreachable!("all were named just now"),
        }
    }

    /// One series as it should be called.
    pub fn meta(&self, i: usize) -> Meta {
        let mut meta = match &self.names {
            Names::Known(metas) => metas[i].clone(),
            Names::Stored { selection, drop_name, .. } => Meta { labels: selection.labels(self.src(i)), drop_name: *drop_name },
        };
        if self.name_pending {
            meta.labels = names::without_schema(&meta.labels);
        }
        meta
    }

    /// Gives new names to all.
    pub fn set_metas(&mut self, metas: Vec<Meta>) {
        self.len = metas.len();
        self.names = Names::Known(metas);
        self.name_pending = false;
    }

    pub fn drops_name(&self, i: usize) -> bool {
        match &self.names {
            Names::Known(metas) => metas[i].drop_name,
            Names::Stored { drop_name, .. } => *drop_name,
        }
    }

    /// Says of all that their metric name goes at the end of the query.
    pub fn drop_names_late(&mut self) {
        match &mut self.names {
            Names::Known(metas) => metas.iter_mut().for_each(|m| m.drop_name = true),
            Names::Stored { drop_name, .. } => *drop_name = true,
        }
    }

    /// Takes the metric names off, or remembers to; true when series may have come to have equal labels by that.
    pub fn drop_names(&mut self) -> bool {
        let one_name = self.have_one_name();
        self.drop_names_late();
        self.name_pending = true;
        if !one_name {
            self.named();
        }
        !one_name
    }

    /// Series of one metric stay different when they lose its name.
    fn have_one_name(&self) -> bool {
        match &self.names {
            Names::Stored { one_name: true, .. } => true,
            Names::Stored { selection, .. } => {
                let groups = selection.groups(&mut self.numbers(), &names::SCHEMA_LABELS, true).labels;
                groups.len() < 2 && groups.iter().all(|l| l.iter().all(|(n, _)| n == METRIC_NAME))
            }
            Names::Known(metas) => {
                let first = metas.first().map_or("", |m| m.labels.metric_name());
                // Schema labels begin with two underscores: before most others.
                metas.iter().all(|m| m.labels.metric_name() == first && !m.labels.has("__type__") && !m.labels.has("__unit__"))
            }
        }
    }

    /// Brings series together by these labels, or by all but these.
    pub fn groups(&self, by: &[String], keep: bool) -> Groups {
        let mut by: Vec<&str> = by.iter().map(String::as_str).collect();
        if self.name_pending && keep {
            by.retain(|n| !names::is_schema_label(n));
        } else if self.name_pending {
            by.push(METRIC_NAME);
        }
        if keep && by.is_empty() {
            return Groups { of: vec![0; self.len], labels: if self.len > 0 { vec![Labels::empty()] } else { Vec::new() } };
        }
        match &self.names {
            Names::Stored { selection, .. } => selection.groups(&mut self.numbers(), &by, keep),
            Names::Known(metas) => {
                let mut grouping = Grouping::new(&by, keep);
                metas.iter().for_each(|m| grouping.add(m.labels.as_ref()));
                grouping.groups
            }
        }
    }

    /// Keeps only some; the others are never computed.
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let kept: Vec<usize> = (0..self.len).filter(|i| keep(*i)).collect();
        if kept.len() == self.len {
            return;
        }
        let picked = kept.iter().map(|i| self.src(*i) as u32).collect();
        if let Names::Known(metas) = &mut self.names {
            let mut i = 0;
            metas.retain(|_| {
                i += 1;
                keep(i - 1)
            });
        }
        self.len = kept.len();
        self.picked = Some(picked);
    }
}
