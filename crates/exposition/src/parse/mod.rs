//! Reading pages: one event API over text, OpenMetrics and protobuf.
//!
//! [`Parser::next`] moves to the next entry and says what it is; the accessors then speak about that entry. The order of use for a sample:
//! `raw` (a name for the series that is stable from page to page), and only when that is not known `labels`, then `value`,
//! `timestamp_ms`, `exemplar`, `start_ms`. [`Parser::next_if`] is the shortcut for a caller that guesses which series comes next, as pages
//! hardly change from scrape to scrape.

mod error;
mod format;
mod label_buf;
mod lex;
mod nhcb;
mod number;
mod openmetrics;
mod protobuf;
mod text;

pub use error::ParseError;
pub use format::{Format, format_of};
pub use label_buf::LabelBuf;
pub use nhcb::ClassicHistogram;
pub use number::{format_openmetrics_float, parse_float};

use model::{Exemplar, FloatHistogram, Histogram, MetricType};
use nhcb::Nhcb;
use openmetrics::OpenMetricsParser;
use protobuf::ProtobufParser;
use std::borrow::Cow;
use text::TextParser;

/// What the parser stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Type,
    Help,
    Unit,
    Comment,
    /// A float sample.
    Series,
    /// A native histogram sample.
    Histogram,
}

/// A native histogram of the current entry.
#[derive(Clone, Copy, Debug)]
pub enum HistogramRef<'a> {
    Int(&'a Histogram),
    Float(&'a FloatHistogram),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ParserOptions {
    /// Put the family's type and unit into the labels `__type__` and `__unit__`.
    pub type_and_unit_labels: bool,
    /// Take the classic part of protobuf histograms and leave the native one.
    pub ignore_native_histograms: bool,
    /// Turn classic histograms into native ones with custom buckets.
    pub convert_classic_histograms: bool,
    /// Give classic histogram series also where a native histogram is given.
    pub keep_classic_histograms: bool,
    /// Leave out OpenMetrics' `_created` series, which then serve [`Parser::start_ms`] only.
    pub skip_created_series: bool,
}

enum Base<'a> {
    Text(TextParser<'a>),
    OpenMetrics(Box<OpenMetricsParser<'a>>),
    Protobuf(Box<ProtobufParser<'a>>),
}

/// Walks one page.
pub struct Parser<'a> {
    base: Base<'a>,
    nhcb: Option<Box<Nhcb>>,
}

macro_rules! each {
    ($self:ident, $p:ident => $e:expr) => {
        match &$self.base {
            Base::Text($p) => $e,
            Base::OpenMetrics($p) => $e,
            Base::Protobuf($p) => $e,
        }
    };
    (mut $self:ident, $p:ident => $e:expr) => {
        match &mut $self.base {
            Base::Text($p) => $e,
            Base::OpenMetrics($p) => $e,
            Base::Protobuf($p) => $e,
        }
    };
}

impl<'a> Parser<'a> {
    pub fn new(body: &'a [u8], format: Format, options: ParserOptions) -> Self {
        let base = match format {
            Format::Text => Base::Text(TextParser::new(body, options)),
            Format::OpenMetrics => Base::OpenMetrics(Box::new(OpenMetricsParser::new(body, options))),
            Format::Protobuf => Base::Protobuf(Box::new(ProtobufParser::new(body, options))),
        };
        let convert = options.convert_classic_histograms && format != Format::Protobuf;
        Parser { base, nhcb: convert.then(|| Box::new(Nhcb::new(options.keep_classic_histograms))) }
    }

    /// Moves to the next entry; None at the end of the page. After an error nothing more can be read.
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend the parser to its accessors")]
    pub fn next(&mut self) -> Result<Option<Entry>, ParseError> {
        match self.nhcb.take() {
            None => self.base_next(),
            Some(mut layer) => {
                let entry = layer.next(self);
                self.nhcb = Some(layer);
                entry
            }
        }
    }

    fn base_next(&mut self) -> Result<Option<Entry>, ParseError> {
        each!(mut self, p => p.next())
    }

    /// If the next entry is a sample of the series with these raw bytes, moves to it. Otherwise false, and nothing has moved.
    #[inline]
    pub fn next_if(&mut self, raw: &[u8]) -> bool {
        match (&mut self.base, &self.nhcb) {
            (Base::Text(p), None) => p.next_if(raw),
            (Base::OpenMetrics(p), None) => p.next_if(raw),
            _ => false,
        }
    }

    /// If the page goes on with these bytes, which are a whole line of a HELP or comment entry as [`Parser::line`] gave it, steps over them.
    #[inline]
    pub fn skip_if(&mut self, line: &[u8]) -> bool {
        match (&mut self.base, &self.nhcb) {
            (Base::Text(p), None) => p.skip_if(line),
            (Base::OpenMetrics(p), None) => p.skip_if(line),
            _ => false,
        }
    }

    /// The same for a TYPE entry. False where a type must be read to understand what follows.
    #[inline]
    pub fn skip_type_if(&mut self, line: &[u8]) -> bool {
        match (&mut self.base, &self.nhcb) {
            (Base::Text(p), None) => p.skip_type_if(line),
            _ => false,
        }
    }

    /// The line of the current HELP or comment entry with its line end; None where entries are not lines.
    pub fn line(&self) -> Option<&'a [u8]> {
        match (&self.base, &self.nhcb) {
            (Base::Text(p), None) => Some(p.line()),
            (Base::OpenMetrics(p), None) => Some(p.line()),
            _ => None,
        }
    }

    /// Bytes that name the current sample's series: equal bytes mean the same series on every page of a target.
    #[inline]
    pub fn raw(&self) -> &[u8] {
        match &self.nhcb {
            Some(n) if n.emitting() => n.raw(),
            _ => each!(self, p => p.raw()),
        }
    }

    #[inline]
    pub fn value(&self) -> f64 {
        each!(self, p => p.value())
    }

    /// The time that the page gives for the current sample.
    #[inline]
    pub fn timestamp_ms(&self) -> Option<i64> {
        match &self.nhcb {
            Some(n) if n.emitting() => n.timestamp_ms(),
            _ => each!(self, p => p.timestamp_ms()),
        }
    }

    /// The current entry's native histogram; None when it is anything else.
    pub fn histogram(&self) -> Option<HistogramRef<'_>> {
        match (&self.nhcb, &self.base) {
            (Some(n), _) if n.emitting() => n.histogram(),
            (_, Base::Protobuf(p)) => p.histogram(),
            _ => None,
        }
    }

    /// Tokenises the labels of the current sample. Also the moment when the series' bytes are checked in full, so it may move the end of the
    /// entry: read `raw` and `value` after it.
    pub fn labels(&mut self, out: &mut LabelBuf) -> Result<(), ParseError> {
        match &self.nhcb {
            Some(n) if n.emitting() => {
                n.labels(out);
                Ok(())
            }
            _ => self.base_labels(out),
        }
    }

    fn base_labels(&mut self, out: &mut LabelBuf) -> Result<(), ParseError> {
        each!(mut self, p => p.labels(out))
    }

    /// The next exemplar of the current sample. Ask until None.
    pub fn exemplar(&mut self) -> Option<Exemplar> {
        match &mut self.nhcb {
            Some(n) if n.emitting() => n.exemplar(),
            _ => self.base_exemplar(),
        }
    }

    fn base_exemplar(&mut self) -> Option<Exemplar> {
        match &mut self.base {
            Base::Text(_) => None,
            Base::OpenMetrics(p) => p.exemplar(),
            Base::Protobuf(p) => p.exemplar(),
        }
    }

    /// When the current sample's counter began.
    pub fn start_ms(&mut self) -> Option<i64> {
        match &self.nhcb {
            Some(n) if n.emitting() => n.start_ms(),
            _ => self.base_start_ms(),
        }
    }

    fn base_start_ms(&mut self) -> Option<i64> {
        match &mut self.base {
            Base::Text(_) => None,
            Base::OpenMetrics(p) => p.start_ms(),
            Base::Protobuf(p) => p.start_ms(),
        }
    }

    /// Family name of the current Type, Help or Unit entry.
    pub fn meta_name(&self) -> Cow<'_, str> {
        each!(self, p => p.meta_name())
    }

    /// Text of the current Help, Unit or Comment entry, unescaped.
    pub fn meta_text(&self) -> Cow<'_, str> {
        each!(self, p => p.meta_text())
    }

    /// Type that the last Type entry told.
    pub fn meta_type(&self) -> MetricType {
        each!(self, p => p.meta_type())
    }

    /// How many bytes of the page have been read.
    pub fn offset(&self) -> usize {
        each!(self, p => p.offset())
    }
}

#[cfg(test)]
mod tests;
