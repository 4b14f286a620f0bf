//! One request's metrics as series with samples: names, labels, and which series a point becomes.

use super::decode::{self, Attributes, DataKind, Metric, Point, Scope, Temporality};
use super::delta::{self, Delta, Totals};
use super::names::{self, NameKind};
use super::{OtlpOptions, histogram};
use crate::wire::WireError;
use model::histogram::ResetHint;
use model::{Exemplar, Histogram, Labels, LabelsBuilder, Metadata, MetricType, name};
use std::collections::HashSet;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";
const TARGET_INFO: &str = "target_info";
/// `target_info` is written as often as this within a request that spans more, so that queries find it everywhere.
const TARGET_INFO_EVERY_MS: i64 = 150_000;
/// At most so many times in one request.
const MAX_TARGET_INFO: i64 = 1000;
/// Longest labels of an exemplar, as OpenMetrics has it.
const MAX_EXEMPLAR_CHARS: usize = 128;

/// Where series go. An error ends the request: the storage takes nothing.
pub(super) trait Out {
    fn float(&mut self, series: &SeriesName<'_>, start_ms: i64, t_ms: i64, v: f64, exemplars: &[Exemplar]) -> Result<(), String>;
    fn histogram(&mut self, series: &SeriesName<'_>, start_ms: i64, t_ms: i64, h: &Histogram, exemplars: &[Exemplar]) -> Result<(), String>;
    /// Something cannot be translated; the rest goes on.
    fn refuse(&mut self, points: u64, why: String);
}

pub(super) struct SeriesName<'a> {
    pub labels: &'a Labels,
    pub metadata: &'a Metadata,
}

/// Why a request ends early.
pub(super) enum Stop {
    Wire(WireError),
    Unavailable(String),
}

impl From<WireError> for Stop {
    fn from(e: WireError) -> Self {
        Stop::Wire(e)
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Stop::Unavailable(why)
    }
}

/// What all series of one resource share.
struct Resource {
    attributes: Attributes,
    job: String,
    instance: String,
    /// With their names translated.
    promoted: Vec<(String, String)>,
    first_ms: i64,
    last_ms: i64,
}

pub(super) struct Converter<'c, O> {
    pub options: &'c OtlpOptions,
    pub out: &'c mut O,
    totals: &'c Totals,
    now_ms: i64,
    /// `target_info` samples of this request.
    told: HashSet<(Labels, i64)>,
}

impl<'c, O: Out> Converter<'c, O> {
    pub fn new(options: &'c OtlpOptions, out: &'c mut O, totals: &'c Totals, now_ms: i64) -> Self {
        Converter { options, out, totals, now_ms, told: HashSet::new() }
    }

    pub fn request(&mut self, body: &[u8]) -> Result<(), Stop> {
        for message in decode::repeated(body, 1)? {
            let (attributes, scopes) = decode::resource_metrics(message)?;
            let mut resource = self.resource(attributes);
            for message in scopes {
                let (scope, metrics) = decode::scope_metrics(message)?;
                let scope_labels = self.scope_labels(&scope);
                for message in metrics {
                    let metric = decode::metric(message)?;
                    self.metric(&mut resource, &scope, &scope_labels, &metric)?;
                }
            }
            self.target_info(&resource)?;
        }
        Ok(())
    }

    fn label_name(&self, name: &str) -> String {
        let o = self.options;
        names::label(o.translation, name, o.label_name_underscore_sanitization, o.label_name_preserve_multiple_underscores)
    }

    fn resource(&self, attributes: Attributes) -> Resource {
        let get = |key: &str| attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let job = match (get(SERVICE_NAMESPACE), get(SERVICE_NAME)) {
            (Some(ns), Some(name)) => format!("{ns}/{name}"),
            (_, name) => name.unwrap_or("").to_string(),
        };
        let instance = get(SERVICE_INSTANCE).unwrap_or("").to_string();
        let o = self.options;
        let promote = |key: &String| match o.promote_all_resource_attributes {
            true => !o.ignore_resource_attributes.contains(key),
            false => o.promote_resource_attributes.contains(key),
        };
        let promoted = attributes.iter().filter(|(k, _)| promote(k)).map(|(k, v)| (self.label_name(k), v.clone())).collect();
        Resource { job, instance, promoted, attributes, first_ms: i64::MAX, last_ms: i64::MIN }
    }

    fn scope_labels(&self, scope: &Scope) -> Vec<(String, String)> {
        if !self.options.promote_scope_metadata {
            return Vec::new();
        }
        let attributes = scope.attributes.iter().map(|(k, v)| (self.label_name(&format!("otel_scope_{k}")), v.clone()));
        let own = [("otel_scope_name", &scope.name), ("otel_scope_version", &scope.version), ("otel_scope_schema_url", &scope.schema_url)];
        attributes.chain(own.into_iter().map(|(k, v)| (k.to_string(), v.clone()))).collect()
    }

    /// Attributes of a point as labels, with those of its resource and scope. Attributes whose names become the same are joined by `;`.
    fn labels(&self, attributes: &Attributes, resource: &Resource, scope: &[(String, String)]) -> LabelsBuilder {
        let mut sorted: Vec<&(String, String)> = attributes.iter().filter(|(k, _)| k != name::METRIC_NAME && !k.is_empty()).collect();
        sorted.sort();
        let mut b = LabelsBuilder::default();
        for (key, value) in sorted {
            let label = self.label_name(key);
            match b.get(&label).map(|old| format!("{old};{value}")) {
                Some(joined) if self.options.translation.escapes() => b.set(&label, &joined),
                _ => b.set(&label, value),
            };
        }
        for (label, value) in &resource.promoted {
            if b.get(label).is_none() {
                b.set(label, value);
            }
        }
        for (label, value) in [(name::JOB, &resource.job), (name::INSTANCE, &resource.instance)] {
            if !value.is_empty() {
                b.set(label, value);
            }
        }
        for (label, value) in scope {
            b.set(label, value);
        }
        b
    }

    fn metric(&mut self, resource: &mut Resource, from: &Scope, scope: &[(String, String)], m: &Metric<'_>) -> Result<(), Stop> {
        let Some((kind, data)) = &m.data else {
            self.out.refuse(0, format!("unsupported metric type of metric {:?}", m.name));
            return Ok(());
        };
        let points = data.points.len() as u64;
        if points == 0 {
            self.out.refuse(0, format!("empty data points. {} is dropped", m.name));
            return Ok(());
        }
        let has_temporality = matches!(kind, DataKind::Sum | DataKind::Histogram | DataKind::Exponential);
        let delta = has_temporality && data.temporality == Temporality::Delta;
        if has_temporality && data.temporality != Temporality::Cumulative && !(delta && self.options.delta != Delta::Refuse) {
            self.out.refuse(points, format!("invalid temporality and type combination for metric {:?}", m.name));
            return Ok(());
        }
        let (name_kind, metric_type) = match kind {
            DataKind::Gauge => (NameKind::Gauge, MetricType::Gauge),
            DataKind::Sum if data.monotonic => (NameKind::Counter, MetricType::Counter),
            DataKind::Sum => (NameKind::Other, MetricType::Gauge),
            DataKind::Histogram | DataKind::Exponential => (NameKind::Other, MetricType::Histogram),
            DataKind::Summary => (NameKind::Other, MetricType::Summary),
        };
        let Some(family) = names::metric(self.options.translation, m.name, m.unit, name_kind) else {
            self.out.refuse(points, format!("normalization for metric {:?} resulted in empty name", m.name));
            return Ok(());
        };
        // There is no word for what is added at each time.
        let as_it_is = delta && self.options.delta == Delta::Keep;
        let metric_type = if as_it_is { MetricType::Unknown } else { metric_type };
        let origin = if delta && !as_it_is { delta::origin(&resource.attributes, from) } else { Vec::new() };
        let metadata = Metadata { kind: metric_type, help: m.description.to_string(), unit: names::unit(m.unit) };
        for message in &data.points {
            let mut p = decode::point(*kind, message)?;
            resource.first_ms = resource.first_ms.min(p.t_ms);
            resource.last_ms = resource.last_ms.max(p.t_ms);
            let labels = self.labels(&p.attributes, resource, scope);
            let exemplars = exemplars(&p)?;
            if as_it_is {
                // When it began says nothing about a reset.
                p.start_ms = 0;
            } else if delta && !self.totals.add(delta::key(&origin, m.name, m.unit, *kind, &p.attributes), &mut p, self.now_ms) {
                continue;
            }
            let hint = if as_it_is { ResetHint::Gauge } else { ResetHint::Unknown };
            self.point(*kind, &family, &metadata, labels, &p, &exemplars, hint)?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "what is known of a point")]
    fn point(
        &mut self,
        kind: DataKind,
        family: &str,
        m: &Metadata,
        labels: LabelsBuilder,
        p: &Point<'_>,
        ex: &[Exemplar],
        hint: ResetHint,
    ) -> Result<(), Stop> {
        let native = match kind {
            DataKind::Exponential => Some(histogram::exponential(p)),
            DataKind::Histogram if self.options.convert_histograms_to_nhcb => Some(histogram::explicit(p)),
            _ => None,
        };
        if let Some(native) = native {
            let labels = named(&labels, family, None);
            match native {
                Ok(mut h) => {
                    if hint == ResetHint::Gauge {
                        h.reset_hint = hint;
                    }
                    self.out.histogram(&SeriesName { labels: &labels, metadata: m }, p.start_ms, p.t_ms, &h, ex)?;
                }
                Err(why) => self.out.refuse(1, format!("{why} for series {labels}")),
            }
            return Ok(());
        }
        let mut put = |suffix: &str, extra: Option<(&str, &str)>, v: f64, ex: &[Exemplar]| {
            let labels = named(&labels, &format!("{family}{suffix}"), extra);
            let v = if p.no_value { model::sample::stale_nan() } else { v };
            self.out.float(&SeriesName { labels: &labels, metadata: m }, p.start_ms, p.t_ms, v, ex)
        };
        match kind {
            DataKind::Gauge | DataKind::Sum => put("", None, p.value, ex)?,
            DataKind::Summary => {
                put("_sum", None, p.sum.unwrap_or(0.0), &[])?;
                put("_count", None, p.count as f64, &[])?;
                for (q, v) in &p.quantiles {
                    put("", Some((name::QUANTILE_LABEL, &q.to_string())), *v, &[])?;
                }
            }
            DataKind::Histogram | DataKind::Exponential => {
                if let Some(sum) = p.sum {
                    put("_sum", None, sum, &[])?;
                }
                put("_count", None, p.count as f64, &[])?;
                let (mut cumulative, mut from) = (0u64, 0);
                for (bound, count) in p.bounds.iter().zip(&p.bucket_counts) {
                    cumulative = cumulative.saturating_add(*count);
                    let to = from + ex[from..].iter().take_while(|e| e.value <= *bound).count();
                    let le = if *bound == f64::INFINITY { "+Inf".to_string() } else { bound.to_string() };
                    put("_bucket", Some((name::BUCKET_LABEL, &le)), cumulative as f64, &ex[from..to])?;
                    from = to;
                }
                put("_bucket", Some((name::BUCKET_LABEL, "+Inf")), p.count as f64, &ex[from..])?;
            }
        }
        Ok(())
    }

    /// A resource with more than its identity becomes a series of its own, to be joined with the others.
    fn target_info(&mut self, resource: &Resource) -> Result<(), Stop> {
        let identifying = |k: &str| [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE].contains(&k);
        let more = resource.attributes.iter().any(|(k, _)| !identifying(k));
        if resource.first_ms > resource.last_ms || !more || (resource.job.is_empty() && resource.instance.is_empty()) {
            return Ok(());
        }
        let keep = self.options.keep_identifying_resource_attributes;
        let attributes: Attributes = resource.attributes.iter().filter(|(k, _)| keep || !identifying(k)).cloned().collect();
        let bare =
            Resource { promoted: Vec::new(), attributes: Vec::new(), job: resource.job.clone(), instance: resource.instance.clone(), ..*resource };
        let labels = named(&self.labels(&attributes, &bare, &[]), TARGET_INFO, None);
        let metadata = Metadata { kind: MetricType::Gauge, help: "Target metadata".to_string(), unit: String::new() };
        let span = resource.last_ms.saturating_sub(resource.first_ms);
        let every = TARGET_INFO_EVERY_MS.max(span / MAX_TARGET_INFO);
        let mut t_ms = resource.first_ms;
        loop {
            if self.told.insert((labels.clone(), t_ms)) {
                self.out.float(&SeriesName { labels: &labels, metadata: &metadata }, 0, t_ms, 1.0, &[])?;
            }
            if t_ms >= resource.last_ms {
                return Ok(());
            }
            t_ms = t_ms.saturating_add(every).min(resource.last_ms);
        }
    }
}

fn named(labels: &LabelsBuilder, name: &str, extra: Option<(&str, &str)>) -> Labels {
    let mut b = labels.clone();
    if let Some((label, value)) = extra {
        b.set(label, value);
    }
    b.set(name::METRIC_NAME, name);
    b.build()
}

/// Sorted by value, as buckets are.
fn exemplars(p: &Point<'_>) -> Result<Vec<Exemplar>, WireError> {
    let mut out = Vec::with_capacity(p.exemplars.len());
    for message in &p.exemplars {
        let e = decode::exemplar(message)?;
        let ids = [("trace_id", &e.trace_id), ("span_id", &e.span_id)];
        let mut b = LabelsBuilder::default();
        let mut chars = 0;
        for (label, id) in ids.iter().filter(|(_, id)| !id.is_empty()) {
            chars += label.chars().count() + id.chars().count();
            b.set(label, id);
        }
        chars += e.attributes.iter().map(|(k, v)| k.chars().count() + v.chars().count()).sum::<usize>();
        if chars <= MAX_EXEMPLAR_CHARS {
            e.attributes.iter().filter(|(k, _)| !k.is_empty()).for_each(|(k, v)| {
                b.set(k, v);
            });
        }
        out.push(Exemplar { labels: b.build(), value: e.value, t_ms: (e.t_ms != 0).then_some(e.t_ms) });
    }
    out.sort_by(|a, b| a.value.total_cmp(&b.value));
    Ok(out)
}
