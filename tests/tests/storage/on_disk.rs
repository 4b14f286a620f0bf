//! What a data directory holds besides samples, read from its files: exemplars in the log, in its checkpoint and in Prometheus' snapshot.
//! A program may have forgotten some of what it answered a moment ago before it ended; who takes over owes what is there.

use crate::contents::Contents;
use model::LabelsRef;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use stdx::fs::{RealFs, SharedFs};
use wal::WalError;
use wal::checkpoint;
use wal::record::{self, RecordType};
use wal::replay::LogReader;

#[derive(Default)]
pub struct OnDisk {
    /// In the form of [`crate::contents::exemplars`].
    pub exemplars: Contents,
    series: HashMap<u64, String>,
    scratch: Vec<u8>,
}

fn text(labels: LabelsRef<'_>) -> String {
    let all: BTreeMap<&str, &str> = labels.iter().collect();
    serde_json::to_string(&all).expect("labels are JSON")
}

impl OnDisk {
    pub fn of(data: &Path) -> OnDisk {
        let fs = RealFs::shared();
        let mut out = OnDisk::default();
        let wal = data.join("wal");
        let checkpoint = checkpoint::last(fs.as_ref(), &wal).expect("lists the log");
        if let Some(c) = &checkpoint {
            out.read(&fs, &c.path, 0, false);
        }
        out.read(&fs, &wal, checkpoint.map_or(0, |c| c.segment + 1), false);
        for e in std::fs::read_dir(data).expect("a directory").map(|e| e.expect("an entry")) {
            if e.file_name().to_string_lossy().starts_with("chunk_snapshot.") {
                out.series.clear();
                out.read(&fs, &e.path(), 0, true);
            }
        }
        for list in out.exemplars.values_mut() {
            list.sort();
            list.dedup();
        }
        out
    }

    fn read(&mut self, fs: &SharedFs, dir: &Path, first: u64, snapshot: bool) {
        let mut reader = LogReader::open(Arc::clone(fs), dir, first, u64::MAX).expect("opens");
        loop {
            let mut bytes = match reader.next() {
                Ok(Some(r)) => r.bytes.to_vec(),
                Ok(None) => return,
                // What a kill left unfinished.
                Err(WalError::Corrupt(_)) => continue,
                Err(e) => panic!("{}: {e}", dir.display()),
            };
            if snapshot {
                // Its own numbers for what else looks as in the log.
                bytes[0] = match bytes[0] {
                    1 => RecordType::Series as u8,
                    3 => RecordType::Exemplars as u8,
                    _ => continue,
                };
            }
            self.record(&bytes, snapshot);
        }
    }

    fn record(&mut self, bytes: &[u8], snapshot: bool) {
        let OnDisk { exemplars, series, scratch } = self;
        match RecordType::of(bytes) {
            Some(RecordType::Series) => {
                let mut n = 0;
                let whole = record::decode_series(bytes, scratch, |id, labels| {
                    // Behind the first a snapshot has the series' chunk.
                    if !snapshot || n == 0 {
                        series.insert(id, text(labels));
                    }
                    n += 1;
                });
                assert!(snapshot || whole.is_ok());
            }
            Some(RecordType::Exemplars) => record::decode_exemplars(bytes, scratch, |e| {
                if let Some(labels) = series.get(&e.series) {
                    let text = format!("\"{}\" {}", e.v, text(e.labels));
                    exemplars.entry(labels.clone()).or_default().push((e.t_ms, text));
                }
            })
            .expect("a whole record"),
            _ => {}
        }
    }
}

/// Those of `all` that are in `some` too.
pub fn both(all: &Contents, some: &Contents) -> Contents {
    let kept = all.iter().map(|(labels, list)| {
        let there = some.get(labels).map(Vec::as_slice).unwrap_or_default();
        (labels.clone(), list.iter().filter(|e| there.contains(e)).cloned().collect::<Vec<_>>())
    });
    kept.filter(|(_, list)| !list.is_empty()).collect()
}
