//! `/api/v1` and what lies beside it: which path is answered by what.

mod admin;
mod args;
mod envelope;
mod ledger;
mod openapi;
mod query;
mod rules;
mod search;
mod series;
mod status;
mod targets;

pub use envelope::{ApiError, ApiResult, ErrorKind, Success};
pub use status::{BuildInfo, RuntimeInfo};

use crate::server::{Reply, Req, percent_decode_bytes};
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, VARY};
use http::{Method, StatusCode};
use model::regex::Regex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stdx::clock::SharedClock;
use stdx::metrics::Registry;
use storage::{ExemplarQueryable, Queryable};

/// What the API answers from.
pub struct App {
    pub options: Options,
    pub clock: SharedClock,
    pub registry: Registry,
    /// Local storage and remote reads.
    pub queryable: Arc<dyn Queryable>,
    /// Local storage alone: what federation and remote read answer from.
    pub local: Arc<dyn Queryable>,
    pub exemplars: Arc<dyn ExemplarQueryable>,
    /// None for an agent.
    pub db: Option<Arc<tsdb::db::Db>>,
    pub engine: Arc<promql::Engine>,
    pub scrape: Arc<scrape::ScrapeManager>,
    /// None for an agent.
    pub rules: Option<Arc<::rules::Manager>>,
    pub notifier: Option<Arc<::rules::Notifier>>,
    /// None unless the receiver is enabled.
    pub receiver: Option<Arc<remote::receive::Receiver>>,
    /// What queries are told to be missing; None unless the receiver is enabled.
    pub known_gaps: Option<Arc<remote::ledger::known::KnownGaps>>,
    /// None unless the OTLP receiver is enabled.
    pub otlp: Option<Arc<remote::otlp::OtlpReceiver>>,
    /// None for an agent.
    pub reader: Option<Arc<remote::read::ReadHandler>>,
    pub control: Arc<dyn Control>,
    pub notifications: Arc<crate::notifications::Notifications>,
    pub stopping: Arc<AtomicBool>,
    /// The log is replayed, rules and uplinks run.
    pub ready: Arc<AtomicBool>,
}

/// What the API may ask of the whole server.
pub trait Control: Send + Sync {
    /// Reads the configuration again; returns when it is applied, or why it was refused.
    fn reload(&self) -> Result<(), String>;
    /// Asks the server to stop.
    fn quit(&self);
    /// The configuration that is in force, secrets hidden.
    fn config_yaml(&self) -> String;
    fn external_labels(&self) -> model::Labels;
    fn otlp_options(&self) -> remote::otlp::OtlpOptions;
    fn runtime_info(&self) -> RuntimeInfo;
}

/// How far the replay of the log is, or was: segment numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replay {
    pub min: i64,
    pub max: i64,
    pub current: i64,
}

/// How the API was asked to behave.
pub struct Options {
    /// Without a trailing slash; "" for the root.
    pub route_prefix: String,
    pub external_url: String,
    pub listen_address: String,
    pub page_title: String,
    pub user_assets: String,
    pub cors_origin: Regex,
    pub enable_lifecycle: bool,
    pub enable_admin: bool,
    pub agent: bool,
    pub parse: promql::parse::ParseOptions,
    pub lookback_delta_ms: i64,
    pub flags: BTreeMap<String, String>,
    pub build: BuildInfo,
    pub features: BTreeMap<String, BTreeMap<String, bool>>,
    pub enable_search: bool,
    /// Of one search; 0 for none.
    pub max_search_limit: usize,
}

impl App {
    /// The storage as the sender of this request may see it.
    fn queryable(&self, req: &Req) -> Arc<dyn Queryable> {
        crate::scope::narrowed(&self.queryable, req.identity.as_deref())
    }

    /// Is everything there? Before that, queries miss samples that are still in the log.
    pub fn is_ready(&self) -> bool {
        self.is_serving() && self.ready.load(Ordering::Acquire)
    }

    /// Are requests answered? Also while the log is being replayed.
    pub fn is_serving(&self) -> bool {
        !self.stopping.load(Ordering::Acquire)
    }

    pub fn not_ready(&self) -> Reply {
        not_ready(self.stopping.load(Ordering::Acquire))
    }

    /// As Prometheus 3 does it: an origin that fits is named, `*` is never said.
    fn with_cors(&self, origin: &str, reply: Reply) -> Reply {
        let reply = reply.header(VARY, "Origin");
        if origin.is_empty() {
            return reply;
        }
        let reply = reply
            .header(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS")
            .header(ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin")
            .header(ACCESS_CONTROL_EXPOSE_HEADERS, "Date");
        if self.options.cors_origin.is_match(origin) { reply.header(ACCESS_CONTROL_ALLOW_ORIGIN, origin) } else { reply }
    }
}

/// What stands in place of an answer while the storage cannot answer yet, or any more.
pub fn not_ready(stopping: bool) -> Reply {
    let name = http::HeaderName::from_static("x-prometheus-stopping");
    Reply::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").header(name, if stopping { "true" } else { "false" })
}

/// `/status/walreplay`, answered also before there is an [`App`].
pub fn wal_replay(p: Replay) -> Reply {
    status::wal_replay(p).map_or_else(|e| e.reply(), Success::reply)
}

/// What an agent has no answer for.
const SERVER_ONLY: &[&str] = &[
    "query",
    "query_range",
    "query_exemplars",
    "explain",
    "format_query",
    "parse_query",
    "labels",
    "label",
    "series",
    "alertmanagers",
    "alerts",
    "rules",
    "admin",
];

/// Answers a request below `/api/v1`. `path` is what follows that, without the leading slash.
pub async fn handle(app: Arc<App>, req: Req, path: String) -> Reply {
    let origin = req.header("origin").to_string();
    if req.method == Method::OPTIONS {
        return app.with_cors(&origin, Reply::empty(StatusCode::NO_CONTENT));
    }
    let always = matches!(path.as_str(), "notifications" | "notifications/live");
    // An answer that may lack samples needs a place to say so, which remote read does not have.
    let whole = path == "read";
    if !always && (!app.is_serving() || (whole && !app.is_ready())) {
        return app.not_ready();
    }
    let reply = match path.as_str() {
        "write" | "push" | "receive" | "read" | "otlp/v1/metrics" => crate::ingest::handle(Arc::clone(&app), req, path).await,
        "notifications/live" if req.method == Method::GET => crate::notifications::live(&app),
        "openapi.yaml" if req.method == Method::GET || req.method == Method::HEAD => {
            openapi::document(&req, &app.options.external_url, &app.options.build.version)
        }
        _ => {
            let asked = Asked { cancel: promql::Cancel::on(req.gone.clone()), has_turn: false };
            match at_once(&app, &req, &path, &asked) {
                Some(reply) => reply,
                None => {
                    let worker = Arc::clone(&app);
                    match tokio::task::spawn_blocking(move || dispatch(&worker, &req, &path, &asked)).await {
                        Ok(reply) => reply,
                        Err(e) => ApiError::new(ErrorKind::Internal, format!("request failed: {e}")).reply(),
                    }
                }
            }
        }
    };
    app.with_cors(&origin, reply)
}

/// How a request is being answered.
pub struct Asked {
    pub cancel: promql::Cancel,
    /// A turn of the query engine is held for it.
    pub has_turn: bool,
}

/// Series, or values, that a small answer may be made of.
const MOST_LIGHT: u64 = 1000;

/// Answers what is little work in memory where the request was read: handing it to another thread and back would cost more than the work.
fn at_once(app: &App, req: &Req, path: &str, asked: &Asked) -> Option<Reply> {
    if app.options.agent {
        return None;
    }
    let few = |ask: &dyn Fn(&dyn storage::Querier) -> Option<u64>| {
        let all = app.queryable(req).querier(args::MIN_TIME_MS, args::MAX_TIME_MS);
        all.ok().and_then(|q| ask(q.as_ref())).is_some_and(|n| n <= MOST_LIGHT)
    };
    let light = match path {
        "query" => query::is_light(app, req, false),
        "query_range" => query::is_light(app, req, true),
        // The number of names is about that of names of names.
        "labels" => req.params.find("match[]").is_none() && few(&|q| q.values_at_most(model::name::METRIC_NAME)),
        "label/__name__/values" => req.params.find("match[]").is_none() && few(&|q| q.values_at_most(model::name::METRIC_NAME)),
        "series" => series::is_light(req, &|matchers| few(&|q| q.at_most(matchers))),
        "status/buildinfo" => true,
        _ => false,
    };
    if !light {
        return None;
    }
    let turn = path.starts_with("query").then(|| app.engine.turn_at_once());
    if matches!(turn, Some(None)) {
        return None;
    }
    let asked = Asked { cancel: asked.cancel.clone(), has_turn: turn.is_some() };
    let answer = std::panic::AssertUnwindSafe(|| dispatch(app, req, path, &asked));
    Some(std::panic::catch_unwind(answer).unwrap_or_else(|_| ApiError::new(ErrorKind::Internal, "request failed: panic").reply()))
}

fn dispatch(app: &App, req: &Req, path: &str, asked: &Asked) -> Reply {
    let segments: Vec<&str> = path.split('/').collect();
    if app.options.agent && (SERVER_ONLY.contains(&segments[0]) || path.starts_with("status/tsdb")) {
        return ApiError::new(ErrorKind::Execution, "unavailable with Prometheus Agent").reply();
    }
    let get = req.method == Method::GET || req.method == Method::HEAD;
    let post = req.method == Method::POST;
    let put = req.method == Method::PUT;
    if let ["search", word] = segments.as_slice()
        && let Some(subject) = search::Subject::of(word)
        && (get || post)
    {
        return search::search(app, req, subject);
    }
    let result = match (segments.as_slice(), get, post, post || put) {
        (["query"], true, _, _) | (["query"], _, true, _) => query::instant(app, req, asked),
        (["query_range"], true, _, _) | (["query_range"], _, true, _) => query::range(app, req, asked),
        (["explain"], true, _, _) | (["explain"], _, true, _) => query::explain(app, req, asked),
        (["query_exemplars"], true, _, _) | (["query_exemplars"], _, true, _) => series::query_exemplars(app, req),
        (["format_query"], true, _, _) | (["format_query"], _, true, _) => query::format(app, req),
        (["parse_query"], true, _, _) | (["parse_query"], _, true, _) => query::parse(app, req),
        (["labels"], true, _, _) | (["labels"], _, true, _) => series::label_names(app, req),
        (["label", name, "values"], true, _, _) => series::label_values(app, req, &percent_decode_bytes(name.as_bytes(), false)),
        (["series"], true, _, _) | (["series"], _, true, _) => series::series(app, req),
        (["scrape_pools"], true, _, _) => targets::pools(app),
        (["targets"], true, _, _) => targets::targets(app, req),
        (["targets", "metadata"], true, _, _) => targets::target_metadata(app, req),
        (["targets", "relabel_steps"], true, _, _) => targets::relabel_steps(app, req),
        (["metadata"], true, _, _) => targets::metadata(app, req),
        (["alertmanagers"], true, _, _) => rules::alertmanagers(app),
        (["alerts"], true, _, _) => rules::alerts(app),
        (["rules"], true, _, _) => rules::rules(app, req),
        (["status", "config"], true, _, _) => status::config(app),
        (["status", "runtimeinfo"], true, _, _) => status::runtime_info(app),
        (["status", "buildinfo"], true, _, _) => status::build_info(app),
        (["status", "flags"], true, _, _) => status::flags(app),
        (["status", "tsdb"], true, _, _) => status::tsdb(app, req),
        (["status", "tsdb", "blocks"], true, _, _) => status::tsdb_blocks(app),
        (["status", "self_metrics"], true, _, _) => status::self_metrics(app, req),
        (["features"], true, _, _) => status::features(app),
        (["notifications"], true, _, _) => app.notifications.list(),
        (["gaps"], true, _, _) => ledger::gaps(app, req),
        (["tree"], true, _, _) => ledger::tree(app),
        (["admin", "tsdb", "delete_series"], _, _, true) => admin::delete_series(app, req),
        (["admin", "tsdb", "clean_tombstones"], _, _, true) => admin::clean_tombstones(app),
        (["admin", "tsdb", "snapshot"], _, _, true) => admin::snapshot(app, req),
        (["series"], ..) if req.method == Method::DELETE => Err(ApiError::new(ErrorKind::Internal, "not implemented")),
        (other, ..) => {
            return match allowed(other) {
                Some(methods) => Reply::not_allowed(methods),
                None => Reply::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            };
        }
    };
    match result {
        Ok(success) => success.reply(),
        Err(e) => e.reply(),
    }
}

/// The methods that a path takes; None for one that is not there.
fn allowed(segments: &[&str]) -> Option<&'static str> {
    Some(match segments {
        ["query" | "query_range" | "explain" | "query_exemplars" | "format_query" | "parse_query" | "labels"]
        | ["search", "metric_names" | "label_names" | "label_values"] => "GET, OPTIONS, POST",
        ["series"] => "DELETE, GET, OPTIONS, POST",
        [
            "scrape_pools" | "targets" | "metadata" | "alertmanagers" | "alerts" | "rules" | "features" | "notifications" | "gaps" | "tree"
            | "openapi.yaml",
        ]
        | ["label", _, "values"]
        | ["targets", "metadata" | "relabel_steps"]
        | ["status", "config" | "runtimeinfo" | "buildinfo" | "flags" | "tsdb" | "self_metrics" | "walreplay"]
        | ["status", "tsdb", "blocks"]
        | ["notifications", "live"] => "GET, OPTIONS",
        ["admin", "tsdb", "delete_series" | "clean_tombstones" | "snapshot"] => "OPTIONS, POST, PUT",
        _ => return None,
    })
}
