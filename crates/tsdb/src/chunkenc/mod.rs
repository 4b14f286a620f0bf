//! Chunks: runs of a series' samples as bit streams, byte for byte as Prometheus writes them.
//!
//! Floats: [`xor`] (Gorilla) and [`xor2`] (joint control bits, optional start timestamps). Native histograms: [`histogram`] with whole counts and
//! [`float_histogram`] with float counts; both also read their variants with start timestamps.
//!
//! Two ways in, one way out. An appender is a byte buffer that grows in steps of the allocator's size classes and a small state ([`xor::XorAppender`] is
//! 56 bytes in all), so that millions of open chunks cost their bytes and little else; the state can be recovered from the bytes alone. Reading is in bulk: [`decode`] puts all samples of a chunk that lie in a range into the columns of a [`SeriesData`].
//! There is no iterator over single float samples: nobody above needs one.
//!
//! Arbitrary bytes give an error, never a panic and never more samples than the header's 16-bit count.

pub mod appender;
pub mod bits;
pub mod float_histogram;
pub mod histogram;
pub mod layout;
pub mod reader;
pub mod xor;
pub mod xor2;

pub use storage::ChunkEncoding;

use std::fmt;
use storage::SeriesData;

/// The sample count is kept in 16 bits.
pub const MAX_SAMPLES: u16 = u16::MAX;
/// Prometheus cuts a float chunk when the next sample could make it longer than this.
pub const MAX_XOR_CHUNK_BYTES: usize = 1024;
/// Above so many bytes a histogram chunk is cut, if it holds at least [`MIN_HISTOGRAM_SAMPLES`].
pub const TARGET_HISTOGRAM_CHUNK_BYTES: usize = 1024;
pub const MIN_HISTOGRAM_SAMPLES: u16 = 10;

/// Why a chunk's bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// The bytes end inside of a sample, or the header is missing.
    Truncated,
    /// The encoding byte is not known.
    UnknownEncoding(u8),
    /// The bytes cannot have been written by an encoder; says what is wrong.
    Invalid(&'static str),
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkError::Truncated => f.write_str("chunk ends inside of a sample"),
            ChunkError::UnknownEncoding(e) => write!(f, "unknown chunk encoding {e}"),
            ChunkError::Invalid(what) => write!(f, "invalid chunk: {what}"),
        }
    }
}

impl std::error::Error for ChunkError {}

/// The encoding with this number in a block.
pub fn encoding_from_byte(b: u8) -> Result<ChunkEncoding, ChunkError> {
    Ok(match b {
        1 => ChunkEncoding::Xor,
        2 => ChunkEncoding::Histogram,
        3 => ChunkEncoding::FloatHistogram,
        4 => ChunkEncoding::Xor2,
        5 => ChunkEncoding::HistogramSt,
        6 => ChunkEncoding::FloatHistogramSt,
        other => return Err(ChunkError::UnknownEncoding(other)),
    })
}

/// Name of an encoding as promtool prints it.
pub fn encoding_name(e: ChunkEncoding) -> &'static str {
    match e {
        ChunkEncoding::Xor => "XOR",
        ChunkEncoding::Histogram => "histogram",
        ChunkEncoding::FloatHistogram => "floathistogram",
        ChunkEncoding::Xor2 => "XOR2",
        ChunkEncoding::HistogramSt => "histogramST",
        ChunkEncoding::FloatHistogramSt => "floathistogramST",
    }
}

/// How many samples the chunk's header claims.
pub fn num_samples(encoding: ChunkEncoding, bytes: &[u8]) -> Result<u16, ChunkError> {
    let &[a, b, ..] = bytes else { return Err(ChunkError::Truncated) };
    let n = u16::from_be_bytes([a, b]);
    Ok(match encoding {
        ChunkEncoding::HistogramSt | ChunkEncoding::FloatHistogramSt => n & layout::ST_COUNT_MASK,
        _ => n,
    })
}

/// Appends the samples with `start_ms <= t <= end_ms` to the columns, in the order of the chunk.
pub fn decode(encoding: ChunkEncoding, bytes: &[u8], start_ms: i64, end_ms: i64, out: &mut SeriesData) -> Result<(), ChunkError> {
    match encoding {
        ChunkEncoding::Xor => xor::decode(bytes, start_ms, end_ms, out),
        ChunkEncoding::Xor2 => xor2::decode(bytes, start_ms, end_ms, out),
        ChunkEncoding::Histogram => histogram::decode(bytes, false, start_ms, end_ms, out),
        ChunkEncoding::HistogramSt => histogram::decode(bytes, true, start_ms, end_ms, out),
        ChunkEncoding::FloatHistogram => float_histogram::decode(bytes, false, start_ms, end_ms, out),
        ChunkEncoding::FloatHistogramSt => float_histogram::decode(bytes, true, start_ms, end_ms, out),
    }
}

/// Brings a column of start timestamps to the length of its column of times, with 0 for unknown.
fn pad_st(st_ms: &mut Vec<i64>, len: usize) {
    if !st_ms.is_empty() {
        st_ms.resize(len, 0);
    }
}

#[cfg(test)]
#[path = "chunkenc_tests.rs"]
mod tests;
