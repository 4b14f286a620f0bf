//! Exemplars of the head: a ring of fixed size over all series. The oldest gives way to the newest.

use crate::metrics::Metrics;
use model::{Exemplar, Labels, Matcher};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use storage::{AppendError, ExemplarSeries};

/// OpenMetrics' limit on the characters of an exemplar's label names and values together.
pub const MAX_LABEL_CHARS: usize = 128;

pub struct Exemplars {
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    max: usize,
    entries: VecDeque<(Labels, Exemplar)>,
    /// The newest exemplar of each series, and how many it has in the ring.
    series: HashMap<Labels, (Exemplar, usize), foldhash::fast::RandomState>,
}

impl Exemplars {
    pub fn new(max: usize) -> Self {
        Exemplars { ring: Mutex::new(Ring { max, ..Ring::default() }) }
    }

    pub fn enabled(&self) -> bool {
        self.ring.lock().max > 0
    }

    /// `Ok(false)`: a repeat of the series' newest. `exemplar` has a time.
    pub fn check(&self, series: &Labels, exemplar: &Exemplar) -> Result<bool, AppendError> {
        let chars: usize = exemplar.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
        if chars > MAX_LABEL_CHARS {
            return Err(AppendError::InvalidExemplar(format!("label length for exemplar exceeds maximum of {MAX_LABEL_CHARS} UTF-8 characters")));
        }
        match self.ring.lock().series.get(series) {
            Some((newest, _)) if newest == exemplar => Ok(false),
            Some((newest, _)) if exemplar.t_ms < newest.t_ms => Err(AppendError::OutOfOrderExemplar),
            Some((newest, _)) if exemplar.t_ms == newest.t_ms && exemplar.value.total_cmp(&newest.value).is_lt() => {
                Err(AppendError::OutOfOrderExemplar)
            }
            _ => Ok(true),
        }
    }

    /// Takes an exemplar in, unless it is older than the series' newest or the same.
    pub fn add(&self, series: &Labels, exemplar: Exemplar, metrics: &Metrics) -> bool {
        let ring = &mut *self.ring.lock();
        if ring.max == 0 {
            return false;
        }
        match ring.series.get_mut(series) {
            Some((newest, _)) if *newest == exemplar || exemplar.t_ms < newest.t_ms => return false,
            Some((newest, n)) => {
                *newest = exemplar.clone();
                *n += 1;
            }
            None => {
                ring.series.insert(series.clone(), (exemplar.clone(), 1));
            }
        }
        ring.entries.push_back((series.clone(), exemplar));
        ring.drop_oldest(ring.max);
        metrics.exemplars_appended.inc();
        metrics.exemplars_in_storage.set(ring.entries.len() as f64);
        metrics.exemplar_series.set(ring.series.len() as f64);
        let oldest = ring.entries.front().and_then(|(_, e)| e.t_ms).unwrap_or(0);
        metrics.exemplar_last_seconds.set(oldest as f64 / 1000.0);
        true
    }

    pub fn resize(&self, max: usize) {
        let ring = &mut *self.ring.lock();
        ring.max = max;
        ring.drop_oldest(max);
    }

    /// Exemplars of the range (both ends included) of series that fit any of the sets, series sorted by labels.
    pub fn select(&self, start_ms: i64, end_ms: i64, sets: &[Vec<Matcher>]) -> Vec<ExemplarSeries> {
        let ring = self.ring.lock();
        let fits = |labels: &Labels| sets.iter().any(|set| set.iter().all(|m| m.matches_labels(labels.as_ref())));
        let mut found: HashMap<&Labels, Vec<Exemplar>> = ring.series.keys().filter(|l| fits(l)).map(|l| (l, Vec::new())).collect();
        for (labels, e) in &ring.entries {
            if e.t_ms.is_some_and(|t| (start_ms..=end_ms).contains(&t))
                && let Some(list) = found.get_mut(labels)
            {
                list.push(e.clone());
            }
        }
        let mut out: Vec<ExemplarSeries> =
            found.into_iter().filter(|(_, e)| !e.is_empty()).map(|(l, exemplars)| ExemplarSeries { labels: l.clone(), exemplars }).collect();
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        out
    }

    /// Everything, oldest first.
    pub fn all(&self) -> Vec<(Labels, Exemplar)> {
        self.ring.lock().entries.iter().cloned().collect()
    }
}

impl Ring {
    fn drop_oldest(&mut self, keep: usize) {
        while self.entries.len() > keep {
            let Some((labels, _)) = self.entries.pop_front() else { return };
            if let Some((_, n)) = self.series.get_mut(&labels) {
                *n -= 1;
                if *n == 0 {
                    self.series.remove(&labels);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::clock::SystemClock;
    use stdx::metrics::Registry;

    #[test]
    fn the_oldest_gives_way_and_repeats_are_dropped() {
        let metrics = Metrics::new(&Registry::new(SystemClock::shared()));
        let x = Exemplars::new(3);
        let series = |j: &str| Labels::from_pairs([("job", j)]);
        let e = |t: i64| Exemplar { labels: Labels::from_pairs([("trace", format!("{t}"))]), value: t as f64, t_ms: Some(t) };
        for t in 1..=4 {
            assert!(x.add(&series(if t % 2 == 0 { "a" } else { "b" }), e(t), &metrics));
        }
        assert_eq!(x.check(&series("a"), &e(4)), Ok(false));
        assert_eq!(x.check(&series("a"), &e(3)), Err(AppendError::OutOfOrderExemplar));
        let got = x.select(0, 10, &[vec![Matcher::equal("job", "a")], vec![Matcher::equal("job", "b")]]);
        let times: Vec<Vec<i64>> = got.iter().map(|s| s.exemplars.iter().filter_map(|e| e.t_ms).collect()).collect();
        assert_eq!(times, vec![vec![2, 4], vec![3]]);
        assert_eq!(x.select(0, 10, &[vec![Matcher::equal("job", "c")]]), vec![]);
    }
}
