//! Remote write 2.0 out: `io.prometheus.write.v2.Request`. Every string of a request stands once in its symbol table.
//!
//! The writer keeps its strings from request to request, so that in a steady state nothing is allocated: a string's number within the current
//! request is given when the request first uses it. A series that comes again and again remembers which strings are its own ([`Strings`]), so that they need not be looked
//! up. Neighbouring series share most of their strings, so each is first compared with the string at the same place of the series before.

use super::proto::{self, put_bytes_field, put_double_field, put_len_key, put_varint_field};
use super::{FloatSample, SeriesOut, histogram, metric_type_number};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::Exemplar;
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::Arc;
use stdx::varint::{put_uvarint, uvarint_len};

const SYMBOLS: u32 = 4;
const TIMESERIES: u32 = 5;
/// Strings that are kept between requests; past it all are forgotten at the next [`Writer::finish`].
const MAX_KEPT_BYTES: usize = 32 << 20;

/// Builds one request after another. One for each sending thread.
pub struct Writer {
    symbols: Symbols,
    /// The series of the request so far.
    series: Vec<u8>,
    /// The strings of the series before, and their numbers in this request.
    previous: Vec<u32>,
    refs: Vec<u32>,
    /// The strings of the series at hand.
    ids: Vec<u32>,
    /// What follows the samples of the series at hand.
    tail: Vec<u8>,
}

/// Which of a writer's strings a series has: its labels in their order, then help and unit. Only the writer that filled it in can read it.
#[derive(Debug, Default)]
pub struct Strings(Mutex<Option<(Arc<()>, Box<[u32]>)>>);

/// All strings ever seen, and which of them the current request uses.
struct Symbols {
    /// Changes when the strings are forgotten.
    epoch: Arc<()>,
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
            epoch: Arc::default(),
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
            self.epoch = Arc::default();
        }
        self.request += 1;
        self.table.clear();
        self.count = 0;
        self.number(b"");
    }

    fn number(&mut self, s: &[u8]) -> u32 {
        let id = self.id(s);
        self.number_of(id)
    }

    /// Which of all strings it is.
    fn id(&mut self, s: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(s);
        let found = self.index.find(hash, |i| {
            let k = self.strings[*i as usize];
            &self.bytes[k.start as usize..k.end as usize] == s
        });
        if let Some(i) = found {
            return *i;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(s);
        let i = self.strings.len() as u32;
        self.strings.push(Kept { start, end: self.bytes.len() as u32, request: 0, number: 0 });
        let (strings, bytes, hasher) = (&self.strings, &self.bytes, &self.hasher);
        self.index.insert_unique(hash, i, |i| {
            let k = strings[*i as usize];
            hasher.hash_one(&bytes[k.start as usize..k.end as usize])
        });
        i
    }

    /// Its number in this request.
    #[inline]
    fn number_of(&mut self, id: u32) -> u32 {
        let kept = &mut self.strings[id as usize];
        if kept.request != self.request {
            kept.request = self.request;
            kept.number = self.count;
            self.count += 1;
            put_bytes_field(&mut self.table, SYMBOLS, &self.bytes[kept.start as usize..kept.end as usize]);
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
        Writer { symbols: Symbols::new(), series: Vec::new(), previous: Vec::new(), refs: Vec::new(), ids: Vec::new(), tail: Vec::new() }
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
        self.find_strings(series);
        self.put(series);
    }

    /// The same for a series that comes again and again, always with the same labels and metadata.
    pub fn put_known(&mut self, series: &SeriesOut<'_>, strings: &Strings) {
        let mut known = strings.0.lock();
        match &*known {
            Some((epoch, ids)) if Arc::ptr_eq(epoch, &self.symbols.epoch) => {
                self.ids.clear();
                self.ids.extend_from_slice(ids);
            }
            _ => {
                self.find_strings(series);
                *known = Some((Arc::clone(&self.symbols.epoch), self.ids.as_slice().into()));
            }
        }
        drop(known);
        self.put(series);
    }

    fn find_strings(&mut self, series: &SeriesOut<'_>) {
        self.ids.clear();
        for s in series.labels.strings() {
            self.ids.push(self.symbols.id(s));
        }
        if let Some(m) = series.metadata {
            self.ids.push(self.symbols.id(m.help.as_bytes()));
            self.ids.push(self.symbols.id(m.unit.as_bytes()));
        }
    }

    /// Fills `refs` with the numbers of the strings at hand.
    fn number_strings(&mut self) {
        let known = self.refs.len();
        for (n, id) in self.ids.iter().enumerate() {
            if n < known {
                if self.previous[n] != *id {
                    self.refs[n] = self.symbols.number_of(*id);
                }
            } else {
                self.refs.push(self.symbols.number_of(*id));
            }
        }
        self.refs.truncate(self.ids.len());
        std::mem::swap(&mut self.previous, &mut self.ids);
    }

    fn put(&mut self, series: &SeriesOut<'_>) {
        self.number_strings();
        let of_metadata = if series.metadata.is_some() { 2 } else { 0 };
        let labels = self.refs.len() - of_metadata;
        self.tail.clear();
        for h in series.histograms {
            proto::put_message_field(&mut self.tail, 3, |out| histogram::encode(out, h, true));
        }
        for e in series.exemplars {
            self.put_exemplar(e);
        }
        if let Some(m) = series.metadata {
            let (help, unit) = (self.refs[labels], self.refs[labels + 1]);
            proto::put_message_field(&mut self.tail, 5, |out| {
                put_varint_field(out, 1, metric_type_number(m.kind));
                put_varint_field(out, 3, u64::from(help));
                put_varint_field(out, 4, u64::from(unit));
            });
        }
        let samples: usize = series.samples.iter().map(|s| proto::len_field_len(2, sample_len(s))).sum();
        let out = &mut self.series;
        put_len_key(out, TIMESERIES, proto::len_field_len(1, refs_len(&self.refs[..labels])) + samples + self.tail.len());
        put_refs(out, &self.refs[..labels]);
        for s in series.samples {
            put_len_key(out, 2, sample_len(s));
            put_double_field(out, 1, s.v);
            put_varint_field(out, 2, s.t_ms as u64);
            put_varint_field(out, 3, s.start_ms as u64);
        }
        out.extend_from_slice(&self.tail);
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
