//! After a start: the series that the log speaks of, with their references and the times of their newest samples. Samples themselves stay in the log.

use super::AgentDb;
use crate::db::DbError;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wal::record::{self, RefSample};
use wal::replay::LogReader;
use wal::{RecordType, WalError, checkpoint, repair};

struct Replay<'a> {
    db: &'a AgentDb,
    labels: Vec<u8>,
    samples: Vec<RefSample>,
    newest: HashMap<u64, i64, foldhash::fast::RandomState>,
    max_id: u64,
    records: u64,
    damage: Vec<wal::Corruption>,
}

impl AgentDb {
    pub(super) fn replay(&self) -> Result<(), DbError> {
        let started = self.options.clock.monotonic();
        let (fs, dir) = (&self.options.fs, self.wal.dir());
        let checkpoint = checkpoint::last(fs.as_ref(), dir)?;
        let first = checkpoint.as_ref().map_or(0, |c| c.segment + 1);
        // The log goes on in a new segment, to which nothing is written yet.
        let last = self.wal.end().segment.saturating_sub(1);
        let mut r =
            Replay { db: self, labels: Vec::new(), samples: Vec::new(), newest: HashMap::default(), max_id: 0, records: 0, damage: Vec::new() };
        if let Some(c) = &checkpoint {
            r.read(LogReader::open(Arc::clone(fs), &c.path, 0, u64::MAX)?)?;
        }
        r.read(LogReader::open(Arc::clone(fs), dir, first, last)?)?;
        let Replay { newest, max_id, records, damage, .. } = r;
        self.last_id.fetch_max(max_id, Ordering::Relaxed);
        {
            let index = self.index.read();
            for (id, t_ms) in newest {
                if let Some(slot) = index.slot_of(id) {
                    self.slot(slot).newest_ms.fetch_max(t_ms, Ordering::Relaxed);
                }
            }
        }
        for c in &damage {
            self.metrics.corruptions.inc();
            tracing::error!(damage = %c, "damaged place in the log; what stood in it is lost");
            repair::repair(fs, c)?;
        }
        let took = self.options.clock.monotonic() - started;
        self.metrics.replay_seconds.set(took.as_secs_f64());
        tracing::info!(records, series = self.series_count(), duration = ?took, "log replay completed");
        Ok(())
    }
}

impl Replay<'_> {
    fn read(&mut self, mut reader: LogReader) -> Result<(), WalError> {
        loop {
            match reader.next() {
                Ok(Some(r)) => {
                    self.records += 1;
                    let at = r.start;
                    if let Err(source) = take(r.bytes, self.db, &mut self.labels, &mut self.samples, &mut self.newest, &mut self.max_id) {
                        tracing::warn!(error = %WalError::Record { at, source }, "part of a log record makes no sense");
                    }
                }
                Ok(None) => return Ok(()),
                Err(WalError::Corrupt(c)) => self.damage.push(c),
                Err(e) => return Err(e),
            }
        }
    }
}

fn take(
    rec: &[u8],
    db: &AgentDb,
    labels: &mut Vec<u8>,
    samples: &mut Vec<RefSample>,
    newest: &mut HashMap<u64, i64, foldhash::fast::RandomState>,
    max_id: &mut u64,
) -> Result<(), record::RecordError> {
    use RecordType::*;
    let mut seen = |id: u64, t_ms: i64| {
        let n = newest.entry(id).or_insert(t_ms);
        *n = (*n).max(t_ms);
    };
    match RecordType::of(rec) {
        Some(Series) => record::decode_series(rec, labels, |id, of| {
            *max_id = (*max_id).max(id);
            // One that has labels which are refused now was written by another program: it is left to the log.
            if let Ok((slot, false)) = db.find_or_create(of, Some(id)) {
                let index = db.index.read().slot_of(id);
                if index.is_none() {
                    db.index.write().alias(id, slot);
                }
            }
        }),
        Some(Samples | SamplesV2) => {
            samples.clear();
            let result = record::decode_samples(rec, samples);
            samples.iter().for_each(|s| seen(s.series, s.t_ms));
            result
        }
        Some(Histograms | CustomHistograms | HistogramsV2) => record::decode_histograms(rec, |h| seen(h.series, h.t_ms)),
        Some(FloatHistograms | CustomFloatHistograms | FloatHistogramsV2) => record::decode_float_histograms(rec, |h| seen(h.series, h.t_ms)),
        _ => Ok(()),
    }
}
