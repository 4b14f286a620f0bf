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
    /// Every uplink that tells of itself and may carry the target has sent more than this: it does not come any more.
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
        let labels = selection.labels(i).without_name();
        found.iter_mut().for_each(|g| g.kind = kind(g, interval_ms, &labels, &backlogs));
        report.targets.push(TargetGaps { labels, interval_ms, gaps: found });
    }
    if listed == MAX_GAPS_LISTED {
        report.warnings.push(format!("more gaps than the {MAX_GAPS_LISTED} that are listed"));
    }
    Ok(report)
}

/// Labels that differ between an uplink's series and the targets behind it even though it is theirs.
const OF_THE_UPLINK: [&str; 4] = ["job", "instance", "remote_name", "url"];

/// Where the missing samples of a target are. Only uplinks that may carry it are asked: those that have no label of another value than the target.
pub(super) fn kind(gap: &Gap, interval_ms: i64, target: &Labels, backlogs: &[Backlog]) -> GapKind {
    // An uplink whose last word is older than all that is missing has said nothing of it.
    let first_missing_ms = gap.start_ms + interval_ms + interval_ms / 4;
    let pending = |b: &Backlog| b.from_ms < first_missing_ms || (b.from_ms < gap.end_ms && b.to_ms > gap.start_ms && b.from_ms < b.to_ms);
    let carries = |b: &&Backlog| {
        let differs = |(n, v): (&str, &str)| !OF_THE_UPLINK.contains(&n) && target.get(n).is_some_and(|of_target| of_target != v);
        !b.labels.iter().any(differs)
    };
    let mut carrying = backlogs.iter().filter(carries).peekable();
    // When none carries it, the labels say nothing.
    let known_carrier = carrying.peek().is_some();
    match backlogs {
        [] => GapKind::Unknown,
        _ if known_carrier && carrying.any(pending) => GapKind::Soft,
        all if !known_carrier && all.iter().any(pending) => GapKind::Soft,
        _ => GapKind::Hard,
    }
}

/// The distance of most neighbours; None for fewer than two samples.
pub(super) fn interval_of(t_ms: &[i64]) -> Option<i64> {
    let mut deltas: Vec<i64> = t_ms.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0).collect();
    if deltas.is_empty() {
        return None;
    }
    let middle = (deltas.len() - 1) / 2;
    Some(*deltas.select_nth_unstable(middle).1)
}

/// Where neighbours are further apart than one and a half of the interval. Nothing is missing behind a staleness marker.
pub(super) fn holes_at(t_ms: &[i64], v: &[f64], interval: i64) -> Vec<Gap> {
    if interval <= 0 {
        return Vec::new();
    }
    let pairs = t_ms.windows(2).zip(v);
    let holes = pairs.filter(|(w, v)| !is_stale_nan(**v) && w[1] - w[0] > interval + interval / 2);
    holes
        .map(|(w, _)| {
            let missing = ((w[1] - w[0] + interval / 2) / interval - 1).max(1);
            Gap { start_ms: w[0], end_ms: w[1], missing_scrapes: missing as u64, kind: GapKind::Unknown }
        })
        .collect()
}

/// The interval of a target, and its holes, the one up to the end of the range included.
pub(super) fn holes(t_ms: &[i64], v: &[f64], end_ms: i64) -> (i64, Vec<Gap>) {
    let Some(interval) = interval_of(t_ms) else { return (0, Vec::new()) };
    let mut gaps = holes_at(t_ms, v, interval);
    if let (Some(last), Some(value)) = (t_ms.last(), v.last())
        // What was scraped last may still be on its way, or wait for a pair's decision.
        && end_ms - last > interval * 4
        && !is_stale_nan(*value)
    {
        // At the end of the range the next sample is due, not missing.
        let missing = ((end_ms - last + interval / 2) / interval).max(1);
        gaps.push(Gap { start_ms: *last, end_ms, missing_scrapes: missing as u64, kind: GapKind::Unknown });
    }
    (interval, gaps)
}
