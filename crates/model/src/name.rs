//! What may be a metric name or a label name, in the old scheme (ASCII) and in the new one (any UTF-8).

pub const METRIC_NAME: &str = "__name__";
pub const ALERT_NAME: &str = "alertname";
pub const BUCKET_LABEL: &str = "le";
pub const QUANTILE_LABEL: &str = "quantile";
pub const INSTANCE: &str = "instance";
pub const JOB: &str = "job";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scheme {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, the same without the colon for labels.
    Legacy,
    /// Any non-empty UTF-8.
    #[default]
    Utf8,
}

impl Scheme {
    pub fn metric_ok(self, name: &str) -> bool {
        match self {
            Scheme::Utf8 => !name.is_empty(),
            Scheme::Legacy => is_legacy_metric(name),
        }
    }

    pub fn label_ok(self, name: &str) -> bool {
        match self {
            Scheme::Utf8 => !name.is_empty(),
            Scheme::Legacy => is_legacy_label(name),
        }
    }
}

pub fn is_legacy_metric(name: &str) -> bool {
    let ok = |c: u8, first: bool| c.is_ascii_alphabetic() || c == b'_' || c == b':' || (!first && c.is_ascii_digit());
    !name.is_empty() && name.bytes().enumerate().all(|(i, c)| ok(c, i == 0))
}

pub fn is_legacy_label(name: &str) -> bool {
    is_legacy_metric(name) && !name.contains(':')
}
