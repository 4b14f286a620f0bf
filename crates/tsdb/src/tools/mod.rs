//! What `narthex tsdb` does with blocks: list, analyze, dump, verify, create-blocks-from. Output as promtool prints it.
//!
//! Everything writes to a given [`std::io::Write`] and reads through a given file system; the command line is the binary's.

pub mod analyze;
pub mod dump;
pub mod import;
pub mod list;
pub mod verify;

use crate::block::{self, Block, BlockError, Ulid};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stdx::fs::SharedFs;
use storage::ReadError;

#[derive(Debug)]
pub enum ToolError {
    Block(BlockError),
    Read(ReadError),
    Output(io::Error),
    /// The user asked for something that is not there.
    NotFound(String),
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolError::Block(e) => e.fmt(f),
            ToolError::Read(e) => e.fmt(f),
            ToolError::Output(e) => write!(f, "write output: {e}"),
            ToolError::NotFound(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ToolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ToolError::Block(e) => Some(e),
            ToolError::Read(e) => Some(e),
            ToolError::Output(e) => Some(e),
            ToolError::NotFound(_) => None,
        }
    }
}

impl From<BlockError> for ToolError {
    fn from(e: BlockError) -> Self {
        ToolError::Block(e)
    }
}

impl From<ReadError> for ToolError {
    fn from(e: ReadError) -> Self {
        ToolError::Read(e)
    }
}

impl From<io::Error> for ToolError {
    fn from(e: io::Error) -> Self {
        ToolError::Output(e)
    }
}

/// Opens every block of a data directory without changing anything: those that can be read, by start of time, and those that cannot. Blocks
/// that another one was made from are left out.
pub fn open_blocks(fs: &SharedFs, data_dir: &Path) -> Result<(Vec<Arc<Block>>, Vec<(PathBuf, BlockError)>), BlockError> {
    let (dirs, _) = block::list_dirs(fs, data_dir)?;
    let (mut blocks, mut broken) = (Vec::new(), Vec::new());
    for dir in dirs {
        match Block::open(fs, &dir) {
            Ok(b) => blocks.push(b),
            Err(e) => broken.push((dir, e)),
        }
    }
    let gone = crate::compact::superseded(&blocks.iter().map(|b| b.meta()).collect::<Vec<_>>());
    blocks.retain(|b| !gone.contains(&b.ulid()));
    blocks.sort_by_key(|b| (b.meta().min_time_ms, b.ulid()));
    Ok((blocks, broken))
}

/// Opens a block by its name, or the newest one when the name is empty.
pub fn open_block(fs: &SharedFs, data_dir: &Path, name: &str) -> Result<Arc<Block>, ToolError> {
    let dir = if name.is_empty() {
        let (dirs, _) = block::list_dirs(fs, data_dir)?;
        dirs.into_iter().max().ok_or_else(|| ToolError::NotFound("no blocks found".to_string()))?
    } else {
        let ulid: Ulid = name.parse().map_err(|e| ToolError::NotFound(format!("block {name}: {e}")))?;
        let dir = data_dir.join(ulid.to_string());
        if !fs.exists(&dir) {
            return Err(ToolError::NotFound(format!("block {name} not found in {}", data_dir.display())));
        }
        dir
    };
    Ok(Block::open(fs, &dir)?)
}

/// Milliseconds as Go prints a `time.Duration`: `2h0m0s`, `1.5s`, `3ms`.
pub(crate) fn go_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let (total_s, rest) = (ms / 1000, ms % 1000);
    let mut seconds = (total_s % 60).to_string();
    if rest != 0 {
        let fraction = format!(".{rest:03}");
        seconds.push_str(fraction.trim_end_matches('0'));
    }
    match (total_s / 3600, total_s / 60 % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
