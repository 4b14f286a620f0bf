//! Writing pages: the server's own metrics, and series for federation.
//!
//! Choose with [`negotiate`], then feed a [`PageWriter`] family by family.

mod negotiate;
mod page;
mod protobuf;

pub use negotiate::{Escaping, OutFormat, PageFormat, escape_name, negotiate};
pub use page::{MetricValue, PageWriter};

use model::MetricType;
use stdx::metrics::{Family, Kind, Value};

/// The metrics of a registry as a page.
pub fn write_families(families: &[Family], format: OutFormat) -> Vec<u8> {
    let mut w = PageWriter::new(format);
    for f in families {
        let kind = match f.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Untyped => MetricType::Unknown,
            Kind::Histogram => MetricType::Histogram,
            Kind::Summary => MetricType::Summary,
        };
        w.family(&f.name, kind, Some(&f.help));
        for m in &f.metrics {
            let labels: Vec<(&str, &str)> = m.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            match &m.value {
                Value::Counter(v) | Value::Gauge(v) | Value::Untyped(v) => w.metric(&labels, MetricValue::Float(*v), None),
                Value::Histogram { buckets, sum, count } => {
                    let buckets: Vec<(f64, f64)> = buckets.iter().map(|(b, c)| (*b, *c as f64)).collect();
                    w.metric(&labels, MetricValue::Histogram { buckets: &buckets, sum: *sum, count: *count as f64 }, None)
                }
                Value::Summary { quantiles, sum, count } => {
                    w.metric(&labels, MetricValue::Summary { quantiles, sum: *sum, count: *count as f64 }, None)
                }
            };
        }
    }
    w.finish()
}

#[cfg(test)]
mod tests;
