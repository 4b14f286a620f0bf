//! OpenTelemetry's histograms as native ones: dense runs of buckets become sparse spans.

use super::decode::{Buckets, Point};
use model::Histogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, Span};

/// What OpenTelemetry does not say, Prometheus takes for this.
const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;
/// Shorter gaps are bridged by empty buckets, which takes less than a new span.
const BRIDGED_GAP: i64 = 2;
/// Finer scales than Prometheus' finest are merged down; a scale beyond this is nonsense.
const MAX_SCALE: i32 = 64;

/// Spans and deltas of a run of counts of which the first has the index `offset`; 2 to the power of `down` neighbours are merged into one.
/// `shift` is added to each index. None when an index leaves the range of 32 bits.
fn sparse(counts: &[u64], offset: i32, down: u32, shift: i64) -> Option<(Vec<Span>, Vec<i64>)> {
    let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut next, mut previous) = (0i64, 0i64);
    let mut i = 0;
    while i < counts.len() {
        let index_of = |i: usize| ((i as i64 + i64::from(offset)) >> down) + shift;
        let index = index_of(i);
        let mut sum = 0u64;
        while i < counts.len() && index_of(i) == index {
            sum = sum.checked_add(counts[i])?;
            i += 1;
        }
        if sum == 0 {
            continue;
        }
        let count = i64::try_from(sum).ok()?;
        let gap = index - next;
        match spans.last_mut() {
            Some(last) if gap <= BRIDGED_GAP => {
                for _ in 0..gap {
                    deltas.push(-previous);
                    previous = 0;
                    last.length += 1;
                }
                last.length += 1;
            }
            _ => spans.push(Span { offset: i32::try_from(gap).ok()?, length: 1 }),
        }
        deltas.push(count - previous);
        (previous, next) = (count, index + 1);
    }
    Some((spans, deltas))
}

/// An exponential histogram. OpenTelemetry's bucket 0 reaches from 1 upwards, Prometheus' ends there: hence one more for each index.
pub(super) fn exponential(p: &Point<'_>) -> Result<Histogram, String> {
    if p.scale < MIN_EXPONENTIAL_SCHEMA || p.scale > MAX_SCALE {
        return Err(format!("cannot convert exponential to native histogram. Scale must be >= {MIN_EXPONENTIAL_SCHEMA}, was {}", p.scale));
    }
    let schema = p.scale.min(MAX_EXPONENTIAL_SCHEMA);
    let down = (p.scale - schema) as u32;
    let side = |b: &Buckets| sparse(&b.counts, b.offset, down.min(63), 1).ok_or_else(|| "bucket index or count out of range".to_string());
    let (positive_spans, positive_deltas) = side(&p.positive)?;
    let (negative_spans, negative_deltas) = side(&p.negative)?;
    let zero_threshold = if p.zero_threshold > 0.0 { p.zero_threshold } else { DEFAULT_ZERO_THRESHOLD };
    let h = Histogram {
        schema,
        zero_threshold,
        zero_count: p.zero_count,
        positive_spans,
        positive_deltas,
        negative_spans,
        negative_deltas,
        ..Histogram::default()
    };
    Ok(with_sum(h, p))
}

/// A histogram with explicit bounds, as a native one with custom bounds.
pub(super) fn explicit(p: &Point<'_>) -> Result<Histogram, String> {
    let (positive_spans, positive_deltas) = sparse(&p.bucket_counts, 0, 0, 0).ok_or_else(|| "bucket count out of range".to_string())?;
    let h = Histogram { schema: CUSTOM_BUCKETS_SCHEMA, positive_spans, positive_deltas, custom_values: p.bounds.clone(), ..Histogram::default() };
    Ok(with_sum(h, p))
}

fn with_sum(h: Histogram, p: &Point<'_>) -> Histogram {
    if p.no_value {
        return Histogram { sum: model::sample::stale_nan(), ..Histogram::default() };
    }
    Histogram { sum: p.sum.unwrap_or(0.0), count: p.count, ..h }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_counts_become_spans() {
        let check = |counts: &[u64], offset: i32, down: u32, spans: &[(i32, u32)], deltas: &[i64]| {
            let (s, d) = sparse(counts, offset, down, 1).expect("in range");
            assert_eq!((s.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>(), d.as_slice()), (spans.to_vec(), deltas), "{counts:?}");
        };
        check(&[], 0, 0, &[], &[]);
        check(&[0, 0], 0, 0, &[], &[]);
        check(&[4, 3, 2, 1], 1, 0, &[(2, 4)], &[4, -1, -1, -1]);
        check(&[4, 0, 0, 1], 0, 0, &[(1, 4)], &[4, -4, 0, 1]);
        check(&[4, 0, 0, 0, 1], 0, 0, &[(1, 1), (3, 1)], &[4, -3]);
        check(&[0, 0, 5], -3, 0, &[(0, 1)], &[5]);
        check(&[4, 3, 2, 1], 0, 1, &[(1, 2)], &[7, -4]);
        check(&[1, 1, 1], -3, 1, &[(-1, 2)], &[1, 1]);
        assert_eq!(sparse(&[1], i32::MAX, 0, 1), None);
        assert_eq!(sparse(&[u64::MAX], 0, 0, 1), None);
    }
}
