//! Remote write 1.0 out: `prometheus.WriteRequest`. A request is what was put into the buffer, one after another; there is nothing to finish.

use super::proto::{self, put_bytes_field, put_double_field, put_len_key, put_str_field, put_varint_field};
use super::{FloatSample, SeriesOut, histogram, metric_type_number};
use model::{Exemplar, LabelsRef, Metadata};

const TIMESERIES: u32 = 1;
const METADATA: u32 = 3;

fn label_len(name: &[u8], value: &[u8]) -> usize {
    proto::len_field_len(1, name.len()) + proto::len_field_len(2, value.len())
}

fn labels_len(labels: LabelsRef<'_>) -> usize {
    let mut strings = labels.strings();
    let mut sum = 0;
    while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
        sum += proto::len_field_len(1, label_len(name, value));
    }
    sum
}

/// Labels are field 1 wherever this version has them.
pub(super) fn put_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    let mut strings = labels.strings();
    while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
        put_len_key(out, 1, label_len(name, value));
        put_bytes_field(out, 1, name);
        put_bytes_field(out, 2, value);
    }
}

fn sample_len(s: &FloatSample) -> usize {
    proto::double_field_len(1, s.v) + proto::varint_field_len(2, s.t_ms as u64)
}

pub(super) fn put_sample(out: &mut Vec<u8>, number: u32, s: &FloatSample) {
    put_len_key(out, number, sample_len(s));
    put_double_field(out, 1, s.v);
    put_varint_field(out, 2, s.t_ms as u64);
}

fn put_exemplar(out: &mut Vec<u8>, e: &Exemplar) {
    put_labels(out, e.labels.as_ref());
    put_double_field(out, 2, e.value);
    put_varint_field(out, 3, e.t_ms.unwrap_or(0) as u64);
}

/// Adds one series to a request. Start times and metadata are left out: the version has no place for them.
pub fn put_series(out: &mut Vec<u8>, series: &SeriesOut<'_>) {
    if series.histograms.is_empty() && series.exemplars.is_empty() {
        let samples: usize = series.samples.iter().map(|s| proto::len_field_len(2, sample_len(s))).sum();
        put_len_key(out, TIMESERIES, labels_len(series.labels) + samples);
        put_content(out, series);
    } else {
        proto::put_message_field(out, TIMESERIES, |out| put_content(out, series));
    }
}

fn put_content(out: &mut Vec<u8>, series: &SeriesOut<'_>) {
    put_labels(out, series.labels);
    series.samples.iter().for_each(|s| put_sample(out, 2, s));
    for e in series.exemplars {
        proto::put_message_field(out, 3, |out| put_exemplar(out, e));
    }
    for h in series.histograms {
        proto::put_message_field(out, 4, |out| histogram::encode(out, h, false));
    }
}

/// Adds the metadata of a metric family to a request.
pub fn put_metadata(out: &mut Vec<u8>, family: &str, metadata: &Metadata) {
    proto::put_message_field(out, METADATA, |out| {
        put_varint_field(out, 1, metric_type_number(metadata.kind));
        put_str_field(out, 2, family);
        put_str_field(out, 4, &metadata.help);
        put_str_field(out, 5, &metadata.unit);
    });
}
