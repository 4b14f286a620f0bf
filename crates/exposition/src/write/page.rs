//! One page under construction, in any of the formats.

use super::negotiate::{Escaping, OutFormat, PageFormat, escape_name};
use super::protobuf::ProtobufPage;
use crate::parse::format_openmetrics_float;
use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::name::{BUCKET_LABEL, QUANTILE_LABEL, is_legacy_label, is_legacy_metric};
use model::{FloatHistogram, MetricType};

/// One metric's value. Buckets are cumulative, sorted by bound; a missing +Inf is added.
#[derive(Clone, Copy, Debug)]
pub enum MetricValue<'a> {
    /// Counter, gauge, or of unknown type: the family says which.
    Float(f64),
    Histogram {
        buckets: &'a [(f64, f64)],
        sum: f64,
        count: f64,
    },
    Summary {
        quantiles: &'a [(f64, f64)],
        sum: f64,
        count: f64,
    },
    /// Text formats can hold those with custom buckets only.
    Native(&'a FloatHistogram),
}

pub struct PageWriter {
    format: OutFormat,
    out: Vec<u8>,
    protobuf: ProtobufPage,
    name: String,
    kind: MetricType,
    help: Option<String>,
    head_written: bool,
}

fn number(out: &mut Vec<u8>, v: f64, openmetrics: bool) {
    if openmetrics {
        out.extend_from_slice(format_openmetrics_float(v).as_bytes());
    } else {
        let mut s = String::with_capacity(24);
        model::number::write_g(&mut s, v);
        out.extend_from_slice(s.as_bytes());
    }
}

fn escaped(out: &mut Vec<u8>, s: &str, quotes: bool) {
    for c in s.bytes() {
        match c {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(c),
        }
    }
}

fn quoted(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    escaped(out, s, true);
    out.push(b'"');
}

impl PageWriter {
    pub fn new(format: OutFormat) -> Self {
        PageWriter {
            format,
            out: Vec::with_capacity(16 * 1024),
            protobuf: ProtobufPage::default(),
            name: String::new(),
            kind: MetricType::Unknown,
            help: None,
            head_written: true,
        }
    }

    /// Begins a family. One that gets no metric leaves no trace.
    pub fn family(&mut self, name: &str, kind: MetricType, help: Option<&str>) {
        self.close_family();
        self.name = escape_name(name, self.format.escaping);
        (self.kind, self.help, self.head_written) = (kind, help.map(str::to_string), false);
    }

    fn close_family(&mut self) {
        if self.format.page == PageFormat::Protobuf {
            self.protobuf.flush(&mut self.out);
        }
    }

    /// The page's bytes so far, for who wants to send it in pieces. Whole families only in protobuf.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.close_family();
        if self.format.is_openmetrics() {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.out
    }

    /// Adds a metric to the family. False when the format cannot hold it.
    pub fn metric(&mut self, labels: &[(&str, &str)], value: MetricValue<'_>, t_ms: Option<i64>) -> bool {
        let escaping = self.format.escaping;
        let renamed: Vec<(String, &str)>;
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(labels.len() + 1);
        if escaping != Escaping::AllowUtf8 && labels.iter().any(|(n, _)| !is_legacy_label(n)) {
            renamed = labels.iter().map(|(n, v)| (escape_name(n, escaping), *v)).collect();
            pairs.extend(renamed.iter().map(|(n, v)| (n.as_str(), *v)));
        } else {
            pairs.extend_from_slice(labels);
        }
        if let MetricValue::Native(h) = value
            && h.schema == CUSTOM_BUCKETS_SCHEMA
        {
            let buckets = cumulative(h);
            return self.put(&pairs, MetricValue::Histogram { buckets: &buckets, sum: h.sum, count: h.count }, t_ms);
        }
        self.put(&pairs, value, t_ms)
    }

    fn put(&mut self, labels: &[(&str, &str)], value: MetricValue<'_>, t_ms: Option<i64>) -> bool {
        if self.format.page == PageFormat::Protobuf {
            if !self.head_written {
                self.protobuf.begin(&self.name, self.kind, self.help.as_deref());
                self.head_written = true;
            }
            self.protobuf.metric(self.kind, labels, value, t_ms);
            return true;
        }
        if matches!(value, MetricValue::Native(_)) {
            return false;
        }
        if !self.head_written {
            self.head();
            self.head_written = true;
        }
        match value {
            MetricValue::Float(v) => {
                // A counter's family name has no `_total` in OpenMetrics, its sample has; both are the name as given.
                self.line("", labels, None, v, t_ms);
            }
            MetricValue::Histogram { buckets, sum, count } => {
                for (bound, v) in buckets {
                    self.line("_bucket", labels, Some((BUCKET_LABEL, *bound)), *v, t_ms);
                }
                if buckets.last().is_none_or(|(b, _)| *b != f64::INFINITY) {
                    self.line("_bucket", labels, Some((BUCKET_LABEL, f64::INFINITY)), count, t_ms);
                }
                self.line("_sum", labels, None, sum, t_ms);
                self.line("_count", labels, None, count, t_ms);
            }
            MetricValue::Summary { quantiles, sum, count } => {
                for (q, v) in quantiles {
                    self.line("", labels, Some((QUANTILE_LABEL, *q)), *v, t_ms);
                }
                self.line("_sum", labels, None, sum, t_ms);
                self.line("_count", labels, None, count, t_ms);
            }
            MetricValue::Native(_) => {}
        }
        true
    }

    fn head(&mut self) {
        let om = self.format.is_openmetrics();
        let total = self.name.strip_suffix("_total");
        let (family, kind) = match (self.kind, total) {
            (MetricType::Counter, Some(short)) if om => (short, "counter"),
            // A counter whose samples do not end in `_total` is none there.
            (MetricType::Counter, None) if om => (self.name.as_str(), "unknown"),
            (MetricType::Unknown, _) if !om => (self.name.as_str(), "untyped"),
            (MetricType::GaugeHistogram, _) if !om => (self.name.as_str(), "histogram"),
            (MetricType::Info | MetricType::StateSet, _) if !om => (self.name.as_str(), "gauge"),
            (k, _) => (self.name.as_str(), k.as_str()),
        };
        let out = &mut self.out;
        let name = |out: &mut Vec<u8>| {
            if is_legacy_metric(family) {
                out.extend_from_slice(family.as_bytes());
            } else {
                quoted(out, family);
            }
        };
        if let Some(help) = &self.help {
            out.extend_from_slice(b"# HELP ");
            name(out);
            out.push(b' ');
            escaped(out, help, om);
            out.push(b'\n');
        }
        out.extend_from_slice(b"# TYPE ");
        name(out);
        out.push(b' ');
        out.extend_from_slice(kind.as_bytes());
        out.push(b'\n');
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<(&str, f64)>, v: f64, t_ms: Option<i64>) {
        let om = self.format.is_openmetrics();
        let out = &mut self.out;
        let mut first = true;
        if is_legacy_metric(&self.name) {
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
        } else {
            out.extend_from_slice(b"{\"");
            escaped(out, &self.name, true);
            escaped(out, suffix, true);
            out.push(b'"');
            first = false;
        }
        for (n, v) in labels {
            out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
            if is_legacy_label(n) {
                out.extend_from_slice(n.as_bytes());
            } else {
                quoted(out, n);
            }
            out.push(b'=');
            quoted(out, v);
        }
        if let Some((n, v)) = bound {
            out.push(if std::mem::take(&mut first) { b'{' } else { b',' });
            out.extend_from_slice(n.as_bytes());
            out.extend_from_slice(b"=\"");
            number(out, v, om);
            out.push(b'"');
        }
        if !first {
            out.push(b'}');
        }
        out.push(b' ');
        // Counts are whole numbers there.
        number(out, v, om && suffix != "_count" && suffix != "_bucket");
        if let Some(t) = t_ms {
            let text = if om { format!(" {}", model::number::format_f(t as f64 / 1000.0)) } else { format!(" {t}") };
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b'\n');
    }
}

/// Custom buckets as classic ones.
fn cumulative(h: &FloatHistogram) -> Vec<(f64, f64)> {
    let mut own = vec![0.0; h.custom_values.len() + 1];
    let (mut index, mut at) = (0i64, 0);
    for span in &h.positive_spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            if let (Some(slot), Some(v)) = (usize::try_from(index).ok().and_then(|i| own.get_mut(i)), h.positive_buckets.get(at)) {
                *slot = *v;
            }
            index += 1;
            at += 1;
        }
    }
    let mut sum = 0.0;
    h.custom_values
        .iter()
        .copied()
        .chain([f64::INFINITY])
        .zip(own)
        .map(|(bound, c)| {
            sum += c;
            (bound, sum)
        })
        .collect()
}
