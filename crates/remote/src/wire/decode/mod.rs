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

/// At most so many labels may a series have.
pub const MAX_LABELS: usize = 1024;

/// Walks the series of a request.
pub struct WriteDecoder<'a> {
    version: Version,
    body: &'a [u8],
    fields: Fields<'a>,
    index: usize,
    replica_labels: &'a [String],
    symbols: Vec<&'a str>,
    invalid: Vec<u32>,
    pairs: Vec<(&'a [u8], &'a [u8])>,
    refs: Vec<u32>,
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
            refs: Vec::new(),
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
                let bytes = value.bytes().map_err(|e| e.at("symbol", i))?;
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
            return self.series(value, index).map(Some).map_err(|e| e.at("time series", index));
        }
    }

    fn series(&mut self, value: Value<'a>, index: usize) -> Result<Series<'_, 'a>, WireError> {
        self.pairs.clear();
        self.refs.clear();
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
        let labels = match fault {
            Some(f) => Err(f),
            None => self.push_labels(),
        };
        Ok(Series {
            index,
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

    fn fields_v1(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => self.pairs.push(label(value.bytes()?)?),
                2 => self.samples.push(sample(value.bytes()?)?),
                3 => self.exemplars.push(value.bytes()?),
                4 => self.histograms.push(value.bytes()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn fields_v2(&mut self, message: &'a [u8]) -> Result<(Option<LabelFault>, Option<(MetricType, u32, u32)>), WireError> {
        let mut metadata = None;
        let mut too_large = false;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                1 => {
                    let refs = &mut self.refs;
                    proto::each_varint(value, |r| match u32::try_from(r) {
                        Ok(r) => refs.push(r),
                        Err(_) => too_large = true,
                    })?;
                }
                2 => self.samples.push(sample(value.bytes()?)?),
                3 => self.histograms.push(value.bytes()?),
                4 => self.exemplars.push(value.bytes()?),
                5 => metadata = Some(metadata_refs(value.bytes()?)?),
                _ => {}
            }
        }
        if too_large {
            return Ok((Some(LabelFault::BadReference("label reference is larger than 32 bits".to_string())), metadata));
        }
        let (pairs, rest) = self.refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Ok((Some(LabelFault::BadReference(format!("an odd number of label references ({})", self.refs.len()))), metadata));
        }
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

    /// Copies the pairs into `labels` and `replica`, sorting them first where the sender did not.
    fn push_labels(&mut self) -> Result<(), LabelFault> {
        if self.pairs.len() > MAX_LABELS {
            return Err(LabelFault::TooMany(self.pairs.len()));
        }
        if !self.pairs.is_sorted_by(|a, b| a.0 < b.0) {
            self.pairs.sort_by_key(|(n, _)| *n);
            if let Some(twice) = self.pairs.windows(2).find(|w| w[0].0 == w[1].0) {
                return Err(LabelFault::Duplicate(String::from_utf8_lossy(twice[0].0).into_owned()));
            }
        }
        let (mut named, mut longest) = (false, 0);
        for (name, value) in &self.pairs {
            if value.is_empty() {
                continue;
            }
            longest = longest.max(name.len()).max(value.len());
            if self.replica_labels.iter().any(|r| r.as_bytes() == *name) {
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
            named |= *name == name::METRIC_NAME.as_bytes();
            push_pair_bytes(&mut self.labels, name, value);
        }
        if self.version == Version::V1 && !self.is_utf8(longest) {
            return Err(LabelFault::InvalidUtf8);
        }
        if named { Ok(()) } else { Err(LabelFault::NoMetricName) }
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
