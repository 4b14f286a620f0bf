//! Delimited io.prometheus.client.MetricFamily messages: the one format that carries native histograms.
//!
//! Each message is walked in place. A family gives Help, Unit (if any) and Type, then its metrics: a summary or a classic histogram as its
//! several series, a native histogram as one entry, before its classic series where both are wanted.

mod message;
mod wire;

use super::error::ParseError;
use super::label_buf::LabelBuf;
use super::nhcb::{ClassicHistogram, Converted, compact};
use super::number::format_openmetrics_float;
use super::{Entry, HistogramRef, ParserOptions};
use message::{Family, Metric};
use model::histogram::{ResetHint, Span};
use model::name::{BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL};
use model::{Exemplar, FloatHistogram, Histogram, MetricType};
use std::borrow::Cow;
use std::collections::VecDeque;

/// What comes next within the current metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    NextFamily,
    Unit,
    Type,
    NextMetric,
    /// The native form, if there is one or one is to be made.
    Native,
    Count,
    Sum,
    /// Quantile or bucket number so and so.
    Part(usize),
}

pub(super) struct ProtobufParser<'a> {
    b: &'a [u8],
    at: usize,
    options: ParserOptions,
    family: Family<'a>,
    metrics: &'a [u8],
    metric: Metric<'a>,
    step: Step,
    raw: Vec<u8>,
    suffix: &'static str,
    bound: Option<(&'static str, f64)>,
    value: f64,
    native: Option<Converted>,
    exemplars: VecDeque<&'a [u8]>,
    native_exemplars: bool,
    classic: ClassicHistogram,
}

impl<'a> ProtobufParser<'a> {
    pub fn new(b: &'a [u8], options: ParserOptions) -> Self {
        ProtobufParser {
            b,
            at: 0,
            options,
            family: Family { name: "", help: "", unit: "", kind: MetricType::Unknown },
            metrics: &[],
            metric: Metric::default(),
            step: Step::NextFamily,
            raw: Vec::new(),
            suffix: "",
            bound: None,
            value: 0.0,
            native: None,
            exemplars: VecDeque::new(),
            native_exemplars: false,
            classic: ClassicHistogram::default(),
        }
    }

    pub fn next(&mut self) -> Result<Option<Entry>, ParseError> {
        self.advance().map_err(|what| ParseError { offset: self.at, line: 0, what })
    }

    fn advance(&mut self) -> Result<Option<Entry>, String> {
        self.native = None;
        loop {
            match self.step {
                Step::NextFamily => {
                    let rest = &self.b[self.at..];
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let (len, n) = stdx::varint::uvarint(rest).ok_or("malformed length of a metric family")?;
                    let body = usize::try_from(len).ok().and_then(|len| rest[n..].get(..len)).ok_or("metric family is cut short")?;
                    self.at += n + body.len();
                    self.family = Family::decode(body)?;
                    self.metrics = body;
                    let mut peek = body;
                    // A family without metrics is passed over.
                    if message::next_metric(&mut peek)?.is_some() {
                        self.step = if self.family.unit.is_empty() { Step::Type } else { Step::Unit };
                        return Ok(Some(Entry::Help));
                    }
                }
                Step::Unit => {
                    self.step = Step::Type;
                    return Ok(Some(Entry::Unit));
                }
                Step::Type => {
                    self.step = Step::NextMetric;
                    return Ok(Some(Entry::Type));
                }
                Step::NextMetric => match message::next_metric(&mut self.metrics)? {
                    None => self.step = Step::NextFamily,
                    Some(b) => {
                        if self.metric.decode(self.family.kind, b).is_none() {
                            return Err(format!("malformed metric in family {:?}", self.family.name));
                        }
                        match self.family.kind {
                            MetricType::Histogram | MetricType::GaugeHistogram => self.step = Step::Native,
                            MetricType::Summary => self.step = Step::Count,
                            _ => {
                                self.exemplars.clear();
                                self.exemplars.extend(self.metric.exemplar.filter(|_| self.family.kind == MetricType::Counter));
                                return Ok(Some(self.series("", None, self.metric.value)));
                            }
                        }
                    }
                },
                Step::Native => {
                    if self.metric.is_native() && !self.options.ignore_native_histograms {
                        let again = self.options.keep_classic_histograms && !self.metric.buckets.is_empty();
                        self.step = if again { Step::Count } else { Step::NextMetric };
                        self.native = Some(self.native_histogram()?);
                        self.begin_native();
                        return Ok(Some(Entry::Histogram));
                    }
                    if !self.options.convert_classic_histograms {
                        self.step = Step::Count;
                        continue;
                    }
                    self.step = if self.options.keep_classic_histograms { Step::Count } else { Step::NextMetric };
                    self.native = Some(self.converted_histogram()?);
                    self.begin_native();
                    return Ok(Some(Entry::Histogram));
                }
                Step::Count => {
                    self.step = Step::Sum;
                    let count = self.metric.any_count();
                    return Ok(Some(self.series("_count", None, count)));
                }
                Step::Sum => {
                    let more = self.family.kind != MetricType::Summary || !self.metric.quantiles.is_empty();
                    self.step = if more { Step::Part(0) } else { Step::NextMetric };
                    let sum = self.metric.sum;
                    return Ok(Some(self.series("_sum", None, sum)));
                }
                Step::Part(i) if self.family.kind == MetricType::Summary => {
                    let (quantile, value) = self.metric.quantiles[i];
                    self.step = if i + 1 < self.metric.quantiles.len() { Step::Part(i + 1) } else { Step::NextMetric };
                    return Ok(Some(self.series("", Some((QUANTILE_LABEL, quantile)), value)));
                }
                Step::Part(i) => {
                    // A missing last bucket is the count.
                    let (bound, count, exemplar) = match self.metric.buckets.get(i) {
                        Some(b) => (b.bound, b.count, b.exemplar),
                        None => (f64::INFINITY, self.metric.any_count(), None),
                    };
                    self.step = if bound == f64::INFINITY { Step::NextMetric } else { Step::Part(i + 1) };
                    let entry = self.series("_bucket", Some((BUCKET_LABEL, bound)), count);
                    self.exemplars.extend(exemplar);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Sets up a float sample. Its raw name: metric name, labels as they were sent, bound.
    fn series(&mut self, suffix: &'static str, bound: Option<(&'static str, f64)>, value: f64) -> Entry {
        if self.family.kind != MetricType::Counter {
            self.exemplars.clear();
        }
        self.native_exemplars = false;
        self.name_it(suffix, bound);
        self.value = if value.is_nan() && !model::sample::is_stale_nan(value) { f64::from_bits(model::sample::NORMAL_NAN_BITS) } else { value };
        Entry::Series
    }

    fn name_it(&mut self, suffix: &'static str, bound: Option<(&'static str, f64)>) {
        (self.suffix, self.bound) = (suffix, bound);
        self.raw.clear();
        self.raw.extend_from_slice(self.family.name.as_bytes());
        self.raw.extend_from_slice(suffix.as_bytes());
        self.raw.extend_from_slice(&self.metric.label_bytes);
        if let Some((_, v)) = bound {
            self.raw.push(0xfe);
            self.raw.extend_from_slice(&v.to_bits().to_be_bytes());
        }
    }

    fn begin_native(&mut self) {
        self.name_it("", None);
        // A classic series of the same name and labels must not share the name.
        self.raw.push(0xfd);
        self.native_exemplars = true;
        self.exemplars.clear();
        if self.metric.exemplars.is_empty() {
            self.exemplars.extend(self.metric.buckets.iter().filter_map(|b| b.exemplar));
        } else {
            self.exemplars.extend(self.metric.exemplars.iter());
        }
    }

    fn reset_hint(&self) -> ResetHint {
        if self.family.kind == MetricType::GaugeHistogram { ResetHint::Gauge } else { ResetHint::Unknown }
    }

    fn native_histogram(&self) -> Result<Converted, String> {
        let m = &self.metric;
        let side = |name: &str, spans: &[Span], have: usize| {
            let need: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
            if need == have as u64 {
                return Ok(());
            }
            Err(format!("histogram {:?}: {name} side: spans require {need} buckets, have {have}", self.family.name))
        };
        let bad_spans = || format!("histogram {:?}: span with a negative offset", self.family.name);
        if m.is_float() {
            side("positive", &m.positive_spans, m.positive_counts.len())?;
            side("negative", &m.negative_spans, m.negative_counts.len())?;
            let (positive_spans, positive_buckets) = compact(&m.positive_spans, &m.positive_counts, 0).ok_or_else(bad_spans)?;
            let (negative_spans, negative_buckets) = compact(&m.negative_spans, &m.negative_counts, 0).ok_or_else(bad_spans)?;
            return Ok(Converted::Float(FloatHistogram {
                reset_hint: self.reset_hint(),
                schema: m.schema,
                zero_threshold: m.zero_threshold,
                zero_count: m.zero_count_float,
                count: m.count_float,
                sum: m.sum,
                positive_spans,
                negative_spans,
                positive_buckets,
                negative_buckets,
                custom_values: Vec::new(),
            }));
        }
        side("positive", &m.positive_spans, m.positive_deltas.len())?;
        side("negative", &m.negative_spans, m.negative_deltas.len())?;
        let (positive_spans, positive_deltas) = compact_deltas(&m.positive_spans, &m.positive_deltas).ok_or_else(bad_spans)?;
        let (negative_spans, negative_deltas) = compact_deltas(&m.negative_spans, &m.negative_deltas).ok_or_else(bad_spans)?;
        Ok(Converted::Int(Histogram {
            reset_hint: self.reset_hint(),
            schema: m.schema,
            zero_threshold: m.zero_threshold,
            zero_count: m.zero_count,
            count: m.count,
            sum: m.sum,
            positive_spans,
            negative_spans,
            positive_deltas,
            negative_deltas,
            custom_values: Vec::new(),
        }))
    }

    fn converted_histogram(&mut self) -> Result<Converted, String> {
        self.classic.clear();
        self.classic.set_count(self.metric.any_count());
        self.classic.set_sum(self.metric.sum);
        self.metric.buckets.iter().for_each(|b| self.classic.set_bucket(b.bound, b.count));
        let mut h = self.classic.convert().map_err(|e| format!("histogram {:?}: {e}", self.family.name))?;
        match &mut h {
            Converted::Int(h) => h.reset_hint = self.reset_hint(),
            Converted::Float(h) => h.reset_hint = self.reset_hint(),
        }
        Ok(h)
    }

    pub fn labels(&mut self, out: &mut LabelBuf) -> Result<(), ParseError> {
        out.clear();
        let mut name = String::with_capacity(self.family.name.len() + self.suffix.len());
        name.push_str(self.family.name);
        name.push_str(self.suffix);
        out.push(METRIC_NAME, &name);
        let add = self.options.type_and_unit_labels;
        let (kind, unit) = if add { (self.family.kind, self.family.unit) } else { (MetricType::Unknown, "") };
        if kind != MetricType::Unknown {
            out.push("__type__", kind.as_str());
        }
        if !unit.is_empty() {
            out.push("__unit__", unit);
        }
        for (n, v) in &self.metric.labels {
            let overridden = match *n {
                METRIC_NAME => add,
                "__type__" => kind != MetricType::Unknown,
                "__unit__" => !unit.is_empty(),
                _ => false,
            };
            if !overridden {
                out.push(n, v);
            }
        }
        if let Some((label, v)) = self.bound {
            out.push(label, &format_openmetrics_float(v));
        }
        out.finish();
        Ok(())
    }

    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub fn value(&self) -> f64 {
        self.value
    }

    /// 0 means that there is none.
    pub fn timestamp_ms(&self) -> Option<i64> {
        Some(self.metric.t_ms).filter(|t| *t != 0)
    }

    pub fn histogram(&self) -> Option<HistogramRef<'_>> {
        self.native.as_ref().map(Converted::as_ref)
    }

    /// Exemplars of native histograms count only with a time.
    pub fn exemplar(&mut self) -> Option<Exemplar> {
        while let Some(b) = self.exemplars.pop_front() {
            match message::exemplar(b) {
                Some(e) if e.t_ms.is_some() || !self.native_exemplars => return Some(e),
                _ => {}
            }
        }
        None
    }

    pub fn start_ms(&self) -> Option<i64> {
        self.metric.start_ms
    }

    pub fn meta_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.family.name)
    }

    pub fn meta_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(if self.step == Step::Type && !self.family.unit.is_empty() { self.family.unit } else { self.family.help })
    }

    pub fn meta_type(&self) -> MetricType {
        self.family.kind
    }

    pub fn offset(&self) -> usize {
        self.at
    }
}

fn compact_deltas(spans: &[Span], deltas: &[i64]) -> Option<(Vec<Span>, Vec<i64>)> {
    let mut sum = 0i64;
    let absolute: Vec<i64> = deltas
        .iter()
        .map(|d| {
            sum = sum.wrapping_add(*d);
            sum
        })
        .collect();
    let (spans, counts) = compact(spans, &absolute, 0)?;
    let mut before = 0i64;
    let deltas = counts.iter().map(|c| {
        let d = c.wrapping_sub(before);
        before = *c;
        d
    });
    Some((spans, deltas.collect()))
}
