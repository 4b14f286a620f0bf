//! A series of a test script: its labels and the values it takes, one per interval. Repetitions are kept as they are written; nothing
//! is expanded here, so a short text stays short.

use super::ast::BinaryOp;
use model::{FloatHistogram, Labels};

/// How many values the items of one series may stand for together.
pub const MAX_SEQUENCE_VALUES: u64 = 10_000_000;

#[derive(Clone, Debug)]
pub struct SeriesDescription {
    pub labels: Labels,
    pub items: Vec<SequenceItem>,
}

/// `count` values in a row.
#[derive(Clone, Debug)]
pub enum SequenceItem {
    /// `_` or `_x3`: no sample.
    Omitted { count: u64 },
    /// `start`, then `step` added again and again. The staleness marker for `stale`.
    Float { start: f64, step: f64, count: u64 },
    Histogram {
        start: Box<FloatHistogram>,
        /// Added to or subtracted from each value for the next.
        step: Option<(BinaryOp, Box<FloatHistogram>)>,
        count: u64,
        /// A counter reset hint is written in the text, so it is to be compared.
        hint_set: bool,
    },
}

impl SequenceItem {
    pub fn count(&self) -> u64 {
        match self {
            SequenceItem::Omitted { count } | SequenceItem::Float { count, .. } | SequenceItem::Histogram { count, .. } => *count,
        }
    }
}
