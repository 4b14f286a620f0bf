//! Samples on their way, and requests made of them.

use super::series::SendSeries;
use crate::wire::body::{Compressor, ContentEncoding};
use crate::wire::{FloatSample, HistogramAt, SeriesOut, Version, WireError, write1, write2};
use model::{Exemplar, FloatHistogram, Histogram};
use std::sync::Arc;
use storage::HistogramSample;

#[derive(Clone, Debug)]
pub(super) enum Value {
    Float { v: f64, start_ms: i64 },
    Int { h: Arc<Histogram>, start_ms: i64 },
    FloatHistogram { h: Arc<FloatHistogram>, start_ms: i64 },
    Exemplar(Arc<Exemplar>),
}

/// One sample of one series.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub series: Arc<SendSeries>,
    /// The tracker's entry that it belongs to.
    pub entry: u64,
    pub t_ms: i64,
    pub value: Value,
}

impl Item {
    fn is_exemplar(&self) -> bool {
        matches!(self.value, Value::Exemplar(_))
    }

    pub(super) fn is_histogram(&self) -> bool {
        matches!(self.value, Value::Int { .. } | Value::FloatHistogram { .. })
    }
}

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Counts {
    pub fn total(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }

    /// How many more of each there are here.
    pub(super) fn more_than(self, o: Counts) -> Counts {
        Counts {
            samples: self.samples.saturating_sub(o.samples),
            histograms: self.histograms.saturating_sub(o.histograms),
            exemplars: self.exemplars.saturating_sub(o.exemplars),
        }
    }
}

pub(super) fn count(items: &[Item]) -> Counts {
    let mut c = Counts::default();
    for i in items {
        match i.value {
            Value::Float { .. } => c.samples += 1,
            Value::Int { .. } | Value::FloatHistogram { .. } => c.histograms += 1,
            Value::Exemplar(_) => c.exemplars += 1,
        }
    }
    c
}

/// How often each entry occurs, neighbours joined.
pub(super) fn runs(items: &[Item]) -> Vec<(u64, u32)> {
    let mut out: Vec<(u64, u32)> = Vec::new();
    for i in items {
        match out.last_mut() {
            Some((entry, n)) if *entry == i.entry => *n += 1,
            _ => out.push((i.entry, 1)),
        }
    }
    out
}

/// Makes request bodies; keeps its memory. One for each sending task.
pub(super) struct Encoder {
    v2: write2::Writer,
    compressor: Compressor,
    plain: Vec<u8>,
    samples: Vec<FloatSample>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Encoder { v2: write2::Writer::new(), compressor: Compressor::new(), plain: Vec::new(), samples: Vec::new() }
    }

    /// A compressed body with all items, in their order; neighbours of one series together. `exemplars_alone`: the parent takes series that have nothing but exemplars; one that
    /// follows the specification of 2.0 does not.
    pub(super) fn encode(
        &mut self,
        items: &[Item],
        version: Version,
        encoding: ContentEncoding,
        exemplars_alone: bool,
    ) -> Result<Vec<u8>, WireError> {
        self.plain.clear();
        if version == Version::V2 && !exemplars_alone && items.iter().any(Item::is_exemplar) {
            // Exemplars stand behind the samples of their scrape: they are brought to the series that they belong to.
            let mut together = items.to_vec();
            together.sort_by_key(|i| Arc::as_ptr(&i.series).addr());
            together
                .chunk_by(|a, b| Arc::ptr_eq(&a.series, &b.series))
                .filter(|run| !run.iter().all(Item::is_exemplar))
                .for_each(|run| self.put(run, version));
        } else {
            items.chunk_by(|a, b| Arc::ptr_eq(&a.series, &b.series)).for_each(|run| self.put(run, version));
        }
        if version == Version::V2 {
            self.v2.finish(&mut self.plain);
        }
        let mut body = Vec::new();
        self.compressor.compress(encoding, &self.plain, &mut body)?;
        Ok(body)
    }

    fn put(&mut self, run: &[Item], version: Version) {
        self.samples.clear();
        let mut histograms: Vec<HistogramAt<'_>> = Vec::new();
        let mut exemplars: Vec<Exemplar> = Vec::new();
        for i in run {
            match &i.value {
                Value::Float { v, start_ms } => self.samples.push(FloatSample { t_ms: i.t_ms, v: *v, start_ms: *start_ms }),
                Value::Int { h, start_ms } => {
                    histograms.push(HistogramAt { t_ms: i.t_ms, start_ms: *start_ms, h: HistogramSample::Int(h) });
                }
                Value::FloatHistogram { h, start_ms } => {
                    histograms.push(HistogramAt { t_ms: i.t_ms, start_ms: *start_ms, h: HistogramSample::Float(h) });
                }
                Value::Exemplar(e) => exemplars.push(Exemplar::clone(e)),
            }
        }
        let series = &run[0].series;
        let out = SeriesOut {
            labels: series.labels.as_ref(),
            samples: &self.samples,
            histograms: &histograms,
            exemplars: &exemplars,
            metadata: series.metadata.as_deref(),
        };
        match version {
            Version::V1 => write1::put_series(&mut self.plain, &out),
            Version::V2 => self.v2.put_known(&out, &series.strings),
        }
    }
}
