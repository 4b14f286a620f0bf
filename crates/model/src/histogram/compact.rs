//! Dropping empty buckets: the same content in the smallest layout.

use super::buckets::Walk;
use super::{FloatHistogram, Span};

/// Builds spans from rising bucket indices.
#[derive(Default)]
pub(super) struct SpanBuilder {
    pub spans: Vec<Span>,
    end: i32,
}

impl SpanBuilder {
    /// Appends the bucket with this index, which is behind all before.
    #[inline]
    pub fn push(&mut self, index: i32) {
        match self.spans.last_mut() {
            Some(last) if index == self.end => last.length += 1,
            Some(_) => self.spans.push(Span { offset: index.wrapping_sub(self.end), length: 1 }),
            None => self.spans.push(Span { offset: index, length: 1 }),
        }
        self.end = index.wrapping_add(1);
    }

    /// How many buckets lie between the last one and this index; none before the first.
    fn gap(&self, index: i32) -> usize {
        if self.spans.is_empty() { 0 } else { index.wrapping_sub(self.end).max(0) as usize }
    }
}

/// Keeps buckets that are not empty, and runs of at most `max_empty` empty ones between them. With compensation, a bucket is empty when both are.
fn compact_side(spans: &mut Vec<Span>, counts: &mut Vec<f64>, mut compensation: Option<&mut Vec<f64>>, max_empty: usize) {
    let clean =
        counts.iter().all(|c| *c != 0.0) && spans.iter().enumerate().all(|(i, s)| s.length > 0 && (i == 0 || s.offset.max(0) as usize > max_empty));
    if clean {
        return;
    }
    let mut built = SpanBuilder::default();
    let mut kept = Vec::with_capacity(counts.len());
    let mut kept_compensation = Vec::new();
    for (at, (index, count)) in Walk::new(spans, counts).enumerate() {
        let lost = compensation.as_ref().map_or(0.0, |c| c[at]);
        if count == 0.0 && lost == 0.0 {
            continue;
        }
        let gap = built.gap(index);
        if gap > 0 && gap <= max_empty {
            for i in 0..gap {
                built.push(index - (gap - i) as i32);
            }
            kept.resize(kept.len() + gap, 0.0);
            kept_compensation.resize(kept.len(), 0.0);
        }
        built.push(index);
        kept.push(count);
        kept_compensation.resize(kept.len() - 1, 0.0);
        kept_compensation.push(lost);
    }
    *spans = built.spans;
    *counts = kept;
    if let Some(c) = compensation.as_mut() {
        **c = kept_compensation;
    }
}

impl FloatHistogram {
    /// Drops empty buckets, except runs of at most `max_empty` between populated ones, and joins spans that are at most so far apart.
    pub fn compact(&mut self, max_empty: usize) -> &mut Self {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, None, max_empty);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, None, max_empty);
        self
    }

    /// [`FloatHistogram::compact`] that keeps the compensation in step.
    pub(super) fn compact_with(&mut self, compensation: &mut FloatHistogram) {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, Some(&mut compensation.positive_buckets), 0);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, Some(&mut compensation.negative_buckets), 0);
    }
}
