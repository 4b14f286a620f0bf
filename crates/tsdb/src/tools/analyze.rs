//! `tsdb analyze`: which labels cost most in a block, and how well its chunks are filled.

use super::{ToolError, go_duration};
use crate::block::Block;
use crate::blockquery::labels::{label_names, label_values};
use crate::chunkenc::float_histogram::FloatCodec;
use crate::chunkenc::histogram::{Codec, IntCodec, Reader};
use crate::chunkenc::{ChunkEncoding, ChunkError, num_samples};
use crate::index::PostingList;
use crate::index::postings::intersect;
use model::{LabelsRef, Matcher};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

pub struct Options<'a> {
    /// So many lines per list.
    pub limit: usize,
    /// Look into the chunks too.
    pub extended: bool,
    /// Only series that fit; the text as the user gave it, and what it means.
    pub matchers: Option<(&'a str, Vec<Matcher>)>,
}

#[derive(Default)]
struct Pair {
    count: u64,
    /// Time of the block in which its series have no samples, summed.
    uncovered_ms: u64,
}

pub fn analyze(block: &Arc<Block>, options: &Options<'_>, out: &mut dyn Write) -> Result<(), ToolError> {
    let meta = block.meta();
    let matchers = options.matchers.as_ref().map_or(&[][..], |m| &m.1);
    writeln!(out, "Block ID: {}", meta.ulid)?;
    writeln!(out, "Duration: {}", go_duration(meta.max_time_ms.saturating_sub(meta.min_time_ms)))?;
    writeln!(out, "Total Series: {}", meta.stats.num_series)?;
    if let Some((text, _)) = &options.matchers {
        writeln!(out, "Matcher: {text}")?;
    }
    let names = label_names(block, matchers)?;
    writeln!(out, "Label names: {}", names.len())?;
    let refs = block.references(matchers)?.0;
    if options.matchers.is_some() {
        writeln!(out, "Matched series: {}", refs.len())?;
    }
    let span_ms = (meta.max_time_ms.saturating_sub(meta.min_time_ms)).max(1) as u64;
    let mut pairs: HashMap<(String, String), Pair> = HashMap::new();
    let mut by_name: HashMap<String, u64> = HashMap::new();
    let mut entries = 0u64;
    let (mut labels, mut chunks) = (Vec::new(), Vec::new());
    for r in &refs {
        labels.clear();
        chunks.clear();
        block.index().series(*r, &mut labels, &mut chunks)?;
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { continue };
        let uncovered = span_ms.saturating_sub(last.maxt_ms.wrapping_sub(first.mint_ms) as u64);
        for (n, v) in LabelsRef::from_encoded(&labels).iter() {
            let p = pairs.entry((n.to_string(), v.to_string())).or_default();
            p.count += 1;
            p.uncovered_ms += uncovered;
            match by_name.get_mut(n) {
                Some(u) => *u += uncovered,
                None => drop(by_name.insert(n.to_string(), uncovered)),
            }
            entries += 1;
        }
    }
    writeln!(out, "Postings (unique label pairs): {}", pairs.len())?;
    writeln!(out, "Postings entries (total label pairs): {entries}")?;
    let share = |uncovered: u64| (uncovered as f64 / span_ms as f64) as u64;
    let text = |(n, v): &(String, String)| format!("{n}={v}");
    let mut list = |title: &str, lines: Vec<(u64, String)>| print_top(title, lines, options.limit, out);
    list("Label pairs most involved in churning", pairs.iter().map(|(k, p)| (share(p.uncovered_ms), text(k))).collect())?;
    list("Label names most involved in churning", by_name.into_iter().map(|(n, u)| (share(u), n)).collect())?;
    list("Most common label pairs", pairs.iter().map(|(k, p)| (p.count, text(k))).collect())?;
    let (mut lengths, mut counts) = (Vec::new(), Vec::new());
    for n in &names {
        let values = label_values(block, n, matchers, 0)?;
        lengths.push((values.iter().map(|v| v.len() as u64).sum(), n.clone()));
        counts.push((values.len() as u64, n.clone()));
    }
    list("Label names with highest cumulative label value length", lengths)?;
    list("Highest cardinality labels", counts)?;
    let mut metrics = Vec::new();
    for name in label_values(block, model::name::METRIC_NAME, matchers, 0)? {
        let series = block.index().postings(model::name::METRIC_NAME, &name)?;
        let n = if options.matchers.is_some() { intersect(series.into_vec(), &PostingList::Owned(refs.clone())).len() } else { series.len() };
        metrics.push((n as u64, name));
    }
    list("Highest cardinality metric names", metrics)?;
    if options.extended {
        chunk_analysis(block, &refs, out)?;
    }
    Ok(())
}

fn print_top(title: &str, mut lines: Vec<(u64, String)>, limit: usize, out: &mut dyn Write) -> Result<(), ToolError> {
    lines.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    writeln!(out, "\n{title}:")?;
    for (n, what) in lines.into_iter().take(limit) {
        writeln!(out, "{n} {what}")?;
    }
    Ok(())
}

fn buckets<C: Codec>(bytes: &[u8], with_st: bool) -> Result<usize, ChunkError> {
    let mut r = Reader::<C>::new(bytes, with_st)?;
    let mut n = 0;
    while r.advance()? {
        let [p, q] = C::absolute(&r.hist());
        n += p.len() + q.len();
    }
    Ok(n)
}

fn chunk_analysis(block: &Block, refs: &[u32], out: &mut dyn Write) -> Result<(), ToolError> {
    let (mut float_samples, mut float_bytes) = (Vec::new(), Vec::new());
    let (mut hist_samples, mut hist_bytes, mut hist_buckets) = (Vec::new(), Vec::new(), Vec::new());
    let mut chunks = Vec::new();
    let damaged = |e: ChunkError| ToolError::Block(crate::block::BlockError::corrupt(block.dir(), e.to_string()));
    for r in refs {
        chunks.clear();
        block.index().chunks(*r, &mut chunks)?;
        for c in &chunks {
            let (encoding, bytes) = block.chunk(c.reference)?;
            let n = usize::from(num_samples(encoding, bytes).map_err(damaged)?);
            let (samples, sizes) = match encoding {
                ChunkEncoding::Xor | ChunkEncoding::Xor2 => (&mut float_samples, &mut float_bytes),
                _ => (&mut hist_samples, &mut hist_bytes),
            };
            samples.push(n);
            sizes.push(bytes.len());
            let count = match encoding {
                ChunkEncoding::Xor | ChunkEncoding::Xor2 => continue,
                ChunkEncoding::Histogram => buckets::<IntCodec>(bytes, false),
                ChunkEncoding::HistogramSt => buckets::<IntCodec>(bytes, true),
                ChunkEncoding::FloatHistogram => buckets::<FloatCodec>(bytes, false),
                ChunkEncoding::FloatHistogramSt => buckets::<FloatCodec>(bytes, true),
            };
            hist_buckets.push(count.map_err(damaged)?);
        }
    }
    let total = float_samples.len() + hist_samples.len();
    write!(out, "\nCompaction analysis:\n\n")?;
    spread("samples per float chunk", float_samples, total, out)?;
    spread("bytes per float chunk", float_bytes, total, out)?;
    spread("samples per histogram chunk", hist_samples, total, out)?;
    spread("bytes per histogram chunk", hist_bytes, total, out)?;
    spread("buckets per histogram chunk", hist_buckets, total, out)
}

/// A small bar chart.
fn spread(what: &str, mut data: Vec<usize>, total: usize, out: &mut dyn Write) -> Result<(), ToolError> {
    data.sort_unstable();
    let (Some(min), Some(max)) = (data.first().copied(), data.last().copied()) else {
        write!(out, "{what}: N/A\n\n")?;
        return Ok(());
    };
    let mut step = 10;
    while step < (max - min) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (min - min % step, max - max % step + step);
    let mut counts = vec![0usize; (end - start) / step + 1];
    for d in &data {
        counts[(d - start) / step] += 1;
    }
    writeln!(out, "{what} (min/avg/max): {min}/{}/{max}", data.iter().sum::<usize>() / data.len())?;
    let digits = |n: usize| n.to_string().len();
    let (left, right, wide) = (digits(end), digits(end + step), digits(counts.iter().copied().max().unwrap_or(0)));
    for (i, n) in counts.iter().enumerate() {
        let bar = "#".repeat(100 * n / total.max(1));
        writeln!(out, "[{:left$}, {:right$}]: {n:wide$} {bar}", i * step + start + 1, (i + 1) * step + start)?;
    }
    writeln!(out)?;
    Ok(())
}
