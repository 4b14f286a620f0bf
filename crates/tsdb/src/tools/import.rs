//! `tsdb create-blocks-from`: blocks from samples that come in any order of series and time, one aligned range of time after the other, so that
//! memory holds the samples of one block at most. Whoever parses the input implements [`SampleInput`]; it is walked once per block.

use crate::block::writer::{SeriesOut, SeriesSource};
use crate::block::{BlockError, BlockWriter, Ulid};
use crate::compact::samples::{Sample, Samples, Value};
use crate::compact::{block_ranges, head_meta};
use crate::index::writer::SymbolSet;
use crate::meta::BlockMeta;
use model::LabelsRef;
use std::collections::BTreeMap;
use std::path::Path;

/// Length of a block when none is asked for.
pub const DEFAULT_BLOCK_MS: i64 = 2 * 3600 * 1000;
const MAX_BLOCK_MS: i64 = i64::MAX;

/// Something that can be walked several times.
pub trait SampleInput {
    /// Calls for every sample: labels, time in milliseconds, value. Stops at the first error and returns it.
    fn walk(&mut self, each: &mut dyn FnMut(LabelsRef<'_>, i64, f64) -> Result<(), BlockError>) -> Result<(), BlockError>;
}

/// The longest block that Prometheus' ranges allow up to the asked length; at least two hours.
pub fn compatible_block_ms(asked_ms: i64) -> i64 {
    if asked_ms <= DEFAULT_BLOCK_MS {
        return DEFAULT_BLOCK_MS;
    }
    let mut ranges = block_ranges(DEFAULT_BLOCK_MS, MAX_BLOCK_MS);
    ranges.retain(|r| *r <= asked_ms);
    ranges.pop().unwrap_or(DEFAULT_BLOCK_MS)
}

/// Writes the blocks into `dir`, which must exist, and calls for each. `new_ulid` names them.
pub fn create_blocks(
    writer: &BlockWriter,
    dir: &Path,
    max_block_ms: i64,
    input: &mut dyn SampleInput,
    new_ulid: &mut dyn FnMut() -> Ulid,
    on_block: &mut dyn FnMut(&BlockMeta) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let block_ms = compatible_block_ms(max_block_ms);
    let (mut mint, mut maxt) = (i64::MAX, i64::MIN);
    input.walk(&mut |_, t, _| {
        mint = mint.min(t);
        maxt = maxt.max(t);
        Ok(())
    })?;
    if mint > maxt {
        return Ok(());
    }
    let mut start = Some(mint.div_euclid(block_ms) * block_ms);
    while let Some(from) = start {
        let until = from.saturating_add(block_ms);
        let mut series: BTreeMap<OwnedKey, Vec<(i64, f64)>> = BTreeMap::new();
        let mut next: Option<i64> = None;
        input.walk(&mut |labels, t, v| {
            if t >= until {
                next = Some(next.map_or(t, |n| n.min(t)));
            } else if t >= from {
                match series.get_mut(&OwnedKey(labels.encoded().into())) {
                    Some(s) => s.push((t, v)),
                    None => drop(series.insert(OwnedKey(labels.encoded().into()), vec![(t, v)])),
                }
            }
            Ok(())
        })?;
        for (key, samples) in &mut series {
            in_order(key, samples)?;
        }
        let first = series.values().filter_map(|s| s.first()).map(|s| s.0).min();
        let last = series.values().filter_map(|s| s.last()).map(|s| s.0).max();
        if let (Some(first), Some(last)) = (first, last) {
            let meta = head_meta(new_ulid(), first, last.saturating_add(1), &[]);
            let mut source = SortedSeries { series: series.into_iter().collect(), at: 0 };
            if let Some(meta) = writer.write(dir, meta, &mut source)? {
                on_block(&meta)?;
            }
        }
        start = next.map(|t| t.div_euclid(block_ms) * block_ms);
    }
    Ok(())
}

/// Brings the samples of a series into order. A time may come twice only with the same value.
fn in_order(key: &OwnedKey, samples: &mut Vec<(i64, f64)>) -> Result<(), BlockError> {
    samples.sort_by_key(|s| s.0);
    if let Some(w) = samples.windows(2).find(|w| w[0].0 == w[1].0 && w[0].1.to_bits() != w[1].1.to_bits()) {
        let labels = LabelsRef::from_encoded(&key.0);
        return Err(BlockError::Invalid(format!("add sample: duplicate sample for timestamp {} of series {labels}", w[0].0)));
    }
    samples.dedup_by_key(|s| s.0);
    Ok(())
}

struct SortedSeries {
    series: Vec<(OwnedKey, Vec<(i64, f64)>)>,
    at: usize,
}

impl SeriesSource for SortedSeries {
    fn symbols(&mut self, symbols: &mut SymbolSet) -> Result<(), BlockError> {
        self.series.iter().for_each(|(key, _)| symbols.add_labels(LabelsRef::from_encoded(&key.0)));
        Ok(())
    }

    fn next(&mut self, out: &mut SeriesOut) -> Result<bool, BlockError> {
        let Some((key, samples)) = self.series.get_mut(self.at) else { return Ok(false) };
        self.at += 1;
        out.set_labels(LabelsRef::from_encoded(&key.0));
        let mut run = Samples::default();
        for (t_ms, v) in std::mem::take(samples) {
            run.push(Sample { t_ms, st_ms: 0, value: Value::Float(v) });
        }
        run.encode(&mut |mint_ms, maxt_ms, encoding, bytes| out.push_chunk(mint_ms, maxt_ms, encoding, bytes));
        Ok(true)
    }
}

/// Encoded labels that sort as labels do.
#[derive(PartialEq, Eq, Clone)]
struct OwnedKey(Box<[u8]>);

impl Ord for OwnedKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        LabelsRef::from_encoded(&self.0).cmp(&LabelsRef::from_encoded(&other.0))
    }
}

impl PartialOrd for OwnedKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
