//! What a client with `only_labels` may see: a storage in which every question carries those labels as matchers.

use crate::server::{Identity, Need, Reply};
use http::{Method, StatusCode};
use model::{MatchOp, Matcher};
use std::sync::Arc;
use storage::{LabelHints, Querier, Queryable, ReadError, SelectHints, Selection, Warnings};

/// What a request asks for. `path` is below the route prefix.
pub fn need(method: &Method, path: &str) -> Need {
    match path {
        "/-/healthy" | "/-/ready" => Need::Nothing,
        "/-/reload" | "/-/quit" => Need::Admin,
        p if p.starts_with("/api/v1/admin/") => Need::Admin,
        "/api/v1/write" | "/api/v1/push" | "/api/v1/receive" | "/api/v1/otlp/v1/metrics" if *method == Method::POST => Need::Write,
        _ => Need::Read,
    }
}

/// Paths that answer from the storage alone and can be narrowed to some labels.
fn can_be_narrowed(path: &str) -> bool {
    let Some(p) = path.strip_prefix("/api/v1/") else { return false };
    let first = p.split('/').next().unwrap_or(p);
    matches!(
        first,
        "query" | "query_range" | "explain" | "query_exemplars" | "format_query" | "parse_query" | "labels" | "label" | "series" | "search"
    ) || matches!(p, "status/buildinfo" | "openapi.yaml")
}

/// Whether this client may ask that; else the answer that says no.
pub fn permit(identity: Option<&Identity>, method: &Method, path: &str) -> Result<(), Reply> {
    let Some(id) = identity else { return Ok(()) };
    let need = need(method, path);
    if !id.rights.allow(need) {
        let verb = match need {
            Need::Write => "write",
            Need::Admin => "administer",
            Need::Read | Need::Nothing => "read",
        };
        return Err(forbidden(&format!("client {:?} may not {verb}", id.name)));
    }
    if need == Need::Read && !id.only_labels.is_empty() && !can_be_narrowed(path) {
        return Err(forbidden(&format!("client {:?} may only query its own series", id.name)));
    }
    Ok(())
}

pub fn forbidden(why: &str) -> Reply {
    Reply::text(StatusCode::FORBIDDEN, format!("{why}\n"))
}

/// The matchers that a client's questions get.
pub fn matchers(identity: Option<&Identity>) -> Vec<Matcher> {
    let labels = identity.map_or(&[][..], |i| &i.only_labels);
    labels.iter().filter_map(|(n, v)| Matcher::new(MatchOp::Equal, n, v).ok()).collect()
}

/// A storage with matchers that every question gets.
pub struct Narrowed {
    inner: Arc<dyn Queryable>,
    matchers: Vec<Matcher>,
}

/// The storage as this client may see it.
pub fn narrowed(inner: &Arc<dyn Queryable>, identity: Option<&Identity>) -> Arc<dyn Queryable> {
    match matchers(identity) {
        m if m.is_empty() => Arc::clone(inner),
        matchers => Arc::new(Narrowed { inner: Arc::clone(inner), matchers }),
    }
}

impl Queryable for Narrowed {
    fn querier(&self, mint_ms: i64, maxt_ms: i64) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(NarrowedQuerier { inner: self.inner.querier(mint_ms, maxt_ms)?, matchers: self.matchers.clone() }))
    }
}

struct NarrowedQuerier {
    inner: Box<dyn Querier>,
    matchers: Vec<Matcher>,
}

impl NarrowedQuerier {
    fn with(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        [matchers, &self.matchers].concat()
    }
}

impl Querier for NarrowedQuerier {
    fn select(&self, sorted: bool, hints: &SelectHints, matchers: &[Matcher]) -> Result<Arc<dyn Selection>, ReadError> {
        self.inner.select(sorted, hints, &self.with(matchers))
    }

    fn label_values(&self, name: &str, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.inner.label_values(name, hints, &self.with(matchers))
    }

    fn label_names(&self, hints: LabelHints, matchers: &[Matcher]) -> Result<(Vec<String>, Warnings), ReadError> {
        self.inner.label_names(hints, &self.with(matchers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Rights;

    #[test]
    fn who_may_what() {
        let id = |rights, labels: &[(&str, &str)]| Identity {
            name: "x".to_string(),
            rights,
            only_labels: labels.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect(),
        };
        let (get, post) = (Method::GET, Method::POST);
        let writer = id(Rights { write: true, ..Rights::default() }, &[]);
        let reader = id(Rights { read: true, ..Rights::default() }, &[]);
        let narrow = id(Rights { read: true, write: true, ..Rights::default() }, &[("class", "6반")]);
        for (who, method, path, may) in [
            (&writer, &post, "/api/v1/write", true),
            (&writer, &get, "/api/v1/write", false),
            (&writer, &get, "/api/v1/query", false),
            (&writer, &get, "/metrics", false),
            (&writer, &get, "/-/healthy", true),
            (&writer, &post, "/-/quit", false),
            (&reader, &post, "/api/v1/query", true),
            (&reader, &get, "/federate", true),
            (&reader, &post, "/api/v1/read", true),
            (&reader, &post, "/api/v1/write", false),
            (&reader, &post, "/api/v1/otlp/v1/metrics", false),
            (&reader, &post, "/api/v1/admin/tsdb/delete_series", false),
            (&narrow, &get, "/api/v1/query_range", true),
            (&narrow, &get, "/api/v1/label/x/values", true),
            (&narrow, &get, "/federate", false),
            (&narrow, &post, "/api/v1/read", false),
            (&narrow, &get, "/api/v1/targets", false),
            (&narrow, &get, "/api/v1/status/tsdb", false),
            (&narrow, &get, "/api/v1/rules", false),
            (&narrow, &post, "/api/v1/write", true),
        ] {
            assert_eq!(permit(Some(who), method, path).is_ok(), may, "{} {method} {path}", who.name);
        }
        assert!(permit(None, &post, "/-/quit").is_ok(), "without authentication nothing is narrowed");
    }
}
