//! The records of one commit in one buffer, kept by the caller between commits so that its memory is used again.

use super::encode::*;
use super::{HeldRef, RefExemplar, RefHistogram, RefMetadata, RefSample, RefTombstone};
use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{FloatHistogram, Histogram, LabelsRef};
use std::borrow::Borrow;

/// Any number of records. Methods add one record each (histograms: as many as the format needs); nothing for an empty iterator.
#[derive(Clone, Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    start_timestamps: bool,
}

impl Records {
    /// With `start_timestamps`, samples and histograms are written as the second generation of records, which carry them and which Prometheus
    /// before 3.10 does not know.
    pub fn new(start_timestamps: bool) -> Self {
        Records { start_timestamps, ..Self::default() }
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| {
            let record = &self.bytes[*start..*end];
            *start = *end;
            Some(record)
        })
    }

    /// A record made elsewhere.
    pub fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    /// Ends the record that `encode` appended; takes it back when it is only a type byte.
    fn add(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        if self.bytes.len() - start <= 1 {
            self.bytes.truncate(start);
        } else {
            self.ends.push(self.bytes.len());
        }
    }

    pub fn series<'a>(&mut self, series: impl IntoIterator<Item = (u64, LabelsRef<'a>)>) {
        self.add(|out| encode_series(out, series));
    }

    pub fn samples(&mut self, samples: impl IntoIterator<Item = RefSample>) {
        if self.start_timestamps {
            self.add(|out| encode_samples_v2(out, samples));
        } else {
            self.add(|out| encode_samples(out, samples));
        }
    }

    pub fn histograms<H: Borrow<Histogram>, I>(&mut self, samples: I)
    where
        I: IntoIterator<Item = RefHistogram<H>>,
        I::IntoIter: Clone,
    {
        let samples = samples.into_iter();
        if self.start_timestamps {
            return self.add(|out| encode_histograms_v2(out, samples));
        }
        for custom in [false, true] {
            let part = samples.clone().filter(|s| (s.h.borrow().schema == CUSTOM_BUCKETS_SCHEMA) == custom);
            self.add(|out| encode_histograms(out, custom, part));
        }
    }

    pub fn float_histograms<H: Borrow<FloatHistogram>, I>(&mut self, samples: I)
    where
        I: IntoIterator<Item = RefHistogram<H>>,
        I::IntoIter: Clone,
    {
        let samples = samples.into_iter();
        if self.start_timestamps {
            return self.add(|out| encode_float_histograms_v2(out, samples));
        }
        for custom in [false, true] {
            let part = samples.clone().filter(|s| (s.h.borrow().schema == CUSTOM_BUCKETS_SCHEMA) == custom);
            self.add(|out| encode_float_histograms(out, custom, part));
        }
    }

    pub fn tombstones(&mut self, stones: impl IntoIterator<Item = RefTombstone>) {
        self.add(|out| encode_tombstones(out, stones));
    }

    pub fn exemplars<'a>(&mut self, exemplars: impl IntoIterator<Item = RefExemplar<LabelsRef<'a>>>) {
        self.add(|out| encode_exemplars(out, exemplars));
    }

    pub fn metadata<'a>(&mut self, metadata: impl IntoIterator<Item = RefMetadata<'a>>) {
        self.add(|out| encode_metadata(out, metadata));
    }

    pub fn held<'a>(&mut self, replica: &str, samples: impl IntoIterator<Item = (u64, i64, HeldRef<'a>)>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_some() {
            self.add(|out| encode_held(out, replica, samples));
        }
    }
}
