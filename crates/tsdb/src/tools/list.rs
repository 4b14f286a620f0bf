//! `tsdb list`: a table of blocks.

use super::{ToolError, go_duration, open_blocks};
use crate::block::Block;
use model::time::civil_from_days;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use stdx::fs::SharedFs;

const HEADER: [&str; 8] = ["BLOCK ULID", "MIN TIME", "MAX TIME", "DURATION", "NUM SAMPLES", "NUM CHUNKS", "NUM SERIES", "SIZE"];
/// As promtool's tabwriter is set.
const MIN_WIDTH: usize = 13;
const PADDING: usize = 2;

/// Prints all blocks of a data directory. A block that cannot be opened is an error that names it.
pub fn list(fs: &SharedFs, data_dir: &Path, human_readable: bool, out: &mut dyn Write) -> Result<(), ToolError> {
    let (blocks, broken) = open_blocks(fs, data_dir)?;
    if let Some((_, e)) = broken.into_iter().next() {
        return Err(e.into());
    }
    print(&blocks, true, human_readable, out)
}

/// Prints a table of blocks.
pub fn print(blocks: &[Arc<Block>], header: bool, human_readable: bool, out: &mut dyn Write) -> Result<(), ToolError> {
    let mut rows: Vec<[String; 8]> = Vec::new();
    if header {
        rows.push(HEADER.map(str::to_string));
    }
    for b in blocks {
        let m = b.meta();
        rows.push([
            m.ulid.to_string(),
            time(m.min_time_ms, human_readable),
            time(m.max_time_ms, human_readable),
            go_duration(m.max_time_ms.saturating_sub(m.min_time_ms)),
            m.stats.num_samples.to_string(),
            m.stats.num_chunks.to_string(),
            m.stats.num_series.to_string(),
            if human_readable { base2_bytes(b.size_bytes()) } else { b.size_bytes().to_string() },
        ]);
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count() + PADDING).max().unwrap_or(0).max(MIN_WIDTH);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    for r in &rows {
        let (last, cells) = r.split_last().expect("a row has eight cells");
        for (cell, width) in cells.iter().zip(&widths) {
            write!(out, "{cell:width$}")?;
        }
        writeln!(out, "{last}")?;
    }
    Ok(())
}

fn time(ms: i64, human_readable: bool) -> String {
    if !human_readable {
        return ms.to_string();
    }
    // Whole seconds, cut towards zero.
    let s = ms / 1000;
    let (y, m, d) = civil_from_days(s.div_euclid(86_400));
    let of_day = s.rem_euclid(86_400);
    format!("{y:04}-{m:02}-{d:02} {:02}:{:02}:{:02} +0000 UTC", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `1MiB512KiB`: every power of 1024 that is not zero.
fn base2_bytes(mut n: u64) -> String {
    if n == 0 {
        return "0B".to_string();
    }
    let mut parts = Vec::new();
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if !n.is_multiple_of(1024) {
            parts.push(format!("{}{unit}", n % 1024));
        }
        n /= 1024;
    }
    parts.reverse();
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_forms() {
        for (n, want) in [(0, "0B"), (1, "1B"), (1024, "1KiB"), (1_572_869, "1MiB512KiB5B"), (1 << 40, "1TiB")] {
            assert_eq!(base2_bytes(n), want);
        }
        assert_eq!(time(1_602_237_600_999, true), "2020-10-09 10:00:00 +0000 UTC");
        for (ms, want) in [(0, "0s"), (7_200_000, "2h0m0s"), (90_500, "1m30.5s"), (3, "3ms"), (-1500, "-1.5s")] {
            assert_eq!(go_duration(ms), want);
        }
    }
}
