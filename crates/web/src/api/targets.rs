//! `/targets`, `/targets/metadata`, `/targets/relabel_steps`, `/scrape_pools`, `/metadata`.

use super::App;
use super::envelope::{ApiError, ApiResult, Success};
use crate::json::Json;
use crate::server::Req;
use model::{Labels, Metadata};
use std::collections::BTreeMap;

const NEVER: &str = "0001-01-01T00:00:00Z";

pub fn pools(app: &App) -> ApiResult {
    let mut j = Json::default();
    j.raw("{\"scrapePools\":").strings(&app.scrape.pools()).raw("}");
    Ok(Success::json(j))
}

pub fn targets(app: &App, req: &Req) -> ApiResult {
    let pool = req.params.find("scrapePool").filter(|p| !p.is_empty());
    let state = req.params.get("state").to_ascii_lowercase();
    let any = matches!(state.as_str(), "" | "any");
    let mut j = Json::with_capacity(16 * 1024);
    j.raw("{\"activeTargets\":[");
    let mut first = true;
    if any || state == "active" {
        for t in app.scrape.targets(pool) {
            j.sep(&mut first).raw("{\"discoveredLabels\":").labels(t.discovered_labels.as_ref()).raw(",\"labels\":").labels(t.labels.as_ref());
            j.raw(",\"scrapePool\":").string(&t.scrape_pool).raw(",\"scrapeUrl\":").string(&t.scrape_url);
            j.raw(",\"globalUrl\":").string(&global_url(app, &t.scrape_url)).raw(",\"lastError\":").string(&t.last.error);
            let at = t.last.at_ms.map_or(NEVER.to_string(), model::time::format_rfc3339_ms);
            j.raw(",\"lastScrape\":").string(&at).raw(",\"lastScrapeDuration\":").number(t.last.duration_seconds);
            j.raw(",\"health\":").string(t.last.health.as_str());
            j.raw(",\"scrapeInterval\":").string(&t.interval).raw(",\"scrapeTimeout\":").string(&t.timeout).raw("}");
        }
    }
    j.raw("],\"droppedTargets\":[");
    let mut first = true;
    let show_dropped = any || state == "dropped";
    if show_dropped {
        for t in app.scrape.dropped(pool) {
            j.sep(&mut first).raw("{\"discoveredLabels\":").labels(t.discovered_labels.as_ref());
            j.raw(",\"scrapePool\":").string(&t.scrape_pool).raw("}");
        }
    }
    j.raw("],\"droppedTargetCounts\":");
    if show_dropped {
        j.raw("{");
        let mut first = true;
        for (pool, n) in app.scrape.dropped_counts() {
            j.sep(&mut first).string(&pool).raw(":").int(n as i64);
        }
        j.raw("}");
    } else {
        j.raw("null");
    }
    j.raw("}");
    Ok(Success::json(j))
}

/// The URL under which others may reach a target that this server reaches on its own host.
fn global_url(app: &App, url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_string() };
    let (host_port, path) = rest.find('/').map_or((rest, ""), |i| (&rest[..i], &rest[i..]));
    let (host, port) = match host_port.rsplit_once(':') {
        Some((h, p)) if !p.contains(']') => (h.trim_start_matches('[').trim_end_matches(']'), p),
        _ => (host_port, ""),
    };
    if !matches!(host, "127.0.0.1" | "localhost" | "::1" | "") {
        return url.to_string();
    }
    let Some((own_scheme, own)) = app.options.external_url.split_once("://") else { return url.to_string() };
    let own_host_port = own.split('/').next().unwrap_or(own);
    let listen_port = app.options.listen_address.rsplit_once(':').map_or("", |(_, p)| p);
    if port == listen_port {
        return format!("{own_scheme}://{own_host_port}{path}");
    }
    let own_host = match own_host_port.rsplit_once(':') {
        Some((h, p)) if !p.contains(']') => h,
        _ => own_host_port,
    };
    let port = if port.is_empty() { String::new() } else { format!(":{port}") };
    format!("{scheme}://{own_host}{port}{path}")
}

fn number(req: &Req, name: &str) -> Result<Option<i64>, ApiError> {
    match req.params.get(name) {
        "" => Ok(None),
        s => s.parse().map(Some).map_err(|_| ApiError::bad_data(format!("{name} must be a number"))),
    }
}

fn write_metadata(j: &mut Json, m: &Metadata) {
    j.raw("\"type\":").string(m.kind.as_str()).raw(",\"help\":").string(&m.help).raw(",\"unit\":").string(&m.unit);
}

pub fn target_metadata(app: &App, req: &Req) -> ApiResult {
    let limit = number(req, "limit")?;
    let matchers = match req.params.get("match_target") {
        "" => Vec::new(),
        s => promql::parse::parse_metric_selector(s).map_err(|e| ApiError::param("match_target", e))?,
    };
    let metric = req.params.get("metric");
    let mut j = Json::default();
    j.raw("[");
    let mut first = true;
    let mut n = 0;
    for t in app.scrape.metadata() {
        if limit.is_some_and(|l| l >= 0 && n >= l) {
            break;
        }
        if !matchers.iter().all(|m| m.matches_labels(t.labels.as_ref())) {
            continue;
        }
        for (name, m) in t.families.iter().filter(|(name, _)| metric.is_empty() || name == metric) {
            j.sep(&mut first).raw("{\"target\":").labels(t.labels.as_ref()).raw(",");
            if metric.is_empty() {
                j.raw("\"metric\":").string(name).raw(",");
            }
            write_metadata(&mut j, m);
            j.raw("}");
            n += 1;
        }
    }
    j.raw("]");
    Ok(Success::json(j))
}

pub fn metadata(app: &App, req: &Req) -> ApiResult {
    let (limit, per_metric) = (number(req, "limit")?, number(req, "limit_per_metric")?);
    let metric = req.params.get("metric");
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    for t in app.scrape.metadata() {
        for (name, m) in t.families {
            if !metric.is_empty() && name != metric {
                continue;
            }
            let known = all.entry(name).or_default();
            if !known.contains(&m) && per_metric.is_none_or(|l| l <= 0 || (known.len() as i64) < l) {
                known.push(m);
            }
        }
    }
    let mut j = Json::default();
    j.raw("{");
    let mut first = true;
    for (i, (name, list)) in all.iter().enumerate() {
        if limit.is_some_and(|l| l >= 0 && i as i64 >= l) {
            break;
        }
        j.sep(&mut first).string(name).raw(":[");
        let mut first_one = true;
        for m in list {
            j.sep(&mut first_one).raw("{");
            write_metadata(&mut j, m);
            j.raw("}");
        }
        j.raw("]");
    }
    j.raw("}");
    Ok(Success::json(j))
}

pub fn relabel_steps(app: &App, req: &Req) -> ApiResult {
    let pool = req.params.get("scrapePool");
    if pool.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let text = req.params.get("labels");
    if text.is_empty() {
        return Err(ApiError::bad_data("no labels parameter provided"));
    }
    let labels: BTreeMap<String, String> = serde_json::from_str(text).map_err(|e| ApiError::bad_data(format!("error parsing labels: {e}")))?;
    let config =
        app.scrape.pool_config(pool).ok_or_else(|| ApiError::bad_data(format!("error retrieving scrape config: scrape pool not found: {pool:?}")))?;
    let mut b = Labels::from_pairs(&labels).builder();
    let mut keep = true;
    let mut j = Json::default();
    j.raw("{\"steps\":[");
    let mut first = true;
    for rule in &config.relabel_configs {
        keep = keep && rule.apply(&mut b);
        let output = if keep { b.build() } else { Labels::empty() };
        j.sep(&mut first).raw("{\"rule\":{\"source_labels\":").strings(&rule.source_labels);
        j.raw(",\"separator\":").string(&rule.separator).raw(",\"regex\":").string(rule.regex.pattern());
        j.raw(",\"modulus\":").int(rule.modulus as i64).raw(",\"target_label\":").string(&rule.target_label);
        j.raw(",\"replacement\":").string(&rule.replacement).raw(",\"action\":").string(rule.action.as_str());
        j.raw("},\"output\":").labels(output.as_ref()).raw(if keep { ",\"keep\":true}" } else { ",\"keep\":false}" });
    }
    j.raw("]}");
    Ok(Success::json(j))
}
