//! What storing a target's pages needs to know of its job, read off the configuration once.

use crate::config::ScrapeConfig;
use crate::labels::{CLASSIC_HISTOGRAMS, CONVERT_HISTOGRAMS, LabelLimits, NATIVE_HISTOGRAMS};
use crate::target::Target;
use exposition::{Format, ParserOptions};
use model::histogram::{MAX_EXPONENTIAL_SCHEMA, MIN_EXPONENTIAL_SCHEMA};
use model::name::Scheme;
use std::sync::Arc;

/// Features that flags turn on.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// `type-and-unit-labels`
    pub type_and_unit_labels: bool,
    /// `created-timestamp-zero-ingestion`
    pub start_zeros: bool,
    /// `metadata-wal-records`
    pub append_metadata: bool,
    /// Protobuf is asked for first wherever no order is written.
    pub protobuf_first: bool,
    /// `--scrape.adjust-timestamps` and its tolerance.
    pub align_timestamps: bool,
    pub timestamp_tolerance_ms: i64,
}

impl Default for Features {
    fn default() -> Self {
        Features {
            type_and_unit_labels: false,
            start_zeros: false,
            append_metadata: false,
            protobuf_first: false,
            align_timestamps: true,
            timestamp_tolerance_ms: 2,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Arc<ScrapeConfig>,
    pub parser: ParserOptions,
    pub fallback: Option<Format>,
    pub sample_limit: u64,
    pub bucket_limit: u64,
    pub max_schema: i32,
    pub label_limits: LabelLimits,
    pub scheme: Scheme,
    pub timeout_ms: i64,
    pub start_zeros: bool,
    pub append_metadata: bool,
}

impl Settings {
    pub fn new(config: &Arc<ScrapeConfig>, target: &Target, features: &Features) -> Self {
        Settings {
            parser: ParserOptions {
                type_and_unit_labels: features.type_and_unit_labels,
                ignore_native_histograms: !target.flag(NATIVE_HISTOGRAMS, config.native_histograms()),
                convert_classic_histograms: target.flag(CONVERT_HISTOGRAMS, config.convert_histograms()),
                keep_classic_histograms: target.flag(CLASSIC_HISTOGRAMS, config.classic_histograms()),
                skip_created_series: features.start_zeros,
            },
            fallback: config.fallback_scrape_protocol.map(|p| p.format()),
            sample_limit: config.sample_limit,
            bucket_limit: config.native_histogram_bucket_limit,
            max_schema: schema_for_factor(config.native_histogram_min_bucket_factor),
            label_limits: LabelLimits {
                count: config.label_limit,
                name_length: config.label_name_length_limit,
                value_length: config.label_value_length_limit,
            },
            scheme: config.name_scheme(),
            timeout_ms: target.timeout_ms(),
            start_zeros: features.start_zeros,
            append_metadata: features.append_metadata,
            config: Arc::clone(config),
        }
    }

    /// Do pages mean the same series under both? Then what is known about a target's lines holds on.
    pub fn same_series(&self, other: &Settings) -> bool {
        let key = |s: &Settings| {
            let p = s.parser;
            (
                (p.type_and_unit_labels, p.ignore_native_histograms, p.convert_classic_histograms, p.keep_classic_histograms, p.skip_created_series),
                (s.config.honor_labels, s.scheme == Scheme::Utf8, s.label_limits, s.config.track_timestamps_staleness),
            )
        };
        key(self) == key(other) && self.config.metric_relabel_configs == other.config.metric_relabel_configs
    }
}

/// The finest schema whose buckets grow by at least this factor.
fn schema_for_factor(factor: f64) -> i32 {
    if factor <= 1.0 {
        return MAX_EXPONENTIAL_SCHEMA;
    }
    let floor = (-factor.log2().log2()).floor();
    floor.clamp(f64::from(MIN_EXPONENTIAL_SCHEMA), f64::from(MAX_EXPONENTIAL_SCHEMA)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors() {
        for (factor, schema) in [(0.0, 8), (1.0, 8), (1.1, 2), (1.5, 0), (2.0, 0), (4.0, -1), (65536.0, -4), (1e9, -4)] {
            assert_eq!(schema_for_factor(factor), schema, "{factor}");
        }
    }
}
