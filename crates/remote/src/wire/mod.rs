//! The bytes of remote write and remote read, in both directions. Pure: no I/O, no clock, no state between requests but reused memory.
//!
//! Decoders borrow from the decompressed body and hand out series by series; encoders write straight from labels and samples into a buffer.
//! Written by hand because this is where a receiver spends its time: a generated decoder takes several times as long and an allocation per string.
//!
//! - [`body`]: content encodings, with the decoded size bounded before anything is allocated.
//! - [`decode`]: write requests in, both versions behind one [`decode::WriteDecoder`].
//! - [`write1`], [`write2`]: write requests out.
//! - [`histogram`]: native histograms, the same message in both versions.
//! - [`read`]: remote read requests and answers, and the framing of streamed ones.

pub mod body;
pub mod decode;
pub mod histogram;
pub mod proto;
pub mod read;
pub mod write1;
pub mod write2;

use model::{Exemplar, LabelsRef, Metadata, MetricType};
use std::fmt;
use storage::HistogramSample;

/// Content type of remote write 1.0, as Prometheus sends it.
pub const CONTENT_TYPE_V1: &str = "application/x-protobuf";
/// Content type of remote write 2.0.
pub const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// Header that names the version, with the values below.
pub const VERSION_HEADER: &str = "X-Prometheus-Remote-Write-Version";
pub const VERSION_V1: &str = "0.1.0";
pub const VERSION_V2: &str = "2.0.0";
/// Response headers of remote write 2.0: what was written.
pub const SAMPLES_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Samples-Written";
pub const HISTOGRAMS_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Histograms-Written";
pub const EXEMPLARS_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Exemplars-Written";
/// Response header by which a receiver of ours tells what it can do beyond the specification: a list of words, separated by commas.
pub const FEATURE_HEADER: &str = "X-Narthex";
/// Word in [`FEATURE_HEADER`]: samples of any age inside retention are taken, in any order.
pub const FEATURE_LATE_SAMPLES: &str = "late-samples";

/// Which message a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Version {
    pub fn message_name(self) -> &'static str {
        match self {
            Version::V1 => "prometheus.WriteRequest",
            Version::V2 => "io.prometheus.write.v2.Request",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Version::V1 => CONTENT_TYPE_V1,
            Version::V2 => CONTENT_TYPE_V2,
        }
    }

    pub fn header_value(self) -> &'static str {
        match self {
            Version::V1 => VERSION_V1,
            Version::V2 => VERSION_V2,
        }
    }
}

/// A float sample on the wire. `start_ms` is when the counter began, 0 for unknown; version 1.0 has no place for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct FloatSample {
    pub t_ms: i64,
    pub v: f64,
    pub start_ms: i64,
}

/// A native histogram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct HistogramAt<'a> {
    pub t_ms: i64,
    pub start_ms: i64,
    pub h: HistogramSample<'a>,
}

/// One series of a request to be sent. Metadata goes along in version 2.0 only; for 1.0 see [`write1::put_metadata`].
#[derive(Clone, Copy)]
pub struct SeriesOut<'a> {
    pub labels: LabelsRef<'a>,
    pub samples: &'a [FloatSample],
    pub histograms: &'a [HistogramAt<'a>],
    pub exemplars: &'a [Exemplar],
    pub metadata: Option<&'a Metadata>,
}

/// Why a body could not be read. What is wrong with single series is not an error of the body: see [`decode::LabelFault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The decoded body would be larger than allowed.
    TooLarge { limit_bytes: usize },
    /// There is no memory for it just now.
    NoRoom,
    /// The compressed bytes are damaged.
    Compression(String),
    /// The message is damaged: which one, its number in the request (from 0), and what is wrong.
    Malformed { message: &'static str, index: usize, what: &'static str },
    /// A frame of a streamed answer does not have the checksum it says.
    Checksum,
    /// A matcher of a read request cannot be used, and why.
    Matcher(String),
}

impl WireError {
    fn malformed(what: &'static str) -> Self {
        WireError::Malformed { message: "message", index: 0, what }
    }

    /// Says which message it was.
    fn at(self, message: &'static str, index: usize) -> Self {
        match self {
            WireError::Malformed { what, .. } => WireError::Malformed { message, index, what },
            other => other,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::TooLarge { limit_bytes } => write!(f, "decoded body is larger than {limit_bytes} bytes"),
            WireError::NoRoom => f.write_str("no memory for the decoded body just now"),
            WireError::Compression(why) => write!(f, "decompress body: {why}"),
            WireError::Malformed { message, index, what } => write!(f, "decode {message} {index}: {what}"),
            WireError::Checksum => f.write_str("corrupted frame: checksum mismatch"),
            WireError::Matcher(why) => write!(f, "invalid matcher: {why}"),
        }
    }
}

impl std::error::Error for WireError {}

fn metric_type_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

#[cfg(test)]
mod tests;
