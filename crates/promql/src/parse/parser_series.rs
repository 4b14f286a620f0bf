//! The grammar of metrics and of series descriptions in test scripts.

use super::ast::{BinaryOp, Span, VectorSelector};
use super::parser::{Fail, Parsed, Parser};
use super::parser_expr::is_metric_name;
use super::series::{MAX_SEQUENCE_VALUES, SequenceItem, SeriesDescription};
use super::token::{HistogramKey, Kind};
use model::histogram::Span as BucketSpan;
use model::labels::quote;
use model::name::METRIC_NAME;
use model::{FloatHistogram, Labels, LabelsBuilder};

impl Parser<'_> {
    pub fn metric_selector(&mut self) -> Parsed<VectorSelector> {
        let kind = self.peek();
        let name = if is_metric_name(kind) { Some(self.take()) } else { None };
        if name.is_none() && kind != Kind::LeftBrace {
            return Err(Fail::Unexpected);
        }
        self.vector_selector(name)
    }

    pub fn metric(&mut self) -> Parsed<Labels> {
        let mut labels = LabelsBuilder::default();
        let kind = self.peek();
        let name = if is_metric_name(kind) { Some(self.take()) } else { None };
        if self.peek() == Kind::LeftBrace {
            self.label_set(&mut labels)?;
        }
        if let Some(name) = name {
            labels.set(METRIC_NAME, self.text(name));
        }
        Ok(labels.build())
    }

    fn label_set(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        self.take();
        while self.take_if(Kind::RightBrace).is_none() {
            let label = self.label(labels);
            self.in_context(label, "label set", "identifier or \"}\"")?;
            if self.peek() != Kind::RightBrace {
                let comma = self.expect(Kind::Comma);
                self.in_context(comma, "label set", "\",\" or \"}\"")?;
            }
        }
        Ok(())
    }

    fn label(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        let quoted = match self.peek() {
            Kind::Identifier => false,
            Kind::Str => true,
            _ => return Err(Fail::Unexpected),
        };
        let token = self.take();
        let name = if quoted { self.string_value(token) } else { self.text(token).to_string() };
        if self.peek() != Kind::Assign {
            if quoted {
                labels.set(METRIC_NAME, &name);
                return Ok(());
            }
            return self.in_context(Err(Fail::Unexpected), "label set", "\"=\"");
        }
        self.take();
        let value = self.expect(Kind::Str);
        let value = self.in_context(value, "label set", "string")?;
        let value = self.string_value(value);
        labels.set(&name, &value);
        Ok(())
    }

    pub fn series_description(&mut self) -> Parsed<SeriesDescription> {
        let labels = self.metric()?;
        let items = self.sequence();
        let items = self.in_context(items, "series values", "")?;
        Ok(SeriesDescription { labels, items })
    }

    fn sequence(&mut self) -> Parsed<Vec<SequenceItem>> {
        let mut items = Vec::new();
        let mut values = 0u64;
        while self.peek() != Kind::Eof {
            self.expect(Kind::Space)?;
            if self.peek() == Kind::Eof {
                break;
            }
            if self.peek() == Kind::Space {
                continue;
            }
            let item = self.item()?;
            values = values.saturating_add(item.count());
            if values > MAX_SEQUENCE_VALUES {
                self.error(self.last_span(), format!("series has too many values, at most {MAX_SEQUENCE_VALUES} are allowed"));
                return Err(Fail::Reported);
            }
            items.push(item);
        }
        Ok(items)
    }

    fn item(&mut self) -> Parsed<SequenceItem> {
        match self.peek() {
            Kind::Blank => {
                self.take();
                Ok(SequenceItem::Omitted { count: self.times()?.unwrap_or(1) })
            }
            Kind::OpenHistogram => self.histogram_item(),
            Kind::Identifier => {
                let word = self.take();
                if self.text(word) != "stale" {
                    self.unexpected("series values", "number or \"stale\"");
                    return Err(Fail::Reported);
                }
                self.float_item(model::sample::stale_nan())
            }
            _ => {
                let start = self.signed_number()?;
                self.float_item(start)
            }
        }
    }

    /// The first value counts in addition to the repetitions.
    fn float_item(&mut self, start: f64) -> Parsed<SequenceItem> {
        let signed = matches!(self.peek(), Kind::Op(BinaryOp::Add | BinaryOp::Sub));
        let step = if signed { self.signed_number()? } else { 0.0 };
        let count = match self.times()? {
            Some(times) => times.saturating_add(1),
            None if signed => return Err(Fail::Unexpected),
            None => 1,
        };
        Ok(SequenceItem::Float { start, step, count })
    }

    fn times(&mut self) -> Parsed<Option<u64>> {
        if self.take_if(Kind::Times).is_none() {
            return Ok(None);
        }
        self.repetitions().map(Some)
    }

    /// A whole number.
    fn repetitions(&mut self) -> Parsed<u64> {
        let token = self.expect(Kind::Number)?;
        let text = self.text(token);
        Ok(text.parse().unwrap_or_else(|e: std::num::ParseIntError| {
            let why = if *e.kind() == std::num::IntErrorKind::PosOverflow { "value out of range" } else { "invalid syntax" };
            let message = format!("invalid repetition in series values: strconv.ParseUint: parsing {}: {why}", quote(text));
            self.error(token.span, message);
            0
        }))
    }

    fn whole(&mut self) -> Parsed<i64> {
        let negative = self.take_if(Kind::Op(BinaryOp::Sub)).is_some();
        let n = self.repetitions()? as i64;
        Ok(if negative { n.wrapping_neg() } else { n })
    }

    fn signed_number(&mut self) -> Parsed<f64> {
        let negative = match self.peek() {
            Kind::Op(BinaryOp::Sub) => Some(true),
            Kind::Op(BinaryOp::Add) => Some(false),
            _ => None,
        };
        if negative.is_some() {
            self.take();
        }
        let n = self.number_literal()?.value;
        Ok(if negative == Some(true) { -n } else { n })
    }

    fn histogram_item(&mut self) -> Parsed<SequenceItem> {
        let (start, mut hint_set) = self.histogram()?;
        let mut step = None;
        if let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek() {
            self.take();
            let (by, hinted) = self.histogram()?;
            step = Some((op, Box::new(by)));
            hint_set = hinted;
        }
        let count = match self.times()? {
            Some(times) => times.saturating_add(1),
            None if step.is_some() => return Err(Fail::Unexpected),
            None => 1,
        };
        Ok(SequenceItem::Histogram { start: Box::new(start), step, count, hint_set })
    }

    /// `{{schema:0 sum:5 ...}}`, and whether it has a counter reset hint.
    fn histogram(&mut self) -> Parsed<(FloatHistogram, bool)> {
        self.expect(Kind::OpenHistogram)?;
        let mut parts = HistogramParts::default();
        if self.take_if(Kind::Space).is_some() {
            self.expect(Kind::CloseHistogram)?;
            return Ok(parts.finish());
        }
        while self.take_if(Kind::CloseHistogram).is_none() {
            let item = self.histogram_part(&mut parts);
            let empty = parts.seen.is_empty();
            let closed = item.and_then(|()| {
                if self.peek() != Kind::CloseHistogram {
                    self.expect(Kind::Space)?;
                }
                Ok(())
            });
            if empty {
                closed?;
            } else {
                self.in_context(closed, "histogram description", "histogram description key, e.g. buckets:[5 10 7]")?;
            }
        }
        Ok(parts.finish())
    }

    fn histogram_part(&mut self, parts: &mut HistogramParts) -> Parsed<()> {
        let Kind::HistogramKey(key) = self.peek() else { return Err(Fail::Unexpected) };
        let token = self.take();
        self.expect(Kind::Colon)?;
        let mut part = HistogramParts::default();
        match key {
            HistogramKey::Schema => part.h.schema = self.whole()? as i32,
            HistogramKey::Offset => part.offset = self.whole()? as i32,
            HistogramKey::NegativeOffset => part.negative_offset = self.whole()? as i32,
            HistogramKey::Sum => part.h.sum = self.signed_number()?,
            HistogramKey::Count => part.h.count = self.signed_number()?,
            HistogramKey::ZeroBucket => part.h.zero_count = self.signed_number()?,
            HistogramKey::ZeroBucketWidth => part.h.zero_threshold = self.number_literal()?.value,
            HistogramKey::CustomValues => part.h.custom_values = self.bucket_set()?,
            HistogramKey::Buckets => part.h.positive_buckets = self.bucket_set()?,
            HistogramKey::NegativeBuckets => part.h.negative_buckets = self.bucket_set()?,
            HistogramKey::ResetHint => {
                let Kind::ResetHint(hint) = self.peek() else { return Err(Fail::Unexpected) };
                self.take();
                part.h.reset_hint = hint;
            }
        }
        if parts.seen.contains(&key) {
            let name = self.text(token).to_ascii_lowercase();
            self.error(Span::default(), format!("duplicate key \"{name}\" in histogram"));
        } else {
            parts.set(key, part);
        }
        Ok(())
    }

    fn bucket_set(&mut self) -> Parsed<Vec<f64>> {
        self.expect(Kind::LeftBracket)?;
        let mut buckets = vec![self.signed_number()?];
        loop {
            if self.take_if(Kind::RightBracket).is_some() {
                return Ok(buckets);
            }
            self.expect(Kind::Space)?;
            if self.take_if(Kind::RightBracket).is_some() {
                return Ok(buckets);
            }
            buckets.push(self.signed_number()?);
        }
    }
}

/// A histogram while it is read.
#[derive(Default)]
struct HistogramParts {
    h: FloatHistogram,
    offset: i32,
    negative_offset: i32,
    seen: Vec<HistogramKey>,
}

impl HistogramParts {
    fn set(&mut self, key: HistogramKey, part: HistogramParts) {
        self.seen.push(key);
        let (h, p) = (&mut self.h, part.h);
        match key {
            HistogramKey::Schema => h.schema = p.schema,
            HistogramKey::Offset => self.offset = part.offset,
            HistogramKey::NegativeOffset => self.negative_offset = part.negative_offset,
            HistogramKey::Sum => h.sum = p.sum,
            HistogramKey::Count => h.count = p.count,
            HistogramKey::ZeroBucket => h.zero_count = p.zero_count,
            HistogramKey::ZeroBucketWidth => h.zero_threshold = p.zero_threshold,
            HistogramKey::CustomValues => h.custom_values = p.custom_values,
            HistogramKey::Buckets => h.positive_buckets = p.positive_buckets,
            HistogramKey::NegativeBuckets => h.negative_buckets = p.negative_buckets,
            HistogramKey::ResetHint => h.reset_hint = p.reset_hint,
        }
    }

    fn finish(self) -> (FloatHistogram, bool) {
        let span = |offset: i32, buckets: &[f64]| match buckets.len() {
            0 => Vec::new(),
            n => vec![BucketSpan { offset, length: n as u32 }],
        };
        let mut h = self.h;
        h.positive_spans = span(self.offset, &h.positive_buckets);
        h.negative_spans = span(self.negative_offset, &h.negative_buckets);
        (h, self.seen.contains(&HistogramKey::ResetHint))
    }
}
