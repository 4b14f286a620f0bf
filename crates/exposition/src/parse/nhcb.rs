//! Classic histograms turned into native ones with custom buckets.
//!
//! [`ClassicHistogram`] collects the parts of one histogram and converts them. [`Nhcb`] is a layer over the text parsers: it gathers the
//! neighbouring `_bucket`, `_sum` and `_count` series of one label set and gives a native histogram when the next one begins.

use super::error::ParseError;
use super::label_buf::LabelBuf;
use super::number::parse_float;
use super::{Entry, HistogramRef, Parser};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use model::name::{BUCKET_LABEL, METRIC_NAME};
use model::{Exemplar, FloatHistogram, Histogram, Labels, MetricType};
use std::collections::VecDeque;

/// A histogram, whichever counts it has.
#[derive(Clone, Debug)]
pub(super) enum Converted {
    Int(Histogram),
    Float(FloatHistogram),
}

impl Converted {
    pub fn as_ref(&self) -> HistogramRef<'_> {
        match self {
            Converted::Int(h) => HistogramRef::Int(h),
            Converted::Float(h) => HistogramRef::Float(h),
        }
    }
}

/// Why the parts make no histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum ConvertError {
    NegativeCount,
    NanBound,
    NotCumulative,
    CountMismatch,
    InfiniteBound,
}

impl std::fmt::Display for ConvertError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConvertError::NegativeCount => "count must be non-negative",
            ConvertError::NanBound => "bucket boundary must not be NaN",
            ConvertError::NotCumulative => "count is not cumulative",
            ConvertError::CountMismatch => "count mismatch",
            ConvertError::InfiniteBound => "bucket boundary must not be -Inf",
        })
    }
}

impl std::error::Error for ConvertError {}

/// The parts of one classic histogram, in any order.
#[derive(Debug, Default)]
pub struct ClassicHistogram {
    /// Upper bound and cumulative count, sorted by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ConvertError>,
}

impl ClassicHistogram {
    pub fn clear(&mut self) {
        self.buckets.clear();
        (self.count, self.sum, self.error) = (None, 0.0, None);
    }

    fn fail(&mut self, e: ConvertError) {
        self.error.get_or_insert(e);
    }

    /// A second bucket with the same bound is ignored.
    pub fn set_bucket(&mut self, bound: f64, count: f64) {
        if bound.is_nan() {
            return self.fail(ConvertError::NanBound);
        }
        if count < 0.0 {
            return self.fail(ConvertError::NegativeCount);
        }
        let i = self.buckets.partition_point(|(b, _)| *b < bound);
        if self.buckets.get(i).is_some_and(|(b, _)| *b == bound) {
            return;
        }
        let below = i.checked_sub(1).map(|i| self.buckets[i].1);
        let above = self.buckets.get(i).map(|b| b.1);
        if below.is_some_and(|c| count < c) || above.is_some_and(|c| count > c) {
            return self.fail(ConvertError::NotCumulative);
        }
        self.buckets.insert(i, (bound, count));
    }

    pub fn set_count(&mut self, count: f64) {
        if count < 0.0 {
            return self.fail(ConvertError::NegativeCount);
        }
        self.count = Some(count);
    }

    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    pub(super) fn convert(&mut self) -> Result<Converted, ConvertError> {
        if let Some(e) = &self.error {
            return Err(e.clone());
        }
        let count = self.count.or(self.buckets.last().map(|b| b.1)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|(b, _)| *b != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let last = self.buckets.last().map_or(0.0, |b| b.1);
        if count != last {
            return Err(ConvertError::CountMismatch);
        }
        if self.buckets[0].0 == f64::NEG_INFINITY {
            return Err(ConvertError::InfiniteBound);
        }
        let custom_values: Vec<f64> = self.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect();
        let whole = |v: f64| v == (v.round() as i64) as f64;
        let mut below = 0.0;
        let absolute: Vec<f64> = self
            .buckets
            .iter()
            .map(|(_, c)| {
                let own = c - below;
                below = *c;
                own
            })
            .collect();
        let all = [Span { offset: 0, length: absolute.len() as u32 }];
        if whole(count) && self.buckets.iter().all(|(_, c)| whole(*c)) {
            let (positive_spans, buckets) = compact(&all, &absolute, 2).unwrap_or_default();
            let mut before = 0i64;
            let deltas = buckets.iter().map(|c| {
                let delta = *c as i64 - before;
                before = *c as i64;
                delta
            });
            return Ok(Converted::Int(Histogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                count: count as u64,
                sum: self.sum,
                positive_spans,
                positive_deltas: deltas.collect(),
                custom_values,
                ..Histogram::default()
            }));
        }
        let (positive_spans, positive_buckets) = compact(&all, &absolute, 0).unwrap_or_default();
        Ok(Converted::Float(FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans,
            positive_buckets,
            custom_values,
            ..FloatHistogram::default()
        }))
    }
}

/// Drops empty buckets at the edges and wherever more than `max_empty` stand together; fills shorter gaps. None when the spans are not sound.
pub(super) fn compact<T: Copy + Default + PartialEq>(spans: &[Span], counts: &[T], max_empty: i64) -> Option<(Vec<Span>, Vec<T>)> {
    let (mut out_spans, mut out): (Vec<Span>, Vec<T>) = (Vec::new(), Vec::with_capacity(counts.len()));
    let mut counts = counts.iter();
    let mut index = 0i64;
    // The index behind the last bucket that was put out.
    let mut next = 0i64;
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            return None;
        }
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let c = *counts.next()?;
            if c != T::default() {
                match out_spans.last_mut() {
                    Some(last) if index - next <= max_empty => {
                        last.length += u32::try_from(index - next + 1).ok()?;
                        out.extend((next..index).map(|_| T::default()));
                    }
                    _ => out_spans.push(Span { offset: i32::try_from(index - next).ok()?, length: 1 }),
                }
                out.push(c);
                next = index + 1;
            }
            index += 1;
        }
    }
    counts.next().is_none().then_some((out_spans, out))
}

#[derive(PartialEq, Eq)]
enum State {
    /// Nothing gathered.
    Idle,
    /// Parts of a classic histogram are being gathered.
    Collecting,
    /// The converted histogram stands as the current entry; the base's entry waits.
    Emitting,
}

#[derive(Default)]
struct Gathered {
    raw: Vec<u8>,
    labels: Labels,
    t_ms: Option<i64>,
    start_ms: Option<i64>,
    exemplars: VecDeque<Exemplar>,
}

pub(super) struct Nhcb {
    keep_classic: bool,
    state: State,
    family: String,
    kind: MetricType,
    parts: ClassicHistogram,
    /// What is being gathered now, under its name and labels without `le`.
    key: Option<Labels>,
    gathered: Gathered,
    current: Gathered,
    histogram: Option<Converted>,
    /// The base's answer that comes after the converted histogram.
    pending: Option<Result<Option<Entry>, ParseError>>,
    scratch: LabelBuf,
}

#[derive(Clone, Copy)]
enum Part {
    Bucket(f64),
    Sum,
    Count,
}

impl Nhcb {
    pub fn new(keep_classic: bool) -> Self {
        Nhcb {
            keep_classic,
            state: State::Idle,
            family: String::new(),
            kind: MetricType::Unknown,
            parts: ClassicHistogram::default(),
            key: None,
            gathered: Gathered::default(),
            current: Gathered::default(),
            histogram: None,
            pending: None,
            scratch: LabelBuf::new(),
        }
    }

    pub fn next(&mut self, p: &mut Parser<'_>) -> Result<Option<Entry>, ParseError> {
        loop {
            self.histogram = None;
            let entry = if self.state == State::Emitting {
                self.state = State::Idle;
                self.pending.take().unwrap_or(Ok(None))
            } else {
                let entry = p.base_next();
                let part = if matches!(entry, Ok(Some(Entry::Series))) { self.part(p)? } else { None };
                let goes_on = self.state == State::Collecting && part.as_ref().is_some_and(|(_, key)| Some(key) == self.key.as_ref());
                if self.state == State::Collecting && !goes_on && entry.is_ok() && self.convert() {
                    self.pending = Some(entry);
                    return Ok(Some(Entry::Histogram));
                }
                entry
            };
            match &entry {
                Ok(Some(Entry::Type)) => {
                    self.family = p.meta_name().into_owned();
                    self.kind = p.meta_type();
                }
                Ok(Some(Entry::Series)) => {
                    if let Some((part, key)) = self.part(p)? {
                        self.gather(part, key, p);
                        if !self.keep_classic {
                            continue;
                        }
                    }
                }
                _ => {}
            }
            return entry;
        }
    }

    /// Is the base's sample a part of a classic histogram, and of which?
    fn part(&mut self, p: &mut Parser<'_>) -> Result<Option<(Part, Labels)>, ParseError> {
        if self.kind != MetricType::Histogram {
            return Ok(None);
        }
        p.base_labels(&mut self.scratch)?;
        let labels = self.scratch.as_ref();
        let Some(suffix) = self.scratch.metric_name().strip_prefix(self.family.as_str()) else { return Ok(None) };
        let part = match suffix {
            "_sum" => Part::Sum,
            "_count" => Part::Count,
            "_bucket" => match labels.get(BUCKET_LABEL).and_then(|le| parse_float(le.as_bytes())) {
                Some(bound) if !bound.is_nan() => Part::Bucket(bound),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let mut key = labels.to_labels().builder();
        key.set(METRIC_NAME, &self.family).del(BUCKET_LABEL);
        Ok(Some((part, key.build())))
    }

    fn gather(&mut self, part: Part, key: Labels, p: &mut Parser<'_>) {
        if self.state != State::Collecting {
            self.state = State::Collecting;
            self.parts.clear();
            // No line of a page begins with this byte, so no classic series has such a name.
            let mut raw = vec![0xff];
            raw.extend_from_slice(key.as_ref().encoded());
            self.gathered = Gathered { raw, labels: key.clone(), t_ms: p.timestamp_ms(), start_ms: p.base_start_ms(), exemplars: VecDeque::new() };
            self.key = Some(key);
        }
        while let Some(e) = p.base_exemplar() {
            self.gathered.exemplars.push_back(e);
        }
        match part {
            Part::Bucket(bound) => self.parts.set_bucket(bound, p.value()),
            Part::Sum => self.parts.set_sum(p.value()),
            Part::Count => self.parts.set_count(p.value()),
        }
    }

    fn convert(&mut self) -> bool {
        self.key = None;
        match self.parts.convert() {
            Ok(h) => {
                self.histogram = Some(h);
                self.current = std::mem::take(&mut self.gathered);
                self.state = State::Emitting;
                true
            }
            Err(_) => {
                self.state = State::Idle;
                false
            }
        }
    }

    pub fn emitting(&self) -> bool {
        self.histogram.is_some()
    }

    pub fn raw(&self) -> &[u8] {
        &self.current.raw
    }

    pub fn timestamp_ms(&self) -> Option<i64> {
        self.current.t_ms
    }

    pub fn start_ms(&self) -> Option<i64> {
        self.current.start_ms
    }

    pub fn histogram(&self) -> Option<HistogramRef<'_>> {
        self.histogram.as_ref().map(Converted::as_ref)
    }

    pub fn labels(&self, out: &mut LabelBuf) {
        out.copy_from(self.current.labels.as_ref());
    }

    pub fn exemplar(&mut self) -> Option<Exemplar> {
        self.current.exemplars.pop_front()
    }
}
