//! The tree below: who sends here, and the uplinks further down as far as their series have travelled up.
//!
//! The answer as JSON, for those who mount it (`GET /api/v1/tree`):
//!
//! ```json
//! {"senders": [{"name": "leaf-a", "newestSample": 1700000000.0, "lastReceived": 1700000001.0, "samplesPerSecond": 812.5, "samples": 99,
//!   "requests": 9, "bytes": 9, "duplicates": 0, "covered": 0, "filled": 0, "refused": 0, "late": 0,
//!   "replicas": [{"name": "a", "newestSample": 1700000000.0, "ownedSeries": 800}]}],
//!  "uplinks": [{"labels": {"instance": "leaf-a:9090", "remote_name": "central"}, "acked": 1700000000.0, "newest": 1700000002.0,
//!   "backlogSeconds": 2.0, "backlogBytes": 4096.0, "hardGapSeconds": 0.0}]}
//! ```

use super::{Ledger, Sender};
use model::{Labels, MatchOp, Matcher, name, sample::is_stale_nan};
use std::collections::BTreeMap;
use storage::{Queryable, ReadError, SelectHints, SeriesData};

/// Series by which a server tells of its uplinks. Each server scrapes itself, so that they travel up like everything else.
pub const UPLINK_ACKED: &str = "narthex_uplink_acked_timestamp_seconds";
pub const UPLINK_BACKLOG_SECONDS: &str = "narthex_uplink_backlog_seconds";
pub const UPLINK_BACKLOG_BYTES: &str = "narthex_uplink_backlog_bytes";
pub const UPLINK_MISSING: &str = "narthex_uplink_missing_seconds";
pub const UPLINK_HARD_GAP: &str = "narthex_uplink_hard_gap_seconds_total";
/// An uplink whose last word is older than this is not listed.
const HEARD_WITHIN_MS: i64 = 24 * 3_600_000;
/// At most so many uplinks are looked at.
pub const MAX_UPLINKS: usize = 100_000;

/// One uplink somewhere below (or of this server), by its last word.
#[derive(Clone, Debug, Default)]
pub struct Uplink {
    /// All labels of its series but the name: whose it is and where it leads.
    pub labels: Labels,
    /// When it told so.
    pub told_ms: i64,
    /// Time of the newest sample that the parent has; None when it does not tell.
    pub acked_ms: Option<i64>,
    /// About the newest sample it had to send: when it told so.
    pub newest_ms: Option<i64>,
    /// Age of the oldest sample that the parent has not.
    pub backlog_seconds: Option<f64>,
    pub backlog_bytes: Option<f64>,
    /// Length of the ranges that have left its log and wait to be read back from blocks.
    pub missing_seconds: Option<f64>,
    pub hard_gap_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub senders: Vec<Sender>,
    pub uplinks: Vec<Uplink>,
    pub warnings: Vec<String>,
}

/// Senders of this server, and every uplink that the storage has heard of in the last day.
pub fn tree(ledger: Option<&Ledger>, queryable: &dyn Queryable, now_ms: i64) -> Result<Tree, ReadError> {
    let (uplinks, warnings) = uplinks(queryable, now_ms)?;
    Ok(Tree { senders: ledger.map(Ledger::senders).unwrap_or_default(), uplinks, warnings })
}

/// A range of which an uplink has samples that its parent has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    /// Whose it is.
    pub labels: Labels,
    pub from_ms: i64,
    pub to_ms: i64,
}

/// Of every uplink that tells; empty for one that has sent all. One that is cut off cannot tell what it has: all since its last word is pending.
pub(super) fn backlogs(queryable: &dyn Queryable, now_ms: i64) -> Result<Vec<Backlog>, ReadError> {
    const SILENT_MS: i64 = 120_000;
    let (uplinks, _) = uplinks(queryable, now_ms)?;
    Ok(uplinks
        .iter()
        .filter_map(|u| {
            let behind = u.backlog_seconds? + u.missing_seconds.unwrap_or(0.0);
            let to_ms = if now_ms - u.told_ms > SILENT_MS { now_ms } else { u.told_ms };
            Some(Backlog { labels: u.labels.clone(), from_ms: u.told_ms - (behind * 1000.0) as i64, to_ms })
        })
        .collect())
}

fn uplinks(queryable: &dyn Queryable, now_ms: i64) -> Result<(Vec<Uplink>, Vec<String>), ReadError> {
    let names = [UPLINK_ACKED, UPLINK_BACKLOG_SECONDS, UPLINK_BACKLOG_BYTES, UPLINK_MISSING, UPLINK_HARD_GAP];
    let matcher = Matcher::new(MatchOp::Regex, name::METRIC_NAME, names.join("|")).map_err(|e| ReadError::Other(e.to_string()))?;
    let start_ms = now_ms - HEARD_WITHIN_MS;
    let querier = queryable.querier(start_ms, now_ms)?;
    let limit = MAX_UPLINKS * names.len();
    let hints = SelectHints { start_ms, end_ms: now_ms, limit, ..SelectHints::default() };
    let selection = querier.select(false, &hints, &[matcher])?;
    if selection.len() > limit {
        return Err(ReadError::Limit(format!("more than {MAX_UPLINKS} uplinks")));
    }
    let mut found: BTreeMap<Labels, Uplink> = BTreeMap::new();
    let mut data = SeriesData::default();
    for i in 0..selection.len() {
        // The last few minutes say it nearly always; only who is silent is looked for further back.
        for back_ms in [300_000, HEARD_WITHIN_MS] {
            data.clear();
            selection.read(i, now_ms - back_ms, now_ms, &mut data)?;
            if !data.t_ms.is_empty() {
                break;
            }
        }
        let Some((t_ms, v)) = data.t_ms.iter().zip(&data.v).rev().find(|(_, v)| !is_stale_nan(**v)) else { continue };
        let labels = selection.labels(i);
        let key = labels.without_name();
        let u = found.entry(key.clone()).or_insert_with(|| Uplink { labels: key, ..Uplink::default() });
        u.told_ms = u.told_ms.max(*t_ms);
        u.newest_ms = Some(u.told_ms);
        match labels.metric_name() {
            UPLINK_ACKED => u.acked_ms = Some((v * 1000.0) as i64),
            UPLINK_MISSING => u.missing_seconds = Some(*v),
            UPLINK_BACKLOG_SECONDS => u.backlog_seconds = Some(*v),
            UPLINK_BACKLOG_BYTES => u.backlog_bytes = Some(*v),
            UPLINK_HARD_GAP => u.hard_gap_seconds = Some(*v),
            _ => {}
        }
    }
    Ok((found.into_values().collect(), selection.warnings()))
}
