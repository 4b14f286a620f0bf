//! The query log and the log of active queries.

use parking_lot::Mutex;
use promql::{ActiveQueries, QueryLog, QueryLogEntry};
use serde_json::json;
use std::path::Path;
use stdx::clock::SharedClock;
use stdx::fs::{File, Fs, Open};

/// `query_log_file`: one JSON object for each query.
pub struct QueryLogFile {
    file: Mutex<Box<dyn File>>,
    clock: SharedClock,
}

impl QueryLogFile {
    pub fn open(fs: &dyn Fs, path: &Path, clock: SharedClock) -> std::io::Result<Self> {
        Ok(QueryLogFile { file: Mutex::new(fs.open(path, Open::Append)?), clock })
    }
}

impl QueryLog for QueryLogFile {
    fn log(&self, e: &QueryLogEntry<'_>) -> Result<(), String> {
        let t = &e.stats.timings;
        let time = |ms: i64| model::time::format_rfc3339_ms(ms);
        let mut line = json!({
            "time": time(self.clock.now_ms()),
            "level": "INFO",
            "msg": "promql query logged",
            "params": {"query": e.query, "start": time(e.start_ms), "end": time(e.end_ms), "step": e.step_ms / 1000},
            "stats": {
                "timings": {
                    "evalTotalTime": t.eval_total.as_secs_f64(),
                    "resultSortTime": t.result_sort.as_secs_f64(),
                    "queryPreparationTime": t.query_preparation.as_secs_f64(),
                    "innerEvalTime": t.inner_eval.as_secs_f64(),
                    "execQueueTime": t.exec_queue.as_secs_f64(),
                    "execTotalTime": t.exec_total.as_secs_f64(),
                },
                "samples": {"totalQueryableSamples": e.stats.samples.total_queryable, "peakSamples": e.stats.samples.peak, "samplesRead": e.stats.samples.read},
            },
        });
        if let Some(error) = e.error {
            line["error"] = json!(error.to_string());
        }
        if !e.origin.is_empty() {
            line["httpRequest"] = e.origin.iter().map(|(n, v)| (n.clone(), json!(v))).collect::<serde_json::Map<_, _>>().into();
        }
        self.file.lock().append(format!("{line}\n").as_bytes()).map_err(|e| e.to_string())
    }
}

/// `queries.active`: what was running when the process died is logged at the next start. The file has a place for each query that may run; a
/// query is written into a free one and wiped when it has ended. Never synced: it tells of crashes of the process, not of the machine.
pub struct ActiveQueryFile {
    clock: SharedClock,
    state: Mutex<Places>,
}

struct Places {
    file: Option<Box<dyn File>>,
    free: Vec<u64>,
}

/// Bytes of one place.
const PLACE_BYTES: usize = 1000;

impl ActiveQueryFile {
    /// Reports what an earlier process left behind, then begins anew. A file that cannot be written is logged and done without.
    pub fn open(fs: &dyn Fs, dir: &Path, clock: SharedClock, max_concurrency: usize) -> Self {
        let path = dir.join("queries.active");
        if let Ok(left) = fs.read(&path) {
            let text = String::from_utf8_lossy(&left).into_owned();
            let queries: Vec<&str> = text.split(['\0', '[', ']']).map(|q| q.trim_matches([',', ' ', '\n'])).filter(|q| !q.is_empty()).collect();
            if !queries.is_empty() {
                tracing::info!(component = "activeQueryTracker", queries = %queries.join(","), "These queries didn't finish in prometheus' last run:");
            }
        }
        let file = fs.open(&path, Open::Truncate).and_then(|mut f| {
            f.append(b"[")?;
            f.set_len((1 + max_concurrency * PLACE_BYTES) as u64)?;
            Ok(f)
        });
        let file =
            file.inspect_err(|e| tracing::error!(component = "activeQueryTracker", file = %path.display(), err = %e, "create active query log")).ok();
        ActiveQueryFile { clock, state: Mutex::new(Places { file, free: (0..max_concurrency as u64).rev().collect() }) }
    }
}

/// What [`ActiveQueries::begin`] says when every place is taken.
const NO_PLACE: u64 = u64::MAX;

impl ActiveQueries for ActiveQueryFile {
    fn begin(&self, query: &str) -> u64 {
        let mut end = query.len();
        let entry = loop {
            let text = format!("{},", json!({"query": &query[..end], "timestamp_sec": self.clock.now_ms() / 1000}));
            if text.len() <= PLACE_BYTES {
                break text;
            }
            // Escapes may make the text longer than the query.
            end = end.saturating_sub((text.len() - PLACE_BYTES).max(1));
            while !query.is_char_boundary(end) {
                end -= 1;
            }
        };
        let mut s = self.state.lock();
        let Some(place) = s.free.pop() else { return NO_PLACE };
        if let Some(f) = &mut s.file {
            let _ = f.write_at(1 + place * PLACE_BYTES as u64, entry.as_bytes());
        }
        place
    }

    fn end(&self, place: u64) {
        if place == NO_PLACE {
            return;
        }
        let mut s = self.state.lock();
        if let Some(f) = &mut s.file {
            let _ = f.write_at(1 + place * PLACE_BYTES as u64, &[0; PLACE_BYTES]);
        }
        s.free.push(place);
    }
}
