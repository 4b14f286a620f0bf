//! Prometheus' `chunk_snapshot.*`: what it writes at a clean stop with the feature memory-snapshot-on-shutdown.
//!
//! Samples and tombstones in it are also in the log. Exemplars may not be: the log forgets those that are older than the head. So only they are
//! taken from it. Each record is `type (1 byte) | body`: 1 a series (`reference (8) | labels | ...`), 2 tombstones, 3 exemplars, whose body is that of
//! an exemplar record of the log.

use super::Head;
use model::{Exemplar, Labels, LabelsRef};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::SharedFs;
use wal::WalError;
use wal::record::{RecordType, decode_exemplars, decode_series};
use wal::replay::LogReader;

pub const CHUNK_SNAPSHOT_PREFIX: &str = "chunk_snapshot.";

const SERIES: u8 = 1;
const EXEMPLARS: u8 = 3;

/// Takes the exemplars of the newest snapshot over. What cannot be read is left out: it is a shortcut, not the truth.
pub(crate) fn take_exemplars(fs: &SharedFs, dir: &Path, head: &Head) {
    let Some(newest) = newest(fs, dir).filter(|_| head.exemplars.enabled()) else { return };
    let mut all = Vec::new();
    if let Err(e) = read(fs, &newest, &mut |labels, exemplar| all.push((labels.clone(), exemplar))) {
        head.metrics.snapshot_replay_errors.inc();
        tracing::warn!(snapshot = %newest.display(), error = %e, "Prometheus' snapshot cannot be read; some exemplars are left out");
    }
    // Its ring need not be in order of time when it was filled from a log itself.
    all.sort_by_key(|(_, e): &(Labels, Exemplar)| e.t_ms);
    let n = all.into_iter().filter(|(labels, e)| head.exemplars.add(labels, e.clone(), &head.metrics)).count();
    tracing::info!(snapshot = %newest.display(), exemplars = n, "took exemplars over from Prometheus' snapshot");
}

/// Names are `chunk_snapshot.<segment>.<offset>`, padded with zeros.
fn newest(fs: &SharedFs, dir: &Path) -> Option<PathBuf> {
    let names = fs.list(dir).ok()?;
    let named = names.into_iter().filter(|e| e.is_dir && e.name.starts_with(CHUNK_SNAPSHOT_PREFIX) && !e.name.ends_with(".tmp"));
    named.map(|e| e.name).max().map(|name| dir.join(name))
}

fn read(fs: &SharedFs, dir: &Path, each: &mut dyn FnMut(&Labels, Exemplar)) -> Result<(), WalError> {
    let mut reader = LogReader::open(Arc::clone(fs), dir, 0, u64::MAX)?;
    let mut series: HashMap<u64, Labels> = HashMap::new();
    let (mut record, mut scratch) = (Vec::new(), Vec::new());
    while let Some(r) = reader.next()? {
        record.clear();
        record.extend_from_slice(r.bytes);
        match record.first() {
            Some(&SERIES) => {
                // Behind reference and labels, which stand as in the log, comes what is not needed here and decodes to nothing.
                record[0] = RecordType::Series as u8;
                let mut first = true;
                let _ = decode_series(&record, &mut scratch, |id, labels: LabelsRef<'_>| {
                    if std::mem::take(&mut first) {
                        series.insert(id, labels.to_labels());
                    }
                });
            }
            Some(&EXEMPLARS) => {
                record[0] = RecordType::Exemplars as u8;
                let _ = decode_exemplars(&record, &mut scratch, |e| {
                    if let Some(labels) = series.get(&e.series) {
                        each(labels, Exemplar { labels: e.labels.to_labels(), value: e.v, t_ms: Some(e.t_ms) });
                    }
                });
            }
            _ => {}
        }
    }
    Ok(())
}
