//! Records of the log as items for the shards.

use super::batch::{Counts, Item, Value};
use super::series::{Known, SeriesCache};
use super::shared::Shared;
use model::Exemplar;
use parking_lot::Mutex;
use std::sync::Arc;
use wal::RecordType;
use wal::record::{self, RecordError, RefSample};

/// What a record came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fed {
    pub items: u32,
    /// i64::MIN when it had no samples.
    pub newest_ms: i64,
}

/// Decodes records; keeps its memory. One for each reading thread.
pub(super) struct Feeder {
    shared: Arc<Shared>,
    cache: Arc<Mutex<SeriesCache>>,
    /// By shard; emptied by whoever takes them.
    pub staged: Vec<Vec<Item>>,
    samples: Vec<RefSample>,
    labels: Vec<u8>,
    /// Counts into the server-wide metrics: only one reader does.
    counts_in: bool,
}

/// Puts items to their shards.
struct Stage<'a> {
    staged: &'a mut [Vec<Item>],
    cache: &'a mut SeriesCache,
    entry: u64,
    fed: Fed,
    unknown: Counts,
    dropped: Counts,
}

impl Stage<'_> {
    #[inline]
    fn add(&mut self, series: u64, t_ms: i64, value: Value) {
        let kind = |c: &mut Counts| match value {
            Value::Float { .. } => c.samples += 1,
            Value::Exemplar(_) => c.exemplars += 1,
            _ => c.histograms += 1,
        };
        match self.cache.get(series) {
            Some(Known::Send(s)) => {
                let shard = (s.hash % self.staged.len() as u64) as usize;
                self.staged[shard].push(Item { series: Arc::clone(s), entry: self.entry, t_ms, value });
                self.fed.items += 1;
                self.fed.newest_ms = self.fed.newest_ms.max(t_ms);
            }
            Some(Known::Dropped) => kind(&mut self.dropped),
            None => kind(&mut self.unknown),
        }
    }
}

impl Feeder {
    pub(super) fn new(shared: Arc<Shared>, cache: Arc<Mutex<SeriesCache>>, shards: usize, counts_in: bool) -> Self {
        let staged = (0..shards).map(|_| Vec::new()).collect();
        Feeder { shared, cache, staged, samples: Vec::new(), labels: Vec::new(), counts_in }
    }

    pub(super) fn set_shards(&mut self, shards: usize) {
        self.staged = (0..shards).map(|_| Vec::new()).collect();
    }

    /// Stages the samples of a record under the tracker's next entry.
    pub(super) fn take(&mut self, rec: &[u8], entry: u64) -> Fed {
        let Some(kind) = RecordType::of(rec) else { return Fed::default() };
        let cache = Arc::clone(&self.cache);
        let mut cache = cache.lock();
        let fed = Fed { items: 0, newest_ms: i64::MIN };
        let mut stage = Stage { staged: &mut self.staged, cache: &mut cache, entry, fed, unknown: Counts::default(), dropped: Counts::default() };
        let m = &self.shared.metrics;
        let exemplars = self.shared.config.send_exemplars;
        let (result, word) = read(rec, kind, exemplars, &mut stage, &mut self.samples, &mut self.labels);
        m.record_read(word);
        if let Err(e) = result {
            m.decode_failures.inc();
            tracing::warn!(remote_name = %self.shared.name, error = %e, "part of a log record makes no sense, it is not sent");
        }
        if stage.dropped.total() > 0 {
            m.dropped("dropped_series", stage.dropped);
        }
        if stage.unknown.total() > 0 {
            m.dropped("unintentionally_dropped_series", stage.unknown);
        }
        let fed = stage.fed;
        if fed.newest_ms > i64::MIN {
            m.highest_in(fed.newest_ms);
        }
        if self.counts_in {
            m.samples_in(u64::from(fed.items));
        }
        fed
    }
}

fn read(
    rec: &[u8],
    kind: RecordType,
    exemplars: bool,
    stage: &mut Stage<'_>,
    samples: &mut Vec<RefSample>,
    labels: &mut Vec<u8>,
) -> (Result<(), RecordError>, &'static str) {
    use RecordType::*;
    match kind {
        Series => (record::decode_series(rec, labels, |id, l| stage.cache.put(id, l)), "series"),
        Samples | SamplesV2 => {
            samples.clear();
            let result = record::decode_samples(rec, samples);
            for s in samples.iter() {
                stage.add(s.series, s.t_ms, Value::Float { v: s.v, start_ms: s.start_ms });
            }
            (result, "samples")
        }
        Histograms | CustomHistograms | HistogramsV2 => {
            let each = |h: record::RefHistogram<model::Histogram>| {
                stage.add(h.series, h.t_ms, Value::Int { h: Arc::new(h.h), start_ms: h.start_ms });
            };
            (record::decode_histograms(rec, each), "histogram_samples")
        }
        FloatHistograms | CustomFloatHistograms | FloatHistogramsV2 => {
            let each = |h: record::RefHistogram<model::FloatHistogram>| {
                stage.add(h.series, h.t_ms, Value::FloatHistogram { h: Arc::new(h.h), start_ms: h.start_ms });
            };
            (record::decode_float_histograms(rec, each), "float_histogram_samples")
        }
        Exemplars if exemplars => {
            let each = |e: record::RefExemplar<model::LabelsRef<'_>>| {
                let value = Exemplar { labels: e.labels.to_labels(), value: e.v, t_ms: Some(e.t_ms) };
                stage.add(e.series, e.t_ms, Value::Exemplar(Arc::new(value)));
            };
            (record::decode_exemplars(rec, labels, each), "exemplars")
        }
        Exemplars => (Ok(()), "exemplars"),
        Metadata => {
            let each = |m: record::RefMetadata<'_>| {
                stage.cache.put_metadata(m.series, model::Metadata { kind: m.kind, help: m.help.to_string(), unit: m.unit.to_string() });
            };
            (record::decode_metadata(rec, each), "metadata")
        }
        Tombstones => (Ok(()), "tombstones"),
        MmapMarkers | Held | References => (Ok(()), "unknown"),
    }
}
