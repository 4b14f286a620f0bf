//! Delimited io.prometheus.client.MetricFamily messages.

use super::page::MetricValue;
use model::histogram::Span;
use model::{FloatHistogram, MetricType};
use stdx::varint::{put_uvarint, put_varint};

/// The family that is being written.
#[derive(Default)]
pub(super) struct ProtobufPage {
    family: Vec<u8>,
    metric: Vec<u8>,
    part: Vec<u8>,
}

fn bytes(out: &mut Vec<u8>, number: u64, b: &[u8]) {
    put_uvarint(out, number << 3 | 2);
    put_uvarint(out, b.len() as u64);
    out.extend_from_slice(b);
}

fn uint(out: &mut Vec<u8>, number: u64, v: u64) {
    put_uvarint(out, number << 3);
    put_uvarint(out, v);
}

fn sint(out: &mut Vec<u8>, number: u64, v: i64) {
    put_uvarint(out, number << 3);
    put_varint(out, v);
}

fn double(out: &mut Vec<u8>, number: u64, v: f64) {
    put_uvarint(out, number << 3 | 1);
    out.extend_from_slice(&v.to_le_bytes());
}

fn pair(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut m = Vec::with_capacity(name.len() + value.len() + 4);
    bytes(&mut m, 1, name.as_bytes());
    bytes(&mut m, 2, value.as_bytes());
    bytes(out, 1, &m);
}

/// Two doubles in fields 1 and 2.
fn two(out: &mut Vec<u8>, number: u64, a: f64, b: f64) {
    let mut m = Vec::with_capacity(18);
    double(&mut m, 1, a);
    double(&mut m, 2, b);
    bytes(out, number, &m);
}

impl ProtobufPage {
    pub fn begin(&mut self, name: &str, kind: MetricType, help: Option<&str>) {
        self.family.clear();
        bytes(&mut self.family, 1, name.as_bytes());
        if let Some(h) = help {
            bytes(&mut self.family, 2, h.as_bytes());
        }
        let kind = match kind {
            MetricType::Counter => 0,
            MetricType::Gauge | MetricType::Info | MetricType::StateSet => 1,
            MetricType::Summary => 2,
            MetricType::Unknown => 3,
            MetricType::Histogram => 4,
            MetricType::GaugeHistogram => 5,
        };
        uint(&mut self.family, 3, kind);
    }

    pub fn metric(&mut self, kind: MetricType, labels: &[(&str, &str)], value: MetricValue<'_>, t_ms: Option<i64>) {
        let (m, p) = (&mut self.metric, &mut self.part);
        m.clear();
        p.clear();
        labels.iter().for_each(|(n, v)| pair(m, n, v));
        let field = match value {
            MetricValue::Float(v) => {
                double(p, 1, v);
                match kind {
                    MetricType::Counter => 3,
                    MetricType::Gauge | MetricType::Info | MetricType::StateSet => 2,
                    _ => 5,
                }
            }
            MetricValue::Summary { quantiles, sum, count } => {
                uint(p, 1, count as u64);
                double(p, 2, sum);
                quantiles.iter().for_each(|(q, v)| two(p, 3, *q, *v));
                4
            }
            MetricValue::Histogram { buckets, sum, count } => {
                histogram_counts(p, buckets, sum, count);
                7
            }
            MetricValue::Native(h) => {
                native(p, h);
                7
            }
        };
        bytes(m, field, p);
        if let Some(t) = t_ms {
            uint(m, 6, t as u64);
        }
        bytes(&mut self.family, 4, &self.metric);
    }

    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.family.is_empty() {
            put_uvarint(out, self.family.len() as u64);
            out.append(&mut self.family);
        }
    }
}

/// Whole counts as such, others as floats.
fn histogram_counts(p: &mut Vec<u8>, buckets: &[(f64, f64)], sum: f64, count: f64) {
    let whole = |v: f64| v >= 0.0 && v == v.trunc() && v < 9e15;
    let ints = whole(count) && buckets.iter().all(|(_, c)| whole(*c));
    if ints {
        uint(p, 1, count as u64);
    } else {
        double(p, 4, count);
    }
    double(p, 2, sum);
    for (bound, c) in buckets {
        let mut b = Vec::with_capacity(24);
        if ints {
            uint(&mut b, 1, *c as u64);
        } else {
            double(&mut b, 4, *c);
        }
        double(&mut b, 2, *bound);
        bytes(p, 3, &b);
    }
}

fn native(p: &mut Vec<u8>, h: &FloatHistogram) {
    double(p, 4, h.count);
    double(p, 2, h.sum);
    sint(p, 5, i64::from(h.schema));
    double(p, 6, h.zero_threshold);
    double(p, 8, h.zero_count);
    let spans = |p: &mut Vec<u8>, number: u64, spans: &[Span]| {
        for s in spans {
            let mut b = Vec::with_capacity(12);
            sint(&mut b, 1, i64::from(s.offset));
            uint(&mut b, 2, u64::from(s.length));
            bytes(p, number, &b);
        }
    };
    spans(p, 9, &h.negative_spans);
    h.negative_buckets.iter().for_each(|v| double(p, 11, *v));
    spans(p, 12, &h.positive_spans);
    h.positive_buckets.iter().for_each(|v| double(p, 14, *v));
    // Without buckets and threshold a reader would take it for a classic histogram: an empty span says what it is.
    if h.positive_spans.is_empty() && h.negative_spans.is_empty() && h.zero_threshold == 0.0 {
        spans(p, 12, &[Span::default()]);
    }
}
