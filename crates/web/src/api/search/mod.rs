//! `/search/metric_names`, `/search/label_names`, `/search/label_values`: names and values that are like what someone typed.
//!
//! The answer is a stream of lines of JSON: batches of results, then a line that says how it ended. No cursor: whoever wants more asks with a
//! higher limit. Off unless `--enable-feature=search-api`.

mod like;
mod score;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

use super::App;
use super::args;
use super::envelope::{ApiError, ErrorKind};
use crate::json::Json;
use crate::server::{Reply, Req};
use http::StatusCode;
use like::Like;
use model::Metadata;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use storage::{LabelHints, Warnings};

/// Results when the client names no limit, and results of a line when it names no size.
const DEFAULT_LIMIT: usize = 100;
/// Each term costs a comparison per value: more of them are refused.
const MAX_TERMS: usize = 32;
/// Without a start the last hour is looked at.
const DEFAULT_RANGE_MS: i64 = 3_600_000;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    MetricNames,
    LabelNames,
    LabelValues,
}

impl Subject {
    pub fn of(word: &str) -> Option<Subject> {
        match word {
            "metric_names" => Some(Subject::MetricNames),
            "label_names" => Some(Subject::LabelNames),
            "label_values" => Some(Subject::LabelValues),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Subject::MetricNames => "metric_names",
            Subject::LabelNames => "label_names",
            Subject::LabelValues => "label_values",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Rising,
    Falling,
    BestFirst,
}

struct Asked {
    start_ms: i64,
    end_ms: i64,
    like: Option<Like>,
    order: Order,
    include_score: bool,
    limit: usize,
    batch: usize,
}

pub fn search(app: &App, req: &Req, subject: Subject) -> Reply {
    match answer(app, req, subject) {
        Ok(lines) => Reply::new(StatusCode::OK, "application/x-ndjson; charset=utf-8", lines.into_bytes()),
        Err(e) => e.reply(),
    }
}

fn answer(app: &App, req: &Req, subject: Subject) -> Result<Json, ApiError> {
    if !app.options.enable_search {
        return Err(ApiError::new(ErrorKind::Unavailable, "search API disabled"));
    }
    if app.options.agent {
        return Err(ApiError::new(ErrorKind::Execution, "unavailable with Prometheus Agent"));
    }
    let asked = parse(app, req, subject)?;
    let with_metadata = subject == Subject::MetricNames && flag(req, "include_metadata", false)?;
    let label = match subject {
        Subject::MetricNames => Some(model::name::METRIC_NAME),
        Subject::LabelNames => None,
        Subject::LabelValues => match req.params.get("label") {
            "" => return Err(ApiError::bad_data("missing required parameter \"label\"")),
            l => Some(l),
        },
    };
    let sets = args::matcher_sets(req)?;
    let q = app.queryable(req).querier(asked.start_ms, asked.end_ms)?;
    let (values, warnings) = super::series::merged(&sets, |m| match label {
        Some(name) => q.label_values(name, LabelHints::default(), m),
        None => q.label_names(LabelHints::default(), m),
    })?;
    let found = ranked(values, &asked);
    let metadata = if with_metadata { known_metadata(app) } else { BTreeMap::new() };
    Ok(write(subject, &found, &asked, &metadata, warnings))
}

/// What is like the terms, in the order asked for, one more than the limit.
fn ranked(values: Vec<String>, asked: &Asked) -> Vec<(String, f64)> {
    let score = |v: &str| asked.like.as_ref().map_or(Some(1.0), |l| l.score(v));
    let scored = values.into_iter().filter_map(|v| score(&v).map(|s| (v, s)));
    let most = asked.limit.saturating_add(1);
    if asked.order == Order::Rising {
        return scored.take(most).collect();
    }
    let mut all: Vec<(String, f64)> = scored.collect();
    if asked.order == Order::Falling {
        all.reverse();
    } else {
        all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then_with(|| a.0.cmp(&b.0)));
    }
    all.truncate(most);
    all
}

/// What the targets said of each name; of several the first.
fn known_metadata(app: &App) -> BTreeMap<String, Metadata> {
    let mut out = BTreeMap::new();
    for t in app.scrape.metadata() {
        for (name, m) in t.families {
            out.entry(name).or_insert(m);
        }
    }
    out
}

fn write(subject: Subject, found: &[(String, f64)], asked: &Asked, metadata: &BTreeMap<String, Metadata>, mut warnings: Warnings) -> Json {
    let shown = &found[..found.len().min(asked.limit)];
    warnings.sort();
    warnings.dedup();
    let mut j = Json::with_capacity(64 * shown.len() + 64);
    let mut batches = shown.chunks(asked.batch);
    let first_batch = batches.next().unwrap_or(&[]);
    for (i, batch) in std::iter::once(first_batch).chain(batches).enumerate() {
        j.raw("{\"results\":[");
        let mut first = true;
        for (value, score) in batch {
            j.sep(&mut first).raw(if subject == Subject::LabelValues { "{\"value\":" } else { "{\"name\":" }).string(value);
            if asked.include_score {
                j.raw(",\"score\":").number(*score);
            }
            if let Some(m) = metadata.get(value) {
                for (key, text) in [("type", m.kind.as_str()), ("help", &m.help), ("unit", &m.unit)] {
                    if !text.is_empty() {
                        j.raw(",").string(key).raw(":").string(text);
                    }
                }
            }
            j.raw("}");
        }
        j.raw("]");
        if i == 0 && !warnings.is_empty() {
            j.raw(",\"warnings\":").strings(&warnings);
        }
        j.raw("}\n");
    }
    j.raw("{\"status\":\"success\",\"has_more\":").raw(if found.len() > asked.limit { "true}\n" } else { "false}\n" });
    j
}

fn parse(app: &App, req: &Req, subject: Subject) -> Result<Asked, ApiError> {
    let now = app.clock.now_ms();
    let time = |name: &str, default: i64| args::time_or(&req.params, name, default).map_err(|e| ApiError::bad_data(unwrapped(&e.message, name)));
    let start_ms = time("start", now - DEFAULT_RANGE_MS)?;
    let end_ms = time("end", now)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    args::matcher_sets(req)?;
    let terms: Vec<&str> = req.params.all("search[]").collect();
    if terms.len() > MAX_TERMS {
        return Err(ApiError::bad_data(format!("too many search[] terms: got {}, maximum is {MAX_TERMS}", terms.len())));
    }
    let threshold = match req.params.get("fuzz_threshold") {
        "" => 0,
        s => s.parse::<u8>().ok().filter(|n| *n <= 100).ok_or_else(|| ApiError::bad_data(format!("invalid fuzz_threshold {s:?}: must be 0-100")))?,
    };
    let algorithm = match req.params.get("fuzz_alg") {
        "" | "subsequence" => like::Algorithm::Subsequence,
        "jarowinkler" => like::Algorithm::JaroWinkler,
        s => return Err(ApiError::bad_data(format!("unsupported fuzz_alg {s:?}: must be one of [subsequence jarowinkler]"))),
    };
    let case_sensitive = flag(req, "case_sensitive", true)?;
    let include_score = flag(req, "include_score", false)?;
    let order = order(req, subject, terms.is_empty())?;
    let cap = app.options.max_search_limit;
    let limit = match req.params.get("limit") {
        "" if cap > 0 => DEFAULT_LIMIT.min(cap),
        "" => DEFAULT_LIMIT,
        s => positive(s, "limit")?,
    };
    if cap > 0 && limit > cap {
        return Err(ApiError::bad_data(format!("limit {limit} exceeds the configured maximum ({cap}, see --web.search.max-limit)")));
    }
    let batch = match req.params.get("batch_size") {
        "" => DEFAULT_LIMIT,
        s => positive(s, "batch_size")?,
    };
    let like = Like::new(&terms, algorithm, f64::from(threshold) / 100.0, case_sensitive);
    Ok(Asked { start_ms, end_ms, like, order, include_score, limit, batch })
}

/// The text of a wrong time without the words about the parameter, as the search API says it.
fn unwrapped(message: &str, name: &str) -> String {
    message.strip_prefix(&format!("invalid parameter {name:?}: ")).unwrap_or(message).to_string()
}

fn order(req: &Req, subject: Subject, no_terms: bool) -> Result<Order, ApiError> {
    let (by, dir) = (req.params.get("sort_by"), req.params.get("sort_dir"));
    let bad = |why: String| Err(ApiError::bad_data(why));
    if !dir.is_empty() && by.is_empty() {
        return bad("sort_dir is only valid when sort_by is set".to_string());
    }
    if !dir.is_empty() && by == "score" {
        return bad("sort_dir is not supported for sort_by=score".to_string());
    }
    if !matches!(dir, "" | "asc" | "dsc") {
        return bad(format!("invalid sort_dir {dir:?}: must be \"asc\" or \"dsc\""));
    }
    if by == "score" && no_terms {
        return bad("sort_by=score requires search[] to be set".to_string());
    }
    match (by, dir) {
        ("score", _) => Ok(Order::BestFirst),
        ("alpha", "dsc") => Ok(Order::Falling),
        ("" | "alpha", _) => Ok(Order::Rising),
        _ => bad(format!("invalid sort_by {by:?} for {}: must be \"alpha\" or \"score\"", subject.word())),
    }
}

fn positive(s: &str, name: &str) -> Result<usize, ApiError> {
    s.parse().ok().filter(|n| *n > 0).ok_or_else(|| ApiError::bad_data(format!("invalid {name} {s:?}: must be a positive integer")))
}

fn flag(req: &Req, name: &str, default: bool) -> Result<bool, ApiError> {
    match req.params.get(name) {
        "" => Ok(default),
        s => args::parse_bool(s).map_err(|_| ApiError::bad_data(format!("invalid {name} {s:?}: must be boolean"))),
    }
}
