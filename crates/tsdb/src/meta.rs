//! `meta.json` of a block: what it is, what it holds, and which blocks it was made from. Fields that are not known here (Thanos', Mimir's, a
//! newer Prometheus') are kept when the file is written again. Format in docs/formats/meta.md.

use crate::block::error::BlockError;
use crate::block::ulid::Ulid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;
use stdx::fs::{Fs, write_atomic};

pub const FILE_NAME: &str = "meta.json";
const VERSION: u32 = 1;
/// Larger files are not read.
const MAX_BYTES: u64 = 16 << 20;

pub const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
pub const HINT_STALE_SERIES: &str = "from-stale-series";
pub const HINT_SELECTED_SERIES: &str = "from-selected-series";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    pub ulid: Ulid,
    /// Samples have `min_time_ms <= t < max_time_ms`.
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
    #[serde(default)]
    pub stats: BlockStats,
    #[serde(default)]
    pub compaction: Compaction,
    pub version: u32,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn is_zero(v: &u64) -> bool {
    *v == 0
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compaction {
    /// 1 for a block made from the head; one more than the highest of its parents otherwise.
    #[serde(default)]
    pub level: u32,
    /// The blocks made from a head that went into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// It has no samples and may be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletable: bool,
    /// The blocks it was made from directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockDesc>,
    /// A compaction of it failed; it is not tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDesc {
    pub ulid: Ulid,
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
}

impl BlockMeta {
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Self, BlockError> {
        let path = dir.join(FILE_NAME);
        let len = fs.len(&path).map_err(BlockError::io("read", &path))?;
        if len > MAX_BYTES {
            return Err(BlockError::corrupt(&path, format!("{len} bytes are too many")));
        }
        let bytes = fs.read(&path).map_err(BlockError::io("read", &path))?;
        let meta: BlockMeta = serde_json::from_slice(&bytes).map_err(|e| BlockError::corrupt(&path, e.to_string()))?;
        if meta.version != VERSION {
            return Err(BlockError::corrupt(&path, format!("unexpected meta file version {}", meta.version)));
        }
        Ok(meta)
    }

    /// Puts the file in place; durable when it returns.
    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), BlockError> {
        let path = dir.join(FILE_NAME);
        write_atomic(fs, &path, &self.to_json()).map_err(BlockError::io("write", &path))
    }

    pub fn to_json(&self) -> Vec<u8> {
        let mut meta = self.clone();
        meta.version = VERSION;
        let mut out = Vec::new();
        let mut ser = serde_json::Serializer::with_formatter(&mut out, serde_json::ser::PrettyFormatter::with_indent(b"\t"));
        meta.serialize(&mut ser).expect("a meta is plain data with string keys");
        out
    }

    pub fn desc(&self) -> BlockDesc {
        BlockDesc { ulid: self.ulid, min_time_ms: self.min_time_ms, max_time_ms: self.max_time_ms }
    }

    pub fn has_hint(&self, hint: &str) -> bool {
        self.compaction.hints.iter().any(|h| h == hint)
    }

    pub fn add_hint(&mut self, hint: &str) {
        if !self.has_hint(hint) {
            self.compaction.hints.push(hint.to_string());
            self.compaction.hints.sort_unstable();
        }
    }

    /// Does the time from `start_ms` to `end_ms`, both included, touch the block?
    pub fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        self.min_time_ms <= end_ms && start_ms < self.max_time_ms
    }
}

#[cfg(test)]
#[path = "meta_tests.rs"]
mod tests;
