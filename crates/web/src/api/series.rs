//! `/series`, `/labels`, `/label/<name>/values`, `/query_exemplars`.

use super::App;
use super::args::{self, MAX_TIME_MS, MIN_TIME_MS};
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use crate::json::Json;
use crate::server::Req;
use model::{Labels, MatchOp, Matcher};
use storage::{LabelHints, SelectHints, Warnings};

/// Series between two looks whether the client is still there.
const LOOK_EVERY: usize = 4096;
const TRUNCATED: &str = "results truncated due to limit";

fn truncate<T>(list: &mut Vec<T>, limit: usize, warnings: &mut Warnings) {
    if limit > 0 && list.len() > limit {
        list.truncate(limit);
        warnings.push(TRUNCATED.to_string());
    }
}

/// Asks once for each matcher set (once without matchers when there is none) and merges the strings.
pub fn merged(
    sets: &[Vec<Matcher>],
    mut ask: impl FnMut(&[Matcher]) -> Result<(Vec<String>, Warnings), storage::ReadError>,
) -> Result<(Vec<String>, Warnings), ApiError> {
    let none = [Vec::new()];
    let mut all = Vec::new();
    let mut warnings = Warnings::new();
    for set in if sets.is_empty() { &none[..] } else { sets } {
        let (values, w) = ask(set)?;
        all.extend(values);
        warnings.extend(w);
    }
    all.sort_unstable();
    all.dedup();
    Ok((all, warnings))
}

fn strings(mut values: Vec<String>, limit: usize, mut warnings: Warnings) -> ApiResult {
    truncate(&mut values, limit, &mut warnings);
    let mut j = Json::default();
    j.strings(&values);
    Ok(Success::json(j).warn(warnings))
}

pub fn label_names(app: &App, req: &Req) -> ApiResult {
    let limit = args::limit(&req.params)?;
    let (start, end) = (args::time_or(&req.params, "start", MIN_TIME_MS)?, args::time_or(&req.params, "end", MAX_TIME_MS)?);
    let sets = args::matcher_sets(req)?;
    let q = app.queryable(req).querier(start, end)?;
    let (names, warnings) = merged(&sets, |m| q.label_names(LabelHints { limit: args::hint(limit) }, m))?;
    strings(names, limit, warnings)
}

pub fn label_values(app: &App, req: &Req, name: &[u8]) -> ApiResult {
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quote_bytes(name))));
    };
    let name = if name.starts_with("U__") { crate::escape::unescape_value_encoding(name) } else { name.to_string() };
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let limit = args::limit(&req.params)?;
    let (start, end) = (args::time_or(&req.params, "start", MIN_TIME_MS)?, args::time_or(&req.params, "end", MAX_TIME_MS)?);
    let sets = args::matcher_sets(req)?;
    let q = app.queryable(req).querier(start, end)?;
    let (values, warnings) = merged(&sets, |m| q.label_values(&name, LabelHints { limit: args::hint(limit) }, m))?;
    strings(values, limit, warnings)
}

/// As Go's `%q` shows what is not UTF-8.
fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = "\"".to_string();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\").replace('"', "\\\""));
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('"');
    out
}

/// Does each of the matcher sets ask for few series? Bad ones are answered soon.
pub fn is_light(req: &Req, few: &dyn Fn(&[Matcher]) -> bool) -> bool {
    let patterns = |m: &Matcher| matches!(m.op, MatchOp::Regex | MatchOp::NotRegex);
    args::matcher_sets(req).is_ok_and(|sets| sets.len() < 4 && sets.iter().all(|set| !set.iter().any(patterns) && few(set)))
}

pub fn series(app: &App, req: &Req) -> ApiResult {
    if req.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = args::limit(&req.params)?;
    let (start, end) = (args::time_or(&req.params, "start", MIN_TIME_MS)?, args::time_or(&req.params, "end", MAX_TIME_MS)?);
    let sets = args::matcher_sets(req).map_err(|e| ApiError::param("match[]", e.message))?;
    let q = app.queryable(req).querier(start, end)?;
    let hints = SelectHints { start_ms: start, end_ms: end, func: "series".to_string(), limit: args::hint(limit), ..SelectHints::default() };
    let mut all: Vec<Labels> = Vec::new();
    let mut warnings = Warnings::new();
    for set in &sets {
        let selection = q.select(false, &hints, set)?;
        warnings.extend(selection.warnings());
        for from in (0..selection.len()).step_by(LOOK_EVERY) {
            if req.gone.is_requested() {
                return Err(ApiError::new(ErrorKind::Canceled, "context canceled"));
            }
            let mut run = from..(from + LOOK_EVERY).min(selection.len());
            selection.labels_of(&mut run, &[], &mut |labels| all.push(labels));
        }
    }
    all.sort_unstable();
    all.dedup();
    truncate(&mut all, limit, &mut warnings);
    let mut j = Success::begin(all.iter().map(|l| l.as_ref().encoded().len() * 2 + 8).sum());
    j.label_sets(all.iter());
    Ok(Success::begun(j).warn(warnings))
}

pub fn query_exemplars(app: &App, req: &Req) -> ApiResult {
    let (start, end) = (args::time_or(&req.params, "start", MIN_TIME_MS)?, args::time_or(&req.params, "end", MAX_TIME_MS)?);
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = promql::parse::parse_expr(req.params.get("query"), &app.options.parse).map_err(|e| ApiError::bad_data(e.to_string()))?;
    let own = crate::scope::matchers(req.identity.as_deref());
    let sets: Vec<Vec<Matcher>> = expr.selectors().iter().map(|s| [&s.matchers[..], &own[..]].concat()).collect();
    if sets.is_empty() {
        return Ok(Success::no_content());
    }
    let mut j = Json::default();
    j.raw("[");
    let mut first = true;
    let found = app.exemplars.exemplars(start, end, &sets)?;
    for s in &found {
        j.sep(&mut first).raw("{\"seriesLabels\":").labels(s.labels.as_ref()).raw(",\"exemplars\":[");
        let mut first_exemplar = true;
        for e in &s.exemplars {
            j.sep(&mut first_exemplar).raw("{\"labels\":").labels(e.labels.as_ref()).raw(",\"value\":").value(e.value);
            j.raw(",\"timestamp\":").time(e.t_ms.unwrap_or(0)).raw("}");
        }
        j.raw("]}");
    }
    j.raw("]");
    Ok(Success::json(j))
}
