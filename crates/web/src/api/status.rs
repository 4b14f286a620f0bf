//! `/status/*`, `/features`: what this server is and how it was started.

use super::App;
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use crate::json::Json;
use crate::server::Req;
use serde::Serialize;
use std::collections::BTreeMap;

/// `/status/buildinfo`. `version` is the version of Prometheus whose behaviour is kept: data sources and sidecars gate on it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    pub go_version: String,
}

/// `/status/runtimeinfo`.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeInfo {
    #[serde(rename = "startTime")]
    pub start_time: String,
    #[serde(rename = "CWD")]
    pub cwd: String,
    pub hostname: String,
    #[serde(rename = "serverTime")]
    pub server_time: String,
    #[serde(rename = "reloadConfigSuccess")]
    pub reload_config_success: bool,
    #[serde(rename = "lastConfigTime")]
    pub last_config_time: String,
    #[serde(rename = "corruptionCount")]
    pub corruption_count: i64,
    #[serde(rename = "goroutineCount")]
    pub goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    pub gomaxprocs: usize,
    #[serde(rename = "GOMEMLIMIT")]
    pub gomemlimit: i64,
    #[serde(rename = "GOGC")]
    pub gogc: String,
    #[serde(rename = "GODEBUG")]
    pub godebug: String,
    #[serde(rename = "storageRetention")]
    pub storage_retention: String,
}

pub fn config(app: &App) -> ApiResult {
    let mut j = Json::default();
    j.raw("{\"yaml\":").string(&app.control.config_yaml()).raw("}");
    Ok(Success::json(j))
}

pub fn flags(app: &App) -> ApiResult {
    Success::of(&app.options.flags)
}

pub fn build_info(app: &App) -> ApiResult {
    Success::of(&app.options.build)
}

pub fn runtime_info(app: &App) -> ApiResult {
    Success::of(&app.control.runtime_info())
}

#[derive(Serialize)]
struct Stat {
    name: String,
    value: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Stat>,
    label_value_count_by_label_name: Vec<Stat>,
    memory_in_bytes_by_label_name: Vec<Stat>,
    series_count_by_label_value_pair: Vec<Stat>,
    /// Ours: what has come and gone in up to an hour.
    churn: Churn,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Churn {
    window_seconds: i64,
    series_created: u64,
    series_removed: u64,
    created_by_metric_name: Vec<Stat>,
    created_by_job: Vec<Stat>,
}

pub fn tsdb(app: &App, req: &Req) -> ApiResult {
    const MAX: usize = 10_000;
    let limit = match req.params.get("limit") {
        "" => 10,
        s => s.parse::<usize>().ok().filter(|n| *n >= 1).ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    if limit > MAX {
        return Err(ApiError::bad_data(format!("limit must not exceed {MAX}")));
    }
    let db = app.db()?;
    let (head, c, churn) = (db.head_stats(), db.cardinality(limit, None), db.churn(limit));
    let list = |v: Vec<(String, u64)>| v.into_iter().map(|(name, value)| Stat { name, value }).collect();
    Success::of(&TsdbStatus {
        head_stats: HeadStats {
            num_series: head.series,
            num_label_pairs: head.label_pairs,
            chunk_count: head.chunks,
            min_time: head.min_ms,
            max_time: head.max_ms,
        },
        series_count_by_metric_name: list(c.series_by_metric),
        label_value_count_by_label_name: list(c.values_by_label),
        memory_in_bytes_by_label_name: list(c.bytes_by_label),
        series_count_by_label_value_pair: list(c.series_by_pair),
        churn: Churn {
            window_seconds: churn.window_ms / 1000,
            series_created: churn.created,
            series_removed: churn.removed,
            created_by_metric_name: list(churn.created_by_metric),
            created_by_job: list(churn.created_by_job),
        },
    })
}

pub fn tsdb_blocks(app: &App) -> ApiResult {
    let mut j = Json::default();
    j.raw("{\"blocks\":[");
    let mut first = true;
    for meta in app.db()?.block_metas() {
        let meta = serde_json::to_string(&*meta).map_err(|e| ApiError::new(ErrorKind::Internal, e.to_string()))?;
        j.sep(&mut first).raw(&meta);
    }
    j.raw("]");
    let bad = app.db()?.set_aside();
    if !bad.is_empty() {
        j.raw(",\"setAside\":[");
        let mut first = true;
        for (block, error) in bad {
            j.sep(&mut first).raw("{\"block\":").string(&block).raw(",\"error\":").string(&error).raw("}");
        }
        j.raw("]");
    }
    j.raw("}");
    Ok(Success::json(j))
}

pub fn wal_replay(p: super::Replay) -> ApiResult {
    let mut j = Json::default();
    j.raw("{\"min\":").int(p.min).raw(",\"max\":").int(p.max).raw(",\"current\":").int(p.current).raw("}");
    Ok(Success::json(j))
}

pub fn features(app: &App) -> ApiResult {
    let f: &BTreeMap<String, BTreeMap<String, bool>> = &app.options.features;
    Success::of(f)
}

/// Own metrics as a list of families in the JSON form of their protobuf message.
pub fn self_metrics(app: &App, req: &Req) -> ApiResult {
    use stdx::metrics::{Kind, Value};
    let pattern = req.params.get("metric_name_pattern");
    let filter = match pattern {
        "" => None,
        p => Some(model::regex::Regex::new(p).map_err(|e| ApiError::bad_data(format!("invalid metric_name_pattern: {e}")))?),
    };
    let mut j = Json::default();
    j.raw("[");
    let mut first = true;
    for f in app.registry.gather() {
        if filter.as_ref().is_some_and(|r| !r.is_match(&f.name)) {
            continue;
        }
        let kind = match f.kind {
            Kind::Counter => "COUNTER",
            Kind::Gauge => "GAUGE",
            Kind::Untyped => "UNTYPED",
            Kind::Histogram => "HISTOGRAM",
            Kind::Summary => "SUMMARY",
        };
        j.sep(&mut first).raw("{\"name\":").string(&f.name).raw(",\"help\":").string(&f.help).raw(",\"type\":").string(kind).raw(",\"metric\":[");
        let mut first_metric = true;
        for m in &f.metrics {
            j.sep(&mut first_metric).raw("{");
            if !m.labels.is_empty() {
                j.raw("\"label\":[");
                let mut first_label = true;
                for (n, v) in &m.labels {
                    j.sep(&mut first_label).raw("{\"name\":").string(n).raw(",\"value\":").string(v).raw("}");
                }
                j.raw("],");
            }
            let number = |j: &mut Json, v: f64| {
                if v.is_finite() {
                    j.number(v);
                } else {
                    // protojson writes these as words.
                    j.string(if v.is_nan() {
                        "NaN"
                    } else if v > 0.0 {
                        "Infinity"
                    } else {
                        "-Infinity"
                    });
                }
            };
            match &m.value {
                Value::Counter(v) | Value::Gauge(v) | Value::Untyped(v) => {
                    j.string(&kind.to_ascii_lowercase()).raw(":{\"value\":");
                    number(&mut j, *v);
                    j.raw("}");
                }
                Value::Histogram { buckets, sum, count } => {
                    j.raw("\"histogram\":{\"sampleCount\":\"").int(*count as i64).raw("\",\"sampleSum\":");
                    number(&mut j, *sum);
                    j.raw(",\"bucket\":[");
                    let mut first_bucket = true;
                    for (bound, n) in buckets.iter().filter(|(b, _)| b.is_finite()) {
                        j.sep(&mut first_bucket).raw("{\"cumulativeCount\":\"").int(*n as i64).raw("\",\"upperBound\":").number(*bound).raw("}");
                    }
                    j.raw("]}");
                }
                Value::Summary { quantiles, sum, count } => {
                    j.raw("\"summary\":{\"sampleCount\":\"").int(*count as i64).raw("\",\"sampleSum\":");
                    number(&mut j, *sum);
                    j.raw(",\"quantile\":[");
                    let mut first_q = true;
                    for (q, v) in quantiles {
                        j.sep(&mut first_q).raw("{\"quantile\":").number(*q).raw(",\"value\":");
                        number(&mut j, *v);
                        j.raw("}");
                    }
                    j.raw("]}");
                }
            }
            j.raw("}");
        }
        j.raw("]}");
    }
    j.raw("]");
    Ok(Success::json(j))
}

impl App {
    /// The storage, when this server has one.
    pub fn db(&self) -> Result<&tsdb::db::Db, ApiError> {
        self.db.as_deref().ok_or_else(|| ApiError::new(ErrorKind::Execution, "unavailable with Prometheus Agent"))
    }
}
