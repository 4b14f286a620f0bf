//! `tsdb verify`: reads everything of every block and says what cannot be read.

use super::{ToolError, open_blocks};
use crate::block::{Block, BlockError};
use crate::chunkenc::{self, ChunkEncoding};
use crate::index::ChunkMeta;
use model::LabelsRef;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use stdx::fs::SharedFs;
use storage::SeriesData;

/// No more problems than this are told per block.
const MAX_PROBLEMS: usize = 100;

/// What was found in a block.
#[derive(Debug, Default)]
pub struct Report {
    pub series: u64,
    pub chunks: u64,
    pub samples: u64,
    pub problems: Vec<String>,
    /// Problems that were not kept.
    pub more_problems: u64,
}

impl Report {
    fn problem(&mut self, what: String) {
        if self.problems.len() < MAX_PROBLEMS { self.problems.push(what) } else { self.more_problems += 1 }
    }
}

/// Prints a line per block and one per problem. Returns how many blocks have problems.
pub fn verify(fs: &SharedFs, data_dir: &Path, out: &mut dyn Write) -> Result<usize, ToolError> {
    let (blocks, broken) = open_blocks(fs, data_dir)?;
    let mut bad = broken.len();
    for (dir, e) in &broken {
        writeln!(out, "{}: cannot be opened: {e}", dir.file_name().unwrap_or_default().display())?;
    }
    for b in &blocks {
        let r = verify_block(b);
        let found = r.problems.len() as u64 + r.more_problems;
        let verdict = if found == 0 { "ok".to_string() } else { format!("{found} problems") };
        writeln!(out, "{}: {verdict}: {} series, {} chunks, {} samples", b.ulid(), r.series, r.chunks, r.samples)?;
        for p in &r.problems {
            writeln!(out, "  {p}")?;
        }
        if r.more_problems > 0 {
            writeln!(out, "  and {} more", r.more_problems)?;
        }
        bad += usize::from(found > 0);
    }
    Ok(bad)
}

/// Reads every series, chunk and list of references.
pub fn verify_block(block: &Arc<Block>) -> Report {
    let mut r = Report { problems: block.problems().to_vec(), ..Report::default() };
    let all = match block.index().all_postings() {
        Ok(list) => list.into_vec(),
        Err(e) => {
            r.problem(e.to_string());
            Vec::new()
        }
    };
    let (mut labels, mut last, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
    for reference in all {
        labels.clear();
        chunks.clear();
        if let Err(e) = block.index().series(reference, &mut labels, &mut chunks) {
            r.problem(e.to_string());
            continue;
        }
        let (now, before) = (LabelsRef::from_encoded(&labels), LabelsRef::from_encoded(&last));
        if r.series > 0 && now <= before {
            r.problem(format!("series {now} stands behind {before}"));
        }
        r.series += 1;
        verify_chunks(block, now, &chunks, &mut r);
        std::mem::swap(&mut labels, &mut last);
    }
    verify_postings(block, &mut r);
    let stats = block.meta().stats;
    for (what, said, found) in
        [("series", stats.num_series, r.series), ("chunks", stats.num_chunks, r.chunks), ("samples", stats.num_samples, r.samples)]
    {
        if said != found {
            r.problem(format!("meta.json says {said} {what}, found {found}"));
        }
    }
    r
}

fn verify_chunks(block: &Block, labels: LabelsRef<'_>, chunks: &[ChunkMeta], r: &mut Report) {
    let meta = block.meta();
    let mut last_maxt = None;
    for c in chunks {
        if last_maxt.is_some_and(|t| c.mint_ms <= t) {
            r.problem(format!("{labels}: chunk from {} overlaps the one before", c.mint_ms));
        }
        last_maxt = Some(c.maxt_ms);
        if c.mint_ms < meta.min_time_ms || c.maxt_ms >= meta.max_time_ms {
            r.problem(format!("{labels}: chunk from {} to {} is outside of the block's time", c.mint_ms, c.maxt_ms));
        }
        match decode(block, c) {
            Ok((samples, problem)) => {
                r.samples += samples;
                problem.into_iter().for_each(|p| r.problem(format!("{labels}: chunk from {} to {}: {p}", c.mint_ms, c.maxt_ms)));
            }
            Err(e) => r.problem(format!("{labels}: {e}")),
        }
        r.chunks += 1;
    }
}

fn decode(block: &Block, c: &ChunkMeta) -> Result<(u64, Option<String>), BlockError> {
    let (encoding, bytes) = block.chunk(c.reference)?;
    let mut d = SeriesData::default();
    if let Err(e) = chunkenc::decode(encoding, bytes, i64::MIN, i64::MAX, &mut d) {
        return Ok((d.len() as u64, Some(e.to_string())));
    }
    let times = if matches!(encoding, ChunkEncoding::Xor | ChunkEncoding::Xor2) { &d.t_ms } else { &d.hist_t_ms };
    let problem = if times.first() != Some(&c.mint_ms) || times.last() != Some(&c.maxt_ms) {
        Some(format!("has samples from {:?} to {:?}", times.first(), times.last()))
    } else if !times.is_sorted_by(|a, b| a < b) {
        Some("times do not rise".to_string())
    } else {
        None
    };
    Ok((d.len() as u64, problem))
}

/// Every list must be readable, sorted, and name every label pair of every series.
fn verify_postings(block: &Block, r: &mut Report) {
    let index = block.index();
    let (mut pairs, mut problems) = (0u64, Vec::new());
    for name in index.label_names() {
        let walked = index.each_value(name, "", |value, offset| {
            match index.postings_at(offset) {
                Ok(list) => {
                    pairs += list.len() as u64;
                    if !(1..list.len()).all(|i| list.get(i - 1) < list.get(i)) {
                        problems.push(format!("postings of {name}={value:?} are not sorted"));
                    }
                }
                Err(e) => problems.push(format!("postings of {name}={value:?}: {e}")),
            }
            std::ops::ControlFlow::Continue(())
        });
        problems.extend(walked.err().map(|e| e.to_string()));
    }
    let mut labels = 0u64;
    if let Ok(all) = index.all_postings() {
        for i in 0..all.len() {
            if let Err(e) = index.label_name_symbols(all.get(i), |_| labels += 1) {
                problems.push(e.to_string());
            }
        }
    }
    if labels != pairs && problems.is_empty() {
        problems.push(format!("series have {labels} labels, postings name {pairs}"));
    }
    problems.into_iter().for_each(|p| r.problem(p));
}
