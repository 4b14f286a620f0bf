//! `/rules`, `/alerts`, `/alertmanagers`.

use super::App;
use super::args;
use super::envelope::{ApiError, ApiResult, Success};
use crate::json::Json;
use crate::server::Req;
use model::time::format_rfc3339_ms;
use rules::{Alert, Group, Rule};
use std::collections::BTreeSet;

/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn time(ms: Option<i64>) -> String {
    ms.map_or(NEVER.to_string(), format_rfc3339_ms)
}

/// `strconv.FormatFloat(v, 'e', -1, 64)`
fn scientific(v: f64) -> String {
    if !v.is_finite() {
        return model::number::format_g(v);
    }
    let s = format!("{v:e}");
    let (m, e) = s.split_once('e').unwrap_or((&s, "0"));
    let n: i32 = e.parse().unwrap_or(0);
    format!("{m}e{}{:02}", if n < 0 { '-' } else { '+' }, n.abs())
}

fn write_alerts(j: &mut Json, alerts: &[Alert], first: &mut bool) {
    for a in alerts {
        j.sep(first).raw("{\"labels\":").labels(a.labels.as_ref()).raw(",\"annotations\":").labels(a.annotations.as_ref());
        j.raw(",\"state\":").string(a.state.as_str()).raw(",\"activeAt\":").string(&format_rfc3339_ms(a.active_at_ms));
        if let Some(since) = a.keep_firing_since_ms {
            j.raw(",\"keepFiringSince\":").string(&format_rfc3339_ms(since));
        }
        j.raw(",\"value\":").string(&scientific(a.value)).raw("}");
    }
}

fn groups(app: &App) -> Vec<std::sync::Arc<Group>> {
    app.rules.as_ref().map_or_else(Vec::new, |m| m.groups())
}

pub fn alerts(app: &App) -> ApiResult {
    let mut j = Json::default();
    j.raw("{\"alerts\":[");
    let mut first = true;
    for g in groups(app) {
        let mut alerting: Vec<&Rule> = g.rules.iter().filter(|r| r.alerting().is_some()).collect();
        alerting.sort_by_key(|r| (std::cmp::Reverse(r.alerting().map(rules::Alerting::state)), r.name.clone()));
        for a in alerting.into_iter().filter_map(Rule::alerting) {
            write_alerts(&mut j, &a.active(), &mut first);
        }
    }
    j.raw("]}");
    Ok(Success::json(j))
}

pub fn alertmanagers(app: &App) -> ApiResult {
    let (active, dropped) = app.notifier.as_ref().map_or_else(Default::default, |n| n.alertmanagers());
    let mut j = Json::default();
    for (name, urls) in [("{\"activeAlertmanagers\":[", active), (",\"droppedAlertmanagers\":[", dropped)] {
        j.raw(name);
        let mut first = true;
        for url in &urls {
            j.sep(&mut first).raw("{\"url\":").string(url).raw("}");
        }
        j.raw("]");
    }
    j.raw("}");
    Ok(Success::json(j))
}

/// Identifies a group for paging.
fn token(g: &Group) -> String {
    use std::fmt::Write;
    let text = format!("{};{}", g.file, g.name);
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

pub fn rules(app: &App, req: &Req) -> ApiResult {
    let set = |key: &str| req.params.all(key).map(str::to_string).collect::<BTreeSet<String>>();
    let (names, group_names, files) = (set("rule_name[]"), set("rule_group[]"), set("file[]"));
    let matchers = args::matcher_sets(req)?;
    let kind = req.params.get("type").to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::param("type", format!("not supported value {kind:?}")));
    }
    let exclude_alerts = match req.params.get("exclude_alerts") {
        "" => false,
        s => args::parse_bool(&s.to_ascii_lowercase())
            .map_err(|e| ApiError::param("exclude_alerts", format!("error converting exclude_alerts: {e}")))?,
    };
    let next = req.params.get("group_next_token");
    let limit = match req.params.get("group_limit") {
        "" if !next.is_empty() => {
            return Err(ApiError::param("group_next_token", "group_limit needs to be present in order to paginate over the groups"));
        }
        "" => None,
        s => match s.parse::<i32>() {
            Ok(n) if n > 0 => Some(n as usize),
            Ok(_) => return Err(ApiError::param("group_limit", "group_limit needs to be greater than 0")),
            Err(_) => {
                let why = format!("group_limit needs to be a valid number: strconv.ParseInt: parsing {s:?}: invalid syntax");
                return Err(ApiError::param("group_limit", why));
            }
        },
    };
    let mut j = Json::default();
    j.raw("{\"groups\":[");
    let mut first = true;
    let mut shown = 0;
    let mut found = limit.is_none() || next.is_empty();
    let mut more = None;
    for g in groups(app) {
        if !found {
            if token(&g) != next {
                continue;
            }
            found = true;
        }
        if (!group_names.is_empty() && !group_names.contains(&g.name)) || (!files.is_empty() && !files.contains(&g.file)) {
            continue;
        }
        let wanted = |r: &&Rule| {
            let alerting = r.alerting().is_some();
            (names.is_empty() || names.contains(&r.name))
                && (kind.is_empty() || (kind == "alert") == alerting)
                && (matchers.is_empty() || matchers.iter().any(|set| set.iter().all(|m| m.matches_labels(r.labels.as_ref()))))
        };
        let rules: Vec<&Rule> = g.rules.iter().filter(wanted).collect();
        if rules.is_empty() {
            continue;
        }
        if limit.is_some_and(|l| shown == l) {
            more = Some(token(&g));
            break;
        }
        shown += 1;
        j.sep(&mut first).raw("{\"name\":").string(&g.name).raw(",\"file\":").string(&g.file).raw(",\"rules\":[");
        let mut first_rule = true;
        for r in rules {
            write_rule(j.sep(&mut first_rule), r, exclude_alerts);
        }
        j.raw("],\"interval\":").number(g.interval.as_secs_f64()).raw(",\"limit\":").int(g.limit as i64);
        j.raw(",\"evaluationTime\":").number(g.evaluation_time().as_secs_f64());
        j.raw(",\"lastEvaluation\":").string(&time(g.last_evaluation_ms())).raw("}");
    }
    if !found {
        return Err(ApiError::param("group_next_token", format!("invalid group_next_token '{next}'. were rule groups changed?")));
    }
    j.raw("]");
    if let Some(t) = more {
        j.raw(",\"groupNextToken\":").string(&t);
    }
    j.raw("}");
    Ok(Success::json(j))
}

fn write_rule(j: &mut Json, r: &Rule, exclude_alerts: bool) {
    let o = r.outcome();
    j.raw("{");
    if let Some(a) = r.alerting() {
        j.raw("\"state\":").string(a.state().as_str()).raw(",");
    }
    j.raw("\"name\":").string(&r.name).raw(",\"query\":").string(&r.query);
    if let Some(a) = r.alerting() {
        j.raw(",\"duration\":").number(a.hold_ms as f64 / 1000.0).raw(",\"keepFiringFor\":").number(a.keep_firing_ms as f64 / 1000.0);
    }
    j.raw(",\"labels\":").labels(r.labels.as_ref());
    if let Some(a) = r.alerting() {
        j.raw(",\"annotations\":").labels(model::Labels::from_pairs(&a.annotations).as_ref()).raw(",\"alerts\":");
        if exclude_alerts {
            j.raw("null");
        } else {
            j.raw("[");
            write_alerts(j, &a.active(), &mut true);
            j.raw("]");
        }
    }
    j.raw(",\"health\":").string(o.health.as_str());
    if !o.last_error.is_empty() {
        j.raw(",\"lastError\":").string(&o.last_error);
    }
    j.raw(",\"evaluationTime\":").number(o.duration.as_secs_f64()).raw(",\"lastEvaluation\":").string(&time(o.evaluated_ms));
    j.raw(",\"type\":").string(if r.alerting().is_some() { "alerting" } else { "recording" }).raw("}");
}
