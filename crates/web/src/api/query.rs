//! `/query`, `/query_range`, `/explain`, `/format_query`, `/parse_query`.

use super::args;
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use super::{App, Asked};
use crate::json::{Json, Stamps};
use crate::server::Req;
use promql::{MatrixValue, QueryError, QueryOptions, QueryResult, QueryStats, SampleValue, Value, VectorValue};
use remote::ledger::notice::Noticing;
use std::sync::Arc;
use std::time::Duration;
use storage::Queryable;

/// Points of one series that a range query may return.
const MAX_POINTS: i64 = 11_000;
const TOO_MANY_POINTS: &str = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";

impl From<QueryError> for ApiError {
    fn from(e: QueryError) -> Self {
        let kind = match e.kind {
            promql::ErrorKind::BadData => return ApiError::param("query", e.message),
            promql::ErrorKind::Execution => ErrorKind::Execution,
            promql::ErrorKind::Canceled => ErrorKind::Canceled,
            promql::ErrorKind::Timeout => ErrorKind::Timeout,
            promql::ErrorKind::Internal => ErrorKind::Internal,
        };
        ApiError::new(kind, e.message)
    }
}

fn options(req: &Req, asked: &Asked) -> Result<QueryOptions, ApiError> {
    let origin = vec![
        ("clientIP".to_string(), req.peer.ip().to_string()),
        ("method".to_string(), req.method.to_string()),
        ("path".to_string(), req.path.clone()),
    ];
    let mut o = QueryOptions { cancel: Some(asked.cancel.clone()), has_turn: asked.has_turn, origin, ..QueryOptions::default() };
    if let Some(to) = req.params.find("timeout").filter(|t| !t.is_empty()) {
        let ms = args::parse_duration_ms(to).map_err(|e| ApiError::param("timeout", e))?;
        o.timeout = Some(Duration::from_millis(ms.max(0) as u64));
    }
    if let Some(d) = req.params.find("lookback_delta").filter(|d| !d.is_empty()) {
        let ms = args::parse_duration_ms(d).map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?;
        o.lookback_delta_ms = Some(ms);
    }
    o.per_step_stats = req.params.get("stats") == "all";
    Ok(o)
}

/// Is this query so little work that it is done where the request was read?
pub fn is_light(app: &App, req: &Req, range: bool) -> bool {
    let times = if range { range_times(req) } else { args::time_or(&req.params, "time", app.clock.now_ms()).map(|t| (t, t, 0)) };
    // Bad times are answered soon.
    let Ok((start, end, step)) = times else { return true };
    // Noticing gaps asks for more than the query does.
    if app.known_gaps.as_ref().is_some_and(|known| !known.is_empty()) {
        return false;
    }
    app.engine.is_light(app.queryable(req).as_ref(), req.params.get("query"), start, end, step)
}

pub fn instant(app: &App, req: &Req, asked: &Asked) -> ApiResult {
    let limit = args::limit(&req.params)?;
    let now = app.clock.now_ms();
    let ts = args::time_or(&req.params, "time", now)?;
    let options = options(req, asked)?;
    let (storage, noticing) = storage(app, req, &options);
    let mut result = app.engine.instant(storage.as_ref(), req.params.get("query"), ts, &options)?;
    result.infos.extend(noticing.map(|n| n.infos()).unwrap_or_default());
    answer(req, result, limit)
}

pub fn range(app: &App, req: &Req, asked: &Asked) -> ApiResult {
    let limit = args::limit(&req.params)?;
    let (start, end, step) = range_times(req)?;
    let options = options(req, asked)?;
    let (storage, noticing) = storage(app, req, &options);
    let mut result = app.engine.range(storage.as_ref(), req.params.get("query"), start, end, step, &options)?;
    result.infos.extend(noticing.map(|n| n.infos()).unwrap_or_default());
    answer(req, result, limit)
}

/// `start`, `end` and `step` of a range query, in milliseconds.
fn range_times(req: &Req) -> Result<(i64, i64, i64), ApiError> {
    let time = |name: &str| args::parse_time_ms(req.params.get(name)).map_err(|e| ApiError::param(name, e));
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        return Err(ApiError::param("end", "end timestamp must not be before start time"));
    }
    let step = args::parse_duration_ms(req.params.get("step")).map_err(|e| ApiError::param("step", e))?;
    // Of less than a millisecond: with so many steps that they are too many, or with none.
    let tiny =
        step == 0 && req.params.get("step").parse().is_ok_and(|s: f64| s > 0.0 && end.saturating_sub(start) as f64 / 1e3 / s > MAX_POINTS as f64);
    if tiny {
        return Err(ApiError::bad_data(TOO_MANY_POINTS));
    }
    if step <= 0 {
        return Err(ApiError::param("step", "zero or negative query resolution step widths are not accepted. Try a positive integer"));
    }
    if end.saturating_sub(start) / step > MAX_POINTS {
        return Err(ApiError::bad_data(TOO_MANY_POINTS));
    }
    Ok((start, end, step))
}

/// The plan of a query and, unless `run=false`, what each operator took when it was run. With `step` a range query, else an instant one.
pub fn explain(app: &App, req: &Req, asked: &Asked) -> ApiResult {
    let (start, end, step) = match req.params.find("step") {
        Some(_) => range_times(req)?,
        None => {
            let at = args::time_or(&req.params, "time", app.clock.now_ms())?;
            (at, at, 0)
        }
    };
    let query = req.params.get("query");
    let mut j = Success::begin(4096);
    if req.params.get("run") == "false" {
        j.raw("{\"text\":").string(&app.engine.plan(query, start, end, step)?).raw("}");
        return Ok(Success::begun(j));
    }
    let explained = app.engine.explain(app.queryable(req).as_ref(), query, start, end, step, &options(req, asked)?)?;
    j.raw("{\"text\":").string(&explained.root.to_string()).raw(",\"plan\":");
    write_operator(&mut j, &explained.root);
    j.raw(",\"stats\":");
    write_stats(&mut j, &explained.stats);
    j.raw("}");
    let mut out = Success::begun(j);
    (out.warnings, out.infos) = (explained.warnings, explained.infos);
    Ok(out)
}

fn write_operator(j: &mut Json, o: &promql::Operator) {
    j.raw("{\"operator\":").string(&o.text).raw(",\"seconds\":").number(o.cost.time.as_secs_f64());
    j.raw(",\"series\":").int(o.cost.series as i64).raw(",\"samples\":").int(o.cost.samples as i64);
    j.raw(",\"bytes\":").int(o.cost.bytes as i64).raw(",\"inputs\":[");
    let mut first = true;
    for i in &o.inputs {
        write_operator(j.sep(&mut first), i);
    }
    j.raw("]}");
}

/// What a query is asked of. Where somebody has sent samples and some are known to be missing, it also notices which of the gaps the query touches.
fn storage(app: &App, req: &Req, options: &QueryOptions) -> (Arc<dyn Queryable>, Option<Arc<Noticing>>) {
    let receives = app.receiver.as_ref().is_some_and(|r| !r.ledger().is_empty());
    match &app.known_gaps {
        Some(known) if receives && !known.is_empty() => {
            let lookback_ms = options.lookback_delta_ms.unwrap_or(app.options.lookback_delta_ms);
            let noticing = Arc::new(Noticing::new(app.queryable(req), Arc::clone(known), lookback_ms));
            (Arc::clone(&noticing) as Arc<dyn Queryable>, Some(noticing))
        }
        _ => (app.queryable(req), None),
    }
}

fn answer(req: &Req, result: QueryResult, limit: usize) -> ApiResult {
    let mut j = Success::begin(expected_bytes(&result.value) + 512);
    j.raw("{\"resultType\":\"").raw(result.value.type_name()).raw("\",\"result\":");
    let cut = write_value(&mut j, &result.value, limit);
    let stats = req.params.get("stats");
    if !stats.is_empty() {
        j.raw(",\"stats\":");
        write_stats(&mut j, &result.stats);
    }
    j.raw("}");
    let mut out = Success::begun(j);
    (out.warnings, out.infos) = (result.warnings, result.infos);
    if cut {
        out.warnings.push("results truncated due to limit".to_string());
    }
    if !matches!(stats, "" | "true" | "all") {
        out.warnings.push(format!(
            "value {stats:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""
        ));
    }
    Ok(out)
}

/// Writes a result; true when the limit cut something off.
fn write_value(j: &mut Json, value: &Value, limit: usize) -> bool {
    match value {
        Value::Scalar { t_ms, v } => {
            j.raw("[").time(*t_ms).raw(",").scalar(*v).raw("]");
            false
        }
        Value::String { t_ms, v } => {
            j.raw("[").time(*t_ms).raw(",").string(v).raw("]");
            false
        }
        Value::Vector(v) => write_vector(j, v, limit),
        Value::Matrix(m) => write_matrix(j, m, limit),
    }
}

fn write_vector(j: &mut Json, v: &VectorValue, limit: usize) -> bool {
    let n = if limit > 0 { limit.min(v.samples.len()) } else { v.samples.len() };
    j.raw("[");
    let mut first = true;
    for s in &v.samples[..n] {
        j.sep(&mut first).raw("{\"metric\":").labels(s.labels.as_ref());
        match &s.value {
            SampleValue::Float(x) => j.raw(",\"value\":").point(v.t_ms, *x),
            SampleValue::Histogram(h) => j.raw(",\"histogram\":").histogram_point(v.t_ms, h),
        };
        j.raw("}");
    }
    j.raw("]");
    n < v.samples.len()
}

fn write_matrix(j: &mut Json, m: &MatrixValue, limit: usize) -> bool {
    let n = if limit > 0 { limit.min(m.len()) } else { m.len() };
    let stamps = m.steps().filter(|_| n > 0).map(|s| Stamps::new(s.start_ms, s.step_ms, s.n));
    j.raw("[");
    let mut first = true;
    for s in m.iter().take(n) {
        j.sep(&mut first).raw("{\"metric\":").labels(s.labels.as_ref());
        if s.float_count() > 0 {
            j.raw(",\"values\":[");
            match &stamps {
                Some(stamps) => s.each_step(|k, v| {
                    j.stamped(stamps.get(k), v);
                }),
                None => s.floats().for_each(|(t, v)| {
                    j.point(t, v).raw(",");
                }),
            }
            j.no_comma().raw("]");
        }
        if s.histogram_count() > 0 {
            j.raw(",\"histograms\":[");
            let mut first_point = true;
            for (t, h) in s.histograms() {
                j.sep(&mut first_point).histogram_point(t, h);
            }
            j.raw("]");
        }
        j.raw("}");
    }
    j.raw("]");
    n < m.len()
}

/// About how long the answer will be: room that is asked for once need not be moved.
fn expected_bytes(value: &Value) -> usize {
    const PER_POINT: usize = 34;
    const PER_SERIES: usize = 64;
    match value {
        Value::Scalar { .. } | Value::String { .. } => 256,
        Value::Vector(v) => v.samples.iter().map(|s| s.labels.as_ref().encoded().len() * 2 + PER_POINT + PER_SERIES).sum(),
        Value::Matrix(m) => m.iter().map(|s| s.labels.as_ref().encoded().len() * 2 + s.float_count() * PER_POINT + PER_SERIES).sum(),
    }
}

fn write_stats(j: &mut Json, s: &QueryStats) {
    let t = &s.timings;
    j.raw("{\"timings\":{\"evalTotalTime\":").number(t.eval_total.as_secs_f64());
    j.raw(",\"resultSortTime\":").number(t.result_sort.as_secs_f64());
    j.raw(",\"queryPreparationTime\":").number(t.query_preparation.as_secs_f64());
    j.raw(",\"innerEvalTime\":").number(t.inner_eval.as_secs_f64());
    j.raw(",\"execQueueTime\":").number(t.exec_queue.as_secs_f64());
    j.raw(",\"execTotalTime\":").number(t.exec_total.as_secs_f64());
    j.raw("},\"samples\":{");
    let per_step = |j: &mut Json, name: &str, steps: &Option<Vec<(i64, u64)>>| {
        if let Some(steps) = steps {
            j.raw("\"").raw(name).raw("\":[");
            let mut first = true;
            for (t, n) in steps {
                j.sep(&mut first).raw("[").time(*t).raw(",").int(*n as i64).raw("]");
            }
            j.raw("],");
        }
    };
    per_step(j, "totalQueryableSamplesPerStep", &s.samples.total_queryable_per_step);
    per_step(j, "samplesReadPerStep", &s.samples.read_per_step);
    j.raw("\"totalQueryableSamples\":").int(s.samples.total_queryable as i64);
    j.raw(",\"samplesRead\":").int(s.samples.read as i64);
    j.raw(",\"peakSamples\":").int(s.samples.peak as i64).raw("}}");
}

pub fn format(app: &App, req: &Req) -> ApiResult {
    let e = promql::parse::parse_expr(req.params.get("query"), &app.options.parse).map_err(|e| ApiError::param("query", e))?;
    let mut j = Json::default();
    j.string(&promql::parse::prettify(&e));
    Ok(Success::json(j))
}

pub fn parse(app: &App, req: &Req) -> ApiResult {
    let e = promql::parse::parse_expr(req.params.get("query"), &app.options.parse).map_err(|e| ApiError::param("query", e))?;
    let mut j = Json::default();
    j.raw(&promql::parse::to_json(&e));
    Ok(Success::json(j))
}
