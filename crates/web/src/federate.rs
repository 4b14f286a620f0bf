//! `/federate`: the newest sample of each selected series, for another server to scrape.

use crate::api::App;
use crate::metrics::Metrics;
use crate::server::{Reply, Req};
use exposition::write::{MetricValue, PageFormat, PageWriter, negotiate};
use http::StatusCode;
use model::histogram::ResetHint;
use model::sample::is_stale_nan;
use model::{FloatHistogram, Labels, Matcher, MetricType};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{ReadError, SelectHints, SeriesData};

enum Newest {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

pub fn federate(app: &App, metrics: &Metrics, req: &Req) -> Reply {
    let mut sets: Vec<Vec<Matcher>> = Vec::new();
    for s in req.params.all("match[]") {
        match promql::parse::parse_metric_selector(s) {
            Ok(m) => sets.push(m),
            Err(e) => return Reply::text(StatusCode::BAD_REQUEST, format!("{e}\n")),
        }
    }
    let format = negotiate(req.header("accept"), false);
    let now = app.clock.now_ms();
    let found = match select(app, metrics, &sets, now - app.options.lookback_delta_ms, now) {
        Ok(f) => f,
        Err(e) => {
            metrics.federation_errors.inc();
            let status = if matches!(e, ReadError::NotReady(_)) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
            return Reply::text(status, format!("{e}\n"));
        }
    };
    let external = app.control.external_labels();
    let protobuf = format.page == PageFormat::Protobuf;
    let mut page = PageWriter::new(format);
    let mut last: Option<(String, MetricType)> = None;
    for (labels, (t_ms, newest)) in &found {
        let name = labels.metric_name();
        let kind = match newest {
            Newest::Float(_) => MetricType::Unknown,
            Newest::Histogram(h) if h.reset_hint == ResetHint::Gauge => MetricType::GaugeHistogram,
            Newest::Histogram(_) => MetricType::Histogram,
        };
        if name.is_empty() || matches!(newest, Newest::Histogram(h) if !protobuf && !h.uses_custom_buckets()) {
            continue;
        }
        if last.as_ref().is_none_or(|(n, k)| n != name || *k != kind) {
            page.family(name, kind, None);
            last = Some((name.to_string(), kind));
        }
        let all = with_external(labels, &external);
        let pairs: Vec<(&str, &str)> = all.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let value = match newest {
            Newest::Float(v) => MetricValue::Float(*v),
            Newest::Histogram(h) => MetricValue::Native(h),
        };
        page.metric(&pairs, value, Some(*t_ms));
    }
    let mut reply = Reply::text(StatusCode::OK, page.finish());
    reply.headers.clear();
    reply.header(http::header::CONTENT_TYPE, &format.content_type())
}

/// The newest sample of each series that any of the sets selects, sorted by name, then by labels; series that have ended are left out.
fn select(app: &App, metrics: &Metrics, sets: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Result<Vec<(Labels, (i64, Newest))>, ReadError> {
    let q = app.local.querier(start_ms, end_ms)?;
    let hints = SelectHints { start_ms, end_ms, ..SelectHints::default() };
    let mut found = BTreeMap::new();
    let mut data = SeriesData::default();
    for set in sets {
        let selection = q.select(true, &hints, set)?;
        metrics.federation_warnings.add(selection.warnings().len() as u64);
        for i in 0..selection.len() {
            data.clear();
            selection.read(i, start_ms, end_ms, &mut data)?;
            let float = data.t_ms.last().copied().zip(data.v.last().copied());
            let hist = data.hist_t_ms.last().copied().zip(data.hist.last().cloned());
            let newest = match (float, hist) {
                (Some((t, _)), Some((th, h))) if th > t => Some((th, Newest::Histogram(h))),
                (Some((t, v)), _) => Some((t, Newest::Float(v))),
                (None, Some((t, h))) => Some((t, Newest::Histogram(h))),
                (None, None) => None,
            };
            let ended = match &newest {
                Some((_, Newest::Float(v))) => is_stale_nan(*v),
                Some((_, Newest::Histogram(h))) => h.is_stale(),
                None => true,
            };
            if !ended && let Some(n) = newest {
                found.insert(selection.labels(i), n);
            }
        }
    }
    let mut out: Vec<_> = found.into_iter().collect();
    out.sort_by(|a, b| a.0.metric_name().cmp(b.0.metric_name()));
    Ok(out)
}

/// The series' labels without its name, then the external ones that it does not have; an empty `instance` when it has none.
fn with_external(labels: &Labels, external: &Labels) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        labels.iter().filter(|(n, _)| *n != model::name::METRIC_NAME).map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let mut extra: BTreeMap<&str, &str> = external.iter().collect();
    extra.entry(model::name::INSTANCE).or_insert("");
    all.extend(extra.into_iter().filter(|(n, _)| !labels.has(n)).map(|(n, v)| (n.to_string(), v.to_string())));
    all
}
