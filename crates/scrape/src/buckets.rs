//! Native histograms within a job's limits: no more buckets, and none finer, than it allows.

use exposition::HistogramRef;
use model::histogram::MIN_EXPONENTIAL_SCHEMA;
use model::{FloatHistogram, Histogram};
use storage::HistogramSample;

pub(crate) fn sample_of(h: HistogramRef<'_>) -> HistogramSample<'_> {
    match h {
        HistogramRef::Int(h) => HistogramSample::Int(h),
        HistogramRef::Float(h) => HistogramSample::Float(h),
    }
}

/// A histogram within the limits.
pub(crate) enum Fitted {
    AsIs,
    Int(Box<Histogram>),
    Float(Box<FloatHistogram>),
    TooMany,
}

/// Coarser buckets until the limits are kept: at most so many (0 for any number), no finer than that schema.
pub(crate) fn fitted(h: HistogramRef<'_>, (limit, max_schema): (u64, i32)) -> Fitted {
    macro_rules! fit {
        ($h:ident, $bucket_count:ident, $wrap:path) => {{
            let exponential = !$h.uses_custom_buckets();
            let too_many = |h: &_| limit > 0 && $bucket_count(h) > limit;
            let too_fine = exponential && $h.schema > max_schema;
            if !too_fine && !too_many($h) {
                return Fitted::AsIs;
            }
            let mut out = $h.clone();
            if too_fine && out.reduce_resolution(max_schema).is_err() {
                return Fitted::AsIs;
            }
            while too_many(&out) {
                if !exponential || out.schema <= MIN_EXPONENTIAL_SCHEMA || out.reduce_resolution(out.schema - 1).is_err() {
                    return Fitted::TooMany;
                }
            }
            $wrap(Box::new(out))
        }};
    }
    match h {
        HistogramRef::Int(h) => {
            let bucket_count = |h: &Histogram| (h.positive_deltas.len() + h.negative_deltas.len()) as u64;
            fit!(h, bucket_count, Fitted::Int)
        }
        HistogramRef::Float(h) => {
            let bucket_count = |h: &FloatHistogram| (h.positive_buckets.len() + h.negative_buckets.len()) as u64;
            fit!(h, bucket_count, Fitted::Float)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram::Span;

    #[test]
    fn coarser_until_it_fits() {
        let h = Histogram {
            schema: 3,
            count: 8,
            positive_spans: vec![Span { offset: 0, length: 8 }],
            positive_deltas: vec![1, 0, 0, 0, 0, 0, 0, 0],
            ..Histogram::default()
        };
        let schema = |limits| match fitted(HistogramRef::Int(&h), limits) {
            Fitted::AsIs => Some(3),
            Fitted::Int(h) => Some(h.schema),
            Fitted::Float(_) => None,
            Fitted::TooMany => None,
        };
        assert_eq!((schema((0, 8)), schema((8, 3)), schema((0, 1)), schema((5, 8))), (Some(3), Some(3), Some(1), Some(2)));
        let custom = FloatHistogram {
            schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
            positive_buckets: vec![1.0; 3],
            custom_values: vec![1.0, 2.0],
            ..FloatHistogram::default()
        };
        assert!(matches!(fitted(HistogramRef::Float(&custom), (2, 0)), Fitted::TooMany));
        assert!(matches!(fitted(HistogramRef::Float(&custom), (3, 0)), Fitted::AsIs));
    }
}
