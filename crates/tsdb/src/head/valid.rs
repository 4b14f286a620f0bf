//! Is a native histogram what it claims to be? The texts are Prometheus'.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA, Span};
use model::{FloatHistogram, Histogram};

/// Prometheus takes finer histograms down to this resolution; here they are refused beyond it.
const MAX_SCHEMA: i32 = 52;

pub fn check_histogram(h: &Histogram) -> Result<(), String> {
    let custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    check_shape(
        h.schema,
        h.zero_threshold,
        &h.custom_values,
        custom && (h.zero_count != 0 || !h.negative_spans.is_empty() || !h.negative_deltas.is_empty()),
    )?;
    check_spans("positive", &h.positive_spans, h.positive_deltas.len())?;
    check_spans("negative", &h.negative_spans, h.negative_deltas.len())?;
    if custom {
        check_custom_count(&h.positive_spans, h.custom_values.len())?;
    }
    let mut total = h.zero_count;
    for (side, deltas) in [("positive", &h.positive_deltas), ("negative", &h.negative_deltas)] {
        let mut count = 0i64;
        for (i, d) in deltas.iter().enumerate() {
            count = count.wrapping_add(*d);
            if count < 0 {
                return Err(format!(
                    "{side} side: bucket number {} has observation count of {count}: histogram has a bucket whose observation count is negative",
                    i + 1
                ));
            }
            total = total.wrapping_add(count as u64);
        }
    }
    let nan = h.sum.is_nan();
    if nan && total > h.count {
        return Err(format!(
            "{total} observations found in buckets, but the Count field is {}: histogram's observation count should be at least the number of observations found in the buckets",
            h.count
        ));
    }
    if !nan && total != h.count {
        return Err(format!(
            "{total} observations found in buckets, but the Count field is {}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)",
            h.count
        ));
    }
    Ok(())
}

pub fn check_float_histogram(h: &FloatHistogram) -> Result<(), String> {
    let custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    check_shape(
        h.schema,
        h.zero_threshold,
        &h.custom_values,
        custom && (h.zero_count != 0.0 || !h.negative_spans.is_empty() || !h.negative_buckets.is_empty()),
    )?;
    check_spans("positive", &h.positive_spans, h.positive_buckets.len())?;
    check_spans("negative", &h.negative_spans, h.negative_buckets.len())?;
    if custom {
        check_custom_count(&h.positive_spans, h.custom_values.len())?;
    }
    if h.zero_count < 0.0 {
        return Err(format!("zero bucket has observation count of {}: histogram has a bucket whose observation count is negative", h.zero_count));
    }
    if h.count < 0.0 {
        return Err(format!("observation count is {}: histogram's observation count is negative", h.count));
    }
    for (side, buckets) in [("positive", &h.positive_buckets), ("negative", &h.negative_buckets)] {
        if let Some(i) = buckets.iter().position(|b| *b < 0.0) {
            return Err(format!(
                "{side} side: bucket number {} has observation count of {}: histogram has a bucket whose observation count is negative",
                i + 1,
                buckets[i]
            ));
        }
    }
    Ok(())
}

fn check_shape(schema: i32, zero_threshold: f64, custom_values: &[f64], other_than_custom: bool) -> Result<(), String> {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        if other_than_custom || zero_threshold != 0.0 {
            return Err("custom buckets: must have no zero bucket and no negative buckets".to_string());
        }
        if let Some(w) = custom_values.windows(2).find(|w| w[0] >= w[1]) {
            return Err(format!("custom buckets: bounds are not in rising order: {} then {}", w[0], w[1]));
        }
        if custom_values.iter().any(|v| v.is_nan() || *v == f64::INFINITY) {
            return Err("custom buckets: the last bound must not be infinite, and none may be NaN".to_string());
        }
        return Ok(());
    }
    if !(MIN_EXPONENTIAL_SCHEMA..=MAX_EXPONENTIAL_SCHEMA).contains(&schema) {
        let why = if (MAX_EXPONENTIAL_SCHEMA..=MAX_SCHEMA).contains(&schema) { " (reduce its resolution first)" } else { "" };
        return Err(format!(
            "schema {schema}: histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets{why}"
        ));
    }
    if !custom_values.is_empty() {
        return Err("histogram with exponential schema must not have custom bounds".to_string());
    }
    Ok(())
}

fn check_spans(side: &str, spans: &[Span], buckets: usize) -> Result<(), String> {
    let mut total = 0u64;
    for (i, s) in spans.iter().enumerate() {
        if i > 0 && s.offset < 0 {
            return Err(format!("{side} side: span number {} with offset {}: histogram has a span whose offset is negative", i + 1, s.offset));
        }
        total += u64::from(s.length);
    }
    if total != buckets as u64 {
        return Err(format!(
            "{side} side: spans need {total} buckets, have {buckets} buckets: histogram spans specify different number of buckets than provided"
        ));
    }
    Ok(())
}

fn check_custom_count(spans: &[Span], bounds: usize) -> Result<(), String> {
    let last: i64 = spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
    if last > bounds as i64 + 1 || spans.first().is_some_and(|s| s.offset < 0) {
        return Err(format!(
            "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of {last}: histogram has too few custom bounds"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_must_add_up() {
        let good = Histogram {
            count: 6,
            zero_count: 1,
            sum: 1.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_deltas: vec![2, 1],
            ..Histogram::default()
        };
        assert_eq!(check_histogram(&good), Ok(()));
        let check = |h: Histogram, want: &str| {
            let e = check_histogram(&h).expect_err("must be refused");
            assert!(e.contains(want), "{e}");
        };
        check(Histogram { count: 7, ..good.clone() }, "should equal");
        check(Histogram { positive_deltas: vec![2, -3], ..good.clone() }, "is negative");
        check(Histogram { positive_deltas: vec![2], ..good.clone() }, "spans need 2 buckets, have 1");
        check(Histogram { schema: 9, ..good.clone() }, "invalid schema");
        assert_eq!(check_histogram(&Histogram { count: 7, sum: f64::NAN, ..good }), Ok(()));
    }
}
