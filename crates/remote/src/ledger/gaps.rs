//! Which targets lack which intervals. Found in the data themselves: every scrape writes a sample of `up`, so a target's scrapes and holes stand in
//! the times of its `up` series.
//!
//! The answer as JSON, for those who mount it (`GET /api/v1/gaps?start=&end=&match[]=`):
//!
//! ```json
//! {"targets": [{"labels": {"job": "node", "instance": "a:9100"}, "intervalSeconds": 15,
//!   "gaps": [{"start": 1700000000.0, "end": 1700000090.0, "missingScrapes": 5, "kind": "soft"}]}],
//!  "targetsSeen": 120, "missingScrapes": 5}
//! ```

use super::tree::{Backlog, backlogs};
use model::{Labels, Matcher, name, sample::is_stale_nan};
use storage::{Queryable, ReadError, SelectHints, SeriesData};

/// At most so many targets are looked at.
pub const MAX_TARGETS: usize = 100_000;
/// At most so many gaps are listed; all are counted.
pub const MAX_GAPS_LISTED: usize = 10_000;

/// What is known of where the missing samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// An uplink below has not sent this time yet: it may still come.
    Soft,
    /// Every uplink that tells of itself has sent more than this: it does not come any more.
    Hard,
    /// No uplink tells of itself.
    Unknown,
}

impl GapKind {
    pub fn as_str(self) -> &'static str {
        match self {
            GapKind::Soft => "soft",
            GapKind::Hard => "hard",
            GapKind::Unknown => "unknown",
        }
    }
}

/// An interval without samples: between two that are there, or up to the end of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Time of the last sample before it.
    pub start_ms: i64,
    /// Time of the first sample after it, or the end of the range.
    pub end_ms: i64,
    pub missing_scrapes: u64,
    pub kind: GapKind,
}

#[derive(Clone, Debug)]
pub struct TargetGaps {
    /// Of its `up` series, without the name.
    pub labels: Labels,
    pub interval_ms: i64,
    /// In order of time; not empty.
    pub gaps: Vec<Gap>,
}

#[derive(Clone, Debug, Default)]
pub struct GapReport {
    /// Targets that lack something, by their labels.
    pub targets: Vec<TargetGaps>,
    pub targets_seen: usize,
    /// Over all targets, also those beyond [`MAX_GAPS_LISTED`].
    pub missing_scrapes: u64,
    pub warnings: Vec<String>,
}

/// Gaps of all targets that fit the matchers (of their `up` series), from `start_ms` to `end_ms`, both included. `now_ms` bounds the end.
pub fn gaps(queryable: &dyn Queryable, start_ms: i64, end_ms: i64, now_ms: i64, matchers: &[Matcher]) -> Result<GapReport, ReadError> {
    let end_ms = end_ms.min(now_ms);
    let mut all = vec![Matcher::equal(name::METRIC_NAME, "up")];
    all.extend(matchers.iter().filter(|m| m.name != name::METRIC_NAME).cloned());
    let querier = queryable.querier(start_ms, end_ms)?;
    let hints = SelectHints { start_ms, end_ms, limit: MAX_TARGETS, ..SelectHints::default() };
    let selection = querier.select(true, &hints, &all)?;
    if selection.len() > MAX_TARGETS {
        return Err(ReadError::Limit(format!("more than {MAX_TARGETS} targets; narrow the matchers")));
    }
    let backlogs = backlogs(queryable, now_ms)?;
    let mut report = GapReport { targets_seen: selection.len(), warnings: selection.warnings(), ..GapReport::default() };
    let (mut data, mut listed) = (SeriesData::default(), 0);
    for i in 0..selection.len() {
        data.clear();
        selection.read(i, start_ms, end_ms, &mut data)?;
        let (interval_ms, mut found) = holes(&data.t_ms, &data.v, end_ms);
        report.missing_scrapes += found.iter().map(|g| g.missing_scrapes).sum::<u64>();
        found.truncate(MAX_GAPS_LISTED - listed);
        listed += found.len();
        if found.is_empty() {
            continue;
        }
        found.iter_mut().for_each(|g| g.kind = kind(g, &backlogs));
        report.targets.push(TargetGaps { labels: selection.labels(i).without_name(), interval_ms, gaps: found });
    }
    if listed == MAX_GAPS_LISTED {
        report.warnings.push(format!("more gaps than the {MAX_GAPS_LISTED} that are listed"));
    }
    Ok(report)
}

fn kind(gap: &Gap, backlogs: &[Backlog]) -> GapKind {
    let pending = |b: &Backlog| b.from_ms < gap.end_ms && b.to_ms > gap.start_ms && b.from_ms < b.to_ms;
    match backlogs {
        [] => GapKind::Unknown,
        b if b.iter().any(pending) => GapKind::Soft,
        _ => GapKind::Hard,
    }
}

/// The interval of a target, and where its samples are further apart than one and a half of it. Nothing is missing behind a staleness marker.
pub(super) fn holes(t_ms: &[i64], v: &[f64], end_ms: i64) -> (i64, Vec<Gap>) {
    let mut deltas: Vec<i64> = t_ms.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0).collect();
    if deltas.is_empty() {
        return (0, Vec::new());
    }
    let middle = (deltas.len() - 1) / 2;
    let interval = *deltas.select_nth_unstable(middle).1;
    let limit = interval + interval / 2;
    // What was scraped last may still be on its way, or wait for a pair's decision.
    let tail_limit = interval * 4;
    let ends = t_ms.iter().copied().skip(1).chain([end_ms]);
    let gaps = t_ms
        .iter()
        .zip(v)
        .zip(ends)
        .filter(|((start, v), end)| !is_stale_nan(**v) && *end - **start > if *end == end_ms { tail_limit } else { limit })
        .map(|((start, _), end)| {
            // At the end of the range the next sample is due, not missing.
            let due = if end == end_ms { 0 } else { 1 };
            let missing = ((end - start + interval / 2) / interval - due).max(1);
            Gap { start_ms: *start, end_ms: end, missing_scrapes: missing as u64, kind: GapKind::Unknown }
        })
        .collect();
    (interval, gaps)
}
