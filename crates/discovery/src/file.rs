//! Targets from files, JSON or YAML. Files are looked at every two seconds and read when their stamp has changed, all of them at each
//! refresh interval; a file that cannot be read keeps the groups it had.

use crate::error::Error;
use crate::group::{self, TargetGroup};
use crate::provider::{Context, Updates};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stdx::fs::Fs;
use yaml::{FilePath, Millis};

const POLL: Duration = Duration::from_secs(2);
/// A larger file is refused.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// A file changed less than this before it was read is read again: its stamp may be too coarse to show a second change.
const YOUNG_MS: i64 = 2_000;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct FileConfig as "file.plain" check(FileConfig::check) {
        /// The last path element may hold one `*`.
        pub files: Vec<FilePath> => always;
        pub refresh_interval: Millis = Millis::from_mins(5);
    }
}

impl FileConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("file service discovery config must contain at least one path name".into());
        }
        match self.files.iter().find(|f| !is_pattern(f.as_str())) {
            Some(f) => Err(format!("path name {:?} is not valid for file discovery", f.as_str())),
            None => Ok(()),
        }
    }
}

/// `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`
fn is_pattern(path: &str) -> bool {
    let Some((stem, ext)) = path.rsplit_once('.') else { return false };
    let known = matches!(ext, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML");
    known && stem.split_once('*').is_none_or(|(_, rest)| !rest.contains('/'))
}

#[derive(Clone)]
struct Read {
    modified_ms: i64,
    len: u64,
    at_ms: i64,
    groups: Vec<TargetGroup>,
}

pub(crate) async fn run(config: FileConfig, cx: Context, updates: Updates) {
    let mut seen: Arc<BTreeMap<PathBuf, Read>> = Arc::default();
    let mut since_refresh = Duration::MAX;
    loop {
        let all = since_refresh >= config.refresh_interval.duration();
        since_refresh = if all { Duration::ZERO } else { since_refresh };
        let (files, metrics_cx, before) = (config.files.clone(), cx.clone(), Arc::clone(&seen));
        // Files may lie on a slow disk.
        let scanned = tokio::task::spawn_blocking(move || scan(&files, &before, all, &metrics_cx)).await;
        if let Ok(Some(now)) = scanned {
            for gone in seen.keys().filter(|k| !now.contains_key(*k)) {
                cx.metrics.file_mtime.remove(&[&gone.to_string_lossy()]);
            }
            updates.replace(now.values().flat_map(|r| r.groups.iter().cloned()).collect());
            seen = Arc::new(now);
        }
        let wait = POLL.min(config.refresh_interval.duration()).max(Duration::from_millis(100));
        tokio::time::sleep(wait).await;
        since_refresh = since_refresh.saturating_add(wait);
    }
}

/// None when nothing has changed.
fn scan(files: &[FilePath], before: &BTreeMap<PathBuf, Read>, all: bool, cx: &Context) -> Option<BTreeMap<PathBuf, Read>> {
    let (fs, clock) = (&*cx.options.http.fs, &cx.options.http.clock);
    let start = clock.monotonic();
    let paths = files.iter().flat_map(|f| stdx::fs::glob(fs, f.as_str()));
    let mut now = BTreeMap::new();
    let mut changed = all;
    for path in paths {
        let stamp = fs.modified_ms(&path).and_then(|m| fs.len(&path).map(|l| (m, l)));
        let old = before.get(&path);
        if let (Some(r), Ok((modified_ms, len)), false) = (old, &stamp, all)
            && (r.modified_ms, r.len) == (*modified_ms, *len)
            && r.at_ms - modified_ms > YOUNG_MS
        {
            now.insert(path, r.clone());
            continue;
        }
        changed = true;
        let at_ms = clock.now_ms();
        let read = stamp
            .map_err(|source| Error::Io { path: path.display().to_string(), source })
            .and_then(|(modified_ms, len)| Ok(Read { modified_ms, len, at_ms, groups: read_file(fs, &path, len)? }));
        match read {
            Ok(r) => {
                cx.metrics.file_mtime.with(&[&path.to_string_lossy()]).set(r.modified_ms as f64 / 1000.0);
                now.insert(path, r);
            }
            Err(e) => {
                cx.metrics.file_read_errors.inc();
                tracing::error!(discovery = "file", config = cx.job, path = %path.display(), err = %e, "error reading file");
                if let Some(r) = old {
                    // Keeps the old stamp, so that it is tried again.
                    now.insert(path, r.clone());
                }
            }
        }
    }
    changed |= now.len() != before.len();
    cx.metrics.file_scan_duration.observe(clock.monotonic().saturating_sub(start).as_secs_f64());
    changed.then_some(now)
}

/// The groups of a file, once: for who checks it.
pub fn read_targets(fs: &dyn Fs, path: &Path) -> Result<Vec<TargetGroup>, Error> {
    let io = |source| Error::Io { path: path.display().to_string(), source };
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    if !matches!(extension.to_ascii_lowercase().as_str(), ".json" | ".yml" | ".yaml") {
        return Err(Error::invalid(format!("invalid file extension: {extension:?}")));
    }
    read_file(fs, path, fs.len(path).map_err(io)?)
}

fn read_file(fs: &dyn Fs, path: &Path, len: u64) -> Result<Vec<TargetGroup>, Error> {
    if len > MAX_FILE_BYTES {
        return Err(Error::invalid(format!("file is larger than {MAX_FILE_BYTES} bytes")));
    }
    let name = path.to_string_lossy();
    let bytes = fs.read(path).map_err(|source| Error::Io { path: name.to_string(), source })?;
    let groups = match path.extension().map(|e| e.eq_ignore_ascii_case("json")) {
        Some(true) => group::from_json(&bytes)?,
        _ => group::from_yaml(std::str::from_utf8(&bytes).map_err(|_| Error::invalid("file is not UTF-8"))?)?,
    };
    let label = |(i, g): (usize, TargetGroup)| TargetGroup { source: format!("{name}:{i}"), ..g }.with_label("__meta_filepath", &name);
    Ok(groups.into_iter().enumerate().map(label).collect())
}
