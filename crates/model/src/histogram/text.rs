//! Printed forms: as `count_values` and logs show a histogram, and as test files write it.

use super::{Bucket, FloatHistogram, ResetHint, Span};
use crate::number::format_g;
use std::fmt;

impl fmt::Display for Bucket {
    /// `(1,2]:3`: round for an open end, square for a closed one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = (if self.lower_inclusive { '[' } else { '(' }, if self.upper_inclusive { ']' } else { ')' });
        write!(f, "{open}{},{}{close}:{}", format_g(self.lower), format_g(self.upper), format_g(self.count))
    }
}

impl fmt::Display for FloatHistogram {
    /// `{count:12, sum:3.5, [-1,-0.5):2, [-0.001,0.001]:1, (1,2]:9}`: populated buckets in rising order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_g(self.count), format_g(self.sum))?;
        let negative: Vec<Bucket> = self.negative_buckets().filter(|b| b.count != 0.0).collect();
        for b in negative.iter().rev() {
            write!(f, ", {b}")?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for b in self.positive_buckets().filter(|b| b.count != 0.0) {
            write!(f, ", {b}")?;
        }
        f.write_str("}")
    }
}

impl FloatHistogram {
    /// `{{schema:1 count:3 sum:4 buckets:[1 2]}}`, as rule tests write it.
    pub fn test_expression(&self) -> String {
        let mut h = self.clone();
        h.compact(usize::MAX);
        let mut parts: Vec<String> = Vec::new();
        let mut number = |name: &str, v: f64| {
            if v != 0.0 {
                parts.push(format!("{name}:{}", format_g(v)));
            }
        };
        number("schema", f64::from(h.schema));
        number("count", h.count);
        number("sum", h.sum);
        number("z_bucket", h.zero_count);
        number("z_bucket_w", h.zero_threshold);
        let list = |values: &[f64]| values.iter().map(|v| format_g(*v)).collect::<Vec<_>>().join(" ");
        if h.uses_custom_buckets() {
            parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
        }
        match h.reset_hint {
            ResetHint::Unknown => {}
            ResetHint::Reset => parts.push("counter_reset_hint:reset".to_string()),
            ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_string()),
            ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_string()),
        }
        let mut side = |offset_name: &str, name: &str, spans: &[Span], counts: &[f64]| {
            parts.extend(spans.iter().filter(|s| s.offset != 0).map(|s| format!("{offset_name}:{}", s.offset)));
            if !counts.is_empty() {
                parts.push(format!("{name}:[{}]", list(counts)));
            }
        };
        side("offset", "buckets", &h.positive_spans, &h.positive_buckets);
        side("n_offset", "n_buckets", &h.negative_spans, &h.negative_buckets);
        format!("{{{{{}}}}}", parts.join(" "))
    }
}
