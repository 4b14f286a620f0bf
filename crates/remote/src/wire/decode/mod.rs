//! Write requests in, both versions: series by series, borrowing from the body.
//!
//! Three kinds of trouble are told apart. A damaged message ends the request ([`WireError`]). Labels that cannot name a series are a
//! [`LabelFault`] of that series; its neighbours are as good as before. What the samples say is not looked at here.
//!
//! Replica labels are taken out while the labels are copied, as this costs least here.

mod series;

pub use series::{LabelFault, Series};

use super::proto::{self, Fields, Value};
use super::{FloatSample, Version, WireError, metric_type};
use model::labels::{MAX_LEN, push_pair_bytes};
use model::{LabelsRef, Metadata, MetricType, name};
use series::Symbols;
use stdx::varint::uvarint;
use storage::SeriesRef;

/// At most so many labels may a series have.
pub const MAX_LABELS: usize = 1024;
/// A field of two bytes becomes some dozens in memory, so a small body could ask for much of it. Nobody sends so many at once.
const MAX_SAMPLES: usize = 1 << 20;
const MAX_MESSAGES: usize = 1 << 20;
const MAX_SYMBOLS: usize = 2 << 20;

/// Refuses what no sender needs; see [`MAX_SAMPLES`].
fn within(len: usize, limit: usize, what: &'static str) -> Result<(), WireError> {
    if len < limit { Ok(()) } else { Err(WireError::malformed(what)) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    MetricName,
    Replica,
    Other,
}

/// Name and value of a label as they stand in the body.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Walks the series of a request.
pub struct WriteDecoder<'a> {
    version: Version,
    body: &'a [u8],
    fields: Fields<'a>,
    index: usize,
    replica_labels: &'a [String],
    symbols: Vec<&'a str>,
    invalid: Vec<u32>,
    pairs: Vec<Pair<'a>>,
    /// The pairs without those of replica labels.
    plain: Vec<Pair<'a>>,
    refs: Vec<u32>,
    /// Labels (in 2.0: references) beyond the limit, which are only counted.
    more_labels: usize,
    /// The names of the series before, when its labels were as they should be, and what kind of label each is: in 2.0 by reference, in 1.0 as they stand there.
    names: Vec<(u32, Kind)>,
    name_bytes: Vec<(&'a [u8], Kind)>,
    labels: Vec<u8>,
    replica: String,
    samples: Vec<FloatSample>,
    histograms: Vec<&'a [u8]>,
    exemplars: Vec<&'a [u8]>,
}

impl<'a> WriteDecoder<'a> {
    /// `body` is decompressed. Series have the labels named in `replica_labels` (sorted) taken out. Reads the symbol table of a 2.0 request.
    pub fn new(version: Version, body: &'a [u8], replica_labels: &'a [String]) -> Result<Self, WireError> {
        let mut d = WriteDecoder {
            version,
            body,
            fields: Fields::new(body),
            index: 0,
            replica_labels,
            symbols: Vec::new(),
            invalid: Vec::new(),
            pairs: Vec::new(),
            plain: Vec::new(),
            refs: Vec::new(),
            more_labels: 0,
            names: Vec::new(),
            name_bytes: Vec::new(),
            labels: Vec::new(),
            replica: String::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
        };
        if version == Version::V2 {
            d.read_symbols()?;
        }
        Ok(d)
    }

    /// The order of fields is free, so the whole request is walked once for its symbols; series are skipped in one step each.
    fn read_symbols(&mut self) -> Result<(), WireError> {
        let mut fields = Fields::new(self.body);
        while let Some((number, value)) = fields.next_field().map_err(|e| e.at("request", 0))? {
            if number == 4 {
                let i = self.symbols.len();
                let bytes = within(i, MAX_SYMBOLS, "more than 2097152 symbols").and_then(|()| value.bytes()).map_err(|e| e.at("symbol", i))?;
                self.symbols.push(std::str::from_utf8(bytes).unwrap_or_else(|_| {
                    self.invalid.push(i as u32);
                    "<invalid UTF-8>"
                }));
            }
        }
        Ok(())
    }

    /// The next series. After an error there is none.
    pub fn next_series(&mut self) -> Result<Option<Series<'_, 'a>>, WireError> {
        self.next_known(&mut |_| None)
    }

    /// The same; `known` is shown the label pairs of a series with samples, as they came and without the replica labels, before anything is done with
    /// them. When it knows them the series comes with that reference instead of labels.
    pub fn next_known(&mut self, known: &mut dyn FnMut(&[Pair<'a>]) -> Option<SeriesRef>) -> Result<Option<Series<'_, 'a>>, WireError> {
        let wanted = match self.version {
            Version::V1 => 1,
            Version::V2 => 5,
        };
        loop {
            let Some((number, value)) = self.fields.next_field().map_err(|e| e.at("request", 0))? else { return Ok(None) };
            if number != wanted {
                continue;
            }
            let index = self.index;
            self.index += 1;
            return self.series(value, index, known).map(Some).map_err(|e| e.at("time series", index));
        }
    }

    fn series(
        &mut self,
        value: Value<'a>,
        index: usize,
        known: &mut dyn FnMut(&[Pair<'a>]) -> Option<SeriesRef>,
    ) -> Result<Series<'_, 'a>, WireError> {
        self.pairs.clear();
        self.refs.clear();
        self.more_labels = 0;
        self.labels.clear();
        self.replica.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        let message = value.bytes()?;
        let (fault, metadata) = match self.version {
            Version::V1 => {
                self.fields_v1(message)?;
                (None, None)
            }
            Version::V2 => self.fields_v2(message)?,
        };
        let has_samples = !(self.samples.is_empty() && self.histograms.is_empty());
        let known = if fault.is_none() && has_samples && !self.pairs.is_empty() { self.ask(known) } else { None };
        let labels = match fault {
            Some(f) => Err(f),
            None if known.is_some() || self.pairs.is_empty() && !self.labels.is_empty() => Ok(()),
            None => self.push_labels(),
        };
        Ok(Series {
            index,
            known,
            replica_labels: self.replica_labels,
            labels: labels.map(|()| LabelsRef::from_encoded(&self.labels)),
            replica: &self.replica,
            samples: &self.samples,
            histograms: &self.histograms,
            exemplars: &self.exemplars,
            metadata,
            symbols: Symbols { strings: &self.symbols, invalid: &self.invalid },
            pairs: &self.pairs,
        })
    }

    #[inline]
    fn push_sample(&mut self, value: Value<'a>) -> Result<(), WireError> {
        within(self.samples.len(), MAX_SAMPLES, "more than 1048576 samples")?;
        self.samples.push(sample(value.bytes()?)?);
        Ok(())
    }

    fn push_histogram(&mut self, value: Value<'a>) -> Result<(), WireError> {
        within(self.histograms.len(), MAX_MESSAGES, "more than 1048576 histograms")?;
        self.histograms.push(value.bytes()?);
        Ok(())
    }

    fn push_exemplar(&mut self, value: Value<'a>) -> Result<(), WireError> {
        within(self.exemplars.len(), MAX_MESSAGES, "more than 1048576 exemplars")?;
        self.exemplars.push(value.bytes()?);
        Ok(())
    }

    /// Asks whether the labels are known, and sets the replica if they are.
    #[inline]
    fn ask(&mut self, known: &mut dyn FnMut(&[Pair<'a>]) -> Option<SeriesRef>) -> Option<SeriesRef> {
        let is_replica = |name: &[u8]| self.replica_labels.iter().any(|r| r.as_bytes() == name);
        if !self.pairs.iter().any(|(n, _)| is_replica(n)) {
            return known(&self.pairs);
        }
        // Its values are joined in order of their names.
        if !self.pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return None;
        }
        self.plain.clear();
        self.plain.extend(self.pairs.iter().filter(|(n, _)| !is_replica(n)));
        let id = known(&self.plain)?;
        for (_, value) in self.pairs.iter().filter(|(n, v)| is_replica(n) && !v.is_empty()) {
            let Ok(value) = std::str::from_utf8(value) else {
                self.replica.clear();
                return None;
            };
            if !self.replica.is_empty() {
                self.replica.push('/');
            }
            self.replica.push_str(value);
        }
        Some(id)
    }

    fn fields_v1(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let mut rest = message;
        loop {
            // As every encoder writes them: labels and samples with a length of one byte.
            match *rest {
                [] => return Ok(()),
                [0x0a, n @ 0..=127, ref tail @ ..] if tail.len() >= usize::from(n) && self.pairs.len() <= MAX_LABELS => {
                    let (message, tail) = tail.split_at(usize::from(n));
                    self.pairs.push(label(message)?);
                    rest = tail;
                    continue;
                }
                [0x12, n @ 0..=127, ref tail @ ..] if tail.len() >= usize::from(n) && self.samples.len() < MAX_SAMPLES => {
                    let (message, tail) = tail.split_at(usize::from(n));
                    self.samples.push(sample(message)?);
                    rest = tail;
                    continue;
                }
                _ => {}
            }
            let mut fields = Fields::new(rest);
            let Some((number, value)) = fields.next_field()? else { return Ok(()) };
            match number {
                1 if self.pairs.len() > MAX_LABELS => self.more_labels += 1,
                1 => self.pairs.push(label(value.bytes()?)?),
                2 => self.push_sample(value)?,
                3 => self.push_exemplar(value)?,
                4 => self.push_histogram(value)?,
                _ => {}
            }
            rest = fields.rest();
        }
    }

    fn fields_v2(&mut self, message: &'a [u8]) -> Result<(Option<LabelFault>, Option<(MetricType, u32, u32)>), WireError> {
        let mut metadata = None;
        let mut too_large = false;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => {
                    let (refs, mut more) = (&mut self.refs, 0);
                    proto::each_varint(value, |r| match u32::try_from(r) {
                        Ok(_) if refs.len() > 2 * MAX_LABELS => more += 1,
                        Ok(r) => refs.push(r),
                        Err(_) => too_large = true,
                    })?;
                    self.more_labels += more;
                }
                2 => self.push_sample(value)?,
                3 => self.push_histogram(value)?,
                4 => self.push_exemplar(value)?,
                5 => metadata = Some(metadata_refs(value.bytes()?)?),
                _ => {}
            }
        }
        if too_large {
            return Ok((Some(LabelFault::BadReference("label reference is larger than 32 bits".to_string())), metadata));
        }
        if self.more_labels > 0 {
            return Ok((Some(LabelFault::TooMany((self.refs.len() + self.more_labels) / 2)), metadata));
        }
        let (pairs, rest) = self.refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Ok((Some(LabelFault::BadReference(format!("an odd number of label references ({})", self.refs.len()))), metadata));
        }
        let count = pairs.len();
        if self.push_like_before(count) {
            return Ok((None, metadata));
        }
        self.labels.clear();
        self.replica.clear();
        self.names.clear();
        let (pairs, _) = self.refs.as_chunks::<2>();
        let symbols = Symbols { strings: &self.symbols, invalid: &self.invalid };
        for [name, value] in pairs {
            match (self.symbols.get(*name as usize), self.symbols.get(*value as usize)) {
                (Some(name), Some(value)) if self.invalid.is_empty() => self.pairs.push((name.as_bytes(), value.as_bytes())),
                _ => match (symbols.get(*name), symbols.get(*value)) {
                    (Ok(name), Ok(value)) => self.pairs.push((name.as_bytes(), value.as_bytes())),
                    (Err(e), _) | (_, Err(e)) => return Ok((Some(e), metadata)),
                },
            }
        }
        Ok((None, metadata))
    }

    /// Neighbouring series mostly have the same names. Then the names are known to be good and in order, and what is left to do is to copy. False when it is not so, or
    /// when there is anything to be said of the labels.
    fn push_like_before(&mut self, pairs: usize) -> bool {
        if self.names.is_empty() || self.names.len() != pairs || !self.invalid.is_empty() {
            return false;
        }
        let mut named = false;
        for (i, (name_ref, kind)) in self.names.iter().enumerate() {
            let (name, value) = (self.refs[2 * i], self.refs[2 * i + 1]);
            if name != *name_ref {
                return false;
            }
            let (Some(&name), Some(&value)) = (self.symbols.get(name as usize), self.symbols.get(value as usize)) else { return false };
            if value.is_empty() {
                continue;
            }
            if *kind == Kind::Replica {
                if !self.replica.is_empty() {
                    self.replica.push('/');
                }
                self.replica.push_str(value);
                continue;
            }
            named |= *kind == Kind::MetricName;
            let (Some(name), Some(value)) = (self.with_len(name), self.with_len(value)) else { return false };
            self.labels.extend_from_slice(name);
            self.labels.extend_from_slice(value);
        }
        named
    }

    /// A short string with the byte of its length before it, as it stands in the body and as labels are encoded; None when it is long.
    #[inline]
    fn with_len(&self, s: &'a str) -> Option<&'a [u8]> {
        let at = (s.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize)?;
        let found = self.body.get(at.checked_sub(1)?..at + s.len())?;
        (s.len() < 128 && usize::from(found[0]) == s.len()).then_some(found)
    }

    /// Remembers the names of a series whose labels were good, for the next one.
    fn remember_names(&mut self) {
        let kind_of = |name: &[u8]| match name {
            n if n == name::METRIC_NAME.as_bytes() => Kind::MetricName,
            n if self.replica_labels.iter().any(|r| r.as_bytes() == n) => Kind::Replica,
            _ => Kind::Other,
        };
        if self.pairs.iter().any(|p| p.0.is_empty()) {
            return;
        }
        if self.version == Version::V1 {
            self.name_bytes.extend(self.pairs.iter().map(|p| (p.0, kind_of(p.0))));
            return;
        }
        let (pairs, _) = self.refs.as_chunks::<2>();
        // They were in order: what is sorted is what came.
        let in_order = pairs.iter().zip(&self.pairs).all(|(r, p)| self.symbols.get(r[0] as usize).is_some_and(|s| s.as_bytes() == p.0));
        if in_order && pairs.len() == self.pairs.len() {
            self.names.extend(pairs.iter().zip(&self.pairs).map(|(r, p)| (r[0], kind_of(p.0))));
        }
    }

    /// Version 1.0: the names are those of the series before, so that they are known to be good and in order.
    fn are_names_as_before(&self) -> bool {
        self.name_bytes.len() == self.pairs.len() && self.name_bytes.iter().zip(&self.pairs).all(|((name, _), p)| *name == p.0)
    }

    /// Copies the pairs into `labels` and `replica`, sorting them first where the sender did not.
    fn push_labels(&mut self) -> Result<(), LabelFault> {
        if self.pairs.len() > MAX_LABELS {
            return Err(LabelFault::TooMany(self.pairs.len() + self.more_labels));
        }
        let known = self.are_names_as_before();
        if !known {
            self.name_bytes.clear();
            if !self.pairs.is_sorted_by(|a, b| a.0 < b.0) {
                self.pairs.sort_by_key(|(n, _)| *n);
                if let Some(twice) = self.pairs.windows(2).find(|w| w[0].0 == w[1].0) {
                    return Err(LabelFault::Duplicate(String::from_utf8_lossy(twice[0].0).into_owned()));
                }
            }
        }
        let (mut named, mut longest) = (false, 0);
        for (i, (name, value)) in self.pairs.iter().enumerate() {
            if value.is_empty() {
                continue;
            }
            longest = longest.max(name.len()).max(value.len());
            let is_replica = match self.name_bytes.get(i) {
                Some((_, kind)) => *kind == Kind::Replica,
                None => self.replica_labels.iter().any(|r| r.as_bytes() == *name),
            };
            if is_replica {
                if !self.replica.is_empty() {
                    self.replica.push('/');
                }
                self.replica.push_str(std::str::from_utf8(value).map_err(|_| LabelFault::InvalidUtf8)?);
                continue;
            }
            if name.is_empty() {
                return Err(LabelFault::EmptyName);
            }
            if longest > MAX_LEN {
                return Err(LabelFault::TooLong);
            }
            named |= match self.name_bytes.get(i) {
                Some((_, kind)) => *kind == Kind::MetricName,
                None => *name == name::METRIC_NAME.as_bytes(),
            };
            push_pair_bytes(&mut self.labels, name, value);
        }
        if self.version == Version::V1 && !self.is_utf8(longest) {
            return Err(LabelFault::InvalidUtf8);
        }
        if !named {
            return Err(LabelFault::NoMetricName);
        }
        if !known {
            self.remember_names();
        }
        Ok(())
    }

    /// As long as no string is longer than 127 bytes, their lengths are ASCII, which no UTF-8 sequence runs across: then one look at all of them
    /// together says the same as one look at each, and takes a fraction of the time.
    fn is_utf8(&self, longest: usize) -> bool {
        if longest < 128 {
            return std::str::from_utf8(&self.labels).is_ok();
        }
        self.pairs.iter().all(|(n, v)| std::str::from_utf8(n).is_ok() && std::str::from_utf8(v).is_ok())
    }

    /// The metadata of a 1.0 request: family name and what it is. Entries that are not UTF-8 are left out.
    pub fn metadata(&self) -> Result<Vec<(&'a str, Metadata)>, WireError> {
        let mut out = Vec::new();
        if self.version == Version::V2 {
            return Ok(out);
        }
        let mut fields = Fields::new(self.body);
        let mut index = 0;
        while let Some((number, value)) = fields.next_field().map_err(|e| e.at("request", 0))? {
            if number == 3 {
                out.extend(family_metadata(value.bytes()?).map_err(|e| e.at("metadata", index))?);
                index += 1;
            }
        }
        Ok(out)
    }
}

/// A label of version 1.0.
#[inline]
fn label(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    // As every encoder writes it: both fields, in order, with short lengths.
    if let [0x0a, n @ 0..=127, rest @ ..] = message
        && let Some((name, [0x12, v @ 0..=127, value @ ..])) = rest.split_at_checked(usize::from(*n))
        && value.len() == usize::from(*v)
    {
        return Ok((name, value));
    }
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Fields::new(message);
    while let Some((number, v)) = fields.next_field()? {
        match number {
            1 => name = v.bytes()?,
            2 => value = v.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

#[inline]
fn sample(message: &[u8]) -> Result<FloatSample, WireError> {
    // As every encoder writes it: value, then time; a zero may be left out.
    let (v, rest) = match message.split_first_chunk::<9>() {
        Some(([0x09, v @ ..], rest)) => (f64::from_le_bytes(*v), rest),
        _ => (0.0, message),
    };
    if let [0x10, t @ ..] = rest
        && let Some((t, n)) = uvarint(t)
        && n + 1 == rest.len()
    {
        return Ok(FloatSample { v, t_ms: t as i64, ..FloatSample::default() });
    }
    let mut s = FloatSample::default();
    let mut fields = Fields::new(message);
    while let Some((number, v)) = fields.next_field()? {
        match number {
            1 => s.v = v.double()?,
            2 => s.t_ms = v.int64()?,
            3 => s.start_ms = v.int64()?,
            _ => {}
        }
    }
    Ok(s)
}

fn metadata_refs(message: &[u8]) -> Result<(MetricType, u32, u32), WireError> {
    let mut m = (MetricType::Unknown, 0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, v)) = fields.next_field()? {
        match number {
            1 => m.0 = metric_type(v.varint()?),
            3 => m.1 = v.varint()? as u32,
            4 => m.2 = v.varint()? as u32,
            _ => {}
        }
    }
    Ok(m)
}

fn family_metadata(message: &[u8]) -> Result<Option<(&str, Metadata)>, WireError> {
    let (mut kind, mut texts) = (MetricType::Unknown, [&b""[..]; 3]);
    let mut fields = Fields::new(message);
    while let Some((number, v)) = fields.next_field()? {
        match number {
            1 => kind = metric_type(v.varint()?),
            2 => texts[0] = v.bytes()?,
            4 => texts[1] = v.bytes()?,
            5 => texts[2] = v.bytes()?,
            _ => {}
        }
    }
    let [family, help, unit] = texts.map(|t| std::str::from_utf8(t).ok());
    let (Some(family), Some(help), Some(unit)) = (family, help, unit) else { return Ok(None) };
    Ok(Some((family, Metadata { kind, help: help.to_string(), unit: unit.to_string() })))
}
