//! label_replace and label_join: labels change, samples stay.

use super::Exec;
use super::rows::Meta;
use super::stream::{Duplicates, Stream};
use crate::engine::QueryError;
use model::name::METRIC_NAME;
use model::regex::Regex;

fn set(meta: &mut Meta, dst: &str, value: &str) {
    meta.labels = meta.labels.with(dst, value);
    // A name that was just given is not dropped.
    if dst == METRIC_NAME {
        meta.drop_name = false;
    }
}

pub fn replace<'p>(ex: &Exec<'_>, stream: Stream<'p>, dst: &str, replacement: &str, src: &str, regex: &str) -> Result<Stream<'p>, QueryError> {
    let pattern = Regex::new_wrapped(regex).map_err(|_| QueryError::execution(format!("invalid regular expression in label_replace(): {regex}")))?;
    if dst.is_empty() {
        return Err(QueryError::execution(format!("invalid destination label name in label_replace(): {dst}")));
    }
    // Many series share a value; each value is looked at once in a row.
    let mut last: Option<(String, Option<String>)> = None;
    stream.rename(ex, Duplicates::Merge, |meta| {
        let value = meta.labels.value(src);
        if last.as_ref().is_none_or(|(v, _)| v != value) {
            last = Some((value.to_string(), pattern.expand(replacement, value)));
        }
        if let Some((_, Some(new))) = &last {
            set(meta, dst, new);
        }
    })
}

pub fn join<'p>(ex: &Exec<'_>, stream: Stream<'p>, dst: &str, separator: &str, src: &[String]) -> Result<Stream<'p>, QueryError> {
    if let Some(bad) = src.iter().find(|s| s.is_empty()) {
        return Err(QueryError::execution(format!("invalid source label name in label_join(): {bad}")));
    }
    if dst.is_empty() {
        return Err(QueryError::execution(format!("invalid destination label name in label_join(): {dst}")));
    }
    stream.rename(ex, Duplicates::Merge, |meta| {
        let values: Vec<&str> = src.iter().map(|s| meta.labels.value(s)).collect();
        let joined = values.join(separator);
        set(meta, dst, &joined);
    })
}
