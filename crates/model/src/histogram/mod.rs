//! Native histograms: exponential buckets (schemas -4 to 8) and custom bounds (schema -53), with whole or float counts.
//!
//! [`Histogram`] is what exporters send and chunks store: bucket counts as deltas from bucket to bucket. [`FloatHistogram`] is what
//! queries compute with: absolute counts.
//!
//! - [`bounds`]: where buckets begin and end. [`buckets`]: walking over them.
//! - [`arithmetic`]: addition and subtraction with differing layouts, scaling, resolution. [`compact`]: dropping empty buckets.
//! - [`reset`]: has a counter started anew? [`trim`]: cutting at a value. [`text`]: printed forms. [`validate`]: is it consistent?

pub mod arithmetic;
pub mod bounds;
pub mod buckets;
pub mod compact;
pub mod kahan;
pub mod reset;
pub mod text;
pub mod trim;
pub mod validate;

pub use arithmetic::{IncompatibleSchemas, Merged};
pub use buckets::Bucket;
pub use validate::HistogramError;

/// Schema of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
pub const MIN_EXPONENTIAL_SCHEMA: i32 = -4;
pub const MAX_EXPONENTIAL_SCHEMA: i32 = 8;

/// A run of neighbouring buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Gap to the end of the previous span; of the first span, the index of its first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What is known about a counter reset between the previous sample and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResetHint {
    #[default]
    Unknown,
    Reset,
    NotReset,
    /// Not a counter at all.
    Gauge,
}

/// Whole counts. Buckets are deltas to the previous bucket, the first one is absolute.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    pub reset_hint: ResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub count: u64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_deltas: Vec<i64>,
    pub negative_deltas: Vec<i64>,
    /// Upper bounds, for [`CUSTOM_BUCKETS_SCHEMA`] only.
    pub custom_values: Vec<f64>,
}

/// Float counts, absolute.
#[derive(Clone, Debug, Default)]
pub struct FloatHistogram {
    pub reset_hint: ResetHint,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_buckets: Vec<f64>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds, for [`CUSTOM_BUCKETS_SCHEMA`] only.
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// The same histogram with absolute float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let absolute = |deltas: &[i64]| {
            let mut sum = 0i64;
            deltas
                .iter()
                .map(|d| {
                    sum += d;
                    sum as f64
                })
                .collect()
        };
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: absolute(&self.positive_deltas),
            negative_buckets: absolute(&self.negative_deltas),
            custom_values: self.custom_values.clone(),
        }
    }

    /// Marks the end of a series, as the staleness NaN does for floats.
    pub fn is_stale(&self) -> bool {
        crate::sample::is_stale_nan(self.sum)
    }
}

impl FloatHistogram {
    pub fn is_stale(&self) -> bool {
        crate::sample::is_stale_nan(self.sum)
    }
}
