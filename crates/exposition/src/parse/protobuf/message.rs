//! The messages of io.prometheus.client, decoded from borrowed bytes into memory that is used again for the next metric.

use super::wire::{Value, field, repeated_double, repeated_sint};
use model::histogram::Span;
use model::{Exemplar, LabelsBuilder, MetricType};

/// Everything of a MetricFamily but its metrics.
#[derive(Debug)]
pub struct Family<'a> {
    pub name: &'a str,
    pub help: &'a str,
    pub unit: &'a str,
    pub kind: MetricType,
}

impl<'a> Family<'a> {
    pub fn decode(body: &'a [u8]) -> Result<Self, String> {
        let mut f = Family { name: "", help: "", unit: "", kind: MetricType::Counter };
        let mut rest = body;
        while !rest.is_empty() {
            let (number, v) = field(&mut rest).ok_or("malformed metric family")?;
            match number {
                1 => f.name = v.str().ok_or("invalid metric name: not valid UTF-8")?,
                2 => f.help = v.str().ok_or_else(|| format!("invalid help for metric {:?}", f.name))?,
                3 => {
                    f.kind = match v.u64() {
                        Some(0) => MetricType::Counter,
                        Some(1) => MetricType::Gauge,
                        Some(2) => MetricType::Summary,
                        Some(3) => MetricType::Unknown,
                        Some(4) => MetricType::Histogram,
                        Some(5) => MetricType::GaugeHistogram,
                        other => return Err(format!("unknown metric type for metric {:?}: {}", f.name, other.unwrap_or_default())),
                    }
                }
                5 => f.unit = v.str().ok_or("unit is not valid UTF-8")?,
                _ => {}
            }
        }
        if f.name.is_empty() {
            return Err("invalid metric name: empty".to_string());
        }
        Ok(f)
    }
}

/// The next metric of a family; None at its end.
pub fn next_metric<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    while !rest.is_empty() {
        let (number, v) = field(rest).ok_or("malformed metric family")?;
        if number == 4 {
            return v.bytes().map(Some).ok_or_else(|| "metric is not a message".to_string());
        }
    }
    Ok(None)
}

#[derive(Clone, Debug, Default)]
pub struct Bucket<'a> {
    pub count: f64,
    pub bound: f64,
    pub exemplar: Option<&'a [u8]>,
}

/// One metric, whatever its kind: the fields of all kinds side by side.
#[derive(Debug, Default)]
pub struct Metric<'a> {
    pub labels: Vec<(&'a str, &'a str)>,
    /// The label messages as they stand there: a name for the label set.
    pub label_bytes: Vec<u8>,
    pub t_ms: i64,
    pub value: f64,
    pub start_ms: Option<i64>,
    pub exemplar: Option<&'a [u8]>,
    pub count: u64,
    pub count_float: f64,
    pub sum: f64,
    pub quantiles: Vec<(f64, f64)>,
    pub buckets: Vec<Bucket<'a>>,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub zero_count_float: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_deltas: Vec<i64>,
    pub negative_deltas: Vec<i64>,
    pub positive_counts: Vec<f64>,
    pub negative_counts: Vec<f64>,
    pub exemplars: Vec<&'a [u8]>,
}

impl<'a> Metric<'a> {
    fn clear(&mut self) {
        macro_rules! clear { ($($f:ident)*) => { $(self.$f.clear();)* } }
        clear!(labels label_bytes quantiles buckets positive_spans negative_spans positive_deltas negative_deltas positive_counts negative_counts exemplars);
        (self.t_ms, self.value, self.start_ms, self.exemplar) = (0, 0.0, None, None);
        (self.count, self.count_float, self.sum, self.schema) = (0, 0.0, 0.0, 0);
        (self.zero_threshold, self.zero_count, self.zero_count_float) = (0.0, 0, 0.0);
    }

    /// None when the bytes are not a metric.
    pub fn decode(&mut self, kind: MetricType, mut b: &'a [u8]) -> Option<()> {
        self.clear();
        while !b.is_empty() {
            let (number, v) = field(&mut b)?;
            match (number, kind) {
                (1, _) => {
                    let pair = v.bytes()?;
                    self.labels.push(label_pair(pair)?);
                    self.label_bytes.push(0xff);
                    self.label_bytes.extend_from_slice(pair);
                }
                (6, _) => self.t_ms = v.i64()?,
                (2, MetricType::Gauge) | (3, MetricType::Counter) | (5, MetricType::Unknown) => self.simple(v.bytes()?)?,
                (4, MetricType::Summary) => self.summary(v.bytes()?)?,
                (7, MetricType::Histogram | MetricType::GaugeHistogram) => self.histogram(v.bytes()?)?,
                _ => {}
            }
        }
        Some(())
    }

    /// Counter, gauge and untyped: gauges and untyped have field 1 only.
    fn simple(&mut self, mut b: &'a [u8]) -> Option<()> {
        while !b.is_empty() {
            match field(&mut b)? {
                (1, v) => self.value = v.double()?,
                (2, v) => self.exemplar = Some(v.bytes()?),
                (3, v) => self.start_ms = Some(timestamp_ms(v.bytes()?)?),
                _ => {}
            }
        }
        Some(())
    }

    fn summary(&mut self, mut b: &'a [u8]) -> Option<()> {
        while !b.is_empty() {
            match field(&mut b)? {
                (1, v) => self.count = v.u64()?,
                (2, v) => self.sum = v.double()?,
                (3, v) => {
                    let (mut q, mut quantile) = (v.bytes()?, (0.0, 0.0));
                    while !q.is_empty() {
                        match field(&mut q)? {
                            (1, v) => quantile.0 = v.double()?,
                            (2, v) => quantile.1 = v.double()?,
                            _ => {}
                        }
                    }
                    self.quantiles.push(quantile);
                }
                (4, v) => self.start_ms = Some(timestamp_ms(v.bytes()?)?),
                _ => {}
            }
        }
        Some(())
    }

    fn histogram(&mut self, mut b: &'a [u8]) -> Option<()> {
        while !b.is_empty() {
            let (number, v) = field(&mut b)?;
            match number {
                1 => self.count = v.u64()?,
                2 => self.sum = v.double()?,
                3 => self.buckets.push(bucket(v.bytes()?)?),
                4 => self.count_float = v.double()?,
                5 => self.schema = i32::try_from(v.sint()?).ok()?,
                6 => self.zero_threshold = v.double()?,
                7 => self.zero_count = v.u64()?,
                8 => self.zero_count_float = v.double()?,
                9 => self.negative_spans.push(span(v.bytes()?)?),
                10 => repeated_sint(v, &mut self.negative_deltas)?,
                11 => repeated_double(v, &mut self.negative_counts)?,
                12 => self.positive_spans.push(span(v.bytes()?)?),
                13 => repeated_sint(v, &mut self.positive_deltas)?,
                14 => repeated_double(v, &mut self.positive_counts)?,
                15 => self.start_ms = Some(timestamp_ms(v.bytes()?)?),
                16 => self.exemplars.push(v.bytes()?),
                _ => {}
            }
        }
        Some(())
    }

    /// Has it a native part? One without observations says so by a zero threshold or an empty span.
    pub fn is_native(&self) -> bool {
        !self.positive_spans.is_empty() || !self.negative_spans.is_empty() || self.zero_threshold > 0.0 || self.zero_count > 0
    }

    pub fn is_float(&self) -> bool {
        self.count_float > 0.0 || self.zero_count_float > 0.0
    }

    pub fn any_count(&self) -> f64 {
        if self.count_float != 0.0 { self.count_float } else { self.count as f64 }
    }
}

fn label_pair(mut b: &[u8]) -> Option<(&str, &str)> {
    let mut pair = ("", "");
    while !b.is_empty() {
        match field(&mut b)? {
            (1, v) => pair.0 = v.str()?,
            (2, v) => pair.1 = v.str()?,
            _ => {}
        }
    }
    Some(pair)
}

fn timestamp_ms(mut b: &[u8]) -> Option<i64> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    while !b.is_empty() {
        match field(&mut b)? {
            (1, v) => seconds = v.i64()?,
            (2, v) => nanos = v.i64()?,
            _ => {}
        }
    }
    Some(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

fn bucket(mut b: &[u8]) -> Option<Bucket<'_>> {
    let (mut out, mut count, mut count_float) = (Bucket::default(), 0u64, 0.0);
    while !b.is_empty() {
        match field(&mut b)? {
            (1, v) => count = v.u64()?,
            (2, v) => out.bound = v.double()?,
            (3, v) => out.exemplar = Some(v.bytes()?),
            (4, v) => count_float = v.double()?,
            _ => {}
        }
    }
    out.count = if count_float != 0.0 { count_float } else { count as f64 };
    Some(out)
}

fn span(mut b: &[u8]) -> Option<Span> {
    let mut out = Span::default();
    while !b.is_empty() {
        match field(&mut b)? {
            (1, v) => out.offset = i32::try_from(v.sint()?).ok()?,
            (2, v) => out.length = u32::try_from(v.u64()?).ok()?,
            _ => {}
        }
    }
    Some(out)
}

/// None when it is malformed.
pub fn exemplar(mut b: &[u8]) -> Option<Exemplar> {
    let mut labels = LabelsBuilder::default();
    let (mut value, mut t_ms) = (0.0, None);
    while !b.is_empty() {
        let (number, v): (u32, Value<'_>) = field(&mut b)?;
        match number {
            1 => {
                let (name, value) = label_pair(v.bytes()?)?;
                labels.set(name, value);
            }
            2 => value = v.double()?,
            3 => t_ms = Some(timestamp_ms(v.bytes()?)?),
            _ => {}
        }
    }
    Some(Exemplar { labels: labels.build(), value, t_ms })
}
