//! `/admin/tsdb/*`: delete series, clean tombstones, snapshot. Off unless `--web.enable-admin-api`.

use super::App;
use super::args::{self, MAX_TIME_MS, MIN_TIME_MS};
use super::envelope::{ApiError, ApiResult, ErrorKind, Success};
use crate::json::Json;
use crate::server::Req;

fn enabled(app: &App) -> Result<(), ApiError> {
    if app.options.enable_admin { Ok(()) } else { Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled")) }
}

fn failed(e: tsdb::db::DbError) -> ApiError {
    let kind = if matches!(e, tsdb::db::DbError::NotReady) { ErrorKind::Unavailable } else { ErrorKind::Internal };
    ApiError::new(kind, e.to_string())
}

fn internal(e: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorKind::Internal, e.to_string())
}

pub fn delete_series(app: &App, req: &Req) -> ApiResult {
    enabled(app)?;
    if req.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (start, end) = (args::time_or(&req.params, "start", MIN_TIME_MS)?, args::time_or(&req.params, "end", MAX_TIME_MS)?);
    for s in req.params.all("match[]") {
        let matchers = promql::parse::parse_metric_selector(s).map_err(|e| ApiError::param("match[]", e))?;
        app.db()?.delete_series(start, end, &matchers).map_err(failed)?;
    }
    Ok(Success::no_content())
}

pub fn clean_tombstones(app: &App) -> ApiResult {
    enabled(app)?;
    app.db()?.clean_tombstones().map_err(failed)?;
    Ok(Success::no_content())
}

pub fn snapshot(app: &App, req: &Req) -> ApiResult {
    enabled(app)?;
    let skip_head = match req.params.get("skip_head") {
        "" => false,
        s => args::parse_bool(s).map_err(|e| ApiError::param("skip_head", format!("unable to parse boolean: {e}")))?,
    };
    let now = model::time::format_rfc3339_ms(app.clock.now_ms());
    let compact: String = now.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    let random = stdx::rand::Rand::from_entropy().next_u64() >> 1;
    let name = format!("{compact}Z-{random:016x}");
    let db = app.db()?;
    db.snapshot(&db.options().dir.join("snapshots").join(&name), skip_head).map_err(|e| match e {
        tsdb::db::DbError::NotReady => failed(e),
        e => internal(format!("create snapshot: {e}")),
    })?;
    let mut j = Json::default();
    j.raw("{\"name\":").string(&name).raw("}");
    Ok(Success::json(j))
}
