//! Remote write 2.0 out: `io.prometheus.write.v2.Request`. Every string of a request stands once in its symbol table.
//!
//! The writer keeps its strings from request to request, so that in a steady state nothing is allocated: a string's number within the current
//! request is given when the request first uses it. Neighbouring series share most of their strings, so each is first compared with the string
//! at the same place of the series before.

use super::proto::{self, put_bytes_field, put_double_field, put_len_key, put_varint_field};
use super::{FloatSample, SeriesOut, histogram, metric_type_number};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::{Exemplar, LabelsRef};
use std::hash::BuildHasher;
use stdx::varint::{put_uvarint, uvarint_len};

const SYMBOLS: u32 = 4;
const TIMESERIES: u32 = 5;
/// Strings that are kept between requests; past it all are forgotten at the next [`Writer::finish`].
const MAX_KEPT_BYTES: usize = 8 << 20;

/// Builds one request after another. One for each sending thread.
pub struct Writer {
    symbols: Symbols,
    /// The series of the request so far.
    series: Vec<u8>,
    /// The labels of the series before, and the numbers of their strings.
    previous: Vec<u8>,
    refs: Vec<u32>,
    /// What follows the samples of the series at hand.
    tail: Vec<u8>,
}

/// All strings ever seen, and which of them the current request uses.
struct Symbols {
    hasher: RandomState,
    index: HashTable<u32>,
    bytes: Vec<u8>,
    /// By string: where it ends in `bytes`, the request that used it last, its number in that request.
    strings: Vec<Kept>,
    request: u32,
    /// The request's symbol table as written so far, and how many strings are in it.
    table: Vec<u8>,
    count: u32,
}

#[derive(Clone, Copy)]
struct Kept {
    start: u32,
    end: u32,
    request: u32,
    number: u32,
}

impl Symbols {
    fn new() -> Self {
        let mut s = Symbols {
            hasher: RandomState::default(),
            index: HashTable::new(),
            bytes: Vec::new(),
            strings: Vec::new(),
            request: 0,
            table: Vec::new(),
            count: 0,
        };
        s.begin();
        s
    }

    /// The specification wants the empty string to be number 0.
    fn begin(&mut self) {
        if self.bytes.len() > MAX_KEPT_BYTES || self.request == u32::MAX {
            self.index.clear();
            self.bytes.clear();
            self.strings.clear();
            self.request = 0;
        }
        self.request += 1;
        self.table.clear();
        self.count = 0;
        self.number(b"");
    }

    fn number(&mut self, s: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(s);
        let found = self.index.find(hash, |i| {
            let k = self.strings[*i as usize];
            &self.bytes[k.start as usize..k.end as usize] == s
        });
        let i = match found {
            Some(i) => *i as usize,
            None => {
                let start = self.bytes.len() as u32;
                self.bytes.extend_from_slice(s);
                let i = self.strings.len();
                self.strings.push(Kept { start, end: self.bytes.len() as u32, request: 0, number: 0 });
                let (strings, bytes, hasher) = (&self.strings, &self.bytes, &self.hasher);
                self.index.insert_unique(hash, i as u32, |i| {
                    let k = strings[*i as usize];
                    hasher.hash_one(&bytes[k.start as usize..k.end as usize])
                });
                i
            }
        };
        let kept = &mut self.strings[i];
        if kept.request != self.request {
            kept.request = self.request;
            kept.number = self.count;
            self.count += 1;
            put_bytes_field(&mut self.table, SYMBOLS, s);
        }
        kept.number
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

fn sample_len(s: &FloatSample) -> usize {
    proto::double_field_len(1, s.v) + proto::varint_field_len(2, s.t_ms as u64) + proto::varint_field_len(3, s.start_ms as u64)
}

fn refs_len(refs: &[u32]) -> usize {
    refs.iter().map(|r| uvarint_len(u64::from(*r))).sum()
}

fn put_refs(out: &mut Vec<u8>, refs: &[u32]) {
    put_len_key(out, 1, refs_len(refs));
    refs.iter().for_each(|r| put_uvarint(out, u64::from(*r)));
}

impl Writer {
    pub fn new() -> Self {
        Writer { symbols: Symbols::new(), series: Vec::new(), previous: Vec::new(), refs: Vec::new(), tail: Vec::new() }
    }

    /// Bytes of the request as it would be now.
    pub fn len(&self) -> usize {
        self.symbols.table.len() + self.series.len()
    }

    /// No series was put yet.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Adds one series to the request.
    pub fn put_series(&mut self, series: &SeriesOut<'_>) {
        self.number_labels(series.labels);
        self.tail.clear();
        for h in series.histograms {
            proto::put_message_field(&mut self.tail, 3, |out| histogram::encode(out, h, true));
        }
        for e in series.exemplars {
            self.put_exemplar(e);
        }
        if let Some(m) = series.metadata {
            let (help, unit) = (self.symbols.number(m.help.as_bytes()), self.symbols.number(m.unit.as_bytes()));
            proto::put_message_field(&mut self.tail, 5, |out| {
                put_varint_field(out, 1, metric_type_number(m.kind));
                put_varint_field(out, 3, u64::from(help));
                put_varint_field(out, 4, u64::from(unit));
            });
        }
        let samples: usize = series.samples.iter().map(|s| proto::len_field_len(2, sample_len(s))).sum();
        let out = &mut self.series;
        put_len_key(out, TIMESERIES, proto::len_field_len(1, refs_len(&self.refs)) + samples + self.tail.len());
        put_refs(out, &self.refs);
        for s in series.samples {
            put_len_key(out, 2, sample_len(s));
            put_double_field(out, 1, s.v);
            put_varint_field(out, 2, s.t_ms as u64);
            put_varint_field(out, 3, s.start_ms as u64);
        }
        out.extend_from_slice(&self.tail);
    }

    /// Fills `refs` with the numbers of the labels' strings.
    fn number_labels(&mut self, labels: LabelsRef<'_>) {
        let mut previous = LabelsRef::from_encoded(&self.previous).strings();
        let known = self.refs.len();
        let mut n = 0;
        for s in labels.strings() {
            let same = n < known && previous.next() == Some(s);
            if !same {
                let number = self.symbols.number(s);
                match self.refs.get_mut(n) {
                    Some(r) => *r = number,
                    None => self.refs.push(number),
                }
            }
            n += 1;
        }
        self.refs.truncate(n);
        self.previous.clear();
        self.previous.extend_from_slice(labels.encoded());
    }

    fn put_exemplar(&mut self, e: &Exemplar) {
        let refs: Vec<u32> = e.labels.as_ref().strings().map(|s| self.symbols.number(s)).collect();
        proto::put_message_field(&mut self.tail, 4, |out| {
            if !refs.is_empty() {
                put_refs(out, &refs);
            }
            put_double_field(out, 2, e.value);
            put_varint_field(out, 3, e.t_ms.unwrap_or(0) as u64);
        });
    }

    /// Appends the request to `out` and begins the next one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.reserve(self.len());
        out.extend_from_slice(&self.symbols.table);
        out.extend_from_slice(&self.series);
        self.clear();
    }

    /// Forgets what was put and begins the next request.
    pub fn clear(&mut self) {
        self.series.clear();
        self.previous.clear();
        self.refs.clear();
        self.symbols.begin();
    }
}
