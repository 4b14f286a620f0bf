//! `/gaps` and `/tree`: what is missing, and who is behind. Narthex' own; Prometheus has no such thing.

use super::App;
use super::args;
use super::envelope::{ApiResult, Success};
use crate::json::Json;
use crate::server::Req;
use remote::ledger::gaps::gaps as find_gaps;
use remote::ledger::tree::tree as find_tree;

/// Without `start` the last hour is looked at.
const DEFAULT_RANGE_MS: i64 = 3_600_000;

/// `GET /api/v1/gaps?start=&end=&match[]=`: intervals that targets lack, soft (still below) or hard (nobody holds them).
pub fn gaps(app: &App, req: &Req) -> ApiResult {
    let now = app.clock.now_ms();
    let end = args::time_or(&req.params, "end", now)?;
    let start = args::time_or(&req.params, "start", end.saturating_sub(DEFAULT_RANGE_MS))?;
    let mut sets = args::matcher_sets(req)?;
    if sets.is_empty() {
        sets.push(Vec::new());
    }
    let (mut seen, mut missing, mut warnings) = (0, 0, Vec::new());
    let mut j = Json::default();
    j.raw("{\"targets\":[");
    let mut first = true;
    for set in &sets {
        let report = find_gaps(app.local.as_ref(), start, end, now, set)?;
        seen += report.targets_seen;
        missing += report.missing_scrapes;
        warnings.extend(report.warnings);
        for t in &report.targets {
            j.sep(&mut first).raw("{\"labels\":").labels(t.labels.as_ref());
            j.raw(",\"intervalSeconds\":").number(t.interval_ms as f64 / 1000.0).raw(",\"gaps\":[");
            let mut first_gap = true;
            for g in &t.gaps {
                j.sep(&mut first_gap).raw("{\"start\":").time(g.start_ms).raw(",\"end\":").time(g.end_ms);
                j.raw(",\"missingScrapes\":").int(g.missing_scrapes as i64).raw(",\"kind\":").string(g.kind.as_str()).raw("}");
            }
            j.raw("]}");
        }
    }
    j.raw("],\"targetsSeen\":").int(seen as i64).raw(",\"missingScrapes\":").int(missing as i64).raw("}");
    Ok(Success::json(j).warn(warnings))
}

/// `GET /api/v1/tree`: who sends to this server, and every uplink that the storage has heard of.
pub fn tree(app: &App) -> ApiResult {
    let ledger = app.receiver.as_ref().map(|r| r.ledger().as_ref());
    let t = find_tree(ledger, app.local.as_ref(), app.clock.now_ms())?;
    let mut j = Json::default();
    j.raw("{\"senders\":[");
    let mut first = true;
    for s in &t.senders {
        j.sep(&mut first).raw("{\"name\":").string(&s.name).raw(",\"firstReceived\":").time(s.first_received_ms);
        j.raw(",\"lastReceived\":").time(s.last_received_ms).raw(",\"newestSample\":").time(s.newest_sample_ms);
        j.raw(",\"samplesPerSecond\":").number(s.samples_per_second);
        for (name, n) in [
            ("samples", s.samples),
            ("requests", s.requests),
            ("bytes", s.bytes),
            ("duplicates", s.duplicates),
            ("covered", s.covered),
            ("filled", s.filled),
            ("refused", s.refused),
            ("late", s.late),
        ] {
            j.raw(",").string(name).raw(":").int(n as i64);
        }
        j.raw(",\"replicas\":{");
        let mut first_replica = true;
        for (name, r) in &s.replicas {
            j.sep(&mut first_replica).string(name).raw(":{\"newestSample\":").time(r.newest_sample_ms);
            j.raw(",\"ownedSeries\":").int(r.owned_series as i64).raw("}");
        }
        j.raw("}}");
    }
    j.raw("],\"uplinks\":[");
    let mut first = true;
    for u in &t.uplinks {
        j.sep(&mut first).raw("{\"labels\":").labels(u.labels.as_ref()).raw(",\"told\":").time(u.told_ms);
        for (name, t) in [("acked", u.acked_ms), ("newest", u.newest_ms)] {
            if let Some(t) = t {
                j.raw(",").string(name).raw(":").time(t);
            }
        }
        for (name, v) in [("backlogSeconds", u.backlog_seconds), ("backlogBytes", u.backlog_bytes), ("hardGapSeconds", u.hard_gap_seconds)] {
            if let Some(v) = v {
                j.raw(",").string(name).raw(":").number(v);
            }
        }
        j.raw("}");
    }
    j.raw("]}");
    Ok(Success::json(j).warn(t.warnings))
}
